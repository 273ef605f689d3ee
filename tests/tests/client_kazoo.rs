//! kazoo, the Python client, with its recipes.

use ostler_tests::client::{install, run, source};

#[test]
fn kazoo_cannot_tell_the_server_from_zookeeper() {
    let Some(python) = install("python", &["python3"]) else { return };
    run(&python, &[source("python").join("client.py").to_str().expect("a printable path")]);
}
