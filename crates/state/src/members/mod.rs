//! The committed membership of the ensemble: the content of `/zookeeper/config`, and how `reconfig`
//! changes it.
//!
//! The consensus engine changes its members one at a time and by ids; this module has the
//! operator's configuration, by server numbers and addresses. A reconfiguration commits twice.
//! First the leader commits the [`ProposedConfig`], so that the next leader can continue it; then
//! it has the engine change members until they match; finally the client's command makes the
//! proposed configuration the current one. So a `reconfig` that was answered is in force, and one
//! that was not is completed or withdrawn by the current leader. (ZooKeeper's counterparts are the
//! last seen and the current `QuorumVerifier`.)

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

/// The servers of an ensemble by number.
pub type Servers = BTreeMap<ServerId, Member>;

/// The lines `server.N=…` of a configuration, each terminated.
pub fn text_of(servers: &Servers) -> String {
    servers.iter().fold(String::new(), |mut text, (number, member)| {
        let _ = writeln!(text, "server.{number}={member}");
        text
    })
}

/// Parses lines in the form of [`text_of`]; other lines are ignored.
pub fn servers_of(text: &str) -> Servers {
    text.lines().filter_map(|line| change::parse_line(line).ok()).collect()
}

/// A configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Its lines `server.N=…`.
    pub text: String,
    /// zxid of the command that set it.
    pub version: i64,
}

impl Configuration {
    /// The data of `/zookeeper/config`.
    pub fn data(&self) -> Vec<u8> {
        format!("{}version={:x}", self.text, self.version).into_bytes()
    }
}

/// A proposed configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedConfig {
    /// Its lines `server.N=…`.
    pub text: String,
    /// The session that requested it.
    pub session: i64,
    /// The request's xid.
    pub cxid: i32,
}

impl ProposedConfig {
    /// Appends it as `session i64 | cxid i32 | text ustring`.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_i64(self.session);
        out.put_i32(self.cxid);
        out.put_str(&self.text);
    }

    /// Reads what [`put`](Self::put) wrote.
    ///
    /// # Errors
    /// If the bytes are not of that form.
    pub fn take(input: &mut Reader<'_>) -> Result<ProposedConfig, Malformed> {
        let (session, cxid) = (input.i64()?, input.i32()?);
        Ok(ProposedConfig { text: input.str()?.to_owned(), session, cxid })
    }
}

/// The replicated membership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The configuration in force; `None` before the first leader of an ensemble has set it, and on
    /// a standalone server.
    pub current: Option<Configuration>,
    /// The configuration that the leader works towards, if any.
    pub proposed: Option<ProposedConfig>,
    /// The highest member id of each server number so far. Ids are never reused, since other
    /// members remember an id's promises.
    pub ids: BTreeMap<ServerId, u64>,
}

impl Members {
    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Records an id in use.
    pub fn note_id(&mut self, id: u64) {
        let highest = self.ids.entry(server_of_id(id)).or_insert(id);
        *highest = id.max(*highest);
    }

    /// Appends the membership.
    ///
    /// ```text
    /// has configuration bool | [text ustring | version i64]
    /// | has proposed bool | [proposed] | (id u64)*
    /// ```
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_bool(self.current.is_some());
        if let Some(current) = &self.current {
            out.put_str(&current.text);
            out.put_i64(current.version);
        }
        out.put_bool(self.proposed.is_some());
        if let Some(proposed) = &self.proposed {
            proposed.put(out);
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
    fn members_round_trip() {
        let text = "server.1=a:1:2:participant;0.0.0.0:3\n".to_owned();
        let proposed = ProposedConfig { text: "server.2=b:1:2:observer\n".to_owned(), session: -7, cxid: 9 };
        let mut members = Members {
            current: Some(Configuration { text: text.clone(), version: 1 << 32 }),
            proposed: Some(proposed),
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
