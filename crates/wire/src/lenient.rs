//! Requests as ZooKeeper reads them where a strict decoder fails.
//!
//! Java decodes strings leniently and allows null for every string and list. Old clients send names
//! and passwords in other character sets, and some send null. [`understood`] rewrites the body of
//! such a request so that strict decoding and execution give ZooKeeper's answer. It is for bodies
//! that failed to decode; others never need it.

use std::borrow::Cow;

use crate::jute::{Malformed, Put, Reader};
use crate::opcode::Opcode;
use crate::record::MultiHeader;

/// Replaces a null path. No znode can have it.
///
/// ZooKeeper's Java code fails on null in different places: create or delete of it gives
/// `MarshallingError`, other writes give `BadArguments`, it can be watched, and `sync` sends null
/// back.
pub const NULL_PATH: &str = "\0null";

/// Represents a null list of paths, as the only path in it. Java fails when it reaches that list.
pub const NULL_LIST: &str = "\0null list";

/// The character Java substitutes for bytes that are not UTF-8.
const REPLACEMENT: char = '\u{FFFD}';

/// A request as ZooKeeper reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Understood {
    /// The body rewritten so that it decodes strictly.
    pub body: Vec<u8>,
    /// ZooKeeper executes this much and then fails: the reply has this content and the error
    /// `MarshallingError`. Only for a multiRead, whose parts before the null are answered.
    pub stumbles: bool,
}

/// The request as ZooKeeper reads it; `None` if ZooKeeper cannot read it either.
pub fn understood(op: Opcode, body: &[u8]) -> Option<Understood> {
    let out = Vec::with_capacity(body.len());
    let mut rewriting =
        Rewriting { input: Reader::new(body), out, takes_null_names: false, has_null_name: false };
    let stumbles = rewriting.request(op).ok()?;
    // Bytes after the record are ignored, as everywhere.
    Some(Understood { body: rewriting.out, stumbles })
}

/// Java's text for these bytes (`new String(bytes, UTF_8)`).
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(decode(bytes)),
    }
}

fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    let mut rest = bytes;
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                break;
            }
            Err(e) => {
                let (valid, bad) = rest.split_at(e.valid_up_to());
                text.push_str(std::str::from_utf8(valid).expect("validated above"));
                text.push(REPLACEMENT);
                rest = &bad[replaced_len(bad)..];
            }
        }
    }
    text
}

/// The number of these bytes, which do not start with a character, that Java replaces by one
/// character. It differs from Unicode's recommendation for surrogates: Java replaces all three
/// bytes together.
fn replaced_len(bad: &[u8]) -> usize {
    let continues = |at: usize| bad.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let second = bad.get(1).copied();
    match bad[0] {
        0xE0 if matches!(second, Some(0x80..=0x9F)) => 1,
        0xED if matches!(second, Some(0xA0..=0xBF)) && continues(2) => 3,
        0xE0..=0xEF if continues(1) => 2,
        0xF0 if matches!(second, Some(0x80..=0x8F)) => 1,
        0xF4 if matches!(second, Some(0x90..=0xBF)) => 1,
        0xF0..=0xF4 if continues(1) && continues(2) => 3,
        0xF0..=0xF4 if continues(1) => 2,
        _ => 1,
    }
}

/// A field of a record, as far as rewriting needs it.
#[derive(Clone, Copy)]
enum Field {
    /// This number of bytes, copied unchanged.
    Bytes(usize),
    /// A buffer, copied unchanged.
    Buffer,
    /// A string that may be null.
    Text,
    /// The path of a read: Java fails on null, so it stays malformed.
    Name,
    /// A path; [`NULL_PATH`] replaces null.
    Path,
    /// A list of paths; [`NULL_LIST`] replaces null.
    Paths,
    /// An ACL.
    Acl,
}

/// The fields of a request in wire order; `None` for requests without strings and for those that
/// are not one record.
fn fields(op: Opcode) -> Option<&'static [Field]> {
    use Field::{Acl, Buffer, Bytes, Name, Path, Paths, Text};
    Some(match op {
        Opcode::Create | Opcode::Create2 | Opcode::CreateContainer | Opcode::CreateIfNotExists => {
            &[Path, Buffer, Acl, Bytes(4)]
        }
        Opcode::CreateTtl => &[Path, Buffer, Acl, Bytes(12)],
        Opcode::SetData => &[Path, Buffer, Bytes(4)],
        Opcode::SetAcl => &[Path, Acl, Bytes(4)],
        Opcode::Delete | Opcode::Check | Opcode::AddWatch | Opcode::CheckWatches | Opcode::RemoveWatches => {
            &[Path, Bytes(4)]
        }
        Opcode::Sync => &[Path],
        Opcode::SetWatches => &[Bytes(8), Paths, Paths, Paths],
        Opcode::SetWatches2 => &[Bytes(8), Paths, Paths, Paths, Paths, Paths],
        Opcode::Exists | Opcode::GetData | Opcode::GetChildren | Opcode::GetChildren2 => &[Name, Bytes(1)],
        Opcode::GetAcl | Opcode::GetAllChildrenNumber => &[Name],
        Opcode::GetEphemerals => &[Text],
        Opcode::Reconfig => &[Text, Text, Text, Bytes(8)],
        Opcode::FilteredList => &[Name, Bytes(2)],
        Opcode::FilteredListWithStatsAndData => &[Name, Bytes(4)],
        Opcode::ListRecursive | Opcode::CheckNotExists | Opcode::RemoveRecursive | Opcode::TryRemove => {
            &[Name, Bytes(4)]
        }
        Opcode::CheckStat => &[Name, Bytes(4 + crate::stat::Stat::ENCODED_LEN)],
        Opcode::Notification
        | Opcode::Ping
        | Opcode::Multi
        | Opcode::DeleteContainer
        | Opcode::MultiRead
        | Opcode::Auth
        | Opcode::Sasl
        | Opcode::WhoAmI
        | Opcode::CreateSession
        | Opcode::CloseSession
        | Opcode::Error => return None,
    })
}

struct Rewriting<'a> {
    input: Reader<'a>,
    out: Vec<u8>,
    /// Record a null [`Field::Name`] in `has_null_name` instead of rejecting the request.
    takes_null_names: bool,
    has_null_name: bool,
}

impl Rewriting<'_> {
    /// Rewrites a request; returns whether ZooKeeper fails after the part that was rewritten.
    fn request(&mut self, op: Opcode) -> Result<bool, Malformed> {
        match op {
            Opcode::Multi => self.operations(false),
            Opcode::MultiRead => self.operations(true),
            _ => self.record(op).map(|()| false),
        }
    }

    fn record(&mut self, op: Opcode) -> Result<(), Malformed> {
        let fields = fields(op).ok_or(Malformed::Operation(op as i32))?;
        fields.iter().try_for_each(|field| self.field(*field))
    }

    fn operations(&mut self, are_reads: bool) -> Result<bool, Malformed> {
        self.takes_null_names = are_reads;
        let mut before_null = None;
        loop {
            let part = self.out.len();
            let header = MultiHeader::decode(&mut self.input)?;
            header.encode(&mut self.out);
            if header.done {
                break;
            }
            let op = Opcode::from_i32(header.opcode_raw).filter(|op| op.is_multi_part());
            self.record(op.ok_or(Malformed::Operation(header.opcode_raw))?)?;
            if self.has_null_name && before_null.is_none() {
                before_null = Some(part);
            }
        }
        if let Some(part) = before_null {
            self.out.truncate(part);
            MultiHeader::END.encode(&mut self.out);
        }
        Ok(before_null.is_some())
    }

    fn field(&mut self, field: Field) -> Result<(), Malformed> {
        match field {
            Field::Bytes(count) => self.out.extend_from_slice(self.input.take(count)?),
            Field::Buffer => {
                let buffer = self.input.buffer()?;
                self.out.put_buffer(buffer);
            }
            Field::Text => {
                let text = self.text()?;
                self.out.put_opt_str(text.as_deref());
            }
            Field::Name => {
                let name = self.text()?;
                if name.is_none() && !self.takes_null_names {
                    return Err(Malformed::Null);
                }
                self.has_null_name |= name.is_none();
                self.out.put_str(name.as_deref().unwrap_or(NULL_PATH));
            }
            Field::Path => {
                let path = self.text()?;
                self.out.put_str(path.as_deref().unwrap_or(NULL_PATH));
            }
            Field::Paths => match self.input.vector_len()? {
                None => {
                    self.out.put_len(1);
                    self.out.put_str(NULL_LIST);
                }
                Some(count) => {
                    self.out.put_len(count);
                    (0..count).try_for_each(|_| self.field(Field::Path))?;
                }
            },
            Field::Acl => {
                let count = self.input.vector_len()?;
                self.out.put_i32(count.map_or(-1, |count| count as i32));
                for _ in 0..count.unwrap_or(0) {
                    self.field(Field::Bytes(4))?;
                    self.field(Field::Text)?;
                    self.field(Field::Text)?;
                }
            }
        }
        Ok(())
    }

    fn text(&mut self) -> Result<Option<Cow<'static, str>>, Malformed> {
        Ok(self.input.buffer()?.map(|bytes| Cow::Owned(text(bytes).into_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::AclList;
    use crate::record::{Create, Multi, Request};

    /// Java 17 printed each expectation.
    #[test]
    fn text_is_decoded_as_in_java() {
        let cases: &[(&[u8], &str)] = &[
            (b"plain", "plain"),
            ("p\u{e4}ss \u{1f600}".as_bytes(), "p\u{e4}ss \u{1f600}"),
            (b"joe:p\xe4ss", "joe:p\u{fffd}ss"),
            (b"\x80uro", "\u{fffd}uro"),
            (b"\xc3\xdc\xc2\xeb", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xed\xa0\x80x", "\u{fffd}x"),
            (b"\xed\xa0", "\u{fffd}"),
            (b"\xe0\x80\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xe3\x81", "\u{fffd}"),
            (b"\xe3\x81x", "\u{fffd}x"),
            (b"\xf0\x9f\x98", "\u{fffd}"),
            (b"\xf0\x9f\x98x", "\u{fffd}x"),
            (b"\xf0\x8f\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf4\x90\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf8\x88\x80\x80\x80", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xc0\xaf", "\u{fffd}\u{fffd}"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(text(bytes), *expected, "{bytes:x?}");
        }
    }

    fn create_with(path: Option<&[u8]>, id: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_buffer(path);
        body.put_buffer(Some(b"\xff"));
        body.put_i32(1);
        body.put_i32(31);
        body.put_buffer(None);
        body.put_buffer(Some(id));
        body.put_i32(0);
        body
    }

    fn create(body: &[u8]) -> Create<'_> {
        let Ok(Request::Create(create)) = Request::decode(Opcode::Create, body) else { panic!("{body:x?}") };
        create
    }

    #[test]
    fn strings_are_replaced_and_data_are_not() {
        let body = understood(Opcode::Create, &create_with(Some(b"/\xe4"), b"u:\xe4")).unwrap().body;
        let create = create(&body);
        assert_eq!((create.path, create.data), ("/\u{fffd}", Some(&b"\xff"[..])));
        let entries: Vec<_> = create.acl.nullable().collect();
        assert_eq!(entries, [(31, None, Some("u:\u{fffd}"))]);
    }

    #[test]
    fn a_null_path_is_replaced() {
        let body = understood(Opcode::Create, &create_with(None, b"")).unwrap().body;
        assert_eq!(create(&body).path, NULL_PATH);
        // In a read, Java fails on it.
        assert_eq!(understood(Opcode::Exists, b"\xff\xff\xff\xff\0"), None);
    }

    #[test]
    fn null_lists_of_watches_are_replaced() {
        let body = [&[0; 8][..], &[0, 0, 0, 0], &[0xff; 4], &[0xff, 0xff, 0xff, 0xfe]].concat();
        let body = understood(Opcode::SetWatches, &body).unwrap().body;
        let Ok(Request::SetWatches(watches)) = Request::decode(Opcode::SetWatches, &body) else { panic!() };
        assert_eq!(watches.data.len(), 0);
        assert_eq!(watches.exist.iter().collect::<Vec<_>>(), [NULL_LIST]);
        assert_eq!(watches.child.len(), 0, "a count below -1 means 0");
    }

    #[test]
    fn parts_of_a_multi_are_rewritten_but_not_nested_multis() {
        let mut body = Vec::new();
        MultiHeader { opcode_raw: Opcode::Create as i32, done: false, err: -1 }.encode(&mut body);
        body.extend(create_with(Some(b"/\xe4"), b""));
        MultiHeader::END.encode(&mut body);
        let rewritten = understood(Opcode::Multi, &body).unwrap().body;
        let parts = Multi::decode(&mut Reader::new(&rewritten)).unwrap();
        assert_eq!(parts.iter().map(|part| part.path()).collect::<Vec<_>>(), [Some("/\u{fffd}")]);

        let mut nested = Vec::new();
        MultiHeader { opcode_raw: Opcode::Multi as i32, done: false, err: -1 }.encode(&mut nested);
        assert_eq!(understood(Opcode::Multi, &nested), None);
    }

    #[test]
    fn a_multi_read_is_answered_up_to_a_null_path() {
        let mut body = Vec::new();
        for path in [Some(&b"/a"[..]), None, Some(b"/b")] {
            MultiHeader { opcode_raw: Opcode::GetData as i32, done: false, err: -1 }.encode(&mut body);
            body.put_buffer(path);
            body.put_bool(false);
        }
        let cut = body.clone();
        MultiHeader::END.encode(&mut body);
        let Understood { body, stumbles } = understood(Opcode::MultiRead, &body).unwrap();
        let parts = Multi::decode(&mut Reader::new(&body)).unwrap();
        assert_eq!(parts.iter().map(|part| part.path()).collect::<Vec<_>>(), [Some("/a")]);
        assert!(stumbles);
        assert_eq!(understood(Opcode::MultiRead, &cut), None, "the rest must be present");
    }

    #[test]
    fn a_truncated_request_stays_malformed() {
        let whole = create_with(Some(b"/\xe4"), b"x");
        for cut in 0..whole.len() {
            assert_eq!(understood(Opcode::Create, &whole[..cut]), None, "{cut} bytes");
        }
        assert_eq!(AclList::NULL.nullable().count(), 0);
    }
}
