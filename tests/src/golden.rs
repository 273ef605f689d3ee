//! Transcripts of conversations with Apache ZooKeeper, byte by byte, and their replay against
//! another server.
//!
//! A transcript is text. A line is a comment (`# …`) or begins with a connection's name:
//! ```text
//! A>  00000008 fffffffe 0000000b          bytes sent; the first line of a name opens the connection
//! A<  fffffffe zxid 00000000              a frame received, without its length
//! A closed                                the server ended the connection
//! A quiet                                 nothing more comes for a moment
//! A leaves                                the client ends the connection, without a word
//! ```
//! Bytes are hexadecimal, parted at the fields. Words replace what differs from run to run:
//! `zxid` and `time` are 8 bytes greater than 0, `session:A` the session id of A and `password:A`
//! its 16 bytes of password: learned where they are received first, the same from there on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::connection::{Connection, REPLY_TIMEOUT, Received, session_of};
use crate::field::{Expect, Holds, fields, is_event};

/// How long silence must last to be called so.
const QUIET: Duration = Duration::from_millis(100);

/// One step of a conversation to record.
#[derive(Clone, Debug)]
pub enum Act {
    /// A remark for the reader.
    Say(&'static str),
    /// A connection is ended by its client.
    Leave(&'static str),
    /// A connection sends a frame, given as tokens of the transcript, and a reply of some kind is
    /// expected.
    Send {
        /// The connection's name.
        who: &'static str,
        /// Bytes and words as in a transcript.
        tokens: String,
        /// How replies are taken apart; watch events before them explain themselves.
        expect: Expect,
    },
}

/// What is known of the sessions of a transcript, by the connections' names.
#[derive(Debug, Default)]
struct Known {
    ids: BTreeMap<String, [u8; 8]>,
    passwords: BTreeMap<String, [u8; 16]>,
}

impl Known {
    /// The bytes that tokens stand for.
    fn bytes(&self, tokens: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        for token in tokens.split_whitespace() {
            match token.split_once(':') {
                Some(("session", name)) => bytes.extend(self.ids.get(name).ok_or(format!("no {token} yet"))?),
                Some(("password", name)) => {
                    bytes.extend(self.passwords.get(name).ok_or(format!("no {token} yet"))?)
                }
                _ => bytes.extend(hexadecimal(token)?),
            }
        }
        Ok(bytes)
    }

    /// Compares a received frame with its tokens, learning what they name for the first time.
    fn check(&mut self, tokens: &str, frame: &[u8]) -> Result<(), String> {
        let mut rest = frame;
        for token in tokens.split_whitespace() {
            let length = match token.split(':').next() {
                Some("zxid" | "time" | "session") => 8,
                Some("password") => 16,
                _ => hexadecimal(token)?.len(),
            };
            let Some((bytes, after)) = rest.split_at_checked(length) else {
                return Err(format!("ends before {token}"));
            };
            rest = after;
            let holds = match token.split_once(':') {
                None if matches!(token, "zxid" | "time") => {
                    i64::from_be_bytes(bytes.try_into().expect("8 bytes")) > 0
                }
                None => bytes == hexadecimal(token)?,
                Some(("session", name)) => {
                    let id = bytes.try_into().expect("8 bytes");
                    id != [0; 8] && *self.ids.entry(name.to_owned()).or_insert(id) == id
                }
                Some((_, name)) => {
                    let password = bytes.try_into().expect("16 bytes");
                    *self.passwords.entry(name.to_owned()).or_insert(password) == password
                }
            };
            if !holds {
                return Err(format!("at byte {}: {token} expected", frame.len() - after.len() - length));
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(format!("{} more bytes than expected", rest.len())) }
    }
}

/// Speaks a conversation with a server and answers its transcript.
pub fn record(title: &str, acts: &[Act], server: SocketAddr) -> String {
    let mut known = Known::default();
    let mut connections: BTreeMap<&'static str, (Connection, Expect)> = BTreeMap::new();
    let mut text = format!("# {title}\n");
    for act in acts {
        let (who, tokens, expect) = match act {
            Act::Say(remark) => {
                let _ = writeln!(text, "\n# {remark}");
                continue;
            }
            Act::Leave(who) => {
                connections.remove(who);
                let _ = writeln!(text, "{who} leaves");
                continue;
            }
            Act::Send { who, tokens, expect } => (*who, tokens, *expect),
        };
        let _ = writeln!(text, "{who}>  {tokens}");
        let (connection, expected) =
            connections.entry(who).or_insert_with(|| (Connection::open(server), expect));
        *expected = expect;
        connection.send(&known.bytes(tokens).expect("a conversation's own tokens"));
        // The one that asked first: by the time of its reply all events that the request caused are
        // on their way.
        let mut names: Vec<&str> = connections.keys().copied().collect();
        names.sort_by_key(|&name| name != who);
        for name in names {
            let (connection, expect) = connections.get_mut(name).expect("an open connection");
            if listen(name, name == who, connection, *expect, &mut known, &mut text) {
                connections.remove(name);
            }
        }
    }
    text
}

/// Records what one connection receives until it falls silent. Returns whether it was closed.
fn listen(
    name: &str,
    asked: bool,
    connection: &mut Connection,
    expect: Expect,
    known: &mut Known,
    text: &mut String,
) -> bool {
    let mut heard = false;
    loop {
        let patience = if asked && !heard { REPLY_TIMEOUT } else { QUIET };
        match connection.receive_within(patience) {
            Received::Frame(frame) => {
                let expect = if is_event(&frame) { Expect::Reply(0) } else { expect };
                let (tokens, meaning) = describe(name, expect, &frame, known);
                let _ = writeln!(text, "#   {meaning}\n{name}<  {tokens}");
                heard = true;
            }
            Received::Closed => {
                let _ = writeln!(text, "{name} closed");
                return true;
            }
            Received::Nothing => {
                if asked && !heard {
                    let _ = writeln!(text, "{name} quiet");
                }
                return false;
            }
        }
    }
}

/// A received frame as tokens, and as a remark for people.
fn describe(name: &str, expect: Expect, frame: &[u8], known: &mut Known) -> (String, String) {
    if expect == Expect::Handshake
        && let Some((identity, _)) = session_of(frame)
        && identity.id != 0
    {
        known.ids.entry(name.to_owned()).or_insert(identity.id.to_be_bytes());
        let password = identity.password.try_into().expect("a password of 16 bytes");
        known.passwords.entry(name.to_owned()).or_insert(password);
    }
    let (mut tokens, mut meaning) = (String::new(), String::new());
    for field in fields(expect, frame) {
        let bytes = &frame[field.range];
        let owner = || known.ids.iter().find(|(_, id)| id.as_slice() == bytes).map(|(name, _)| name);
        let holder =
            || known.passwords.iter().find(|(_, password)| bytes[4..] == password[..]).map(|(name, _)| name);
        let (token, shown) = match field.holds {
            Holds::Zxid if field.number > 0 => ("zxid".to_owned(), String::new()),
            Holds::Time if field.number > 0 => ("time".to_owned(), String::new()),
            Holds::Session if field.number != 0 => {
                let token = format!("session:{}", owner().expect("a session of this conversation"));
                (token.clone(), token)
            }
            Holds::Password if holder().is_some() => {
                (format!("00000010 password:{}", holder().expect("its name")), String::new())
            }
            _ => (bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")), field.text),
        };
        let _ = write!(tokens, "{token} ");
        if !shown.is_empty() {
            let _ = write!(meaning, "{}={shown} ", field.name);
        }
    }
    (tokens.trim_end().to_owned(), meaning.trim_end().to_owned())
}

/// Plays a transcript to a server. An error names the line, and both what should have come and what
/// did.
pub fn replay(transcript: &str, server: SocketAddr) -> Result<(), String> {
    let mut known = Known::default();
    let mut connections: BTreeMap<String, Connection> = BTreeMap::new();
    for (number, line) in transcript.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (head, tokens) = line.split_once(' ').ok_or(format!("line {}: {line}", number + 1))?;
        let name = head.trim_end_matches(['<', '>']);
        let connection = connections.entry(name.to_owned()).or_insert_with(|| Connection::open(server));
        let outcome = match (head.strip_prefix(name), tokens.trim()) {
            (Some(">"), tokens) => known.bytes(tokens).map(|bytes| connection.send(&bytes)),
            (Some("<"), tokens) => match connection.receive() {
                Received::Frame(frame) => {
                    known.check(tokens, &frame).map_err(|why| format!("{why}; received {}", spell(&frame)))
                }
                other => Err(format!("received {other:?}")),
            },
            (_, "closed") => match connection.receive() {
                Received::Closed => {
                    connections.remove(name);
                    Ok(())
                }
                other => Err(format!("received {other:?}")),
            },
            (_, "leaves") => {
                connections.remove(name);
                Ok(())
            }
            (_, "quiet") => match connection.receive_within(QUIET) {
                Received::Nothing => Ok(()),
                other => Err(format!("received {other:?}")),
            },
            _ => Err("not a line of a transcript".to_owned()),
        };
        outcome.map_err(|why| format!("line {}: {line}\n  {why}", number + 1))?;
    }
    for (name, mut connection) in connections {
        match connection.receive_within(QUIET) {
            Received::Nothing => {}
            other => return Err(format!("after the last line {name} received {other:?}")),
        }
    }
    Ok(())
}

fn hexadecimal(token: &str) -> Result<Vec<u8>, String> {
    let pairs = token.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs
        .map(|pair| {
            pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or(format!("{token} is not hexadecimal"))
        })
        .collect()
}

/// Bytes as hexadecimal.
pub fn spell(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::Known;

    #[test]
    fn a_frame_is_held_to_every_token() {
        let mut known = Known::default();
        let frame = [0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 1];
        assert_eq!(known.check("00000007 zxid 01", &frame), Ok(()));
        assert!(known.check("00000008 zxid 01", &frame).is_err());
        assert!(known.check("00000007 zxid 02", &frame).is_err());
        assert!(known.check("00000007 zxid", &frame).unwrap_err().contains("1 more bytes"));
        assert!(known.check("00000007 zxid 01 00", &frame).unwrap_err().contains("ends before"));
        assert!(known.check("00000007 zxid 01", &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1]).is_err());
    }

    #[test]
    fn a_session_once_learned_must_stay_the_same() {
        let mut known = Known::default();
        assert_eq!(known.check("session:A", &[1; 8]), Ok(()));
        assert_eq!(known.check("session:A", &[1; 8]), Ok(()));
        assert!(known.check("session:A", &[2; 8]).is_err());
        assert_eq!(known.bytes("00 session:A"), Ok([&[0][..], &[1; 8]].concat()));
        assert!(known.bytes("session:B").is_err());
    }
}
