//! The handshake: the first frame in each direction, without a header.

use crate::jute::{Malformed, Put, Reader};

/// Length of a session password in bytes.
pub const PASSWORD_BYTES: usize = 16;

/// The first frame a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// 0 for ZooKeeper. ClickHouse uses other numbers to request variants of the protocol.
    pub protocol_version: i32,
    /// The newest zxid the client knows; a server behind it must refuse the connection.
    pub last_zxid_seen: i64,
    /// Requested session timeout in milliseconds.
    pub timeout_ms: i32,
    /// The session to resume, or 0 for a new one.
    pub session_id: i64,
    /// Proof that the session belongs to the client; of any length, and empty for null.
    pub passwd: &'a [u8],
    /// Whether a read-only server is acceptable. Old clients omit it and get none back.
    pub read_only: Option<bool>,
}

impl<'a> ConnectRequest<'a> {
    /// Takes the record off `input`.
    pub fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            protocol_version: input.i32()?,
            last_zxid_seen: input.i64()?,
            timeout_ms: input.i32()?,
            session_id: input.i64()?,
            passwd: input.buffer()?.unwrap_or_default(),
            read_only: decode_read_only(input)?,
        })
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.protocol_version);
        out.put_i64(self.last_zxid_seen);
        out.put_i32(self.timeout_ms);
        out.put_i64(self.session_id);
        out.put_buffer(Some(self.passwd));
        encode_read_only(self.read_only, out);
    }
}

/// The first frame a server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectResponse<'a> {
    /// 0 for ZooKeeper.
    pub protocol_version: i32,
    /// The session timeout the server chose, in milliseconds; 0 or less if the session does not
    /// exist or has expired.
    pub timeout_ms: i32,
    /// The session, or 0 if there is none.
    pub session_id: i64,
    /// Proof that the session belongs to the client: [`PASSWORD_BYTES`] bytes.
    pub passwd: &'a [u8],
    /// Whether this server is read-only; only for clients that sent the field themselves.
    pub read_only: Option<bool>,
}

impl<'a> ConnectResponse<'a> {
    /// The answer to a client whose session does not exist or has expired, or whose password is
    /// wrong; the server then closes the connection.
    pub const fn expired(read_only: Option<bool>) -> ConnectResponse<'static> {
        ConnectResponse {
            protocol_version: 0,
            timeout_ms: 0,
            session_id: 0,
            passwd: &[0; PASSWORD_BYTES],
            read_only,
        }
    }

    /// Takes the record off `input`.
    pub fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            protocol_version: input.i32()?,
            timeout_ms: input.i32()?,
            session_id: input.i64()?,
            passwd: input.buffer()?.unwrap_or_default(),
            read_only: decode_read_only(input)?,
        })
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.protocol_version);
        out.put_i32(self.timeout_ms);
        out.put_i64(self.session_id);
        out.put_buffer(Some(self.passwd));
        encode_read_only(self.read_only, out);
    }
}

fn decode_read_only(input: &mut Reader<'_>) -> Result<Option<bool>, Malformed> {
    if input.is_empty() { Ok(None) } else { input.bool().map(Some) }
}

fn encode_read_only(read_only: Option<bool>, out: &mut Vec<u8>) {
    if let Some(read_only) = read_only {
        out.put_bool(read_only);
    }
}
