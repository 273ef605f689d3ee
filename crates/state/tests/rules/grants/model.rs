//! Random runs against a naive evaluator of rules: a world with rules answers as one without,
//! except where the evaluator says that they deny it.

use proptest::prelude::*;
use state::auth::Identities;
use wire::path::parent;

use super::{U, create_grants, set_grants, world};
use crate::snapshot::{load, write};
use crate::world::{ALL_FEATURES, World};

/// A rule: prefix, letters and who.
type Rule = (&'static str, String, String);

/// What the client of a session is, for the evaluator. Session 3 is the super user.
fn is_meant(session: i64, who: &str) -> bool {
    match who {
        "world:anyone" | "ip:127.0.0.0/8" => true,
        "auth:" | "sasl:bob" => session == 2,
        _ => who == U && session == 1,
    }
}

/// The letters that the rules leave to a session on a path.
fn left(rules: &[Rule], session: i64, path: &str) -> String {
    let mut at = path;
    loop {
        let on: Vec<&Rule> = rules.iter().filter(|(prefix, ..)| *prefix == at).collect();
        if !on.is_empty() && session != 3 {
            let given = on.into_iter().filter(|(_, _, who)| is_meant(session, who));
            return given.map(|(_, letters, _)| letters.as_str()).collect();
        }
        if at == "/" {
            return "cdrwa".to_owned();
        }
        at = parent(at);
    }
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let prefix = proptest::sample::select(vec!["/", "/a", "/a/b", "/a/b/a", "/b", "/b/a/b", "/ab"]);
    let letters = proptest::sample::subsequence(vec!['c', 'd', 'r', 'w', 'a'], 0..=5)
        .prop_map(|letters| letters.into_iter().collect::<String>());
    let who = proptest::sample::select(vec![
        "world:anyone",
        "ip:127.0.0.0/8",
        "ip:10.0.0.0/8",
        "auth:",
        "sasl:bob",
        U,
    ]);
    proptest::collection::vec((prefix, letters, who.prop_map(str::to_owned)), 0..8)
}

fn text(rules: &[Rule]) -> String {
    let line = |(prefix, letters, who): &Rule| {
        format!("{prefix} {} {who}\n", if letters.is_empty() { "-" } else { letters })
    };
    rules.iter().map(line).collect()
}

#[derive(Clone, Debug)]
enum Step {
    /// A request: its verb, its path, and what follows the path.
    Ask(i64, &'static str, String, &'static str),
    Rules(Vec<Rule>),
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    let path = proptest::collection::vec(proptest::sample::select(vec!["a", "b", "ab"]), 1..4)
        .prop_map(|names| format!("/{}", names.join("/")));
    let verb = proptest::sample::select(vec![
        ("create", "x"),
        ("create", "x"),
        ("create", "x"),
        ("create", "x world:anyone:rwc"),
        ("create -n", "y"),
        ("set", "z"),
        ("setacl", "world:anyone:rcd"),
        ("setacl", "world:anyone:rwcda"),
        ("delete", ""),
        ("remove-all", "1000"),
        ("get", ""),
        ("exists", ""),
        ("ls", ""),
        ("getacl", ""),
        ("ls-r", "1000"),
    ]);
    prop_oneof![
        20 => (1..=3i64, verb, path).prop_map(|(who, (verb, rest), path)| Step::Ask(who, verb, path, rest)),
        1 => rules().prop_map(Step::Rules),
        1 => Just(Step::Reload),
    ]
}

/// The world without rules, which a super user can ask without trace.
struct Plain(World);

impl Plain {
    fn exists(&mut self, path: &str) -> bool {
        self.0.say(3, &format!("exists {path}")) != "NoNode"
    }

    fn below(&mut self, path: &str) -> Vec<String> {
        paths(&self.0.say(3, &format!("ls-r {path} 1000")))
    }

    /// The answer that the world with rules must give, and what it changes here.
    fn expected(&mut self, rules: &[Rule], session: i64, request: &str, verb: &str, path: &str) -> String {
        let left = |path: &str| left(rules, session, path);
        let (letter, of) = match verb {
            "create" | "create -n" => ('c', parent(path)),
            "delete" | "remove-all" => ('d', parent(path)),
            "set" => ('w', path),
            "setacl" => ('a', path),
            _ => ('r', path),
        };
        let is_write = letter != 'r';
        let mut denial = None;
        if !self.exists(of) {
            // Asked before any permission.
        } else if verb == "getacl" {
            let acl = self.0.say(3, request);
            let (_, letters) = acl.rsplit_once(':').expect("an ACL of one entry");
            let both = left(path).chars().any(|letter| "ra".contains(letter) && letters.contains(letter));
            denial = (!both && session != 3).then_some("NoAuth");
        } else if !left(path).contains(letter) {
            denial = Some("NoAuth");
        } else if verb == "remove-all" && self.exists(path) {
            let is_denied = self.below(path).iter().any(|below| !left(below).contains('d'));
            denial = is_denied.then_some("NoAuth");
        }
        if let Some(denial) = denial {
            if is_write {
                // Takes a zxid, as the refusal does there.
                assert_eq!(self.0.internal(session, 9999, &[]), "Unimplemented");
            }
            return denial.to_owned();
        }
        let answer = self.0.say(session, request);
        if verb != "ls-r" || !answer.starts_with('[') {
            return answer;
        }
        let is_shown = |found: &String| {
            let mut at = found.as_str();
            while at != path {
                if !left(at).contains('r') {
                    return false;
                }
                at = parent(at);
            }
            true
        };
        format!("[{}]", paths(&answer).into_iter().filter(is_shown).collect::<Vec<_>>().join(" "))
    }
}

fn paths(answer: &str) -> Vec<String> {
    let list = answer.trim_start_matches('[').trim_end_matches(']');
    list.split_whitespace().filter(|path| path.starts_with('/')).map(str::to_owned).collect()
}

fn with_bob(mut world: World) -> World {
    let mut bob = Identities::from_ip("127.0.0.1");
    bob.add("sasl", "bob");
    world.identities.insert(2, bob);
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rules_deny_what_a_naive_evaluator_says_and_nothing_else(
        first in rules(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let (mut ruled, mut plain) = (with_bob(world()), Plain(with_bob(world())));
        plain.0.features = ALL_FEATURES;
        let mut rules = first;
        prop_assert_eq!(create_grants(&mut ruled, 3, &text(&rules)), create_grants(&mut plain.0, 3, &text(&rules)));
        for step in steps {
            match step {
                Step::Rules(new) => {
                    rules = new;
                    let answer = set_grants(&mut ruled, 3, &text(&rules));
                    prop_assert_eq!(answer, set_grants(&mut plain.0, 3, &text(&rules)));
                }
                Step::Reload => {
                    let bytes = write(&mut ruled.machine, 5, &mut |_| {});
                    ruled.machine = load(&bytes, 100).unwrap();
                }
                Step::Ask(session, verb, path, rest) => {
                    let request = format!("{verb} {path} {rest}");
                    let expected = plain.expected(&rules, session, &request, verb, &path);
                    let answer = ruled.say(session, &request);
                    prop_assert_eq!(answer, expected, "{} by {} under\n{}", request, session, text(&rules));
                }
            }
            ruled.machine.check().unwrap();
        }
    }
}
