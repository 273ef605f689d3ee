//! A zoo.cfg of any bytes: either a configuration that keeps its promises, or a list of what is
//! wrong with it.
#![no_main]

use std::io;
use std::net::IpAddr;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use server::config::{CommandLine, ConfigError, Outside, load_with};

/// The input is every file there is, but for `myid`: its number is how many bytes the input has.
/// Names of hosts are not looked up.
struct OneFile<'a>(&'a [u8]);

impl Outside for OneFile<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.0.len() as u8 {
            _ if !path.ends_with("myid") => Ok(self.0.to_vec()),
            0 => Err(io::ErrorKind::NotFound.into()),
            number => Ok(number.to_string().into_bytes()),
        }
    }

    fn resolve(&self, host: &str) -> io::Result<IpAddr> {
        if host.len() % 2 == 0 { Ok([192, 0, 2, 1].into()) } else { Err(io::Error::other("no such host")) }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let definitions =
        bytes.split(|&byte| byte == 0).skip(1).take(4).map(|part| String::from_utf8_lossy(part).into_owned());
    let command_line = CommandLine {
        config: Some("zoo.cfg".into()),
        definitions: definitions.collect(),
        ..CommandLine::default()
    };
    match load_with(&command_line, &OneFile(bytes)) {
        Ok(loaded) => {
            let config = loaded.config;
            assert!(config.tick_time_ms > 0);
            assert!(config.session.timeout_ms_min <= config.session.timeout_ms_max);
            assert!(config.storage.segment_bytes >= 2 * u64::from(config.connection.request_bytes_max));
            assert!(config.storage.snapshots_kept >= 3 && config.storage.snapshot_commands >= 2);
            assert!(!config.requests.extended_types || config.server_id <= 254);
            if let Some(ensemble) = config.ensemble {
                assert!(ensemble.members.len() >= 2 && ensemble.voters().count() >= 1);
                assert!(ensemble.members.contains_key(&config.server_id));
                assert!(3 * ensemble.heartbeat_ms < ensemble.election_timeout_ms);
            }
            for warning in loaded.warnings {
                assert!(!warning.to_string().is_empty());
            }
        }
        Err(error @ ConfigError::Invalid(_)) => assert!(error.to_string().lines().count() >= 2),
        Err(ConfigError::Unreadable { .. }) => unreachable!("every file can be read"),
    }
});
