//! Which paths are legal.

use proptest::prelude::*;
use wire::path::{self, InvalidPath};

#[test]
fn legal() {
    for path in [
        "/",
        "/a",
        "/a/b",
        "/a.b",
        "/...",
        "/.a",
        "/a.",
        "/a/..b/c",
        "/ ",
        "/\u{A0}",
        "/\u{D7FF}",
        "/\u{F900}",
        "/\u{FFEF}",
        "/\u{4E2D}\u{6587}",
    ] {
        assert_eq!(path::validate(path), Ok(()), "{path:?}");
        assert_eq!(path::validate_sequential(path), Ok(()), "{path:?}");
    }
}

#[test]
fn illegal() {
    let character = |character, at| InvalidPath::Character { character, at };
    let cases = [
        ("", InvalidPath::Empty),
        ("a", InvalidPath::Relative),
        ("a/b", InvalidPath::Relative),
        ("/a/", InvalidPath::TrailingSlash),
        ("//", InvalidPath::TrailingSlash),
        ("//a", InvalidPath::EmptyName(1)),
        ("/a//b", InvalidPath::EmptyName(3)),
        ("/.", InvalidPath::RelativeName(1)),
        ("/..", InvalidPath::RelativeName(1)),
        ("/./a", InvalidPath::RelativeName(1)),
        ("/a/..", InvalidPath::RelativeName(3)),
        ("/a/../b", InvalidPath::RelativeName(3)),
        ("/a\0", character(0, 2)),
        ("/\u{1}", character(1, 1)),
        ("/a\u{1F}b", character(0x1F, 2)),
        ("/\u{7F}", character(0x7F, 1)),
        ("/\u{80}", character(0x80, 1)),
        ("/\u{9F}", character(0x9F, 1)),
        ("/\u{E000}", character(0xE000, 1)),
        ("/\u{F8FF}", character(0xF8FF, 1)),
        ("/\u{FFF0}", character(0xFFF0, 1)),
        ("/\u{FFFF}", character(0xFFFF, 1)),
        // Two UTF-16 units, D83D and DE00, both refused.
        ("/a/\u{1F600}", character(0x1_F600, 3)),
        ("/\u{10FFFF}", character(0x10_FFFF, 1)),
    ];
    for (path, expected) in cases {
        assert_eq!(path::validate(path), Err(expected), "{path:?}");
    }
}

/// The number to be appended turns an incomplete last name into a legal one.
#[test]
fn sequential() {
    for path in ["/", "/a/", "/a/.", "/a/..", "/.", "/a"] {
        assert_eq!(path::validate_sequential(path), Ok(()), "{path:?}");
    }
    for path in ["", "a", "//", "/a//", "/./", "/../a", "/a\0", "/\u{E000}/"] {
        assert!(path::validate_sequential(path).is_err(), "{path:?}");
    }
}

#[test]
fn parts() {
    let cases = [("/a", "/", "a"), ("/a/b", "/a", "b"), ("/a/b/", "/a/b", ""), ("/", "/", "")];
    for (whole, parent, name) in cases {
        assert_eq!(path::parent(whole), parent, "{whole}");
        assert_eq!(path::name(whole), name, "{whole}");
    }
    let mut out = String::from("in ");
    path::join("/", "a", &mut out);
    assert_eq!(out, "in /a");
    out.clear();
    path::join("/a", "b", &mut out);
    assert_eq!(out, "/a/b");
}

/// The same rule, unit by unit as ZooKeeper's `PathUtils` walks a Java string: slow, but obviously
/// correct.
fn legal_by_units(path: &str) -> bool {
    let units: Vec<u16> = path.encode_utf16().collect();
    let (slash, dot) = (u16::from(b'/'), u16::from(b'.'));
    if units.first() != Some(&slash) {
        return false;
    }
    if units.len() == 1 {
        return true;
    }
    if units.last() == Some(&slash) {
        return false;
    }
    (1..units.len()).all(|i| {
        let (last, unit) = (units[i - 1], units[i]);
        let ends = i + 1 == units.len() || units[i + 1] == slash;
        if unit == slash {
            return last != slash;
        }
        if unit == dot && ends {
            return last != slash && !(last == dot && units[i - 2] == slash);
        }
        !matches!(unit, 0..=0x1F | 0x7F..=0x9F | 0xD800..=0xF8FF | 0xFFF0..=0xFFFF)
    })
}

proptest! {
    #[test]
    fn agrees_with_a_walk_over_utf16_units(path in "/?[/.a\u{0}\u{1F}\u{7F}\u{9F}\u{A0}\u{D7FF}\u{E000}\u{F8FF}\u{F900}\u{FFEF}\u{FFF0}\u{10000}]{0,8}") {
        prop_assert_eq!(path::validate(&path).is_ok(), legal_by_units(&path), "{:?}", path);
        let numbered = format!("{path}1");
        prop_assert_eq!(path::validate_sequential(&path).is_ok(), legal_by_units(&numbered), "{:?}", path);
    }

    #[test]
    fn agrees_on_mostly_plain_paths(path in "(/[.a]{0,3}){0,4}") {
        prop_assert_eq!(path::validate(&path).is_ok(), legal_by_units(&path), "{:?}", path);
        let numbered = format!("{path}1");
        prop_assert_eq!(path::validate_sequential(&path).is_ok(), legal_by_units(&numbered), "{:?}", path);
    }

    #[test]
    fn parent_and_name_join_to_the_path(path in "(/[a-z]{1,3}){1,4}") {
        let mut joined = String::new();
        path::join(path::parent(&path), path::name(&path), &mut joined);
        prop_assert_eq!(joined, path);
    }
}
