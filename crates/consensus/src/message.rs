//! What members of a group say to each other, as bytes.
//!
//! ```text
//!  0        1       2            10          18        26          34
//!  ├────────┼───────┼────────────┼───────────┼─────────┼───────────┼──────────
//!  │version │ kind  │ group      │ from      │ to      │ term      │ body …
//!  │ u8     │ u8    │ u64        │ u64       │ u64     │ u64       │ by kind
//! ```
//! All numbers big-endian. An entry is `kind u8, term u64, length u32, data`; its index follows from its place.
//! A reader takes exactly what a writer gives: unknown kinds, flags beyond 1 and trailing bytes are refused. There is
//! no checksum, since the transport has one.

use bytes::Bytes;

use crate::engine::StepError;
use crate::entry::{Entry, EntryKind, MemberId, Position};
use crate::membership::{MembershipChange, SnapshotMeta};

/// Version of the format; a member refuses what it does not know.
pub const VERSION: u8 = 1;
/// Terms and indexes from a peer must be below this, so that no sum of them can overflow.
pub const POSITION_LIMIT: u64 = 1 << 62;
const ENTRY_HEADER_BYTES: usize = 1 + 8 + 4;
const HEADER_BYTES: usize = 2 + 4 * 8;

/// A name for one question of one member, never used twice: a leader counts echoes of it as proof that it still leads, so
/// an echo of an older question under the same name would prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadName {
    /// Who asks.
    pub member: MemberId,
    /// In which of its lives.
    pub boot_nonce: u64,
    /// Its how-many-th question, from 1.
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
    /// Term of the sender; for votes the term voted on; 0 where it has no meaning (a forwarded read).
    pub term: u64,
    /// The rest.
    pub body: Body,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Leader: after `previous` come these entries…
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
        /// Last index known to agree; of a refusal, the index of the refused `previous`.
        index: u64,
        /// The follower's commit.
        commit: u64,
        /// Where the logs may agree, when they did not at `previous`.
        refused: Option<Position>,
    },
    /// Leader: still here…
    Heartbeat {
        /// Commit as far as this follower is known to have it.
        commit: u64,
        /// The newest open question of a read.
        read: Option<ReadName>,
    },
    /// …and still followed.
    HeartbeatReply {
        /// The follower's commit.
        commit: u64,
        /// As asked.
        read: Option<ReadName>,
    },
    /// Candidate: vote for me…
    Vote {
        /// Only asks whether an election would be won; nobody's term or vote changes.
        trial: bool,
        /// The old leader wants it: followers need not wait until they miss that leader.
        handover: bool,
        /// The candidate's last entry.
        last: Position,
        /// The candidate's commit.
        commit: Position,
    },
    /// …yes or no.
    VoteReply {
        /// As asked.
        trial: bool,
        /// Whether it is no.
        refused: bool,
        /// The voter's commit, of a refusal.
        commit: Position,
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
}

impl Message {
    /// The bytes of the message.
    ///
    /// # Panics
    /// If entries do not follow `previous` without gaps, or the data of one is 4 GiB or longer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.body.capacity());
        out.extend([VERSION, self.body.kind()]);
        for number in [self.group, self.from.0, self.to.0, self.term] {
            put_u64(&mut out, number);
        }
        self.body.encode(&mut out);
        out.into()
    }

    /// Reads what [`encode`](Self::encode) wrote. Data of entries are slices of `bytes`.
    ///
    /// # Errors
    /// [`StepError::Version`], or [`StepError::Malformed`] for anything no writer would write.
    pub fn decode(bytes: Bytes) -> Result<Self, StepError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(StepError::Version(version));
        }
        let kind = reader.u8()?;
        let group = reader.u64()?;
        let (from, to) = (MemberId(reader.u64()?), MemberId(reader.u64()?));
        let term = reader.limited()?;
        let body = Body::decode(kind, &mut reader)?;
        reader.finish()?;
        let without_term = matches!(body, Body::ReadAsk(_));
        if from == MemberId(0) || to == MemberId(0) || from == to || (term == 0) != without_term {
            return Err(StepError::Malformed("addresses or term"));
        }
        Ok(Self { group, from, to, term, body })
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
            Self::Append { entries, .. } => {
                entries.iter().map(|entry| ENTRY_HEADER_BYTES + entry.data.len()).sum::<usize>() + 28
            }
            _ => 40,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Append { previous, commit, entries } => {
                put_position(out, *previous);
                put_u64(out, *commit);
                put_u32(out, entries.len());
                for (entry, index) in entries.iter().zip(previous.index + 1..) {
                    // The reader counts, so a gap would give entries other indexes there than here.
                    assert_eq!(entry.index, index, "entries follow `previous`");
                    put_entry(out, entry);
                }
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
            Self::Vote { trial, handover, last, commit } => {
                out.extend([u8::from(*trial), u8::from(*handover)]);
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
                handover: reader.bool()?,
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

fn read_entries(reader: &mut Reader, previous: Position) -> Result<Vec<Entry>, StepError> {
    let count = reader.u32()?;
    // No more is allocated than the bytes at hand can hold, whatever the count claims.
    let mut entries = Vec::with_capacity(count.min(reader.bytes.len() / ENTRY_HEADER_BYTES));
    let mut last = previous;
    for _ in 0..count {
        let kind = EntryKind::from_u8(reader.u8()?).ok_or(StepError::Malformed("entry kind"))?;
        let term = reader.limited()?;
        let length = reader.u32()?;
        let data = reader.take(length)?;
        let entry = Entry { index: last.index + 1, term, kind, data };
        if term < last.term || entry.data.is_empty() != (kind == EntryKind::Leadership) {
            return Err(StepError::Malformed("entry"));
        }
        if kind == EntryKind::Membership {
            MembershipChange::from_bytes(&entry.data)?;
        }
        last = entry.position();
        entries.push(entry);
    }
    Ok(entries)
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(entry.kind as u8);
    put_u64(out, entry.term);
    put_u32(out, entry.data.len());
    out.extend_from_slice(&entry.data);
}

pub(crate) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_u32(out: &mut Vec<u8>, number: usize) {
    let number = u32::try_from(number).expect("lengths in a message fit into 32 bits");
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    put_u64(out, position.term);
    put_u64(out, position.index);
}

fn put_name(out: &mut Vec<u8>, name: ReadName) {
    put_u64(out, name.member.0);
    put_u64(out, name.boot_nonce);
    put_u64(out, name.counter);
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
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

/// Takes values off the front of bytes.
pub(crate) struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    fn take(&mut self, length: usize) -> Result<Bytes, StepError> {
        if length > self.bytes.len() {
            return Err(StepError::Malformed("too short"));
        }
        Ok(self.bytes.split_to(length))
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], StepError> {
        let (head, _) = self.bytes.split_first_chunk().ok_or(StepError::Malformed("too short"))?;
        let head = *head;
        self.bytes = self.bytes.slice(LENGTH..);
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, StepError> {
        self.array().map(|[byte]| byte)
    }

    fn bool(&mut self) -> Result<bool, StepError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StepError::Malformed("flag")),
        }
    }

    fn u32(&mut self) -> Result<usize, StepError> {
        self.array().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StepError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A term or index.
    fn limited(&mut self) -> Result<u64, StepError> {
        let number = self.u64()?;
        if number >= POSITION_LIMIT {
            return Err(StepError::Malformed("term or index out of range"));
        }
        Ok(number)
    }

    pub(crate) fn position(&mut self) -> Result<Position, StepError> {
        Ok(Position { term: self.limited()?, index: self.limited()? })
    }

    fn name(&mut self) -> Result<ReadName, StepError> {
        Ok(ReadName { member: MemberId(self.u64()?), boot_nonce: self.u64()?, counter: self.u64()? })
    }

    fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, StepError>,
    ) -> Result<Option<T>, StepError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    pub(crate) fn finish(&self) -> Result<(), StepError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(StepError::Malformed("trailing bytes")) }
    }
}
