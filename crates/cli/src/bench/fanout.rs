//! One znode, watched by many sessions and set by another: how long until the last watcher knows.
//!
//! Watches are the one-shot kind that every server has, so each watcher reads the znode again after
//! each event. The next set waits until all watch again; that time is not part of the latency.

use super::link::{Link, READ_BYTES};
use super::measure::{Control, Tally};
use super::requests::poll;
use super::template::Template;
use super::timer::Timer;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wire::{ErrorCode, Opcode, xid};

const TIMER: Token = Token(usize::MAX);
const EVENTS_PER_WAKE: usize = 1024;
const POLL: Duration = Duration::from_millis(20);
/// After this long without an event, the awaited event counts as lost.
const PATIENCE_NS: u64 = 10_000_000_000;

/// The one thread of a fan-out.
pub(super) struct Fanout<'a> {
    control: &'a Control<'a>,
    /// The watchers, and behind them the writer.
    links: Vec<Link>,
    poll: Poll,
    buffer: Vec<u8>,
    watch: Template,
    set: Template,
    /// Time between two sets, for an open loop.
    interval_ns: Option<f64>,
    tally: Tally,
    /// Sets sent so far.
    sets: u64,
    /// When the set in flight was due.
    start_ns: u64,
    /// Watchers that have not yet set their watch again.
    unarmed: usize,
    /// Watchers that have not been notified of the set in flight.
    untold: usize,
    /// The set in flight has not been answered.
    unanswered: bool,
    news_ns: u64,
}

impl<'a> Fanout<'a> {
    /// The last of `links` is the writer. `rate` is in sets a second.
    pub(super) fn new(
        control: &'a Control<'a>,
        path: &str,
        data: &[u8],
        rate: Option<f64>,
        mut links: Vec<Link>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        for (index, link) in links.iter_mut().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut link.stream, Token(index), interest)?;
        }
        Ok(Self {
            control,
            unarmed: links.len() - 1,
            links,
            poll,
            buffer: vec![0; READ_BYTES],
            watch: Template::read_path(Opcode::GetData, path, true),
            set: Template::set_path(path, data),
            interval_ns: rate.map(|rate| 1e9 / rate),
            tally: Tally::default(),
            sets: 0,
            start_ns: 0,
            untold: 0,
            unanswered: false,
            news_ns: 0,
        })
    }

    /// Runs the round to its end.
    pub(super) fn run(mut self) -> io::Result<Tally> {
        let timer = self
            .interval_ns
            .map(|interval| Timer::every(Duration::from_nanos(interval as u64), self.poll.registry(), TIMER))
            .transpose()?;
        let result = self.rounds(timer.as_ref());
        self.control.busy.fetch_sub(1, Ordering::Relaxed);
        match result {
            // A lost connection is a result, not a fault of the load generator.
            Err(_) => self.tally.fail(ErrorCode::ConnectionLoss.into(), 1),
            Ok(()) => self.close(),
        }
        Ok(self.tally)
    }

    fn rounds(&mut self, timer: Option<&Timer>) -> io::Result<()> {
        let watchers = self.links.len() - 1;
        for link in &mut self.links[..watchers] {
            self.watch.append(&mut link.out, 1, || 0);
            link.flush()?;
        }
        let mut events = Events::with_capacity(EVENTS_PER_WAKE);
        loop {
            poll(&mut self.poll, &mut events, POLL)?;
            for event in &events {
                match (event.token(), timer) {
                    (TIMER, Some(timer)) => timer.clear(),
                    (Token(index), _) => self.wake(index, event.is_read_closed())?,
                }
            }
            let now = self.control.window.now_ns();
            let idle = self.unarmed == 0 && self.untold == 0 && !self.unanswered;
            if idle && (now >= self.control.window.end_ns || self.control.stopped()) {
                return Ok(());
            }
            if !idle && now > self.news_ns + PATIENCE_NS {
                self.tally.fail(ErrorCode::OperationTimeout.into(), self.untold.max(1) as u64);
                return Ok(());
            }
            let due = self.interval_ns.map_or(now, |interval| (interval * self.sets as f64) as u64);
            if idle && due <= now {
                self.start_ns = due;
                self.news_ns = now;
                self.sets += 1;
                self.unanswered = true;
                (self.untold, self.unarmed) = (watchers, watchers);
                let writer = &mut self.links[watchers];
                self.set.append(&mut writer.out, 1, || 0);
                writer.flush()?;
            }
        }
    }

    /// Takes what one connection has to say; with `ended` up to its end, for which there is no
    /// further event.
    fn wake(&mut self, index: usize, ended: bool) -> io::Result<()> {
        let Self {
            links, buffer, watch, tally, control, unarmed, untold, unanswered, news_ns, start_ns, ..
        } = self;
        let is_writer = index + 1 == links.len();
        let link = &mut links[index];
        let mut more = true;
        while more {
            more = link.receive(buffer, |out, reply| {
                let now = control.window.now_ns();
                *news_ns = now;
                if reply.code != 0 {
                    tally.fail(reply.code, 1);
                }
                match reply.xid {
                    xid::NOTIFICATION => {
                        watch.append(out, 1, || 0);
                        *untold = untold.saturating_sub(1);
                        if *untold == 0 && control.window.contains(now) {
                            tally.record(*start_ns, now);
                        }
                    }
                    _ if is_writer => {
                        *unanswered = false;
                        control.done.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => *unarmed = unarmed.saturating_sub(1),
                }
            })? || ended;
        }
        link.flush()
    }

    /// Ends the sessions; those that fail to close end with their timeout.
    fn close(&mut self) {
        let request = Template::bare(Opcode::CloseSession);
        for link in &mut self.links {
            request.append(&mut link.out, 2, || 0);
            let _ = link.flush();
        }
        let mut events = Events::with_capacity(EVENTS_PER_WAKE);
        let mut open = self.links.len();
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while open > 0 && std::time::Instant::now() < deadline {
            if poll(&mut self.poll, &mut events, POLL).is_err() {
                return;
            }
            for event in &events {
                let Some(link) = self.links.get_mut(event.token().0) else { continue };
                loop {
                    match link.receive(&mut self.buffer, |_, _| {}) {
                        Ok(more) if more || event.is_read_closed() => {}
                        Ok(_) => break,
                        Err(_) => {
                            open = open.saturating_sub(1);
                            break;
                        }
                    }
                }
            }
        }
    }
}
