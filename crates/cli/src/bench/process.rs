//! What a process has used so far, from `/proc`.

use std::fs;
use std::io;

/// What a process has used since it started, all threads together, including those that have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Usage {
    /// User and system time, in seconds. The system counts in hundredths.
    pub(super) cpu_seconds: f64,
    /// Voluntary and involuntary context switches of the threads alive.
    pub(super) switches: u64,
    /// Resident memory now, in bytes.
    pub(super) resident_bytes: u64,
}

impl Usage {
    /// Reads the usage of process `pid`.
    ///
    /// # Errors
    /// There is no such process, or `/proc` has an unexpected format.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mut switches = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between the listing and the read.
            if let Ok(status) = fs::read_to_string(task?.path().join("status")) {
                switches += sum(&status, "ctxt_switches");
            }
        }
        let cpu_ticks =
            cpu_ticks(&stat).ok_or_else(|| io::Error::other("/proc/PID/stat has an unknown form"))?;
        Ok(Self {
            cpu_seconds: cpu_ticks as f64 / ticks,
            switches,
            resident_bytes: sum(&status, "VmRSS") << 10,
        })
    }

    /// What two processes have used together.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            switches: self.switches + other.switches,
            resident_bytes: self.resident_bytes + other.resident_bytes,
        }
    }

    /// What was used since `earlier`. Memory is that of now.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            switches: self.switches.saturating_sub(earlier.switches),
            resident_bytes: self.resident_bytes,
        }
    }
}

/// utime + stime. The second field is a name in parentheses that may have anything in it, so
/// counting starts behind it.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// Sum of the numbers in the lines whose key ends with `key`.
fn sum(status: &str, key: &str) -> u64 {
    status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.ends_with(key))
        .filter_map(|(_, value)| value.split_ascii_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 2 3 4 120 30 9 9 20 0 5 0 1000 1 1";
        assert_eq!(cpu_ticks(stat), Some(150));
    }

    #[test]
    fn both_kinds_of_context_switches_count() {
        let status = "VmRSS:\t  2048 kB\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t2\n";
        assert_eq!((sum(status, "ctxt_switches"), sum(status, "VmRSS")), (7, 2048));
    }

    #[test]
    fn this_process_uses_what_it_works() {
        let before = Usage::of(std::process::id()).unwrap();
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 60 {}
        let used = Usage::of(std::process::id()).unwrap().since(&before);
        assert!(used.cpu_seconds > 0.01, "{used:?}");
        assert!(used.resident_bytes > 100_000, "{used:?}");
        assert!(Usage::of(u32::MAX).is_err());
    }
}
