//! The one door into a group: what happens to it.

use std::fmt::Display;

use bytes::Bytes;
use consensus::entry::MemberId;
use state::members::ServerId;

use crate::group::{Action, Group, Now};
use crate::message::{Founder, GroupMessage, PeerKey, ServerMessage};
use crate::submission::Submission;

/// What happens to a group. The host tells of one event at a time, in the order in which they
/// happen, and carries out the [`Action`]s that the group answers with.
pub enum Event<'e> {
    /// The host begins another cycle.
    CycleBegins,
    /// Connection threads hand over requests; the group takes all of them.
    Submitted(&'e mut Submission),
    /// The connection of this session has ended.
    Disconnected(i64),
    /// Another server says something about itself.
    ServerSaid {
        /// Which.
        from: ServerId,
        /// The server at its address has proven that it is a member, or that its disk has the name
        /// that it tells.
        is_vouched_for: bool,
        /// What.
        message: ServerMessage,
    },
    /// Another member says something, other than what concerns its engine or snapshots.
    MemberSaid {
        /// Which.
        from: ServerId,
        /// What.
        message: GroupMessage,
    },
    /// The engine of another member says something.
    EngineSaid {
        /// The server that sent it.
        from: ServerId,
        /// The member that it says it is.
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
    /// What other servers had said by then is told next.
    PeersPolled {
        /// By the server's clock, in ms.
        polled_ms: i64,
    },
    /// Time has passed: at least each tick, and once in each cycle.
    TimePassed,
    /// This member leads and may propose in this cycle.
    LeadersTurn,
    /// The log has room for what is gathered.
    LogHasRoom,
    /// The log has no room for what is gathered.
    LogHasNoRoom(&'e dyn Display),
    /// The log has no room for what the others commit, or has room again.
    LogIsFull(bool),
    /// An entry is written to the log, and not flushed.
    Written {
        /// Its index.
        index: u64,
        /// Its length.
        bytes: usize,
    },
    /// The log is flushed.
    Flushed {
        /// Up to this entry.
        index: u64,
        /// What the flush took, in µs.
        took_us: u64,
    },
    /// Committed commands are applied.
    Applied {
        /// How many.
        commands: u64,
    },
    /// Everything is applied that the engine has handed out: a leadership may have begun or ended.
    Settled,
    /// A key for the ensemble that these found, as asked for by [`Action::Found`].
    Founding(Vec<Founder>, PeerKey),
    /// The secret that session passwords are made from, as asked for by [`Action::DrawSecret`].
    Secret(&'e [u8]),
    /// Bytes that have come of the snapshot that is being fetched; `None` while none is.
    Fetched(Option<u64>),
    /// An operator asks for something.
    Asked(Asked),
    /// The host ends its cycle.
    CycleEnds,
}

/// What an operator can ask a member for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To lead (`rqld`).
    Lead,
    /// Not to lead any more (`ydld`).
    StepDown,
    /// To stop; [`Group::may_end`] says when it has.
    Stop,
}

impl Group {
    /// Takes in what has happened. What is to be done about it waits in
    /// [`take_actions`](Self::take_actions).
    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        self.now = now;
        match event {
            Event::CycleBegins => self.begin_cycle(),
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
            Event::LinkUp(server) => self.reached(server),
            Event::LinkDown(server) => self.lost_sight(server),
            Event::PeersPolled { polled_ms } => self.begin_hearing(polled_ms),
            Event::TimePassed => self.pass_time(),
            Event::LeadersTurn => self.run_leader_tasks(),
            Event::LogHasRoom => self.log_has_room(),
            Event::LogHasNoRoom(why) => self.log_has_no_room(why),
            Event::LogIsFull(is_full) => self.set_log_is_full(is_full),
            Event::Written { index, bytes } => self.written(index, bytes),
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
            Event::CycleEnds => self.publish(),
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

    /// A leader that begins writes down what a new cluster needs.
    fn begin_writing(&mut self) {
        self.establish_members();
        self.act(Action::Propose);
    }
}
