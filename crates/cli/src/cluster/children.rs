//! The processes of a local ensemble.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Stops;
use super::layout::Place;

/// A server that has not stopped by then is killed. What it acknowledged is on disk either way.
const STOP_MAX: Duration = Duration::from_secs(15);

/// How often the processes are checked while they stop.
const GLANCE: Duration = Duration::from_millis(20);

/// Lines of its log that a server which ended is quoted with.
const LAST_LINES: usize = 3;

/// All servers, running or not. Dropping it kills them.
pub(super) struct Children(Vec<Server>);

struct Server {
    place: Place,
    process: Option<Child>,
}

/// A server whose process has ended by itself.
pub(super) struct Ended {
    pub(super) id: u8,
    pub(super) pid: u32,
    pub(super) status: ExitStatus,
    /// The end of its log.
    pub(super) said: String,
}

impl Children {
    /// Starts one for each place.
    pub(super) fn start(places: &[Place]) -> io::Result<Children> {
        let mut children = Children(Vec::new());
        for place in places {
            // Those that run already are killed with `children` if one cannot be started.
            children.0.push(Server { place: place.clone(), process: Some(launch(place)?) });
        }
        Ok(children)
    }

    /// Process ids by number; `None` for a server that is down.
    pub(super) fn pids(&self) -> impl Iterator<Item = (u8, Option<u32>)> + '_ {
        self.0.iter().map(|server| (server.place.id, server.process.as_ref().map(Child::id)))
    }

    /// Those that have ended since the last call.
    pub(super) fn take_ended(&mut self) -> io::Result<Vec<Ended>> {
        let mut ended = Vec::new();
        for server in &mut self.0 {
            let Some(process) = &mut server.process else { continue };
            let Some(status) = process.try_wait()? else { continue };
            let (id, pid) = (server.place.id, process.id());
            ended.push(Ended { id, pid, status, said: last_lines(&server.place) });
            server.process = None;
        }
        Ok(ended)
    }

    /// Restarts the servers that are down.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        for server in self.0.iter_mut().filter(|server| server.process.is_none()) {
            server.process = Some(launch(&server.place)?);
        }
        Ok(())
    }

    /// Whether none runs.
    pub(super) fn all_ended(&self) -> bool {
        self.0.iter().all(|server| server.process.is_none())
    }

    /// The last log lines of each server, with its number.
    pub(super) fn said(&self) -> String {
        self.0
            .iter()
            .map(|server| format!("server {}:\n{}", server.place.id, last_lines(&server.place)))
            .collect()
    }

    /// Stops all of them and waits for that; a second request to stop ends the wait.
    pub(super) fn stop(&mut self, stops: &Stops) {
        let asked = stops.count();
        let begun = Instant::now();
        for process in self.0.iter().filter_map(|server| server.process.as_ref()) {
            // One that has just ended needs no signal.
            let _ = kill_process(Pid::from_child(process), Signal::TERM);
        }
        while begun.elapsed() < STOP_MAX && stops.count() == asked {
            for server in &mut self.0 {
                server.process.take_if(|process| !matches!(process.try_wait(), Ok(None)));
            }
            if self.all_ended() {
                return;
            }
            std::thread::sleep(GLANCE);
        }
        self.kill();
    }

    fn kill(&mut self) {
        for mut process in self.0.iter_mut().filter_map(|server| server.process.take()) {
            // It may have ended by itself.
            let _ = process.kill().and_then(|()| process.wait());
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(place: &Place) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(place.log())?;
    Command::new(std::env::current_exe()?)
        .args(["serve", "--config"])
        .arg(place.config())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C goes to all processes of a group, and a second signal would end the server at
        // once.
        .process_group(0)
        .spawn()
}

fn last_lines(place: &Place) -> String {
    let log = fs::read(place.log()).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.len().saturating_sub(LAST_LINES);
    lines[last..].iter().map(|line| format!("    {line}\n")).collect()
}
