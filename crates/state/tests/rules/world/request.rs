//! Parsing requests from text.

use wire::acl::{Acl, AclList};
use wire::opcode::Opcode;
use wire::record::{
    Check, CheckNotExists, CheckStat, Create, Delete, Exists, FilteredList, FilteredListWithStatsAndData,
    GetAcl, GetAllChildrenNumber, GetChildren, GetChildren2, GetData, GetEphemerals, ListKind, ListRecursive,
    Multi, PathList, RemoveRecursive, Request, SetAcl, SetData, SetWatches, TryRemove,
};
use wire::stat::Stat;

/// Requests borrow; tests may keep what they borrow from forever.
fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

/// A request in the format of scripts.
pub(crate) fn parse(text: &str) -> Request<'static> {
    let text: &'static str = leak(text.to_owned());
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    if matches!(verb, "multi" | "read") {
        let parts: Vec<_> =
            rest.split(';').map(str::trim).filter(|part| !part.is_empty()).map(parse).collect();
        let multi = Multi::encode_into(parts, leak(Vec::new()));
        return if verb == "multi" { Request::Multi(multi) } else { Request::MultiRead(multi) };
    }
    let (mut flags, mut words) = (Vec::new(), Vec::new());
    let mut all = rest.split_whitespace();
    while let Some(word) = all.next() {
        match word {
            "-t" | "-f" => flags.push((word, all.next().expect("a number after the flag"))),
            _ if word.starts_with('-') && word.len() == 2 && !word.ends_with(char::is_numeric) => {
                flags.push((word, ""));
            }
            "-2" => flags.push((word, "")),
            _ => words.push(word),
        }
    }
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let path = if word(0) == "''" { "" } else { word(0) };
    let has = |flag: &str| flags.iter().any(|&(known, _)| known == flag);
    let number = |at: usize| words.get(at).map_or(-1, |word| word.parse().expect("a number"));
    let watch = has("-w");
    match verb {
        "create" => create(path, &flags, words.get(1).copied(), words.get(2).copied()),
        "set" => Request::SetData(SetData { path, data: data(words.get(1).copied()), version: number(2) }),
        "delete" => Request::Delete(Delete { path, version: number(1) }),
        "check" => Request::Check(Check { path, version: number(1) }),
        "check-missing" => Request::CheckNotExists(CheckNotExists { path, version: number(1) }),
        "try-remove" => Request::TryRemove(TryRemove { path, version: number(1) }),
        "remove-all" => Request::RemoveRecursive(RemoveRecursive { path, limit: number(1).cast_unsigned() }),
        "check-version-and-children" => {
            let stat = Stat { version: number(1), num_children: number(2), ..Stat::ANY };
            Request::CheckStat(CheckStat { path, version: -1, stat })
        }
        "setacl" => Request::SetAcl(SetAcl { path, acl: acl(words.get(1).copied()), version: number(2) }),
        "getacl" => Request::GetAcl(GetAcl { path }),
        "get" => Request::GetData(GetData { path, watch }),
        "exists" => Request::Exists(Exists { path, watch }),
        "ls" => Request::GetChildren(GetChildren { path, watch }),
        "ls2" => Request::GetChildren2(GetChildren2 { path, watch }),
        "list" => Request::FilteredList(FilteredList { path, watch, kind: kind(&flags) }),
        "list-all" => Request::FilteredListWithStatsAndData(FilteredListWithStatsAndData {
            path,
            watch,
            kind: kind(&flags),
            with_stat: has("-s"),
            with_data: has("-d"),
        }),
        "ls-r" => Request::ListRecursive(ListRecursive { path, limit: number(1).cast_unsigned() }),
        "count" => Request::GetAllChildrenNumber(GetAllChildrenNumber { path }),
        "ephemerals" => Request::GetEphemerals(GetEphemerals { prefix_path: path }),
        "whoami" => Request::WhoAmI,
        "set-watches" => set_watches(&words),
        other => panic!("no request {other:?}"),
    }
}

fn kind(flags: &[(&str, &str)]) -> ListKind {
    match flags.iter().find(|(flag, _)| matches!(*flag, "-p" | "-e")) {
        Some(("-p", _)) => ListKind::PersistentOnly,
        Some(_) => ListKind::EphemeralOnly,
        None => ListKind::All,
    }
}

fn create(
    path: &'static str,
    flags: &[(&str, &str)],
    text: Option<&'static str>,
    list: Option<&'static str>,
) -> Request<'static> {
    let has = |wanted: &str| flags.iter().any(|&(flag, _)| flag == wanted);
    let value =
        |wanted: &str| flags.iter().find(|&&(flag, _)| flag == wanted).map(|(_, value)| value.parse::<i64>());
    let ttl = value("-t").map(|ttl| ttl.expect("a ttl"));
    let (ephemeral, sequential) = (i32::from(has("-e")), 2 * i32::from(has("-s")));
    let flags = match value("-f") {
        Some(flags) => flags.expect("flags") as i32,
        None if ttl.is_some() => 5 + sequential / 2,
        None if has("-c") => 4,
        None => ephemeral + sequential,
    };
    let kind = match (ttl, has("-c"), has("-2"), has("-n")) {
        (Some(_), ..) => Opcode::CreateTtl,
        (_, true, ..) => Opcode::CreateContainer,
        (_, _, true, _) => Opcode::Create2,
        (.., true) => Opcode::CreateIfNotExists,
        _ => Opcode::Create,
    };
    Request::Create(Create { path, data: data(text), acl: acl(list), flags, ttl, kind })
}

/// Empty if not given; the word `null` means null.
fn data(text: Option<&'static str>) -> Option<&'static [u8]> {
    match text {
        Some("null") => None,
        text => Some(text.unwrap_or_default().as_bytes()),
    }
}

fn acl(text: Option<&'static str>) -> AclList<'static> {
    let entry = |entry: &str| {
        let (who, perms) = entry.rsplit_once(':').expect("permissions");
        let (scheme, id) = who.split_once(':').expect("an id");
        let perms = perms.chars().map(|letter| 1 << "rwcda".find(letter).expect("a permission")).sum();
        Acl::new(perms, scheme, id)
    };
    match text {
        None => AclList::OPEN,
        Some("null") => AclList::NULL,
        Some("none") => AclList::encode_into(&[], leak(Vec::new())),
        Some(text) => {
            let list: Vec<Acl> = text.split(',').map(entry).collect();
            AclList::encode_into(&list, leak(Vec::new()))
        }
    }
}

/// `set-watches zxid kind/path…`, for example `set-watches 5 data:/a child:/b`.
fn set_watches(words: &[&'static str]) -> Request<'static> {
    let list = |kind: &str| {
        let paths = words.iter().filter_map(|word| word.strip_prefix(kind)?.strip_prefix(':'));
        PathList::encode_into(paths, leak(Vec::new()))
    };
    Request::SetWatches(SetWatches {
        relative_zxid: words[0].parse().expect("a zxid"),
        data: list("data"),
        exist: list("exist"),
        child: list("child"),
        persistent: list("persistent"),
        persistent_recursive: list("recursive"),
        kind: Opcode::SetWatches2,
    })
}
