//! Configuration of the `raft` crate.

use ::raft::{Config, ReadOnlyOption};

use crate::engine::Settings;

pub(super) fn config(settings: &Settings, applied: u64) -> Config {
    Config {
        id: settings.member.0,
        election_tick: settings.election_ticks as usize,
        heartbeat_tick: settings.heartbeat_ticks as usize,
        applied,
        max_size_per_msg: settings.message_bytes_max,
        max_inflight_msgs: settings.messages_in_flight_max,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        // The crate would append entries to a waiting message without checking that they follow its
        // `previous`: after a lost message, a follower acknowledged entries it never had. Proposals
        // are batched earlier instead.
        batch_append: false,
        // `propose` enforces the limit, since it can refuse. It needs the crate's count, which the
        // crate keeps for any limit but the highest.
        max_uncommitted_size: u64::MAX - 1,
        max_committed_size_per_ready: settings.committed_bytes_max,
        ..Config::default()
    }
}
