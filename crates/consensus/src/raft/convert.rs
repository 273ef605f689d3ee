//! Conversion between this crate's types and those of the `raft` crate.
//!
//! The `raft` crate keeps its own protobuf types in memory; none of them reaches disk or network.

use ::raft::eraftpb::{
    ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry as RaftEntry, EntryType,
    HardState as RaftHardState, Message as RaftMessage, MessageType, Snapshot,
};
use bytes::Bytes;

use crate::entry::{Entry, EntryKind, HardState, MemberId, Position};
use crate::membership::{Membership, MembershipChange, SnapshotMeta};
use crate::message::{Body, Message, ReadName};

/// The crate's own mark of a vote in a leadership transfer, which it compares with.
const TRANSFER: &[u8] = b"CampaignTransfer";

/// Moves the data: at a high rate of entries, each clone of shared bytes counts.
pub(super) fn entry(raft: RaftEntry) -> Entry {
    let (kind, data) = match raft.get_entry_type() {
        // The crate appends an empty entry for a new leader; empty commands are refused, so this is
        // one.
        EntryType::EntryNormal if raft.data.is_empty() => (EntryKind::Leadership, Bytes::new()),
        EntryType::EntryNormal => (EntryKind::Command, raft.data),
        // On the member that proposed it, the crate wants its own encoding in `data`; ours is in
        // `context`.
        _ if !raft.context.is_empty() => (EntryKind::Membership, raft.context),
        _ => (EntryKind::Membership, raft.data),
    };
    Entry { index: raft.index, term: raft.term, kind, data }
}

pub(super) fn raft_entry(entry: &Entry) -> RaftEntry {
    let Entry { index, term, .. } = *entry;
    let mut raft = RaftEntry { index, term, data: entry.data.clone(), ..Default::default() };
    if entry.kind == EntryKind::Membership {
        // The crate reads the data of such an entry only on the member that proposed it.
        raft.set_entry_type(EntryType::EntryConfChangeV2);
    }
    raft
}

pub(super) fn hard_state(raft: &RaftHardState) -> HardState {
    let vote = (raft.vote != 0).then_some(MemberId(raft.vote));
    HardState { term: raft.term, vote, commit: raft.commit }
}

pub(super) fn raft_hard_state(state: HardState) -> RaftHardState {
    let vote = state.vote.map_or(0, |member| member.0);
    RaftHardState { term: state.term, vote, commit: state.commit, ..Default::default() }
}

pub(super) fn conf_state(membership: &Membership) -> ConfState {
    let ids = |members: &[MemberId]| members.iter().map(|member| member.0).collect::<Vec<_>>();
    ConfState::from((ids(&membership.voters), ids(&membership.learners)))
}

pub(super) fn membership(raft: &ConfState) -> Membership {
    let members = |ids: &[u64]| {
        let mut members = ids.iter().map(|id| MemberId(*id)).collect::<Vec<_>>();
        members.sort_unstable();
        members
    };
    Membership { voters: members(&raft.voters), learners: members(&raft.learners) }
}

pub(super) fn conf_change(change: MembershipChange) -> ConfChangeV2 {
    let mut single = ConfChangeSingle { node_id: change.member().0, ..Default::default() };
    single.set_change_type(match change {
        MembershipChange::AddVoter(_) => ConfChangeType::AddNode,
        MembershipChange::AddLearner(_) => ConfChangeType::AddLearnerNode,
        MembershipChange::Remove(_) => ConfChangeType::RemoveNode,
    });
    let mut raft = ConfChangeV2::default();
    raft.set_changes(vec![single].into());
    raft
}

pub(super) fn snapshot(meta: &SnapshotMeta) -> Snapshot {
    let mut raft = Snapshot::default();
    let inner = raft.mut_metadata();
    inner.term = meta.position.term;
    inner.index = meta.position.index;
    inner.set_conf_state(conf_state(&meta.membership));
    raft
}

pub(super) fn snapshot_meta(raft: &Snapshot) -> SnapshotMeta {
    let inner = raft.get_metadata();
    SnapshotMeta {
        position: Position { term: inner.term, index: inner.index },
        membership: membership(inner.get_conf_state()),
    }
}

/// Converts a message the crate wants to send.
///
/// # Panics
/// On kinds the crate never sends as it is used here (forwarded proposals and transfer requests).
pub(super) fn message(group: u64, mut raft: RaftMessage) -> Message {
    let index_and_log_term = Position { term: raft.log_term, index: raft.index };
    let committed = Position { term: raft.commit_term, index: raft.commit };
    let trial = matches!(
        raft.get_msg_type(),
        MessageType::MsgRequestPreVote | MessageType::MsgRequestPreVoteResponse
    );
    let body = match raft.get_msg_type() {
        MessageType::MsgAppend => Body::Append {
            previous: index_and_log_term,
            commit: raft.commit,
            entries: raft.take_entries().into_iter().map(entry).collect(),
        },
        MessageType::MsgAppendResponse => Body::AppendReply {
            index: raft.index,
            commit: raft.commit,
            refused: raft.reject.then_some(Position { term: raft.log_term, index: raft.reject_hint }),
        },
        MessageType::MsgHeartbeat => {
            Body::Heartbeat { commit: raft.commit, read: ReadName::from_bytes(&raft.context) }
        }
        MessageType::MsgHeartbeatResponse => {
            Body::HeartbeatReply { commit: raft.commit, read: ReadName::from_bytes(&raft.context) }
        }
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => Body::Vote {
            trial,
            transfer: raft.context == TRANSFER,
            last: index_and_log_term,
            commit: committed,
        },
        MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => {
            Body::VoteReply { trial, refused: raft.reject, commit: committed }
        }
        MessageType::MsgSnapshot => Body::Snapshot(snapshot_meta(raft.get_snapshot())),
        MessageType::MsgTimeoutNow => Body::CampaignNow,
        MessageType::MsgReadIndex => Body::ReadAsk(read_name(&raft)),
        MessageType::MsgReadIndexResp => Body::ReadAnswer { name: read_name(&raft), index: raft.index },
        other => unreachable!("{other:?} is never sent"),
    };
    Message { group, from: MemberId(raft.from), to: MemberId(raft.to), term: raft.term, body }
}

fn read_name(raft: &RaftMessage) -> ReadName {
    let data = &raft.entries.first().expect("a read message carries its name").data;
    ReadName::from_bytes(data).expect("names are made here or checked on receipt")
}

/// Converts a message to hand to the crate.
pub(super) fn raft_message(message: Message) -> RaftMessage {
    let (from, to) = (message.from.0, message.to.0);
    let mut raft = RaftMessage { from, to, term: message.term, ..Default::default() };
    let kind = match message.body {
        Body::Append { previous, commit, entries } => {
            raft.log_term = previous.term;
            raft.index = previous.index;
            raft.commit = commit;
            raft.set_entries(entries.iter().map(raft_entry).collect::<Vec<_>>().into());
            MessageType::MsgAppend
        }
        Body::AppendReply { index, commit, refused } => {
            raft.index = index;
            raft.commit = commit;
            raft.reject = refused.is_some();
            let hint = refused.unwrap_or_default();
            raft.reject_hint = hint.index;
            raft.log_term = hint.term;
            MessageType::MsgAppendResponse
        }
        Body::Heartbeat { commit, read } => {
            raft.commit = commit;
            raft.context = read.map(ReadName::to_vec).unwrap_or_default().into();
            MessageType::MsgHeartbeat
        }
        Body::HeartbeatReply { commit, read } => {
            raft.commit = commit;
            raft.context = read.map(ReadName::to_vec).unwrap_or_default().into();
            MessageType::MsgHeartbeatResponse
        }
        Body::Vote { trial, transfer, last, commit } => {
            raft.log_term = last.term;
            raft.index = last.index;
            set_commit(&mut raft, commit);
            if transfer {
                raft.context = Bytes::from_static(TRANSFER);
            }
            if trial { MessageType::MsgRequestPreVote } else { MessageType::MsgRequestVote }
        }
        Body::VoteReply { trial, refused, commit } => {
            raft.reject = refused;
            set_commit(&mut raft, commit);
            if trial { MessageType::MsgRequestPreVoteResponse } else { MessageType::MsgRequestVoteResponse }
        }
        Body::Snapshot(meta) => {
            raft.set_snapshot(snapshot(&meta));
            MessageType::MsgSnapshot
        }
        Body::CampaignNow => MessageType::MsgTimeoutNow,
        Body::ReadAsk(name) => {
            set_read_name(&mut raft, name);
            MessageType::MsgReadIndex
        }
        Body::ReadAnswer { name, index } => {
            set_read_name(&mut raft, name);
            raft.index = index;
            MessageType::MsgReadIndexResp
        }
    };
    raft.set_msg_type(kind);
    raft
}

fn set_commit(raft: &mut RaftMessage, commit: Position) {
    raft.commit = commit.index;
    raft.commit_term = commit.term;
}

fn set_read_name(raft: &mut RaftMessage, name: ReadName) {
    let entry = RaftEntry { data: name.to_vec().into(), ..Default::default() };
    raft.set_entries(vec![entry].into());
}
