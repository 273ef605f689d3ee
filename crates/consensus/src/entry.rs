//! The types of the replicated log: position, entry, and the other state that must survive a crash.

use bytes::Bytes;

/// Identity of a member within its group. Zero is no member. In a Paxos group ids are below
/// [`MEMBER_ID_LIMIT`](crate::paxos::MEMBER_ID_LIMIT).
///
/// MUST never be reused with another disk: a member that lost its disk has forgotten its votes, and
/// under its old id could vote twice in one term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// A place in the log: the index numbers entries from 1, the term numbers leaderships.
///
/// If two logs of a group hold the same position, they hold the same entries up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Compared first: of two logs, the one whose last entry has the higher term is the newer one.
    pub term: u64,
    /// Index of the entry; 0 is the place before the first one.
    pub index: u64,
}

/// What an entry is for. The numbers are stored and sent, and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// Bytes of a proposal, never empty.
    Command = 0,
    /// The empty entry that starts a leadership. Once it is committed, the fate of every proposal
    /// of earlier leaderships is decided: it is at a lower index, or will never be in the log.
    Leadership = 1,
    /// A membership change, in the engine's encoding. The host stores it and otherwise ignores it.
    Membership = 2,
}

impl EntryKind {
    /// The kind with that number; `None` if the number is unknown.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Command),
            1 => Some(Self::Leadership),
            2 => Some(Self::Membership),
            _ => None,
        }
    }
}

/// One entry of the log. Cloning it shares the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place in the log; entries are contiguous.
    pub index: u64,
    /// Term of the leader that appended it; never decreases along the log.
    pub term: u64,
    /// What it is for.
    pub kind: EntryKind,
    /// Empty exactly for [`EntryKind::Leadership`].
    pub data: Bytes,
}

impl Entry {
    /// The entry's term and index.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { term: self.term, index: self.index }
    }
}

/// What a member must persist besides the log, so that a crash cannot make it vote twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// Latest term this member has seen.
    pub term: u64,
    /// The candidate it voted for in that term. Always `None` with Paxos, where each ballot belongs
    /// to one member.
    pub vote: Option<MemberId>,
    /// Entries up to this index are committed. After a crash this is only a hint (a lower value is
    /// safe), except that it is flushed before a membership change takes effect.
    pub commit: u64,
}
