//! What Tab offers: commands, and paths that the server has.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use client::Session;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Result};

use super::commands;
use super::output::Style;
use super::words;

/// How long the children of a znode are believed to stay the same. Long enough for a few presses of
/// Tab.
const FRESH: Duration = Duration::from_secs(2);
/// Most offers at once: more cannot be read, and a parent may have a million children.
const OFFERS_MAX: usize = 500;

/// Names with the time they were asked for.
type Listing = (Instant, Rc<Vec<String>>);

/// Completion and colours for the editor.
pub(super) struct Helper {
    session: Rc<RefCell<Option<Session>>>,
    listings: RefCell<BTreeMap<String, Listing>>,
    style: Style,
}

impl Helper {
    pub(super) fn new(session: Rc<RefCell<Option<Session>>>, style: Style) -> Self {
        Self { session, listings: RefCell::default(), style }
    }

    fn children(&self, parent: &str) -> Rc<Vec<String>> {
        let mut listings = self.listings.borrow_mut();
        listings.retain(|_, (asked, _)| asked.elapsed() < FRESH);
        if let Some((_, names)) = listings.get(parent) {
            return Rc::clone(names);
        }
        let session = self.session.borrow().clone();
        // While the shell looks for a server, Tab must not make the user wait.
        let session = session.filter(|session| session.state().is_connected());
        let names = session.and_then(|session| session.get_children(parent, false).ok());
        let names = Rc::new(names.map(|(names, _)| names).unwrap_or_default());
        listings.insert(parent.to_owned(), (Instant::now(), Rc::clone(&names)));
        names
    }

    fn offers(&self, command: Option<&str>, word: &str) -> Vec<Pair> {
        let fixed: &[&str] = match command.map(str::to_ascii_lowercase).as_deref() {
            None | Some("help" | "?") => return command_names(word),
            Some("printwatches") => &["on", "off"],
            Some("addwatch") if !word.starts_with('/') => &["PERSISTENT", "PERSISTENT_RECURSIVE"],
            Some("grants") if !word.starts_with('/') => &["add", "check", "list", "remove"],
            Some(_) if word.starts_with('/') => return self.paths(word),
            Some(_) => &[],
        };
        let fitting = fixed.iter().filter(|offer| offer.starts_with(word) && !word.is_empty());
        fitting.map(|offer| pair(offer, format!("{offer} "))).collect()
    }

    fn paths(&self, word: &str) -> Vec<Pair> {
        let (above, start) = word.split_at(word.rfind('/').map_or(0, |slash| slash + 1));
        let parent = match above.trim_end_matches('/') {
            "" => "/",
            parent => parent,
        };
        let names = self.children(parent);
        let fitting = names.iter().filter(|name| name.starts_with(start)).take(OFFERS_MAX);
        fitting.map(|name| pair(name, words::quote(&format!("{above}{name}")))).collect()
    }
}

fn pair(display: &str, replacement: String) -> Pair {
    Pair { display: display.to_owned(), replacement }
}

fn command_names(word: &str) -> Vec<Pair> {
    let start = word.to_ascii_lowercase();
    let names = commands::all().map(|spec| spec.name);
    let fitting = names.filter(|name| name.to_ascii_lowercase().starts_with(&start));
    let mut offers: Vec<Pair> = fitting.map(|name| pair(name, format!("{name} "))).collect();
    offers.sort_unstable_by(|a, b| a.display.cmp(&b.display));
    offers
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let scan = words::scan(&line[..pos]);
        let (before, word, start) = match scan.words.split_last() {
            Some((last, before)) if scan.in_word => (before, last.text.as_str(), last.start),
            _ => (scan.words.as_slice(), "", pos),
        };
        let command = before.first().map(|word| word.text.as_str());
        Ok((start, self.offers(command, word)))
    }
}

impl Highlighter for Helper {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _default: bool) -> Cow<'b, str> {
        Cow::Owned(self.style.dim(prompt))
    }
}

impl Hinter for Helper {
    type Hint = String;
}

impl Validator for Helper {}

impl rustyline::Helper for Helper {}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper(children: &[&str]) -> Helper {
        let helper = Helper::new(Rc::default(), Style { colours: false });
        let names = children.iter().map(|name| (*name).to_owned()).collect();
        helper.listings.borrow_mut().insert("/a".into(), (Instant::now(), Rc::new(names)));
        helper
    }

    fn complete(helper: &Helper, line: &str) -> (usize, Vec<String>) {
        let history = rustyline::history::DefaultHistory::new();
        let (start, offers) = helper.complete(line, line.len(), &Context::new(&history)).unwrap();
        (start, offers.into_iter().map(|offer| offer.replacement).collect())
    }

    #[test]
    fn the_first_word_is_a_command() {
        let helper = helper(&[]);
        assert_eq!(complete(&helper, "getA"), (0, vec!["getAcl ".into(), "getAllChildrenNumber ".into()]));
        assert_eq!(complete(&helper, "help geta").1.len(), 2);
        assert_eq!(complete(&helper, "printwatches of").1, ["off "]);
    }

    #[test]
    fn paths_are_those_of_the_server() {
        let helper = helper(&["one", "other", "two words"]);
        assert_eq!(complete(&helper, "get -s /a/o"), (7, vec!["/a/one".into(), "/a/other".into()]));
        assert_eq!(complete(&helper, "get /a/tw").1, [r"/a/two\ words"]);
        assert_eq!(complete(&helper, r"get '/a/two w"), (4, vec![r"/a/two\ words".into()]));
        assert_eq!(complete(&helper, "get /b/").1, Vec::<String>::new());
        assert_eq!(complete(&helper, "get a").1, Vec::<String>::new());
    }
}
