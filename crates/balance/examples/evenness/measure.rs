//! Measures pickers from outside.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock; the crate does not")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use balance::{Choice, Instance, Pick, Picker, Settings, Weight};

/// One way to place keys.
#[derive(Clone)]
pub(crate) struct Scheme {
    pub(crate) name: String,
    pub(crate) choice: Choice,
    pub(crate) settings: Settings,
}

impl Scheme {
    pub(crate) fn picker(&self, instances: &[Instance]) -> Picker {
        Picker::new(self.choice.into(), self.settings.clone(), instances.to_vec(), 1).expect("a picker")
    }
}

pub(crate) fn ring(points: u32) -> Scheme {
    let settings = Settings::default().with_points_per_weight(points).expect("an allowed number");
    Scheme { name: format!("ring, {points} points"), choice: Choice::Ring, settings }
}

pub(crate) fn maglev(slots: u32) -> Scheme {
    let settings = Settings::default().with_maglev_slots(slots).expect("a prime");
    Scheme { name: format!("Maglev, {slots} slots"), choice: Choice::Maglev, settings }
}

pub(crate) fn plain(choice: Choice) -> Scheme {
    Scheme { name: choice.to_string(), choice, settings: Settings::default() }
}

/// A new instance of equal weight; the ids of different runs are different. Ids sort by `number`.
pub(crate) fn instance(run: usize, number: usize) -> Instance {
    Instance::new(format!("run-{run}-instance-{number:06}"), Weight::ONE, None).expect("an instance")
}

/// `count` instances with even numbers, so that there is room between any two.
pub(crate) fn instances(run: usize, count: usize) -> Vec<Instance> {
    (0..count).map(|number| instance(run, 2 * number)).collect()
}

fn keys(count: usize) -> impl Iterator<Item = [u8; 8]> {
    (0..count as u64).map(u64::to_le_bytes)
}

/// The share of keys whose owner differs.
pub(crate) fn moved(scheme: &Scheme, before: &[Instance], after: &[Instance], key_count: usize) -> f64 {
    let (before, after) = (scheme.picker(before), scheme.picker(after));
    let moved = keys(key_count).filter(|key| before.owner(key) != after.owner(key)).count();
    moved as f64 / key_count as f64
}

/// The same where every key is an outstanding request, and they come in the same order.
pub(crate) fn moved_with_loads(
    scheme: &Scheme,
    before: &[Instance],
    after: &[Instance],
    key_count: usize,
) -> f64 {
    let held = |set: &[Instance]| -> Vec<Pick> {
        let picker = scheme.picker(set);
        keys(key_count).map(|key| picker.pick(&key).expect("a pick")).collect()
    };
    let (before, after) = (held(before), held(after));
    let pairs = before.iter().zip(&after);
    pairs.filter(|(before, after)| before.instance() != after.instance()).count() as f64 / key_count as f64
}

/// The largest load relative to the mean when each key is an outstanding request.
pub(crate) fn largest_load(scheme: &Scheme, instances: &[Instance], key_count: usize) -> f64 {
    let picker = scheme.picker(instances);
    let held: Vec<Pick> = keys(key_count).map(|key| picker.pick(&key).expect("a pick")).collect();
    let most = picker.instances().map(|(_, outstanding)| outstanding).max().expect("an instance");
    most as f64 * instances.len() as f64 / held.len() as f64
}

/// Calls that are timed together: few, so that other work on the machine seldom falls into them.
const BATCH: usize = 256;

/// Nanoseconds of one call with different keys: those of the fastest batch, because other work only
/// adds to them.
pub(crate) fn nanoseconds(mut call: impl FnMut(&[u8])) -> f64 {
    let keys: Vec<[u8; 8]> = keys(32 * BATCH).collect();
    let mut batches = keys.chunks(BATCH).cycle();
    let batch = || batches.next().into_iter().flatten().for_each(|key| call(black_box(key)));
    fastest(batch) * 1e9 / BATCH as f64
}

/// Milliseconds to build a picker: those of the fastest time.
pub(crate) fn build_ms(scheme: &Scheme, instances: &[Instance]) -> f64 {
    fastest(|| drop(black_box(scheme.picker(instances)))) * 1e3
}

/// Seconds of the fastest of at least ten runs, which take at least a fifth of a second together.
fn fastest(mut work: impl FnMut()) -> f64 {
    let begin = Instant::now();
    let mut fastest = f64::INFINITY;
    for run in 0.. {
        if run >= 10 && begin.elapsed() > Duration::from_millis(200) {
            break;
        }
        let start = Instant::now();
        work();
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    fastest
}
