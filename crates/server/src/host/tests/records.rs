//! A client over a stream that behaves as an encrypting one does, and whose socket is reported as
//! the edge-triggered poll reports it.

use group::GroupId;
use wire::frame::{self, Split};
use wire::jute::{Put as _, Reader};
use wire::opcode::Opcode;
use wire::record::{ConnectRequest, ConnectResponse, ReplyHeader};

use super::ensemble::{STEP_US, Trio, config_of, read};
use crate::config::{Config, EngineKind};
use crate::simulation::{Readiness, Stream};
use crate::stream::pipe::{self, End};
use crate::stream::records::Records;

/// Turns after which a server that has not answered hangs.
const TURNS_MAX: usize = 2_000;

/// One server and one client of it.
struct Pair {
    trio: Trio,
    /// The server's connection: its number and its socket.
    slot: usize,
    socket: End,
    client: Records<End>,
    unsent: Vec<u8>,
    received: Vec<u8>,
    /// Whether the server has said that it closes.
    ended: bool,
}

impl Pair {
    /// A client with a session, over a socket with this room.
    fn new(room: usize) -> Pair {
        Pair::updating(room, 3)
    }

    /// The same, where each side demands an answer after this number of records.
    fn updating(room: usize, update_every: usize) -> Pair {
        let mut trio = Trio::of([Config { ensemble: None, ..config_of(1, EngineKind::Raft) }]);
        trio.until("it serves", Trio::all_serve);
        let (near, socket) = pipe::pair(room);
        let mut stream = Box::new(Records::accepted(socket.clone()));
        stream.update_every = update_every;
        let slot = trio.members.get_mut(&1).unwrap().accept(GroupId::ROOT, stream).unwrap();
        let mut client = Records::dialled(near);
        client.update_every = update_every;
        let (unsent, received) = (Vec::new(), Vec::new());
        let mut pair = Pair { trio, slot, socket, client, unsent, received, ended: false };
        pair.send(|out| {
            ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: 0,
                timeout_ms: 30_000,
                session_id: 0,
                passwd: &[0; 16],
                read_only: Some(false),
            }
            .encode(out);
        });
        let frame = pair.answer();
        assert_ne!(ConnectResponse::decode(&mut Reader::new(&frame)).unwrap().session_id, 0);
        pair
    }

    fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mark = frame::begin(&mut self.unsent);
        write(&mut self.unsent);
        frame::finish(&mut self.unsent, mark);
    }

    fn ask(&mut self, xid: i32, opcode: Opcode, body: &[u8]) {
        self.send(|out| {
            out.put_i32(xid);
            out.put_i32(opcode as i32);
            out.extend_from_slice(body);
        });
    }

    fn create(&mut self, xid: i32, path: &str, data: &[u8]) {
        let mut body = Vec::new();
        body.put_str(path);
        body.put_buffer(Some(data));
        wire::acl::encode_list(&wire::acl::open_acl(), &mut body);
        body.put_i32(0);
        self.ask(xid, Opcode::Create, &body);
    }

    /// The client writes and reads what it can.
    fn pump(&mut self) {
        let client: &mut dyn Stream = &mut self.client;
        while !self.unsent.is_empty()
            && let Ok(n) = client.write(&self.unsent)
        {
            self.unsent.drain(..n);
        }
        let mut buffer = [0; 4096];
        while !self.ended
            && let Some(n) = client.try_read(&mut buffer).unwrap()
        {
            self.received.extend_from_slice(&buffer[..n]);
            self.ended = n == 0;
        }
    }

    /// A wake-up of the connection thread after this event, and what follows from it.
    fn turn(&mut self, event: Readiness) {
        self.trio.time.advance_us(STEP_US);
        let member = self.trio.members.get_mut(&1).unwrap();
        if event.readable || event.writable {
            member.serve(&[(self.slot, event)]);
        }
        member.cycle().unwrap();
        for _ in 0..TURNS_MAX {
            if !member.is_busy() {
                return;
            }
            member.serve(&[]);
            member.cycle().unwrap();
        }
        panic!("the connection thread never sleeps");
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let Split::Frame { start, end } = frame::split(&self.received, 1 << 20) else { return None };
        let frame = self.received[start..end].to_vec();
        self.received.drain(..end);
        Some(frame)
    }

    fn answer(&mut self) -> Vec<u8> {
        for _ in 0..TURNS_MAX {
            self.pump();
            if let Some(frame) = self.take() {
                return frame;
            }
            let event = self.socket.poll();
            self.turn(event);
        }
        panic!("no answer: {} bytes unsent, {} received", self.unsent.len(), self.received.len());
    }

    /// The reply to the next request, which has this xid and succeeds.
    fn reply(&mut self, xid: i32) -> Vec<u8> {
        let frame = self.answer();
        let mut reader = Reader::new(&frame);
        let header = ReplyHeader::decode(&mut reader).unwrap();
        assert_eq!((header.xid, header.err), (xid, 0));
        reader.rest().to_vec()
    }
}

/// A read that filled less than its buffer was taken for an empty socket.
#[test]
fn requests_and_replies_of_many_records_are_whole() {
    for room in [333, 5_000, 1 << 20] {
        let mut pair = Pair::new(room);
        let data: Vec<u8> = (0..70_000).map(|at| (at % 251) as u8).collect();
        pair.create(1, "/long", &data);
        pair.reply(1);
        pair.ask(2, Opcode::GetData, &read("/long"));
        let reply = pair.reply(2);
        assert!(reply.windows(data.len()).any(|part| part == data), "{room}");
        for xid in 3..300 {
            pair.create(xid, &format!("/n{xid}"), b"data");
            pair.ask(1000 + xid, Opcode::Exists, &read(&format!("/n{xid}")));
        }
        for xid in 3..300 {
            pair.reply(xid);
            pair.reply(1000 + xid);
        }
        pair.ask(2_000, Opcode::CloseSession, &[]);
        pair.reply(2_000);
        let event = pair.socket.poll();
        pair.turn(event);
        pair.pump();
        assert!(pair.ended, "the server says that nothing is missing");
        assert!(pair.trio.members[&1].facts().connections == 0, "{room}");
    }
}

/// The server has to write part of its handshake later, although it has nothing to say.
#[test]
fn a_handshake_goes_on_when_the_socket_has_room_again() {
    let mut pair = Pair::new(20);
    pair.create(1, "/a", b"data");
    pair.reply(1);
}

/// What a server receives while it writes is announced by no event.
#[test]
fn a_request_that_arrives_while_a_reply_is_written_is_served() {
    let mut pair = Pair::updating(2_000, usize::MAX);
    pair.create(1, "/long", &[b'x'; 30_000]);
    pair.reply(1);
    pair.ask(2, Opcode::GetData, &read("/long"));
    let mut asked = 2;
    let mut got = 1;
    while got < 100 {
        pair.pump();
        while pair.take().is_some() {
            got += 1;
        }
        let event = pair.socket.poll();
        // The poll has returned, and now a request arrives.
        if event.writable && asked < 100 {
            asked += 1;
            pair.ask(asked, Opcode::Exists, &read("/long"));
            pair.pump();
        }
        assert!(event.readable || event.writable || got == asked, "{got} of {asked} are answered");
        if got == asked && asked < 100 && !event.writable {
            asked += 1;
            pair.ask(asked, Opcode::GetData, &read("/long"));
        }
        pair.turn(event);
    }
}
