//! The fields of a server's frame, where they are, and which of them differ from run
//! to run.

use std::ops::Range;

use crate::jute::{Reader, show};
use crate::request::op;

/// What a field holds, as far as comparing two servers is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Something that must be equal.
    Plain,
    /// A zxid: equal as a distance from where the run began.
    Zxid,
    /// Milliseconds since 1970.
    Time,
    /// A session id: equal as a name of the session.
    Session,
    /// A session's password.
    Password,
    /// An item of a list without an order: a child's name, an identity of a session.
    Listed,
}

/// One field of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the protocol.
    pub name: &'static str,
    /// Where its bytes lie in the frame.
    pub range: Range<usize>,
    /// What it holds.
    pub holds: Holds,
    /// Its value when it is an integer.
    pub number: i64,
    /// Its value for people.
    pub text: String,
}

/// What kind of frame to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The reply to a handshake.
    Handshake,
    /// The reply to a request with this opcode, or a watch event before it.
    Reply(i32),
}

/// Takes a frame apart. What is left over, or cannot be read as it should, becomes a last field
/// `rest`.
pub fn fields(expect: Expect, frame: &[u8]) -> Vec<Field> {
    let mut walk = Walk { reader: Reader::new(frame), fields: Vec::new() };
    match expect {
        Expect::Handshake => walk.handshake(),
        Expect::Reply(opcode) => walk.reply(opcode),
    };
    let (at, left) = (walk.reader.at(), walk.reader.left());
    if left > 0 {
        let rest = walk.reader.take(left);
        walk.push("rest", at, Holds::Plain, 0, show(rest));
    }
    walk.fields
}

/// Whether the frame is a watch event and not a reply.
pub fn is_event(frame: &[u8]) -> bool {
    Reader::new(frame).int() == Some(-1)
}

struct Walk<'a> {
    reader: Reader<'a>,
    fields: Vec<Field>,
}

impl Walk<'_> {
    fn push(&mut self, name: &'static str, start: usize, holds: Holds, number: i64, text: String) {
        self.fields.push(Field { name, range: start..self.reader.at(), holds, number, text });
    }
    fn int(&mut self, name: &'static str) -> Option<i32> {
        let start = self.reader.at();
        let value = self.reader.int()?;
        self.push(name, start, Holds::Plain, value.into(), value.to_string());
        Some(value)
    }
    fn long(&mut self, name: &'static str, holds: Holds) -> Option<i64> {
        let start = self.reader.at();
        let value = self.reader.long()?;
        self.push(name, start, holds, value, value.to_string());
        Some(value)
    }
    fn bool(&mut self, name: &'static str) -> Option<bool> {
        let start = self.reader.at();
        let value = self.reader.take(1)?[0];
        self.push(name, start, Holds::Plain, value.into(), value.to_string());
        Some(value != 0)
    }
    fn buffer(&mut self, name: &'static str, holds: Holds) -> Option<()> {
        let start = self.reader.at();
        let value = self.reader.buffer()?;
        self.push(name, start, holds, 0, show(value));
        Some(())
    }
    fn count(&mut self) -> Option<i32> {
        self.int("count")
    }

    fn handshake(&mut self) -> Option<()> {
        self.int("protocolVersion")?;
        self.int("timeOut")?;
        self.long("sessionId", Holds::Session)?;
        self.buffer("passwd", Holds::Password)?;
        self.bool("readOnly")?;
        Some(())
    }

    fn reply(&mut self, opcode: i32) -> Option<()> {
        let xid = self.int("xid")?;
        self.long("zxid", Holds::Zxid)?;
        let err = self.int("err")?;
        match (xid, err) {
            (-1, _) => self.event(),
            (_, 0) => self.body(opcode),
            // Parts before a null path are answered behind the error.
            _ if opcode == op::MULTI_READ => self.results(),
            _ => Some(()),
        }
    }

    fn event(&mut self) -> Option<()> {
        self.int("type")?;
        self.int("state")?;
        self.buffer("path", Holds::Plain)
    }

    fn body(&mut self, opcode: i32) -> Option<()> {
        match opcode {
            op::CREATE | op::SYNC => self.buffer("path", Holds::Plain),
            op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                self.buffer("path", Holds::Plain)?;
                self.stat()
            }
            op::EXISTS | op::SET_DATA | op::SET_ACL => self.stat(),
            op::GET_DATA => {
                self.buffer("data", Holds::Plain)?;
                self.stat()
            }
            op::GET_ACL => {
                self.pairs(true)?;
                self.stat()
            }
            op::GET_CHILDREN | op::GET_EPHEMERALS => self.listing(),
            op::GET_CHILDREN2 => {
                self.listing()?;
                self.stat()
            }
            op::GET_ALL_CHILDREN_NUMBER => self.int("totalNumber").map(drop),
            op::ADD_WATCH => self.int("err").map(drop),
            op::WHO_AM_I => self.pairs(false),
            op::MULTI | op::MULTI_READ => self.results(),
            _ => Some(()),
        }
    }

    fn results(&mut self) -> Option<()> {
        loop {
            let kind = self.int("type")?;
            let done = self.bool("done")?;
            let err = self.int("err")?;
            match kind {
                _ if done => return Some(()),
                -1 => self.int("err").map(drop)?,
                _ if err != 0 => {}
                kind => self.body(kind)?,
            }
        }
    }

    fn pairs(&mut self, with_permissions: bool) -> Option<()> {
        // The identities of a session have no order, nor have the entries that replace `auth`.
        for _ in 0..self.count()? {
            let start = self.fields.len();
            if with_permissions {
                self.int("perms")?;
            }
            self.buffer("scheme", Holds::Plain)?;
            self.buffer("id", Holds::Plain)?;
            let parts: Vec<Field> = self.fields.drain(start..).collect();
            let text = parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(":");
            self.push("entry", parts[0].range.start, Holds::Listed, 0, text);
        }
        Some(())
    }

    fn listing(&mut self) -> Option<()> {
        for _ in 0..self.count()? {
            self.buffer("child", Holds::Listed)?;
        }
        Some(())
    }

    fn stat(&mut self) -> Option<()> {
        self.long("czxid", Holds::Zxid)?;
        self.long("mzxid", Holds::Zxid)?;
        self.long("ctime", Holds::Time)?;
        self.long("mtime", Holds::Time)?;
        self.int("version")?;
        self.int("cversion")?;
        self.int("aversion")?;
        self.long("ephemeralOwner", Holds::Session)?;
        self.int("dataLength")?;
        self.int("numChildren")?;
        self.long("pzxid", Holds::Zxid).map(drop)
    }
}
