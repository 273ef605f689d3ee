//! The ensemble's members: the leader's commands, and clients' `reconfig`.

use wire::acl::perms;
use wire::code::ErrorCode;
use wire::jute::{Put as _, Reader};
use wire::record::Request;

use super::Machine;
use super::perform::Stamp;
use super::view::Context;
use crate::change::ChangeSink;
use crate::command::{Command, Features};
use crate::members::{self, Configuration, Members, ProposedConfig};
use crate::tree::NodeId;

const CONFIG_PATH: &str = "/zookeeper/config";

/// Version of the node's data, however often they were set.
const CONFIG_VERSION: i32 = -1;

impl Machine {
    /// The replicated membership.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Records that an entry about this member changed the consensus group. Every member calls this
    /// at the same position in the log.
    pub fn member_changed(&mut self, id: u64) {
        self.members.note_id(id);
    }

    /// Moves this state to another group: the committed configuration stays, everything else about
    /// members is dropped.
    pub fn leave_group(&mut self) {
        self.members.proposed = None;
        self.members.ids.clear();
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
        if !self.sessions.contains(context.session) {
            return Err(ErrorCode::SessionExpired);
        }
        let current = self.members.current.as_ref().ok_or(ErrorCode::Unimplemented)?;
        let text = members::plan(current, &request, context.features.has(Features::LONE_VOTER))?;
        context.asker.check(perms::WRITE, self.acl_of(self.config_node()))?;
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
        let proposed = self.members.proposed.as_ref().ok_or(ErrorCode::NewConfigNoQuorum)?;
        if (proposed.session, proposed.cxid) != (command.session, command.cxid) || proposed.text != text {
            return Err(ErrorCode::ReconfigInProgress);
        }
        self.configure(text, stamp, changes);
        let node = self.tree.node(self.config_node());
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

    /// Sets or withdraws the configuration the leader works towards.
    pub(super) fn propose_config(&mut self, body: &[u8]) -> Result<(), ErrorCode> {
        if body.is_empty() {
            self.members.proposed = None;
            return Ok(());
        }
        let proposed =
            ProposedConfig::take(&mut Reader::new(body)).map_err(|_| ErrorCode::MarshallingError)?;
        // The first one stays: two leaders may both have started a reconfiguration.
        self.members.proposed.get_or_insert(proposed);
        Ok(())
    }

    fn configure(&mut self, text: String, stamp: Stamp, changes: &mut dyn ChangeSink) {
        let current = Configuration { text, version: stamp.zxid };
        let (id, data) = (self.config_node(), current.data());
        self.set_data(id, CONFIG_PATH, Some(&data), stamp, changes);
        self.tree.set_version(id, CONFIG_VERSION);
        self.members.current = Some(current);
        self.members.proposed = None;
    }

    fn config_node(&self) -> NodeId {
        self.tree.find(CONFIG_PATH).expect("it cannot be deleted")
    }
}
