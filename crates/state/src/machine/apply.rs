//! Applying a command.

use std::collections::BTreeMap;

use wire::code::ErrorCode;
use wire::jute::Put as _;
use wire::opcode::Opcode;
use wire::record::Request;

use super::Machine;
use super::perform::Stamp;
use super::plan::{Step, plan};
use super::view::{Context, Direct};
use crate::change::ChangeSink;
use crate::command::{self, BatchHeader, CLUSTER_KEY_BYTES, Command, DeleteContainer, SessionTerms};
use crate::session::Session;
use crate::tree::{NodeId, Owner};

/// The result of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The zxid of the command, refused or not.
    pub zxid: i64,
    /// For the reply header. A failed multi is `Ok` here: its results have the errors.
    pub code: ErrorCode,
}

impl Machine {
    /// Applies a command. Every command has exactly one result and consumes exactly one zxid,
    /// except `moveSession` and `proposeConfig`, which consume none.
    ///
    /// Total: whatever the bytes are, the outcome is a code and never a panic; a body that is not
    /// the record of its operation gives `MarshallingError`. The body of the reply is appended to
    /// `reply`, unless the code is not `Ok`. Changes are passed to `changes` while the reply is
    /// built, so that events can be queued before it.
    pub fn apply(
        &mut self,
        batch: &BatchHeader,
        command: &Command<'_>,
        reply: &mut Vec<u8>,
        changes: &mut dyn ChangeSink,
    ) -> Applied {
        if let command::MOVE_SESSION | command::PROPOSE_CONFIG = command.opcode {
            let result = match command.opcode {
                command::MOVE_SESSION => self.move_session(command),
                _ => self.propose_config(command.body),
            };
            return Applied { zxid: self.last_zxid, code: result.err().unwrap_or(ErrorCode::Ok) };
        }
        self.last_batch_ms = Some(batch.time_ms);
        let zxid = self.last_zxid.max(batch.zxid_floor).saturating_add(1);
        let stamp = Stamp { zxid, time_ms: batch.time_ms };
        let context = Context::new(command.session, command.identities, batch.features);
        let start = reply.len();
        let result = match command.opcode {
            command::INITIALIZE => self.initialize(command.body),
            command::SET_MEMBERS => self.set_members(command.body, stamp, changes),
            opcode => match Opcode::from_i32(opcode) {
                Some(Opcode::CreateSession) => self.create_session(command),
                Some(Opcode::CloseSession) => self.close_session(command.session, stamp, changes),
                Some(Opcode::DeleteContainer) => self.delete_container(command.body, stamp, changes),
                Some(Opcode::Reconfig) => self.reconfig(command, &context, stamp, reply, changes),
                Some(opcode) => self.client_write(opcode, &context, command.body, stamp, reply, changes),
                None => Err(ErrorCode::Unimplemented),
            },
        };
        self.last_zxid = zxid;
        let code = result.err().unwrap_or(ErrorCode::Ok);
        if code != ErrorCode::Ok {
            reply.truncate(start);
        }
        Applied { zxid, code }
    }

    fn client_write(
        &mut self,
        opcode: Opcode,
        context: &Context<'_>,
        body: &[u8],
        stamp: Stamp,
        reply: &mut Vec<u8>,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        match opcode {
            // Only allowed in a multi.
            Opcode::Check => return Err(ErrorCode::Unimplemented),
            _ if !opcode.is_write() => return Err(ErrorCode::Unimplemented),
            _ => {}
        }
        let request = Request::decode(opcode, body).map_err(|_| ErrorCode::MarshallingError)?;
        if !self.sessions.contains(context.session) {
            return Err(ErrorCode::SessionExpired);
        }
        if let Request::Multi(multi) = &request {
            return self.multi(multi, context, stamp, reply, changes);
        }
        self.with_path_buffer(|machine, buffer| {
            let step = plan(&Direct(machine), context, &request, buffer)?;
            let node = machine.perform(&step, stamp, buffer, changes);
            machine.put_result(opcode, &step, node, buffer, reply);
            Ok(())
        })
    }

    /// Lends the path buffer to `work`, which also borrows the machine.
    pub(super) fn with_path_buffer<T>(&mut self, work: impl FnOnce(&mut Self, &mut String) -> T) -> T {
        let mut buffer = std::mem::take(&mut self.path_buffer);
        let result = work(self, &mut buffer);
        self.path_buffer = buffer;
        result
    }

    /// Appends the reply body of an operation whose step was performed on `node`.
    pub(super) fn put_result(
        &self,
        opcode: Opcode,
        step: &Step<'_>,
        node: Option<NodeId>,
        buffer: &mut String,
        reply: &mut Vec<u8>,
    ) {
        if opcode.is_create() {
            match step {
                Step::Create(node) => reply.put_str(node.path.render(buffer)),
                Step::Nothing { path } => reply.put_str(path),
                _ => unreachable!("a create creates or does nothing"),
            }
        }
        // create and createIfNotExists answer with the path only.
        if let Some(node) = node
            && !matches!(opcode, Opcode::Create | Opcode::CreateIfNotExists)
        {
            self.tree.node(node).stat().encode(reply);
        }
    }

    fn initialize(&mut self, body: &[u8]) -> Result<(), ErrorCode> {
        let key: &[u8; CLUSTER_KEY_BYTES] = body.try_into().map_err(|_| ErrorCode::MarshallingError)?;
        // The first key stays: two leaders may both have found the cluster without one.
        self.cluster_key.get_or_insert(*key);
        Ok(())
    }

    fn create_session(&mut self, command: &Command<'_>) -> Result<(), ErrorCode> {
        let terms = SessionTerms::read(command.body).map_err(|_| ErrorCode::MarshallingError)?;
        if !Session::may_have(command.session) {
            return Err(ErrorCode::BadArguments);
        }
        if self.sessions.contains(command.session) {
            return Err(ErrorCode::NodeExists);
        }
        self.sessions.insert(command.session, terms);
        Ok(())
    }

    /// Moves a session to another server, or changes its timeout.
    fn move_session(&mut self, command: &Command<'_>) -> Result<(), ErrorCode> {
        let terms = SessionTerms::read(command.body).map_err(|_| ErrorCode::MarshallingError)?;
        if !self.sessions.contains(command.session) {
            return Err(ErrorCode::SessionExpired);
        }
        self.sessions.insert(command.session, terms);
        Ok(())
    }

    /// Ends a session and deletes its ephemerals, parent by parent and by name: ZooKeeper defines
    /// no order, but members must use the same. A session that no longer exists counts as closed.
    fn close_session(
        &mut self,
        session: i64,
        stamp: Stamp,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        let mut parents: BTreeMap<NodeId, Vec<(String, NodeId)>> = BTreeMap::new();
        for id in self.sessions.ephemerals(session) {
            let node = self.tree.node(id);
            let parent = node.parent().expect("the root is not ephemeral");
            parents.entry(parent).or_default().push((node.name().to_owned(), id));
        }
        for (parent, mut ephemerals) in parents {
            ephemerals.sort_unstable();
            // One path at a time: all of them together may be many times larger than the tree.
            let (above, mut path) = (self.path(parent), String::new());
            for (name, id) in ephemerals {
                path.clear();
                wire::path::join(&above, &name, &mut path);
                self.delete_node(id, &path, stamp, changes);
            }
        }
        self.sessions.remove(session);
        Ok(())
    }

    fn delete_container(
        &mut self,
        body: &[u8],
        stamp: Stamp,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        let meant = DeleteContainer::read(body).map_err(|_| ErrorCode::MarshallingError)?;
        let id = self.find(meant.path).ok_or(ErrorCode::NoNode)?;
        let node = self.tree.node(id);
        if !matches!(Owner::from_stored(node.owner()), Owner::Container | Owner::Ttl { .. })
            || (node.czxid(), node.mzxid()) != (meant.czxid, meant.mzxid)
        {
            return Err(ErrorCode::BadVersion);
        }
        if node.child_count() > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.delete_node(id, meant.path, stamp, changes);
        Ok(())
    }
}
