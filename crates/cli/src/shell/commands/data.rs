//! One znode: create, read, write, delete.

use client::{CreateMode, Error, Session};
use wire::{Acl, ErrorCode, Stat, acl, path};

use super::{Outcome, Spec, path_operand};
use crate::shell::Shell;
use crate::shell::acl as acl_text;
use crate::shell::bytes;
use crate::shell::failure::Failure;
use crate::shell::options::{Opt, Parsed};
use crate::shell::output::Output;

const STAT: &str = "path, stat {czxid, mzxid, pzxid, ctime, mtime (ms), version, cversion, aversion, ephemeralOwner, \
                    dataLength, numChildren}";

pub(super) const CREATE_OPTIONS: &[Opt] =
    &[Opt::Flag("s"), Opt::Flag("e"), Opt::Flag("c"), Opt::Value("t"), Opt::Flag("b")];
pub(super) const SET_OPTIONS: &[Opt] = &[Opt::Flag("s"), Opt::Value("v"), Opt::Flag("b")];
pub(super) const VERSION_OPTION: &[Opt] = &[Opt::Value("v")];

pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "create",
        usage: "[-s] [-e] [-c] [-t ttl] [-b] path [data] [acl]",
        about: "Creates a znode: -s sequential, -e ephemeral, -c container, -t with a time to live in ms; -b data is base64, \
                '-' reads data from stdin. The ACL is scheme:id:perms[,…], world:anyone:cdrwa if there is none.",
        json: "path",
        options: CREATE_OPTIONS,
        operands: 1..=3,
        run: create,
    },
    Spec {
        name: "get",
        usage: "[-s] [-w] [-b] [-x] path",
        about: "Prints the data: -s with the Stat, -w and watches them, -b as base64, -x as hexadecimal dump.",
        json: "path, data (null if there are none), encoding (utf8 or base64), stat as of 'stat'",
        options: &[Opt::Flag("s"), Opt::Flag("w"), Opt::Flag("b"), Opt::Flag("x")],
        operands: 1..=2,
        run: get,
    },
    Spec {
        name: "set",
        usage: "[-s] [-v version] [-b] path data",
        about: "Replaces the data: -v only of this version, -s prints the Stat, -b data is base64, '-' reads stdin.",
        json: "path, stat as of 'stat'",
        options: SET_OPTIONS,
        operands: 2..=2,
        run: set,
    },
    Spec {
        name: "stat",
        usage: "[-w] path",
        about: "Prints the Stat; -w watches the znode, or the place where it may appear.",
        json: STAT,
        options: &[Opt::Flag("w")],
        operands: 1..=2,
        run: stat,
    },
    Spec {
        name: "delete",
        usage: "[-v version] path",
        about: "Deletes a znode without children; -v only of this version.",
        json: "path",
        options: VERSION_OPTION,
        operands: 1..=2,
        run: delete,
    },
    Spec {
        name: "sync",
        usage: "path",
        about: "Waits until the server has seen all that was committed before.",
        json: "path",
        options: &[],
        operands: 1..=1,
        run: sync,
    },
];

/// What `create` is asked for.
pub(super) struct Creation {
    pub(super) path: String,
    pub(super) data: Option<Vec<u8>>,
    pub(super) acl: Vec<Acl>,
    pub(super) mode: CreateMode,
}

pub(super) fn creation(shell: &mut Shell, parsed: &Parsed) -> Result<Creation, Failure> {
    let mode = create_mode(parsed)?;
    let path = parsed.operand(0).unwrap_or_default();
    let sequential = matches!(
        mode,
        CreateMode::PersistentSequential
            | CreateMode::EphemeralSequential
            | CreateMode::PersistentSequentialWithTtl(_)
    );
    let check = if sequential { path::validate_sequential } else { path::validate };
    check(path).map_err(|error| Failure::Usage(format!("'{path}': {error}")))?;
    let acl = parsed.operand(2).map_or_else(|| Ok(acl::open_acl()), acl_text::parse)?;
    let data = parsed.operand(1).map(|text| data_operand(shell, parsed, text)).transpose()?;
    Ok(Creation { path: path.to_owned(), data, acl, mode })
}

fn create_mode(parsed: &Parsed) -> Result<CreateMode, Failure> {
    let wrong = |why: &str| Err(Failure::Usage(why.to_owned()));
    let (sequential, ephemeral, container) = (parsed.has("s"), parsed.has("e"), parsed.has("c"));
    match (parsed.number("t")?, ephemeral, sequential, container) {
        (_, true, _, true) | (_, _, true, true) => {
            wrong("-c cannot be combined with -s or -e: containers are neither sequential nor ephemeral")
        }
        (Some(_), true, _, _) => {
            wrong("-t cannot be combined with -e: an ephemeral znode lives as long as its session")
        }
        (Some(_), _, _, true) => {
            wrong("-t cannot be combined with -c: a container lives as long as its children")
        }
        (Some(ttl), _, false, _) => Ok(CreateMode::PersistentWithTtl(ttl)),
        (Some(ttl), _, true, _) => Ok(CreateMode::PersistentSequentialWithTtl(ttl)),
        (None, _, _, true) => Ok(CreateMode::Container),
        (None, true, true, _) => Ok(CreateMode::EphemeralSequential),
        (None, true, false, _) => Ok(CreateMode::Ephemeral),
        (None, false, true, _) => Ok(CreateMode::PersistentSequential),
        (None, false, false, _) => Ok(CreateMode::Persistent),
    }
}

/// The bytes an operand stands for.
pub(super) fn data_operand(shell: &mut Shell, parsed: &Parsed, text: &str) -> Result<Vec<u8>, Failure> {
    let data = if text == "-" { shell.read_data()? } else { text.as_bytes().to_vec() };
    if !parsed.has("b") {
        return Ok(data);
    }
    let text = std::str::from_utf8(&data).map_err(|_| Failure::Usage("the data is not base64".to_owned()))?;
    bytes::from_base64(text.trim()).map_err(|error| Failure::Usage(format!("the data is {error}")))
}

/// The version to require: of the option, or of the operand at `index`, as zkCli once had it.
pub(super) fn version(parsed: &Parsed, index: usize) -> Result<i32, Failure> {
    match (parsed.number("v")?, parsed.operand(index)) {
        (Some(version), _) => Ok(version),
        (None, None) => Ok(-1),
        (None, Some(text)) => {
            text.parse().map_err(|_| Failure::Usage(format!("'{text}' is not the number of a version")))
        }
    }
}

fn create(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let creation = creation(shell, parsed)?;
    let session = shell.session()?;
    let created = session.create(&creation.path, creation.data.as_deref(), &creation.acl, creation.mode);
    let path = created.map_err(|error| without_parent(error, &creation.path))?;
    let line = format!("Created {}", shell.style.path(&path));
    Ok(Output::default().field("path", path).line(line))
}

/// The failure of a create, which says what is missing.
pub(super) fn without_parent(error: Error, path: &str) -> Failure {
    match error.code() {
        Some(ErrorCode::NoNode) => {
            Failure::refused_because(ErrorCode::NoNode, path, format!("there is no parent for {path}"))
        }
        _ => error.into(),
    }
}

/// The `Stat` of a znode, which must exist.
pub(super) fn existing(session: &Session, path: &str, watch: bool) -> Result<Stat, Failure> {
    session.exists(path, watch)?.ok_or_else(|| Failure::refused(ErrorCode::NoNode, path.to_owned()))
}

fn get(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    // `get path watch` is the former syntax.
    let watch = parsed.has("w") || parsed.operand(1).is_some();
    let (data, stat) = shell.session()?.get_data(path, watch)?;
    let style = shell.style;
    let text = match &data {
        None => style.dim("null"),
        Some(data) if parsed.has("b") => bytes::base64(data),
        Some(data) if parsed.has("x") => bytes::hex_dump(data).trim_end().to_owned(),
        Some(data) => bytes::readable(data, style.colours).into_owned(),
    };
    let output =
        Output::default().field("path", path).data_field(data.as_deref(), parsed.has("b")).line(text);
    Ok(if parsed.has("s") { output.stat(&stat, style) } else { output.stat_field(&stat) })
}

fn set(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    let data = data_operand(shell, parsed, parsed.operand(1).unwrap_or_default())?;
    let stat = shell.session()?.set_data(path, Some(&data), version(parsed, 2)?)?;
    let output = Output::default().field("path", path);
    Ok(if parsed.has("s") { output.stat(&stat, shell.style) } else { output.stat_field(&stat) })
}

fn stat(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    let watch = parsed.has("w") || parsed.operand(1).is_some();
    let stat = existing(&shell.session()?, path, watch)?;
    Ok(Output::default().field("path", path).stat(&stat, shell.style))
}

fn delete(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    shell.session()?.delete(path, version(parsed, 1)?)?;
    Ok(Output::default().field("path", path))
}

fn sync(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    shell.session()?.sync(path)?;
    Ok(Output::default().field("path", path).line("Sync is OK"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(options: &[&str]) -> Result<CreateMode, Failure> {
        let words: Vec<String> = options.iter().map(|word| (*word).to_owned()).collect();
        create_mode(&Parsed::new(&words, CREATE_OPTIONS).unwrap())
    }

    #[test]
    fn options_choose_the_mode() {
        for (options, expected) in [
            (&[][..], CreateMode::Persistent),
            (&["-e"], CreateMode::Ephemeral),
            (&["-s"], CreateMode::PersistentSequential),
            (&["-se"], CreateMode::EphemeralSequential),
            (&["-c"], CreateMode::Container),
            (&["-t", "9"], CreateMode::PersistentWithTtl(9)),
            (&["-s", "-t", "9"], CreateMode::PersistentSequentialWithTtl(9)),
        ] {
            assert_eq!(mode(options).unwrap(), expected, "{options:?}");
        }
    }

    #[test]
    fn modes_that_exclude_each_other_are_refused() {
        for options in [&["-c", "-s"][..], &["-ce"], &["-e", "-t", "9"], &["-c", "-t", "9"], &["-t", "x"]] {
            assert!(matches!(mode(options), Err(Failure::Usage(_))), "{options:?}");
        }
    }
}
