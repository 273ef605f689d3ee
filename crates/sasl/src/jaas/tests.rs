//! The expectations without a comment were asked of Java 17.

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> JaasFile {
    JaasFile::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// The class and the options of the only module of the section `A`.
fn module_of(text: &str) -> (String, Vec<(String, String)>) {
    let file = parsed(text);
    let [module] = file.section("A").expect("a section A") else { panic!("one module: {text:?}") };
    let options = module.options().map(|(key, value)| (key.to_owned(), value.reveal().to_owned()));
    (module.class.clone(), options.collect())
}

fn value_of(options: &str) -> String {
    let (_, options) = module_of(&format!("A {{ m.M required {options}; }};"));
    options.last().expect("an option").1.clone()
}

#[test]
fn the_file_of_zookeepers_manual() {
    let file = parsed(
        "Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n\
         user_super=\"adminsecret\"\n    user_bob=\"bob secret\";\n};\n\
         Client {\n com.sun.security.auth.module.Krb5LoginModule required\n useKeyTab=true\n\
         keyTab=\"/etc/zk.keytab\"\n  principal=\"zookeeper/host@REALM\";\n};\n",
    );
    let [server] = file.section("Server").unwrap() else { panic!() };
    assert_eq!(server.class, "org.apache.zookeeper.server.auth.DigestLoginModule");
    assert_eq!(server.option("user_bob").unwrap().reveal(), "bob secret");
    assert_eq!(server.option("user_alice"), None);
    let [client] = file.section("Client").unwrap() else { panic!() };
    assert_eq!(client.option("useKeyTab").unwrap().reveal(), "true");
    assert_eq!(client.option("keyTab").unwrap().reveal(), "/etc/zk.keytab");
    assert!(file.section("QuorumServer").is_none());
}

#[test]
fn what_java_reads() {
    let module = ("m.M".to_owned(), vec![]);
    for text in [
        "A { m.M required; };",
        "A{m.M Sufficient;};",
        "\"A\" { \"m.M\" OPTIONAL; };",
        "A { /* y\n z */ m.M required // q\n; }; B { };",
        "A { m.M required; }; /* without end",
    ] {
        assert_eq!(module_of(text), module, "{text}");
    }
    for (options, value) in [
        ("p=\"a\\\"b\\\\c\\nd\\101\\x\\40e\\779\"", "a\"b\\c\ndAx e?9"),
        ("p=a1.b-c_d$*", "a1.b-c_d$*"),
        ("p=\"a//b/*c\"", "a//b/*c"),
        ("p=\"1\" p=\"2\"", "2"),
        ("p=\"\"", ""),
        ("p = \"1\" q= \"2\"", "2"),
        ("user_b\u{f6}b=\"p\u{e4}\u{20ac}\"", "p\u{e4}\u{20ac}"),
        ("\"user_g h\"=\"i\"", "i"),
        ("p=\"x${/}y\"", "x/y"),
        ("p=\"a${b\"", "a${b"),
        ("p=\"$$x$\"", "$$x$"),
        ("p=\"${{user.name}}\"", "${{user.name}}"),
    ] {
        assert_eq!(value_of(options), value, "{options}");
    }
    assert!(parsed("").section("A").is_none());
    assert!(parsed("A { };").section("A").is_none());
}

#[test]
fn what_java_refuses() {
    for text in [
        "A { m.M required; }",
        "A { m.M required;",
        "A { m.M user=\"x\"; };",
        "A { m.M needed; };",
        "A { m.M required p='ab c'; };",
        "A { m.M required p=\"a\nb\"; };",
        "A { m.M required p=\"ab; };\n",
        "# x\nA { m.M required; };",
        "A { m.M required p=a#b; };",
        "A { m.M required p=1; };",
        "A { m.M required p=a/b q=c;\n };",
        "A { m.M required p=a:b; };",
        "A { m.M required p=; };",
        "A { m.M required p; };",
        "A { m.M required p=\"1\", q=\"2\"; };",
        "A { m.M required -q=\"2\"; };",
        "A { m.M required; }; A { n.N required; };",
        "A { m.M required p=\"${nonesuch}x\"; };",
        "}",
    ] {
        assert!(JaasFile::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn errors_name_the_line_and_no_value() {
    for (text, line) in [
        ("A {\n m.M required\n p='hunter2'; };", "line 3: "),
        ("A {\n m.M required p=\"hunter2;\n };", "line 2: "),
        ("A {\n m.M required p=\"${hunter2}\";\n };", "line 2: "),
        ("A { m.M required; };\n\nA { };", "line 3: "),
    ] {
        let error = JaasFile::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(line) && !error.contains("hunter2"), "{error}");
    }
    let shown = format!("{:?}", parsed("A { m.M required p=\"hunter2\"; };"));
    assert!(!shown.contains("hunter2"), "{shown}");
    let error = JaasFile::parse(b"A\n\xff").unwrap_err();
    assert_eq!(error, JaasError::NotUtf8 { line: 2 });
    assert_eq!(JaasFile::parse(&vec![b' '; FILE_BYTES_MAX + 1]), Err(JaasError::TooLong));
}

proptest! {
    #[test]
    fn any_bytes_are_a_file_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = JaasFile::parse(&bytes);
    }

    #[test]
    fn pieces_of_the_grammar_are_a_file_or_an_error(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("A "), Just("{"), Just("}"), Just(";"), Just("="), Just("required "),
                Just("\""), Just("\\"), Just("//"), Just("/*"), Just("*/"), Just("\n"), Just("${"),
            ],
            0..40,
        ),
    ) {
        let _ = JaasFile::parse(pieces.concat().as_bytes());
    }

    #[test]
    fn what_is_written_is_read(
        options in proptest::collection::vec(("[a-z_]{1,8}", "[^\\r\\n$]{0,20}"), 0..8),
    ) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let written: String =
            options.iter().map(|(key, value)| format!(" {}={}", quoted(key), quoted(value))).collect();
        let (_, read) = module_of(&format!("A {{ m.M required{written}; }};"));
        prop_assert_eq!(read, options);
    }
}
