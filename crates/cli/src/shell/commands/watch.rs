//! Adding and removing watches.

use wire::ErrorCode;
use wire::event::{AddWatchMode, WatcherType};

use super::{Outcome, Spec, path_operand};
use crate::shell::Shell;
use crate::shell::failure::Failure;
use crate::shell::options::{Opt, Parsed};
use crate::shell::output::Output;

pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "addWatch",
        usage: "[-m mode] path",
        about: "Watches until removed. The mode is PERSISTENT, one znode and its children, or PERSISTENT_RECURSIVE, a \
                znode and its descendants, which is the default.",
        json: "path, mode",
        options: &[Opt::Value("m")],
        operands: 1..=1,
        run: add_watch,
    },
    Spec {
        name: "removewatches",
        usage: "path [-c|-d|-p|-r|-a] [-l]",
        about: "Removes watches: -c on children, -d on data, -p persistent, -r persistent recursive, -a all of them, which \
                is the default; -l also when there is no connection.",
        json: "path",
        options: &[
            Opt::Flag("c"),
            Opt::Flag("d"),
            Opt::Flag("p"),
            Opt::Flag("r"),
            Opt::Flag("a"),
            Opt::Flag("l"),
        ],
        operands: 1..=1,
        run: remove_watches,
    },
    Spec {
        name: "printwatches",
        usage: "[on|off]",
        about: "Whether events are printed.",
        json: "printwatches (bool)",
        options: &[],
        operands: 0..=1,
        run: print_watches,
    },
];

fn add_watch(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    let (mode, name) = match parsed.value("m").unwrap_or("PERSISTENT_RECURSIVE") {
        "PERSISTENT" => (AddWatchMode::Persistent, "PERSISTENT"),
        "PERSISTENT_RECURSIVE" => (AddWatchMode::PersistentRecursive, "PERSISTENT_RECURSIVE"),
        other => {
            let why = format!("there is no mode '{other}', only PERSISTENT and PERSISTENT_RECURSIVE");
            return Err(Failure::Usage(why));
        }
    };
    shell.session()?.add_watch(path, mode)?;
    Ok(Output::default().field("path", path).field("mode", name))
}

fn remove_watches(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    let path = path_operand(parsed, 0)?;
    let kinds = [
        ("c", WatcherType::Children),
        ("d", WatcherType::Data),
        ("p", WatcherType::Persistent),
        ("r", WatcherType::PersistentRecursive),
        ("a", WatcherType::Any),
    ];
    let kind = kinds.iter().find(|(flag, _)| parsed.has(flag)).map_or(WatcherType::Any, |(_, kind)| *kind);
    let session = shell.session()?;
    if !parsed.has("l") || session.state().is_connected() {
        session.remove_watches(path, kind)?;
    } else if !session.forget_watches(path, kind) {
        return Err(Failure::refused(ErrorCode::NoWatcher, path.to_owned()));
    }
    Ok(Output::default().field("path", path))
}

fn print_watches(shell: &mut Shell, parsed: &Parsed) -> Outcome {
    match parsed.operand(0) {
        None => {}
        Some("on") => shell.print_watches(true),
        Some("off") => shell.print_watches(false),
        Some(_) => return Err(Failure::Usage("on or off".to_owned())),
    }
    let on = shell.prints_watches();
    let line = format!("printwatches is {}", if on { "on" } else { "off" });
    Ok(Output::default().field("printwatches", on).line(line))
}
