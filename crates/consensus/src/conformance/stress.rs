//! All kinds of faults, mixed anew for every seed; then they end, and the group must recover.

use std::collections::BTreeSet;

use super::Make;
use super::calm::commit;
use super::network::{Faults, Network};
use crate::engine::Start;
use crate::entry::MemberId;
use crate::membership::MembershipChange;

/// Most members in the run at a time, without removed ones.
const MEMBERS_MAX: usize = 6;

/// Most members over the whole run.
const EVER_MAX: usize = 12;

/// How often each event happens in this run.
struct Mix {
    units: u64,
    proposals: u64,
    crash: u64,
    restart: u64,
    partition: u64,
    heal: u64,
    read: u64,
    transfer: u64,
    campaign: u64,
    member_change: u64,
    /// Members whose removal a leader has accepted: they may be gone, and are not added again.
    removed: BTreeSet<MemberId>,
}

impl Mix {
    fn draw(network: &mut Network<'_>) -> Self {
        let mut upto = |limit: u64| network.random(limit + 1);
        Self {
            units: 200 + upto(400),
            proposals: 1 + upto(6),
            crash: upto(12),
            restart: 10 + upto(60),
            partition: upto(20),
            heal: 5 + upto(40),
            read: upto(100),
            transfer: upto(15),
            campaign: upto(15),
            member_change: upto(1) * upto(60),
            removed: BTreeSet::new(),
        }
    }
}

/// One run; everything in it follows from the seed.
///
/// # Panics
/// If the engine breaks a guarantee, or the group does not recover.
pub fn stress(make: &Make<'_>, seed: u64) {
    let mut network = Network::empty(make, seed);
    let size = [1, 3, 5, 5][network.random(4) as usize];
    let (bytes, count) = [(1, 8), (50, 2), (1 << 20, 64)][network.random(3) as usize];
    network.settings.message_bytes_max = bytes;
    network.settings.messages_in_flight_max = count;
    network.settings.committed_bytes_max = [1, 100, 1 << 20][network.random(3) as usize];
    network.settings.uncommitted_bytes_max = [100, 1 << 20][network.random(2) as usize];
    network.found(size);
    network.snapshot_every = [10, 50, u64::MAX][network.random(3) as usize];
    network.retained = network.random(30);
    network.faults = Faults {
        loss_percent: [0, 5, 30][network.random(3) as usize],
        duplicate_percent: [0, 10, 30][network.random(3) as usize],
        delay_max: 1 + network.random(8),
        flush_delay_max: network.random(8),
    };
    let mut mix = Mix::draw(&mut network);
    (0..mix.units).for_each(|_| inject_faults(&mut network, &mut mix));
    recover(&mut network);
}

fn inject_faults(network: &mut Network<'_>, mix: &mut Mix) {
    for _ in 0..network.random(mix.proposals + 1) {
        network.propose();
    }
    let members = network.peers.keys().copied().collect::<Vec<_>>();
    let pick = |network: &mut Network<'_>| members[network.random(members.len() as u64) as usize];
    let (one, other) = (pick(network), pick(network));
    let is_up = network.peer(one).engine.is_some();
    let mut happens = |weight: u64| network.random(1000) < weight;
    let [crash, restart] = [mix.crash, mix.restart].map(&mut happens);
    let [partition, heal, member_change] = [mix.partition, mix.heal, mix.member_change].map(&mut happens);
    let [read, transfer, campaign] = [mix.read * 4, mix.transfer, mix.campaign].map(&mut happens);
    if crash && is_up {
        network.crash(one);
    } else if restart && !is_up {
        network.restart(one);
    }
    if network.peer(one).engine.is_some() {
        if read {
            network.ask_read(one);
        }
        if campaign {
            network.peer(one).engine().campaign();
        }
        if network.random(20) == 0 {
            network.peer(one).engine().heard_of(other);
        }
    }
    if let Some(leader) = network.leader().filter(|_| transfer) {
        let _ = network.peer(leader).engine().transfer_leadership(other);
    }
    if partition {
        partition_some(network, one, other);
    }
    if heal {
        network.heal();
    }
    if member_change {
        change_members(network, one, &mut mix.removed);
    }
    // Any member that believes it leads may get proposals, even if others know of a newer leader.
    if network.random(3) == 0 {
        network.up().into_iter().for_each(|member| _ = network.propose_on(member));
    }
    network.step();
}

fn partition_some(network: &mut Network<'_>, one: MemberId, other: MemberId) {
    match network.random(6) {
        0 => network.isolate(one, false),
        1 => network.isolate(one, true),
        2 => network.deafen(one),
        3 if one != other => network.cut_link(one, other),
        4 if one != other => network.cut_one_way(one, other),
        _ => {
            let members = network.peers.keys().copied().collect::<Vec<_>>();
            let part = members.into_iter().filter(|_| network.random(2) == 0).collect::<Vec<_>>();
            network.split(&part);
        }
    }
}

/// Proposes some change, which may or may not take effect. A removed member stays up, like a member
/// that has not learned of its removal.
fn change_members(network: &mut Network<'_>, one: MemberId, removed: &mut BTreeSet<MemberId>) {
    let Some(leader) = network.leader() else { return };
    let membership = network.peer(leader).engine().status().membership;
    let count = membership.voters.len() + membership.learners.len();
    let newest = *network.peers.last_key_value().expect("there are founders").0;
    let may_come = |member| membership.contains(member) && !removed.contains(&member);
    let change = match network.random(4) {
        0 if !membership.contains(newest) && !removed.contains(&newest) => MembershipChange::AddVoter(newest),
        0 if count < MEMBERS_MAX && network.peers.len() < EVER_MAX => {
            let new = MemberId(newest.0 + 1);
            network.add(new, Start::joining());
            MembershipChange::AddVoter(new)
        }
        1 if may_come(one) => MembershipChange::AddLearner(one),
        2 if may_come(one) => MembershipChange::AddVoter(one),
        3 if may_come(one) => MembershipChange::Remove(one),
        _ => return,
    };
    let is_taken = network.peer(leader).engine().propose_membership(change).is_ok();
    if is_taken && matches!(change, MembershipChange::Remove(_)) {
        removed.insert(one);
    }
}

/// All faults end; all members come back, the members of the group apply the same log, and reads
/// are answered.
fn recover(network: &mut Network<'_>) {
    network.heal();
    network.faults = Faults::NONE;
    for member in network.peers.keys().copied().collect::<Vec<_>>() {
        if network.peer(member).engine.is_none() {
            network.restart(member);
        }
    }
    // Pending changes take effect, or are lost.
    commit(network, 3, &[]);
    network.until("everything accepted is committed", |network| {
        let Some(leader) = network.leader() else { return false };
        let status = network.peer(leader).engine().status();
        status.commit == status.last_index
    });
    network.run(20);
    let leader = network.leader().expect("a leader");
    let membership = network.peer(leader).engine().status().membership;
    let members = [membership.voters, membership.learners].concat();
    commit(network, 3, &members);
    network.check_equal(&members);
    let asked = members.iter().map(|member| network.ask_read(*member)).collect::<Vec<_>>();
    network.until("every read is answered", |network| {
        asked.iter().all(|context| network.record.answered_contexts.contains(context))
    });
}
