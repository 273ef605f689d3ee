//! Opening the log: which records count, which a crash left half written, and which are damaged.
//!
//! Records are read in order up to the first position `x` that has no valid record and does not
//! follow a seal. Everything after `x` is searched for valid heads. If one of them states that the
//! log was on disk beyond `x` (its `synced to` > `x`), then the bytes at `x` were lost after they
//! were safe: that is damage, and the log is not opened. Otherwise nothing after `x` was ever
//! acknowledged: it is the tail of a flush that a crash interrupted, and `x` is the end of the log.
//!
//! Damage within the very last flush before a crash cannot be distinguished, since nothing written
//! after it could vouch for it. [`Log::close`](super::Log::close) therefore appends a mark, which
//! vouches for everything.
//!
//! Valid heads in the torn tail would be read as records once new records lead up to them, so they
//! are overwritten with zeros. Later segments that contain any are removed from the log, the last
//! one first, so that a crash during the repair leaves no gap. Finally, everything read is synced:
//! after a crash of the process alone it may never have reached the disk.

use super::error::OpenError;
use super::needed::Needed;
use super::record::{HEAD_BYTES, Position, Record, Tag};
use super::segment::{RECORDS_START, Scanner, Segment, Stray, file_name, parse_file_name};
use super::segment_pool::SegmentPool;
use crate::disk::{Disk, Mode};
use crate::io_failure::IoFailure;
use std::path::{Path, PathBuf};

/// What opening the log found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Number of records passed to the visitor.
    pub records: u64,
    /// Number of segments that contain them.
    pub segments: usize,
    /// The tail of an interrupted flush that was cut off; `None` if the log ended cleanly.
    pub repaired: Option<Repaired>,
}

/// The repair of an interrupted flush: valid records after the first invalid one were dropped. None
/// of them was ever acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The segment's file.
    pub path: PathBuf,
    /// Where the log now ends.
    pub offset: u32,
    /// Number of valid records dropped.
    pub dropped: u64,
}

/// The state of the log on disk.
pub(crate) struct Found {
    pub(crate) needed: Needed,
    /// The segment to continue writing, and its end. `None` if there was no log.
    pub(crate) current: Option<(Segment, u32)>,
    pub(crate) recovered: Recovered,
}

/// The sequence numbers of the segments in `names`, which must be consecutive.
pub(crate) fn sequences(dir: &Path, names: &[String]) -> Result<Vec<u32>, OpenError> {
    let mut sequences: Vec<u32> = names.iter().filter_map(|name| parse_file_name(name)).collect();
    sequences.sort_unstable();
    for pair in sequences.windows(2) {
        if pair[0] + 1 != pair[1] {
            return Err(OpenError::Missing { path: dir.join(file_name(pair[0] + 1)) });
        }
    }
    Ok(sequences)
}

/// Reads the whole log, decides where it ends and repairs its tail.
pub(crate) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    sequences: &[u32],
    reserve: &mut SegmentPool,
    visit: &mut dyn FnMut(Record<'_>),
) -> Result<Found, OpenError> {
    let mut segments = Vec::new();
    for sequence in sequences {
        let opened = Segment::open(disk, dir, *sequence, Mode::Write);
        segments.push(
            opened.map_err(|source| OpenError::Header { path: dir.join(file_name(*sequence)), source })?,
        );
    }
    let mut recovered = Recovered::default();
    let mut needed = Needed::default();
    let mut synced_to = Position { segment: 0, offset: 0 };
    let mut segments = segments.into_iter();
    let mut before = Vec::new();
    while let Some(segment) = segments.next() {
        let read = read_segment(&segment, &mut synced_to, &mut needed, &mut recovered, visit)?;
        if let End::Sealed = read {
            needed.seal(segment.sequence, segment.len);
            before.push(segment);
            continue;
        }
        let End::At(end) = read else { unreachable!("there are two ends") };
        let later: Vec<Segment> = segments.collect();
        recovered.repaired = cut_tail(&segment, end, later, reserve)?;
        recovered.segments = needed.sealed() + usize::from(end > RECORDS_START);
        // Records that no later one vouches for may never have been synced.
        for unsure in before.iter().filter(|segment| segment.sequence >= synced_to.segment).chain([&segment])
        {
            unsure.file.sync_data().map_err(IoFailure::of(&unsure.path, "sync"))?;
        }
        return Ok(Found { needed, current: Some((segment, end)), recovered });
    }
    match before.last() {
        None => Ok(Found { needed, current: None, recovered }),
        // A seal is written only once its successor is on disk.
        Some(last) => Err(OpenError::Missing { path: dir.join(file_name(last.sequence.saturating_add(1))) }),
    }
}

enum End {
    Sealed,
    At(u32),
}

fn read_segment(
    segment: &Segment,
    synced_to: &mut Position,
    needed: &mut Needed,
    recovered: &mut Recovered,
    visit: &mut dyn FnMut(Record<'_>),
) -> Result<End, OpenError> {
    let mut scanner = Scanner::new(segment);
    let mut offset = RECORDS_START;
    loop {
        let record = scanner.record(offset).map_err(IoFailure::of(&segment.path, "read"))?;
        // `synced_to` never decreases; a record with a lower one is from an earlier use of the
        // file.
        let Some((head, body)) = record.filter(|(head, _)| head.synced_to >= *synced_to) else {
            return Ok(End::At(offset));
        };
        let unknown = || OpenError::Unknown { path: segment.path.clone(), offset, tag: head.tag };
        *synced_to = head.synced_to;
        match Tag::from_u8(head.tag).ok_or_else(unknown)? {
            Tag::Seal => return Ok(End::Sealed),
            Tag::Mark => {}
            tag => {
                let record = Record::decode(tag, body).ok_or_else(unknown)?;
                needed.count(&record);
                recovered.records += 1;
                visit(record);
            }
        }
        // A segment's length fits 32 bits and the record lies within it.
        offset += (HEAD_BYTES + head.body_len) as u32;
    }
}

/// Ends the log at `end` of `segment`: verifies that nothing safe was lost there, and removes what
/// could later be taken for records.
fn cut_tail(
    segment: &Segment,
    end: u32,
    later: Vec<Segment>,
    reserve: &mut SegmentPool,
) -> Result<Option<Repaired>, OpenError> {
    let here = strays(segment, end, segment.at(end), &segment.path)?;
    let mut dropped = here.count;
    let mut later_strays = 0;
    for other in &later {
        later_strays += strays(other, RECORDS_START, segment.at(end), &segment.path)?.count;
    }
    dropped += later_strays;
    let next_sequence = segment.sequence.saturating_add(1);
    let mut ready = None;
    for other in later.into_iter().rev() {
        if later_strays == 0 && other.sequence == next_sequence {
            ready = Some(other);
        } else {
            reserve.discard(other.sequence, other.len).map_err(|error| error.0)?;
        }
    }
    if let Some(zero_to) = here.end {
        let zeros = vec![0; (zero_to - end) as usize];
        segment.file.write_at(&zeros, u64::from(end)).map_err(IoFailure::of(&segment.path, "repair"))?;
    }
    reserve.resume(next_sequence, ready);
    Ok((dropped > 0).then(|| Repaired { path: segment.path.clone(), offset: end, dropped }))
}

#[derive(Default)]
struct Strays {
    count: u64,
    /// End of the last head.
    end: Option<u32>,
}

/// The valid heads of `segment` from `start` on. It is damage if one vouches for `end`, a position
/// in the file `path`.
fn strays(segment: &Segment, start: u32, end: Position, path: &Path) -> Result<Strays, OpenError> {
    let mut strays = Strays::default();
    let mut proof = None;
    let search = Scanner::new(segment).strays(start, &mut |Stray { offset, synced_to }| {
        strays.count += 1;
        strays.end = Some(offset + HEAD_BYTES as u32);
        if synced_to > end && proof.is_none() {
            proof = Some(offset);
        }
    });
    search.map_err(IoFailure::of(&segment.path, "read"))?;
    match proof {
        None => Ok(strays),
        Some(proof_offset) => Err(OpenError::Damaged {
            path: path.to_owned(),
            offset: end.offset,
            proof_path: segment.path.clone(),
            proof_offset,
        }),
    }
}
