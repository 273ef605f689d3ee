//! The expectations of `what_java_accepts` and `what_java_refuses` were asked of Java 17.

use proptest::prelude::*;

use super::*;
use crate::Secret;

const SERVICE: Service = Service::CLIENTS;

fn server() -> Server {
    Server::new(SERVICE, [7; 24])
}

/// The answer to one response of the user `bob`, with the password `test`.
struct Try {
    user: &'static str,
    nc: &'static str,
    uri: &'static str,
    authzid: Option<&'static str>,
    cnonce: &'static str,
}

const BOB: Try =
    Try { user: "bob", nc: "00000001", uri: "zookeeper/zk-sasl-md5", authzid: None, cnonce: "cn" };

impl Try {
    /// Sends the usual response, changed by `change`.
    fn send(&self, change: impl FnOnce(String) -> String) -> Result<String, Refused> {
        let mut server = server();
        server.step(b"", |_| None).unwrap();
        let nonce = format!("\"{}\"", "07".repeat(24));
        let proof = Proof {
            user: self.user,
            realm: SERVICE.server,
            password: "test",
            nonce: nonce.trim_matches('"').as_bytes(),
            cnonce: self.cnonce.as_bytes(),
            authzid: self.authzid.map(str::as_bytes),
            uri: self.uri.as_bytes(),
        };
        let response = proof.compute(Side::Client);
        let (user, nc, uri, cnonce) = (self.user, self.nc, self.uri, self.cnonce);
        let token = change(format!(
            "charset=utf-8,username=\"{user}\",realm=\"zk-sasl-md5\",nonce={nonce},nc={nc},\
             cnonce=\"{cnonce}\",digest-uri=\"{uri}\",maxbuf=65536,response={response},qop=auth"
        ));
        let password = Secret::new("test");
        let step = server.step(token.as_bytes(), |user| (user != "nobody").then_some(&password));
        assert_eq!(server.step(b"", |_| None), Err(Refused::Ended));
        match step? {
            Step::Accepted(accepted) => {
                let proof = format!("rspauth={}", proof.compute(Side::Server));
                assert_eq!(accepted.token, proof.as_bytes());
                Ok(accepted.user)
            }
            Step::Challenge(_) => panic!("a second challenge"),
        }
    }
}

/// The example of RFC 2831, section 4.
#[test]
fn the_example_of_the_rfc() {
    let proof = Proof {
        user: "chris",
        realm: "elwood.innosoft.com",
        password: "secret",
        nonce: b"OA6MG9tEQGm2hh",
        cnonce: b"OA6MHXh6VqTrRk",
        authzid: None,
        uri: b"imap/elwood.innosoft.com",
    };
    assert_eq!(proof.compute(Side::Client), "d388dad90d4bbd760a152321f2143af7");
    assert_eq!(proof.compute(Side::Server), "ea40f60335c427b5527b84dbabcdfffd");
}

#[test]
fn the_challenge_is_that_of_java() {
    let Ok(Step::Challenge(challenge)) = server().step(b"whatever", |_| None) else { panic!() };
    let nonce = "07".repeat(24);
    let expected = format!("realm=\"zk-sasl-md5\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
    assert_eq!(String::from_utf8(challenge).unwrap(), expected);
}

#[test]
fn what_java_accepts() {
    let replaced = |from: &'static str, to: &'static str| move |token: String| token.replace(from, to);
    assert_eq!(BOB.send(|token| token).as_deref(), Ok("bob"));
    for (from, to) in [
        ("nc=00000001,", ""),
        ("nc=00000001,", "nc=1,"),
        (",qop=auth", ""),
        (",qop=auth", ",qop=\"auth\""),
        (",qop=auth", ",qop=auth,foo=bar"),
        (",qop=auth", ",qop=auth,foo=\"b,ar\""),
        (",qop=auth", ",qop=auth,foo"),
        (",", " ,, "),
        ("=", " = "),
        ("username", "USERNAME"),
        ("charset=utf-8,", ""),
        ("\"bob\"", "bob"),
        ("\"bob\"", "\"b\\ob\""),
    ] {
        assert_eq!(BOB.send(replaced(from, to)).as_deref(), Ok("bob"), "{from} {to}");
    }
    let accepted = [Try { uri: "ZooKeeper/ZK-sasl-md5", ..BOB }, Try { cnonce: "", ..BOB }];
    for case in accepted {
        assert_eq!(case.send(|token| token).as_deref(), Ok("bob"));
    }
    for authzid in ["al", ""] {
        let case = Try { authzid: Some(authzid), ..BOB };
        let sent = case.send(|token| format!("{token},authzid=\"{authzid}\""));
        assert_eq!(
            sent.as_deref(),
            Ok("bob"),
            "it authenticates bob, not the identity that the client asks for"
        );
    }
    // Hashed in ISO 8859-1, sent in UTF-8 or ISO 8859-1.
    let umlaut = Try { user: "b\u{f6}b", ..BOB };
    assert_eq!(umlaut.send(|token| token).as_deref(), Ok("b\u{f6}b"));
    let chinese = Try { user: "\u{4e2d}", ..BOB };
    assert_eq!(chinese.send(|token| token).as_deref(), Ok("\u{4e2d}"));
}

#[test]
fn what_java_refuses() {
    let replaced = |from: &'static str, to: &'static str| move |token: String| token.replace(from, to);
    for (from, to) in [
        ("realm=\"zk-sasl-md5\",", ""),
        ("realm=\"zk-sasl-md5\"", "realm=\"x\""),
        (",qop=auth", ",qop=auth-int"),
        (",qop=auth", ",qop=auth,username=\"bob\""),
        (",qop=auth", ",qop=auth,maxbuf=1"),
        (",qop=auth", ",qop=auth,foo=\"x"),
        ("response=", "response=X"),
        ("charset=utf-8,", "charset=latin,"),
        ("charset=utf-8,", "charset=UTF-8,"),
        ("username=\"bob\",", ""),
        ("cnonce=\"cn\",", ""),
        ("digest-uri=\"zookeeper/zk-sasl-md5\",", ""),
        ("maxbuf=65536", "maxbuf=x"),
        ("nonce=\"07", "nonce=\"08"),
    ] {
        assert!(BOB.send(replaced(from, to)).is_err(), "{from} {to}");
    }
    for uri in ["zookeeper/zk-sasl-md5/zk-sasl-md5", "zookeeper/foo/zk-sasl-md5", "zookeeper/other"] {
        assert_eq!(Try { uri, ..BOB }.send(|token| token), Err(Refused::Directive("digest-uri")), "{uri}");
    }
    assert_eq!(Try { user: "nobody", ..BOB }.send(|token| token), Err(Refused::WrongProof));
    assert_eq!(BOB.send(replaced("bob", "bab")), Err(Refused::WrongProof));
    // Of the right user, for another identity than the proof was made for.
    assert_eq!(BOB.send(|token| token + ",authzid=al"), Err(Refused::WrongProof));
}

#[test]
fn a_long_token_leaves_the_exchange_as_it_was() {
    let mut server = server();
    let long = [b'x'; TOKEN_BYTES_MAX + 1];
    assert_eq!(server.step(&long, |_| None), Err(Refused::TooLong));
    assert!(matches!(server.step(b"", |_| None), Ok(Step::Challenge(_))));
    assert_eq!(server.step(&long, |_| None), Err(Refused::TooLong));
    assert_eq!(server.step(b"", |_| None), Err(Refused::Directive("nonce")));
    assert_eq!(server.step(&long, |_| None), Err(Refused::TooLong));
    assert_eq!(server.step(b"", |_| None), Err(Refused::Ended));
}

/// The whole exchange of a client with a server.
fn exchange(user: &str, password: &str, expected: &str) -> Result<String, Refused> {
    let mut server = server();
    let mut client = Client::new(SERVICE, user, Secret::new(password), [9; 24]);
    let expected = Secret::new(expected);
    let Step::Challenge(challenge) = server.step(b"", |_| None)? else { panic!() };
    let response = client.step(&challenge)?.expect("a response");
    let Step::Accepted(accepted) = server.step(&response, |_| Some(&expected))? else { panic!() };
    assert_eq!(client.session_key(), None, "the server has not proven anything yet");
    assert_eq!(client.step(&accepted.token), Ok(None));
    assert!(client.session_key().is_some() && client.session_key() == server.session_key());
    assert_eq!(client.step(&accepted.token), Err(Refused::Ended));
    Ok(accepted.user)
}

#[test]
fn the_client_checks_the_server() {
    let mut server = server();
    let mut client = Client::new(SERVICE, "bob", Secret::new("test"), [9; 24]);
    let Ok(Step::Challenge(challenge)) = server.step(b"", |_| None) else { panic!() };
    client.step(&challenge).unwrap();
    assert_eq!(client.step(format!("rspauth={}", "0".repeat(32)).as_bytes()), Err(Refused::WrongProof));
    for challenge in ["nonce=\"x\"", "algorithm=md5-sess", "nonce=x,algorithm=md5-sess,qop=\"auth-conf\""] {
        let mut client = Client::new(SERVICE, "bob", Secret::new("test"), [9; 24]);
        assert!(client.step(challenge.as_bytes()).is_err(), "{challenge}");
    }
    assert!(!format!("{client:?}").contains("test\""));
}

/// It depends on the password and on the nonces of both sides.
#[test]
fn a_session_key_is_that_of_one_exchange() {
    let key = |password: &str, nonce: u8, cnonce: u8| {
        let (mut server, right) = (Server::new(SERVICE, [nonce; 24]), Secret::new(password));
        let mut client = Client::new(SERVICE, "bob", right.clone(), [cnonce; 24]);
        let Ok(Step::Challenge(challenge)) = server.step(b"", |_| None) else { panic!() };
        let response = client.step(&challenge).unwrap().unwrap();
        assert_eq!(server.session_key(), None);
        server.step(&response, |_| Some(&right)).unwrap();
        server.session_key().unwrap()
    };
    let one = key("test", 1, 2);
    assert_eq!(one, key("test", 1, 2));
    for other in [key("other", 1, 2), key("test", 3, 2), key("test", 1, 3)] {
        assert!(one != other);
    }
    assert_eq!(format!("{one:?}"), "SessionKey(…)");
}

proptest! {
    #[test]
    fn a_client_that_knows_the_password_is_accepted(user in "\\PC{1,30}", password in "\\PC{0,30}") {
        prop_assert_eq!(exchange(&user, &password, &password), Ok(user));
    }

    #[test]
    fn one_that_does_not_is_refused(user in "\\PC{1,9}", password in "\\PC{0,9}", right in "\\PC{0,9}") {
        prop_assume!(password != right);
        prop_assert_eq!(exchange(&user, &password, &right), Err(Refused::WrongProof));
    }

    #[test]
    fn any_tokens_are_answered(
        tokens in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..4),
    ) {
        let mut server = server();
        let mut client = Client::new(SERVICE, "bob", Secret::new("test"), [9; 24]);
        for token in tokens {
            let accepted = matches!(server.step(&token, |_| None), Ok(Step::Accepted(_)));
            prop_assert!(!accepted);
            prop_assert_ne!(client.step(&token), Ok(None));
        }
    }

    #[test]
    fn pieces_of_a_response_are_answered(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("username=".to_owned()), Just("\"".to_owned()), Just("\\".to_owned()),
                Just(",".to_owned()), Just("=".to_owned()), Just("nonce=".to_owned()),
                Just("07".repeat(24)), Just("charset=utf-8".to_owned()), Just(" ".to_owned()),
            ],
            0..30,
        ),
    ) {
        let mut server = server();
        let _ = server.step(b"", |_| None);
        prop_assert!(server.step(pieces.concat().as_bytes(), |_| None).is_err());
    }
}
