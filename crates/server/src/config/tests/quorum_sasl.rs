//! SASL between servers.

use super::*;

/// The keys that are tested here.
pub(super) const TESTED: &[&str] = &[
    "quorum.auth.enableSasl",
    "quorum.auth.kerberos.servicePrincipal",
    "quorum.auth.learner.saslLoginContext",
    "quorum.auth.learnerRequireSasl",
    "quorum.auth.server.saslLoginContext",
    "quorum.auth.serverRequireSasl",
    "quorum.cnxn.threads.size",
];

const MEMBERS: &str =
    "initLimit=10\nsyncLimit=5\nserver.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n";
const FILE: &str = "java.security.auth.login.config=/jaas\n";
const ON: &str = "quorum.auth.enableSasl=true\n";
const ALL: &str =
    "quorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=yes\nquorum.auth.serverRequireSasl=true\n";
const JAAS: &str = "QuorumServer { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
    user_zk=\"one\" user_old=\"two\"; };\n\
    QuorumLearner { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
    username=\"zk\" password=\"three\"; };\n\
    Nameless { org.apache.zookeeper.server.auth.DigestLoginModule required password=\"p\"; };\n\
    Own { com.example.Module required; };\n\
    Krb { com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true\n\
    keyTab=\"/etc/zk.keytab\" principal=\"zkquorum/a@EXAMPLE.ORG\"; };\n\
    Cache { com.sun.security.auth.module.Krb5LoginModule required useTicketCache=true\n\
    principal=\"zkquorum/a@EXAMPLE.ORG\"; };\n";

fn load(lines: &str) -> Result<Loaded, ConfigError> {
    load_text(&format!("dataDir=/d\nclientPort=2181\n{lines}"), &[("/d/myid", "1"), ("/jaas", JAAS)], &[])
}

fn sasl(lines: &str) -> Option<QuorumSasl> {
    load(&format!("{MEMBERS}{FILE}{lines}")).unwrap().config.quorum_sasl
}

#[test]
fn sasl_between_servers_is_configured_as_in_zookeeper() {
    let all = sasl(ALL).unwrap();
    assert!(all.is_dialled && all.is_required);
    let Mechanism::DigestMd5(users) = &all.accepts else { panic!("{all:?}") };
    let users: Vec<_> = users.iter().map(|(user, password)| (user.as_str(), password.reveal())).collect();
    assert_eq!(users, [("zk", "one"), ("old", "two")]);
    let password = Secret::new("three");
    assert_eq!(all.login, QuorumLogin::DigestMd5 { user: "zk".into(), password });
    assert!(!format!("{all:?}").contains("three"), "passwords are in no message");
    assert_eq!(all.threads_max, 20);
    let on = sasl(ON).unwrap();
    assert!(!on.is_dialled && !on.is_required);
    let sized = |count| sasl(&format!("{ON}quorum.cnxn.threads.size={count}")).unwrap().threads_max;
    assert_eq!([10, 30, 5_000].map(sized), [20, 30, 1_000], "fewer than 20 count as 20, in ZooKeeper too");
    let shown = load(&format!("{MEMBERS}{FILE}{ALL}")).unwrap().warnings;
    assert!(shown.is_empty(), "the file needs no section for clients: {shown:?}");
}

#[test]
fn sections_and_principals_of_servers() {
    let sections =
        "quorum.auth.server.saslLoginContext=Krb\nquorum.auth.learner.saslLoginContext=Krb\n".to_owned();
    let login = |service: &str| {
        let sasl = sasl(&format!("{ON}{sections}{service}")).unwrap();
        assert!(
            matches!(&sasl.accepts, Mechanism::Kerberos(key) if key.principal == "zkquorum/a@EXAMPLE.ORG")
        );
        let QuorumLogin::Kerberos { keytab, principal, service } = sasl.login else { panic!() };
        assert_eq!((keytab.as_str(), principal.as_str()), ("/etc/zk.keytab", "zkquorum/a@EXAMPLE.ORG"));
        QuorumLogin::service_at(&service, "ZK2.example.org", &principal)
    };
    let key = "quorum.auth.kerberos.servicePrincipal";
    assert_eq!(login(""), "zkquorum/localhost@EXAMPLE.ORG");
    assert_eq!(login(&format!("{key}=zk/_HOST")), "zk/zk2.example.org@EXAMPLE.ORG");
    // As in ZooKeeper, which takes only a whole component for the pattern.
    assert_eq!(login(&format!("{key}=zk/_HOST@OTHER.ORG")), "zk/_HOST@OTHER.ORG");
    assert_eq!(login(&format!("{key}=zk/one@OTHER.ORG")), "zk/one@OTHER.ORG");
}

#[test]
fn what_sasl_between_servers_lacks_is_told() {
    let learner = "quorum.auth.learner.saslLoginContext";
    let server = "quorum.auth.server.saslLoginContext";
    for (lines, key, expected) in [
        (
            "quorum.auth.serverRequireSasl=true",
            "quorum.auth.serverRequireSasl",
            "needs quorum.auth.enableSasl",
        ),
        (
            "quorum.auth.learnerRequireSasl=true",
            "quorum.auth.learnerRequireSasl",
            "needs quorum.auth.enableSasl",
        ),
        (
            &format!("{ON}quorum.auth.serverRequireSasl=true"),
            "quorum.auth.serverRequireSasl",
            "needs quorum.auth.learnerRequireSasl=true",
        ),
        ("quorum.auth.enableSasl=1", "quorum.auth.enableSasl", "must be true or false"),
        (&format!("{ON}{server}=Absent"), server, "needs the section Absent"),
        (&format!("{ON}{learner}=Absent"), learner, "needs the section Absent"),
        (
            &format!("{ON}{learner}=Nameless"),
            "java.security.auth.login.config",
            "needs username and password",
        ),
        (&format!("{ON}{learner}=Own"), "java.security.auth.login.config", "not com.example.Module"),
        (&format!("{ON}{server}=Own"), "java.security.auth.login.config", "not com.example.Module"),
        (&format!("{ON}{learner}=Cache"), "java.security.auth.login.config", "needs keyTab"),
        (
            &format!("{ON}{learner}=Krb\nquorum.auth.kerberos.servicePrincipal=zkquorum"),
            "quorum.auth.kerberos.servicePrincipal",
            "must be such as zkquorum/_HOST",
        ),
    ] {
        let problems = problems_of(load(&format!("{MEMBERS}{FILE}{lines}\n")));
        assert_eq!(problems.len(), 1, "{lines}: {problems:?}");
        assert_eq!(problems[0].key, key, "{lines}");
        assert!(problems[0].to_string().contains(expected), "{lines}: {}", problems[0]);
    }
    let problems = problems_of(load(&format!("{MEMBERS}{ON}")));
    assert!(problems[0].to_string().contains("needs the file java.security.auth.login.config"));
}

#[test]
fn one_server_needs_no_sasl_for_others() {
    let loaded = load(&format!("{FILE}{ALL}")).unwrap();
    assert_eq!(loaded.config.quorum_sasl, None);
    let shown: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(shown.iter().any(|line| line.contains("has no effect: there is one server")), "{shown:?}");
}
