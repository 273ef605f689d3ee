//! The first message between two servers, before any frame.
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
//! The numbers of the servers are at the end of the body if one of them is above 255; then the
//! first two fields hold their low bytes. Otherwise the body ends before them.
//!
//! Big-endian; the checksum covers everything before it. Everything except the body stays the same
//! in every version, so that servers of different versions can at least say so. The side that
//! dialled speaks first, with verdict 0; the other answers with the same record about itself, with
//! verdict 0 if it goes on to the proofs (see [`proof`](super::proof)), otherwise with the number
//! of its reason, and then closes. The answer contains everything that the refusal rests on, so
//! both sides can log the same sentence.

use crate::config::{EngineKind, ServerId};

/// Version of the greeting's body and of the frames.
pub const VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"ostlpeer";
const FIXED_BYTES: usize = 14;
const BODY_BYTES: usize = 18;
/// The full numbers of the two servers.
const NUMBERS_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
/// Bytes of a greeting of this version, between servers with small numbers.
#[cfg(test)]
pub(super) const GREETING_BYTES: usize = FIXED_BYTES + BODY_BYTES + CHECKSUM_BYTES;
/// Bytes of a greeting of any version: bounds the bytes that are kept from a stranger.
pub(super) const GREETING_BYTES_MAX: usize = FIXED_BYTES + u16::MAX as usize + CHECKSUM_BYTES;

/// What a server tells all others about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The cluster its data belongs to; 0 = none yet.
    pub cluster: u64,
    /// Its consensus engine.
    pub engine: EngineKind,
    /// How often it has started on its data.
    pub boot: u64,
}

/// A greeting from one server to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// The sender, as `server.N`.
    pub from: ServerId,
    /// The server that the sender believes to address.
    pub to: ServerId,
    /// What the sender says about itself.
    pub hello: Hello,
    /// In an answer: why the greeting is refused; `None` = it is accepted.
    pub verdict: Option<Reason>,
}

/// Why a server refuses another. The numbers are sent, and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Their protocol versions differ.
    Version = 1,
    /// Their data belongs to different clusters.
    Cluster = 2,
    /// Their consensus engines differ.
    Engine = 3,
    /// The server that was reached is not the one that was dialled.
    Addressee = 4,
    /// The server that dialled is not a member that the other knows.
    Stranger = 5,
    /// One has a secret and the other has none.
    Secret = 6,
    /// A proof is wrong.
    Proof = 7,
    /// The certificate of the server that dialled is not for its host.
    Certificate = 8,
    /// The server that dialled does not authenticate by SASL, or a login failed.
    Sasl = 9,
    /// A reason of a later version.
    Other = 255,
}

/// A greeting as far as it can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// More bytes are needed.
    Incomplete,
    /// A complete greeting.
    Greeting(Greeting),
    /// A greeting of another version.
    OtherVersion {
        /// The version.
        version: u16,
        /// The sender.
        from: ServerId,
        /// The server that the sender believes to address.
        to: ServerId,
    },
}

/// Why bytes are not a greeting: the sender is not an Ostler server, or they were damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadGreeting {
    /// They do not begin with the magic.
    #[error("it is not an Ostler server")]
    Magic,
    /// The length is wrong for the version, or bytes follow.
    #[error("a greeting of a wrong length")]
    Length,
    /// The checksum does not match.
    #[error("a greeting with a wrong checksum")]
    Checksum,
    /// The engine is unknown.
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

    /// Decodes `bytes`, which are all that have arrived so far.
    ///
    /// # Errors
    /// They are not the beginning of a greeting.
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
    /// Why this server refuses one that says `theirs`. Symmetric.
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

/// The log line of a server with greeting `ours` about a peer with greeting `theirs`. `dialled`:
/// this server dialled that peer.
pub(super) fn explain(reason: Reason, dialled: bool, ours: &Greeting, theirs: &Greeting) -> String {
    let peer = if dialled { ours.to } else { theirs.from };
    match reason {
        Reason::Cluster => format!(
            "server {peer} belongs to another cluster ({:#018x}; this server's is {:#018x})",
            theirs.hello.cluster, ours.hello.cluster
        ),
        Reason::Engine => format!(
            "server {peer} runs the engine {}, this server {}: ostler.consensus must be the same on all",
            theirs.hello.engine, ours.hello.engine
        ),
        Reason::Addressee => {
            let (meant, found) = if dialled { (ours.to, theirs.from) } else { (theirs.to, ours.from) };
            format!(
                "the server at the address of server {meant} is server {found}: server.N and myid do not match"
            )
        }
        Reason::Stranger if dialled => {
            format!("server {peer} does not know this server, server {}", ours.from)
        }
        Reason::Stranger => format!("server {peer} is not known as a member"),
        Reason::Version => format!("server {peer} refuses version {VERSION} of the protocol between servers"),
        Reason::Secret if dialled => {
            format!(
                "server {peer} and this server do not both have a secret: set ostler.quorumSecretFile on all servers"
            )
        }
        Reason::Secret => {
            format!("server {peer} has no secret (ostler.quorumSecretFile), which this server requires")
        }
        Reason::Proof => format!(
            "server {peer} does not prove that it belongs to this ensemble: its secret (ostler.quorumSecretFile) or the key of its cluster differs"
        ),
        Reason::Certificate => format!(
            "server {peer} refuses this server's certificate: it is not for the host that server.{} names there",
            ours.from
        ),
        Reason::Sasl if dialled => format!(
            "server {peer} requires SASL (quorum.auth.serverRequireSasl), with which this server does not begin: set quorum.auth.learnerRequireSasl=true here"
        ),
        Reason::Sasl => format!(
            "server {peer} does not authenticate by SASL (quorum.auth.learnerRequireSasl), which this server requires"
        ),
        Reason::Other => format!("server {peer} refuses this server for a reason of a later version"),
    }
}

/// As [`explain`], for a server whose greeting could not be decoded.
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
    /// The reason with that number; `None` for 0.
    pub(super) fn of_number(number: u8) -> Option<Reason> {
        use Reason::{Addressee, Certificate, Cluster, Engine, Proof, Sasl, Secret, Stranger, Version};
        let known = [Version, Cluster, Engine, Addressee, Stranger, Secret, Proof, Certificate, Sasl];
        match number {
            0 => None,
            _ => Some(known.into_iter().find(|&reason| reason as u8 == number).unwrap_or(Reason::Other)),
        }
    }
}
