//! How long a member waits before it stands for election.

use crate::engine::Settings;

/// Between one and two times `election_ticks`: the same for the same seed, but different for each member and `salt` (which
/// changes from one attempt to the next), so that two members who got in each other's way will not do so for ever.
pub(crate) fn election_timeout_ticks(settings: &Settings, salt: u64) -> u32 {
    let mut hash = settings.seed;
    for part in [settings.group, settings.member.0, salt] {
        // A step of splitmix64.
        hash = (hash ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash ^= hash >> 31;
    }
    let spread = hash % u64::from(settings.election_ticks);
    settings.election_ticks + u32::try_from(spread).expect("less than the ticks of an election")
}
