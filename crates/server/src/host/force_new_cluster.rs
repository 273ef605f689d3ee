//! Forces a new cluster: a new ensemble out of what one member of a lost one has.
//!
//! Every entry in its log becomes state, committed or not. What was acknowledged is on a majority
//! of disks; if this disk was among them and the others are gone, acknowledged entries cannot be
//! told from others. Then the state is written as a snapshot whose only member is this server, the
//! log begins after it, and the directory belongs to a new cluster, so that members of the old one
//! are refused.

use std::sync::Arc;

use consensus::engine::Start;
use consensus::entry::{Entry, EntryKind, Position};
use consensus::membership::{MembershipChange, SnapshotMeta};
use group::message::Founder;
use state::change::Ignore;
use state::command::{BatchHeader, commands};
use state::machine::Machine;
use storage::log::{AppendError, FlushError, Record};
use storage::snapshot::{self, SnapshotError, SnapshotName, SnapshotWriter};

use super::identity::{Identity, IdentityError, new_key};
use super::recovery::{self, Files, Opened, OpenedGroup, RecoveryError, put_meta};
use crate::config::{Config, ServerId};
use group::GroupId;
use group::group::cluster_of;

/// Znodes in one slice of the snapshot.
const SLICE_NODES: usize = 10_000;

/// What a member of a lost ensemble has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number (`myid`).
    pub server: ServerId,
    /// The id of the cluster that its data belong to.
    pub cluster: u64,
    /// Term of its last entry, committed or not. Of several remaining servers, the one with the
    /// highest (`term`, `index`) has everything that was acknowledged, if any of them has.
    pub term: u64,
    /// Log index of its last entry; see `term`.
    pub index: u64,
    /// zxid of the state after that entry.
    pub zxid: i64,
    /// Znodes in that state.
    pub znodes: usize,
    /// Sessions in that state.
    pub sessions: usize,
}

/// Why no new cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum ForceNewClusterError {
    /// The data cannot be used.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The directory is empty, or never belonged to a member of an ensemble.
    #[error("this server has no part in an ensemble: there is nothing to go on from")]
    Empty,
    /// The server has several consensus groups.
    #[error(
        "this server has {0} consensus groups (ostler.testGroups); a new cluster can be forced out of one only"
    )]
    Groups(usize),
    /// An entry of the log is invalid.
    #[error("entry {index} of the log cannot be read: {why}")]
    Entry {
        /// Its log index.
        index: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The snapshot cannot be written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The identity cannot be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log has no room.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log fails.
    #[error(transparent)]
    Flush(#[from] FlushError),
}

/// Reports what the data directory holds, without making a new cluster.
pub(crate) fn look(files: &Files, config: &Config) -> Result<Found, ForceNewClusterError> {
    let mut opened = recovery::open(files, config)?;
    let found = take_in(&mut opened)?;
    opened.log.close()?;
    Ok(found)
}

/// Makes the server a group of one.
pub(crate) fn force_new_cluster(files: &Files, config: &Config) -> Result<Found, ForceNewClusterError> {
    let mut opened = recovery::open(files, config)?;
    let found = take_in(&mut opened)?;
    let Opened { groups, identity, mut log, snapshot_dir, data_dir, loading: _ } = opened;
    let Some(OpenedGroup { mut machine, start }) = groups.into_iter().next() else {
        return Err(ForceNewClusterError::Empty);
    };
    let disk = &files.disk;
    let founder = Founder { member: group::first_member_of(identity.server), nonce: disk.entropy() };
    // A position that no entry has had, so that no entry of the old log can be mistaken for a later
    // one.
    let term = found.term.max(start.hard_state.term);
    let position = Position { term, index: found.index + 1 };
    let meta = SnapshotMeta { position, ..SnapshotMeta::bootstrap(&[founder.member]) };
    machine.leave_group();
    write_snapshot(files, &snapshot_dir, &meta, &mut machine)?;
    let founders = vec![founder];
    let cluster = cluster_of(&founders);
    let member = Some(founder.member);
    let key = Some(new_key(disk.as_ref()));
    let identity = Identity { nonce: founder.nonce, cluster, member, founders, key, ..identity };
    identity.save(disk.as_ref(), &config.storage.data_dir)?;
    log.reserve([0, 0].into_iter())?;
    log.reset(GroupId::ROOT.0, position.index, position.term)?;
    log.append(&Record::HardState { group: GroupId::ROOT.0, term, vote: 0, commit: position.index })?;
    log.flush()?;
    // Older snapshots belong to the old group.
    snapshot::purge(disk.as_ref(), &snapshot_dir, GroupId::ROOT.0, 1, &|_| false)?;
    log.close()?;
    drop(data_dir);
    Ok(Found { cluster, ..found })
}

/// Applies the whole log.
fn take_in(opened: &mut Opened) -> Result<Found, ForceNewClusterError> {
    let Opened { groups, identity, .. } = opened;
    let [OpenedGroup { machine, start: Start { snapshot, entries, .. } }] = groups.as_mut_slice() else {
        return Err(ForceNewClusterError::Groups(groups.len()));
    };
    if identity.member.is_none() || snapshot.position.index == 0 {
        return Err(ForceNewClusterError::Empty);
    }
    for entry in entries.iter().filter(|entry| entry.index > snapshot.position.index) {
        apply(machine, entry).map_err(|why| ForceNewClusterError::Entry { index: entry.index, why })?;
    }
    let last =
        entries.last().map_or(snapshot.position, |entry| Position { index: entry.index, term: entry.term });
    Ok(Found {
        server: identity.server,
        cluster: identity.cluster,
        term: last.term,
        index: last.index.max(snapshot.position.index),
        zxid: machine.last_zxid(),
        znodes: machine.znode_count(),
        sessions: machine.sessions_count(),
    })
}

fn apply(machine: &mut Machine, entry: &Entry) -> Result<(), String> {
    match entry.kind {
        EntryKind::Leadership => machine.begin_leadership(),
        EntryKind::Membership => {
            let change = MembershipChange::from_bytes(&entry.data).map_err(|e| e.to_string())?;
            machine.member_changed(change.member().0);
        }
        EntryKind::Command => {
            let (header, rest) = BatchHeader::read(&entry.data).map_err(|e| e.to_string())?;
            let mut reply = Vec::new();
            for command in commands(rest) {
                let command = command.map_err(|e| e.to_string())?;
                machine.apply(&header, &command, &mut reply, &mut Ignore);
                reply.clear();
            }
        }
    }
    Ok(())
}

fn write_snapshot(
    files: &Files,
    dir: &std::path::Path,
    meta: &SnapshotMeta,
    machine: &mut Machine,
) -> Result<(), SnapshotError> {
    let Position { index, term } = meta.position;
    let name = SnapshotName { group: GroupId::ROOT.0, index, term, zxid: machine.last_zxid() };
    let mut writer = SnapshotWriter::create(Arc::clone(&files.disk), dir, name)?;
    let mut bytes = Vec::new();
    put_meta(meta, &mut bytes);
    let mut cursor = machine.begin_snapshot();
    let mut done = false;
    while !done {
        done = machine.snapshot_slice(&mut cursor, SLICE_NODES, &mut bytes);
        writer.write(&bytes)?;
        bytes.clear();
    }
    drop(machine.end_snapshot());
    writer.finish()?;
    Ok(())
}
