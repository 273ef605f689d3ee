//! A strategy over a set of instances.

use std::sync::Arc;

use thiserror::Error;

use crate::bounded;
use crate::hash;
use crate::instance::Instance;
use crate::jump::Jump;
use crate::least_loaded::{self, LeastLoaded};
use crate::load::{Member, Pick};
use crate::maglev::Maglev;
use crate::proportional::Proportional;
use crate::random::SplitMix;
use crate::rendezvous::Rendezvous;
use crate::ring::{RING_POINTS_MAX, Ring};
use crate::round_robin::RoundRobin;
use crate::set::{InstanceSet, SetError};
use crate::settings::Settings;
use crate::smooth::Smooth;
use crate::strategy::{Choice, Strategy};

/// Why there is no picker for these instances.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PickerError {
    /// The instances are no set.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The ring would have more points than [`RING_POINTS_MAX`].
    #[error(
        "the ring would have {points} points: at most {RING_POINTS_MAX} are allowed; \
         lower the weights, or the points for each unit of weight"
    )]
    RingTooLarge {
        /// The sum of weights times the points for each unit.
        points: u64,
    },
    /// There would be instances without a slot.
    #[error(
        "{instances} instances in a Maglev table of {slots} slots: it needs at least one for each instance"
    )]
    MaglevTooSmall {
        /// The slots that the settings ask for.
        slots: u32,
        /// The instances that can be chosen.
        instances: usize,
    },
    /// The strategy needs the caller's zone, and the settings name none.
    #[error("the strategy {0} needs the zone of the caller: name it in the settings")]
    NoZone(Strategy),
}

/// Chooses instances of one set by one strategy. Shared by threads; replaced when the set changes.
#[derive(Debug)]
pub struct Picker {
    strategy: Strategy,
    settings: Settings,
    set: InstanceSet,
    /// The members that can be chosen: all, or those of the caller's zone.
    members: Vec<Arc<Member>>,
    chooser: Chooser,
    random: SplitMix,
}

/// What a choice has computed from the members.
#[derive(Debug)]
enum Chooser {
    RoundRobin(RoundRobin),
    Weighted(Smooth),
    Random(Proportional),
    LeastLoaded(LeastLoaded),
    TwoChoices(Proportional),
    Ring(Ring),
    RingBounded(Ring),
    Rendezvous(Rendezvous),
    RendezvousBounded(Rendezvous),
    Maglev(Maglev),
    Jump(Jump),
}

impl Picker {
    /// A picker for the first instances of a service. `seed` decides all random choices, and where
    /// the strategies begin that go around; clients should have different ones.
    pub fn new(
        strategy: Strategy,
        settings: Settings,
        instances: Vec<Instance>,
        seed: u64,
    ) -> Result<Picker, PickerError> {
        let set = InstanceSet::default().updated(instances)?;
        Picker::build(strategy, settings, set, SplitMix::new(seed))
    }

    /// A picker for changed instances, with the same strategy and settings. Outstanding requests
    /// stay counted, also those of an instance that leaves and comes back. Round robin continues
    /// behind the instance that was last.
    ///
    /// Requests that the old picker still chooses afterwards are counted too, except at an instance
    /// that left while it had none.
    pub fn updated(&self, instances: Vec<Instance>) -> Result<Picker, PickerError> {
        let set = self.set.updated(instances)?;
        let random = SplitMix::new(self.random.next());
        let mut new = Picker::build(self.strategy, self.settings.clone(), set, random)?;
        if let Chooser::RoundRobin(old) = &self.chooser {
            new.chooser = Chooser::RoundRobin(old.updated(&self.members, &new.members));
        }
        Ok(new)
    }

    /// A picker for the same instances with another strategy and other settings.
    pub fn with_strategy(&self, strategy: Strategy, settings: Settings) -> Result<Picker, PickerError> {
        Picker::build(strategy, settings, self.set.clone(), SplitMix::new(self.random.next()))
    }

    fn build(
        strategy: Strategy,
        settings: Settings,
        set: InstanceSet,
        random: SplitMix,
    ) -> Result<Picker, PickerError> {
        let members = match settings.zone() {
            _ if !strategy.zone_first => set.members().to_vec(),
            Some(zone) => set.zone_first(zone),
            None => return Err(PickerError::NoZone(strategy)),
        };
        let chooser = Chooser::new(strategy.choice, &settings, &members, &random)?;
        Ok(Picker { strategy, settings, set, members, chooser, random })
    }

    /// Chooses an instance and counts a request there until the pick is dropped; nothing if the set
    /// is empty. The key counts only if the strategy [uses it](Choice::uses_key).
    pub fn pick(&self, key: &[u8]) -> Option<Pick> {
        if self.members.is_empty() {
            return None;
        }
        let percent = self.settings.load_factor_percent();
        let bounded = match &self.chooser {
            Chooser::RingBounded(ring) => {
                let key_hash = hash::key(key);
                Some(bounded::acquire(&self.members, percent, |accept| ring.first(key_hash, accept)))
            }
            Chooser::RendezvousBounded(rendezvous) => {
                let key_hash = hash::key(key);
                Some(bounded::acquire(&self.members, percent, |accept| rendezvous.first(key_hash, accept)))
            }
            _ => None,
        };
        if let Some(at) = bounded {
            return Some(Pick::counted(&self.members[at]));
        }
        let member = &self.members[self.choose(key)?];
        member.load.acquire();
        Some(Pick::counted(member))
    }

    /// The instance to which a key belongs, without regard to loads; nothing if the set is empty or
    /// the strategy uses no keys.
    pub fn owner(&self, key: &[u8]) -> Option<&Instance> {
        let at = self.chooser.owner(hash::key(key))?;
        Some(&self.members[at].instance)
    }

    /// The position of the chosen member. There is at least one.
    fn choose(&self, key: &[u8]) -> Option<usize> {
        let chosen = match &self.chooser {
            Chooser::RoundRobin(round_robin) => round_robin.choose(self.members.len()),
            Chooser::Weighted(smooth) => smooth.choose(),
            Chooser::Random(weights) => weights.draw(&self.random),
            Chooser::LeastLoaded(least_loaded) => least_loaded.choose(&self.members),
            Chooser::TwoChoices(weights) => {
                let (a, b) = weights.draw_two(&self.random);
                let a_is_busier = least_loaded::compare(&self.members[a], &self.members[b]).is_gt();
                if a_is_busier { b } else { a }
            }
            by_key => by_key.owner(hash::key(key))?,
        };
        Some(chosen)
    }

    /// All instances of the set in the order of ids, with their outstanding requests. Under
    /// `zone-first` they include those that are not chosen.
    pub fn instances(&self) -> impl Iterator<Item = (&Instance, u64)> {
        self.set.members().iter().map(|member| (&member.instance, member.load.outstanding()))
    }

    /// The strategy that chooses.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The size in bytes of what was computed in advance, without the instances themselves.
    pub fn table_bytes(&self) -> usize {
        match &self.chooser {
            Chooser::RoundRobin(_) | Chooser::LeastLoaded(_) => 0,
            Chooser::Weighted(smooth) => smooth.table_bytes(),
            Chooser::Random(weights) | Chooser::TwoChoices(weights) => weights.table_bytes(),
            Chooser::Ring(ring) | Chooser::RingBounded(ring) => ring.table_bytes(),
            Chooser::Rendezvous(rendezvous) | Chooser::RendezvousBounded(rendezvous) => {
                rendezvous.table_bytes()
            }
            Chooser::Maglev(maglev) => maglev.table_bytes(),
            Chooser::Jump(jump) => jump.table_bytes(),
        }
    }
}

impl Chooser {
    fn new(
        choice: Choice,
        settings: &Settings,
        members: &[Arc<Member>],
        random: &SplitMix,
    ) -> Result<Chooser, PickerError> {
        let start = || random.below(members.len().max(1) as u64) as usize;
        let weights = members.iter().map(|member| member.weight());
        Ok(match choice {
            Choice::RoundRobin => Chooser::RoundRobin(RoundRobin::new(start())),
            Choice::Weighted => Chooser::Weighted(Smooth::new(members, random)),
            Choice::Random => Chooser::Random(Proportional::new(weights)),
            Choice::LeastLoaded => Chooser::LeastLoaded(LeastLoaded::new(start())),
            Choice::TwoChoices => Chooser::TwoChoices(Proportional::new(weights)),
            Choice::Ring => Chooser::Ring(checked_ring(settings, members)?),
            Choice::RingBounded => Chooser::RingBounded(checked_ring(settings, members)?),
            Choice::Rendezvous => Chooser::Rendezvous(Rendezvous::new(members)),
            Choice::RendezvousBounded => Chooser::RendezvousBounded(Rendezvous::new(members)),
            Choice::Maglev => Chooser::Maglev(checked_maglev(settings, members)?),
            Choice::Jump => Chooser::Jump(Jump::new(weights)),
        })
    }

    /// The position of the member to which a key belongs.
    fn owner(&self, key_hash: u64) -> Option<usize> {
        match self {
            Chooser::Ring(ring) | Chooser::RingBounded(ring) => ring.first(key_hash, |_| true),
            Chooser::Rendezvous(rendezvous) | Chooser::RendezvousBounded(rendezvous) => {
                rendezvous.first(key_hash, |_| true)
            }
            Chooser::Maglev(maglev) => maglev.owner(key_hash),
            Chooser::Jump(jump) => jump.owner(key_hash),
            Chooser::RoundRobin(_)
            | Chooser::Weighted(_)
            | Chooser::Random(_)
            | Chooser::LeastLoaded(_)
            | Chooser::TwoChoices(_) => None,
        }
    }
}

fn checked_ring(settings: &Settings, members: &[Arc<Member>]) -> Result<Ring, PickerError> {
    let points = Ring::point_count(members, settings.points_per_weight());
    if points > RING_POINTS_MAX {
        return Err(PickerError::RingTooLarge { points });
    }
    Ok(Ring::new(members, settings.points_per_weight()))
}

fn checked_maglev(settings: &Settings, members: &[Arc<Member>]) -> Result<Maglev, PickerError> {
    let slots = settings.maglev_slots();
    if members.len() > slots as usize {
        return Err(PickerError::MaglevTooSmall { slots, instances: members.len() });
    }
    Ok(Maglev::new(members, slots as usize))
}
