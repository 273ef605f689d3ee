//! What two servers say to each other before the first frame.
//!
//! ```text
//!  0               8         10     11     12        14
//!  ├───────────────┼─────────┼──────┼──────┼─────────┼──────────── … ─┼─────────┤
//!  │ "ostlpeer"    │ version │ from │ to   │ length  │ body           │ crc32c  │
//!  │               │ u16     │ u8   │ u8   │ u16     │ length bytes   │ u32     │
//!
//!  body of version 1:
//!  0             8             16       17       18             22             26
//!  ├─────────────┼─────────────┼────────┼────────┼──────────────┼──────────────┤
//!  │ cluster     │ boot        │ engine │ verdict│ from         │ to           │
//!  │ u64         │ u64         │ u8     │ u8     │ u32          │ u32          │
//! ```
//! The numbers of servers stand at the end of the body if one of them is above 255; then the first
//! two are what of them fits, and otherwise the body ends before them.
//!
//! Big-endian; the checksum is of everything before it. All but the body stays as it is in every
//! version, so that servers of two versions can at least say so. The side that dialled speaks
//! first, with verdict 0; the other answers with the same record about itself, with verdict 0 if it
//! wants to go on (to what each can prove, see [`proof`](super::proof)), else with the number of
//! its reason, and then closes. Since the answer tells everything the refusal rests on, both sides
//! can log the same sentence.

use crate::config::{EngineKind, ServerId};

/// Version of the greeting's body and of the frames.
pub const VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"ostlpeer";
const FIXED_BYTES: usize = 14;
const BODY_BYTES: usize = 18;
/// The numbers of the servers in full.
const NUMBERS_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
/// The bytes of a greeting of this version, between servers with small numbers.
#[cfg(test)]
pub(super) const GREETING_BYTES: usize = FIXED_BYTES + BODY_BYTES + CHECKSUM_BYTES;
/// A greeting of any version: its length decides how many bytes of a stranger are kept.
pub(super) const GREETING_BYTES_MAX: usize = FIXED_BYTES + u16::MAX as usize + CHECKSUM_BYTES;

/// What a server says of itself to all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The cluster its data belong to; 0 = it has none yet.
    pub cluster: u64,
    /// The engine it agrees with.
    pub engine: EngineKind,
    /// How often it has started on its data.
    pub boot: u64,
}

/// The whole of what one server says to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// Who speaks, as `server.N`.
    pub from: ServerId,
    /// Whom the speaker believes to speak to.
    pub to: ServerId,
    /// What it says of itself.
    pub hello: Hello,
    /// In an answer: why the other's greeting is refused; `None` = it is not.
    pub verdict: Option<Reason>,
}

/// Why a server does not talk to another. The numbers are sent, and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The versions of what they speak differ.
    Version = 1,
    /// Their data belong to different clusters.
    Cluster = 2,
    /// They agree with different engines.
    Engine = 3,
    /// The one that was reached is not the one that was meant.
    Addressee = 4,
    /// The one that dialled is none of the servers that the other one knows.
    Stranger = 5,
    /// One has a secret and the other one has none.
    Secret = 6,
    /// What was to be proven is not.
    Proof = 7,
    /// A reason of a later version.
    Other = 255,
}

/// A greeting as far as it can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It needs more bytes.
    Incomplete,
    /// All of it.
    Greeting(Greeting),
    /// One of another version, and who says so to whom.
    OtherVersion {
        /// The version.
        version: u16,
        /// Who speaks.
        from: ServerId,
        /// Whom it believes to speak to.
        to: ServerId,
    },
}

/// Why bytes are not a greeting: whoever sends them is no server of this kind, or they were damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadGreeting {
    /// They begin otherwise.
    #[error("it is not an Ostler server")]
    Magic,
    /// A wrong length for its version, or bytes behind it.
    #[error("a greeting of a wrong length")]
    Length,
    /// The bytes are not what was sent.
    #[error("a greeting with a wrong checksum")]
    Checksum,
    /// An engine that does not exist.
    #[error("a greeting with an unknown engine")]
    Engine,
}

impl Greeting {
    /// The greeting as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let numbers = [self.from, self.to];
        let are_large = numbers.iter().any(|number| *number > u32::from(u8::MAX));
        let length = BODY_BYTES + if are_large { NUMBERS_BYTES } else { 0 };
        let mut out = Vec::with_capacity(FIXED_BYTES + length + CHECKSUM_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend(numbers.map(|number| number as u8));
        out.extend_from_slice(&(length as u16).to_be_bytes());
        out.extend_from_slice(&self.hello.cluster.to_be_bytes());
        out.extend_from_slice(&self.hello.boot.to_be_bytes());
        out.push(engine_number(self.hello.engine));
        out.push(self.verdict.map_or(0, |reason| reason as u8));
        if are_large {
            out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        }
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_be_bytes());
        out
    }

    /// Understands `bytes`, which are all that came so far.
    ///
    /// # Errors
    /// They are no greeting, and will not become one.
    pub fn decode(bytes: &[u8]) -> Result<Heard, BadGreeting> {
        if !bytes.iter().zip(MAGIC).all(|(found, expected)| found == expected) {
            return Err(BadGreeting::Magic);
        }
        let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else { return Ok(Heard::Incomplete) };
        let [.., v0, v1, from, to, l0, l1] = *fixed;
        let (version, length) = (u16::from_be_bytes([v0, v1]), usize::from(u16::from_be_bytes([l0, l1])));
        let (from, to) = (ServerId::from(from), ServerId::from(to));
        if version == VERSION && ![BODY_BYTES, BODY_BYTES + NUMBERS_BYTES].contains(&length) {
            return Err(BadGreeting::Length);
        }
        let end = FIXED_BYTES + length;
        let Some(checksum) = bytes.get(end..).and_then(|rest| rest.first_chunk::<CHECKSUM_BYTES>()) else {
            return Ok(Heard::Incomplete);
        };
        if bytes.len() > end + CHECKSUM_BYTES {
            return Err(BadGreeting::Length);
        }
        if crc32c::crc32c(&bytes[..end]) != u32::from_be_bytes(*checksum) {
            return Err(BadGreeting::Checksum);
        }
        match bytes[FIXED_BYTES..end].split_first_chunk::<BODY_BYTES>() {
            Some((body, numbers)) if version == VERSION => {
                let (from, to) = full_numbers(numbers).unwrap_or((from, to));
                Self::of_body(from, to, body).map(Heard::Greeting)
            }
            _ => Ok(Heard::OtherVersion { version, from, to }),
        }
    }

    fn of_body(from: ServerId, to: ServerId, body: &[u8; BODY_BYTES]) -> Result<Greeting, BadGreeting> {
        let [c0, c1, c2, c3, c4, c5, c6, c7, b0, b1, b2, b3, b4, b5, b6, b7, engine, verdict] = *body;
        let hello = Hello {
            cluster: u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
            boot: u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
            engine: engine_of(engine).ok_or(BadGreeting::Engine)?,
        };
        Ok(Greeting { from, to, hello, verdict: Reason::of_number(verdict) })
    }
}

impl Hello {
    /// Why a server that says `theirs` is none to talk to. The same seen from either side.
    pub(super) fn objection(&self, theirs: &Hello) -> Option<Reason> {
        if self.is_of_another_cluster(theirs.cluster) {
            Some(Reason::Cluster)
        } else if self.engine != theirs.engine {
            Some(Reason::Engine)
        } else {
            None
        }
    }

    /// Whether both clusters are known and differ.
    pub(super) fn is_of_another_cluster(&self, theirs: u64) -> bool {
        self.cluster != 0 && theirs != 0 && self.cluster != theirs
    }
}

/// The sentence for the log of one that says `ours` about a peer that says `theirs`. `dialled`: this server dialled that peer.
pub(super) fn explain(reason: Reason, dialled: bool, ours: &Greeting, theirs: &Greeting) -> String {
    let peer = if dialled { ours.to } else { theirs.from };
    match reason {
        Reason::Cluster => format!(
            "server {peer} belongs to another cluster ({:#018x}; this server's is {:#018x})",
            theirs.hello.cluster, ours.hello.cluster
        ),
        Reason::Engine => format!(
            "server {peer} agrees by {}, this server by {}: ostler.consensus must be the same on all",
            theirs.hello.engine, ours.hello.engine
        ),
        Reason::Addressee => {
            let (meant, found) = if dialled { (ours.to, theirs.from) } else { (theirs.to, ours.from) };
            format!(
                "what was dialled as server {meant} is server {found}: server.N and myid do not fit together"
            )
        }
        Reason::Stranger if dialled => format!("server {peer} does not know this one, server {}", ours.from),
        Reason::Stranger => format!("server {peer} is not known as a member"),
        Reason::Version => format!("server {peer} refuses version {VERSION} of the protocol between servers"),
        Reason::Secret if dialled => {
            format!(
                "server {peer} and this one do not both have a secret: set ostler.quorumSecretFile on all servers"
            )
        }
        Reason::Secret => {
            format!("server {peer} has no secret (ostler.quorumSecretFile), which this server requires")
        }
        Reason::Proof => format!(
            "server {peer} does not prove that it belongs to this ensemble: its secret (ostler.quorumSecretFile) or the key of its cluster is another"
        ),
        Reason::Other => format!("server {peer} refuses this server for a reason of a later version"),
    }
}

/// As [`explain`], for a server whose greeting could not be understood.
pub(super) fn explain_version(peer: ServerId, theirs: u16) -> String {
    format!(
        "server {peer} speaks version {theirs} of the protocol between servers, this server version {VERSION}"
    )
}

fn engine_number(engine: EngineKind) -> u8 {
    match engine {
        EngineKind::Raft => 1,
        EngineKind::Paxos => 2,
    }
}

fn engine_of(number: u8) -> Option<EngineKind> {
    [EngineKind::Raft, EngineKind::Paxos].into_iter().find(|&engine| engine_number(engine) == number)
}

/// The numbers of two servers at the end of a body.
fn full_numbers(bytes: &[u8]) -> Option<(ServerId, ServerId)> {
    let (from, to) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*from), u32::from_be_bytes(*to.first_chunk()?)))
}

impl Reason {
    /// The reason with that number; none for 0.
    pub(super) fn of_number(number: u8) -> Option<Reason> {
        use Reason::{Addressee, Cluster, Engine, Proof, Secret, Stranger, Version};
        let known = [Version, Cluster, Engine, Addressee, Stranger, Secret, Proof];
        match number {
            0 => None,
            _ => Some(known.into_iter().find(|&reason| reason as u8 == number).unwrap_or(Reason::Other)),
        }
    }
}
