//! Who the members are to be: commands of the leader, and the `reconfig` of clients.

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

/// Version of the node's data, whatever has happened to it.
const CONFIG_VERSION: i32 = -1;

impl Machine {
    /// What members agree on about themselves.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The engine's members were changed by an entry about this one. Every member calls this at the same place of the log.
    pub fn member_changed(&mut self, id: u64) {
        self.members.note_id(id);
    }

    /// The members of this state are those of another group from now on: the configuration stays as it was agreed on, and nothing else.
    pub fn leave_group(&mut self) {
        self.members.proposed = None;
        self.members.ids.clear();
    }

    /// What a client's `reconfig` would make the configuration, as if it were applied now under these features.
    ///
    /// # Errors
    /// As it would be refused.
    pub fn plan_reconfig(&self, command: &Command<'_>, features: Features) -> Result<String, ErrorCode> {
        self.plan_members(command, &Context::new(command.session, command.identities, features))
    }

    /// In ZooKeeper's order: is it possible, is it right, and last of all, may this client?
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

    /// The command that ends a reconfiguration. The leader gives it its place in the log when the members are as it wants them; one that
    /// it refuses gets its place at once, and finds no aim, or another's.
    pub(super) fn reconfig(
        &mut self,
        command: &Command<'_>,
        context: &Context<'_>,
        stamp: Stamp,
        reply: &mut Vec<u8>,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        let text = self.plan_members(command, context)?;
        let aim = self.members.proposed.as_ref().ok_or(ErrorCode::NewConfigNoQuorum)?;
        if (aim.session, aim.cxid) != (command.session, command.cxid) || aim.text != text {
            return Err(ErrorCode::ReconfigInProgress);
        }
        self.configure(text, stamp, changes);
        let node = self.tree.node(self.config_node());
        reply.put_buffer(node.data());
        node.stat().encode(reply);
        Ok(())
    }

    /// The leader writes the configuration down by itself.
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

    /// From now on the leader works towards this, or towards nothing.
    pub(super) fn aim_members(&mut self, body: &[u8]) -> Result<(), ErrorCode> {
        if body.is_empty() {
            self.members.proposed = None;
            return Ok(());
        }
        let aim = ProposedConfig::take(&mut Reader::new(body)).map_err(|_| ErrorCode::MarshallingError)?;
        // The first aim stays: two leaders may both have begun something.
        self.members.proposed.get_or_insert(aim);
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
