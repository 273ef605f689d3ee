//! A session spoken by hand: requests out, replies in, nothing in between.

use std::net::SocketAddr;
use std::time::Duration;

use crate::connection::{Connection, Identity, Received, handshake, session_of};
use crate::jute::Reader;
use crate::request::{Place, Request, op, open_acl};

/// A session on its connection.
#[derive(Debug)]
pub struct Session {
    /// The connection, for what is no request.
    pub connection: Connection,
    /// Resumes the session.
    pub identity: Identity,
    /// The timeout the server gave it, in ms.
    pub timeout_ms: i32,
    xid: i32,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Of the request.
    pub xid: i32,
    /// The server's.
    pub zxid: i64,
    /// 0 or an error code.
    pub err: i32,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Session {
    /// A new session, or `None` if the server closes the connection instead.
    pub fn open(address: SocketAddr, timeout_ms: i32) -> Option<Session> {
        Session::resume(address, &Identity::new_session(), 0, timeout_ms)
    }

    /// Resumes a session; `None` if it is gone or the server closes the connection.
    pub fn resume(
        address: SocketAddr,
        identity: &Identity,
        last_zxid: i64,
        timeout_ms: i32,
    ) -> Option<Session> {
        let mut connection = Connection::open(address);
        connection.send(&handshake(identity, last_zxid, timeout_ms));
        match connection.receive() {
            Received::Frame(reply) => {
                let (identity, timeout_ms) = session_of(&reply).expect("a handshake reply");
                (identity.id != 0).then_some(Session { connection, identity, timeout_ms, xid: 0 })
            }
            Received::Closed => None,
            Received::Nothing => panic!("no answer to a handshake"),
        }
    }

    /// Sends a request and answers its xid.
    pub fn send(&mut self, request: &Request) -> i32 {
        self.xid += 1;
        self.connection.send(&request.frame(self.xid, &Place::default()));
        self.xid
    }

    /// The next reply; events are passed over. `None` when the server has closed the connection.
    pub fn reply(&mut self) -> Option<Reply> {
        loop {
            match self.connection.receive() {
                Received::Frame(frame) => {
                    let reply = Reply::of(&frame);
                    if reply.xid != -1 {
                        return Some(reply);
                    }
                }
                Received::Closed => return None,
                Received::Nothing => panic!("no reply"),
            }
        }
    }

    /// Sends a request and waits for its reply.
    pub fn call(&mut self, request: &Request) -> Reply {
        let xid = self.send(request);
        let reply = self.reply().unwrap_or_else(|| panic!("the connection closed on {request:?}"));
        assert!(reply.xid == xid || xid_is_reserved(request), "{reply:?} answers {request:?}");
        reply
    }

    /// As [`Session::call`], for what must succeed.
    pub fn must(&mut self, request: &Request) -> Reply {
        let reply = self.call(request);
        assert_eq!(reply.err, 0, "{request:?} failed");
        reply
    }

    /// Whether the server closes the connection within `patience`; what it sends before is passed
    /// over.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        let deadline = std::time::Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            match self.connection.receive_within(left) {
                Received::Closed => return true,
                Received::Nothing => return false,
                Received::Frame(_) => {}
            }
        }
    }
}

impl Reply {
    /// Takes a frame apart. Panics if it is too short for a reply.
    pub fn of(frame: &[u8]) -> Reply {
        let mut reader = Reader::new(frame);
        let (xid, zxid, err) = (reader.int(), reader.long(), reader.int());
        let (Some(xid), Some(zxid), Some(err)) = (xid, zxid, err) else { panic!("no header: {frame:?}") };
        Reply { xid, zxid, err, body: frame[reader.at()..].to_vec() }
    }

    /// The string or buffer at the start of the body.
    pub fn buffer(&self) -> &[u8] {
        Reader::new(&self.body).buffer().expect("a buffer").expect("not null")
    }

    /// The vector's length at the start of the body.
    pub fn count(&self) -> i32 {
        Reader::new(&self.body).int().expect("a count")
    }
}

fn xid_is_reserved(request: &Request) -> bool {
    matches!(request.op(), op::PING | op::AUTH | op::SET_WATCHES | op::SET_WATCHES2)
}

/// A create with an open ACL; the flags are those of the protocol.
pub fn create(path: &str, data: &[u8], flags: i32) -> Request {
    let (path, data) = (path.to_owned(), Some(data.to_vec()));
    Request::Create { op: op::CREATE, path, data, acl: open_acl(), flags, ttl_ms: 0 }
}

/// A setData of any version.
pub fn set_data(path: &str, data: &[u8]) -> Request {
    Request::SetData { path: path.to_owned(), data: Some(data.to_vec()), version: -1 }
}

/// A getData without a watch.
pub fn get_data(path: &str) -> Request {
    Request::Read { op: op::GET_DATA, path: path.to_owned(), watch: false }
}

/// A ping.
pub fn ping() -> Request {
    Request::Raw { op: op::PING, body: Vec::new() }
}
