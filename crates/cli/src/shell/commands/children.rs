//! Many znodes: list, count, delete with all below.

use client::session::Operation;
use client::{Error, Session};
use wire::{ErrorCode, Stat};

use super::{Outcome, Spec, join, path_operand};
use crate::shell::Shell;
use crate::shell::failure::Failure;
use crate::shell::options::{Opt, Parsed};
use crate::shell::output::{Output, list};

/// As in zkCli.
const BATCH_DEFAULT: usize = 1_000;
/// Most bytes of paths in one multi, so that it stays below the server's limit of a megabyte.
const BATCH_BYTES_MAX: usize = 256 << 10;

pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "ls",
        usage: "[-s] [-w] [-R] path",
        about: "Lists the children: -s with the Stat, -w and watches them, -R all descendants with their paths.",
        json: "path, children (names) or with -R paths, stat as of 'stat'",
        options: &[Opt::Flag("s"), Opt::Flag("w"), Opt::Flag("R")],
        operands: 1..=2,
        run: ls,
    },
    Spec {
        name: "ls2",
        usage: "path [watch]",
        about: "As ls -s.",
        json: "as of 'ls'",
        options: &[],
        operands: 1..=2,
        run: ls2,
    },
    Spec {
        name: "deleteall",
        usage: "path [-b batch size]",
        about: "Deletes a znode and its descendants, by default 1000 at a time. Not atomic.",
        json: "path, deleted (number of znodes)",
        options: &[Opt::Value("b")],
        operands: 1..=1,
        run: delete_all,
    },
    Spec {
        name: "rmr",
        usage: "path",
        about: "As deleteall, whose former name it is.",
        json: "as of 'deleteall'",
        options: &[Opt::Value("b")],
        operands: 1..=1,
        run: delete_all,
    },
    Spec {
        name: "getAllChildrenNumber",
        usage: "path",
        about: "Counts all descendants.",
        json: "path, count",
        options: &[],
        operands: 1..=1,
        run: count,
    },
    Spec {
        name: "getEphemerals",
        usage: "[path]",
        about: "Lists the ephemeral znodes of this session below path.",
        json: "path, ephemerals (paths)",
        options: &[],
        operands: 0..=1,
        run: ephemerals,
    },
];

fn ls(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    let watch = parsed.has("w") || parsed.operand(1).is_some();
    let style = shell.style;
    let session = shell.session()?;
    let (names, stat) = session.get_children(path, watch)?;
    let output = Output::default().field("path", path);
    let output = if parsed.has("R") {
        let mut paths = vec![path.to_owned()];
        descend(&session, path, &names, &mut paths)?;
        let lines = paths.iter().fold(output, |output, path| output.line(style.path(path)));
        lines.field("paths", paths)
    } else {
        let line = list(&names, style);
        output.field("children", names).line(line)
    };
    Ok(if parsed.has("s") { output.stat(&stat, style) } else { output.stat_field(&stat) })
}

fn ls2(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    let style = shell.style;
    let (names, stat): (Vec<String>, Stat) =
        shell.session()?.get_children(path, parsed.operand(1).is_some())?;
    let line = list(&names, style);
    Ok(Output::default().field("path", path).field("children", names).line(line).stat(&stat, style))
}

/// Appends the paths of all descendants of a znode, whose children are `names`, each after its
/// parent. With a list of what is still to visit instead of calls within calls: a tree may be
/// deeper than a stack.
fn descend(session: &Session, top: &str, names: &[String], paths: &mut Vec<String>) -> Result<(), Failure> {
    let mut to_visit: Vec<String> = names.iter().rev().map(|name| join(top, name)).collect();
    while let Some(path) = to_visit.pop() {
        match session.get_children(&path, false) {
            Ok((names, _)) => to_visit.extend(names.iter().rev().map(|name| join(&path, name))),
            // Another client deleted it meanwhile.
            Err(error) if error.code() == Some(ErrorCode::NoNode) => continue,
            Err(error) => return Err(error.into()),
        }
        paths.push(path);
    }
    Ok(())
}

/// The path of a znode and of all its descendants, each after its parent.
pub(super) fn subtree(session: &Session, top: &str) -> Result<Vec<String>, Failure> {
    let (names, _) = session.get_children(top, false)?;
    let mut paths = vec![top.to_owned()];
    descend(session, top, &names, &mut paths)?;
    Ok(paths)
}

fn delete_all(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    let batch = parsed.number("b")?.unwrap_or(BATCH_DEFAULT).max(1);
    let session = shell.session()?;
    if session.connect_string().server_path(path) == "/" {
        // The server would refuse it too, but only after everything below had gone.
        let message = "the root cannot be deleted; name the children that should go";
        return Err(Failure::refused_because(ErrorCode::BadArguments, path, message));
    }
    let mut paths = subtree(&session, path)?;
    // Children before their parents.
    paths.reverse();
    let mut deleted = 0;
    let mut rest = paths.as_slice();
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |path: &&String| {
            bytes += path.len();
            bytes <= BATCH_BYTES_MAX
        };
        let count = rest.iter().take(batch).take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        deleted += delete_together(&session, now)?;
        rest = later;
    }
    Ok(Output::default().field("path", path).field("deleted", deleted))
}

/// Deletes znodes in one multi, or one by one if that was refused because some are gone or one must
/// stay.
fn delete_together(session: &Session, paths: &[String]) -> Result<usize, Failure> {
    let operations: Vec<_> = paths.iter().map(|path| Operation::Delete { path, version: -1 }).collect();
    match session.multi(&operations) {
        Ok(_) => return Ok(paths.len()),
        Err(Error::MultiRefused { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut deleted = 0;
    for path in paths {
        match session.delete(path, -1) {
            Ok(()) => deleted += 1,
            Err(error) if error.code() == Some(ErrorCode::NoNode) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(deleted)
}

fn count(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    let count = shell.session()?.get_all_children_number(path)?;
    Ok(Output::default().field("path", path).field("count", count).line(count.to_string()))
}

fn ephemerals(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = if parsed.operands.is_empty() { "/" } else { path_operand(parsed, 0)? };
    let paths = shell.session()?.get_ephemerals(path)?;
    let line = list(&paths, shell.style);
    Ok(Output::default().field("path", path).field("ephemerals", paths).line(line))
}
