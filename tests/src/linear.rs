//! Whether the history of a register is linearizable: whether each call could have happened at one
//! moment between its begin and its end, so that every answer is right.
//!
//! The search is that of Wing and Gong with Lowe's memory: it follows the history, takes one of the
//! calls that have begun and could come next, and goes back when a call ends that has not been
//! taken. Of two orders that have taken the same calls and led to the same state only one is
//! followed.

use std::collections::{BTreeMap, HashSet};

use crate::history::{Call, State};

/// Checks every register by itself, which is as good as all together; answers what is wrong with
/// the first one that is not linearizable.
pub fn check(calls: &[Call]) -> Result<(), String> {
    let mut registers: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    calls.iter().for_each(|call| registers.entry(&call.register).or_default().push(call));
    for (register, calls) in registers {
        if let Err(stuck) = Search::new(&calls).run() {
            let mut text = format!("linearizable registers: {register} is not; its history is\n");
            let mut sorted = calls.clone();
            sorted.sort_by_key(|call| call.called);
            for call in sorted {
                let mark = if std::ptr::eq(call, stuck) { ">>" } else { "  " };
                text += &format!("{mark} {call:?}\n");
            }
            return Err(text);
        }
    }
    Ok(())
}

/// A begin or an end of a call. Events are numbered in the order of time; those not yet dealt with
/// are a list through these links.
#[derive(Clone, Copy)]
struct Event {
    call: usize,
    is_end: bool,
    previous: usize,
    next: usize,
}

struct Search<'a> {
    calls: &'a [&'a Call],
    /// The first and the last are no events but the ends of the list.
    events: Vec<Event>,
    /// Where each call ends in `events`.
    ends: Vec<usize>,
    taken: Vec<u64>,
    seen: HashSet<(Vec<u64>, State)>,
    /// The begins of the calls taken, with the states before them.
    path: Vec<(usize, State)>,
}

impl<'a> Search<'a> {
    fn new(calls: &'a [&'a Call]) -> Search<'a> {
        let mut order: Vec<(u64, bool, usize)> = Vec::new();
        for (number, call) in calls.iter().enumerate() {
            order.push((call.called, false, number));
            order.push((call.returned, true, number));
        }
        // Of a begin and an end at the same moment the begin is first: they may have overlapped.
        order.sort_unstable();
        let last = order.len() + 1;
        let edge = Event { call: usize::MAX, is_end: false, previous: 0, next: 1 };
        let mut events = vec![edge];
        let mut ends = vec![0; calls.len()];
        for (number, (_, is_end, call)) in order.into_iter().enumerate() {
            let at = number + 1;
            events.push(Event { call, is_end, previous: at - 1, next: at + 1 });
            if is_end {
                ends[call] = at;
            }
        }
        events.push(Event { previous: last - 1, next: last, ..edge });
        let taken = vec![0; calls.len().div_ceil(64)];
        Search { calls, events, ends, taken, seen: HashSet::new(), path: Vec::new() }
    }

    /// The call that could not be placed, if the history is not linearizable.
    fn run(mut self) -> Result<(), &'a Call> {
        let last = self.events.len() - 1;
        let (mut state, mut at) = (State::default(), self.events[0].next);
        // The furthest end met in vain is the best explanation there is.
        let mut stuck = 0;
        while self.events[0].next != last {
            let event = self.events[at];
            if at != last && !event.is_end {
                if let Some(after) = self.calls[event.call].step(state)
                    && self.take(event.call, after)
                {
                    self.path.push((at, state));
                    state = after;
                    self.unlink(at);
                    at = self.events[0].next;
                } else {
                    at = event.next;
                }
                continue;
            }
            stuck = stuck.max(at);
            let Some((begin, before)) = self.path.pop() else {
                return Err(self.calls[self.events[stuck.min(last - 1)].call]);
            };
            state = before;
            self.give_back(begin);
            at = self.events[begin].next;
        }
        Ok(())
    }

    /// Marks a call as taken; `false` if that was tried already and led nowhere.
    fn take(&mut self, call: usize, after: State) -> bool {
        self.taken[call / 64] |= 1 << (call % 64);
        let is_new = self.seen.insert((self.taken.clone(), after));
        if !is_new {
            self.taken[call / 64] &= !(1 << (call % 64));
        }
        is_new
    }

    fn unlink(&mut self, begin: usize) {
        for at in [begin, self.ends[self.events[begin].call]] {
            let Event { previous, next, .. } = self.events[at];
            self.events[previous].next = next;
            self.events[next].previous = previous;
        }
    }

    fn give_back(&mut self, begin: usize) {
        let call = self.events[begin].call;
        self.taken[call / 64] &= !(1 << (call % 64));
        for at in [self.ends[call], begin] {
            let Event { previous, next, .. } = self.events[at];
            self.events[previous].next = at;
            self.events[next].previous = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Act, Answer};

    fn call(called: u64, returned: u64, act: Act, answer: Answer) -> Call {
        Call { client: 0, register: "/r".to_owned(), act, called, returned, answer }
    }

    fn set(called: u64, returned: u64, value: u64, version: i64) -> Call {
        call(called, returned, Act::Set { value }, Answer::Version(version))
    }

    fn read(called: u64, returned: u64, value: u64, version: i64) -> Call {
        call(called, returned, Act::Read, Answer::State(State { version, value }))
    }

    fn lost(called: u64, value: u64) -> Call {
        call(called, u64::MAX, Act::Set { value }, Answer::Unknown)
    }

    #[test]
    fn what_overlaps_may_come_in_any_order() {
        assert_eq!(check(&[set(0, 10, 7, 1), read(1, 9, 0, 0), read(2, 8, 7, 1)]), Ok(()));
        assert_eq!(check(&[set(0, 10, 7, 2), set(0, 10, 8, 1), read(11, 12, 7, 2)]), Ok(()));
    }

    #[test]
    fn a_stale_read_is_found() {
        let found = check(&[set(0, 1, 7, 1), read(2, 3, 0, 0)]).unwrap_err();
        assert!(found.contains(">> Call { client: 0, register: \"/r\", act: Read"), "{found}");
        assert!(check(&[set(0, 5, 7, 1), read(1, 2, 7, 1), read(3, 4, 0, 0)]).is_err());
    }

    #[test]
    fn a_lost_answer_may_mean_never_now_or_later() {
        assert_eq!(check(&[lost(0, 7), read(1, 2, 0, 0)]), Ok(()));
        assert_eq!(check(&[lost(0, 7), read(1, 2, 0, 0), read(3, 4, 7, 1)]), Ok(()));
        assert!(check(&[lost(0, 7), read(1, 2, 7, 1), read(3, 4, 0, 0)]).is_err());
        assert!(check(&[read(0, 1, 7, 1), lost(2, 7)]).is_err(), "nothing is read before it is asked for");
    }

    #[test]
    fn a_set_that_happens_twice_is_found() {
        assert!(check(&[lost(0, 7), read(1, 2, 7, 2)]).is_err());
        assert!(check(&[set(0, 1, 7, 1), read(2, 3, 7, 2)]).is_err());
    }

    #[test]
    fn a_condition_holds_at_the_same_moment() {
        let set_if =
            |called, version, value, answer| call(called, called + 1, Act::SetIf { version, value }, answer);
        let both = [set_if(0, 0, 7, Answer::Version(1)), set_if(0, 0, 8, Answer::Version(1))];
        assert!(check(&both).is_err());
        assert_eq!(check(&[both[0].clone(), set_if(0, 0, 8, Answer::Refused)]), Ok(()));
        assert!(check(&[set_if(0, 0, 8, Answer::Refused)]).is_err());
    }
}
