//! How much memory the process may use, for defaults that depend on it.

use std::path::Path;

use super::loader::Outside;

/// Bytes of memory of the machine, or of the process's control group if that is less; `None` if the
/// system does not tell.
pub(super) fn memory_bytes(outside: &dyn Outside) -> Option<u64> {
    let read = |path: &str| String::from_utf8(outside.read(Path::new(path)).ok()?).ok();
    let machine = read("/proc/meminfo").and_then(|text| total_bytes(&text));
    // Inside a container its own group is the root of the visible hierarchy.
    let group = read("/proc/self/cgroup").and_then(|text| group_of(&text)).unwrap_or_default();
    let limits = [
        format!("/sys/fs/cgroup{group}/memory.max"),
        "/sys/fs/cgroup/memory.max".to_owned(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned(),
    ];
    let limits = limits.iter().filter_map(|path| read(path)?.trim().parse().ok());
    limits.chain(machine).min()
}

fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

fn group_of(cgroup: &str) -> Option<String> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::IpAddr;

    use super::*;

    struct Files(&'static [(&'static str, &'static str)]);

    impl Outside for Files {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            let found = self.0.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| text.as_bytes().to_vec()).ok_or(io::ErrorKind::NotFound.into())
        }

        fn resolve(&self, _: &str) -> io::Result<IpAddr> {
            unreachable!("no test resolves a host")
        }
    }

    #[test]
    fn the_smallest_limit_counts() {
        const MACHINE: &[(&str, &str)] = &[("/proc/meminfo", "MemFree: 5 kB\nMemTotal:       16000000 kB\n")];
        assert_eq!(memory_bytes(&Files(&[])), None);
        assert_eq!(memory_bytes(&Files(MACHINE)), Some(16_384_000_000));
        const UNIT: &[(&str, &str)] = &[
            ("/proc/meminfo", "MemTotal:       16000000 kB\n"),
            ("/proc/self/cgroup", "0::/system.slice/ostler.service\n"),
            ("/sys/fs/cgroup/system.slice/ostler.service/memory.max", "2147483648\n"),
        ];
        assert_eq!(memory_bytes(&Files(UNIT)), Some(2 << 30));
        const CONTAINER: &[(&str, &str)] = &[
            ("/proc/meminfo", "MemTotal:       16000000 kB\n"),
            ("/proc/self/cgroup", "0::/\n"),
            ("/sys/fs/cgroup/memory.max", "max\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"),
        ];
        assert_eq!(memory_bytes(&Files(CONTAINER)), Some(1 << 30));
    }
}
