//! How the crate is set up.

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
        // The crate would glue entries to a waiting message without looking whether they follow its `previous`: after a
        // lost message, a follower acknowledged entries that were never there. Proposals are batched before instead.
        batch_append: false,
        // `propose` keeps the limit, since it can say no. It needs the crate's count, which is kept under any limit but the
        // highest.
        max_uncommitted_size: u64::MAX - 1,
        max_committed_size_per_ready: settings.committed_bytes_max,
        ..Config::default()
    }
}

/// Between one and two times `election_ticks`: the same for the same seed, but different for each member and term, so that two
/// members whose votes split will not split them again for ever.
pub(super) fn election_timeout_ticks(settings: &Settings, term: u64) -> usize {
    let mut hash = settings.seed;
    for part in [settings.group, settings.member.0, term] {
        // A step of splitmix64.
        hash = (hash ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash ^= hash >> 31;
    }
    let ticks = u64::from(settings.election_ticks);
    usize::try_from(ticks + hash % ticks).expect("a timeout in ticks fits")
}
