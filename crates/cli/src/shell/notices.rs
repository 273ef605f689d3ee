//! Notices that arrive unasked, as text.

use serde_json::{Value, json};
use wire::event::KeeperState;

use super::output::Style;
use super::session::Notice;

/// Where a notice belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Among the answers: it is what a watch was set for.
    Out,
    /// Beside them.
    Err,
}

/// A notice as one line, without its end.
pub(crate) fn line(notice: &Notice, json: bool, style: Style) -> (Stream, String) {
    let text = if json { object(notice).to_string() } else { text(notice, style) };
    let stream = if matches!(notice, Notice::Event { .. }) { Stream::Out } else { Stream::Err };
    (stream, text)
}

fn text(notice: &Notice, style: Style) -> String {
    match notice {
        Notice::Event { event_type, path, zxid } => {
            let state = KeeperState::SyncConnected;
            let event = format!("WATCHER:: WatchedEvent state:{state} type:{event_type}");
            format!("{} path:{} zxid: {zxid}", style.event(&event), style.path(path))
        }
        Notice::Lost(reason) => style.error(&format!("connection lost: {reason}; looking for a server")),
        Notice::Resumed(server) => style.event(&format!("the session continues at {server}")),
        Notice::Expired => style.error("the session has expired: its ephemeral znodes and watches are gone"),
        Notice::AuthFailed => {
            style.error("the server refused the credentials given by addauth; the session is left")
        }
    }
}

fn object(notice: &Notice) -> Value {
    match notice {
        Notice::Event { event_type, path, zxid } => {
            json!({ "event": event_type.name(), "state": "SyncConnected", "path": path, "zxid": zxid })
        }
        Notice::Lost(reason) => json!({ "connection": "lost", "reason": reason }),
        Notice::Resumed(server) => json!({ "connection": "resumed", "server": server }),
        Notice::Expired => json!({ "connection": "expired" }),
        Notice::AuthFailed => json!({ "connection": "authFailed" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::event::EventType;

    #[test]
    fn an_event_is_one_line_in_both_forms() {
        let notice = Notice::Event { event_type: EventType::NodeCreated, path: "/a".into(), zxid: 5 };
        let plain = Style { colours: false };
        let expected = "WATCHER:: WatchedEvent state:SyncConnected type:NodeCreated path:/a zxid: 5";
        assert_eq!(line(&notice, false, plain), (Stream::Out, expected.to_owned()));
        let (_, text) = line(&notice, true, plain);
        assert_eq!(text, r#"{"event":"NodeCreated","path":"/a","state":"SyncConnected","zxid":5}"#);
        assert_eq!(line(&Notice::Expired, false, plain).0, Stream::Err);
    }
}
