//! The progress of a membership change while its answer is awaited.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use client::{Tls, status};

/// Between two questions, and before the first: a change that is done at once is not reported.
const INTERVAL: Duration = Duration::from_millis(300);

/// For one server to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the leader among these servers is doing, as `srvr` says it; `None` if none of them says
/// that it leads.
pub(super) fn steps(servers: &[String], tls: Option<&Tls>) -> Option<Vec<String>> {
    let asked = status::ask(servers, tls, PATIENCE);
    let leader = asked.iter().find(|asked| asked.leads())?;
    Some(leader.member()?.changes.clone())
}

/// Does the work, and prints each step that is new since the last question.
pub(super) fn say_while<T>(
    steps: impl Fn() -> Option<Vec<String>> + Send,
    say: impl Fn(&str) + Send,
    work: impl FnOnce() -> T,
) -> T {
    let (done, ended) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut said = Vec::new();
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let Some(now) = steps() else { continue };
                now.iter().filter(|step| !said.contains(*step)).for_each(|step| say(step));
                said = now;
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn each_step_is_said_once_until_the_answer_is_there() {
        let of = |steps: &[&str]| Some(steps.iter().map(|step| (*step).to_owned()).collect());
        let told = Mutex::new(vec![
            of(&[]),
            of(&["server.4 catching up"]),
            None,
            of(&["server.4 catching up", "server.5 joining"]),
            of(&["server.4 joining"]),
        ]);
        let (say, said) = mpsc::channel();
        let answer = say_while(
            || told.lock().unwrap().pop().unwrap_or_else(|| of(&["server.4 being promoted"])),
            move |step| say.send(step.to_owned()).unwrap(),
            || said.iter().take(4).collect::<Vec<_>>(),
        );
        assert_eq!(
            answer,
            ["server.4 joining", "server.4 catching up", "server.5 joining", "server.4 being promoted"]
        );
    }
}
