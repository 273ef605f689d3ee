//! Requests over open sessions: a closed loop keeps a fixed number in flight, an open loop sends
//! them on schedule.

use super::generator::{Generator, Step, code_of};
use super::link::{Link, READ_BYTES};
use super::measure::{Control, Tally, Window};
use super::template::Template;
use super::timer::Timer;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wire::{ErrorCode, Opcode, xid};

const TIMER: Token = Token(usize::MAX);
const EVENTS_PER_WAKE: usize = 1024;
/// Longest wait of a poll: how late the end of a round may be noticed by a thread to which nothing
/// happens.
const POLL_MS: u64 = 20;
/// How long answers may take after the end of a round before they count as missing.
const DRAIN_NS: u64 = 10_000_000_000;
/// A session with nothing in flight is pinged this often, well below any session timeout in use.
const PING_NS: u64 = 2_000_000_000;
/// How long servers may take to close sessions after a round. It is not measured.
const CLOSE: Duration = Duration::from_secs(5);

/// When the next operation starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// When an earlier one is complete: `depth` per connection are in flight.
    Closed {
        /// Operations in flight on each connection.
        depth: usize,
    },
    /// On schedule, whatever happened to the earlier ones. Latency counts from the schedule, so a
    /// server that stalls is charged for every operation that had to wait, even for those not yet
    /// sent.
    Open {
        /// Of this thread, in nanoseconds.
        interval_ns: f64,
        /// Time of the first, in nanoseconds.
        first_ns: f64,
        /// At most this many are in flight on each connection; the rest waits here.
        depth: usize,
    },
}

/// An operation in flight.
#[derive(Debug, Clone, Copy)]
struct Sent {
    start_ns: u64,
    xid: i32,
    step: Step,
}

/// One connection and the operations in flight on it, in the order of the expected replies.
#[derive(Debug)]
struct Lane {
    link: Link,
    queue: VecDeque<Sent>,
    last_xid: i32,
    lost: bool,
}

impl Lane {
    /// Starts the next operation of `generator`; false if it has none.
    #[inline]
    fn begin(&mut self, generator: &mut Generator, start_ns: u64) -> bool {
        let xid = next(&mut self.last_xid);
        let step = generator.begin(xid, &mut self.link.out);
        self.queue.extend(step.map(|step| Sent { start_ns, xid, step }));
        step.is_some()
    }
}

#[inline]
fn next(xid: &mut i32) -> i32 {
    *xid = xid.checked_add(1).unwrap_or(1);
    *xid
}

/// One thread of the load generator.
pub(super) struct Worker<'a> {
    control: &'a Control<'a>,
    /// As in `control`, but its end moves to now when the run is stopped from outside.
    window: Window,
    pace: Pace,
    generator: Generator,
    /// The generator has nothing more.
    exhausted: bool,
    /// Operations started so far by the schedule of an open loop.
    scheduled: u64,
    /// Where the next of them goes.
    turn: usize,
    lanes: Vec<Lane>,
    tally: Tally,
    poll: Poll,
    buffer: Vec<u8>,
    published: u64,
    finished: u64,
    pinged_ns: u64,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        control: &'a Control<'a>,
        pace: Pace,
        generator: Generator,
        links: Vec<Link>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut lanes = Vec::with_capacity(links.len());
        for (index, mut link) in links.into_iter().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut link.stream, Token(index), interest)?;
            lanes.push(Lane { link, queue: VecDeque::new(), last_xid: 0, lost: false });
        }
        Ok(Self {
            control,
            window: control.window,
            pace,
            generator,
            exhausted: false,
            scheduled: 0,
            turn: 0,
            lanes,
            tally: Tally::default(),
            poll,
            buffer: vec![0; READ_BYTES],
            published: 0,
            finished: 0,
            pinged_ns: 0,
        })
    }

    /// Runs the round to its end, and closes the sessions.
    pub(super) fn run(mut self) -> io::Result<Tally> {
        let timer = match self.pace {
            Pace::Closed { depth } => {
                self.start(depth);
                None
            }
            Pace::Open { interval_ns, .. } => {
                Some(Timer::every(Duration::from_nanos(interval_ns as u64), self.poll.registry(), TIMER)?)
            }
        };
        let mut events = Events::with_capacity(EVENTS_PER_WAKE);
        while self.goes_on() {
            poll(&mut self.poll, &mut events, Duration::from_millis(POLL_MS))?;
            for event in &events {
                match (event.token(), &timer) {
                    (TIMER, Some(timer)) => timer.clear(),
                    (Token(index), _) => self.wake(index, event.is_read_closed()),
                }
            }
            self.dispatch();
        }
        self.control.busy.fetch_sub(1, Ordering::Relaxed);
        self.missing();
        self.close(&mut events)?;
        Ok(self.tally)
    }

    /// Fills every connection to the depth of a closed loop.
    fn start(&mut self, depth: usize) {
        for index in 0..self.lanes.len() {
            let now = self.window.now_ns();
            for _ in 0..depth {
                self.exhausted |= !self.lanes[index].begin(&mut self.generator, now);
            }
            self.flush(index);
        }
    }

    /// Takes the replies of one connection and sends what follows from them in one write. With
    /// `ended` the server has closed it: there is no further event, so everything has to be read up
    /// to the end now.
    fn wake(&mut self, index: usize, ended: bool) {
        let Self { lanes, generator, tally, window, exhausted, finished, buffer, pace, .. } = self;
        let lane = &mut lanes[index];
        let Lane { link, queue, last_xid, lost } = lane;
        let closed = matches!(pace, Pace::Closed { .. });
        let mut more = !*lost;
        while more {
            // One look at the clock for all replies of a read: that is when they became known.
            let mut now = None;
            let received = link.receive(buffer, |out, reply| {
                // What answers no request: pings.
                if reply.xid < 0 {
                    return;
                }
                let Some(sent) = queue.pop_front().filter(|sent| sent.xid == reply.xid) else {
                    tally.fail(ErrorCode::MarshallingError.into(), 1);
                    return;
                };
                let now = *now.get_or_insert_with(|| window.now_ns());
                let code = code_of(sent.step, reply.code, reply.body);
                if code != 0 {
                    tally.fail(code, 1);
                } else {
                    let follower = last_xid.checked_add(1).unwrap_or(1);
                    if let Some(step) = Generator::follow(sent.step, reply.body, follower, out) {
                        *last_xid = follower;
                        queue.push_back(Sent { start_ns: sent.start_ns, xid: follower, step });
                        return;
                    }
                    if window.contains(if closed { now } else { sent.start_ns }) {
                        tally.record(sent.start_ns, now);
                    }
                }
                *finished += 1;
                if closed && now < window.end_ns && !*exhausted {
                    let xid = next(last_xid);
                    let step = generator.begin(xid, out);
                    *exhausted = step.is_none();
                    queue.extend(step.map(|step| Sent { start_ns: now, xid, step }));
                }
            });
            more = match received {
                Ok(more) => more || ended,
                Err(_) => return self.lose(index),
            };
        }
        self.flush(index);
    }

    fn flush(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        if !lane.lost && lane.link.flush().is_err() {
            self.lose(index);
        }
    }

    /// Gives up a connection. Its operations in flight have failed.
    fn lose(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        if !std::mem::replace(&mut lane.lost, true) {
            let count = lane.queue.len().max(1) as u64;
            lane.queue.clear();
            self.tally.fail(ErrorCode::ConnectionLoss.into(), count);
        }
    }

    /// Starts the operations that the schedule of an open loop has due.
    fn dispatch(&mut self) {
        let Pace::Open { depth, .. } = self.pace else { return };
        let now = self.window.now_ns();
        let before = self.scheduled;
        while let due = self.due_ns()
            && due <= now
            && due < self.window.end_ns
        {
            let lanes = self.lanes.len();
            let free = |lane: &Lane| !lane.lost && lane.queue.len() < depth;
            let turn =
                (0..lanes).map(|step| (self.turn + step) % lanes).find(|turn| free(&self.lanes[*turn]));
            let Some(turn) = turn else { break };
            self.turn = (turn + 1) % lanes;
            self.scheduled += 1;
            if !self.lanes[turn].begin(&mut self.generator, due) {
                self.exhausted = true;
                break;
            }
        }
        if self.scheduled > before {
            for index in 0..self.lanes.len() {
                if !self.lanes[index].link.out.is_empty() {
                    self.flush(index);
                }
            }
        }
    }

    /// When the schedule has its next operation, in nanoseconds; never in a closed loop.
    fn due_ns(&self) -> u64 {
        match self.pace {
            Pace::Closed { .. } => u64::MAX,
            Pace::Open { interval_ns, first_ns, .. } => {
                (first_ns + interval_ns * self.scheduled as f64) as u64
            }
        }
    }

    /// Handles everything that is not a reply; false when the round is over.
    fn goes_on(&mut self) -> bool {
        self.control.done.fetch_add(self.finished - self.published, Ordering::Relaxed);
        self.published = self.finished;
        let now = self.window.now_ns();
        if self.control.stopped() {
            self.window.end_ns = self.window.end_ns.min(now);
        }
        if now > self.pinged_ns + PING_NS {
            self.pinged_ns = now;
            self.ping();
        }
        if self.lanes.iter().all(|lane| lane.lost) {
            return false;
        }
        let over = match self.pace {
            Pace::Closed { .. } => now >= self.window.end_ns || self.exhausted,
            Pace::Open { .. } => self.due_ns() >= self.window.end_ns || self.exhausted,
        };
        let answered = self.lanes.iter().all(|lane| lane.queue.is_empty());
        !(over && answered) && now < self.window.end_ns.saturating_add(DRAIN_NS)
    }

    fn ping(&mut self) {
        let ping = Template::bare(Opcode::Ping);
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            if !lane.lost && lane.queue.is_empty() {
                ping.append(&mut lane.link.out, xid::PING, || 0);
                self.flush(index);
            }
        }
    }

    /// Counts operations that were never answered, and those that an open loop could not send.
    fn missing(&mut self) {
        let mut count = self.lanes.iter().map(|lane| lane.queue.len() as u64).sum::<u64>();
        if let Pace::Open { interval_ns, .. } = self.pace
            && !self.control.stopped()
            && !self.exhausted
        {
            let left_ns = self.window.end_ns.saturating_sub(self.due_ns());
            count += (left_ns as f64 / interval_ns).ceil() as u64;
        }
        if count > 0 {
            self.tally.fail(ErrorCode::OperationTimeout.into(), count);
        }
    }

    /// Ends the sessions, so that the server does not have to expire them during the next round.
    fn close(&mut self, events: &mut Events) -> io::Result<()> {
        let request = Template::bare(Opcode::CloseSession);
        for lane in self.lanes.iter_mut().filter(|lane| !lane.lost) {
            request.append(&mut lane.link.out, next(&mut lane.last_xid), || 0);
            lane.lost |= lane.link.flush().is_err();
        }
        let deadline = std::time::Instant::now() + CLOSE;
        while self.lanes.iter().any(|lane| !lane.lost) && std::time::Instant::now() < deadline {
            poll(&mut self.poll, events, Duration::from_millis(POLL_MS))?;
            for event in &*events {
                let Some(lane) = self.lanes.get_mut(event.token().0) else { continue };
                while !lane.lost {
                    match lane.link.receive(&mut self.buffer, |_, _| {}) {
                        Ok(more) if more || event.is_read_closed() => {}
                        Ok(_) => break,
                        // The end of the stream is the last answer to closeSession.
                        Err(_) => lane.lost = true,
                    }
                }
            }
        }
        Ok(())
    }
}

/// Polls; a signal is no error.
pub(super) fn poll(poll: &mut Poll, events: &mut Events, timeout: Duration) -> io::Result<()> {
    match poll.poll(events, Some(timeout)) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        result => result,
    }
}
