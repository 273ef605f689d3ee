//! What the system reports about this process.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Open file descriptors; 0 if the system does not tell.
pub(crate) fn open_files() -> u64 {
    // Reading the directory opens one itself.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1)) as u64
}

/// The limit of file descriptors; 0 if the system does not tell.
pub(crate) fn open_files_max() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let max = line.and_then(|line| line.split_whitespace().next()).and_then(|soft| soft.parse().ok());
    max.unwrap_or(0)
}

/// Bytes of virtual memory.
pub(crate) fn virtual_bytes() -> u64 {
    kib(&status(), "VmSize:") << 10
}

/// Bytes of memory in use.
pub(crate) fn resident_bytes() -> u64 {
    kib(&status(), "VmRSS:") << 10
}

fn status() -> String {
    fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// The number after a name in the files of /proc that list `Name: 123 kB`; 0 if it is missing.
fn kib(text: &str, name: &str) -> u64 {
    let rest = text.lines().find_map(|line| line.strip_prefix(name));
    rest.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The version that this server reports: that of the ZooKeeper it behaves like, then its own.
pub(crate) fn version() -> String {
    // Parsers expect a build date; the modification time of the executable comes closest.
    let built =
        std::env::current_exe().and_then(fs::metadata).and_then(|file| file.modified()).unwrap_or(UNIX_EPOCH);
    let at = crate::date::Date::of_ms(ms_since_1970(built));
    format!("3.9.5-ostler-{}, built on {}", env!("CARGO_PKG_VERSION"), at.minute())
}

fn ms_since_1970(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// The entries of `envi`, under ZooKeeper's names; those of a Java virtual machine are `<NA>`, as
/// ZooKeeper prints unknown values.
pub(crate) fn environment() -> Vec<(&'static str, String)> {
    const UNKNOWN: &str = "<NA>";
    let file = |path| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let variable = |name| std::env::var(name).ok();
    let or_unknown =
        |value: Option<String>| value.filter(|text| !text.is_empty()).unwrap_or_else(|| UNKNOWN.to_owned());
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let status = status();
    let mib = |kib: u64| format!("{}MB", kib >> 10);
    let directory = std::env::current_dir().ok().map(|dir| dir.display().to_string());
    vec![
        ("zookeeper.version", version()),
        ("host.name", or_unknown(file("/proc/sys/kernel/hostname"))),
        ("java.version", UNKNOWN.to_owned()),
        ("java.vendor", UNKNOWN.to_owned()),
        ("java.home", UNKNOWN.to_owned()),
        ("java.class.path", UNKNOWN.to_owned()),
        ("java.library.path", UNKNOWN.to_owned()),
        ("java.io.tmpdir", std::env::temp_dir().display().to_string()),
        ("java.compiler", UNKNOWN.to_owned()),
        ("os.name", or_unknown(file("/proc/sys/kernel/ostype"))),
        ("os.arch", std::env::consts::ARCH.to_owned()),
        ("os.version", or_unknown(file("/proc/sys/kernel/osrelease"))),
        ("user.name", or_unknown(variable("USER"))),
        ("user.home", or_unknown(variable("HOME"))),
        ("user.dir", or_unknown(directory)),
        ("os.memory.free", mib(kib(&memory, "MemAvailable:"))),
        ("os.memory.max", mib(kib(&memory, "MemTotal:"))),
        ("os.memory.total", mib(kib(&status, "VmRSS:"))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_begins_with_the_number_parsers_look_for() {
        let version = version();
        assert!(version.starts_with("3.9.5-ostler-"), "{version}");
        assert!(version.contains(", built on 2") && version.ends_with(" UTC"), "{version}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_has_files_and_memory() {
        let (open, max) = (open_files(), open_files_max());
        assert!(open >= 3 && max >= open, "{open} of {max}");
        assert!(resident_bytes() > 0 && virtual_bytes() >= resident_bytes());
    }

    #[test]
    fn numbers_are_found_in_proc_files() {
        assert_eq!(kib("VmRSS:\t  12 kB\nVmSize:\t 34 kB\n", "VmSize:"), 34);
        assert_eq!(kib("", "VmSize:"), 0);
    }
}
