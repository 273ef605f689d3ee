//! Which sessions the servers have heard from. Followers report to the leader, and the leader
//! judges each session by the time up to which the server that has its connection has read.
//!
//! A session must not end because its server, or the leader, could not read for a while. So a
//! leader judges no session beyond what was reported, with two bounds: a server whose connection is
//! lost no longer reports, and one that is silent for as long as it would serve clients without a
//! leader counts as cut off. Time in which this server itself did nothing does not count at all.

use std::collections::BTreeMap;

use crate::message::{GroupMessage, Touched};

use crate::group::{Action, Group};
use crate::leader_time::LeaderTime;
use crate::sessions::SessionTable;

/// Shortest and longest interval between two reports to the leader, in ms.
const REPORT_MS: (i64, i64) = (10, 400);

/// Reports within the shortest timeout.
const REPORTS_PER_TIMEOUT: i64 = 8;

/// This long before a report, in ms, the connection threads are asked to check their sockets.
const LOOK_AHEAD_MS: i64 = 20;

/// A server that has begun no cycle for this long, in ms, was stalled: its process was suspended,
/// or its disk hung. The longest wait between two cycles is a fifth of it.
const PAUSE_MS: i64 = 500;

/// When to report to the leader.
#[derive(Debug, Default)]
pub struct Reports {
    asked_ms: i64,
    told_ms: i64,
}

/// The next step of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Ask the connection threads to check their sockets,
    Ask,
    /// and report what they have read.
    Tell,
}

impl Reports {
    /// The step that is due. The interval follows the shortest timeout; where timeouts are long, a
    /// report is still worth its few bytes.
    pub fn step(&mut self, now_ms: i64, sessions: &SessionTable) -> Step {
        let (min, max) = REPORT_MS;
        let every_ms = (i64::from(sessions.shortest_timeout_ms()) / REPORTS_PER_TIMEOUT).clamp(min, max);
        if now_ms >= self.told_ms + every_ms {
            self.told_ms = now_ms;
            return Step::Tell;
        }
        if self.asked_ms <= self.told_ms && now_ms >= self.told_ms + every_ms - LOOK_AHEAD_MS {
            self.asked_ms = now_ms;
            return Step::Ask;
        }
        Step::Nothing
    }
}

/// The sessions heard from here since the last report, and the time up to which this server has
/// read.
pub fn report(sessions: &SessionTable, time: Option<LeaderTime>, now_ms: i64, until_ms: i64) -> GroupMessage {
    let (term, read_until_ms) = time.map_or((0, 0), |time| (time.term, time.by_leader(until_ms)));
    let touched = sessions.touched(now_ms);
    let sessions = touched.into_iter().map(|touch| (touch.session, touch.age_ms)).collect();
    GroupMessage::Touched(Touched { term, read_until_ms, sessions })
}

/// The latest report of one server.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// When it arrived.
    told_ms: i64,
    /// The time up to which the server had read its sockets.
    until_ms: i64,
}

/// What a leader knows of what the other servers have heard.
#[derive(Debug, Default)]
pub(crate) struct ReportedSessions {
    /// Everything other members had sent by then has been handled.
    taken_in_ms: i64,
    /// When this leadership began: no server can have reported to it before.
    began_ms: i64,
    /// The latest report of each server that has reported; `None` if its connection is lost.
    told: BTreeMap<u32, Option<Told>>,
    reports: Reports,
    /// When the last cycle began.
    cycle_ms: i64,
}

impl ReportedSessions {
    /// Another leadership begins, which has received no report yet.
    pub(crate) fn begin(&mut self, now_ms: i64) {
        self.began_ms = now_ms;
        self.told.clear();
    }

    /// A server has reported that it has read its sockets up to that time; `None`: it does not know
    /// the leader's time yet.
    fn report(&mut self, server: u32, now_ms: i64, until_ms: Option<i64>) {
        let known_ms = self.told.get(&server).copied().flatten().map_or(self.began_ms, |told| told.until_ms);
        let until_ms = until_ms.map_or(known_ms, |until_ms| until_ms.clamp(known_ms, now_ms.max(known_ms)));
        self.told.insert(server, Some(Told { told_ms: now_ms, until_ms }));
    }

    /// The connection of a server is lost.
    pub(crate) fn lose(&mut self, server: u32) {
        self.told.insert(server, None);
    }

    /// The time up to which it is known which clients that server heard from. A server that reports
    /// and does not get to its sockets is believed, however long that takes; one that reports
    /// nothing for `silence_ms_max` counts as cut off.
    pub(crate) fn until_ms(&self, server: u32, silence_ms_max: i64) -> i64 {
        let began = Told { told_ms: self.began_ms, until_ms: self.began_ms };
        let Some(told) = self.told.get(&server).copied().unwrap_or(Some(began)) else {
            return self.taken_in_ms;
        };
        let cut_off_ms = self.taken_in_ms - silence_ms_max;
        if told.told_ms < cut_off_ms { cut_off_ms } else { told.until_ms.min(self.taken_in_ms) }
    }

    /// This server did nothing for `pause_ms`: no server could report to it meanwhile.
    fn forgive(&mut self, pause_ms: i64) {
        self.began_ms += pause_ms;
        self.told.values_mut().flatten().for_each(|told| told.told_ms += pause_ms);
    }

    /// A cycle begins; returns how long this server did nothing before, if that is worth logging.
    fn pause_before(&mut self, now_ms: i64) -> Option<i64> {
        let gap_ms = now_ms - std::mem::replace(&mut self.cycle_ms, now_ms);
        (gap_ms > PAUSE_MS).then_some(gap_ms)
    }
}

impl Group {
    /// What other members had sent at `polled_ms` is about to be handled. What they send while this
    /// thread is busy waits for the next poll, and the sessions they have heard from meanwhile are
    /// not known before.
    pub(crate) fn peers_polled(&mut self, polled_ms: i64) {
        self.reported.taken_in_ms = polled_ms;
    }

    /// A pause of this server is not silence of its clients: meanwhile none could be heard, and
    /// none that lost its connection could come back.
    pub(crate) fn tolerate_pause(&mut self) {
        let now_ms = self.now.ms;
        let Some(pause_ms) = self.reported.pause_before(now_ms) else { return };
        self.reported.forgive(pause_ms);
        if self.replica.leads() {
            self.shared.sessions.forgive(pause_ms, now_ms);
        }
    }

    /// Reports to the leader the sessions heard from here, often enough for the shortest timeout.
    pub(crate) fn report_touched(&mut self, now_ms: i64) {
        let Some(leader) = self.replica.role().leader.map(crate::server_of) else { return };
        if leader == self.me {
            return;
        }
        match self.reported.reports.step(now_ms, &self.shared.sessions) {
            Step::Nothing => {}
            Step::Ask => self.act(Action::AskToLook),
            Step::Tell => {
                let until_ms = self.shared.read_progress.until_ms();
                let time = *self.shared.leader_time.lock();
                let report = report(&self.shared.sessions, time, now_ms, until_ms);
                self.send_group(leader, report);
                self.shared.sessions.told(until_ms);
            }
        }
    }

    /// Another server reports the sessions it has heard from.
    pub(crate) fn on_touched(&mut self, from: u32, touched: Touched) {
        let now_ms = self.now.ms;
        for (session, age_ms) in touched.sessions {
            self.shared.sessions.touch(session, now_ms - i64::from(age_ms));
        }
        let term = self.replica.role().term;
        let until_ms = (touched.term == term).then_some(touched.read_until_ms);
        self.reported.report(from, now_ms, until_ms);
        if self.replica.leads() {
            self.send_group(from, GroupMessage::LeaderTime { term, ms: now_ms });
        }
    }

    /// The leader answers a report with its time, for the next one.
    pub(crate) fn on_leader_time(&mut self, from: u32, term: u64, leader_ms: i64) {
        let role = self.replica.role();
        if role.term == term && role.leader.map(crate::server_of) == Some(from) {
            let heard_ms = self.now.ms;
            *self.shared.leader_time.lock() = Some(LeaderTime { term, leader_ms, heard_ms });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Token;

    use super::*;

    #[test]
    fn the_shortest_timeout_decides_how_often_the_leader_is_told() {
        let sessions = SessionTable::new(1, 0, 100);
        let mut reports = Reports::default();
        let mut told = |from_ms: i64, sessions: &SessionTable| {
            (from_ms..from_ms + 4_000).filter(|ms| reports.step(*ms, sessions) == Step::Tell).count()
        };
        assert_eq!(told(1, &sessions), 10);
        sessions.opened(1, 10_000, 0);
        sessions.set_owner(1, Some(Token(1)));
        assert_eq!(told(4_001, &sessions), 10);
        sessions.opened(2, 200, 0);
        sessions.set_owner(2, Some(Token(2)));
        assert_eq!(told(8_001, &sessions), 160, "each 25 ms");
    }

    #[test]
    fn the_connection_threads_are_asked_before_each_report() {
        let sessions = SessionTable::new(1, 0, 100);
        let mut reports = Reports::default();
        let steps: Vec<_> = (1..=1_200).map(|ms| (ms, reports.step(ms, &sessions))).collect();
        let steps: Vec<_> = steps.into_iter().filter(|(_, step)| *step != Step::Nothing).collect();
        let expected = [
            (380, Step::Ask),
            (400, Step::Tell),
            (780, Step::Ask),
            (800, Step::Tell),
            (1180, Step::Ask),
            (1200, Step::Tell),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_server_is_believed_until_it_is_lost_or_silent_for_too_long() {
        let mut reported = ReportedSessions { taken_in_ms: 10_000, ..ReportedSessions::default() };
        assert_eq!(reported.until_ms(2, 1_500), 8_500, "it never said anything");
        reported.begin(9_000);
        assert_eq!(reported.until_ms(2, 1_500), 9_000, "it could say nothing before");
        reported.told.insert(2, Some(Told { told_ms: 9_700, until_ms: 9_600 }));
        assert_eq!(reported.until_ms(2, 1_500), 9_600);
        reported.taken_in_ms = 11_200;
        assert_eq!(reported.until_ms(2, 1_500), 9_600);
        reported.taken_in_ms = 12_000;
        assert_eq!(reported.until_ms(2, 1_500), 10_500);
        reported.lose(2);
        assert_eq!(reported.until_ms(2, 1_500), 12_000);
    }

    /// Regression: a report that had waited in a suspended process named a time up to which no
    /// thread had read.
    #[test]
    fn a_report_counts_by_the_time_of_the_leader_that_it_knows() {
        let mut reported = ReportedSessions { taken_in_ms: 10_000, ..ReportedSessions::default() };
        reported.begin(9_000);
        reported.report(2, 9_100, None);
        assert_eq!(reported.until_ms(2, 1_500), 9_000, "it does not know the time yet");
        reported.report(2, 9_900, Some(9_200));
        assert_eq!(reported.until_ms(2, 1_500), 9_200, "whenever it arrives");
        reported.report(2, 9_950, Some(9_100));
        assert_eq!(reported.until_ms(2, 1_500), 9_200, "what was read stays read");
        reported.report(2, 9_960, Some(20_000));
        assert_eq!(reported.until_ms(2, 1_500), 9_960, "nobody has read what is yet to come");
    }

    /// Regression: after a pause of the whole ensemble a server counted as cut off before its first
    /// report could arrive.
    #[test]
    fn a_pause_of_this_server_is_no_silence_of_another() {
        let mut reported = ReportedSessions { taken_in_ms: 10_000, ..ReportedSessions::default() };
        reported.told.insert(2, Some(Told { told_ms: 9_990, until_ms: 9_500 }));
        reported.forgive(3_000);
        reported.taken_in_ms = 13_000;
        assert_eq!(reported.until_ms(2, 1_500), 9_500);
    }

    /// Regression: when connection threads were busy for longer than the time after which a server
    /// counts as cut off, sessions ended whose pings waited in their sockets, though the server
    /// reported that it had not read them.
    #[test]
    fn a_server_that_reports_and_cannot_read_its_sockets_is_believed() {
        let mut reported = ReportedSessions { taken_in_ms: 20_000, ..ReportedSessions::default() };
        reported.told.insert(2, Some(Told { told_ms: 19_990, until_ms: 10_000 }));
        assert_eq!(reported.until_ms(2, 1_500), 10_000);
    }
}
