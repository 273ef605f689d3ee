//! Schemes, SASL, and what an unauthenticated client may do.

use super::{config, load_text, loaded, problems_of};
use crate::config::{KerberosKey, Loaded, Mechanism, PasswordHash, Requests, Sasl};

/// The keys that are tested here.
pub(super) const TESTED: &[&str] = &[
    "SASLAuthenticationProvider.superPassword",
    "allowSaslFailedClients",
    "enforce.auth.enabled",
    "enforce.auth.schemes",
    "java.security.auth.login.config",
    "kerberos.removeHostFromPrincipal",
    "kerberos.removeRealmFromPrincipal",
    "sasl.serverconfig",
    "security.auth_to_local",
    "sessionRequireClientSASLAuth",
    "superUser",
    "superUser.*",
];

const PROVIDER: &str = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";
const JAAS: &str = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
    user_super=\"one\" user_bob=\"two\" user_bob=\"three\" other=\"four\"; };\n\
    Empty { };\n\
    Kerberos { com.sun.security.auth.module.Krb5LoginModule required principal=\"zk\"; };\n\
    Own { com.example.Module required; };\n\
    Krb { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true\n\
    keyTab=\"/etc/zk.keytab\" principal=\"zookeeper/host@EXAMPLE.ORG\"; };\n";

/// Loads lines with `/jaas`; the errors as text.
fn with_jaas(lines: &str) -> Result<Loaded, Vec<String>> {
    let text = format!("dataDir=/d\nclientPort=2181\n{lines}");
    let result = load_text(&text, &[("/jaas", JAAS), ("/bad", "Server {")], &[]);
    if result.is_err() {
        return Err(problems_of(result).iter().map(ToString::to_string).collect());
    }
    Ok(result.expect("it is not an error"))
}

fn requests(lines: &str) -> Requests {
    with_jaas(lines).unwrap_or_else(|errors| panic!("{lines}: {errors:?}")).config.requests
}

#[test]
fn users_of_sasl_come_from_the_jaas_file() {
    let users = |sasl: &Sasl| -> Vec<(String, String)> {
        let Mechanism::DigestMd5(users) = &sasl.mechanism else { panic!("{sasl:?}") };
        users.iter().map(|(user, password)| (user.clone(), password.reveal().to_owned())).collect()
    };
    let sasl = requests("java.security.auth.login.config=/jaas").sasl.expect("SASL");
    assert_eq!(users(&sasl), [("super", "one"), ("bob", "three")].map(|(a, b)| (a.into(), b.into())));
    assert!(!sasl.keep_failed && sasl.super_users.is_empty());
    assert!(!format!("{sasl:?}").contains("three"), "passwords are in no message");
    let sasl = requests(
        "java.security.auth.login.config=/jaas\nSASLAuthenticationProvider.superPassword=five\n\
            allowSaslFailedClients=true\nsuperUser=bob\nsuperUser.2=ann\nsuperUser.3=\n\
            kerberos.removeHostFromPrincipal=true\nkerberos.removeRealmFromPrincipal=TRUE\n\
            security.auth_to_local=RULE:[1:x]",
    )
    .sasl
    .expect("SASL");
    assert_eq!(users(&sasl)[0].1, "five");
    assert!(sasl.keep_failed);
    assert_eq!(sasl.super_users, ["bob", "ann"]);
    assert!(sasl.naming.remove_host && !sasl.naming.remove_realm, "only true is true");
    assert_eq!(sasl.naming.identity("bob@R").as_deref(), Some("x@R"));
}

#[test]
fn the_key_of_kerberos_comes_from_the_jaas_file() {
    let sasl = requests("java.security.auth.login.config=/jaas\nsasl.serverconfig=Krb").sasl.expect("SASL");
    let key =
        KerberosKey { keytab: Some("/etc/zk.keytab".into()), principal: "zookeeper/host@EXAMPLE.ORG".into() };
    assert_eq!(sasl.mechanism, Mechanism::Kerberos(key));
    assert_eq!(sasl.naming.identity("bob@EXAMPLE.ORG").as_deref(), Some("bob@EXAMPLE.ORG"));
    let lines = "java.security.auth.login.config=/jaas\nsasl.serverconfig=Krb\n\
        kerberos.removeHostFromPrincipal=true\nkerberos.removeRealmFromPrincipal=true";
    let naming = requests(lines).sasl.expect("SASL").naming;
    assert_eq!(naming.identity("hdfs/node@EXAMPLE.ORG").as_deref(), Some("hdfs"), "its realm is DEFAULT");
}

#[test]
fn a_jaas_file_without_the_section_is_no_sasl() {
    assert!(requests("").sasl.is_none());
    let text = "dataDir=/d\nclientPort=2181\njava.security.auth.login.config=/jaas";
    let Loaded { config, warnings } =
        load_text(text, &[("/jaas", "Client { m.M required; };")], &[]).unwrap();
    assert!(config.requests.sasl.is_none());
    assert!(warnings[0].to_string().contains("has no section Server, so clients cannot use SASL"));
}

#[test]
fn settings_of_sasl_that_cannot_work_are_refused() {
    for (lines, expected) in [
        ("java.security.auth.login.config=/nowhere", "cannot be read: "),
        ("java.security.auth.login.config=/bad", "line 1: expected the class of a login module"),
        ("sasl.serverconfig=Server", "needs the file java.security.auth.login.config"),
        ("java.security.auth.login.config=/jaas\nsasl.serverconfig=X", "/jaas has no section X"),
        ("java.security.auth.login.config=/jaas\nsasl.serverconfig=Empty", "/jaas has no section Empty"),
        (
            "java.security.auth.login.config=/jaas\nsasl.serverconfig=Kerberos",
            "must be such as zookeeper/host@",
        ),
        ("java.security.auth.login.config=/jaas\nsasl.serverconfig=Own", "a login module must be"),
        ("security.auth_to_local=RULE", "\"RULE\" is not a rule"),
        ("sessionRequireClientSASLAuth=true", "needs authProvider.1="),
        ("enforce.auth.enabled=true", "needs enforce.auth.schemes"),
        ("enforce.auth.enabled=true\nenforce.auth.schemes=digest,x509", "there is no scheme \"x509\""),
        ("enforce.auth.enabled=true\nenforce.auth.schemes=", "there is no scheme \"\""),
        ("DigestAuthenticationProvider.digestAlg=MD5", "must be one of SHA1, "),
        ("ostler.failedLoginsPerMinute=-1", "from 0 to"),
    ] {
        let errors = with_jaas(lines).expect_err(lines);
        assert!(errors.iter().any(|error| error.contains(expected)), "{lines}: {errors:?}");
    }
}

#[test]
fn schemes_that_a_client_must_have() {
    assert_eq!(config("enforce.auth.schemes=digest").requests.enforced_schemes, None);
    let lines = "enforce.auth.enabled=TRUE\nenforce.auth.schemes= ip , digest";
    assert_eq!(config(lines).requests.enforced_schemes.unwrap(), ["ip", "digest"]);
    // As in ZooKeeper, the older key wins.
    let lines = format!("{PROVIDER}sessionRequireClientSASLAuth=true\n{lines}");
    assert_eq!(config(&lines).requests.enforced_schemes.unwrap(), ["sasl"]);
}

#[test]
fn the_hash_of_passwords() {
    let hash = |lines: &str| config(lines).requests.schemes.digest_hash;
    assert_eq!(hash(""), PasswordHash::Sha1);
    assert_eq!(hash("DigestAuthenticationProvider.digestAlg=SHA-512"), PasswordHash::Sha512);
    let id = PasswordHash::Sha256.digest_id("super:test");
    let lines = format!("DigestAuthenticationProvider.digestAlg=sha-256\nsuperDigest={id}");
    assert_eq!(config(&lines).requests.super_digest, Some(id.clone()));
    assert_eq!(loaded(&format!("superDigest={id}")).config.requests.super_digest, None, "of another hash");
}
