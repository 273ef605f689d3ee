//! Commands that get no place in the log.

use state::auth::Identities;
use state::read::Dialect;

use super::*;

fn read(connection: u64, session: i64, xid: i32) -> Submission {
    let mut submission = Submission::default();
    let request = LocalRequest {
        xid,
        opcode: Opcode::GetData as i32,
        body: Box::default(),
        identities: Identities::from_ip("::1").into(),
        dialect: Dialect::ZooKeeper,
    };
    submission.local(request_of(connection), session, request);
    submission
}

/// The connection puts answers in order, so a refusal waits for nothing. A read is executed in its
/// place all the same: behind what its session wrote before it.
#[test]
fn a_refusal_is_given_at_once_and_a_read_in_its_place() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        group.open(leader, &[5]);
        let [other, another] = followers(leader);
        group.closed = vec![(other, leader), (another, leader)];
        group.submit(leader, 5, 5, 1, Opcode::Create);
        group.take_in(leader, &mut read(5, 5, 2));
        let node = group.node(leader);
        let mut submission = Submission::default();
        let command =
            Command { session: 5, cxid: 3, opcode: Opcode::Create as i32, identities: &[], body: &[] };
        submission.command(request_of(5), &command);
        node.replica.submit(0, &node.machine, &mut submission);
        node.replica.refuse_gathered();
        assert!(node.replica.has_work());
        assert_eq!(node.replica.unanswered(), 3, "{engine}");
        group.take_in(leader, &mut read(5, 5, 4));
        let node = group.node(leader);
        node.replica.apply(0, &mut node.machine, &mut node.seen, usize::MAX);
        assert_eq!(node.seen.replies, [(5, 3, -1)], "{engine}");
        group.closed.clear();
        (0..50).for_each(|_| group.tick());
        let node = group.node(leader);
        assert_eq!(node.seen.replies, [(5, 3, -1), (5, 1, 0), (5, 2, 0), (5, 4, 0)], "{engine}");
        assert_eq!((node.replica.unanswered(), node.replica.kept_bytes()), (0, 0), "{engine}");
    }
}

/// A leader drops what a session asks at a server that it is about to leave. When the log has no
/// room for the move, the session stays: its client used to wait there for ever, and what it asked
/// next was done.
#[test]
fn what_a_refused_move_leaves_behind_is_refused_too() {
    for ((engine, new), is_leaders) in
        ENGINES.into_iter().flat_map(|engine| [(engine, false), (engine, true)])
    {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [other, follower] = followers(leader);
        let home = if is_leaders { leader } else { follower };
        group.open(home, &[5]);
        group.keeps = |message| matches!(message, GroupMessage::Forward { .. });
        group.resume(other, 6, 5);
        if !is_leaders {
            group.submit(home, 5, 5, 1, Opcode::Create);
        }
        for (from, to, message) in std::mem::take(&mut group.kept) {
            let node = group.node(to);
            node.replica.receive(0, &node.machine, from, message);
        }
        let node = group.node(leader);
        if is_leaders {
            let mut submission = Submission::default();
            let opcode = Opcode::Create as i32;
            submission
                .command(request_of(5), &Command { session: 5, cxid: 1, opcode, identities: &[], body: &[] });
            node.replica.submit(0, &node.machine, &mut submission);
        }
        node.replica.refuse_gathered();
        group.keeps = |_| false;
        group.turn(leader);
        (0..50).for_each(|_| group.tick());
        let moves = group.node(other).seen.replies.iter().map(|(token, _, code)| (*token, *code));
        assert_eq!(moves.collect::<Vec<_>>(), [(6, -1)], "{engine}");
        assert_eq!(group.node(home).seen.replies, [(5, 1, -1)], "{engine}");
        group.submit(home, 5, 5, 2, Opcode::Create);
        (0..50).for_each(|_| group.tick());
        let node = group.node(home);
        assert_eq!(node.seen.replies, [(5, 1, -1), (5, 2, 0)], "{engine}");
        assert_eq!((&node.seen.lost[..], node.replica.unanswered()), (&[][..], 0), "{engine}");
    }
}
