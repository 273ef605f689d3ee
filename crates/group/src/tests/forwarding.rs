//! Commands on their way to the leader.

use super::*;

/// A follower copies a command once, into the submission: what it keeps until the outcome is known
/// and the message to the leader share those bytes. The connection to the leader copies them into
/// its queue, which is the second and last time.
#[test]
fn a_forwarded_command_is_not_copied() {
    for (engine, new) in ENGINES {
        let mut group = Group::new(new);
        let leader = group.elect(None);
        let [follower, _] = followers(leader);
        group.open(follower, &[5]);
        group.keeps = |message| matches!(message, GroupMessage::Forward { .. });
        let mut submissions = [Submission::default(), Submission::default()];
        for (xid, submission) in [1, 2, 3].into_iter().zip([0, 0, 1]) {
            let body = vec![7; 10_000];
            let command = Command {
                session: 5,
                cxid: xid,
                opcode: Opcode::Create as i32,
                identities: &[],
                body: &body,
            };
            submissions[submission].command(request_of(5), &command);
        }
        let written = submissions.each_ref().map(|submission| submission.bytes.as_ptr_range());
        let [mut first, mut second] = submissions;
        first.append(&mut second);
        group.take_in(follower, &mut first);
        let (_, _, message) = group.kept.pop().expect("it is forwarded");
        let GroupMessage::Forward { commands, .. } = message else { panic!("{engine}: {message:?}") };
        let sent: Vec<_> = commands.iter().map(|part| part.as_ptr_range()).collect();
        assert_eq!(sent, written, "{engine}: one part for each submission, at its place");
        assert!(group.node(follower).replica.kept_bytes() > 30_000, "{engine}: kept until it is done");
    }
}
