//! Templates, and what they can read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use super::super::error::CommandError;

/// Instructions that a template may execute, so that one which never ends is an error.
const FUEL: u64 = 50_000_000;

/// Something that a template reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// The data of a znode.
    Data(String),
    /// The names of its children.
    Children(String),
}

/// What was read. A znode that does not exist is `Missing`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Missing,
    Data(Vec<u8>),
    Children(Vec<String>),
}

/// What is known, and what the rendering of a template has asked for.
#[derive(Debug, Default)]
struct Known {
    found: BTreeMap<Need, Found>,
    used: BTreeSet<Need>,
    unknown: BTreeSet<Need>,
}

impl Known {
    fn find(&mut self, need: Need) -> Option<Found> {
        let found = self.found.get(&need).cloned();
        if found.is_none() {
            self.unknown.insert(need.clone());
        }
        self.used.insert(need);
        found
    }
}

/// The templates of a command.
pub(super) struct Templates {
    paths: Vec<PathBuf>,
    environment: Environment<'static>,
    known: Arc<Mutex<Known>>,
}

/// What a round of rendering has led to.
pub(super) enum Rendered {
    /// The content of each file.
    Done(Vec<String>),
    /// These have to be read first.
    Needs(BTreeSet<Need>),
}

impl Templates {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let known = Arc::new(Mutex::new(Known::default()));
        Self { paths, environment: environment(&known), known }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// Notes what was read.
    pub(super) fn put(&self, need: Need, found: Found) {
        self.lock().found.insert(need, found);
    }

    /// Forgets what is known of a znode; returns whether anything was.
    pub(super) fn forget(&self, path: &str) -> bool {
        let mut known = self.lock();
        let needs = [Need::Data(path.to_owned()), Need::Children(path.to_owned())];
        needs.iter().filter(|need| known.found.remove(need).is_some()).count() > 0
    }

    /// Forgets everything: another session watches nothing yet.
    pub(super) fn forget_all(&self) {
        self.lock().found.clear();
    }

    /// Renders all templates with what is known.
    ///
    /// # Errors
    /// A template cannot be read, is wrong, or uses a value that does not exist.
    pub(super) fn render(&self, values: &BTreeMap<String, String>) -> Result<Rendered, CommandError> {
        {
            let mut known = self.lock();
            known.used.clear();
            known.unknown.clear();
        }
        let contents: Vec<_> = self.paths.iter().map(|path| self.render_one(path, values)).collect();
        let mut known = self.lock();
        if !known.unknown.is_empty() {
            // Errors may come from what is not known yet.
            return Ok(Rendered::Needs(std::mem::take(&mut known.unknown)));
        }
        let contents = contents.into_iter().collect::<Result<_, _>>()?;
        // What no template uses any more is not read again when it changes.
        let Known { found, used, .. } = &mut *known;
        found.retain(|need, _| used.contains(need));
        Ok(Rendered::Done(contents))
    }

    fn render_one(&self, path: &Path, values: &BTreeMap<String, String>) -> Result<String, CommandError> {
        let source = std::fs::read_to_string(path).map_err(CommandError::file(path))?;
        let keys = values.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        let context = Value::from_pairs([("config", Value::from_pairs(keys))]);
        let name = path.display().to_string();
        let rendered = self.environment.render_named_str(&name, &source, context);
        rendered.map_err(|error| CommandError::Template(explain(&error)))
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    // Every change under the lock is complete before anything can panic.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error of a template with its causes, in one line.
fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn environment(known: &Arc<Mutex<Known>>) -> Environment<'static> {
    let mut environment = Environment::new();
    // What the template ends with is what the file ends with.
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the default delimiters differ from each other"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    let shared = Arc::clone(known);
    environment.add_function("data", move |path: String, default: Option<String>| {
        checked(&path)?;
        match lock(&shared).find(Need::Data(path.clone())) {
            Some(Found::Data(data)) => {
                String::from_utf8(data).map_err(|_| refused(&path, "holds no UTF-8 text"))
            }
            Some(_) => default.ok_or_else(|| refused(&path, "does not exist")),
            None => Ok(default.unwrap_or_default()),
        }
    });
    let shared = Arc::clone(known);
    environment.add_function("children", move |path: String| {
        checked(&path)?;
        match lock(&shared).find(Need::Children(path.clone())) {
            Some(Found::Children(names)) => Ok(names),
            Some(_) => Err(refused(&path, "does not exist")),
            None => Ok(Vec::new()),
        }
    });
    let shared = Arc::clone(known);
    environment.add_function("exists", move |path: String| {
        checked(&path)?;
        Ok(matches!(lock(&shared).find(Need::Data(path)), Some(Found::Data(_))))
    });
    environment.add_function("json", |text: String| {
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
            Error::new(ErrorKind::InvalidOperation, format!("{text:?} is no JSON: {error}"))
        })?;
        Ok(Value::from(Serde(value)))
    });
    environment
}

fn checked(path: &str) -> Result<(), Error> {
    if path.starts_with('/') && (path == "/" || !path.ends_with('/')) && !path.contains("//") {
        return Ok(());
    }
    Err(refused(path, "is no path of a znode, which begins with a slash"))
}

fn refused(path: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{path} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(source: &str) -> (tempfile::TempDir, Templates) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, source).unwrap();
        (folder, Templates::new(vec![path]))
    }

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_template_reads_what_it_needs_step_by_step() {
        let source = "{% for name in children('/s') %}{{ json(data('/s/' ~ name)).port }};{% endfor %}\n";
        let (_folder, templates) = templates(source);
        for (need, found) in [
            (Need::Children("/s".to_owned()), Found::Children(vec!["x".to_owned()])),
            (Need::Data("/s/x".to_owned()), Found::Data(br#"{"port":80}"#.to_vec())),
        ] {
            let Rendered::Needs(needs) = templates.render(&BTreeMap::new()).unwrap() else {
                panic!("{need:?}")
            };
            assert_eq!(needs, BTreeSet::from([need.clone()]));
            templates.put(need, found);
        }
        let Rendered::Done(contents) = templates.render(&BTreeMap::new()).unwrap() else {
            panic!("it is known")
        };
        assert_eq!(contents, ["80;\n"]);
        assert!(templates.forget("/s/x") && !templates.forget("/s/x"));
        assert!(matches!(templates.render(&BTreeMap::new()).unwrap(), Rendered::Needs(_)));
    }

    #[test]
    fn values_are_not_escaped() {
        let (_folder, templates) = templates("{{ config['a.b'] }}{{ config.c }}");
        let Rendered::Done(contents) = templates.render(&values(&[("a.b", "\"<"), ("c", "5")])).unwrap()
        else {
            panic!("nothing is read")
        };
        assert_eq!(contents, ["\"<5"]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_an_error() {
        for (source, expected) in [
            ("{{ config.nothing }}", "undefined value"),
            ("{{ config['nothing'] | upper }}", "undefined value"),
            ("{% if config.nothing %}x{% endif %}", "undefined value"),
            ("{{ data('/none') }}", "/none does not exist"),
            ("{{ children('/none') }}", "/none does not exist"),
            ("{{ data('none') }}", "none is no path"),
            ("{{ json('{') }}", "is no JSON"),
            ("{% for %}", "syntax error"),
            ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
        ] {
            let (_folder, templates) = templates(source);
            templates.put(Need::Data("/none".to_owned()), Found::Missing);
            templates.put(Need::Children("/none".to_owned()), Found::Missing);
            let error = match templates.render(&BTreeMap::new()) {
                Err(error) => error.to_string(),
                Ok(_) => panic!("{source}"),
            };
            assert!(error.contains(expected), "{source}: {error}");
        }
        let (_folder, templates) = templates("{{ data('/none', 'x') }}{% if exists('/none') %}y{% endif %}");
        templates.put(Need::Data("/none".to_owned()), Found::Missing);
        let Rendered::Done(contents) = templates.render(&BTreeMap::new()).unwrap() else {
            panic!("it is known")
        };
        assert_eq!(contents, ["x"]);
    }
}
