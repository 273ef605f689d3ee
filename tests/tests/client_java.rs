//! ZooKeeper's own Java client, and Curator with its recipes on top of it.

use std::path::Path;

use ostler_tests::client::{install, run};

#[test]
fn java_clients_cannot_tell_the_server_from_zookeeper() {
    let Some(folder) = install("java", &["java", "javac", "mvn"]) else { return };
    for program in ["Plain", "Recipes"] {
        java(&folder, program);
    }
}

fn java(folder: &Path, program: &str) {
    let class_path = format!("{0}/classes:{0}/lib/*", folder.display());
    let quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";
    // These programs are short: more time goes into starting them than into running them.
    run(
        Path::new("java"),
        &["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", quiet, "-cp", &class_path, program],
    );
}
