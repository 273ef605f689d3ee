//! A key or trust store of any bytes: a key with its certificates, or an error that says something.
//! The first byte tells whether the rest is the whole file, the entries of a file of Java, whose
//! checksum is not compared without a password, or the content of a PEM file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tls::{Certificate, Entry, Secret};

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, content)) = bytes.split_first() else { return };
    let (file, password) = match kind % 4 {
        0 => (content.to_vec(), "changeit"),
        1 => ([b"\xfe\xed\xfe\xed", content, &[0; 20]].concat(), ""),
        2 => ([b"-----BEGIN CERTIFICATE-----\n", content, b"\n-----END CERTIFICATE-----\n"].concat(), ""),
        _ => ([b"-----BEGIN ", content].concat(), "changeit"),
    };
    match Entry::read(&file, &Secret::new(password)) {
        Ok(entry) => {
            assert!(!entry.chain.is_empty());
            for certificate in entry.chain.iter().filter_map(|der| Certificate::parse(der)) {
                let _ = (certificate.subject_name(), tls::is_valid_for(&certificate, "localhost"));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(certificate) = Certificate::parse(content) {
        let _ = (certificate.subject_name(), tls::is_valid_for(&certificate, "localhost"));
    }
});
