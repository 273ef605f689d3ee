//! Grants: rules on paths that apply on top of ACLs, as lines of the znode `/zookeeper/grants`.
//!
//! The server knows nothing of a chroot, so the paths of rules, and those in the answers, are the
//! server's.

use client::{CreateMode, Session};
use serde_json::{Value, json};
use state::auth::{self, Identities};
use state::grants::{GRANTS_PATH, Grant, Grants};
use wire::{ErrorCode, acl, path};

use super::{Outcome, Spec, valid_path};
use crate::shell::Shell;
use crate::shell::acl::letters;
use crate::shell::failure::Failure;
use crate::shell::options::Parsed;
use crate::shell::output::Output;

pub(super) const SPECS: &[Spec] = &[Spec {
    name: "grants",
    usage: "list [path] | add path perms scheme:id | remove path [scheme:id] | check path [scheme:id]*",
    about: "Rules on paths that apply on top of ACLs: 'list' prints them, or those on a path, above and below it; \
            'add' gives an identity the permissions (letters of cdrwa, - for none) at a path and below, instead of \
            those it had; 'remove' removes one rule on a path, or all; 'check' prints what the rules leave to a \
            client with these identities. The longest path that has a rule decides.",
    json: "list: grants (list of {path, perms, scheme, id}); add and remove: the rules changed, the same; \
           check: path, prefix (null without a rule), perms",
    options: &[],
    operands: 1..=usize::MAX,
    run,
}];

fn run(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let operands: Vec<&str> = parsed.operands.iter().map(String::as_str).collect();
    match operands[..] {
        ["list"] => list(shell, None),
        ["list", path] => list(shell, Some(path)),
        ["add", path, perms, who] => add(shell, path, perms, who),
        ["remove", path] => remove(shell, path, None),
        ["remove", path, who] => remove(shell, path, Some(who)),
        ["check", path, ref who @ ..] => check(shell, path, who),
        _ => Err(Failure::Usage("expected list, add, remove or check, with what belongs to it".to_owned())),
    }
}

/// The rules as they are on the server.
struct Rules {
    session: Session,
    text: String,
    /// Version of the znode; `None` if it does not exist.
    version: Option<i32>,
}

impl Rules {
    fn read(shell: &mut Shell) -> Result<Self, Failure> {
        let session = shell.session()?.without_chroot();
        match session.get_data(GRANTS_PATH, false) {
            Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                Ok(Self { session, text: String::new(), version: None })
            }
            result => {
                let (data, stat) = result.map_err(explain)?;
                if !are_in_force(&session)? {
                    let why = format!(
                        "{GRANTS_PATH} is a znode like any other, which was created without ostler.grants: delete it"
                    );
                    return Err(Failure::refused_because(ErrorCode::BadArguments, GRANTS_PATH, why));
                }
                let text = String::from_utf8_lossy(&data.unwrap_or_default()).into_owned();
                Ok(Self { session, text, version: Some(stat.version) })
            }
        }
    }

    /// All rules, in their order.
    fn all(&self) -> Vec<Grant> {
        self.text.lines().filter_map(rule).collect()
    }

    fn parsed(&self) -> Result<Grants, Failure> {
        parse(&self.text)
    }

    /// Replaces the lines whose rule is `meant` by `new`; comments stay. Returns the rules that
    /// were replaced.
    fn replace(&self, meant: impl Fn(&Grant) -> bool, new: Option<&Grant>) -> Result<Vec<Grant>, Failure> {
        let (mut text, mut replaced) = (String::new(), Vec::new());
        for line in self.text.lines() {
            match rule(line).filter(&meant) {
                Some(grant) => replaced.push(grant),
                None => text += &format!("{line}\n"),
            }
        }
        if let Some(grant) = new {
            text += &format!("{grant}\n");
        } else if replaced.is_empty() {
            return Ok(replaced);
        }
        parse(&text)?;
        self.write(&text)?;
        Ok(replaced)
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let data = Some(text.as_bytes());
        if let Some(version) = self.version {
            self.session.set_data(GRANTS_PATH, data, version).map_err(explain)?;
            return Ok(());
        }
        self.session.create(GRANTS_PATH, data, &acl::open_acl(), CreateMode::Persistent).map_err(explain)?;
        if are_in_force(&self.session)? {
            return Ok(());
        }
        // It was created as any other znode.
        self.session.delete(GRANTS_PATH, -1)?;
        let why = "the leader does not put grants in force: set ostler.grants=true on every server";
        Err(Failure::refused_because(ErrorCode::Unimplemented, GRANTS_PATH, why))
    }
}

fn rule(line: &str) -> Option<Grant> {
    Grant::of_line(line).ok().flatten()
}

fn parse(text: &str) -> Result<Grants, Failure> {
    Grants::parse(text.as_bytes())
        .map_err(|bad| Failure::refused_because(ErrorCode::BadArguments, GRANTS_PATH, bad.to_string()))
}

/// Whether the znode has the ACL that only a server gives.
fn are_in_force(session: &Session) -> Result<bool, Failure> {
    let (list, _) = session.get_acl(GRANTS_PATH).map_err(explain)?;
    Ok(list.iter().any(|entry| entry.id.scheme == auth::SUPER))
}

fn explain(error: client::Error) -> Failure {
    if error.code() != Some(ErrorCode::NoAuth) {
        return error.into();
    }
    let why = format!("only the super user may do this, and whom a rule on {GRANTS_PATH} names");
    Failure::refused_because(ErrorCode::NoAuth, GRANTS_PATH, why)
}

/// The path without the chroot.
fn full_path(shell: &mut Shell, path: &str) -> Result<String, Failure> {
    valid_path(path)?;
    Ok(shell.session()?.connect_string().server_path(path).into_owned())
}

fn list(shell: &mut Shell, path: Option<&str>) -> Outcome {
    let path = path.map(|path| full_path(shell, path)).transpose()?;
    let concerns = |grant: &Grant| {
        path.as_ref()
            .is_none_or(|path| is_at_or_below(path, &grant.prefix) || is_at_or_below(&grant.prefix, path))
    };
    let rules = Rules::read(shell)?.all().into_iter().filter(concerns).collect::<Vec<_>>();
    Ok(rules.iter().fold(fields(&rules), |output, rule| output.line(rule.to_string())))
}

fn is_at_or_below(path: &str, top: &str) -> bool {
    let mut at = path;
    while at != top && at != "/" {
        at = path::parent(at);
    }
    at == top
}

fn fields(rules: &[Grant]) -> Output {
    let entry = |grant: &Grant| {
        let perms = letters(grant.perms);
        json!({ "path": grant.prefix, "perms": perms, "scheme": grant.scheme, "id": grant.id })
    };
    Output::default().field("grants", rules.iter().map(entry).collect::<Vec<Value>>())
}

fn add(shell: &mut Shell, path: &str, perms: &str, who: &str) -> Outcome {
    let prefix = full_path(shell, path)?;
    let (scheme, id) = identity(who)?;
    let wrong = |why: &str| Failure::Usage(format!("'{path} {perms} {who}': {why}"));
    let perms = if perms == "-" {
        0
    } else {
        crate::shell::acl::sum(perms)
            .map_err(|letter| wrong(&format!("there is no permission '{letter}', only cdrwa")))?
    };
    let grant = Grant { prefix, perms, scheme: scheme.to_owned(), id: id.to_owned() };
    let grant = grant.checked().map_err(|why| wrong(&why.to_string()))?;
    let is_same = |other: &Grant| {
        (&other.prefix, &other.scheme, &other.id) == (&grant.prefix, &grant.scheme, &grant.id)
    };
    Rules::read(shell)?.replace(is_same, Some(&grant))?;
    Ok(fields(std::slice::from_ref(&grant)))
}

fn remove(shell: &mut Shell, path: &str, who: Option<&str>) -> Outcome {
    let prefix = full_path(shell, path)?;
    let who = who.map(identity).transpose()?;
    let is_meant = |grant: &Grant| {
        grant.prefix == prefix && who.is_none_or(|who| who == (grant.scheme.as_str(), grant.id.as_str()))
    };
    let removed = Rules::read(shell)?.replace(is_meant, None)?;
    if removed.is_empty() {
        let why = format!("there is no such rule on {prefix}");
        return Err(Failure::refused_because(ErrorCode::NoNode, &prefix, why));
    }
    Ok(fields(&removed))
}

fn check(shell: &mut Shell, path: &str, who: &[&str]) -> Outcome {
    let path = full_path(shell, path)?;
    let mut identities = Identities::new();
    for who in who {
        let (scheme, id) = identity(who)?;
        identities.add(scheme, id);
    }
    let grants = Rules::read(shell)?;
    let grants = grants.version.is_some().then(|| grants.parsed()).transpose()?;
    let prefix = grants.as_ref().and_then(|grants| grants.deciding(&path));
    let perms =
        grants.as_ref().map_or(acl::perms::ALL, |grants| grants.permitted(&path, identities.encoded()));
    let perms = letters(perms);
    let line = match prefix {
        None => format!("no rule on {path}: its ACL alone decides"),
        Some(prefix) if perms.is_empty() => format!("the rules on {prefix} permit nothing"),
        Some(prefix) => format!("the rules on {prefix} permit {perms}, and the ACL has to as well"),
    };
    Ok(Output::default()
        .field("path", path.as_str())
        .field("prefix", prefix)
        .field("perms", perms)
        .line(line))
}

/// The scheme and the id of `scheme:id`.
fn identity(text: &str) -> Result<(&str, &str), Failure> {
    text.split_once(':').ok_or_else(|| Failure::Usage(format!("'{text}': expected scheme:id")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_concern_those_above_and_below() {
        assert!(is_at_or_below("/a/b", "/a") && is_at_or_below("/a", "/a") && is_at_or_below("/a", "/"));
        assert!(!is_at_or_below("/ab", "/a") && !is_at_or_below("/a", "/a/b") && !is_at_or_below("/", "/a"));
    }
}
