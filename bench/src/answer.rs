//! Requests in, replies out: the minimum a server of this protocol can do.
//!
//! Only the length, xid and opcode of a request are examined, and the path of a create, which the
//! reply repeats.

use std::sync::atomic::{AtomicI64, Ordering};

/// Longest request frame accepted, in bytes; a longer or negative length closes the connection.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

const STAT_BYTES: usize = 68;
const HEADER_BYTES: usize = 16;

const OP_CREATE: i32 = 1;
const OP_DELETE: i32 = 2;
const OP_EXISTS: i32 = 3;
const OP_GET_DATA: i32 = 4;
const OP_SET_DATA: i32 = 5;
const OP_GET_CHILDREN: i32 = 8;
const OP_PING: i32 = 11;
const OP_GET_CHILDREN2: i32 = 12;
const OP_MULTI: i32 = 14;
const OP_CLOSE_SESSION: i32 = -11;

const CODE_OK: i32 = 0;
const CODE_UNIMPLEMENTED: i32 = -6;

/// State shared by all connections of one server.
#[derive(Debug)]
pub struct Canned {
    /// The body of every getData reply: data and Stat.
    data_and_stat: Vec<u8>,
    /// Source of sessions, zxids and sequence numbers, each of which only has to be unique.
    counter: AtomicI64,
}

impl Canned {
    /// Replies with `data_bytes` bytes of data.
    pub fn new(data_bytes: usize) -> Self {
        let mut data_and_stat = Vec::with_capacity(4 + data_bytes + STAT_BYTES);
        data_and_stat.extend_from_slice(&(data_bytes as i32).to_be_bytes());
        data_and_stat.resize(4 + data_bytes, b'x');
        data_and_stat.extend_from_slice(&[0; STAT_BYTES]);
        Self { data_and_stat, counter: AtomicI64::new(1) }
    }

    fn next(&self) -> i64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }
}

/// State of one connection's requests.
#[derive(Debug, Default)]
pub struct Progress {
    /// Whether the handshake, the only frame without a header, was received.
    greeted: bool,
}

/// The result of processing a piece of input.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Bytes of the input that were processed; the rest is an incomplete frame.
    pub consumed: usize,
    /// These replies are the last: the client closed its session or sent an invalid frame.
    pub close: bool,
}

impl Progress {
    /// Appends the replies to all complete frames of `input` to `out`, and copies the frames of
    /// writes to `log`.
    pub fn answer(
        &mut self,
        canned: &Canned,
        input: &[u8],
        out: &mut Vec<u8>,
        log: &mut Vec<u8>,
    ) -> Answered {
        let mut done = Answered::default();
        while let Some((length, rest)) = input[done.consumed..].split_first_chunk::<4>() {
            let length = i32::from_be_bytes(*length);
            if length < 0 || length as usize > FRAME_BYTES_MAX {
                done.close = true;
                break;
            }
            let Some(frame) = rest.get(..length as usize) else { break };
            done.consumed += 4 + frame.len();
            done.close =
                if self.greeted { !request(canned, frame, out, log) } else { !greet(canned, frame, out) };
            self.greeted = true;
            if done.close {
                break;
            }
        }
        done
    }
}

/// Answers the handshake; false if it is invalid.
fn greet(canned: &Canned, frame: &[u8], out: &mut Vec<u8>) -> bool {
    // After protocolVersion and lastZxidSeen comes the timeout, which is granted as requested.
    let Some(timeout) = frame.get(12..16) else { return false };
    // A client that knows the read-only flag sends one byte more than 28 + its 16-byte password,
    // and expects it in the reply.
    let read_only = frame.len() > 44 || frame.len() == 29;
    out.extend_from_slice(&(36 + i32::from(read_only)).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(timeout);
    out.extend_from_slice(&canned.next().to_be_bytes());
    out.extend_from_slice(&16i32.to_be_bytes());
    out.extend_from_slice(&[7; 16]);
    if read_only {
        out.push(0);
    }
    true
}

/// Answers one request; false if it ends the connection.
fn request(canned: &Canned, frame: &[u8], out: &mut Vec<u8>, log: &mut Vec<u8>) -> bool {
    let Some((header, body)) = frame.split_at_checked(8) else { return false };
    let xid: [u8; 4] = header[..4].try_into().expect("four of eight bytes");
    let opcode = i32::from_be_bytes(header[4..].try_into().expect("the other four of eight bytes"));
    match opcode {
        OP_GET_DATA => reply(out, xid, CODE_OK, &[&canned.data_and_stat]),
        OP_EXISTS => reply(out, xid, CODE_OK, &[&[0; STAT_BYTES]]),
        OP_GET_CHILDREN => reply(out, xid, CODE_OK, &[&[0; 4]]),
        OP_GET_CHILDREN2 => reply(out, xid, CODE_OK, &[&[0; 4 + STAT_BYTES]]),
        OP_SET_DATA => {
            log.extend_from_slice(frame);
            reply(out, xid, CODE_OK, &[&[0; STAT_BYTES]]);
        }
        OP_DELETE | OP_MULTI => {
            log.extend_from_slice(frame);
            reply(out, xid, CODE_OK, &[]);
        }
        OP_CREATE => {
            log.extend_from_slice(frame);
            return create(canned, xid, body, out);
        }
        OP_PING => reply(out, xid, CODE_OK, &[]),
        OP_CLOSE_SESSION => {
            reply(out, xid, CODE_OK, &[]);
            return false;
        }
        _ => {
            reply(out, xid, CODE_UNIMPLEMENTED, &[]);
            return false;
        }
    }
    true
}

/// The reply to a create has the path, with a number appended if the flags (the last four bytes)
/// request it.
fn create(canned: &Canned, xid: [u8; 4], body: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((length, rest)) = body.split_first_chunk::<4>() else { return false };
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { return false };
    let (Some(path), Some(flags)) = (rest.get(..length), rest.last()) else { return false };
    if matches!(flags, 2 | 3) {
        let number = format!("{:010}", canned.next() as i32);
        reply(out, xid, CODE_OK, &[&((length + number.len()) as i32).to_be_bytes(), path, number.as_bytes()]);
    } else {
        reply(out, xid, CODE_OK, &[&(length as i32).to_be_bytes(), path]);
    }
    true
}

fn reply(out: &mut Vec<u8>, xid: [u8; 4], code: i32, body: &[&[u8]]) {
    let length = HEADER_BYTES + body.iter().map(|part| part.len()).sum::<usize>();
    out.reserve(4 + length);
    out.extend_from_slice(&(length as i32).to_be_bytes());
    out.extend_from_slice(&xid);
    out.extend_from_slice(&1i64.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
    for part in body {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as i32).to_be_bytes(), body].concat()
    }

    fn handshake(read_only: bool) -> Vec<u8> {
        let mut body = vec![0; 28];
        body[12..16].copy_from_slice(&30_000i32.to_be_bytes());
        body[24..28].copy_from_slice(&16i32.to_be_bytes());
        body.resize(44 + usize::from(read_only), 0);
        frame(&body)
    }

    fn request(xid: i32, opcode: i32, body: &[u8]) -> Vec<u8> {
        frame(&[&xid.to_be_bytes(), &opcode.to_be_bytes(), body].concat())
    }

    fn run(input: &[u8]) -> (Answered, Vec<u8>, Vec<u8>) {
        let (mut out, mut log) = (Vec::new(), Vec::new());
        let answered = Progress::default().answer(&Canned::new(100), input, &mut out, &mut log);
        (answered, out, log)
    }

    #[test]
    fn grants_the_timeout_and_echoes_the_read_only_flag_only_when_sent() {
        let (_, plain, _) = run(&handshake(false));
        assert_eq!(plain.len(), 4 + 36);
        assert_eq!(plain[8..12], 30_000i32.to_be_bytes());
        let (_, flagged, _) = run(&handshake(true));
        assert_eq!(flagged.len(), 4 + 37);
    }

    #[test]
    fn answers_pipelined_frames_and_leaves_the_incomplete_one() {
        let whole =
            [handshake(true), request(1, OP_GET_DATA, b"xxxx"), request(2, OP_GET_DATA, b"xxxx")].concat();
        let (answered, out, log) = run(&whole[..whole.len() - 1]);
        assert_eq!(answered.consumed, whole.len() - request(2, OP_GET_DATA, b"xxxx").len());
        assert!(!answered.close && log.is_empty());
        assert_eq!(out.len(), 41 + 4 + HEADER_BYTES + 4 + 100 + STAT_BYTES);
    }

    #[test]
    fn logs_writes_and_numbers_sequential_creates() {
        let mut body = frame(b"/a-");
        body.extend_from_slice(&3i32.to_be_bytes());
        let create = request(1, OP_CREATE, &body);
        let (_, out, log) = run(&[handshake(true), create.clone()].concat());
        assert_eq!(log, create[4..]);
        assert!(out.ends_with(b"/a-0000000002"), "{out:?}");
    }

    #[test]
    fn ends_the_connection_on_close_and_on_a_bad_length() {
        let closing = [handshake(true), request(1, OP_CLOSE_SESSION, &[]), request(2, OP_PING, &[])].concat();
        let (answered, _, _) = run(&closing);
        assert!(answered.close && answered.consumed < closing.len());
        let (answered, out, _) = run(&(-1i32).to_be_bytes());
        assert!(answered.close && out.is_empty());
    }
}
