//! Measures the log's throughput on a real disk: `cargo run --release -p ostler-storage --example
//! log_throughput [DIR]`.
//!
//! Appends entries of 200 bytes and flushes them in batches, alone and while a snapshot is being
//! written.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use storage::log::{Log, LogOptions, Record};
use storage::{RealDisk, SnapshotName, SnapshotWriter};

const RUN: Duration = Duration::from_secs(3);

fn main() {
    let dir = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("log_throughput.{}", std::process::id()));
    println!(
        "{:>6} {:>9} {:>12} {:>9} {:>9} {:>9} {:>9}",
        "batch", "snapshot", "entries/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs"
    );
    for batch in [1, 16, 256, 1024] {
        for with_snapshot in [false, true] {
            std::fs::create_dir_all(&dir).expect("the directory can be created");
            measure(&dir, batch, with_snapshot);
            std::fs::remove_dir_all(&dir).expect("the directory can be removed");
        }
    }
}

fn measure(dir: &Path, batch: u64, with_snapshot: bool) {
    let stop = Arc::new(AtomicBool::new(false));
    let writer = with_snapshot.then(|| write_snapshots(dir.to_owned(), Arc::clone(&stop)));
    let opened = Log::open(Arc::new(RealDisk), dir, LogOptions::default(), &mut |_| ());
    let mut log = opened.expect("the log opens");
    let data = [7; 200];
    let (mut index, mut flushes) = (0, Vec::new());
    let start = Instant::now();
    while start.elapsed() < RUN {
        let flush = Instant::now();
        for _ in 0..batch {
            index += 1;
            log.append(&Record::Entry { group: 1, index, term: 1, kind: 0, data: &data })
                .expect("there is space");
        }
        log.flush().expect("the disk works");
        flushes.push(flush.elapsed());
        if index % 65_536 < batch {
            log.compact(1, index.saturating_sub(500_000)).expect("the background thread frees segments");
        }
    }
    let per_second = index as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    writer.map(std::thread::JoinHandle::join).transpose().expect("the snapshot is written");
    flushes.sort_unstable();
    let at = |share: f64| flushes[((flushes.len() - 1) as f64 * share) as usize].as_micros();
    let snapshot = if with_snapshot { "yes" } else { "no" };
    println!(
        "{batch:>6} {snapshot:>9} {per_second:>12.0} {:>9} {:>9} {:>9} {:>9}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// Writes one snapshot after another until stopped.
fn write_snapshots(dir: PathBuf, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let piece: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        while !stop.load(Ordering::Relaxed) {
            let name = SnapshotName { group: 1, index: 1, term: 1, zxid: 1 };
            let mut writer =
                SnapshotWriter::create(Arc::new(RealDisk), &dir, name).expect("the file is created");
            for _ in 0..1000 {
                writer.write(&piece).expect("there is space");
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            writer.finish().expect("the disk works");
        }
    })
}
