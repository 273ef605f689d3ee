//! The nouns of the agreed log: position, entry, what else must survive a crash.

use bytes::Bytes;

/// Identity of a member within its group. Zero is no member, and in a Paxos group ids are below
/// [`MEMBER_ID_LIMIT`](crate::paxos::MEMBER_ID_LIMIT).
///
/// MUST never be given to another disk: a member that lost its disk has forgotten its votes, and under its old id it
/// could vote a second time in the same term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// A place in the log: the index counts entries from 1, the term counts leaderships.
///
/// Two logs of a group that hold the same position hold the same entries up to it.
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
    /// The empty entry which starts a leadership. Once it is committed, every proposal of an earlier leadership is
    /// decided: it is at a lower index, or it will never be in the log.
    Leadership = 1,
    /// A change of the members, in the engine's encoding. The host stores it and otherwise ignores it.
    Membership = 2,
}

impl EntryKind {
    /// The kind with that number, if there is one.
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
    /// Leadership that appended it; never falls along the log.
    pub term: u64,
    /// What it is for.
    pub kind: EntryKind,
    /// Empty exactly for [`EntryKind::Leadership`].
    pub data: Bytes,
}

impl Entry {
    /// Where the entry stands.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { term: self.term, index: self.index }
    }
}

/// What a member must remember besides the log, so that a crash cannot make it vote twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// Latest term this member has seen.
    pub term: u64,
    /// Whom it voted for in that term. Never anybody with Paxos, where a term belongs to one member from the start.
    pub vote: Option<MemberId>,
    /// Entries up to this index are agreed. Only a hint after a crash (a lower value is safe), except that it is
    /// flushed before a change of the members takes effect.
    pub commit: u64,
}
