//! Measures the strategies and compares them with the theory. Prints the tables of
//! `docs/balancing.md` and writes its plot to the file that is named:
//!
//! ```sh
//! cargo run --release -p ostler-balance --example evenness -- docs/balancing.svg
//! ```
#![allow(clippy::disallowed_methods, reason = "a measurement names its file; the crate has none")]

mod measure;
mod plot;
mod theory;

use std::hint::black_box;
use std::path::Path;

use balance::Choice;

use measure::{Scheme, instance, instances, maglev, moved, moved_with_loads, plain, ring};

/// Each measurement is repeated with instances of other names.
const RUNS: usize = 5;

/// Keys of a measurement; a tenth of them where they are requests with bounded load.
pub(crate) const KEYS: usize = 500_000;

/// Instances in the table of moved keys.
const COUNT: usize = 100;

/// Numbers of instances in the other tables.
pub(crate) const COUNTS: [usize; 3] = [10, 100, 1_000];

/// Points for each instance of a ring.
pub(crate) const POINTS: [u32; 6] = [1, 10, 40, 160, 640, 2_560];

/// What one measurement gave in all its runs, and what is expected.
pub(crate) struct Measured {
    pub(crate) runs: Vec<f64>,
    pub(crate) theory: Option<f64>,
}

impl Measured {
    fn new(theory: Option<f64>, run: impl FnMut(usize) -> f64) -> Measured {
        Measured { runs: (0..RUNS).map(run).collect(), theory }
    }

    pub(crate) fn mean(&self) -> f64 {
        self.runs.iter().sum::<f64>() / self.runs.len() as f64
    }

    /// The smallest and the largest.
    pub(crate) fn range(&self) -> (f64, f64) {
        let smallest = self.runs.iter().copied().fold(f64::INFINITY, f64::min);
        (smallest, self.runs.iter().copied().fold(0.0, f64::max))
    }

    /// The cells of a table: the theory, and the mean with the range.
    fn cells(&self, text: impl Fn(f64) -> String) -> String {
        let theory = self.theory.map_or("–".to_owned(), &text);
        let (smallest, largest) = self.range();
        format!("{theory} | {} [{}–{}]", text(self.mean()), text(smallest), text(largest))
    }
}

fn main() -> std::io::Result<()> {
    let Some(svg) = std::env::args().nth(1) else {
        eprintln!("usage: evenness FILE.svg");
        std::process::exit(2);
    };
    print_costs();
    print_picks();
    let moves = moves();
    print_moves(&moves);
    let loads = loads();
    print_loads(&loads);
    std::fs::write(Path::new(&svg), plot::svg(&loads, &moves))
}

/// The share of keys that move when `COUNT` instances get one more, and when one of them goes.
pub(crate) struct Moves {
    pub(crate) name: String,
    pub(crate) added: Measured,
    pub(crate) removed: Measured,
}

/// The moves when the instance comes and goes whose id is at `at`. `theory` takes a number of
/// instances, and gives the share of keys that moves between that number and one fewer.
fn moves_of(scheme: &Scheme, name: &str, at: usize, theory: impl Fn(usize) -> Option<f64>) -> Moves {
    let measure = |fewer: Vec<_>, more: Vec<_>| match scheme.choice {
        Choice::RingBounded | Choice::RendezvousBounded => moved_with_loads(scheme, &fewer, &more, KEYS / 10),
        _ => moved(scheme, &fewer, &more, KEYS),
    };
    let added = Measured::new(theory(COUNT + 1), |run| {
        let set = instances(run, COUNT);
        let mut more = set.clone();
        more.insert(at + 1, instance(run, 2 * at + 1));
        measure(set, more)
    });
    let removed = Measured::new(theory(COUNT), |run| {
        let set = instances(run, COUNT);
        let mut fewer = set.clone();
        fewer.remove(at);
        measure(fewer, set)
    });
    Moves { name: name.to_owned(), added, removed }
}

fn moves() -> Vec<Moves> {
    let (last, middle) = (COUNT - 1, COUNT / 2);
    let least = |count: usize| Some((count as f64).recip());
    let unknown = |_| None;
    let jump_middle =
        |count: usize| Some(theory::moved_by_jump(count, if count > COUNT { middle + 1 } else { middle }));
    let jump = plain(Choice::Jump);
    let of = |scheme: Scheme, theory: &dyn Fn(usize) -> Option<f64>| {
        moves_of(&scheme, &scheme.name, middle, theory)
    };
    vec![
        of(ring(160), &least),
        of(plain(Choice::Rendezvous), &least),
        of(maglev(65_537), &unknown),
        of(maglev(655_373), &unknown),
        moves_of(&jump, "jump, last id", last, least),
        moves_of(&jump, "jump, middle id", middle, jump_middle),
        of(plain(Choice::RingBounded), &unknown),
        of(plain(Choice::RendezvousBounded), &unknown),
    ]
}

fn print_moves(moves: &[Moves]) {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    println!("| scheme | added: theory | added: measured | removed: theory | removed: measured |");
    println!("|---|---|---|---|---|");
    for Moves { name, added, removed } in moves {
        println!("| {name} | {} | {} |", added.cells(percent), removed.cells(percent));
    }
    println!();
}

/// The largest load relative to the mean.
pub(crate) struct Load {
    pub(crate) name: String,
    /// The points of an instance, if it is a ring.
    pub(crate) points: Option<u32>,
    /// For each number of instances in `COUNTS`.
    pub(crate) largest: Vec<Measured>,
}

/// The largest load that theory expects, from the number of instances and the mean number of keys
/// of each.
type LargestLoad<'a> = &'a dyn Fn(usize, f64) -> f64;

fn load_of(scheme: &Scheme, points: Option<u32>, keys: usize, theory: LargestLoad<'_>) -> Load {
    let largest = COUNTS.map(|count| {
        let expected = theory(count, keys as f64 / count as f64);
        Measured::new(Some(expected), |run| measure::largest_load(scheme, &instances(run, count), keys))
    });
    Load { name: scheme.name.clone(), points, largest: largest.into() }
}

fn loads() -> Vec<Load> {
    let rings = POINTS.map(|points| {
        load_of(&ring(points), Some(points), KEYS, &|count, keys| {
            theory::largest_of_both(count, points.into(), keys)
        })
    });
    let exact: LargestLoad<'_> = &theory::largest_of;
    let maglev_theory: LargestLoad<'_> = &|count, keys| theory::largest_of_maglev(count, 65_537, keys);
    // An upper bound: the mean times the factor, rounded up to whole requests.
    let bound: LargestLoad<'_> = &|_, keys| (1.25 * keys).ceil() / keys;
    let others = [
        load_of(&plain(Choice::Rendezvous), None, KEYS, exact),
        load_of(&maglev(65_537), None, KEYS, maglev_theory),
        load_of(&plain(Choice::Jump), None, KEYS, exact),
        load_of(&plain(Choice::RingBounded), None, KEYS / 10, bound),
    ];
    rings.into_iter().chain(others).collect()
}

fn print_loads(loads: &[Load]) {
    let factor = |load: f64| format!("{load:.3}");
    let columns = COUNTS.map(|count| format!("{count} instances: theory | measured |"));
    println!("| scheme | {}", columns.join(" "));
    println!("|---|{}", "---|---|".repeat(COUNTS.len()));
    for Load { name, largest, .. } in loads {
        let cells: Vec<String> = largest.iter().map(|measured| measured.cells(factor)).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}

fn print_costs() {
    let schemes = [
        ring(40),
        ring(160),
        ring(640),
        plain(Choice::Rendezvous),
        maglev(65_537),
        maglev(655_373),
        plain(Choice::Jump),
    ];
    let columns = COUNTS.map(|count| format!("{count}: lookup ns | KiB | build ms |"));
    println!("| scheme | {}", columns.join(" "));
    println!("|---|{}", "--:|--:|--:|".repeat(COUNTS.len()));
    for scheme in schemes {
        let cells = COUNTS.map(|count| {
            let set = instances(0, count);
            let picker = scheme.picker(&set);
            let lookup = measure::nanoseconds(|key| _ = black_box(picker.owner(key)));
            let kib = picker.table_bytes() as f64 / 1024.0;
            format!("{lookup:.0} | {kib:.1} | {:.2}", measure::build_ms(&scheme, &set))
        });
        println!("| {} | {} |", scheme.name, cells.join(" | "));
    }
    println!();
}

fn print_picks() {
    let columns = COUNTS.map(|count| format!("{count} instances, ns |"));
    println!("| strategy | {}", columns.join(" "));
    println!("|---|{}", "--:|".repeat(COUNTS.len()));
    for choice in Choice::all() {
        let cells = COUNTS.map(|count| {
            let picker = plain(choice).picker(&instances(0, count));
            format!("{:.0}", measure::nanoseconds(|key| drop(black_box(picker.pick(key)))))
        });
        println!("| {choice} | {} |", cells.join(" | "));
    }
    println!();
}
