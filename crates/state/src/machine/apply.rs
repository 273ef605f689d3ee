//! Applying a command.

use wire::code::ErrorCode;
use wire::opcode::Opcode;
use wire::record::Request;

use super::Machine;
use crate::change::ChangeSink;
use crate::command::{self, BatchHeader, Command, DeleteContainer};
use crate::data_tree::{Context, Stamp};

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
                command::MOVE_SESSION => self.ensemble.move_session(command.session, command.body),
                _ => self.ensemble.propose_config(command.body),
            };
            return Applied { zxid: self.last_zxid, code: result.err().unwrap_or(ErrorCode::Ok) };
        }
        self.last_batch_ms = Some(batch.time_ms);
        let zxid = self.last_zxid.max(batch.zxid_floor).saturating_add(1);
        let stamp = Stamp { zxid, time_ms: batch.time_ms };
        let context = Context::new(command.session, command.identities, batch.features);
        let start = reply.len();
        let result = match command.opcode {
            command::INITIALIZE => self.ensemble.initialize(command.body),
            command::SET_MEMBERS => self.set_members(command.body, stamp, changes),
            opcode => match Opcode::from_i32(opcode) {
                Some(Opcode::CreateSession) => self.ensemble.create_session(command.session, command.body),
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
        if !self.ensemble.has_session(context.session) {
            return Err(ErrorCode::SessionExpired);
        }
        self.tree.write(&request, context, stamp, &mut self.path_buffer, reply, changes)
    }

    /// Ends a session and deletes its ephemerals. A session that no longer exists counts as closed.
    fn close_session(
        &mut self,
        session: i64,
        stamp: Stamp,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        self.tree.end_session(session, stamp, changes);
        self.ensemble.end_session(session);
        Ok(())
    }

    fn delete_container(
        &mut self,
        body: &[u8],
        stamp: Stamp,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        let meant = DeleteContainer::read(body).map_err(|_| ErrorCode::MarshallingError)?;
        self.tree.delete_container(&meant, stamp, changes)
    }
}
