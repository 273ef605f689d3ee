//! The only entry point of a group: what happens to it.

use std::collections::BTreeMap;
use std::fmt::Display;

use bytes::Bytes;
use consensus::entry::MemberId;
use consensus::membership::Membership;
use state::members::{ServerId, Servers};

use crate::group::{Action, Group, Now};
use crate::message::{Founder, GroupMessage, PeerKey, QuietGroup, ServerMessage};
use crate::submission::Submission;

/// What happens to a group. The host reports one event at a time, in order of occurrence, and
/// carries out the [`Action`]s that the group answers with.
pub enum Event<'e> {
    /// The host begins another cycle.
    CycleBegins,
    /// The host stalled for so long that its clients were disconnected.
    HostStalled,
    /// When the host last heard from each server, in ms of its clock; reported once per heartbeat
    /// interval where there are several groups.
    ServersHeard(&'e BTreeMap<ServerId, i64>),
    /// A server announces the quiet groups that it leads: this group is among them with these
    /// facts, or is not.
    LeaderQuiet {
        /// The server.
        from: ServerId,
        /// What it announces of this group.
        announced: Option<QuietGroup>,
    },
    /// The members of the root group, and the servers they run on.
    RootMembers {
        /// The servers to connect to.
        servers: &'e Servers,
        /// The committed members.
        membership: &'e Membership,
    },
    /// Connection threads hand over requests; the group takes all of them.
    Submitted(&'e mut Submission),
    /// This session's connection has ended.
    Disconnected(i64),
    /// Another server sent a message about itself.
    ServerSaid {
        /// The sender.
        from: ServerId,
        /// The server at its address has proven that it is a member, or that its disk has the nonce
        /// it states.
        is_vouched_for: bool,
        /// The message.
        message: ServerMessage,
    },
    /// Another member sent a message that concerns neither its engine nor snapshots.
    MemberSaid {
        /// The sender.
        from: ServerId,
        /// The message.
        message: GroupMessage,
    },
    /// The engine of another member sent a message.
    EngineSaid {
        /// The server that sent it.
        from: ServerId,
        /// The member that the server claims to be.
        member: MemberId,
        /// The engine's message.
        bytes: Bytes,
        /// The log has room for what the message may add to it. Otherwise the message counts as
        /// lost.
        has_room: bool,
    },
    /// The connection to a server is open (again).
    LinkUp(ServerId),
    /// A server has closed its connection.
    LinkDown(ServerId),
    /// The events that follow carry what other servers had sent by then.
    PeersPolled {
        /// On the server's clock, in ms.
        polled_ms: i64,
    },
    /// Time has passed: reported at least each tick, and once in each cycle.
    TimePassed,
    /// This member leads and may propose in this cycle.
    LeadersTurn,
    /// The log has room for the gathered commands.
    LogHasRoom,
    /// The log has no room for the gathered commands.
    LogHasNoRoom(&'e dyn Display),
    /// The log has no room for what the leader sends, or has room again.
    LogIsFull(bool),
    /// An entry is written to the log but not flushed.
    Written {
        /// Its index.
        index: u64,
        /// Its length in bytes.
        bytes: usize,
    },
    /// The log was flushed, whichever groups had entries in it.
    DiskFlushed {
        /// Duration of the flush, in µs.
        took_us: u64,
    },
    /// The group's part of the log is flushed.
    Flushed {
        /// Up to this entry.
        index: u64,
        /// Duration of the flush, in µs.
        took_us: u64,
    },
    /// Committed commands are applied.
    Applied {
        /// How many.
        commands: u64,
    },
    /// Everything the engine has handed out is applied: a leadership may have begun or ended.
    Settled,
    /// A key for the ensemble of these founders, as requested by [`Action::Found`].
    Founding(Vec<Founder>, PeerKey),
    /// The secret that session passwords are derived from, as requested by [`Action::DrawSecret`].
    Secret(&'e [u8]),
    /// Bytes received of the snapshot being fetched; `None` if none is being fetched.
    Fetched(Option<u64>),
    /// An operator has made a request.
    Asked(Asked),
    /// The host ends its cycle.
    CycleEnds,
}

/// What an operator can request of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To become the leader (`rqld`).
    Lead,
    /// To give up leadership (`ydld`).
    StepDown,
    /// To stop; [`Group::may_end`] tells when it has.
    Stop,
}

impl Event<'_> {
    /// Whether a quiet group wakes for it.
    fn is_traffic(&self) -> bool {
        match self {
            Event::Submitted(submission) => !submission.is_empty(),
            Event::HostStalled
            | Event::Disconnected(_)
            | Event::MemberSaid { .. }
            | Event::EngineSaid { .. }
            | Event::LinkUp(_)
            | Event::LinkDown(_)
            | Event::RootMembers { .. }
            | Event::LogIsFull(_)
            | Event::Asked(_) => true,
            _ => false,
        }
    }
}

impl Group {
    /// Handles one event. The resulting actions wait in [`take_actions`](Self::take_actions).
    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        self.now = now;
        if event.is_traffic() {
            self.wake();
        }
        match event {
            Event::CycleBegins => self.begin_cycle(),
            Event::HostStalled => self.stop_serving("the disk stalled"),
            Event::ServersHeard(heard_ms) => self.on_servers_heard(heard_ms),
            Event::LeaderQuiet { from, announced } => self.on_announcement(from, announced),
            Event::RootMembers { servers, membership } => self.on_root_members(servers, membership),
            Event::Submitted(submission) => self.submit(submission),
            Event::Disconnected(session) => self.replica.disconnected(session),
            Event::ServerSaid { from, is_vouched_for, message } => {
                self.on_server_message(from, is_vouched_for, message);
            }
            Event::MemberSaid { from, message } => self.on_group_message(from, message),
            Event::EngineSaid { from, member, bytes, has_room } => {
                if self.speaks_as(from, member) && has_room {
                    self.step(from, member, bytes);
                }
            }
            Event::LinkUp(server) => self.link_up(server),
            Event::LinkDown(server) => self.link_down(server),
            Event::PeersPolled { polled_ms } => self.peers_polled(polled_ms),
            Event::TimePassed => self.pass_time(),
            Event::LeadersTurn => self.run_leader_tasks(),
            Event::LogHasRoom => self.log_has_room(),
            Event::LogHasNoRoom(why) => self.log_has_no_room(why),
            Event::LogIsFull(is_full) => self.set_log_is_full(is_full),
            Event::Written { index, bytes } => self.written(index, bytes),
            Event::DiskFlushed { took_us } => self.flush_latency.flushed(took_us),
            Event::Flushed { index, took_us } => self.flushed(index, took_us),
            Event::Applied { commands } => self.count_applied(commands),
            Event::Settled => self.settled(),
            Event::Founding(founders, key) => self.found(founders, key),
            Event::Secret(secret) => {
                self.initialize(secret);
                self.begin_writing();
            }
            Event::Fetched(bytes) => self.fetched_bytes = bytes,
            Event::Asked(Asked::Lead) => self.claim(),
            Event::Asked(Asked::StepDown) => self.step_down(),
            Event::Asked(Asked::Stop) => self.begin_stop(),
            Event::CycleEnds => {
                self.rest_alone();
                self.publish();
            }
        }
    }

    fn settled(&mut self) {
        if !self.begin_leading() {
            return;
        }
        if self.shared.machine.read().is_initialized() {
            self.begin_writing();
        } else {
            self.act(Action::DrawSecret);
        }
    }

    /// A new leader writes what a new cluster needs.
    fn begin_writing(&mut self) {
        self.establish_members();
        self.act(Action::Propose);
    }
}
