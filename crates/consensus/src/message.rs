//! The messages between members of a Raft group. `codec` documents their byte format.
//!
//! Paxos has its own messages, see [`paxos::message`](crate::paxos::message); each engine refuses
//! those of the other.

use bytes::Bytes;

use crate::codec::{
    HEADER_BYTES, Header, Reader, entries_capacity, put_entries, put_name, put_option, put_position, put_u64,
    read_entries,
};
use crate::engine::StepError;
use crate::entry::{Entry, MemberId, Position};
use crate::membership::SnapshotMeta;

/// Version of the format; a member refuses versions it does not know.
pub const VERSION: u8 = 1;
/// Terms and indexes from a peer must be below this, so that adding to them cannot overflow.
pub const POSITION_LIMIT: u64 = 1 << 62;

/// Identifies one read request of one member; never reused. A leader counts the echoes of a name as
/// proof that it still leads, so an echo of an older request under the same name would prove
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadName {
    /// The member that asks.
    pub member: MemberId,
    /// Its boot nonce: which run of the process.
    pub boot_nonce: u64,
    /// Number of the request within that run, from 1.
    pub counter: u64,
}

/// A message with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Group it concerns.
    pub group: u64,
    /// Sender.
    pub from: MemberId,
    /// Receiver.
    pub to: MemberId,
    /// Term of the sender; for votes the term voted on; 0 for a forwarded read, which has no term.
    pub term: u64,
    /// Kind and content.
    pub body: Body,
}

/// Kind and content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Leader: append these entries after `previous`…
    Append {
        /// Position before the first entry.
        previous: Position,
        /// The leader's commit.
        commit: u64,
        /// Contiguous, from `previous.index + 1`.
        entries: Vec<Entry>,
    },
    /// …and the follower has flushed them up to `index`, or does not have `previous`.
    AppendReply {
        /// Last index known to match the leader's log; of a refusal, the index of the refused
        /// `previous`.
        index: u64,
        /// The follower's commit.
        commit: u64,
        /// Where the logs may match, when they did not at `previous`.
        refused: Option<Position>,
    },
    /// Leader: I still lead…
    Heartbeat {
        /// The leader's commit, but at most what this follower is known to hold.
        commit: u64,
        /// The newest open read request.
        read: Option<ReadName>,
    },
    /// …and I still follow.
    HeartbeatReply {
        /// The follower's commit.
        commit: u64,
        /// Echoed from the heartbeat.
        read: Option<ReadName>,
    },
    /// Candidate: vote for me…
    Vote {
        /// A pre-vote: only asks whether an election would be won; no term or vote changes.
        trial: bool,
        /// The old leader requested it (leadership transfer): voters need not first miss that
        /// leader.
        transfer: bool,
        /// The candidate's last entry.
        last: Position,
        /// The candidate's commit.
        commit: Position,
    },
    /// …yes or no.
    VoteReply {
        /// As in the request.
        trial: bool,
        /// Whether the vote is refused.
        refused: bool,
        /// The voter's commit, in a refusal.
        commit: Position,
    },
    /// Leader: the entries you lack are compacted here; fetch this snapshot.
    Snapshot(SnapshotMeta),
    /// Leader: stand for election now (leadership transfer).
    CampaignNow,
    /// Follower to leader: up to which index must I have applied to answer a read?
    ReadAsk(ReadName),
    /// Leader to follower: up to this index.
    ReadAnswer {
        /// As in the request.
        name: ReadName,
        /// The commit when the leader received the request.
        index: u64,
    },
}

impl Message {
    /// Encodes the message.
    ///
    /// # Panics
    /// If entries do not follow `previous` without gaps, or the data of one is 4 GiB or longer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.body.capacity());
        let Self { group, from, to, term, .. } = *self;
        Header { group, from, to, term }.put(&mut out, VERSION, self.body.kind());
        self.body.encode(&mut out);
        out.into()
    }

    /// Reads what [`encode`](Self::encode) wrote. The entries' data are slices of `bytes`.
    ///
    /// # Errors
    /// [`StepError::Version`], [`StepError::OtherEngine`], or [`StepError::Malformed`] for anything
    /// no encoder would write.
    pub fn decode(bytes: Bytes) -> Result<Self, StepError> {
        let mut reader = Reader::new(bytes);
        let (Header { group, from, to, term }, kind) = Header::read(&mut reader, VERSION)?;
        let body = Body::decode(kind, &mut reader)?;
        reader.finish()?;
        let message = Self { group, from, to, term, body };
        message.check()?;
        Ok(message)
    }

    /// Refuses combinations of fields that no correct member sends.
    fn check(&self) -> Result<(), StepError> {
        let without_term = matches!(self.body, Body::ReadAsk(_));
        if (self.term == 0) != without_term {
            return Err(StepError::Malformed("term"));
        }
        // The `raft` crate reports term 0 for every position beyond the log.
        let nowhere = match &self.body {
            Body::Append { previous, .. } => previous.term == 0 && previous.index > 0,
            Body::Snapshot(meta) => meta.position.term == 0,
            _ => false,
        };
        if nowhere {
            return Err(StepError::Malformed("position without a term"));
        }
        let term_max = match &self.body {
            // The terms of a log only rise, so its last entry has the highest.
            Body::Append { previous, entries, .. } => entries.last().map_or(previous.term, |last| last.term),
            Body::AppendReply { refused: Some(hint), .. } => hint.term,
            Body::Vote { last, commit, .. } => {
                if commit.index > last.index || commit.term > last.term {
                    return Err(StepError::Malformed("commit behind the last entry"));
                }
                last.term
            }
            Body::VoteReply { commit, .. } => commit.term,
            Body::Snapshot(meta) => meta.position.term,
            Body::ReadAsk(name) if name.member != self.from => {
                return Err(StepError::Malformed("read of another member"));
            }
            _ => 0,
        };
        if term_max > self.term {
            return Err(StepError::Malformed("entry of a later term"));
        }
        Ok(())
    }
}

impl Body {
    /// The numbers are part of the format and never change.
    fn kind(&self) -> u8 {
        match self {
            Self::Append { .. } => 1,
            Self::AppendReply { .. } => 2,
            Self::Heartbeat { .. } => 3,
            Self::HeartbeatReply { .. } => 4,
            Self::Vote { .. } => 5,
            Self::VoteReply { .. } => 6,
            Self::Snapshot(_) => 7,
            Self::CampaignNow => 8,
            Self::ReadAsk(_) => 9,
            Self::ReadAnswer { .. } => 10,
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Append { entries, .. } => entries_capacity(entries) + 28,
            _ => 40,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Append { previous, commit, entries } => {
                put_position(out, *previous);
                put_u64(out, *commit);
                put_entries(out, entries, *previous);
            }
            Self::AppendReply { index, commit, refused } => {
                put_u64(out, *index);
                put_u64(out, *commit);
                put_option(out, *refused, put_position);
            }
            Self::Heartbeat { commit, read } | Self::HeartbeatReply { commit, read } => {
                put_u64(out, *commit);
                put_option(out, *read, put_name);
            }
            Self::Vote { trial, transfer, last, commit } => {
                out.extend([u8::from(*trial), u8::from(*transfer)]);
                put_position(out, *last);
                put_position(out, *commit);
            }
            Self::VoteReply { trial, refused, commit } => {
                out.extend([u8::from(*trial), u8::from(*refused)]);
                put_position(out, *commit);
            }
            Self::Snapshot(meta) => meta.encode(out),
            Self::CampaignNow => {}
            Self::ReadAsk(name) => put_name(out, *name),
            Self::ReadAnswer { name, index } => {
                put_name(out, *name);
                put_u64(out, *index);
            }
        }
    }

    fn decode(kind: u8, reader: &mut Reader) -> Result<Self, StepError> {
        Ok(match kind {
            1 => {
                let previous = reader.position()?;
                let commit = reader.limited()?;
                Self::Append { previous, commit, entries: read_entries(reader, previous)? }
            }
            2 => Self::AppendReply {
                index: reader.limited()?,
                commit: reader.limited()?,
                refused: reader.option(Reader::position)?,
            },
            3 => Self::Heartbeat { commit: reader.limited()?, read: reader.option(Reader::name)? },
            4 => Self::HeartbeatReply { commit: reader.limited()?, read: reader.option(Reader::name)? },
            5 => Self::Vote {
                trial: reader.bool()?,
                transfer: reader.bool()?,
                last: reader.position()?,
                commit: reader.position()?,
            },
            6 => {
                Self::VoteReply { trial: reader.bool()?, refused: reader.bool()?, commit: reader.position()? }
            }
            7 => Self::Snapshot(SnapshotMeta::read(reader)?),
            8 => Self::CampaignNow,
            9 => Self::ReadAsk(reader.name()?),
            10 => Self::ReadAnswer { name: reader.name()?, index: reader.limited()? },
            _ => return Err(StepError::Malformed("unknown kind")),
        })
    }
}

impl ReadName {
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        put_name(&mut out, self);
        out
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
        let name = reader.name().ok()?;
        reader.finish().ok()?;
        Some(name)
    }
}
