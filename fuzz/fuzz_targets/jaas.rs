//! A JAAS file of any bytes: sections whose options can be read, or an error that shows no value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sasl::jaas::JaasFile;

fuzz_target!(|bytes: &[u8]| match JaasFile::parse(bytes) {
    Ok(file) => {
        for module in ["Server", "A", ""].into_iter().filter_map(|name| file.section(name)).flatten() {
            assert!(module.options().all(|(key, _)| module.option(key).is_some()));
        }
    }
    Err(error) => assert!(!error.to_string().is_empty()),
});
