use proptest::prelude::*;

use super::*;

fn rules(text: &str) -> Rules {
    Rules::parse(text, "EXAMPLE.ORG").unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn short(rules_text: &str, name: &str) -> Option<String> {
    rules(rules_text).short_name(&Principal::parse(name).unwrap())
}

fn naming(remove_host: bool, remove_realm: bool) -> Naming {
    Naming { rules: rules("DEFAULT"), remove_host, remove_realm }
}

#[test]
fn names_are_taken_apart_as_in_zookeeper() {
    let parts = |name| Principal::parse(name).map(|p| (p.service, p.host, p.realm));
    assert_eq!(parts("bob"), Some(("bob", None, None)));
    assert_eq!(parts("a/b/c"), Some(("a/b/c", None, None)));
    assert_eq!(parts("bob@R"), Some(("bob", None, Some("R"))));
    assert_eq!(parts("zk/h@R"), Some(("zk", Some("h"), Some("R"))));
    assert_eq!(parts("@"), Some(("", None, Some(""))));
    assert_eq!(parts("a/@R"), Some(("a", Some(""), Some("R"))));
    for malformed in ["a@b@c", "a/b/c@R", "a@R/x", "a@@"] {
        assert_eq!(parts(malformed), None, "{malformed}");
    }
}

#[test]
fn identities_have_host_and_realm_unless_removed() {
    let name = "zk/h@EXAMPLE.ORG";
    for (remove_host, remove_realm, identity) in
        [(false, false, name), (true, false, "zk@EXAMPLE.ORG"), (false, true, "zk/h"), (true, true, "zk")]
    {
        assert_eq!(naming(remove_host, remove_realm).identity(name).as_deref(), Some(identity));
    }
    assert_eq!(naming(true, true).identity("bob").as_deref(), Some("bob"));
    assert_eq!(naming(true, true).identity("a@b@c"), None);
    assert_eq!(naming(true, true).identity("eve@OTHER").as_deref(), Some("eve@OTHER"), "no rule applies");
}

#[test]
fn rules_of_hadoops_manual() {
    let text = "RULE:[1:$1@$0](.*@EXAMPLE\\.COM)s/@.*//\n\
                RULE:[2:$1%$2](.*%admin)s/%admin//\n\
                RULE:[2:$1;$2](^.*;host$)s/;host$// DEFAULT";
    assert_eq!(short(text, "omalley@EXAMPLE.COM").as_deref(), Some("omalley"));
    assert_eq!(short(text, "omalley@OTHER"), None);
    assert_eq!(short(text, "joe/admin@OTHER").as_deref(), Some("joe"));
    assert_eq!(short(text, "zk/host@OTHER").as_deref(), Some("zk"));
    assert_eq!(short(text, "bob@EXAMPLE.ORG").as_deref(), Some("bob"));
    assert_eq!(short(text, "zk/x@EXAMPLE.ORG").as_deref(), Some("zk"));
}

/// Asked of Java 17's regular expressions.
#[test]
fn replacements_are_those_of_java() {
    for (from, to, result) in [
        ("(b)", "[$1]", "a[b]c"),
        ("(b)", "$11", "ab1c"),
        ("b", "\\$x\\q", "a$xqc"),
        ("", "-", "-a-b-c-"),
        ("[a-c]", "", ""),
    ] {
        assert_eq!(short(&format!("RULE:[1:$1]s/{from}/{to}/g"), "abc@R").as_deref(), Some(result), "{from}");
    }
    assert_eq!(short("RULE:[1:$1]s/a/b/", "aa@R").as_deref(), Some("ba"), "only the first");
    assert_eq!(short("RULE:[1:$1](a)", "aa@R"), None, "the whole has to match");
    assert_eq!(short("RULE:[1:$1@$0]", "a@R"), None, "the result is not simple");
    assert_eq!(short("RULE:[1:$1@$0] DEFAULT", "a@EXAMPLE.ORG"), None, "later rules do not count");
    assert_eq!(short("RULE:[1:x]", "a/h@R"), None, "two components");
    assert_eq!(short("", "a@EXAMPLE.ORG"), None);
}

#[test]
fn wrong_rules_are_refused() {
    for text in [
        "default",
        "RULE:[:$1]",
        "RULE:[1$1]",
        "RULE:[1:$1",
        "RULE:[1:$1]s/a/b",
        "RULE:[1:$1](a",
        "RULE:[1:$2]",
        "RULE:[2:$3]",
        "RULE:[1:$]",
        "RULE:[1:$x]",
        "RULE:[1:$1]s/a/$1/",
        "RULE:[1:$1]s/a/$/",
        "RULE:[1:$1]s/a/\\/",
        "RULE:[1:$1]s/*/b/",
        "RULE:[1:$1](a(?=b))",
        "RULE:[1:$1](([a-z]{1,1000}{1,1000}{1,1000}))",
        "DEFAULT x",
    ] {
        assert!(Rules::parse(text, "").is_err(), "{text}");
    }
    assert!(matches!(Rules::parse(&"DEFAULT ".repeat(1001), ""), Err(RuleError::TooMany)));
    assert!(matches!(Rules::parse(&"DEFAULT ".repeat(9000), ""), Err(RuleError::TooMany)));
}

#[test]
fn long_results_count_as_no_match() {
    let text = format!("RULE:[1:{}]s/a/$0$0$0$0$0$0$0$0/g", "$1".repeat(20));
    assert_eq!(short(&text, &format!("{}@R", "a".repeat(1000))), None);
}

proptest! {
    #[test]
    fn any_text_is_a_list_of_rules_or_an_error(text in "\\PC{0,80}", name in "\\PC{0,30}") {
        let _ = Principal::parse(&name);
        let _ = Rules::parse(&text, &name);
    }

    #[test]
    fn what_parses_can_be_applied(
        count in 0_usize..4,
        format in "[$012a/@]{0,12}",
        matches in proptest::option::of("[a-c.*+]{0,8}"),
        from in "[a-c().*]{0,8}",
        to in "[$\\\\0-2a]{0,8}",
        repeats in "g?",
        name in "[a-c]{0,5}(/[a-c]{0,5})?(@[A-C]{0,3})?",
    ) {
        let matches = matches.map(|pattern| format!("({pattern})")).unwrap_or_default();
        let text = format!("RULE:[{count}:{format}]{matches}s/{from}/{to}/{repeats} DEFAULT");
        if let Ok(rules) = Rules::parse(&text, "A") {
            let naming = Naming { rules, remove_host: true, remove_realm: true };
            let identity = naming.identity(&name).expect("a name");
            prop_assert!(identity == name || !identity.contains(['/', '@']));
        }
    }
}
