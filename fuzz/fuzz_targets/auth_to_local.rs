//! Rules of `security.auth_to_local`, and behind a byte 0 the name of a principal. A name that a
//! rule has changed is a simple one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sasl::kerberos::{Naming, Rules};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (rules, name) = text.split_once('\0').unwrap_or((&text, "zookeeper/host@EXAMPLE.ORG"));
    let Ok(rules) = Rules::parse(rules, "EXAMPLE.ORG") else { return };
    let naming = Naming { rules, remove_host: true, remove_realm: true };
    if let Some(identity) = naming.identity(name) {
        assert!(identity == name || !identity.contains(['/', '@']));
    }
});
