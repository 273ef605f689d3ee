//! Those that hold something and are stopped, or cut off, until another one has it.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use super::{Contender, Contest, PATIENCE, QUEUE, signal};
use crate::links::Link;
use crate::waiting::await_that;

impl Contest {
    /// Stops one that holds each of these for longer than its session lives.
    pub fn stop_holders(&mut self, logs: &[&str]) {
        let holders = self.let_linger(logs, |_| true);
        for (log, pid) in &holders {
            self.note(log, "stopped", *pid);
            signal(*pid, Signal::STOP);
        }
        self.await_successors(&holders);
        self.await_late_writes(&holders);
        holders.iter().for_each(|(_, pid)| signal(*pid, Signal::CONT));
        self.await_over(&holders);
    }

    /// Cuts one that holds each of these off, with all others behind the entrances, until its
    /// session is over. It has to notice in time.
    pub fn cut_holders_off(&mut self, logs: &[&str]) {
        let holders = self.let_linger(logs, |contender| contender.is_behind_entrances);
        self.entrances.iter().for_each(|entrance| entrance.set(Link::Hole));
        self.await_successors(&holders);
        self.entrances.iter().for_each(|entrance| entrance.set(Link::Open));
        self.await_over(&holders);
    }

    /// Waits for a contender in each log that stays in its turn; answers the process ids.
    pub(super) fn let_linger<'l>(
        &self,
        logs: &[&'l str],
        is_meant: impl Fn(&Contender) -> bool,
    ) -> Vec<(&'l str, u32)> {
        let find = |log: &&'l str| {
            let those: Vec<_> =
                self.contenders.iter().filter(|one| one.log == *log && is_meant(one)).collect();
            let before = self.log(log).len();
            those.iter().for_each(|one| fs::write(&one.linger, "").expect("write a file"));
            let pid =
                await_that(PATIENCE, &format!("one lingers at {log}"), || lingerer(&self.log(log)[before..]));
            let others = those.iter().filter(|one| one.pid() != Some(pid));
            others.for_each(|one| remove(&one.linger));
            (*log, pid)
        };
        logs.iter().map(find).collect()
    }

    /// Waits until another program works with what each of these held.
    fn await_successors(&self, holders: &[(&str, u32)]) {
        let before: Vec<_> = holders.iter().map(|(log, _)| self.log(log)).collect();
        for ((log, pid), before) in holders.iter().zip(before) {
            let (begin, own) = match last_taken(&before, *pid) {
                Some(item) => (format!("taken {item} "), format!("taken {item} {pid}")),
                None => ("write ".to_owned(), format!("write {pid} ")),
            };
            let is_next = |line: &str| line.starts_with(&begin) && !line.starts_with(&own);
            self.await_line(log, before.len(), is_next, &format!("one comes after {pid}"));
        }
    }

    /// Waits until these have written once more, each behind its successor.
    fn await_late_writes(&self, holders: &[(&str, u32)]) {
        for (log, pid) in holders.iter().filter(|(log, _)| *log != QUEUE) {
            let late = format!("write {pid} ");
            self.await_line(log, self.log(log).len(), |line| line.starts_with(&late), &late);
        }
    }

    /// Waits for a line of a log behind these bytes.
    pub(super) fn await_line(&self, log: &str, behind: usize, is_meant: impl Fn(&str) -> bool, what: &str) {
        let is_there = || self.log(log)[behind..].lines().any(&is_meant).then_some(());
        await_that(PATIENCE, &format!("{log} has the line: {what}"), is_there);
    }

    /// Lets these go on, and waits until they have ended: their sessions are over.
    pub(super) fn await_over(&self, holders: &[(&str, u32)]) {
        self.contenders.iter().for_each(|contender| remove(&contender.linger));
        for (log, pid) in holders {
            let over = format!("over {pid}");
            self.await_line(log, 0, |line| line == over, &over);
        }
    }
}

/// The last that lingers in a piece of a log. Its last line may be incomplete.
fn lingerer(log: &str) -> Option<u32> {
    let complete = &log[..log.rfind('\n')?];
    let line = complete.lines().rfind(|line| line.starts_with("lingering "))?;
    line.split(' ').filter_map(|word| word.parse().ok()).next()
}

/// What a worker has last taken, in the log of a queue.
fn last_taken(log: &str, pid: u32) -> Option<&str> {
    let end = format!(" {pid}");
    let mut taken = log.lines().filter_map(|line| line.strip_prefix("taken ")?.strip_suffix(&end));
    taken.next_back()
}

fn remove(file: &Path) {
    // It may not be there.
    let _ = fs::remove_file(file);
}
