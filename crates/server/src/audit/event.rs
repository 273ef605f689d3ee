//! One event, as a line of text in ZooKeeper's format or as JSON.

use std::fmt::Write as _;

use crate::config::AuditPlace;
use crate::date::Date;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused, or could not be done.
    Failure,
    /// It has begun.
    Invoked,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Invoked => "invoked",
        }
    }

    /// The level at which ZooKeeper logs it.
    fn level(self) -> &'static str {
        match self {
            Outcome::Failure => "ERROR",
            Outcome::Success | Outcome::Invoked => "INFO",
        }
    }
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `key=value` with tabs between, behind time, level and ZooKeeper's class, as its own
    /// configuration of logging has them.
    Text,
    /// An object per line.
    Json,
}

impl Format {
    /// The format of what goes there.
    pub(super) fn of(place: &AuditPlace) -> Format {
        match place {
            AuditPlace::File(_) => Format::Text,
            AuditPlace::StandardOutput => Format::Json,
        }
    }
}

/// An event. A field that is `None` is not written.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The client's session.
    pub session: Option<i64>,
    /// The names of the client's identities, or of the user that runs the server.
    pub user: Option<&'a str>,
    /// The client's address.
    pub ip: Option<&'a str>,
    /// The operation.
    pub operation: &'static str,
    /// Path of the znode.
    pub znode: Option<&'a str>,
    /// Kind of a new znode.
    pub znode_type: Option<&'static str>,
    /// The new ACL.
    pub acl: Option<&'a str>,
    /// How many lines the log lacks.
    pub lines: Option<u64>,
    /// What came of it.
    pub outcome: Outcome,
}

impl<'a> Event<'a> {
    /// An event without any field that may be absent.
    pub fn new(operation: &'static str, outcome: Outcome) -> Event<'a> {
        let (session, user, ip, znode, znode_type, acl, lines) = Default::default();
        Event { session, user, ip, operation, znode, znode_type, acl, lines, outcome }
    }

    /// Appends the event as one line.
    pub(super) fn write(&self, format: Format, now_ms: i64, out: &mut String) {
        let (date, ms) = (Date::of_ms(now_ms), now_ms.rem_euclid(1000));
        match format {
            Format::Text => {
                let _ = write!(out, "{},{ms:03} {}", date.second(' '), self.outcome.level());
                out.push_str(" o.a.z.a.Slf4jAuditLogger: ");
                let mut is_first = true;
                self.each_field(&mut |key, value| {
                    if !std::mem::take(&mut is_first) {
                        out.push('\t');
                    }
                    out.push_str(key);
                    out.push('=');
                    escape(value, escape_text, out);
                });
                out.push('\n');
            }
            Format::Json => {
                let _ = write!(out, "{{\"time\":\"{}.{ms:03}Z\"", date.second('T'));
                self.each_field(&mut |key, value| {
                    out.push_str(",\"");
                    out.push_str(key);
                    out.push_str("\":\"");
                    escape(value, escape_json, out);
                    out.push('"');
                });
                out.push_str("}\n");
            }
        }
    }

    /// The fields in ZooKeeper's order.
    fn each_field(&self, put: &mut dyn FnMut(&str, &str)) {
        let session = self.session.map(|id| format!("{id:#x}"));
        let lines = self.lines.map(|count| count.to_string());
        for (key, value) in [
            ("session", session.as_deref()),
            ("user", self.user),
            ("ip", self.ip),
            ("operation", Some(self.operation)),
            ("znode", self.znode),
            ("znode_type", self.znode_type),
            ("acl", self.acl),
            ("lines", lines.as_deref()),
            ("result", Some(self.outcome.name())),
        ] {
            if let Some(value) = value {
                put(key, value);
            }
        }
    }
}

/// Appends the text with every character replaced for which `replaced` writes something else. No
/// client can begin a line or a field with what it sends.
fn escape(text: &str, replaced: fn(char, &mut String) -> bool, out: &mut String) {
    let is_plain = |byte| matches!(byte, b' '..=b'~') && byte != b'\\' && byte != b'"';
    if text.bytes().all(is_plain) {
        return out.push_str(text);
    }
    for c in text.chars() {
        if !replaced(c, out) {
            out.push(c);
        }
    }
}

/// Whether a reader may take the character for the end of a line, or show it as something else.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape_text(c: char, out: &mut String) -> bool {
    match c {
        '\\' => out.push_str("\\\\"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c if is_control(c) => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        _ => return false,
    }
    true
}

fn escape_json(c: char, out: &mut String) -> bool {
    match c {
        '"' => out.push_str("\\\""),
        c => return escape_text(c, out),
    }
    true
}

/// Milliseconds of a day.
pub(super) const DAY_MS: i64 = 86_400_000;
