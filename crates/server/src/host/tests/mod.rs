//! The replication thread's own code, on a simulated disk, one operation at a time.
//!
//! Only the disk and the clients are simulated: start-up, log, snapshots, engine and machine are
//! those of the server. What clients were sent is read from the mailbox that their connections
//! read.

mod alone;
mod bad_disk;
mod crash;
mod ensemble;
mod failing_disk;
mod files;
mod force_new_cluster;
mod groups;
mod install;
mod listening;
mod log_places;
mod mad;
mod model;
mod order;
mod reconfig;
mod records;
mod removal;
mod reseed;
mod returns;
mod states;
mod still_disk;
mod workload;

use std::path::PathBuf;
use std::sync::Arc;

use group::{GroupId, RequestId, Token};
use state::command::Command;
use state::session::PasswordDerivation;
use storage::disk::{Fault, SimDisk};
use wire::jute::Reader;
use wire::record::ReplyHeader;

use self::model::{Entry, History, Op, Picture, Replay};
use self::workload::Workload;
use super::recovery::{Files, RecoveredParts, recover};
use super::{Fatal, Host};
use crate::clock::Clock;
use crate::config::{self, CommandLine, Config, ServerId};
use crate::inbox::Submissions;
use crate::mailbox::{Delivery, Mailbox, Note};
use crate::peers::Links;
use crate::shared::{ServerParams, Shared, features};

const DATA_DIR: &str = "/data";

/// The number of the server under test.
const SERVER: ServerId = 1;

/// So small that a few writes fill one; not allowed in a configuration.
const SEGMENT_BYTES: u64 = 4 << 10;

/// A server's disk, the clients' view of their requests, and the requests they will send next.
struct World {
    disk: SimDisk,
    config: Config,
    workload: Workload,
    /// The possible contents of the log. More than one after a crash, until a start shows which.
    histories: Vec<History>,
    /// Entries at the beginning of every history that clients know to be durable.
    durable: usize,
    /// The disk operation at which the power fails.
    crash_at: Option<u64>,
    /// The password of session 1: a cluster never changes its secret.
    password: Option<[u8; 16]>,
}

/// One run of the server.
struct Life {
    host: Host<Option<Links>>,
    shared: Arc<Shared>,
    /// A machine that has applied the same commands and has never been on a disk.
    replay: Replay,
}

/// What the clients received in one cycle.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Reply { xid: i32, zxid: i64, code: i32 },
    Session(i64),
    Dropped,
}

impl World {
    fn new(seed: u64) -> World {
        let definitions = ["snapCount=24", "extendedTypesEnabled=true"].map(str::to_owned).to_vec();
        let command_line =
            CommandLine { data_dir: Some(PathBuf::from(DATA_DIR)), definitions, ..CommandLine::default() };
        let mut config = config::load(&command_line).expect("a valid configuration").config;
        config.storage.segment_bytes = SEGMENT_BYTES;
        World {
            disk: SimDisk::new(seed),
            config,
            workload: Workload::new(seed),
            histories: vec![History::default()],
            durable: 0,
            crash_at: None,
            password: None,
        }
    }

    /// A copy of the world whose disk loses other data in a crash.
    fn fork(&self, fate: u64) -> World {
        World {
            disk: self.disk.fork(fate),
            config: self.config.clone(),
            workload: self.workload.clone(),
            histories: self.histories.clone(),
            ..*self
        }
    }

    /// Starts the server. `None` if the power fails meanwhile; any other failure is a bug. The
    /// server's state must be that of one of the possible histories, complete.
    fn launch(&mut self, context: &str) -> Option<Life> {
        let files = Files { disk: Arc::new(self.disk.clone()), background: false };
        let recovered = match recover(files, &self.config, features(&self.config.requests)) {
            Ok(recovered) => recovered,
            Err(e) => {
                assert!(self.disk.is_off(), "{context}: the server does not start: {e}");
                return None;
            }
        };
        let shared = self.share(recovered.machines);
        match self.lead(&shared, recovered.parts) {
            Ok(host) => {
                let replay = self.recognise(&shared, context);
                Some(Life { host, shared, replay })
            }
            Err(e) => {
                assert!(self.disk.is_off(), "{context}: the server does not lead: {e}");
                // It is unknown whether the log has the beginning of this leadership.
                let begun: Vec<History> = self.histories.iter().map(History::led).collect();
                let initialized: Vec<History> = begun.iter().map(History::initialized).collect();
                self.histories.extend(begun.into_iter().chain(initialized));
                None
            }
        }
    }

    fn share(&self, machines: Vec<state::machine::Machine>) -> Arc<Shared> {
        let mailboxes = vec![Mailbox::new(None)];
        let params = ServerParams {
            me: SERVER,
            client_port: 0,
            secure_port: None,
            #[cfg(feature = "net")]
            tls: None,
            #[cfg(feature = "net")]
            peer_tls: None,
            #[cfg(feature = "net")]
            admin_tls: None,
            #[cfg(feature = "net")]
            metrics_tls: None,
            hash_seed: 0,
            nonce_secret: [0; 32],
            kerberos: None,
            handler: None,
            audit: None,
            waker: None,
        };
        Arc::new(Shared::new(self.config.clone(), Clock::start(), machines, mailboxes, params))
    }

    fn lead(&self, shared: &Arc<Shared>, rest: RecoveredParts) -> Result<Host<Option<Links>>, Fatal> {
        let mut host = Host::new(Arc::clone(shared), rest, None);
        host.lead()?;
        assert_eq!(told(shared), [], "nobody asked for anything yet");
        Ok(host)
    }

    /// Finds the history that the machine shows; from now on it is the only one.
    fn recognise(&mut self, shared: &Shared, context: &str) -> Replay {
        let machine = shared.root().machine.read();
        machine.check().unwrap_or_else(|e| panic!("{context}: {e}"));
        let password = machine.session_password(1, PasswordDerivation::Keyed);
        drop(machine);
        assert!(
            password.is_some() && self.password.is_none_or(|p| Some(p) == password),
            "{context}: a new secret"
        );
        self.password = password;
        let shown = Picture::of(shared, &shared.root().machine.read());
        for history in &self.histories {
            let history = history.led().initialized();
            let replay = Replay::of(&history);
            if Picture::of(shared, &replay.machine) == shown {
                self.durable = history.len();
                self.histories = vec![history];
                return replay;
            }
        }
        let newest = self.histories.iter().max_by_key(|h| h.len()).expect("there is a history");
        let expected = Replay::of(&newest.led().initialized());
        panic!(
            "{context}: after {} durable entries of {}, no history explains\n{shown:#?}\nthe longest gives\n{:#?}",
            self.durable,
            newest.len(),
            Picture::of(shared, &expected.machine)
        );
    }

    /// Makes the power fail at that disk operation.
    fn crash_at(&mut self, operation: u64) {
        self.crash_at = Some(operation);
        self.disk.fault_at(operation, Fault::Crash);
    }

    /// The power fails, or has failed, and returns: what was not durable may have been lost from
    /// the end.
    fn lose_power(&mut self) {
        self.disk.crash();
        if let Some(later) = self.crash_at.filter(|at| *at >= self.disk.operations()) {
            self.disk.fault_at(later, Fault::Crash);
        }
        if !self.config.storage.force_sync {
            (self.durable, self.password) = (0, None);
        }
        let durable = self.durable;
        let cut = |h: &History| -> Vec<History> { (durable..=h.len()).map(|len| h.prefix(len)).collect() };
        self.histories = self.histories.iter().flat_map(cut).collect();
    }

    /// Clients resume their sessions after a start of the server. `false`: the server stopped.
    fn come_back(&mut self, life: &mut Life, context: &str) -> bool {
        let mut submissions = Submissions::new(1);
        let mut expected = Vec::new();
        for session in life.shared.root().machine.read().sessions() {
            if life.shared.root().sessions.seen_by(session.id, Token(0)).is_none() {
                submissions.of(GroupId::ROOT).resume(REQUEST, session.id, session.timeout_ms);
                expected.push(session.id);
            }
        }
        if expected.is_empty() {
            return true;
        }
        life.shared.inbox.submit(&mut submissions, expected.len());
        if life.host.cycle().is_err() {
            return false;
        }
        let mut resumed: Vec<i64> = told(&life.shared)
            .into_iter()
            .map(|told| match told {
                Told::Session(session) => session,
                other => panic!("{context}: {other:?}"),
            })
            .collect();
        resumed.sort_unstable();
        assert_eq!(resumed, expected, "{context}: sessions live on");
        true
    }

    /// Clients send a batch of commands and the server runs one cycle. `false`: the server stopped.
    fn cycle(&mut self, life: &mut Life, context: &str) -> bool {
        if !self.come_back(life, context) {
            return false;
        }
        let batch = {
            let machine = life.shared.root().machine.read();
            Arc::new(self.workload.batch(|session| machine.session(session).is_some()))
        };
        submit(&life.shared, &batch);
        let before = self.histories[0].clone();
        self.histories[0].push(Entry::Batch(Arc::clone(&batch)));
        if life.host.cycle().is_err() {
            assert_eq!(told(&life.shared), [], "{context}: the server answered what it could not keep");
            return false;
        }
        let told = told(&life.shared);
        if told.iter().all(was_refused) {
            // No client may ever see anything of the batch.
            self.histories = vec![before];
        } else {
            assert_eq!(told, life.replay.apply(&batch), "{context}: wrong answers");
            self.durable = self.histories[0].len();
        }
        true
    }
}

impl Life {
    /// Does a step of the work that a background thread of the log does otherwise.
    fn prepare_log(&mut self) {
        // An operation that fails here fails again where its result is needed, and is handled
        // there.
        let _ = self.host.log.prepare(SEGMENT_BYTES as usize / 2);
    }
}

fn was_refused(told: &Told) -> bool {
    matches!(told, Told::Dropped)
        || matches!(told, Told::Reply { code, .. } if *code == wire::ErrorCode::SystemError as i32)
}

/// The mailbox is read here, so that the numbers do not matter.
const REQUEST: RequestId = RequestId { token: Token(0), number: 0 };

fn submit(shared: &Shared, batch: &[Op]) {
    let mut submissions = Submissions::new(1);
    for op in batch {
        let Op { session, cxid, opcode, body } = op;
        let command = Command { session: *session, cxid: *cxid, opcode: *opcode, identities: &[], body };
        submissions.of(GroupId::ROOT).command(REQUEST, &command);
    }
    shared.inbox.submit(&mut submissions, batch.len());
}

/// Empties the mailbox and returns what it held.
fn told(shared: &Shared) -> Vec<Told> {
    let mut delivery = Delivery::default();
    shared.mailboxes[0].collect(&mut delivery);
    let mut told = Vec::new();
    let mut at = 0;
    for (_, note) in delivery.notes {
        match note {
            Note::Reply { len, .. } => {
                let header = ReplyHeader::decode(&mut Reader::new(&delivery.bytes[at + 4..at + len]));
                let ReplyHeader { xid, zxid, err } = header.expect("a reply begins with its header");
                told.push(Told::Reply { xid, zxid, code: err });
                at += len;
            }
            Note::SessionOpened { session, .. } => told.push(Told::Session(session)),
            Note::SessionRefused { code } => panic!("no session was to be refused: {code}"),
            Note::Drop => told.push(Told::Dropped),
            Note::SessionClosed => {}
            other => panic!("nobody asked for {other:?}"),
        }
    }
    told
}
