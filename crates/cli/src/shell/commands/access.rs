//! ACLs and identities.

use serde_json::{Value, json};

use super::children::subtree;
use super::{Outcome, Spec, path_operand};
use crate::shell::Shell;
use crate::shell::acl;
use crate::shell::options::{Opt, Parsed};
use crate::shell::output::Output;

pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "getAcl",
        usage: "[-s] path",
        about: "Prints the ACL; -s with the Stat.",
        json: "path, acl (list of {scheme, id, perms}), stat as of 'stat'",
        options: &[Opt::Flag("s")],
        operands: 1..=1,
        run: get_acl,
    },
    Spec {
        name: "setAcl",
        usage: "[-s] [-v version] [-R] path acl",
        about: "Replaces the ACL: -v only of this aclVersion, -R of all descendants too, -s prints the Stat.",
        json: "path, changed (number of znodes), stat as of 'stat'",
        options: &[Opt::Flag("s"), Opt::Value("v"), Opt::Flag("R")],
        operands: 2..=2,
        run: set_acl,
    },
    Spec {
        name: "addauth",
        usage: "scheme auth",
        about: "Adds an identity to the session, as in: addauth digest user:password. Kept out of the history.",
        json: "scheme",
        options: &[],
        operands: 1..=2,
        run: add_auth,
    },
    Spec {
        name: "whoami",
        usage: "",
        about: "Prints the identities of the session.",
        json: "identities (list of {scheme, user})",
        options: &[],
        operands: 0..=0,
        run: who_am_i,
    },
];

fn get_acl(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    let (list, stat) = shell.session()?.get_acl(path)?;
    let mut output = Output::default().field("path", path);
    let mut entries = Vec::new();
    for entry in &list {
        let (scheme, id, perms) = (&entry.id.scheme, &entry.id.id, acl::letters(entry.perms));
        output = output.line(format!("'{scheme},'{id}")).line(format!(": {perms}"));
        entries.push(json!({ "scheme": scheme, "id": id, "perms": perms }));
    }
    let output = output.field("acl", Value::Array(entries));
    Ok(if parsed.has("s") { output.stat(&stat, shell.style) } else { output.stat_field(&stat) })
}

fn set_acl(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    let list = acl::parse(parsed.operand(1).unwrap_or_default())?;
    let version = parsed.number("v")?.unwrap_or(-1);
    let session = shell.session()?;
    let paths = if parsed.has("R") { subtree(&session, path)? } else { vec![path.to_owned()] };
    let changed = paths.len();
    // The top comes last, so that its Stat is the one to show, and an ACL that locks us out of the
    // subtree does so only when it has been changed.
    let mut last = None;
    for path in paths.iter().rev() {
        last = Some(session.set_acl(path, &list, version)?);
    }
    let output = Output::default().field("path", path).field("changed", changed);
    let stat = last.expect("the znode itself is among them");
    Ok(if parsed.has("s") { output.stat(&stat, shell.style) } else { output.stat_field(&stat) })
}

fn add_auth(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let scheme = parsed.operand(0).unwrap_or_default();
    let auth = match parsed.operand(1) {
        Some("-") => shell.read_data()?.trim_ascii_end().to_vec(),
        auth => auth.unwrap_or_default().as_bytes().to_vec(),
    };
    shell.session()?.add_auth(scheme, &auth)?;
    Ok(Output::default().field("scheme", scheme))
}

fn who_am_i(shell: &mut Shell, _: &Parsed) -> Outcome {
    let identities = shell.session()?.who_am_i()?;
    let mut output = Output::default().line("Auth scheme: User");
    let mut entries = Vec::new();
    for (scheme, user) in &identities {
        output = output.line(format!("{scheme}: {user}"));
        entries.push(json!({ "scheme": scheme, "user": user }));
    }
    Ok(output.field("identities", Value::Array(entries)))
}
