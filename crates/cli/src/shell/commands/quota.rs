//! Quotas, as znodes below `/zookeeper/quota` that the server counts by.
//!
//! The server knows nothing of a chroot, so the paths of quotas, and those in the answers, are the
//! server's.

use std::fmt;

use client::{CreateMode, Session};
use serde_json::{Value, json};
use wire::{ErrorCode, acl, path};

use super::children::subtree;
use super::data::{existing, without_parent};
use super::{Outcome, Spec, join, path_operand};
use crate::shell::Shell;
use crate::shell::failure::Failure;
use crate::shell::options::{Opt, Parsed};
use crate::shell::output::Output;

const ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

const JSON: &str = "path, limits and usage {count, bytes, countHardLimit, byteHardLimit; -1 for none}";

pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "listquota",
        usage: "path",
        about: "Prints the quota of a znode and what is used of it.",
        json: JSON,
        options: &[],
        operands: 1..=1,
        run: list_quota,
    },
    Spec {
        name: "setquota",
        usage: "-n|-b|-N|-B val path",
        about: "Limits a znode and its descendants: -n their number and -b their bytes, which the server only complains \
                about, -N and -B the same as hard limits, which it enforces if told so by enforceQuota.",
        json: "path, limits as of 'listquota', warnings (texts)",
        options: &[Opt::Value("n"), Opt::Value("b"), Opt::Value("N"), Opt::Value("B")],
        operands: 1..=1,
        run: set_quota,
    },
    Spec {
        name: "delquota",
        usage: "[-n|-b|-N|-B] path",
        about: "Removes the quota of a znode, or those parts of it.",
        json: "path",
        options: &[Opt::Flag("n"), Opt::Flag("b"), Opt::Flag("N"), Opt::Flag("B")],
        operands: 1..=1,
        run: del_quota,
    },
];

/// What the znodes of a quota say; -1 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Track {
    count: i64,
    bytes: i64,
    count_hard: i64,
    bytes_hard: i64,
}

impl Track {
    const NONE: Self = Self { count: -1, bytes: -1, count_hard: -1, bytes_hard: -1 };

    /// Reads the text of a quota. Parts that are unknown or not numbers are skipped, because a
    /// newer server may have more.
    fn parse(data: Option<&[u8]>) -> Self {
        let mut track = Self::NONE;
        let text = String::from_utf8_lossy(data.unwrap_or_default());
        for part in text.split([',', ';']) {
            let mut sides = part.split('=');
            let name = sides.next().unwrap_or_default();
            if let (Some(field), Some(Ok(number))) = (track.field(name), sides.next().map(str::parse)) {
                *field = number;
            }
        }
        track
    }

    fn field(&mut self, name: &str) -> Option<&mut i64> {
        match name {
            "count" => Some(&mut self.count),
            "bytes" => Some(&mut self.bytes),
            "countHardLimit" => Some(&mut self.count_hard),
            "byteHardLimit" => Some(&mut self.bytes_hard),
            _ => None,
        }
    }

    /// The field an option of the commands means.
    fn option(&mut self, name: &str) -> &mut i64 {
        match name {
            "n" => &mut self.count,
            "b" => &mut self.bytes,
            "N" => &mut self.count_hard,
            _ => &mut self.bytes_hard,
        }
    }

    fn json(&self) -> Value {
        json!({
            "count": self.count, "bytes": self.bytes,
            "countHardLimit": self.count_hard, "byteHardLimit": self.bytes_hard,
        })
    }
}

impl fmt::Display for Track {
    /// As ZooKeeper's `StatsTrack` writes it, with the odd `=` by which servers older than hard
    /// limits notice that they do not understand them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.count, self.bytes)?;
        if self.count_hard != -1 || self.bytes_hard != -1 {
            f.write_str("=")?;
        }
        if self.bytes_hard != -1 {
            write!(f, ";byteHardLimit={}", self.bytes_hard)?;
        }
        if self.count_hard != -1 {
            write!(f, ";countHardLimit={}", self.count_hard)?;
        }
        Ok(())
    }
}

/// The znode below which the quota of `path` is kept.
fn quota_path(path: &str) -> String {
    if path == "/" { ROOT.to_owned() } else { format!("{ROOT}{path}") }
}

/// The session, and the operand as the path of a znode, both without the chroot.
fn place_of(shell: &mut Shell, parsed: &Parsed) -> Result<(Session, String), Failure> {
    let path = path_operand(parsed, 0)?;
    let session = shell.session()?;
    let full = session.connect_string().server_path(path).into_owned();
    Ok((session.without_chroot(), full))
}

fn missing(path: &str) -> Failure {
    Failure::refused_because(ErrorCode::NoNode, path, format!("quota for {path} does not exist."))
}

fn list_quota(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let (session, path) = &place_of(shell, parsed)?;
    let place = quota_path(path);
    let limits_path = join(&place, LIMITS);
    let read = |at: &str| match session.get_data(at, false) {
        Err(error) if error.code() == Some(ErrorCode::NoNode) => Err(missing(path)),
        result => Ok(Track::parse(result?.0.as_deref())),
    };
    let limits = read(&limits_path)?;
    let usage = read(&join(&place, STATS))?;
    Ok(Output::default()
        .field("path", path.as_str())
        .field("limits", limits.json())
        .field("usage", usage.json())
        .line(format!("absolute path is {limits_path}"))
        .line(format!("Output quota for {path} {limits}"))
        .line(format!("Output stat for {path} {usage}")))
}

fn set_quota(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let wanted = wanted(parsed)?;
    let (session, path) = &place_of(shell, parsed)?;
    if path == ROOT || path.starts_with("/zookeeper/quota/") {
        return Err(Failure::Usage(format!("cannot set a quota under the path: {ROOT}")));
    }
    existing(session, path, false)?;
    refuse_nesting(session, path)?;
    let place = quota_path(path);
    let limits_path = join(&place, LIMITS);
    let limits = match session.get_data(&limits_path, false) {
        Ok((data, _)) => {
            let mut limits = Track::parse(data.as_deref());
            for &(option, value) in &wanted {
                *limits.option(option) = value;
            }
            session.set_data(&limits_path, Some(limits.to_string().as_bytes()), -1)?;
            limits
        }
        Err(error) if error.code() == Some(ErrorCode::NoNode) => {
            let mut limits = Track::NONE;
            for &(option, value) in &wanted {
                *limits.option(option) = value;
            }
            create_quota(session, &place, limits)?;
            limits
        }
        Err(error) => return Err(error.into()),
    };
    let (data, _) = session.get_data(&join(&place, STATS), false)?;
    let output = Output::default().field("path", path.as_str()).field("limits", limits.json());
    Ok(warn(output, limits, Track::parse(data.as_deref())))
}

/// The limits asked for, as options and values.
fn wanted(parsed: &Parsed) -> Result<Vec<(&'static str, i64)>, Failure> {
    let mut wanted = Vec::new();
    for (option, least) in [("n", 1), ("b", 0), ("N", 1), ("B", 0)] {
        match parsed.number::<i64>(option)? {
            Some(value) if value < least => {
                return Err(Failure::Usage(format!("-{option} must be at least {least}, not {value}")));
            }
            Some(value) => wanted.push((option, value)),
            None => {}
        }
    }
    if wanted.is_empty() {
        return Err(Failure::Usage("at least one of -n, -b, -N and -B is needed".to_owned()));
    }
    Ok(wanted)
}

/// Refuses a quota below or above another one, which the server itself does not do.
fn refuse_nesting(session: &Session, path: &str) -> Result<(), Failure> {
    let refuse = |relation: &str, other: &str| {
        let message = format!("{path} has a {relation} {other} which has a quota");
        Err(Failure::refused_because(ErrorCode::BadArguments, path, message))
    };
    // A quota on the root is no obstacle: it is how an ensemble gets a limit of its own.
    let mut above = path::parent(path);
    while above != "/" {
        if session.exists(&join(&quota_path(above), LIMITS), false)?.is_some() {
            return refuse("parent", above);
        }
        above = path::parent(above);
    }
    let place = quota_path(path);
    let below = match subtree(session, &place) {
        Err(error) if error.code() == Some(ErrorCode::NoNode) => return Ok(()),
        result => result?,
    };
    for found in below {
        let owner = path::parent(&found);
        if path::name(&found) == LIMITS && owner != place {
            return refuse("child", &owner[ROOT.len()..]);
        }
    }
    Ok(())
}

fn create_quota(session: &Session, place: &str, limits: Track) -> Result<(), Failure> {
    let ensure = |at: &str, data: Option<&[u8]>| {
        // Checked first, because a create without permission is refused even if there is nothing to
        // create.
        if matches!(session.exists(at, false), Ok(Some(_))) {
            return Ok(());
        }
        match session.create(at, data, &acl::open_acl(), CreateMode::Persistent) {
            Err(error) if error.code() == Some(ErrorCode::NodeExists) => Ok(()),
            result => result.map(drop).map_err(|error| without_parent(error, at)),
        }
    };
    for (slash, _) in place.match_indices('/').skip(1) {
        ensure(&place[..slash], None)?;
    }
    ensure(place, None)?;
    // The server starts to count when the limits appear, and writes what it counts to the other
    // znode.
    ensure(&join(place, LIMITS), Some(limits.to_string().as_bytes()))?;
    ensure(&join(place, STATS), Some(b"count=0,bytes=0"))
}

/// Adds zkCli's warnings about limits that are exceeded from the start.
fn warn(mut output: Output, limits: Track, usage: Track) -> Output {
    let exceeded = |soft: i64, hard: i64, used: i64| (soft > -1 && soft < used) || (hard > -1 && hard < used);
    let mut warnings = Vec::new();
    if exceeded(limits.count, limits.count_hard, usage.count) {
        warnings.push(format!("the count quota you create is less than the existing count:{}", usage.count));
    }
    if exceeded(limits.bytes, limits.bytes_hard, usage.bytes) {
        warnings.push(format!("the bytes quota you create is less than the existing bytes:{}", usage.bytes));
    }
    for warning in &warnings {
        output = output.line(format!("[Warning]: {warning}"));
    }
    output.field("warnings", warnings)
}

fn del_quota(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let (session, path) = &place_of(shell, parsed)?;
    let place = quota_path(path);
    let limits_path = join(&place, LIMITS);
    let mut limits = match session.get_data(&limits_path, false) {
        Err(error) if error.code() == Some(ErrorCode::NoNode) => return Err(missing(path)),
        result => Track::parse(result?.0.as_deref()),
    };
    let options: Vec<&str> = ["n", "b", "N", "B"].into_iter().filter(|option| parsed.has(option)).collect();
    if options.is_empty() {
        session.delete(&limits_path, -1)?;
        session.delete(&join(&place, STATS), -1)?;
        trim(session, &place)?;
    } else {
        for option in options {
            *limits.option(option) = -1;
        }
        session.set_data(&limits_path, Some(limits.to_string().as_bytes()), -1)?;
    }
    Ok(Output::default().field("path", path.as_str()))
}

/// Deletes the nodes that no quota needs any more, upwards.
fn trim(session: &Session, place: &str) -> Result<(), Failure> {
    let mut place = place;
    while place != ROOT {
        match session.delete(place, -1) {
            Ok(()) => place = path::parent(place),
            Err(error) if error.code() == Some(ErrorCode::NotEmpty) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_reads_and_writes_as_zookeeper_does() {
        for text in [
            "count=-1,bytes=-1",
            "count=5,bytes=-1",
            "count=5,bytes=-1=;byteHardLimit=7",
            "count=5,bytes=1=;byteHardLimit=7;countHardLimit=8",
        ] {
            assert_eq!(Track::parse(Some(text.as_bytes())).to_string(), text);
        }
        assert_eq!(Track::parse(None), Track::NONE);
        assert_eq!(Track::parse(Some(b"count=x,new=4;bytes=2")), Track { bytes: 2, ..Track::NONE });
    }

    #[test]
    fn limits_have_a_least_value_and_one_is_needed() {
        let parse = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            wanted(&Parsed::new(&words, SPECS[1].options).unwrap())
        };
        assert_eq!(parse(&["-n", "5", "-B", "0"]).unwrap(), [("n", 5), ("B", 0)]);
        for wrong in [&[][..], &["-n", "0"], &["-b", "-1"], &["-N", "x"]] {
            assert!(matches!(parse(wrong), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }
}
