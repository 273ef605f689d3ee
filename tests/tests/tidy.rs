//! The rules of the code that a machine can check: which part imports which, how long a file and a
//! line of prose may be, what main must not contain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LINES_MAX: usize = 1_000;

/// Columns of a line of prose, in characters.
const COLUMNS_MAX: usize = 100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

/// The rows of the table in ARCHITECTURE.md between the markers `name:begin` and `name:end`: the
/// backticked names in each cell.
fn table(name: &str) -> Vec<Vec<BTreeSet<String>>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, rest) = text.split_once(&format!("<!-- {name}:begin -->")).expect("the table begins");
    let (table, _) = rest.split_once(&format!("<!-- {name}:end -->")).expect("the table ends");
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let rows = table.lines().filter(|l| l.starts_with("| `"));
    rows.map(|row| row.split('|').skip(1).map(names).collect()).collect()
}

/// Each crate, and the crates of the workspace that it may import.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let rows = table("imports").into_iter();
    let row = |mut cells: Vec<BTreeSet<String>>| {
        (cells[0].pop_first().expect("a crate in the first column"), cells.swap_remove(1))
    };
    rows.map(row).collect()
}

/// What each crate really imports of the workspace, outside its tests.
fn actual() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let short = |name: &str| match name {
        "ostler" => Some(name.to_owned()),
        name => name.strip_prefix("ostler-").map(str::to_owned),
    };
    let mut actual = BTreeMap::new();
    for package in packages {
        let name = short(package["name"].as_str().expect("name")).expect("packages are called ostler-");
        let imports = package["dependencies"].as_array().expect("dependencies").iter();
        let imports = imports.filter(|d| d["kind"].as_str() != Some("dev"));
        let imports = imports.filter_map(|d| short(d["name"].as_str().expect("name")));
        actual.insert(name, imports.collect());
    }
    actual
}

/// The names of all crates that a crate of the workspace links.
fn linked(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", package])
        .current_dir(root())
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("names of crates");
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_simulator_links_no_sockets() {
    let process = ["mio", "tokio", "axum", "hyper"];
    let of_cli = linked("ostler-cli");
    assert!(process.iter().all(|name| of_cli.contains(*name)), "they are called otherwise: {of_cli:?}");
    let of_sim = linked("ostler-sim");
    assert!(of_sim.contains("ostler-server"), "{of_sim:?}");
    let found: Vec<_> = process.iter().filter(|name| of_sim.contains(**name)).collect();
    assert!(found.is_empty(), "the simulator links {found:?}");
}

#[test]
fn layers_import_only_downward() {
    let (allowed, actual) = (allowed(), actual());
    for (name, imports) in &actual {
        let may =
            allowed.get(name).unwrap_or_else(|| panic!("{name} is missing in the table of ARCHITECTURE.md"));
        let over: Vec<_> = imports.difference(may).collect();
        assert!(
            over.is_empty(),
            "{name} imports {over:?}, which the table of ARCHITECTURE.md does not allow"
        );
    }
    let gone: Vec<_> = allowed.keys().filter(|name| !actual.contains_key(*name)).collect();
    assert!(gone.is_empty(), "the table of ARCHITECTURE.md names crates that do not exist: {gone:?}");
}

/// The modules of this file that exist in tests only.
fn test_modules(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]").filter_map(|pair| {
        let (_, name) = pair[1].strip_suffix(';')?.split_once("mod ")?;
        Some(name.to_owned())
    });
    declared.collect()
}

/// Collects the Rust files below `dir` that are no tests.
fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    // A module's own file declares its submodules; it is `mod.rs`, `lib.rs`, or is beside the
    // folder.
    let declaring = ["mod.rs", "lib.rs"].iter().map(|name| dir.join(name)).chain([dir.with_extension("rs")]);
    let mut tests: Vec<String> = Vec::new();
    for file in declaring {
        tests.extend(test_modules(&fs::read_to_string(file).unwrap_or_default()));
    }
    for path in paths {
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        if tests.iter().any(|name| name == stem) {
            continue;
        }
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// The first names behind `crate::` in the code of a file, without comments and inline test
/// modules.
fn imported(text: &str) -> BTreeSet<String> {
    let lines: Vec<&str> = text.lines().collect();
    let is_test_module =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{');
    let end = lines.windows(2).position(is_test_module).unwrap_or(lines.len());
    let code = lines[..end].iter().filter(|line| !line.trim_start().starts_with("//"));
    let code = code.copied().collect::<Vec<_>>().join("\n");
    let name = |s: &str| {
        let end = s.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(s.len());
        s[..end].to_owned()
    };
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(braces) = rest.strip_prefix('{') else {
            names.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (i, c) in braces.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    names.insert(name(&braces[i..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    names
}

/// What each folder and file at the top of the server's sources imports of the others.
fn server_imports() -> BTreeMap<String, BTreeSet<String>> {
    let top = root().join("crates/server/src");
    let mut files = Vec::new();
    sources(&top, &mut files);
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let part = file.strip_prefix(&top).expect("below the top").components().next().expect("a name");
        let part = Path::new(part.as_os_str()).with_extension("").display().to_string();
        if part != "lib" {
            let text = fs::read_to_string(&file).expect("a source file");
            imports.entry(part).or_default().extend(imported(&text));
        }
    }
    let parts: BTreeSet<String> = imports.keys().cloned().collect();
    for (part, names) in &mut imports {
        names.retain(|name| name != part && parts.contains(name));
    }
    imports
}

#[test]
fn server_folders_import_as_the_table_says() {
    let actual = server_imports();
    let rows = table("server-imports");
    let free: BTreeSet<&String> =
        rows.iter().filter(|row| row[1].is_empty()).flat_map(|row| &row[0]).collect();
    let mut listed = BTreeSet::new();
    let mut below: BTreeSet<&String> = free.clone();
    for row in &rows {
        let upward: Vec<_> = row[1].difference(&listed).collect();
        assert!(upward.is_empty(), "{:?} may import {upward:?}, which come later in the table", row[0]);
        for part in &row[0] {
            let imports = actual.get(part).unwrap_or_else(|| panic!("the table names {part}, which is gone"));
            let is_allowed = |name: &String| row[1].contains(name) || free.contains(name);
            let over: Vec<_> = imports.iter().filter(|name| !is_allowed(name)).collect();
            assert!(over.is_empty(), "{part} imports {over:?}, which the table does not allow");
            below.insert(part);
        }
        listed.extend(row[0].iter().cloned());
    }
    let missing: Vec<_> = actual.keys().filter(|part| !below.contains(part)).collect();
    assert!(missing.is_empty(), "the table of ARCHITECTURE.md does not name {missing:?}");
}

fn tracked(endings: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git").arg("ls-files").current_dir(root()).output().expect("git runs");
    let text = String::from_utf8(output.stdout).expect("file names are UTF-8");
    text.lines().filter(|f| endings.iter().any(|e| f.ends_with(e))).map(|f| root().join(f)).collect()
}

#[test]
fn no_file_is_too_long() {
    for file in tracked(&[".rs"]) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let lines = text.lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines, more than {LINES_MAX}: split it by concern",
            file.display()
        );
    }
}

#[test]
fn no_unfinished_work_on_main() {
    // Put together so that this file does not find itself.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    for file in tracked(&[".rs", ".toml", ".py", ".go", ".java"]) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (number, line) in text.lines().enumerate() {
            for mark in &marks {
                let found = line.split(|c: char| !c.is_alphanumeric()).any(|word| word == mark);
                assert!(!found, "{}:{}: {mark} on main", file.display(), number + 1);
            }
        }
    }
}

/// Whether a line may be longer because it is one word that cannot be broken, such as a link,
/// behind the marks of a list or comment.
fn is_unbreakable(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| "-*/!>".contains(c) || c.is_whitespace());
    let is_link = text.starts_with('[') && text.find("](").is_some_and(|at| !text[at..].contains(' '));
    is_link || !text.trim_end().contains(' ')
}

/// The numbers of the lines of Markdown prose that are too long.
fn long_prose(text: &str) -> Vec<usize> {
    let mut fence: Option<&str> = None;
    let mut long = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark)) {
            match fence {
                None => fence = Some(mark),
                Some(open) if open == mark => fence = None,
                Some(_) => {}
            }
            continue;
        }
        let is_prose = fence.is_none() && !trimmed.starts_with('|') && !is_unbreakable(line);
        if is_prose && line.chars().count() > COLUMNS_MAX {
            long.push(number + 1);
        }
    }
    long
}

/// The numbers of the lines of Rust that are a comment and too long.
fn long_comments(text: &str) -> Vec<usize> {
    let mut is_drawing = false;
    let mut long = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let comment = line.trim_start();
        if !comment.starts_with("//") {
            is_drawing = false;
        } else if comment.trim_start_matches(['/', '!', ' ']).starts_with("```") {
            is_drawing = !is_drawing;
        } else if !is_drawing && line.chars().count() > COLUMNS_MAX && !is_unbreakable(line) {
            long.push(number + 1);
        }
    }
    long
}

#[test]
fn prose_wraps_at_100_columns() {
    let mut long = Vec::new();
    let mut look = |ending: &str, find: fn(&str) -> Vec<usize>| {
        for file in tracked(&[ending]) {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let name = file.strip_prefix(root()).unwrap_or(&file).display().to_string();
            long.extend(find(&text).into_iter().map(|line| format!("{name}:{line}")));
        }
    };
    look(".md", long_prose);
    look(".rs", long_comments);
    assert!(long.is_empty(), "more than {COLUMNS_MAX} columns:\n{}", long.join("\n"));
}

#[test]
fn long_lines_are_found_where_they_are_prose() {
    let long = "word ".repeat(COLUMNS_MAX);
    let link = format!("- [a link](https://example.org/{})", "x".repeat(COLUMNS_MAX));
    let markdown = format!("{long}\n| {long} |\n```\n{long}\n```\n{link}\n{long}\n");
    assert_eq!(long_prose(&markdown), [1, 7]);
    let rust = format!("// {long}\nlet x = \"{long}\";\n    /// {long}\n//! {link}\n");
    assert_eq!(long_comments(&rust), [1, 3]);
    let drawing = format!("//! ```text\n//! {long}\n//! ```\n//! {long}\n");
    assert_eq!(long_comments(&drawing), [4]);
}
