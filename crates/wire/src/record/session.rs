//! Records about the session and the ensemble.

use super::{List, PathList, Record, records};
use crate::jute::{Malformed, Put, Reader};

/// Request of `auth`: credentials of one scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Always 0 so far, and ignored.
    pub auth_type: i32,
    /// The scheme. Null and anything not UTF-8 decode as empty, which is an unknown scheme like any
    /// wrong name.
    pub scheme: &'a str,
    /// Credentials in the scheme's format.
    pub auth: Option<&'a [u8]>,
}

impl<'a> Auth<'a> {
    /// Takes the record off `input`.
    pub fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            auth_type: input.i32()?,
            // A name that is not UTF-8 is an unknown scheme.
            scheme: input.buffer()?.and_then(|scheme| std::str::from_utf8(scheme).ok()).unwrap_or_default(),
            auth: input.buffer()?,
        })
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.auth_type);
        out.put_str(self.scheme);
        out.put_buffer(self.auth);
    }
}

/// Request of `reconfig`. Servers are in the text format of the configuration file; null means
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconfig<'a> {
    /// Servers to add or change.
    pub joining_servers: Option<&'a str>,
    /// Numbers of servers to remove.
    pub leaving_servers: Option<&'a str>,
    /// All servers of the new ensemble, in place of the two lists above.
    pub new_members: Option<&'a str>,
    /// The version the configuration must have, or -1 for any.
    pub cur_config_id: i64,
}

impl<'a> Reconfig<'a> {
    /// Takes the record off `input`.
    pub fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            joining_servers: input.ustring()?,
            leaving_servers: input.ustring()?,
            new_members: input.ustring()?,
            cur_config_id: input.i64()?,
        })
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_opt_str(self.joining_servers);
        out.put_opt_str(self.leaving_servers);
        out.put_opt_str(self.new_members);
        out.put_i64(self.cur_config_id);
    }
}

/// Request of `getEphemerals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetEphemerals<'a> {
    /// Only paths with this prefix; empty for null, for which ZooKeeper also lists all.
    pub prefix_path: &'a str,
}

impl<'a> GetEphemerals<'a> {
    /// Takes the record off `input`.
    pub fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { prefix_path: input.ustring()?.unwrap_or_default() })
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_str(self.prefix_path);
    }
}

records! {
    /// Request of `sasl`.
    Sasl<'a> {
        /// Token of the client's SASL mechanism.
        token: Option<&'a [u8]>,
    }

    /// Reply of `sasl`.
    SaslReply<'a> {
        /// Token of the server's SASL mechanism.
        token: Option<&'a [u8]>,
    }

    /// Reply of `getEphemerals`.
    GetEphemeralsReply<'a> {
        /// Paths from the root.
        ephemerals: PathList<'a>,
    }

    /// One identity of a session.
    ClientInfo<'a> {
        /// The scheme that authenticated it.
        auth_scheme: &'a str,
        /// The identity, without secrets.
        user: &'a str,
    }

    /// Reply of `whoAmI`.
    WhoAmIReply<'a> {
        /// The identities of the session.
        client_info: List<'a, ClientInfo<'a>>,
    }
}
