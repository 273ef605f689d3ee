//! A connection to a scripted server.

use crate::scripted::serve;
use client::{ConnectError, Connection, CreateMode, Options, RequestError, SessionIdentity};
use std::time::Duration;
use wire::event::{EventType, KeeperState, WatcherEvent};
use wire::jute::Reader;
use wire::record::{ConnectRequest, CreateReply, Request, RequestHeader};
use wire::{AclList, ErrorCode, Opcode};

#[test]
fn resumes_with_id_password_and_last_zxid() {
    let (address, server) = serve(|mut server| server.welcome(4_000));
    let resume = SessionIdentity { id: 5, password: [3; 16], timeout_ms: 1_000 };
    let options = Options { resume: Some(resume), last_zxid_seen: 77, ..Options::default() };
    let connection = Connection::connect(address, &options).unwrap();
    assert_eq!(connection.session(), &SessionIdentity { id: 99, password: [7; 16], timeout_ms: 4_000 });
    assert_eq!(connection.last_zxid(), 77);
    let bytes = server.join().unwrap();
    let sent = ConnectRequest::decode(&mut Reader::new(&bytes)).unwrap();
    assert_eq!((sent.session_id, sent.passwd, sent.last_zxid_seen), (5, &[3; 16][..], 77));
}

#[test]
fn distinguishes_an_expired_session_from_a_closed_connection() {
    let (address, _) = serve(|mut server| server.welcome(0));
    let error = Connection::connect(address, &Options::default()).unwrap_err();
    assert!(matches!(error, ConnectError::SessionExpired), "{error:?}");

    let (address, _) = serve(|mut server| server.read());
    let error = Connection::connect(address, &Options::default()).unwrap_err();
    assert!(matches!(error, ConnectError::Refused), "{error:?}");
}

#[test]
fn keeps_events_that_arrive_before_a_reply() {
    let (address, server) = serve(|mut server| {
        server.welcome(4_000);
        let create = server.read();
        let mut input = Reader::new(&create);
        let header = RequestHeader::decode(&mut input).unwrap();
        assert_eq!(header.opcode_raw, Opcode::Create as i32);
        let event = WatcherEvent {
            event_type: EventType::NodeCreated,
            state: KeeperState::SyncConnected,
            path: "/a",
        };
        server.reply(-1, 12, 0, |out| event.encode(out));
        server.reply(header.xid, 12, 0, |out| CreateReply { path: "/a" }.encode(out));
        server
    });
    let mut connection = Connection::connect(address, &Options::default()).unwrap();
    let path = connection.create("/a", None, AclList::OPEN, CreateMode::Persistent).unwrap();
    assert_eq!((path.as_str(), connection.last_zxid()), ("/a", 12));
    let event = connection.next_event(Duration::ZERO).unwrap().unwrap();
    assert_eq!((event.event_type, event.path.as_str(), event.zxid), (EventType::NodeCreated, "/a", 12));
    assert_eq!(connection.next_event(Duration::from_millis(1)).unwrap(), None);
    drop(server);
}

#[test]
fn pipelined_requests_are_answered_in_order_also_with_errors() {
    let (address, _server) = serve(|mut server| {
        server.welcome(4_000);
        for err in [0, -101, -999] {
            let request = server.read();
            let xid = RequestHeader::decode(&mut Reader::new(&request)).unwrap().xid;
            server.reply(xid, 1, err, |_| {});
        }
        server
    });
    let mut connection = Connection::connect(address, &Options::default()).unwrap();
    let delete = Request::Delete(wire::record::Delete { path: "/a", version: -1 });
    let sent = [connection.send(&Request::Ping), connection.send(&delete), connection.send(&delete)];
    assert_eq!((sent, connection.pending()), ([-2, 1, 2], 3));
    assert!(connection.receive().unwrap().result.is_ok());
    let answer = connection.receive().unwrap();
    assert_eq!(answer.result.unwrap_err().code(), Some(ErrorCode::NoNode));
    let answer = connection.receive().unwrap();
    assert!(matches!(answer.result, Err(RequestError::RefusedUnknown(-999))));
}

#[test]
fn a_reply_out_of_turn_and_a_silent_server_are_errors() {
    let (address, _server) = serve(|mut server| {
        server.welcome(4_000);
        server.read();
        server.reply(55, 1, 0, |_| {});
        server
    });
    let mut connection = Connection::connect(address, &Options::default()).unwrap();
    let error = connection.delete("/a", -1).unwrap_err();
    assert!(matches!(error, RequestError::OutOfTurn { expected: 1, actual: 55 }), "{error:?}");

    let (address, _server) = serve(|mut server| {
        server.welcome(4_000);
        server
    });
    let options = Options { reply_timeout: Some(Duration::from_millis(10)), ..Options::default() };
    let mut connection = Connection::connect(address, &options).unwrap();
    assert!(matches!(connection.ping(), Err(RequestError::Timeout)));
}
