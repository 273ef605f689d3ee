//! How long a member waits before it stands for election.

use crate::engine::Settings;
use crate::membership::Membership;

/// Between one and two times `election_ticks`: deterministic in the seed, but different for each
/// member and `salt` (which changes with each attempt), so that two members that split the votes do
/// not do so for ever.
pub(crate) fn election_timeout_ticks(settings: &Settings, salt: u64) -> u32 {
    let spread = own_hash(settings, salt) % u64::from(settings.election_ticks);
    settings.election_ticks + u32::try_from(spread).expect("less than the ticks of an election")
}

/// The same, but voters that last heard from a leader at the same time do not stand for election at
/// the same time.
///
/// With purely random timeouts, two voters pick the same tick once in as many elections as there
/// are ticks to pick from; each then votes for itself, and another timeout is lost. Here the
/// interval is divided among the voters, starting at an offset that changes with the term. A small
/// random part remains for members that know different voters. No voter picks the first tick, at
/// which others may still count on the leader.
pub(crate) fn placed_timeout_ticks(settings: &Settings, term: u64, members: &Membership) -> u32 {
    let spread = u64::from(settings.election_ticks.saturating_sub(1)).max(1);
    let count = members.voters.len().max(1) as u64;
    let place = members.voters.binary_search(&settings.member).unwrap_or(0) as u64;
    let first = hash(0, &[settings.group, term]) % spread;
    let jitter = own_hash(settings, term) % (spread / (2 * count)).max(1);
    let ticks = (first + place * spread / count + jitter) % spread;
    let late = u64::from(settings.election_ticks > 1);
    settings.election_ticks + u32::try_from(ticks + late).expect("less than the ticks of an election")
}

fn own_hash(settings: &Settings, salt: u64) -> u64 {
    hash(settings.seed, &[settings.group, settings.member.0, salt])
}

fn hash(seed: u64, parts: &[u64]) -> u64 {
    let mut hash = seed;
    for part in parts {
        // A step of splitmix64.
        hash = (hash ^ part).wrapping_add(0x9E37_79B9_7F4A_7C15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash ^= hash >> 31;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::MemberId;

    fn settings(member: u64, election_ticks: u32) -> Settings {
        Settings { election_ticks, ..Settings::new(0, MemberId(member), 1, member * 77) }
    }

    #[test]
    fn voters_of_one_membership_pick_distant_ticks() {
        for (voters, apart) in [(&[1, 2][..], 6), (&[1, 2, 3], 4), (&[4, 513, 7], 4), (&[1, 2, 3, 4, 5], 2)] {
            let members = Membership::of_voters(&voters.iter().copied().map(MemberId).collect::<Vec<_>>());
            for term in 0..1_000 {
                let mut ticks: Vec<u32> = voters
                    .iter()
                    .map(|member| placed_timeout_ticks(&settings(*member, 30), term, &members))
                    .collect();
                assert!(ticks.iter().all(|ticks| (31..60).contains(ticks)), "{ticks:?} in term {term}");
                ticks.sort_unstable();
                assert!(ticks.is_sorted_by(|one, next| one + apart <= *next), "{ticks:?} in term {term}");
            }
        }
    }

    #[test]
    fn members_with_the_same_place_do_not_collide_for_ever() {
        let of = |other| Membership::of_voters(&[MemberId(1), MemberId(other)]);
        let met = (0..100).filter(|term| {
            let ticks = |member| placed_timeout_ticks(&settings(member, 30), *term, &of(member));
            ticks(2) == ticks(3)
        });
        assert!(met.count() < 40);
    }

    #[test]
    fn the_shortest_timeouts_are_possible_too() {
        let members = Membership::of_voters(&[MemberId(1), MemberId(2), MemberId(3)]);
        for election_ticks in 1..10 {
            for member in 1..=4 {
                let ticks = placed_timeout_ticks(&settings(member, election_ticks), 5, &members);
                assert!((election_ticks..2 * election_ticks).contains(&ticks));
            }
        }
    }
}
