//! Benchmarks the tree alone: `cargo run --release -p ostler-state --example million_znodes
//! [znodes] [rising|shuffled|levels]`.
//!
//! The znodes have names of 14 bytes and 100 bytes of data, all under one parent, or (`levels`) a
//! thousand under each of many. Sizes after the load are meaningful only with
//! `_RJEM_MALLOC_CONF=dirty_decay_ms:0,muzzy_decay_ms:0`, which makes the allocator return the
//! second tree's memory at once.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock; the tree does not")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use state::acl_table::AclId;
use state::tree::{NodeId, NodeImage, Tree, check};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const DATA: [u8; 100] = [7; 100];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().map_or(1_000_000, |text| text.parse().expect("a number of znodes"));
    let order = arguments.next().unwrap_or_else(|| "rising".to_owned());
    let step = if order == "shuffled" { coprime_step(count) } else { 1 };
    // Names are built on the fly: a list of them would be as large as the tree.
    let name = move |i: u64| format!("node-{:09}", i * step % count);

    let before = resident_bytes();
    let mut tree = Tree::new(0x5eed);
    let top = tree.create(NodeId::ROOT, "bench", None, AclId::OPEN, 0, 1, 1);
    let parents: Vec<NodeId> = match order.as_str() {
        "levels" => (0..count.div_ceil(1000))
            .map(|i| tree.create(top, &format!("{i:06}"), None, AclId::OPEN, 0, 1, 1))
            .collect(),
        _ => vec![top],
    };
    let parent = |i: u64| parents[(i % parents.len() as u64) as usize];

    let mut pace = Pace::new("create");
    for i in 0..count {
        let name = name(i);
        pace.step(|| tree.create(parent(i), &name, Some(&DATA), AclId::OPEN, 0, i as i64, 1_700_000_000_000));
    }
    pace.report();
    let resident = resident_bytes() - before;
    println!("resident: {:.1} MB, {} bytes per znode", resident as f64 / 1e6, resident / count);

    let mut pace = Pace::new("lookup of a child");
    let scatter = coprime_step(count) + 2;
    for i in 0..count {
        let i = i * scatter % count;
        let name = name(i);
        pace.step(|| tree.child(parent(i), &name).expect("it was created"));
    }
    pace.report();

    listings(&tree, parents[0]);
    let images = snapshot(&mut tree, parents[0]);
    load(&images, &tree);
    drop(images);

    let mut pace = Pace::new("set_data with lookup, scattered");
    for i in 0..count {
        let i = i * scatter % count;
        let id = tree.child(parent(i), &name(i)).expect("it was created");
        pace.step(|| tree.set_data(id, Some(&DATA[..99]), i as i64, 2));
    }
    pace.report();
    println!("resident after a change of each: {:.1} MB", (resident_bytes() - before) as f64 / 1e6);

    let mut pace = Pace::new("delete with lookup, scattered");
    for i in 0..count {
        let i = i * scatter % count;
        let id = tree.child(parent(i), &name(i)).expect("it was created");
        pace.step(|| tree.delete(id, i as i64));
    }
    pace.report();
    println!("resident at the end: {:.1} MB", (resident_bytes() - before) as f64 / 1e6);
}

fn listings(tree: &Tree, parent: NodeId) {
    let start = Instant::now();
    let listing = black_box(tree.children(parent));
    println!("listing of {} names: {:?} under the lock", listing.len(), start.elapsed());
    let mut out = Vec::new();
    let start = Instant::now();
    listing.write_vector(&mut out);
    println!("  written, {} bytes: {:?} after it", out.len(), start.elapsed());
}

/// Writes a snapshot with changes after every slice; returns the encoded images.
fn snapshot(tree: &mut Tree, parent: NodeId) -> Vec<u8> {
    let start = Instant::now();
    let mut cursor = tree.begin_snapshot();
    println!("snapshot begin: {:?}", start.elapsed());
    let mut images = Vec::with_capacity(tree.len() * 140);
    let mut slices = Vec::new();
    let mut changes = Vec::new();
    let targets: Vec<String> = tree.children(parent).iter().step_by(7).map(str::to_owned).collect();
    let mut targets = targets.iter().cycle();
    loop {
        let start = Instant::now();
        let is_done = tree.snapshot_slice(&mut cursor, 1000, &mut |image| image.encode(&mut images));
        slices.push(start.elapsed());
        if is_done {
            break;
        }
        for name in targets.by_ref().take(100) {
            let id = tree.child(parent, name).expect("it was created");
            let start = Instant::now();
            tree.set_data(id, Some(&DATA), 1, 1);
            changes.push(start.elapsed());
        }
    }
    changes.sort_unstable();
    println!("set_data during the snapshot: median {:?}", changes[changes.len() / 2]);
    let start = Instant::now();
    let kept = tree.end_snapshot();
    let end = start.elapsed();
    let len = kept.len();
    let start = Instant::now();
    drop(kept);
    println!("snapshot end: {end:?}; {len} images kept, dropped in {:?}", start.elapsed());
    slices.sort_unstable();
    println!(
        "snapshot slice of 1000, encoded: median {:?}, longest {:?}; {} bytes in all",
        slices[slices.len() / 2],
        slices[slices.len() - 1],
        images.len()
    );
    images
}

fn load(images: &[u8], original: &Tree) {
    let start = processor_time();
    let mut tree = Tree::new(0xdead);
    let mut rest = images;
    while !rest.is_empty() {
        let image = NodeImage::decode(&mut rest).expect("it was encoded");
        tree.load(image).expect("it comes from a tree");
    }
    println!("load: {:?}", processor_time() - start);
    assert_eq!(tree.len(), original.len());
    let start = processor_time();
    check::tree(&tree).expect("a loaded tree is consistent");
    println!("check: {:?}", processor_time() - start);
}

/// The duration of one kind of operation: the average in processor time, which other processes do
/// not affect, and the longest in wall-clock time, which they do.
struct Pace {
    what: &'static str,
    start: Duration,
    longest: Duration,
    steps: u32,
}

impl Pace {
    fn new(what: &'static str) -> Pace {
        Pace { what, start: processor_time(), longest: Duration::ZERO, steps: 0 }
    }

    fn step<T>(&mut self, operation: impl FnOnce() -> T) {
        let start = Instant::now();
        black_box(operation());
        self.longest = self.longest.max(start.elapsed());
        self.steps += 1;
    }

    fn report(&self) {
        let took = processor_time() - self.start;
        println!("{}: {:?} each, longest {:?}", self.what, took / self.steps.max(1), self.longest);
    }
}

/// Processor time used by this process.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("a Linux system");
    let nanos = text.split_whitespace().next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanos.expect("a number of nanoseconds"))
}

/// A step that visits every number below `count` once, far from the previous one each time.
fn coprime_step(count: u64) -> u64 {
    let divides = |a: u64, b: u64| {
        let (mut a, mut b) = (a, b);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (count * 5 / 8..).find(|&step| divides(step, count) == 1).expect("there is one before the next multiple")
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux system");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has a resident size");
    let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kilobytes.expect("a number of kilobytes") * 1024
}
