//! Quotas: limits on the nodes and bytes under a path, and the current counts.
//!
//! A quota on `/p` consists of two ordinary nodes: `/zookeeper/quota/p/zookeeper_limits` with the
//! limits, and `/zookeeper/quota/p/zookeeper_stats` with the count, both text such as
//! `count=4,bytes=100`. ZooKeeper rewrites the text of the stats node at every change below `/p`.
//! Here the count is two numbers, turned into text only when a client reads the node; the data in
//! the tree are ignored until a client itself sets them.
//!
//! Without any quota this costs one comparison per write.

use std::collections::BTreeMap;

use wire::code::ErrorCode;

use crate::path_lengths::PathLengths;
use crate::tree::NodeId;

/// Root of the quota nodes.
pub const QUOTA_ROOT: &str = "/zookeeper/quota";
/// Name of the nodes with limits.
pub(crate) const LIMITS_NAME: &str = "zookeeper_limits";
const STATS_NAME: &str = "zookeeper_stats";

/// The content of a limits or stats node. -1 means not given, as in ZooKeeper's `StatsTrack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// Number of nodes: the count, or the soft limit.
    pub count: i64,
    /// Bytes of data: the count, or the soft limit.
    pub bytes: i64,
    /// Maximum number of nodes.
    pub count_hard_limit: i64,
    /// Maximum bytes of data.
    pub byte_hard_limit: i64,
}

impl Track {
    const EMPTY: Self = Self { count: -1, bytes: -1, count_hard_limit: -1, byte_hard_limit: -1 };

    /// Parses the text; `None` if it is not `key=number` pairs separated by commas or semicolons.
    /// Unknown keys are skipped, and text after `bytes=5=` is ignored (ZooKeeper's compatibility
    /// with older readers).
    pub fn parse(data: &[u8]) -> Option<Self> {
        let mut track = Self::EMPTY;
        let text = std::str::from_utf8(data).ok()?;
        for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
            let mut parts = pair.split('=');
            let (key, value) = (parts.next()?, parts.next()?);
            let value = if value.is_empty() { -1 } else { value.parse().ok()? };
            match key {
                "count" => track.count = value,
                "bytes" => track.bytes = value,
                "countHardLimit" => track.count_hard_limit = value,
                "byteHardLimit" => track.byte_hard_limit = value,
                _ => {}
            }
        }
        Some(track)
    }
}

/// What follows the quota root in the path of a node below it. `/zookeeper/quotas` begins with the
/// same letters and is a node like any other.
fn below_root(path: &str) -> Option<&str> {
    path.strip_prefix(QUOTA_ROOT).filter(|below| below.starts_with('/'))
}

/// The two kinds of nodes that make up a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QuotaNode<'a> {
    Limits(&'a str),
    Stats(&'a str),
}

impl<'a> QuotaNode<'a> {
    /// The node's kind and the path it limits or counts. That path is "" for nodes directly under
    /// the quota root, which ZooKeeper refuses: they limit nothing.
    fn of(path: &'a str) -> Option<Self> {
        let (limited, name) = below_root(path)?.rsplit_once('/')?;
        match name {
            LIMITS_NAME => Some(Self::Limits(limited)),
            STATS_NAME => Some(Self::Stats(limited)),
            _ => None,
        }
    }
}

/// Refuses data that would make a quota node unreadable, as the newest ZooKeeper does; an older one
/// stops working when it reads such data.
pub(crate) fn check_data(path: &str, data: Option<&[u8]>) -> Result<(), ErrorCode> {
    match QuotaNode::of(path) {
        Some(QuotaNode::Limits("") | QuotaNode::Stats("")) => Err(ErrorCode::BadArguments),
        Some(_) if Track::parse(data.unwrap_or_default()).is_none() => Err(ErrorCode::BadArguments),
        _ => Ok(()),
    }
}

/// The count of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// The stats node.
    pub(crate) node: NodeId,
    pub(crate) count: i64,
    pub(crate) bytes: i64,
    /// Whether the count hides the node's data in the tree. False from when a client sets the data
    /// until the next change below the quota.
    pub(crate) hides_data: bool,
}

#[derive(Debug, Default)]
struct Quota {
    limits: Option<Track>,
    count: Option<Count>,
}

/// All quotas, by path.
#[derive(Debug, Default)]
pub struct Quotas {
    /// Invariant: a quota has limits or a count.
    quotas: BTreeMap<Box<str>, Quota>,
    /// Invariant: the lengths of the paths with limits.
    lengths: PathLengths,
    /// Paths by stats node. Invariant: matches the counts in `quotas`.
    by_node: BTreeMap<NodeId, Box<str>>,
}

impl Quotas {
    /// Whether changes must be reported here: a quota exists, or the path is below the quota root.
    #[inline]
    pub(crate) fn concerns(&self, path: &str) -> bool {
        !self.quotas.is_empty() || below_root(path).is_some()
    }

    /// The text that replaces the node's data, if it is a stats node.
    #[inline]
    pub(crate) fn shown(&self, node: NodeId) -> Option<String> {
        if self.by_node.is_empty() {
            return None;
        }
        let count = self.quotas[self.by_node.get(&node)?].count?;
        count.hides_data.then(|| format!("count={},bytes={}", count.count, count.bytes))
    }

    /// Refuses a change that would exceed a hard limit of the deepest quota above `path`. `bytes`
    /// and `nodes` are what the change adds. As in ZooKeeper, each operation of a multi is compared
    /// with the count before the multi.
    pub(crate) fn check(&self, path: &str, bytes: i64, nodes: i64) -> Result<(), ErrorCode> {
        let Some(Quota { limits: Some(limits), count: Some(count) }) = self.deepest(path) else {
            return Ok(());
        };
        let exceeds =
            |limit: i64, now: i64, more: i64| more != 0 && limit > -1 && now.saturating_add(more) > limit;
        if exceeds(limits.count_hard_limit, count.count, nodes)
            || exceeds(limits.byte_hard_limit, count.bytes, bytes)
        {
            return Err(ErrorCode::QuotaExceeded);
        }
        Ok(())
    }

    /// Records the creation of a node. `recount` counts nodes and bytes under a path, including
    /// itself; it is called only if the node is a new stats node.
    pub(crate) fn created(
        &mut self,
        path: &str,
        node: NodeId,
        data: Option<&[u8]>,
        recount: impl FnOnce(&str) -> (i64, i64),
    ) {
        let data = data.unwrap_or_default();
        match QuotaNode::of(path) {
            Some(QuotaNode::Limits(limited)) => self.set_limits(limited, Track::parse(data)),
            Some(QuotaNode::Stats(limited)) => {
                let (count, bytes) = recount(limited);
                self.set_count(limited, Count { node, count, bytes, hides_data: true });
            }
            None => {}
        }
        self.add(path, data.len() as i64, 1);
    }

    /// Records new data; `old_bytes` is the length of the previous data.
    pub(crate) fn data_set(&mut self, path: &str, node: NodeId, old_bytes: usize, data: Option<&[u8]>) {
        let data = data.unwrap_or_default();
        match QuotaNode::of(path) {
            Some(QuotaNode::Limits(limited)) => self.set_limits(limited, Track::parse(data)),
            Some(QuotaNode::Stats(limited)) => {
                let Track { count, bytes, .. } = Track::parse(data).unwrap_or(Track::EMPTY);
                self.set_count(limited, Count { node, count, bytes, hides_data: false });
            }
            None => {}
        }
        self.add(path, data.len() as i64 - old_bytes as i64, 0);
    }

    /// Records the deletion of a node with this many bytes of data.
    pub(crate) fn deleted(&mut self, path: &str, node: NodeId, bytes: usize) {
        match QuotaNode::of(path) {
            Some(QuotaNode::Limits(limited)) => {
                self.set_limits(limited, None);
                self.drop_empty(limited);
            }
            Some(QuotaNode::Stats(limited)) => {
                self.by_node.remove(&node);
                self.entry(limited).count = None;
                self.drop_empty(limited);
            }
            None => {}
        }
        self.add(path, -(bytes as i64), -1);
    }

    /// Restores the limits of a loaded tree.
    pub(crate) fn load_limits(&mut self, path: &str, data: Option<&[u8]>) {
        if let Some(QuotaNode::Limits(limited)) = QuotaNode::of(path) {
            self.set_limits(limited, Track::parse(data.unwrap_or_default()));
        }
    }

    /// Restores a count. False if the node at `path` is not a stats node.
    #[must_use]
    pub(crate) fn load_count(&mut self, path: &str, count: Count) -> bool {
        let Some(QuotaNode::Stats(limited)) = QuotaNode::of(path) else { return false };
        self.set_count(limited, count);
        true
    }

    /// All counts, by the counted path.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, Count)> {
        self.quotas.iter().filter_map(|(path, quota)| Some((&**path, quota.count?)))
    }

    fn entry(&mut self, limited: &str) -> &mut Quota {
        self.quotas.entry(limited.into()).or_default()
    }

    fn set_limits(&mut self, limited: &str, limits: Option<Track>) {
        match (std::mem::replace(&mut self.entry(limited).limits, limits), limits) {
            (None, Some(_)) => self.lengths.add(limited),
            (Some(_), None) => self.lengths.remove(limited),
            _ => {}
        }
    }

    fn set_count(&mut self, limited: &str, count: Count) {
        self.by_node.insert(count.node, limited.into());
        self.entry(limited).count = Some(count);
    }

    fn drop_empty(&mut self, limited: &str) {
        if let Some(Quota { limits: None, count: None }) = self.quotas.get(limited) {
            self.quotas.remove(limited);
        }
    }

    fn add(&mut self, path: &str, bytes: i64, nodes: i64) {
        let Some(limited) = self.deepest_path(path) else { return };
        let length = limited.len();
        let quota = self.quotas.get_mut(&path[..length]).expect("the deepest quota was found above");
        if let Some(count) = &mut quota.count {
            count.count = count.count.saturating_add(nodes);
            count.bytes = count.bytes.saturating_add(bytes);
            count.hides_data = true;
        }
    }

    fn deepest(&self, path: &str) -> Option<&Quota> {
        self.quotas.get(self.deepest_path(path)?)
    }

    /// The longest prefix of `path` with limits; quotas above it do not apply.
    fn deepest_path<'p>(&self, path: &'p str) -> Option<&'p str> {
        let has_limits = |path: &&str| self.quotas.get(*path).is_some_and(|quota| quota.limits.is_some());
        self.lengths.candidates(path).find(has_limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_44_text_of_limits_and_stats() {
        let parse = |text: &str| Track::parse(text.as_bytes());
        let all = Track { count: 4, bytes: 5, count_hard_limit: 10, byte_hard_limit: 11 };
        assert_eq!(parse("count=4,bytes=5=;byteHardLimit=11;countHardLimit=10"), Some(all));
        assert_eq!(parse("count=4,bytes=5"), Some(Track { count: 4, bytes: 5, ..Track::EMPTY }));
        assert_eq!(parse(""), Some(Track::EMPTY));
        for bad in ["count", "count=x", "count=1,bytes", "other=y"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn rule_44_nodes_that_make_up_a_quota() {
        assert_eq!(QuotaNode::of("/zookeeper/quota/a/b/zookeeper_limits"), Some(QuotaNode::Limits("/a/b")));
        assert_eq!(QuotaNode::of("/zookeeper/quota/a/zookeeper_stats"), Some(QuotaNode::Stats("/a")));
        assert_eq!(QuotaNode::of("/zookeeper/quota/a"), None);
        assert_eq!(QuotaNode::of("/zookeeper_stats"), None);
        assert_eq!(QuotaNode::of("/zookeeper/quotas/zookeeper_limits"), None);
        assert_eq!(QuotaNode::of("/zookeeper/quotas/a/zookeeper_stats"), None);
        assert_eq!(check_data("/zookeeper/quota/zookeeper_stats", Some(b"")), Err(ErrorCode::BadArguments));
        assert_eq!(
            check_data("/zookeeper/quota/a/zookeeper_limits", Some(b"x")),
            Err(ErrorCode::BadArguments)
        );
        assert_eq!(check_data("/zookeeper/quota/a/other", Some(b"x")), Ok(()));
    }
}
