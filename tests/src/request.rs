//! Requests as values, and their bytes.

use std::ops::Range;

use crate::jute::Record;

/// Opcodes of the client protocol, by ZooKeeper's names.
pub mod op {
    #![allow(missing_docs, reason = "the names are the documentation")]
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const SASL: i32 = 102;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CLOSE_SESSION: i32 = -11;
}

/// An entry of an ACL: permission bits, scheme, id.
pub type AclEntry = (i32, String, String);

/// world:anyone with all permissions.
pub fn open_acl() -> Option<Vec<AclEntry>> {
    Some(vec![(31, "world".to_owned(), "anyone".to_owned())])
}

/// A request. In paths a leading `%` stands for the folder of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the protocol's own")]
pub enum Request {
    /// The four kinds of create; `ttl_ms` is sent for opcode createTTL only.
    Create {
        op: i32,
        path: String,
        data: Option<Vec<u8>>,
        acl: Option<Vec<AclEntry>>,
        flags: i32,
        ttl_ms: i64,
    },
    /// delete or check.
    Versioned { op: i32, path: String, version: i32 },
    /// exists, getData, getChildren, getChildren2.
    Read { op: i32, path: String, watch: bool },
    /// setData.
    SetData { path: String, data: Option<Vec<u8>>, version: i32 },
    /// setACL.
    SetAcl { path: String, acl: Option<Vec<AclEntry>>, version: i32 },
    /// getACL, sync, getEphemerals, getAllChildrenNumber.
    Path { op: i32, path: String },
    /// checkWatches, removeWatches, addWatch.
    Watches { op: i32, path: String, kind: i32 },
    /// setWatches with three lists or setWatches2 with five. The zxid counts from where the run
    /// began.
    SetWatches { op: i32, zxid: i64, lists: Vec<Vec<String>> },
    /// multi or multiRead.
    Multi { op: i32, parts: Vec<Request> },
    /// auth.
    Auth { scheme: String, auth: Option<Vec<u8>> },
    /// Another request, of which one string, buffer or vector is spoilt: the one with this number,
    /// counted on in a circle. A request without one is sent as it is.
    Spoilt { request: Box<Request>, number: usize, how: Spoiling },
    /// An opcode and bytes that follow it: requests without a record, and broken ones.
    Raw { op: i32, body: Vec<u8> },
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoiling {
    /// It is null.
    Null,
    /// Its length or count is -2.
    Negative,
    /// It ends in these bytes, which are not UTF-8. Vectors stay as they are.
    Ends(&'static [u8]),
}

/// What must be filled in when a request is sent to one server in one run.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// What `%` stands for.
    pub folder: String,
    /// The server's zxid when the run began.
    pub zxid_base: i64,
}

impl Place {
    /// The path to send.
    pub fn path(&self, path: &str) -> String {
        path.replacen('%', &self.folder, 1)
    }
}

impl Request {
    /// The opcode in its header.
    pub fn op(&self) -> i32 {
        match self {
            Request::Create { op, .. }
            | Request::Versioned { op, .. }
            | Request::Read { op, .. }
            | Request::Path { op, .. }
            | Request::Watches { op, .. }
            | Request::SetWatches { op, .. }
            | Request::Multi { op, .. }
            | Request::Raw { op, .. } => *op,
            Request::SetData { .. } => op::SET_DATA,
            Request::SetAcl { .. } => op::SET_ACL,
            Request::Auth { .. } => op::AUTH,
            Request::Spoilt { request, .. } => request.op(),
        }
    }

    /// The whole frame. Requests with a reserved xid get theirs, others get `xid`.
    pub fn frame(&self, xid: i32, place: &Place) -> Vec<u8> {
        let xid = match self.op() {
            op::PING => -2,
            op::AUTH => -4,
            op::SET_WATCHES | op::SET_WATCHES2 => -8,
            _ => xid,
        };
        self.body(Record::new().int(xid).int(self.op()), place).framed()
    }

    fn body(&self, record: Record, place: &Place) -> Record {
        match self {
            Request::Create { op, path, data, acl: entries, flags, ttl_ms } => {
                let record = record.string(&place.path(path)).buffer(data.as_deref());
                let record = acl(record, entries.as_deref()).int(*flags);
                if *op == op::CREATE_TTL { record.long(*ttl_ms) } else { record }
            }
            Request::Versioned { path, version, .. } => record.string(&place.path(path)).int(*version),
            Request::Read { path, watch, .. } => record.string(&place.path(path)).bool(*watch),
            Request::SetData { path, data, version } => {
                record.string(&place.path(path)).buffer(data.as_deref()).int(*version)
            }
            Request::SetAcl { path, acl: entries, version } => {
                acl(record.string(&place.path(path)), entries.as_deref()).int(*version)
            }
            Request::Path { path, .. } => record.string(&place.path(path)),
            Request::Watches { path, kind, .. } => record.string(&place.path(path)).int(*kind),
            Request::SetWatches { zxid, lists, .. } => {
                let record = record.long(place.zxid_base + zxid);
                lists.iter().fold(record, |record, list| {
                    record.strings(&list.iter().map(|path| place.path(path)).collect::<Vec<_>>())
                })
            }
            Request::Multi { parts, .. } => {
                let parts = parts
                    .iter()
                    .fold(record, |record, part| part.body(record.int(part.op()).bool(false).int(-1), place));
                parts.int(-1).bool(true).int(-1)
            }
            Request::Auth { scheme, auth } => record.int(0).string(scheme).buffer(auth.as_deref()),
            Request::Spoilt { request, number, how } => {
                let before = record.0.len();
                let whole = request.body(record, place);
                let fields = whole.fields();
                match fields.get(number % fields.len().max(1)) {
                    Some(field) => spoilt(&whole.0, field.clone(), *how, before),
                    None => whole,
                }
            }
            Request::Raw { body, .. } => record.raw(body),
        }
    }
}

fn acl(record: Record, entries: Option<&[AclEntry]>) -> Record {
    record.field(|record| {
        let Some(entries) = entries else { return record.int(-1) };
        entries.iter().fold(record.int(entries.len() as i32), |record, (perms, scheme, id)| {
            record.int(*perms).string(scheme).string(id)
        })
    })
}

fn spoilt(whole: &[u8], field: Range<usize>, how: Spoiling, header: usize) -> Record {
    assert!(field.start >= header, "fields lie behind the header");
    let record = Record::new().raw(&whole[..field.start]);
    let record = match how {
        Spoiling::Null => record.int(-1),
        Spoiling::Negative => record.int(-2),
        Spoiling::Ends(bytes) => {
            let (length, content) = whole[field.clone()].split_at(4);
            let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
            // Of a vector this is the count.
            let is_string = usize::try_from(length).is_ok_and(|length| length == content.len());
            let added = if is_string { bytes } else { &[] };
            record.int(length + added.len() as i32).raw(content).raw(added)
        }
    };
    record.raw(&whole[field.end..])
}
