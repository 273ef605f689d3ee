//! Reports the progress of a local ensemble to the user.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use client::Tls;
use client::status::{self, Health, ServerStatus, verdict};

use super::certificates::Certificates;
use super::children::{Children, Ended};
use super::layout::Layout;
use super::{ClusterError, Stops};

/// How often the servers are asked.
const PERIOD: Duration = Duration::from_millis(250);

/// A server that has not answered by then is shown as silent.
const PATIENCE: Duration = Duration::from_secs(1);

/// An ensemble that does not serve by then has a fault.
const SERVE_MAX: Duration = Duration::from_secs(60);

/// A server is started again after this, so that one that ends at once does not keep the machine
/// busy.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Goes back to the first column and clears the line.
const CLEAR_LINE: &str = "\r\x1b[K";

/// Waits until the ensemble serves, says so, and reports what happens until the user asks to stop.
pub(super) fn run(
    layout: &Layout,
    children: &mut Children,
    restart: bool,
    stops: &Stops,
) -> Result<(), ClusterError> {
    let tls = layout.certificates.as_ref().map(Certificates::tls).transpose()?;
    let Some(servers) = wait_until_served(layout, children, tls.as_ref(), stops)? else { return Ok(()) };
    let mut screen = Screen::new();
    screen.say(&welcome(layout, children, &servers));
    let mut restart_at: Option<Instant> = None;
    while stops.count() == 0 {
        for ended in take_ended(children)? {
            let next = if restart { "; it is started again" } else { "" };
            screen.say(&format!("{}{next}\n{}", describe(&ended), ended.said));
            restart_at = restart.then(|| Instant::now() + RESTART_PAUSE);
        }
        if restart_at.is_some_and(|at| Instant::now() >= at) {
            restart_at = None;
            children.restart().map_err(system("start a server"))?;
            screen.say(&processes(children));
        }
        if children.all_ended() && restart_at.is_none() {
            return Err(ClusterError::AllEnded);
        }
        screen.show(layout, children, &status::ask(&layout.addresses(), tls.as_ref(), PATIENCE));
        std::thread::sleep(PERIOD);
    }
    screen.say("stopping");
    Ok(())
}

fn system(action: &'static str) -> impl FnOnce(std::io::Error) -> ClusterError {
    move |source| ClusterError::System { action, source }
}

fn take_ended(children: &mut Children) -> Result<Vec<Ended>, ClusterError> {
    children.take_ended().map_err(system("look at a server"))
}

/// The answers of the servers once all of them serve; `None` if the user asked to stop before.
fn wait_until_served(
    layout: &Layout,
    children: &mut Children,
    tls: Option<&Tls>,
    stops: &Stops,
) -> Result<Option<Vec<ServerStatus>>, ClusterError> {
    let begun = Instant::now();
    while stops.count() == 0 {
        let ended = take_ended(children)?;
        let servers = status::ask(&layout.addresses(), tls, PATIENCE);
        let verdict = verdict(&servers);
        let all_serve = servers.iter().all(|asked| asked.server().is_some());
        if all_serve && verdict.health == Health::Healthy {
            return Ok(Some(servers));
        }
        if let Some(ended) = ended.first() {
            return Err(ClusterError::Unserved { sentence: describe(ended), said: ended.said.clone() });
        }
        if begun.elapsed() > SERVE_MAX {
            // With a server missing it still is an ensemble.
            if verdict.health == Health::Degraded {
                return Ok(Some(servers));
            }
            return Err(ClusterError::Unserved { sentence: verdict.sentence, said: children.said() });
        }
        std::thread::sleep(PERIOD / 5);
    }
    Ok(None)
}

fn describe(ended: &Ended) -> String {
    format!("server {} (process {}) has ended: {}", ended.id, ended.pid, ended.status)
}

/// What to try next.
fn welcome(layout: &Layout, children: &Children, servers: &[ServerStatus]) -> String {
    let clients = layout.connect_string();
    let mut text =
        format!("Ostler {} serves as an ensemble ({}).\n", env!("CARGO_PKG_VERSION"), layout.consensus);
    let with_tls = if layout.certificates.is_some() { ", by TLS" } else { "" };
    text.push_str(&format!("  clients:   {clients}{with_tls}\n"));
    for ((place, asked), (_, pid)) in layout.places.iter().zip(servers).zip(children.pids()) {
        let pid = pid.map_or("ended".to_owned(), |pid| format!("process {pid}"));
        text.push_str(&format!("  server {}:  {}, {pid}, {}\n", place.id, place.client, role(asked)));
    }
    text.push_str(&format!("  data:      {}/server.N, with zoo.cfg and server.log\n", layout.dir.display()));
    let options = layout.certificates.as_ref().map(tls_options).unwrap_or_default();
    text.push_str(&format!("  try:       ostler shell -s {clients}{options} ls /\n"));
    text.push_str(&format!("             ostler status --watch -s {clients}{options}\n"));
    let leader = servers.iter().position(ServerStatus::leads).and_then(|at| children.pids().nth(at));
    if let Some((_, Some(pid))) = leader {
        text.push_str(&format!("             kill -9 {pid}    # the leader: another takes over\n"));
    }
    text.push_str("  stop:      Ctrl-C");
    text
}

/// The options by which Ostler's commands use the certificates.
fn tls_options(certificates: &Certificates) -> String {
    let (authority, client) = (certificates.authority(), certificates.client());
    format!(" --ca {} --cert {}", as_word(&authority), as_word(&client))
}

/// A path as one word of a shell.
fn as_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn processes(children: &Children) -> String {
    let each = children.pids().filter_map(|(id, pid)| Some(format!("server {id} is process {}", pid?)));
    each.collect::<Vec<_>>().join(", ")
}

fn role(asked: &ServerStatus) -> &str {
    asked.server().map_or("not serving", |server| &server.mode)
}

/// The last line, which changes, below those that stay. Without a terminal a line is printed when a
/// role has changed.
struct Screen {
    is_terminal: bool,
    shown: String,
}

impl Screen {
    fn new() -> Screen {
        Screen { is_terminal: std::io::stdout().is_terminal(), shown: String::new() }
    }

    /// Something that stays.
    fn say(&mut self, text: &str) {
        let clear = if self.is_terminal { CLEAR_LINE } else { "" };
        self.print(&format!(
            "{clear}{}\n{}",
            text.trim_end(),
            if self.is_terminal { &*self.shown } else { "" }
        ));
    }

    fn show(&mut self, layout: &Layout, children: &Children, servers: &[ServerStatus]) {
        let each = layout.places.iter().zip(servers).zip(children.pids());
        let roles: Vec<String> = each
            .map(|((place, asked), (_, pid))| {
                format!("{} {}", place.id, if pid.is_none() { "ended" } else { role(asked) })
            })
            .collect();
        let mut line = format!("{}; {}", roles.join(", "), verdict(servers).health.name());
        if self.is_terminal {
            let zxid = servers.iter().filter_map(|asked| Some(asked.server()?.zxid)).max().unwrap_or(0);
            line.push_str(&format!("; zxid {zxid:#x}"));
        }
        if line != self.shown {
            let text = if self.is_terminal { format!("{CLEAR_LINE}{line}") } else { format!("{line}\n") };
            self.print(&text);
            self.shown = line;
        }
    }

    fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // The reader of our output is gone, so nothing can be reported; the servers continue.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
