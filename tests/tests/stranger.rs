//! A stranger that can reach the quorum ports of a running ensemble, and does not know its key.
//!
//! One forged message of each kind once did this: a heartbeat with a commit behind the log ended
//! the server that got it; a vote with the last term there is left an ensemble that could never
//! elect a leader again, not even after a restart; a forwarded command wrote in any session;
//! and a list of the servers sent a member to addresses of the stranger's choice.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use ostler_tests::ensemble::{Engine, Ensemble, Layout};
use ostler_tests::session::{Session, create, get_data};

/// The last round of Paxos ballots, and the bits below it, which name a member.
const LAST_ROUND: u64 = (1 << 28) - 1;
const MEMBER_BITS: u32 = 34;

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    [&length.to_be_bytes()[..], &crc32c(payload).to_be_bytes(), payload].concat()
}

/// A stranger that greets as member `from` and sends one message; waits until it is disconnected.
fn say(ensemble: &Ensemble, from: u8, to: u8, payload: &[u8]) {
    let mut stream = TcpStream::connect(ensemble.peer_address(to)).expect("a quorum port");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let engine = if ensemble.engine() == Engine::Paxos { 2 } else { 1 };
    let body = [&numbers(&[0, 1 << 40])[..], &[engine, 0]].concat();
    let greeting = [b"ostlpeer\0\x01", &[from, to, 0, 18][..], &body].concat();
    let checksum = crc32c(&greeting).to_be_bytes();
    stream.write_all(&[&greeting[..], &checksum].concat()).expect("a greeting");
    let mut answer = [0; 36];
    stream.read_exact(&mut answer).expect("an answer");
    stream.write_all(&framed(payload)).expect("a frame");
    match stream.read(&mut answer) {
        Ok(0) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("the stranger is not sent away: {other:?}"),
    }
}

/// A message of the engine, from the first disk of a server to that of another.
fn engine(version: u8, kind: u8, [from, to]: [u8; 2], term: u64, body: &[u8]) -> Vec<u8> {
    let id = |server: u8| u64::from(server) + (1 << 20);
    let addresses = numbers(&[0, id(from), id(to), term]);
    [&[1][..], &numbers(&[id(from)]), &[version, kind], &addresses, body].concat()
}

fn heartbeat(of: Engine, pair: [u8; 2], term: u64) -> Vec<u8> {
    let far = 1 << 50;
    match of {
        Engine::Paxos => engine(0x81, 9, pair, term, &[&numbers(&[far, far])[..], &[0]].concat()),
        _ => engine(1, 3, pair, term, &[&numbers(&[far])[..], &[0]].concat()),
    }
}

/// A vote, as if by a handover, in the last term there is.
fn last_vote(of: Engine, pair: [u8; 2]) -> Vec<u8> {
    match of {
        Engine::Paxos => {
            let ballot = (LAST_ROUND << MEMBER_BITS) + u64::from(pair[0]) + (1 << 20);
            engine(0x81, 1, pair, ballot, &[0, 1])
        }
        _ => {
            let last = (1 << 62) - 1;
            let position = [last, 1 << 40];
            let body = [&[0, 1][..], &numbers(&position), &numbers(&position)].concat();
            engine(1, 5, pair, last, &body)
        }
    }
}

/// A command that creates a node in another client's session.
fn forward(term: u64, session: i64, path: &str) -> Vec<u8> {
    let text = |text: &[u8]| [&(text.len() as u32).to_be_bytes()[..], text].concat();
    let acl = [&1_u32.to_be_bytes()[..], &31_u32.to_be_bytes(), &text(b"world"), &text(b"anyone")].concat();
    let body = [&text(path.as_bytes())[..], &text(b"x"), &acl, &0_u32.to_be_bytes()].concat();
    let length = 20 + body.len() as u32;
    let head = [&length.to_be_bytes()[..], &session.to_be_bytes(), &77_i32.to_be_bytes()].concat();
    let command = [&head[..], &1_i32.to_be_bytes(), &0_u32.to_be_bytes(), &body].concat();
    [&[2][..], &numbers(&[0, term, 1 << 60, 0]), &command].concat()
}

/// Says that all servers are where the stranger listens.
fn servers(trap: SocketAddr) -> Vec<u8> {
    let line = |server| format!("server.{server}={}:{}:1:participant;127.0.0.1:1\n", trap.ip(), trap.port());
    let lines: String = (1..=3).map(line).collect();
    [&[13][..], &numbers(&[0, i64::MAX as u64, 0]), lines.as_bytes()].concat()
}

#[test]
fn a_stranger_achieves_nothing() {
    for of in [Engine::Raft, Engine::Paxos] {
        let layout = Layout { direct: true, ..Layout::voters(3) };
        let mut ensemble = Ensemble::start_as(of, layout, &["reconfigEnabled=true"]);
        let leader = ensemble.await_leader();
        let home = leader % 3 + 1;
        let mut victim = Session::open(ensemble.address(home), 20_000).expect("a session");
        let term = ensemble.term().expect("a term");
        for to in ensemble.servers() {
            let from = to % 3 + 1;
            say(&ensemble, from, to, &heartbeat(of, [from, to], term + 1));
            say(&ensemble, from, to, &last_vote(of, [from, to]));
        }
        say(&ensemble, home, leader, &forward(term, victim.identity.id, "/strange"));
        let trap = TcpListener::bind("127.0.0.1:0").expect("a trap");
        trap.set_nonblocking(true).expect("a trap that can be looked at");
        let address = trap.local_addr().expect("an address");
        say(&ensemble, leader, home, &servers(address));

        ensemble.assert_alive();
        ensemble.await_serving();
        assert_eq!(victim.call(&get_data("/strange")).err, -101, "{of:?}");
        victim.must(&create("/known", b"x", 0));
        assert_eq!(ensemble.await_leader(), leader, "{of:?}: nobody had to be elected");
        for server in ensemble.servers() {
            ensemble.kill(server);
        }
        for server in ensemble.servers() {
            ensemble.launch(server);
        }
        ensemble.await_serving();
        let mut after = Session::open(ensemble.address(home), 20_000).expect("a session");
        after.must(&get_data("/known"));
        assert!(trap.accept().is_err(), "{of:?}: a server has dialled the stranger");
    }
}

/// Servers that were given a secret continue without those that were not, and accept them again
/// with it.
#[test]
fn a_server_without_the_secret_is_refused() {
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), "0123456789abcdef0123456789abcdef\n").expect("a secret");
    let line = format!("ostler.quorumSecretFile={}", secret.path().display());
    let mut ensemble = Ensemble::start(Engine::Raft, 3, &[&line]);
    let leader = ensemble.await_leader();
    let other = leader % 3 + 1;
    ensemble.kill(other);
    ensemble.set_settings(&[]);
    ensemble.launch(other);
    // It is refused and says why.
    ensemble.await_log(other, "ostler.quorumSecretFile");
    let mut session = Session::open(ensemble.address(leader), 20_000).expect("a session");
    session.must(&create("/without-it", b"x", 0));
    ensemble.kill(other);
    ensemble.set_settings(&[&line]);
    ensemble.launch(other);
    ensemble.await_serving();
}
