//! Random changes of a service against a simple model of it.

use std::collections::BTreeMap;

use balance::{Choice, Instance, Pick, Picker, Settings, Strategy, Weight, hash};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;

const POINTS: u32 = 20;

#[derive(Clone, Debug)]
enum Step {
    /// The set is now this one: weight and zone for each id.
    Change(BTreeMap<u8, (u32, Option<u8>)>),
    /// The strategy is now the one with this number.
    Switch(prop::sample::Index, bool),
    /// A request with this key comes.
    Pick(u8),
    /// A request ends.
    Release(prop::sample::Index),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    let set = proptest::collection::btree_map(0_u8..8, (1_u32..5, proptest::option::of(0_u8..3)), 0..8);
    prop_oneof![
        2 => set.prop_map(Step::Change),
        2 => any::<(prop::sample::Index, bool)>().prop_map(|(choice, zone)| Step::Switch(choice, zone)),
        6 => (0_u8..20).prop_map(Step::Pick),
        4 => any::<prop::sample::Index>().prop_map(Step::Release),
    ]
}

/// The service as a map, and the ids of the requests that are not over.
#[derive(Default)]
struct Model {
    live: BTreeMap<String, Instance>,
    requests: Vec<String>,
    zone_first: bool,
}

impl Model {
    fn outstanding(&self, id: &str) -> u64 {
        self.requests.iter().filter(|request| *request == id).count() as u64
    }

    /// The instances that may be chosen.
    fn eligible(&self) -> Vec<&Instance> {
        let near: Vec<_> = self.live.values().filter(|instance| instance.zone() == Some("zone-0")).collect();
        if self.zone_first && !near.is_empty() { near } else { self.live.values().collect() }
    }

    /// To which instance a key belongs, from the rules alone.
    fn owner(&self, choice: Choice, key: &[u8]) -> Option<&str> {
        let key = hash::key(key);
        let distance = |instance: &Instance| {
            let count = (POINTS * instance.weight().get()) as usize;
            hash::points(instance.id()).take(count).map(|point| point.wrapping_sub(key)).min()
        };
        let cost = |instance: &Instance| {
            let rank = hash::key_at_instance(key, hash::instance(instance.id()));
            let u = ((rank >> 11) + 1) as f64 / (1_u64 << 53) as f64;
            -u.ln() / f64::from(instance.weight().get())
        };
        let eligible = self.eligible().into_iter();
        let owner = match choice {
            Choice::Ring => eligible.min_by_key(|instance| distance(instance)),
            Choice::Rendezvous => eligible.min_by(|a, b| cost(a).total_cmp(&cost(b))),
            _ => None,
        };
        owner.map(Instance::id)
    }

    fn check(&self, picker: &Picker) -> Result<(), TestCaseError> {
        let expected: Vec<_> =
            self.live.values().map(|instance| (instance, self.outstanding(instance.id()))).collect();
        prop_assert_eq!(picker.instances().collect::<Vec<_>>(), expected);
        Ok(())
    }

    fn check_pick(&self, picker: &Picker, key: &[u8], pick: Option<&Pick>) -> Result<(), TestCaseError> {
        let choice = picker.strategy().choice;
        let eligible = self.eligible();
        let Some(pick) = pick else {
            prop_assert!(eligible.is_empty(), "{choice} chose nothing");
            return Ok(());
        };
        prop_assert!(eligible.contains(&pick.instance()), "{choice} chose {:?}", pick.instance());
        if matches!(choice, Choice::Ring | Choice::Rendezvous) {
            prop_assert_eq!(Some(pick.instance().id()), self.owner(choice, key));
        }
        Ok(())
    }
}

fn settings() -> Settings {
    let settings = Settings::default().with_points_per_weight(POINTS).expect("allowed");
    settings.with_maglev_slots(251).expect("allowed").with_zone("zone-0").expect("allowed")
}

fn instances(set: &BTreeMap<u8, (u32, Option<u8>)>) -> Vec<Instance> {
    let instance = |(id, (weight, zone)): (&u8, &(u32, Option<u8>))| {
        let zone = zone.map(|zone| format!("zone-{zone}"));
        let weight = Weight::new(*weight).expect("a weight");
        Instance::new(format!("instance-{id}"), weight, zone.as_deref()).expect("an instance")
    };
    set.iter().map(instance).collect()
}

proptest! {
    #[test]
    fn a_service_that_changes_behaves_as_its_model(
        seed in any::<u64>(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut picker = Picker::new(Choice::Ring.into(), settings(), vec![], seed).expect("a picker");
        let mut model = Model::default();
        let mut held: Vec<Pick> = Vec::new();
        for step in steps {
            match step {
                Step::Change(set) => {
                    let set = instances(&set);
                    picker = picker.updated(set.clone()).expect("a picker");
                    model.live = set.into_iter().map(|instance| (instance.id().to_owned(), instance)).collect();
                }
                Step::Switch(choice, zone_first) => {
                    let choices: Vec<Choice> = Choice::all().collect();
                    let strategy = Strategy { choice: choices[choice.index(choices.len())], zone_first };
                    picker = picker.with_strategy(strategy, settings()).expect("a picker");
                    model.zone_first = zone_first;
                }
                Step::Pick(key) => {
                    let pick = picker.pick(&[key]);
                    model.check_pick(&picker, &[key], pick.as_ref())?;
                    if let Some(pick) = pick {
                        model.requests.push(pick.instance().id().to_owned());
                        held.push(pick);
                    }
                }
                Step::Release(_) if held.is_empty() => {}
                Step::Release(request) => {
                    let request = request.index(held.len());
                    drop(held.swap_remove(request));
                    model.requests.swap_remove(request);
                }
            }
            model.check(&picker)?;
        }
    }
}
