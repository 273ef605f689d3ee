//! What a server reports in each state, and what happens to a client that connects to it then. The
//! table is in `docs/operate/states.md`.

use super::ensemble::{ENGINES, Trio, config_of};
use super::reconfig::changeable;
use crate::config::{ServerId, WordList};
use crate::observe::four_letter::{Answer, NOT_SERVING, Word};
use group::GroupId;

/// Four-letter words that do not depend on the service: every running process answers them.
const ALWAYS: [Word; 4] = [Word::Ruok, Word::Envi, Word::Gtmk, Word::Stmk];

impl Trio {
    fn say(&self, server: ServerId, word: Word) -> String {
        let report = self.members[&server].report();
        match word.answer(&[0; 8], &report) {
            Answer::Text(text) => text,
            Answer::More => panic!("{} wants more", word.name()),
        }
    }

    /// Whether a client that connects now gets a session; otherwise its connection is closed.
    fn takes_clients(&mut self, server: ServerId) -> bool {
        let wire = self.greet(server, None, false);
        for _ in 0..500 {
            if wire.take().is_some() {
                return true;
            }
            if wire.is_closed() {
                return false;
            }
            self.step();
        }
        panic!("the client waits");
    }

    /// Checks what `srvr` reports after `Mode:`, and that everything else agrees with it.
    fn check_state(&mut self, what: &str, server: ServerId, mode: Option<&str>) {
        assert_eq!(self.say(server, Word::Ruok), "imok", "{what}: the process runs");
        let found = self.say(server, Word::Srvr);
        let found = found.lines().find_map(|line| line.strip_prefix("Mode: "));
        assert_eq!(found, mode, "{what}");
        let isro = match mode {
            None => "null",
            Some("read-only") => "ro",
            Some(_) => "rw",
        };
        assert_eq!(self.say(server, Word::Isro), isro, "{what}");
        let serves = matches!(isro, "rw");
        assert_eq!(self.members[&server].facts().serving, serves, "{what}: the metric");
        assert_eq!(self.takes_clients(server), serves, "{what}: clients");
        // `rqld` and `ydld` would move leadership.
        let others = [Word::Isro, Word::Rqld, Word::Ydld];
        for word in Word::ALL.iter().filter(|word| !ALWAYS.contains(word) && !others.contains(word)) {
            let refuses = self.say(server, *word).starts_with(NOT_SERVING);
            assert_eq!(refuses, mode.is_none(), "{what}: {}", word.name());
        }
    }
}

fn all_words(mut config: crate::config::Config) -> crate::config::Config {
    config.words = WordList::All;
    config
}

#[test]
fn every_state_says_what_is_true() {
    for engine in ENGINES {
        let config = |server| all_words(changeable(server, engine, &[1, 2, 3]));
        let mut trio = Trio::of([config(1)]);
        (0..200).for_each(|_| trio.step());
        trio.check_state("it waits for the others to found the ensemble with", 1, None);
        trio.add(config(2));
        trio.add(config(3));
        trio.until("all serve", Trio::all_serve);
        (0..100).for_each(|_| trio.step());
        let leader = trio.leader().expect("somebody leads");
        let other = leader % 3 + 1;
        trio.check_state("it leads", leader, Some("leader"));
        trio.check_state("it follows", other, Some("follower"));
        trio.add(all_words(changeable(4, engine, &[1, 2, 3, 4])));
        (0..200).for_each(|_| trio.step());
        trio.check_state("it is not taken in yet", 4, None);
        let (wire, ..) = trio.connect(leader, None);
        assert!(trio.reconfig(&wire, 1, &[], &other.to_string()).is_ok(), "{engine}");
        (0..100).for_each(|_| trio.step());
        trio.check_state("it was removed", other, Some("follower"));
        trio.crash(other);
        (0..300).for_each(|_| trio.step());
        trio.start(other);
        (0..300).for_each(|_| trio.step());
        trio.check_state("it was removed and is started again", other, None);
        trio.crash(6 - leader - other);
        trio.until("too few are left", |trio| !trio.members[&leader].is_serving(GroupId::ROOT));
        trio.check_state("it has lost the majority", leader, None);
    }
}

#[test]
fn one_that_only_reads_says_so() {
    for engine in ENGINES {
        let mut trio = Trio::of((1..=3).map(|server| {
            let mut config = all_words(config_of(server, engine));
            config.requests.read_only_mode = true;
            let third = config.ensemble.as_mut().and_then(|ensemble| ensemble.members.get_mut(&3));
            third.expect("server 3").observer = true;
            config
        }));
        trio.until("all serve", Trio::all_serve);
        (0..100).for_each(|_| trio.step());
        trio.check_state("it observes", 3, Some("observer"));
        trio.crash(1);
        trio.crash(2);
        trio.until("it is cut off", |trio| !trio.members[&3].is_serving(GroupId::ROOT));
        (0..100).for_each(|_| trio.step());
        trio.check_state("it is cut off and serves readers", 3, Some("read-only"));
    }
}

#[test]
fn a_server_alone_says_so() {
    let mut config = all_words(changeable(1, ENGINES[0], &[1]));
    config.ensemble = None;
    let mut trio = Trio::of([config]);
    trio.step();
    trio.check_state("it is alone", 1, Some("standalone"));
}
