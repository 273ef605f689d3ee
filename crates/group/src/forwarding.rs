//! Both ends of the streams of forwarded commands, and the messages that wait to be sent on them.

use bytes::Bytes;
use consensus::entry::MemberId;
use state::members::ServerId;

use crate::forward::{ForwardStream, ForwardedStreams};
use crate::message::{GroupMessage, RefusedCommand};
use crate::replica::server_of;
use crate::submission::Encoded;

/// This member's stream to the leader, those of the other members to it, and messages to be sent.
#[derive(Debug, Default)]
pub(crate) struct Forwarding {
    /// The leader and term that commands in flight were passed to.
    leader: Option<MemberId>,
    term: u64,
    /// The stream to the leader; `None` at the leader itself.
    stream: Option<ForwardStream>,
    inlets: ForwardedStreams,
    outgoing: Vec<(ServerId, GroupMessage)>,
    /// Messages of the stream, before they are addressed.
    messages: Vec<GroupMessage>,
}

impl Forwarding {
    /// Whether commands are passed to that leadership already.
    pub(crate) fn is_to(&self, leader: MemberId, term: u64) -> bool {
        (self.leader, self.term) == (Some(leader), term)
    }

    /// Commands are passed to another leadership from now on. `life` is that of this server; `None`
    /// if this member leads.
    pub(crate) fn begin(&mut self, leader: MemberId, term: u64, life: Option<u64>) {
        (self.leader, self.term) = (Some(leader), term);
        self.inlets = ForwardedStreams::default();
        self.stream = life.map(|life| ForwardStream::new(term, life));
    }

    /// Passes a command to the leader; returns its place in the stream, or `None` at the leader.
    pub(crate) fn add(&mut self, command: &Encoded<'_>) -> Option<u64> {
        self.stream.as_mut().map(|stream| stream.add(command, &mut self.messages))
    }

    /// Sends what was added.
    pub(crate) fn send(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        stream.send(&mut self.messages);
        if let Some(leader) = self.leader.map(server_of) {
            self.outgoing.extend(self.messages.drain(..).map(|message| (leader, message)));
        }
    }

    /// One tick has passed: resends what the other end may not have received.
    pub(crate) fn tick(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.tick(&mut self.messages);
        }
        self.send();
        self.inlets.tick();
    }

    /// The connection to that server is open again: resends what it may not have received.
    pub(crate) fn reconnected(&mut self, server: ServerId) {
        if self.leader.map(server_of) == Some(server)
            && let Some(stream) = &mut self.stream
        {
            stream.repeat(&mut self.messages);
            self.send();
        }
    }

    /// Whether the leader takes this message: it is the next one of its sender.
    pub(crate) fn takes(&mut self, from: ServerId, life: u64, number: u64) -> bool {
        self.inlets.take(from, life, number)
    }

    /// Counts a command of a message that the leader took; returns its place in the stream.
    pub(crate) fn count_command(&mut self, from: ServerId) -> u64 {
        self.inlets.count_command(from)
    }

    /// A command that the leader took gets no place in the log.
    pub(crate) fn refuse(&mut self, from: ServerId, refused: RefusedCommand) {
        self.inlets.refuse(from, refused);
    }

    /// That member knows of all refusals below `next`.
    pub(crate) fn refusals_known(&mut self, from: ServerId, life: u64, next: u64) {
        self.inlets.refusals_known(from, life, next);
    }

    /// The leader has taken everything below `next`.
    pub(crate) fn taken(&mut self, term: u64, life: u64, next: u64) {
        if let Some(stream) = &mut self.stream {
            stream.taken(term, life, next);
        }
    }

    /// The leader names commands that it refused; returns those that are news, and acknowledges
    /// all.
    pub(crate) fn refused(
        &mut self,
        from: ServerId,
        of: (u64, u64),
        first: u64,
        mut refused: Vec<RefusedCommand>,
    ) -> Vec<RefusedCommand> {
        let Some(stream) = &mut self.stream else { return Vec::new() };
        if let Some(known) = stream.refused(of, first, &mut refused) {
            self.outgoing.push((from, known));
        }
        refused
    }

    /// Messages for other members of the leadership of `term`, with their servers.
    pub(crate) fn take_outgoing(&mut self, term: u64) -> impl Iterator<Item = (ServerId, GroupMessage)> + '_ {
        self.inlets.answers(term, &mut self.outgoing);
        self.outgoing.drain(..)
    }

    /// Whether no message waits to be sent or resent.
    pub(crate) fn is_idle(&self) -> bool {
        self.outgoing.is_empty()
            && self.stream.as_ref().is_none_or(ForwardStream::is_idle)
            && self.inlets.are_idle()
    }
}

/// Bytes of the commands in these parts.
pub(crate) fn bytes_of(commands: &[Bytes]) -> usize {
    commands.iter().map(Bytes::len).sum()
}
