//! Who is in the ensemble, as its members agree: what `/zookeeper/config` shows, and how `reconfig` changes it (reference 1.7).
//!
//! The engine changes its members one at a time and by ids; here is what an operator wants them to be, by the numbers and addresses of
//! servers. A reconfiguration is agreed on twice. First the leader has the [`ProposedConfig`] written down, so that whoever leads next goes on with
//! it; then it lets the engine change members until they are as meant; and then the client's command makes the aim the configuration.
//! So a `reconfig` that was answered is in force, and one that was not is completed or given up by the leader there is.
//! (ZooKeeper's two are the last seen and the current `QuorumVerifier`.)

mod change;
mod entry;
mod number;

use std::collections::BTreeMap;
use std::fmt::Write as _;

pub use change::plan;
pub use entry::{Member, bracketed};
pub use number::{
    MEMBER_ID_LIMIT, SERVER_ID_MAX, ServerId, disk_of_id, first_member_id, next_member_id, parse_server_id,
    server_of_id,
};
use wire::jute::{Malformed, Put, Reader};

/// The servers of an ensemble, by their numbers.
pub type Servers = BTreeMap<ServerId, Member>;

/// The lines `server.N=…` of a configuration, each ended.
pub fn text_of(servers: &Servers) -> String {
    servers.iter().fold(String::new(), |mut text, (number, member)| {
        let _ = writeln!(text, "server.{number}={member}");
        text
    })
}

/// The servers of lines as [`text_of`] writes them; what is no such line is left out.
pub fn servers_of(text: &str) -> Servers {
    text.lines().filter_map(|line| change::parse_line(line).ok()).collect()
}

/// A configuration that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Its lines `server.N=…`.
    pub text: String,
    /// zxid of the command that made it.
    pub version: i64,
}

impl Configuration {
    /// The data of `/zookeeper/config`.
    pub fn data(&self) -> Vec<u8> {
        format!("{}version={:x}", self.text, self.version).into_bytes()
    }
}

/// A configuration that is to come into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedConfig {
    /// Its lines `server.N=…`.
    pub text: String,
    /// The session that asked for it…
    pub session: i64,
    /// …and the request.
    pub cxid: i32,
}

impl ProposedConfig {
    /// Appends it: `session i64 | cxid i32 | text ustring`.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_i64(self.session);
        out.put_i32(self.cxid);
        out.put_str(&self.text);
    }

    /// Reads what [`put`](Self::put) wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn take(input: &mut Reader<'_>) -> Result<ProposedConfig, Malformed> {
        let (session, cxid) = (input.i64()?, input.i32()?);
        Ok(ProposedConfig { text: input.str()?.to_owned(), session, cxid })
    }
}

/// What members agree on about themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The configuration in force; `None` before the first leader of an ensemble has written it down, and in a server that is alone.
    pub current: Option<Configuration>,
    /// The one that the leader works towards, if there is one.
    pub proposed: Option<ProposedConfig>,
    /// The highest id that a member of each server number has had. Ids are never used again: a member is known by what it promised.
    pub ids: BTreeMap<ServerId, u64>,
}

impl Members {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes note of an id in use.
    pub fn note_id(&mut self, id: u64) {
        let highest = self.ids.entry(server_of_id(id)).or_insert(id);
        *highest = id.max(*highest);
    }

    /// Appends them.
    ///
    /// ```text
    /// has configuration bool | [text ustring | version i64] | has aim bool | [aim] | (id u64)*
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_bool(self.current.is_some());
        if let Some(current) = &self.current {
            out.put_str(&current.text);
            out.put_i64(current.version);
        }
        out.put_bool(self.proposed.is_some());
        if let Some(aim) = &self.proposed {
            aim.put(out);
        }
        for id in self.ids.values() {
            out.put_i64(id.cast_signed());
        }
    }

    /// Reads what [`put`](Self::put) wrote, to the end.
    pub(crate) fn take(input: &mut Reader<'_>) -> Result<Members, Malformed> {
        let mut members = Members::default();
        if input.bool()? {
            members.current = Some(Configuration { text: input.str()?.to_owned(), version: input.i64()? });
        }
        if input.bool()? {
            members.proposed = Some(ProposedConfig::take(input)?);
        }
        while !input.is_empty() {
            members.note_id(input.i64()?.cast_unsigned());
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_read_back_as_written() {
        let text = "server.1=a:1:2:participant;0.0.0.0:3\n".to_owned();
        let aim = ProposedConfig { text: "server.2=b:1:2:observer\n".to_owned(), session: -7, cxid: 9 };
        let mut members = Members {
            current: Some(Configuration { text: text.clone(), version: 1 << 32 }),
            proposed: Some(aim),
            ids: BTreeMap::new(),
        };
        let disk = |server, disk: u64| first_member_id(server) + (disk - 1) * (1 << 20);
        for id in [disk(3, 1), disk(3, 2), disk(2, 1), disk(3, 3), disk(3, 2), disk(0, 1), disk(256, 1)] {
            members.note_id(id);
        }
        assert_eq!(
            members.ids,
            BTreeMap::from([(0, disk(0, 1)), (2, disk(2, 1)), (3, disk(3, 3)), (256, disk(256, 1))])
        );
        for members in [members, Members::default()] {
            let mut bytes = Vec::new();
            members.put(&mut bytes);
            assert_eq!(Members::take(&mut Reader::new(&bytes)).unwrap(), members);
        }
        assert_eq!(text_of(&servers_of(&text)), text);
    }
}
