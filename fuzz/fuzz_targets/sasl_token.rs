//! Tokens of DIGEST-MD5, for both sides; a byte 0 ends each one. Nobody who does not know the
//! password is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sasl::Secret;
use sasl::digest_md5::{Client, Server, Service, Step};

fuzz_target!(|bytes: &[u8]| {
    let password = Secret::new("an unlikely password");
    let mut server = Server::new(Service::CLIENTS, [7; 24]);
    let mut client = Client::new(Service::CLIENTS, "bob", password.clone(), [9; 24]);
    for token in bytes.split(|&byte| byte == 0).take(8) {
        let step = server.step(token, |user| (user != "nobody").then_some(&password));
        assert!(!matches!(step, Ok(Step::Accepted(_))));
        assert_ne!(client.step(token), Ok(None));
    }
});
