//! Inspecting a data directory without changing it, for people and scripts.

use crate::disk::{Disk, Mode};
use crate::io_failure::IoFailure;
use crate::log::{
    HEAD_BYTES, HeaderError, OpenError, Position, RECORDS_START, Record, Scanner, Segment, Tag,
};
use crate::log::{file_name, parse_file_name};
use std::path::{Path, PathBuf};

/// A segment of the log.
#[derive(Debug)]
pub struct SegmentReport {
    /// Its sequence number.
    pub sequence: u32,
    /// Its file.
    pub path: PathBuf,
    /// The file's length if the header is valid, otherwise what is wrong with it.
    pub header: Result<u64, HeaderError>,
}

/// One valid record.
#[derive(Debug)]
pub struct RecordReport<'a> {
    /// Its start.
    pub position: Position,
    /// Its length in bytes.
    pub len: usize,
    /// The log was on disk up to here when the record was written.
    pub synced_to: Position,
    /// Its kind as a number, which may be unknown.
    pub tag: u8,
    /// Its content; `None` for seals, marks and unknown kinds.
    pub record: Option<Record<'a>>,
}

/// Where reading a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentEnd {
    /// End of the last valid record.
    pub offset: u32,
    /// Whether the last record is a seal, so that the log continues in the next segment.
    pub sealed: bool,
}

/// The segments in the log directory `dir`, oldest first.
///
/// # Errors
/// The directory cannot be listed.
pub fn segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<SegmentReport>, OpenError> {
    let names = disk.list(dir).map_err(IoFailure::of(dir, "list"))?;
    let sequences = names.iter().filter_map(|name| parse_file_name(name));
    let mut reports: Vec<SegmentReport> = sequences
        .map(|sequence| SegmentReport {
            sequence,
            path: dir.join(file_name(sequence)),
            header: Segment::open(disk, dir, sequence, Mode::Read).map(|segment| segment.len),
        })
        .collect();
    reports.sort_unstable_by_key(|report| report.sequence);
    Ok(reports)
}

/// Passes the records of one segment to `visit`, up to the first invalid one.
///
/// # Errors
/// The segment cannot be read.
pub fn records(
    disk: &dyn Disk,
    dir: &Path,
    sequence: u32,
    visit: &mut dyn FnMut(RecordReport<'_>),
) -> Result<SegmentEnd, OpenError> {
    let path = dir.join(file_name(sequence));
    let segment = Segment::open(disk, dir, sequence, Mode::Read)
        .map_err(|source| OpenError::Header { path: path.clone(), source })?;
    let mut scanner = Scanner::new(&segment);
    let mut offset = RECORDS_START;
    while let Some((head, body)) = scanner.record(offset).map_err(IoFailure::of(&path, "read"))? {
        let tag = Tag::from_u8(head.tag);
        let len = HEAD_BYTES + body.len();
        let record = tag.and_then(|tag| Record::decode(tag, body));
        visit(RecordReport {
            position: segment.at(offset),
            len,
            synced_to: head.synced_to,
            tag: head.tag,
            record,
        });
        offset += len as u32;
        if tag == Some(Tag::Seal) {
            return Ok(SegmentEnd { offset, sealed: true });
        }
    }
    Ok(SegmentEnd { offset, sealed: false })
}
