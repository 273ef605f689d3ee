//! Requests encoded once and patched for every use.
//!
//! The load generator shares the machine with the server it measures, so a request must cost it no
//! more than a copy: the frame is built at the start, and only the xid and the digits at the end of
//! the path are rewritten.

use wire::AclList;
use wire::frame;
use wire::jute::Put;
use wire::opcode::Opcode;

/// Digits at the end of a znode's name that are patched. They bound the number of znodes of one
/// kind in a run.
pub(super) const DIGITS: usize = 8;
/// One more than the highest number [`DIGITS`] can write.
pub(super) const NUMBERS: u64 = 100_000_000;

/// Where the xid stands in a frame: behind the length.
const XID_AT: usize = 4;

/// A name under which numbered znodes are kept: a parent and the length of the children's names.
#[derive(Debug, Clone)]
pub(super) struct Family {
    /// Path of the parent.
    pub(super) parent: String,
    /// Length of a child's name, at least [`DIGITS`] + 1.
    pub(super) name_bytes: usize,
}

impl Family {
    /// Path of child number `number`, taken modulo [`NUMBERS`].
    pub(super) fn path(&self, number: u64) -> String {
        format!("{}/n{:0width$}", self.parent, number % NUMBERS, width = self.name_bytes - 1)
    }
}

/// An encoded request frame with the places where a number goes.
#[derive(Debug, Clone)]
pub(super) struct Template {
    frame: Vec<u8>,
    /// Offsets of the first of [`DIGITS`] digits.
    numbers: Vec<usize>,
}

impl Template {
    /// Encodes one request: `body` appends the record and reports where each path in it ends.
    fn new(opcode: Opcode, body: impl FnOnce(&mut Vec<u8>, &mut dyn FnMut(usize))) -> Self {
        let (mut frame, mut numbers) = (Vec::new(), Vec::new());
        let mark = frame::begin(&mut frame);
        frame.put_i32(0);
        frame.put_i32(opcode as i32);
        body(&mut frame, &mut |path_end| numbers.push(path_end - DIGITS));
        frame::finish(&mut frame, mark);
        Self { frame, numbers }
    }

    /// `getData`, `exists`, `getChildren` or `getChildren2` of a numbered znode, without a watch.
    pub(super) fn read(opcode: Opcode, family: &Family) -> Self {
        Self::new(opcode, |out, path_end| {
            out.put_str(&family.path(0));
            path_end(out.len());
            out.put_bool(false);
        })
    }

    /// A read of one path that has no number.
    pub(super) fn read_path(opcode: Opcode, path: &str, watch: bool) -> Self {
        Self::new(opcode, |out, _| {
            out.put_str(path);
            out.put_bool(watch);
        })
    }

    /// `setData` of a numbered znode, whatever its version.
    pub(super) fn set(family: &Family, data: &[u8]) -> Self {
        Self::new(Opcode::SetData, |out, path_end| {
            out.put_str(&family.path(0));
            path_end(out.len());
            put_set_tail(out, data);
        })
    }

    /// `setData` of one path that has no number.
    pub(super) fn set_path(path: &str, data: &[u8]) -> Self {
        Self::new(Opcode::SetData, |out, _| {
            out.put_str(path);
            put_set_tail(out, data);
        })
    }

    /// `create` of a numbered persistent znode that anyone may use.
    pub(super) fn create(family: &Family, data: &[u8]) -> Self {
        Self::new(Opcode::Create, |out, path_end| {
            out.put_str(&family.path(0));
            path_end(out.len());
            put_create_tail(out, data, wire_flags::PERSISTENT);
        })
    }

    /// `create` of an ephemeral znode whose number the server gives.
    pub(super) fn create_sequential(prefix: &str, data: &[u8]) -> Self {
        Self::new(Opcode::Create, |out, _| {
            out.put_str(prefix);
            put_create_tail(out, data, wire_flags::EPHEMERAL_SEQUENTIAL);
        })
    }

    /// `delete` of a numbered znode, whatever its version.
    pub(super) fn delete(family: &Family) -> Self {
        Self::new(Opcode::Delete, |out, path_end| {
            out.put_str(&family.path(0));
            path_end(out.len());
            out.put_i32(-1);
        })
    }

    /// `multi` of `count` times `setData`.
    pub(super) fn multi_set(family: &Family, data: &[u8], count: usize) -> Self {
        Self::new(Opcode::Multi, |out, path_end| {
            for _ in 0..count {
                put_multi_header(out, Opcode::SetData as i32, false);
                out.put_str(&family.path(0));
                path_end(out.len());
                put_set_tail(out, data);
            }
            put_multi_header(out, -1, true);
        })
    }

    /// A request without a record: `ping`, `closeSession`.
    pub(super) fn bare(opcode: Opcode) -> Self {
        Self::new(opcode, |_, _| {})
    }

    /// Appends the request with its own xid, and with the next of `numbers` at each place for one.
    #[inline]
    pub(super) fn append(&self, out: &mut Vec<u8>, xid: i32, mut number: impl FnMut() -> u64) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        out[start + XID_AT..start + XID_AT + 4].copy_from_slice(&xid.to_be_bytes());
        for at in &self.numbers {
            patch(&mut out[start + at..start + at + DIGITS], number());
        }
    }
}

mod wire_flags {
    pub(super) const PERSISTENT: i32 = 0;
    pub(super) const EPHEMERAL_SEQUENTIAL: i32 = 3;
}

fn put_set_tail(out: &mut Vec<u8>, data: &[u8]) {
    out.put_buffer(Some(data));
    out.put_i32(-1);
}

fn put_create_tail(out: &mut Vec<u8>, data: &[u8], flags: i32) {
    out.put_buffer(Some(data));
    AclList::OPEN.encode(out);
    out.put_i32(flags);
}

fn put_multi_header(out: &mut Vec<u8>, opcode: i32, done: bool) {
    out.put_i32(opcode);
    out.put_bool(done);
    out.put_i32(-1);
}

/// Appends `delete` of any path, whatever its version: the one request whose path is only known
/// from a reply.
pub(super) fn append_delete(out: &mut Vec<u8>, xid: i32, path: &[u8]) {
    let mark = frame::begin(out);
    out.put_i32(xid);
    out.put_i32(Opcode::Delete as i32);
    out.put_buffer(Some(path));
    out.put_i32(-1);
    frame::finish(out, mark);
}

/// Writes `number`, modulo [`NUMBERS`], as [`DIGITS`] digits. Pairs of digits come from a table:
/// one division for two.
#[inline]
fn patch(digits: &mut [u8], number: u64) {
    let mut rest = (number % NUMBERS) as u32;
    for pair in digits.rchunks_exact_mut(2) {
        let at = (rest % 100) as usize * 2;
        pair.copy_from_slice(&PAIRS[at..at + 2]);
        rest /= 100;
    }
}

const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut number = 0;
    while number < 100 {
        pairs[number * 2] = b'0' + (number / 10) as u8;
        pairs[number * 2 + 1] = b'0' + (number % 10) as u8;
        number += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> Family {
        Family { parent: "/bench".into(), name_bytes: 14 }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn names_have_the_length_asked_for() {
        assert_eq!(family().path(42), "/bench/n0000000000042");
        assert_eq!(family().path(NUMBERS + 1), family().path(1));
    }

    #[test]
    fn a_patched_frame_is_the_one_encoded_for_that_number() {
        for number in [0, 7, 99, 100, 12_345_678, 99_999_999] {
            let mut out = b"before".to_vec();
            Template::read(Opcode::GetData, &family()).append(&mut out, 77, || number);
            let mut expected = b"before".to_vec();
            let mark = frame::begin(&mut expected);
            expected.put_i32(77);
            expected.put_i32(4);
            expected.put_str(&family().path(number));
            expected.put_bool(false);
            frame::finish(&mut expected, mark);
            assert_eq!(text(&out), text(&expected));
        }
    }

    #[test]
    fn every_operation_of_a_multi_gets_its_own_number() {
        let mut out = Vec::new();
        let mut next = 0;
        Template::multi_set(&family(), b"x", 3).append(&mut out, 1, || {
            next += 1;
            next
        });
        for number in 1..=3 {
            assert!(text(&out).contains(&family().path(number)), "{number} is missing");
        }
        assert!(!text(&out).contains(&family().path(0)));
    }

    #[test]
    fn a_create_carries_data_acl_and_flags() {
        let mut out = Vec::new();
        Template::create_sequential("/lock/l-", b"data").append(&mut out, 1, || 0);
        let mut body = Vec::new();
        body.put_str("/lock/l-");
        body.put_buffer(Some(b"data"));
        wire::acl::encode_list(&wire::acl::open_acl(), &mut body);
        body.put_i32(3);
        assert!(out.ends_with(&body));
    }
}
