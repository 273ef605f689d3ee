//! The audit log.

use std::path::{Path, PathBuf};

use super::fields::Loader;
use super::limits;

/// The file's name in the data directory, unless `ostler.audit.file` says otherwise.
const FILE: &str = "zookeeper_audit.log";

/// ZooKeeper's own audit loggers. Both write to its log; the older one is of 3.8 and before.
const LOGGERS: [&str; 2] =
    ["org.apache.zookeeper.audit.Slf4jAuditLogger", "org.apache.zookeeper.audit.Log4jAuditLogger"];

/// The audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Where it goes.
    pub place: AuditPlace,
    /// `ostler.audit.fileBytesMax`: bytes of a file, above which the next one begins.
    pub file_bytes_max: u64,
    /// `ostler.audit.filesKept`: files that are kept beside the current one.
    pub files_kept: u32,
    /// `ostler.audit.reads`: reads are audited too.
    pub reads: bool,
}

/// Where the audit log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditPlace {
    /// `ostler.audit.file`: as text, to this file.
    File(PathBuf),
    /// `ostler.audit.json=stdout`: as JSON, to standard output.
    StandardOutput,
}

impl Loader<'_> {
    pub(super) fn audit(&mut self, data_dir: &Path) -> Option<Audit> {
        let s = &mut *self.settings;
        let is_on = s.flag_property("audit.enable", false);
        let file = s.text("ostler.audit.file").filter(|file| !file.is_empty());
        let json = s.choice("ostler.audit.json", &[("stdout", ())]);
        let file_bytes_max = s.number("ostler.audit.fileBytesMax", 1 << 16..=1 << 40, "bytes");
        let files_kept = s.number("ostler.audit.filesKept", 0..=1000, "files");
        let reads = s.flag("ostler.audit.reads", false);
        let class = s.text("audit.impl.class").filter(|class| !class.is_empty());
        if !is_on {
            return None;
        }
        if class.is_some_and(|class| !LOGGERS.contains(&class.as_str())) {
            let allowed =
                format!("must be {}, or not set: Java classes cannot be loaded", LOGGERS.join(" or "));
            s.refuse("audit.impl.class", allowed);
        }
        if file.is_some() && json.is_some() {
            s.refuse("ostler.audit.json", "must not be set together with ostler.audit.file");
        }
        let file = || AuditPlace::File(file.map_or_else(|| data_dir.join(FILE), PathBuf::from));
        Some(Audit {
            place: json.map_or_else(file, |()| AuditPlace::StandardOutput),
            file_bytes_max: file_bytes_max.unwrap_or(limits::AUDIT_FILE_BYTES_MAX),
            files_kept: files_kept.unwrap_or(limits::AUDIT_FILES_KEPT),
            reads,
        })
    }
}
