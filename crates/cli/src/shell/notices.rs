//! Events of the session, as text.

use client::SessionEvent;
use serde_json::{Value, json};

use super::output::Style;

/// Where an event belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Among the answers: it is what a watch was set for.
    Out,
    /// Beside them.
    Err,
}

/// An event as one line, without its end. `None` if the answer to the command has said it: the
/// server hangs up after it has refused credentials.
pub(crate) fn line(event: &SessionEvent, json: bool, style: Style) -> Option<(Stream, String)> {
    match event {
        SessionEvent::Disconnected { after_refused_auth: true, .. }
        | SessionEvent::Reconnected { after_refused_auth: true, .. } => return None,
        _ => {}
    }
    let text = if json { object(event).to_string() } else { text(event, style) };
    let stream = if matches!(event, SessionEvent::Watch(_)) { Stream::Out } else { Stream::Err };
    Some((stream, text))
}

fn text(event: &SessionEvent, style: Style) -> String {
    match event {
        SessionEvent::Watch(event) => {
            let what = format!("WATCHER:: WatchedEvent state:{} type:{}", event.state, event.event_type);
            format!("{} path:{} zxid: {}", style.event(&what), style.path(&event.path), event.zxid)
        }
        SessionEvent::Disconnected { reason, .. } => {
            style.error(&format!("connection lost: {reason}; looking for a server"))
        }
        SessionEvent::Reconnected { server, .. } => {
            style.event(&format!("the session continues at {server}"))
        }
        SessionEvent::Expired => {
            style.error("the session has expired: its ephemeral znodes and watches are gone")
        }
        SessionEvent::AuthFailed => {
            style.error("the server refused the credentials given by addauth; the session is left")
        }
    }
}

fn object(event: &SessionEvent) -> Value {
    match event {
        SessionEvent::Watch(event) => json!({
            "event": event.event_type.name(),
            "state": event.state.name(),
            "path": event.path,
            "zxid": event.zxid,
        }),
        SessionEvent::Disconnected { reason, .. } => json!({ "connection": "lost", "reason": reason }),
        SessionEvent::Reconnected { server, .. } => json!({ "connection": "resumed", "server": server }),
        SessionEvent::Expired => json!({ "connection": "expired" }),
        SessionEvent::AuthFailed => json!({ "connection": "authFailed" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::{EventType, WatchEvent};
    use wire::event::KeeperState;

    #[test]
    fn an_event_is_one_line_in_both_forms() {
        let (event_type, path) = (EventType::NodeCreated, "/a".to_owned());
        let state = KeeperState::SyncConnected;
        let event = SessionEvent::Watch(WatchEvent { zxid: 5, event_type, state, path });
        let plain = Style { colours: false };
        let expected = "WATCHER:: WatchedEvent state:SyncConnected type:NodeCreated path:/a zxid: 5";
        assert_eq!(line(&event, false, plain), Some((Stream::Out, expected.to_owned())));
        let (_, text) = line(&event, true, plain).unwrap();
        assert_eq!(text, r#"{"event":"NodeCreated","path":"/a","state":"SyncConnected","zxid":5}"#);
        assert_eq!(line(&SessionEvent::Expired, false, plain).unwrap().0, Stream::Err);
        let server = "a:1".to_owned();
        let expected = SessionEvent::Reconnected { server, after_refused_auth: true };
        assert_eq!(line(&expected, false, plain), None);
    }
}
