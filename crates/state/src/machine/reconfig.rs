//! The ensemble's members: the leader's commands, and clients' `reconfig`. The configuration is the
//! ensemble's, and a node of the data tree shows it to clients.

use wire::acl::perms;
use wire::code::ErrorCode;
use wire::jute::{Put as _, Reader};
use wire::record::Request;

use super::Machine;
use crate::change::ChangeSink;
use crate::command::{Command, Features};
use crate::data_tree::{CONFIG_PATH, Context, Stamp};
use crate::members::{self, Configuration};

impl Machine {
    /// Records that an entry about this member changed the consensus group. Every member calls this
    /// at the same position in the log.
    pub fn member_changed(&mut self, id: u64) {
        self.ensemble.note_member_id(id);
    }

    /// Moves this state to another group: the committed configuration stays, everything else about
    /// members is dropped.
    pub fn leave_group(&mut self) {
        self.ensemble.leave_group();
    }

    /// The configuration that a client's `reconfig` would produce if it were applied now with these
    /// features.
    ///
    /// # Errors
    /// The error with which it would be refused.
    pub fn plan_reconfig(&self, command: &Command<'_>, features: Features) -> Result<String, ErrorCode> {
        self.plan_members(command, &Context::new(command.session, command.identities, features))
    }

    /// Checks in ZooKeeper's order: is it enabled, is it valid, and finally, may this client do it?
    fn plan_members(&self, command: &Command<'_>, context: &Context<'_>) -> Result<String, ErrorCode> {
        if !context.features.has(Features::RECONFIG) {
            return Err(ErrorCode::ReconfigDisabled);
        }
        let request = Request::decode(wire::opcode::Opcode::Reconfig, command.body);
        let Ok(Request::Reconfig(request)) = request else { return Err(ErrorCode::MarshallingError) };
        if !self.ensemble.has_session(context.session) {
            return Err(ErrorCode::SessionExpired);
        }
        let current = self.members().current.as_ref().ok_or(ErrorCode::Unimplemented)?;
        let text = members::plan(current, &request, context.features.has(Features::LONE_VOTER))?;
        self.tree.require(&context.asker, perms::WRITE, CONFIG_PATH, self.tree.config_acl())?;
        Ok(text)
    }

    /// Completes a reconfiguration. The leader proposes the command once the consensus group has
    /// the proposed members; one that it refuses it proposes at once, and that one finds no
    /// proposed configuration, or another one.
    pub(super) fn reconfig(
        &mut self,
        command: &Command<'_>,
        context: &Context<'_>,
        stamp: Stamp,
        reply: &mut Vec<u8>,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        let text = self.plan_members(command, context)?;
        let proposed = self.members().proposed.as_ref().ok_or(ErrorCode::NewConfigNoQuorum)?;
        if (proposed.session, proposed.cxid) != (command.session, command.cxid) || proposed.text != text {
            return Err(ErrorCode::ReconfigInProgress);
        }
        self.configure(text, stamp, changes);
        let node = self.tree.config();
        reply.put_buffer(node.data());
        node.stat().encode(reply);
        Ok(())
    }

    /// Sets the configuration on the leader's own behalf.
    pub(super) fn set_members(
        &mut self,
        body: &[u8],
        stamp: Stamp,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        let text = Reader::new(body).str().map_err(|_| ErrorCode::MarshallingError)?.to_owned();
        self.configure(text, stamp, changes);
        Ok(())
    }

    fn configure(&mut self, text: String, stamp: Stamp, changes: &mut dyn ChangeSink) {
        let config = Configuration { text, version: stamp.zxid };
        self.tree.set_config(&config.data(), stamp, changes);
        self.ensemble.set_config(config);
    }
}
