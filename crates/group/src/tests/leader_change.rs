//! A change of leader: every command is done once and in its session's order, and no client of a
//! living server loses its connection.

use consensus::entry::EntryKind;

use super::*;

const CREATE: Opcode = Opcode::Create;

/// Everybody who lives has the same state, in which exactly these were created, in this order.
fn all_have(group: &mut Group, expected: &[&str], engine: &str) {
    for id in [1, 2, 3] {
        if group.nodes.contains_key(&id) {
            assert_eq!(group.created(id), expected, "{engine}: member {id}");
        }
    }
}

/// The leader died before it had sent anybody what a follower had passed on to it. The follower's
/// client used to lose its connection.
#[test]
fn what_died_with_the_leader_is_passed_on_again() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [home, other] = followers(leader);
        group.open(home, &[5]);
        group.keeps = |message| matches!(message, GroupMessage::Forward { .. });
        group.submit(home, 5, 5, 1, CREATE);
        group.submit(home, 5, 5, 2, CREATE);
        group.kill(leader);
        // Asked while nobody leads.
        group.keeps = |_| false;
        group.submit(home, 5, 5, 3, CREATE);
        group.elect_this(other);
        assert_eq!(group.node(home).seen.replies, [(5, 1, 0), (5, 2, 0), (5, 3, 0)], "{engine}");
        assert_eq!(group.node(home).seen.lost, [], "{engine}");
        assert_eq!(group.node(home).replica.kept_bytes(), 0, "{engine}");
        all_have(&mut group, &["/5-1-", "/5-2-", "/5-3-"], engine);
    }
}

/// The leader dies when the others have the entry in their logs but do not know that it is
/// committed. Forwarded again, the command would be done twice by the next leader.
#[test]
fn what_is_in_the_new_leaders_log_is_not_passed_on_again() {
    for ((engine, new), home_leads) in
        ENGINES.into_iter().flat_map(|engine| [(engine, false), (engine, true)])
    {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [home, other] = followers(leader);
        group.open(home, &[5]);
        // Nothing comes back to the leader, so it agrees on nothing.
        group.closed.push((other, leader));
        group.submit(home, 5, 5, 1, CREATE);
        while let Some((from, to, message)) = group.on_way.pop_front() {
            let is_answer = from == home && to == leader && matches!(message, GroupMessage::Engine { .. });
            if !is_answer {
                group.deliver(from, to, message);
            }
        }
        assert_eq!(group.created(home), [""; 0], "{engine}: not agreed");
        group.kill(leader);
        group.submit(home, 5, 5, 2, CREATE);
        group.elect_this(if home_leads { home } else { other });
        assert_eq!(group.node(home).seen.replies, [(5, 1, 0), (5, 2, 0)], "{engine}");
        assert_eq!(group.node(home).seen.lost, [], "{engine}");
        all_have(&mut group, &["/5-1-", "/5-2-"], engine);
    }
}

/// A leader that is cut off goes on taking what its clients ask and can agree on none of it. It
/// used to close their connections when it heard of its successor.
#[test]
fn a_leader_that_loses_the_lead_passes_on_what_it_had_taken() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [other, _] = followers(leader);
        group.open(leader, &[5]);
        group.open(other, &[6]);
        group.isolate(leader, true);
        group.submit(leader, 5, 5, 1, CREATE);
        group.submit(leader, 5, 5, 2, CREATE);
        group.elect(Some(leader));
        group.submit(other, 6, 6, 1, CREATE);
        group.settle();
        group.submit(leader, 5, 5, 3, CREATE);
        group.isolate(leader, false);
        group.elect(None);
        assert_eq!(group.node(leader).seen.replies, [(5, 1, 0), (5, 2, 0), (5, 3, 0)], "{engine}");
        assert_eq!(group.node(leader).seen.lost, [], "{engine}");
        all_have(&mut group, &["/6-1-", "/5-1-", "/5-2-", "/5-3-"], engine);
    }
}

/// A message to a leader comes late: when it has lost the lead and won it back. Its commands have
/// been passed on again since.
#[test]
fn what_was_meant_for_an_earlier_leadership_of_the_same_member_is_not_taken() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [home, _] = followers(leader);
        group.open(home, &[5]);
        group.keeps = |message| matches!(message, GroupMessage::Forward { .. });
        group.submit(home, 5, 5, 1, CREATE);
        group.keeps = |_| false;
        let late = std::mem::take(&mut group.kept);
        group.isolate(leader, true);
        let second = group.elect(Some(leader));
        group.isolate(leader, false);
        (0..50).for_each(|_| group.tick());
        group.node(second).replica.transfer_to(MemberId(leader.into())).unwrap();
        group.turn(second);
        (0..50).for_each(|_| group.tick());
        assert_eq!(group.leader(), Some(leader), "{engine}");
        // The number of the late message is the next one of the present stream.
        group.submit(home, 5, 5, 2, CREATE);
        group.settle();
        for (from, to, message) in late {
            group.deliver(from, to, message);
        }
        (0..50).for_each(|_| group.tick());
        assert_eq!(group.node(home).seen.replies, [(5, 1, 0), (5, 2, 0)], "{engine}");
        all_have(&mut group, &["/5-1-", "/5-2-"], engine);
    }
}

/// Nothing tells a command of one connection from a later one of the same session with the same
/// number but their order.
#[test]
fn commands_with_the_same_number_keep_their_own_results() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [home, _] = followers(leader);
        group.open(home, &[5]);
        for _ in 0..3 {
            group.submit(home, 5, 5, 1, CREATE);
        }
        group.kill(leader);
        group.submit(home, 5, 5, 1, CREATE);
        group.elect(Some(leader));
        assert_eq!(group.node(home).seen.replies, [(5, 1, 0); 4], "{engine}");
        all_have(&mut group, &["/5-1-"; 4], engine);
    }
}

/// A session left its server with a write on its way, and the leader died. What it asks at its new
/// server comes behind that write, or that write is never done; and when it comes back, nothing of
/// the past stands before its return.
#[test]
fn a_session_that_goes_elsewhere_leaves_nothing_behind_that_comes_later() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [home, other] = followers(leader);
        group.open(home, &[5]);
        group.keeps = |message| matches!(message, GroupMessage::Forward { .. });
        group.submit(home, 5, 5, 1, CREATE);
        group.kill(leader);
        group.keeps = |_| false;
        group.resume(other, 6, 5);
        group.elect(Some(leader));
        group.submit(other, 6, 5, 1, CREATE);
        group.settle();
        let created = group.created(home);
        assert!(created == ["/5-1-"] || created == ["/5-1-", "/5-1-"], "{engine}: {created:?}");
        assert_eq!(group.node(other).seen.replies, [(6, 0, 0), (6, 1, 0)], "{engine}");
        group.resume(home, 7, 5);
        group.settle();
        group.submit(home, 7, 5, 1, CREATE);
        group.settle();
        let replies = group.node(home).seen.replies.clone();
        assert_eq!(replies[replies.len() - 2..], [(7, 0, 0), (7, 1, 0)], "{engine}");
        assert_eq!(group.node(home).replica.unanswered(), 0, "{engine}");
    }
}

/// A client came back to the same server while nobody knew what became of its write. It was let in
/// before the new leadership had agreed on what stood in the logs, and saw its write done
/// afterwards.
#[test]
fn a_session_that_comes_back_goes_behind_what_it_sent_under_an_earlier_leader() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [home, _] = followers(leader);
        group.open(home, &[5]);
        group.keeps = |message| matches!(message, GroupMessage::Forward { .. });
        group.submit(home, 5, 5, 1, CREATE);
        group.kill(leader);
        group.keeps = |_| false;
        group.resume(home, 6, 5);
        assert_eq!(group.node(home).seen.replies, [], "{engine}: nobody knows about its write");
        group.elect(Some(leader));
        assert_eq!(group.node(home).seen.replies, [(5, 1, 0), (6, 0, 0)], "{engine}");
        all_have(&mut group, &["/5-1-"], engine);
    }
}

/// A change of the members waited with the leader, which died. Its client used to lose its
/// connection; now the next leader has the request before it the way its predecessor had, with what
/// the session asked behind it.
#[test]
fn a_change_of_the_members_waits_with_the_next_leader() {
    for (engine, new) in ENGINES {
        let mut group = Group::with(new, Features::RECONFIG);
        let leader = group.elect(None);
        let [home, other] = followers(leader);
        group.open(home, &[5]);
        let waiting = |group: &mut Group, id| {
            let requests = group.node(id).replica.waiting_reconfigs();
            requests.map(|command| (command.session, command.cxid)).collect::<Vec<_>>()
        };
        group.submit(home, 5, 5, 1, Opcode::Reconfig);
        group.submit(home, 5, 5, 2, CREATE);
        group.settle();
        assert_eq!(waiting(&mut group, leader), [(5, 1)], "{engine}");
        group.kill(leader);
        group.elect_this(other);
        assert_eq!(waiting(&mut group, other), [(5, 1)], "{engine}");
        let node = group.node(other);
        assert!(node.replica.let_go(0, &node.machine, 5), "{engine}");
        group.turn(other);
        (0..50).for_each(|_| group.tick());
        let replies: Vec<_> =
            group.node(home).seen.replies.iter().map(|(token, xid, _)| (*token, *xid)).collect();
        assert_eq!(replies, [(5, 1), (5, 2)], "{engine}");
        all_have(&mut group, &["/5-2-"], engine);
    }
}

/// A client gave up on a server, which took up its session all the same. The leader, which served
/// the client by then, took that move, lost the lead before the log had it, and used to close the
/// client's connection.
#[test]
fn a_move_that_gets_no_place_costs_no_connection() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [left, other] = followers(leader);
        group.open(leader, &[5]);
        // Until the leadership is transferred, the leader proposes nothing that it takes.
        group.node(leader).replica.transfer_to(MemberId(other.into())).unwrap();
        group.resume(left, 6, 5);
        let (from, to, moves) = group.on_way.pop_front().expect("the move is passed on");
        group.kill(left);
        group.deliver(from, to, moves);
        group.submit(leader, 5, 5, 1, CREATE);
        group.settle();
        (0..50).for_each(|_| group.tick());
        assert_eq!(group.leader(), Some(other), "{engine}");
        assert_eq!(group.node(leader).seen.lost, [], "{engine}");
        assert_eq!(group.node(leader).seen.replies, [(5, 1, 0)], "{engine}");
        all_have(&mut group, &["/5-1-"], engine);
    }
}

/// What a snapshot holds cannot be told from what it does not: only then is a connection closed,
/// and only one with something on its way.
#[test]
fn a_snapshot_costs_the_connections_whose_commands_were_on_their_way() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [home, _] = followers(leader);
        group.open(home, &[5, 6]);
        group.submit(home, 5, 5, 1, CREATE);
        group.kill(leader);
        group.isolate(home, true);
        (0..100).for_each(|_| group.tick());
        group.submit(home, 6, 6, 1, CREATE);
        let node = group.node(home);
        let index = node.replica.applied_index();
        node.replica.installed(index);
        group.turn(home);
        let node = group.node(home);
        while node.replica.has_work() {
            node.replica.apply(0, &mut node.machine, &mut node.seen, 1);
        }
        assert_eq!((&node.seen.lost[..], node.seen.abandoned), (&[5][..], 1), "{engine}");
        group.isolate(home, false);
        group.elect(Some(leader));
        assert_eq!(group.node(home).seen.replies, [(6, 1, 0)], "{engine}");
    }
}

/// Between the step that costs a member the lead and the news of it, what it has taken must not get
/// into the log of another leadership.
#[test]
fn a_leadership_that_is_over_proposes_nothing() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        group.open(leader, &[5]);
        let node = group.node(leader);
        node.replica.role.term -= 1;
        group.submit(leader, 5, 5, 1, CREATE);
        group.settle();
        let node = group.node(leader);
        assert_eq!(node.replica.gathered_bytes().count(), 1, "{engine}");
        assert_eq!(node.replica.status().last_index, node.replica.applied_index(), "{engine}");
    }
}

/// The rule that all of this stands on, said by the engines: the entry that begins a leadership
/// comes behind all of earlier terms.
#[test]
fn terms_rise_along_the_log_and_each_begins_with_its_leadership() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        group.node(1).replica.record_committed();
        let mut leader = group.elect(None);
        for round in 0..3 {
            let [home, _] = followers(leader);
            group.open(home, &[10 + round]);
            group.submit(home, 10 + round, 10 + round as i64, 1, CREATE);
            group.isolate(leader, true);
            let next = group.elect(Some(leader));
            group.isolate(leader, false);
            (0..50).for_each(|_| group.tick());
            leader = next;
        }
        let mut term = 0;
        for entry in group.node(1).replica.take_recorded() {
            assert!(entry.term >= term, "{engine}: {entry:?}");
            assert_eq!(entry.kind == EntryKind::Leadership, entry.term > term, "{engine}: {entry:?}");
            term = entry.term;
        }
    }
}
