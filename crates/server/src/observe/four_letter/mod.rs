//! The four-letter words: the answers to `echo srvr | nc host 2181`.
//!
//! The formats are ZooKeeper's to the letter, since existing tools parse them with regular
//! expressions; recorded answers of ZooKeeper 3.9.5 are in `testdata/`, and the tests compare with
//! them. ClickHouse Keeper's words that make sense for one server are here too.

pub(crate) mod format;
pub(crate) mod member;

use crate::config::WordList;
use crate::observe::stats::{ServerState, Source};

/// The answer to most words if the server is not serving.
pub const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

macro_rules! words {
    ($($variant:ident $name:literal $help:literal,)*) => {
        /// A four-letter word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Word { $(#[doc = $help] $variant,)* }

        impl Word {
            /// All words, in the order of their names.
            pub const ALL: &'static [Word] = &[$(Word::$variant,)*];

            /// The word itself.
            pub fn name(self) -> &'static str {
                match self { $(Word::$variant => $name,)* }
            }
        }
    };
}

words! {
    Apiv "apiv" "Version of ClickHouse Keeper's protocol extensions.",
    Conf "conf" "Configuration.",
    Cons "cons" "Connections in full.",
    Crst "crst" "Resets the statistics of all connections.",
    Csnp "csnp" "Takes a snapshot (ClickHouse Keeper).",
    Dirs "dirs" "Bytes of the directories.",
    Dump "dump" "Sessions and ephemeral znodes.",
    Envi "envi" "The environment of the process.",
    Gtmk "gtmk" "The trace mask.",
    Hash "hash" "Digests of the tree at recent zxids.",
    Isro "isro" "Whether the server is read-only.",
    Lgif "lgif" "Positions in the log (ClickHouse Keeper).",
    Mntr "mntr" "Metrics.",
    Rqld "rqld" "Asks for leadership (ClickHouse Keeper).",
    Ruok "ruok" "Are you OK?",
    Srst "srst" "Resets the statistics of the server.",
    Srvr "srvr" "The server in brief.",
    Stat "stat" "The server in brief, and its connections.",
    Stmk "stmk" "Sets the trace mask, which follows in 8 bytes.",
    Wchc "wchc" "Watches by session.",
    Wchp "wchp" "Watches by path.",
    Wchs "wchs" "Watches in numbers.",
    Ydld "ydld" "Gives leadership up (ClickHouse Keeper).",
}

/// Bytes of the mask that follows `stmk`.
const MASK_BYTES: usize = 8;

/// ZooKeeper's default trace mask. There is no tracing by mask here; the number is only shown.
pub(crate) const TRACE_MASK: i64 = 306;

/// How to answer a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Send this, then close the connection.
    Text(String),
    /// The word is not complete: wait for more bytes (only `stmk`).
    More,
}

impl Word {
    /// The word that the first four bytes of a connection spell, if any. (As a frame length each
    /// would exceed any `jute.maxbuffer`.)
    pub fn recognise(first: [u8; 4]) -> Option<Word> {
        Word::ALL.iter().copied().find(|word| word.name().as_bytes() == first)
    }

    /// Whether the list allows it.
    pub fn is_allowed(self, list: &WordList) -> bool {
        match list {
            WordList::All => true,
            WordList::Only(words) => words.iter().any(|word| word == self.name()),
        }
    }

    /// The answer to this word; `rest` are the bytes received after it. Refused unless
    /// `4lw.commands.whitelist` allows it.
    pub fn answer(self, rest: &[u8], source: &dyn Source) -> Answer {
        if !self.is_allowed(&source.config().words) {
            let name = self.name();
            return Answer::Text(format!("{name} is not executed because it is not in the whitelist.\n"));
        }
        let text = match self {
            Word::Ruok => "imok".to_owned(),
            Word::Envi => format::environment(),
            Word::Gtmk => TRACE_MASK.to_string(),
            Word::Stmk => match rest.first_chunk::<MASK_BYTES>() {
                Some(mask) => i64::from_be_bytes(*mask).to_string(),
                None => return Answer::More,
            },
            Word::Isro if !source.is_serving() => "null".to_owned(),
            Word::Hash if !source.is_serving() => NOT_SERVING.to_owned(),
            _ if !source.is_serving() => format!("{NOT_SERVING}\n"),
            _ => self.text(source),
        };
        Answer::Text(text)
    }

    /// The answer of a serving server.
    fn text(self, source: &dyn Source) -> String {
        match self {
            Word::Conf => format::configuration(source),
            Word::Cons => format::connections(source),
            Word::Crst => {
                source.reset_connection_statistics();
                "Connection stats reset.\n".to_owned()
            }
            Word::Dirs => format::directories(source),
            Word::Dump => format::sessions(source),
            Word::Hash => format::digests(source),
            Word::Isro => format::read_only(source),
            Word::Mntr => format::metrics(source),
            Word::Srst => {
                source.reset_statistics();
                "Server stats reset.\n".to_owned()
            }
            Word::Srvr => format::server(source, false),
            Word::Stat => format::server(source, true),
            Word::Wchc => format::watches_by_session(source),
            Word::Wchp => format::watches_by_path(source),
            Word::Wchs => format::watch_summary(source),
            Word::Apiv => source.facts().keeper_api_version.to_string(),
            Word::Csnp => match source.request_snapshot() {
                Some(index) => index.to_string(),
                None => "Failed to schedule snapshot creation task.".to_owned(),
            },
            Word::Lgif => format::log(source),
            Word::Rqld => leadership(source, true),
            Word::Ydld => leadership(source, false),
            Word::Ruok | Word::Envi | Word::Gtmk | Word::Stmk => {
                unreachable!("answered whether or not the server serves")
            }
        }
    }
}

/// Asks for leadership, or to give it up. A standalone server is its own leader, and a request for
/// the present state succeeds, as in ClickHouse Keeper; a leader without another voter cannot
/// yield, and a server that is not leader has nothing to yield.
fn leadership(source: &dyn Source, wanted: bool) -> String {
    let facts = source.facts();
    let leads = matches!(facts.root.state, ServerState::Leader | ServerState::Standalone);
    let others = facts.root.member.as_ref().map_or(0, |member| member.voters.len().saturating_sub(1));
    let possible = match (&facts.root.member, wanted) {
        (None, _) => true,
        (Some(member), true) => leads || (member.leader.is_some() && member.voters.contains(&member.server)),
        (Some(_), false) => leads && others > 0,
    };
    if possible && leads != wanted {
        source.request_leadership(wanted);
    }
    let request = if wanted { "leadership" } else { "yield leadership" };
    let sent = if possible { "Sent" } else { "Failed to send" };
    format!("{sent} {request} request to leader.")
}

#[cfg(test)]
mod ensemble_tests;
#[cfg(test)]
mod tests;
