//! The messages between members of a Paxos group. `codec` documents their byte format.

use bytes::Bytes;

use super::ballot;
use crate::codec::{
    HEADER_BYTES, Header, Reader, entries_capacity, put_entries, put_name, put_option, put_position, put_u64,
    read_entries,
};
use crate::engine::StepError;
use crate::entry::{Entry, EntryKind, MemberId, Position};
use crate::membership::{Membership, MembershipChange, SnapshotMeta};
use crate::message::ReadName;

/// Version of the format; a member refuses versions it does not know. The top bit tells it from a
/// Raft message.
pub const VERSION: u8 = 0x81;

/// A message with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Group it concerns.
    pub group: u64,
    /// Sender.
    pub from: MemberId,
    /// Receiver.
    pub to: MemberId,
    /// Highest ballot the sender has promised; in a trial, the ballot on trial.
    pub ballot: u64,
    /// Kind and content.
    pub body: Body,
}

/// Kind and content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Proposer, phase 1: promise to accept nothing of lower ballots…
    Prepare {
        /// Only asks whether the promise would be made; no promise changes.
        trial: bool,
        /// The old leader requested it (leadership transfer): acceptors need not first miss that
        /// leader.
        transfer: bool,
    },
    /// …promised; and this is the state of my log…
    Promise {
        /// As in the request.
        trial: bool,
        /// What the acceptor has accepted.
        log_state: AcceptedLog,
    },
    /// …then send me those of your entries that I lack…
    Fetch {
        /// The proposer has this entry, and wants those after it; or, if the acceptor has a
        /// different entry there…
        after: Position,
        /// …those after its commit.
        commit: Position,
    },
    /// …here is the next part of them.
    Suffix {
        /// Position before the first entry.
        previous: Position,
        /// Contiguous, from `previous.index + 1`.
        entries: Vec<Entry>,
    },
    /// Leader, phase 2: accept these entries after `previous`…
    Accept {
        /// Position before the first entry.
        previous: Position,
        /// The leader's commit.
        commit: u64,
        /// Contiguous, from `previous.index + 1`.
        entries: Vec<Entry>,
    },
    /// …accepted and flushed, all up to `index`…
    Accepted {
        /// Last index that matches the leader's log.
        index: u64,
    },
    /// …or not, since I do not have `previous`.
    Refused {
        /// Index of `previous`.
        previous: u64,
        /// Where the logs may match.
        hint: Position,
    },
    /// Leader: everything up to `commit` is chosen.
    Chosen {
        /// The leader's commit.
        commit: u64,
    },
    /// Leader: I still lead…
    Heartbeat {
        /// The leader's commit.
        commit: u64,
        /// Index up to which the follower is known to have flushed the leader's log.
        matched: u64,
        /// The newest open read request.
        read: Option<ReadName>,
    },
    /// …and I still follow.
    HeartbeatReply {
        /// The follower's log matches the leader's up to here…
        received: u64,
        /// …and is flushed up to here.
        accepted: u64,
        /// Echoed from the heartbeat.
        read: Option<ReadName>,
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
    /// I have promised a higher ballot than yours.
    Outdated,
}

/// The extent of what an acceptor has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedLog {
    /// The position before its first entry; chosen up to here.
    pub before: Position,
    /// Its commit.
    pub commit: Position,
    /// Its last entry.
    pub last: Position,
}

impl Message {
    /// Encodes the message.
    ///
    /// # Panics
    /// If entries do not follow `previous` without gaps, or the data of one is 4 GiB or longer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Self { group, from, to, ballot, .. } = *self;
        let mut out = Vec::with_capacity(HEADER_BYTES + self.body.capacity());
        Header { group, from, to, term: ballot }.put(&mut out, VERSION, self.body.kind());
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
        let (Header { group, from, to, term: ballot }, kind) = Header::read(&mut reader, VERSION)?;
        let body = Body::decode(kind, &mut reader)?;
        reader.finish()?;
        let message = Self { group, from, to, ballot, body };
        message.check()?;
        Ok(message)
    }

    /// Refuses combinations of fields that no correct member sends.
    fn check(&self) -> Result<(), StepError> {
        if [self.from, self.to].iter().any(|member| member.0 >= ballot::MEMBER_ID_LIMIT) || self.ballot == 0 {
            return Err(StepError::Malformed("member or ballot"));
        }
        if self.body.is_from_proposer() && ballot::proposer(self.ballot) != self.from {
            return Err(StepError::Malformed("ballot of another member"));
        }
        match &self.body {
            Body::Accept { entries, .. } | Body::Suffix { entries, .. } => {
                entries.iter().try_for_each(|entry| check_entry(entry, self.ballot))
            }
            Body::Snapshot(meta) => {
                let Membership { voters, learners } = &meta.membership;
                check_members(voters.iter().chain(learners))
            }
            _ => Ok(()),
        }
    }
}

fn check_entry(entry: &Entry, ballot: u64) -> Result<(), StepError> {
    if entry.term > ballot {
        return Err(StepError::Malformed("entry of a later ballot"));
    }
    if entry.kind == EntryKind::Membership {
        check_members([MembershipChange::from_bytes(&entry.data)?.member()].iter())?;
    }
    Ok(())
}

fn check_members<'a>(mut members: impl Iterator<Item = &'a MemberId>) -> Result<(), StepError> {
    if members.any(|member| member.0 >= ballot::MEMBER_ID_LIMIT) {
        return Err(StepError::Malformed("member id too large"));
    }
    Ok(())
}

impl Body {
    /// Whether only the proposer of the message's ballot sends it.
    fn is_from_proposer(&self) -> bool {
        match self {
            Self::Prepare { .. } | Self::Fetch { .. } | Self::Accept { .. } | Self::Chosen { .. } => true,
            Self::Heartbeat { .. } | Self::Snapshot(_) | Self::CampaignNow => true,
            Self::Promise { .. } | Self::Suffix { .. } | Self::Accepted { .. } | Self::Refused { .. } => {
                false
            }
            Self::HeartbeatReply { .. } | Self::ReadAsk(_) | Self::ReadAnswer { .. } | Self::Outdated => {
                false
            }
        }
    }

    /// The numbers are part of the format and never change.
    fn kind(&self) -> u8 {
        match self {
            Self::Prepare { .. } => 1,
            Self::Promise { .. } => 2,
            Self::Fetch { .. } => 3,
            Self::Suffix { .. } => 4,
            Self::Accept { .. } => 5,
            Self::Accepted { .. } => 6,
            Self::Refused { .. } => 7,
            Self::Chosen { .. } => 8,
            Self::Heartbeat { .. } => 9,
            Self::HeartbeatReply { .. } => 10,
            Self::Snapshot(_) => 11,
            Self::CampaignNow => 12,
            Self::ReadAsk(_) => 13,
            Self::ReadAnswer { .. } => 14,
            Self::Outdated => 15,
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Accept { entries, .. } | Self::Suffix { entries, .. } => entries_capacity(entries) + 28,
            _ => 50,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Prepare { trial, transfer } => out.extend([u8::from(*trial), u8::from(*transfer)]),
            Self::Promise { trial, log_state: AcceptedLog { before, commit, last } } => {
                out.push(u8::from(*trial));
                [before, commit, last].into_iter().for_each(|position| put_position(out, *position));
            }
            Self::Fetch { after, commit } => {
                put_position(out, *after);
                put_position(out, *commit);
            }
            Self::Suffix { previous, entries } => {
                put_position(out, *previous);
                put_entries(out, entries, *previous);
            }
            Self::Accept { previous, commit, entries } => {
                put_position(out, *previous);
                put_u64(out, *commit);
                put_entries(out, entries, *previous);
            }
            Self::Accepted { index } => put_u64(out, *index),
            Self::Refused { previous, hint } => {
                put_u64(out, *previous);
                put_position(out, *hint);
            }
            Self::Chosen { commit } => put_u64(out, *commit),
            Self::Heartbeat { commit: first, matched: second, read }
            | Self::HeartbeatReply { received: first, accepted: second, read } => {
                put_u64(out, *first);
                put_u64(out, *second);
                put_option(out, *read, put_name);
            }
            Self::Snapshot(meta) => meta.encode(out),
            Self::ReadAsk(name) => put_name(out, *name),
            Self::ReadAnswer { name, index } => {
                put_name(out, *name);
                put_u64(out, *index);
            }
            Self::CampaignNow | Self::Outdated => {}
        }
    }

    fn decode(kind: u8, reader: &mut Reader) -> Result<Self, StepError> {
        Ok(match kind {
            1 => Self::Prepare { trial: reader.bool()?, transfer: reader.bool()? },
            2 => Self::Promise { trial: reader.bool()?, log_state: AcceptedLog::read(reader)? },
            3 => Self::Fetch { after: reader.position()?, commit: reader.position()? },
            4 => {
                let previous = reader.position()?;
                Self::Suffix { previous, entries: read_entries(reader, previous)? }
            }
            5 => {
                let previous = reader.position()?;
                let commit = reader.limited()?;
                Self::Accept { previous, commit, entries: read_entries(reader, previous)? }
            }
            6 => Self::Accepted { index: reader.limited()? },
            7 => Self::Refused { previous: reader.limited()?, hint: reader.position()? },
            8 => Self::Chosen { commit: reader.limited()? },
            9 => Self::Heartbeat {
                commit: reader.limited()?,
                matched: reader.limited()?,
                read: reader.option(Reader::name)?,
            },
            10 => Self::HeartbeatReply {
                received: reader.limited()?,
                accepted: reader.limited()?,
                read: reader.option(Reader::name)?,
            },
            11 => Self::Snapshot(SnapshotMeta::read(reader)?),
            12 => Self::CampaignNow,
            13 => Self::ReadAsk(reader.name()?),
            14 => Self::ReadAnswer { name: reader.name()?, index: reader.limited()? },
            15 => Self::Outdated,
            _ => return Err(StepError::Malformed("unknown kind")),
        })
    }
}

impl AcceptedLog {
    fn read(reader: &mut Reader) -> Result<Self, StepError> {
        Ok(Self { before: reader.position()?, commit: reader.position()?, last: reader.position()? })
    }
}
