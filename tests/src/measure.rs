//! What the measuring programs share: the figures of several rounds in short, and a folder for the
//! servers' data.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::ensemble::Engine;

/// Median, least and most of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The one in the middle, or between the two there.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// `None` without figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            (figures[middle - 1] + figures[middle]) / 2.0
        };
        Some(Spread { median, min, max })
    }
}

/// With the precision of the formatter.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(1);
        write!(f, "{:.places$} [{:.places$}–{:.places$}]", self.median, self.min, self.max)
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Engine, String> {
        let engines = [Engine::Raft, Engine::Paxos];
        engines.into_iter().find(|engine| engine.name() == text).ok_or("it may be raft or paxos".to_owned())
    }
}

/// Makes a folder in `dir` where all servers of this process have their data, and sees to it that
/// none of them outlives a panic.
///
/// A release build aborts on a panic and drops nothing. Then the servers are killed, and their
/// folder stays, for what they have logged.
pub fn run_folder(dir: &Path, name: &str) -> std::io::Result<TempDir> {
    fs::create_dir_all(dir)?;
    let folder = tempfile::Builder::new().prefix(&format!("ostler-{name}-")).tempdir_in(dir)?;
    let path = folder.path().to_owned();
    tempfile::env::override_temp_dir(&path).expect("nothing was made in another folder before");
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        kill_children();
        eprintln!("what the servers logged is in {}", path.display());
    }));
    Ok(folder)
}

/// Ends processes that this one has started and not waited for.
fn kill_children() {
    let own = std::process::id();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = ids.filter(|id| parent(*id) == Some(own)).filter_map(|id| Pid::from_raw(id as i32));
    // One that has ended meanwhile is no failure.
    children.for_each(|child| _ = kill_process(child, Signal::KILL));
}

fn parent(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_and_both_ends() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).expect("four").to_string(), "2.5 [1.0–4.0]");
    }
}
