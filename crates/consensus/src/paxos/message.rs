//! What members of a Paxos group say to each other. How it becomes bytes is drawn in `codec`.

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

/// Version of the format; a member refuses what it does not know. The top bit tells it from a Raft message.
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
    /// Highest ballot the sender has promised; of a trial, the ballot that is tried.
    pub ballot: u64,
    /// The rest.
    pub body: Body,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Proposer, phase 1: promise to accept nothing of lower ballots…
    Prepare {
        /// Only asks whether it would be promised; nobody's promise changes.
        trial: bool,
        /// The old leader wants it: acceptors need not wait until they miss that leader.
        handover: bool,
    },
    /// …promised; and this is what I have accepted so far…
    Promise {
        /// As asked.
        trial: bool,
        /// What stands there.
        standing: AcceptedLog,
    },
    /// …then give me those of your entries that I lack…
    Fetch {
        /// The proposer has this entry, and wants those after it; or, if the acceptor has another one there…
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
    /// Leader, phase 2: after `previous` accept these entries…
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
        /// Last index that agrees with the leader's log.
        index: u64,
    },
    /// …or not, since I do not have `previous`.
    Refused {
        /// Its index.
        previous: u64,
        /// Where the logs may agree.
        hint: Position,
    },
    /// Leader: everything up to `commit` is chosen.
    Chosen {
        /// The leader's commit.
        commit: u64,
    },
    /// Leader: still here…
    Heartbeat {
        /// The leader's commit.
        commit: u64,
        /// What the follower is known to have flushed.
        matched: u64,
        /// The newest open question of a read.
        read: Option<ReadName>,
    },
    /// …and still followed.
    HeartbeatReply {
        /// The follower's log agrees with the leader's up to here…
        received: u64,
        /// …and of it this is flushed.
        accepted: u64,
        /// As asked.
        read: Option<ReadName>,
    },
    /// Leader: what you lack is dropped here, fetch this snapshot.
    Snapshot(SnapshotMeta),
    /// Leader: stand for election now, I hand over.
    CampaignNow,
    /// Follower to leader: how far must I have applied to answer a read?
    ReadAsk(ReadName),
    /// Leader to follower: that far.
    ReadAnswer {
        /// As asked.
        name: ReadName,
        /// The commit when it was asked.
        index: u64,
    },
    /// I have promised a higher ballot than yours.
    Outdated,
}

/// What an acceptor has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedLog {
    /// Where its first entry is attached; chosen up to here.
    pub before: Position,
    /// Its commit.
    pub commit: Position,
    /// Its last entry.
    pub last: Position,
}

impl Message {
    /// The bytes of the message.
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

    /// Reads what [`encode`](Self::encode) wrote. Data of entries are slices of `bytes`.
    ///
    /// # Errors
    /// [`StepError::Version`], [`StepError::OtherEngine`], or [`StepError::Malformed`] for anything no writer would write.
    pub fn decode(bytes: Bytes) -> Result<Self, StepError> {
        let mut reader = Reader::new(bytes);
        let (Header { group, from, to, term: ballot }, kind) = Header::read(&mut reader, VERSION)?;
        let body = Body::decode(kind, &mut reader)?;
        reader.finish()?;
        let message = Self { group, from, to, ballot, body };
        message.check()?;
        Ok(message)
    }

    /// What the fields cannot be together.
    fn check(&self) -> Result<(), StepError> {
        if [self.from, self.to].iter().any(|member| member.0 >= ballot::MEMBER_ID_LIMIT) || self.ballot == 0 {
            return Err(StepError::Malformed("member or ballot"));
        }
        if self.body.is_proposers() && ballot::proposer(self.ballot) != self.from {
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
        return Err(StepError::Malformed("member of too large an id"));
    }
    Ok(())
}

impl Body {
    /// Whether only the proposer of the message's ballot says so.
    fn is_proposers(&self) -> bool {
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
            Self::Prepare { trial, handover } => out.extend([u8::from(*trial), u8::from(*handover)]),
            Self::Promise { trial, standing: AcceptedLog { before, commit, last } } => {
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
            1 => Self::Prepare { trial: reader.bool()?, handover: reader.bool()? },
            2 => Self::Promise { trial: reader.bool()?, standing: AcceptedLog::read(reader)? },
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
