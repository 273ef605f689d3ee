//! A server without its process: no threads, sockets, files or clock of its own. A simulator
//! provides all of these and decides what happens when; everything else is the server's own code.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use consensus::engine::{Leadership, Status};
use consensus::entry::Entry;
use parking_lot::RwLockReadGuard;
use state::machine::Machine;
use storage::disk::Disk;

use crate::client::IoThread;
use crate::clock::{Clock, ManualTime};
use crate::config::{Config, ServerId, Servers};
use crate::host::keepalive::KeepaliveTimer;
use crate::host::recovery::{self, Files, RecoveryError};
use crate::host::{Fatal, Host};
use crate::inbox::ControlRequest;
use crate::mailbox::Mailbox;
use crate::observe::stats::{Facts, Source as _};
use crate::observe::stats_source::Report;
pub use crate::shared::features;
use crate::shared::{ServerParams, Shared};
pub use crate::stream::{PeerIdentity, Readiness, Stream};
use crate::transport::{Sender, Transport};
pub use group::GroupId;
pub use state::command::Features;

/// Frames for other members, until the simulator fetches them.
#[derive(Default)]
struct Outbox {
    frames: Vec<(ServerId, Bytes)>,
    /// Frames to other servers are dropped.
    peers: BTreeSet<ServerId>,
}

impl Transport for Outbox {
    fn set_peers(&mut self, peers: &Servers) {
        self.peers = peers.keys().copied().collect();
    }

    fn send(&mut self, to: ServerId, frame: &[u8]) {
        if self.peers.contains(&to) {
            self.frames.push((to, Bytes::copy_from_slice(frame)));
        }
    }

    fn flush(&mut self) {}
}

/// One server, from its start to a crash or a stop.
pub struct Member {
    shared: Arc<Shared>,
    host: Host<Outbox>,
    io: IoThread,
    keepalive: KeepaliveTimer,
}

/// Why a member did not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// It did not start.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// It cannot go on.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

impl Member {
    /// Starts a server on what is on `disk`, as `Server::start` does.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start(disk: Arc<dyn Disk>, config: Config, time: &Arc<ManualTime>) -> Result<Member, Ended> {
        let hash_seed = disk.entropy();
        let files = Files { disk, background: false };
        let features = features(&config.requests);
        let recovered = recovery::recover(files, &config, features)?;
        // The nonces of a simulated server follow from its seed, as all else does.
        let mut nonce_secret = [0; 32];
        nonce_secret[..8].copy_from_slice(&hash_seed.to_be_bytes());
        let params = ServerParams {
            me: recovered.parts.identity.server,
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
            hash_seed,
            nonce_secret,
            kerberos: None,
            handler: None,
            audit: None,
            waker: None,
        };
        let mailboxes = vec![Mailbox::new(None)];
        let clock = Clock::manual(Arc::clone(time));
        let shared = Arc::new(Shared::new(config, clock, recovered.machines, mailboxes, params));
        let mut host = Host::new(Arc::clone(&shared), recovered.parts, Outbox::default());
        record_committed(&mut host, &shared);
        host.start()?;
        let io = IoThread::new(0, Arc::clone(&shared));
        Ok(Member { shared, host, io, keepalive: KeepaliveTimer::default() })
    }

    /// Frames from other members are about to be received, before the next cycle.
    pub fn peers_polled(&mut self) {
        self.host.peers_polled(self.shared.clock.elapsed_ms());
    }

    /// Receives a frame from that member.
    ///
    /// # Errors
    /// Why the member cannot go on.
    pub fn receive(&mut self, from: ServerId, frame: Bytes) -> Result<(), Ended> {
        Ok(self.host.receive(Sender { server: from, is_proven: true }, frame)?)
    }

    /// Receives a frame from a sender that claims to be that member without having proven it.
    ///
    /// # Errors
    /// Why the member cannot go on.
    pub fn receive_unproven(&mut self, from: ServerId, frame: Bytes) -> Result<(), Ended> {
        Ok(self.host.receive(Sender { server: from, is_proven: false }, frame)?)
    }

    /// The connection to that member is open (again).
    pub fn linked(&mut self, to: ServerId) {
        self.host.link_up(to);
    }

    /// The connection on which that member sends has ended.
    pub fn unlinked(&mut self, from: ServerId) {
        self.host.link_down(from);
    }

    /// Does all pending work: client requests, messages of other members, and what is due by time.
    ///
    /// # Errors
    /// Why the member cannot go on.
    pub fn cycle(&mut self) -> Result<(), Ended> {
        // A member that has just found its ensemble has a new replica.
        record_committed(&mut self.host, &self.shared);
        Ok(self.host.cycle()?)
    }

    /// Whether it needs another cycle soon even if nothing new arrives.
    pub fn is_holding(&self) -> bool {
        self.host.is_holding()
    }

    /// Makes the connection thread serve these client connections.
    pub fn serve(&mut self, ready: &[(usize, Readiness)]) {
        self.io.turn(ready);
    }

    /// Whether the connection thread has work even if nothing is new on its connections.
    pub fn is_busy(&self) -> bool {
        self.io.is_busy()
    }

    /// A client of that group connects. Returns the number of its connection, unless a limit is
    /// reached.
    pub fn accept(&mut self, group: GroupId, stream: Box<dyn Stream>) -> Option<usize> {
        self.io.take_on(stream, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), group)
    }

    /// Frames for other members since the last call.
    pub fn take_frames(&mut self) -> Vec<(ServerId, Bytes)> {
        std::mem::take(&mut self.host.transport_mut().frames)
    }

    /// Keepalive frames for other members while the latest cycle is taking long; call it every
    /// `heartbeat_ms`.
    pub fn keepalive(&mut self) -> Vec<(ServerId, Bytes)> {
        let Some(ensemble) = &self.shared.config.ensemble else { return Vec::new() };
        let frames = self.keepalive.frames(&self.shared, ensemble);
        let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
        let peers = &self.host.transport_mut().peers;
        peers.iter().flat_map(|peer| frames.iter().map(|frame| (*peer, frame.clone()))).collect()
    }

    /// Sessions of the group that it began to close in the latest cycle.
    pub fn ending(&self, group: GroupId) -> impl Iterator<Item = i64> + '_ {
        self.host.group(group).ending()
    }

    /// Entries of the group that this member has learned to be committed since the last call, in
    /// its order.
    pub fn take_committed(&mut self, group: GroupId) -> Vec<Entry> {
        self.host.replica_mut(group).take_recorded()
    }

    /// Asks for a snapshot of the group at the next cycle.
    pub fn ask_snapshot(&self, group: GroupId) {
        self.shared.inbox.ask(ControlRequest::TakeSnapshot(group, None));
    }

    /// Asks it to become the leader of the group.
    pub fn ask_lead(&self, group: GroupId) {
        self.shared.inbox.ask(ControlRequest::Lead(group));
    }

    /// Asks it to stop; [`may_end`](Self::may_end) tells when it is ready to.
    pub fn ask_stop(&self) {
        self.shared.inbox.ask(ControlRequest::Stop);
    }

    /// Whether it was asked to stop and has no work left.
    pub fn may_end(&self) -> bool {
        self.host.may_end()
    }

    /// Stops it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn end(self) -> Result<(), Ended> {
        Ok(self.host.end()?)
    }

    /// Its role in the group, the leader and the term.
    pub fn role(&self, group: GroupId) -> Leadership {
        self.host.group(group).replica.role()
    }

    /// Whether the group's session is about to be resumed here or elsewhere, as far as this member
    /// knows.
    pub fn is_moving(&self, group: GroupId, session: i64) -> bool {
        self.host.group(group).replica.is_moving(session)
    }

    /// The status of the group's consensus engine.
    pub fn status(&self, group: GroupId) -> Status {
        self.host.group(group).replica.status()
    }

    /// Index of the group's last entry applied in full.
    pub fn applied_index(&self, group: GroupId) -> u64 {
        self.host.group(group).replica.applied_index()
    }

    /// The facts it reports about itself.
    pub fn facts(&self) -> Facts {
        Report::new(&self.shared).facts()
    }

    /// The source from which the four-letter words and the AdminServer are answered.
    #[cfg(test)]
    pub(crate) fn report(&self) -> Report {
        Report::new(&self.shared)
    }

    /// Whether the group's clients are served.
    pub fn is_serving(&self, group: GroupId) -> bool {
        self.shared.is_serving(group)
    }

    /// Whether the group takes part in no cycle.
    pub fn is_quiet(&self, group: GroupId) -> bool {
        self.host.group(group).is_quiet()
    }

    /// The group's replicated state.
    pub fn machine(&self, group: GroupId) -> RwLockReadGuard<'_, Machine> {
        self.shared.namespace(group).machine.read()
    }
}

/// Makes the members of all groups record what they learn to be committed.
fn record_committed(host: &mut Host<Outbox>, shared: &Shared) {
    for namespace in &shared.namespaces {
        host.replica_mut(namespace.group).record_committed();
    }
}
