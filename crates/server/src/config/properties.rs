//! The syntax of `java.util.Properties`, in which every zoo.cfg is written.
//!
//! ZooKeeper reads its files with `Properties.load`, so comments (`#`, `!`), the three separators
//! (`=`, `:`, white space), continuation lines and escapes follow that method and nothing else. In
//! particular a comment is never continued, a continuation line that looks like a comment is not
//! one, and `#` after a value belongs to the value.

use std::iter::Peekable;
use std::str::Chars;

/// One `key = value` of a file, in file order; a later entry of the same key replaces an earlier
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key without white space around it.
    pub key: String,
    /// The value without white space around it, escapes resolved; empty when the line has only a
    /// key.
    pub value: String,
    /// Number of the line where the entry starts, from 1.
    pub line: usize,
}

/// A `\u` not followed by four hexadecimal digits: the only error of `Properties.load`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \\u must be followed by four hexadecimal digits")]
pub struct BadEscape {
    /// Number of the line where the entry starts, from 1.
    pub line: usize,
}

/// The text of a file: UTF-8 if it is valid UTF-8, else ISO-8859-1, the character set that Java
/// assumes.
pub fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// All entries of `text`, in order. Lines end with LF, CR or CR LF.
///
/// # Errors
/// An escape is malformed.
pub fn parse(text: &str) -> Result<Vec<Entry>, BadEscape> {
    let mut entries = Vec::new();
    let mut lines = NaturalLines { rest: text, number: 0 };
    while let Some((number, first)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while ends_with_odd_backslashes(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_blank));
        }
        let (key, value) = split(&logical).ok_or(BadEscape { line: number })?;
        // ZooKeeper trims after Java has split, which also removes escaped white space at the ends.
        entries.push(Entry {
            key: java_trim(&key).to_owned(),
            value: java_trim(&value).to_owned(),
            line: number,
        });
    }
    Ok(entries)
}

/// What `String.trim` of Java removes: everything up to and including the space.
pub(super) fn java_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn ends_with_odd_backslashes(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// The lines of the file, with their numbers.
struct NaturalLines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Iterator for NaturalLines<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let (line, rest) = match self.rest.find(['\n', '\r']) {
            None => (self.rest, ""),
            Some(at) => {
                let after = &self.rest[at..];
                (&self.rest[..at], after.strip_prefix("\r\n").unwrap_or(&after[1..]))
            }
        };
        self.rest = rest;
        Some((self.number, line))
    }
}

/// Key and value of one logical line, escapes resolved; `None` for a malformed `\u`.
fn split(line: &str) -> Option<(String, String)> {
    let mut chars = line.chars().peekable();
    let key = unescape(&mut chars, |c| matches!(c, '=' | ':') || is_blank(c))?;
    skip_blanks(&mut chars);
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        skip_blanks(&mut chars);
    }
    let value = unescape(&mut chars, |_| false)?;
    Some((key, value))
}

fn skip_blanks(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|&c| is_blank(c)).is_some() {}
}

/// Reads up to an unescaped character for which `stop` holds, and leaves that character unread.
fn unescape(chars: &mut Peekable<Chars<'_>>, stop: impl Fn(char) -> bool) -> Option<String> {
    // In UTF-16, as in Java: a character outside the basic plane is written as two \u escapes.
    let mut units: Vec<u16> = Vec::new();
    while let Some(c) = chars.next_if(|&c| !stop(c)) {
        let plain = match c {
            '\\' => match chars.next() {
                None => break,
                Some('u') => {
                    units.push(hex4(chars)?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

fn hex4(chars: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit << 4 | u16::try_from(chars.next()?.to_digit(16)?).ok()?;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    /// Each expectation was printed by `java.util.Properties` (17) followed by `trim`.
    #[test]
    fn lines_are_split_as_java_splits_them() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("a=1", &[("a", "1")]),
            ("a = 1 ", &[("a", "1")]),
            ("a:1\nb : 2", &[("a", "1"), ("b", "2")]),
            ("a 1", &[("a", "1")]),
            ("a  = =1", &[("a", "=1")]),
            ("a", &[("a", "")]),
            ("a=1\r\nb=2\rc=3", &[("a", "1"), ("b", "2"), ("c", "3")]),
            ("# c\n  ! d\n\n \t\na=1#x", &[("a", "1#x")]),
            ("# c \\\na=1", &[("a", "1")]),
            ("a=1,\\\n   2,\\\n#3", &[("a", "1,2,#3")]),
            ("a=1\\\\\nb=2", &[("a", "1\\"), ("b", "2")]),
            ("a=1\\", &[("a", "1")]),
            ("a\\ b\\=c=d", &[("a b=c", "d")]),
            ("a=\\tx\\qy\\u0041", &[("a", "xqyA")]),
            ("a=\\ud83d\\ude00", &[("a", "\u{1f600}")]),
            ("=x", &[("", "x")]),
        ];
        for (text, expected) in cases {
            let expected: Vec<(String, String)> =
                expected.iter().map(|&(key, value)| (key.into(), value.into())).collect();
            assert_eq!(pairs(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_entry_knows_its_first_line() {
        let entries = parse("# x\na=1\\\n2\nb=3").unwrap();
        assert_eq!(entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn a_malformed_unicode_escape_is_named_by_its_line() {
        assert_eq!(parse("a=1\nb=\\u12g4"), Err(BadEscape { line: 2 }));
        assert_eq!(parse("a=\\u12"), Err(BadEscape { line: 1 }));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin1() {
        assert_eq!(decode(b"a=\xe9"), "a=\u{e9}");
        assert_eq!(decode("\u{feff}a=\u{e9}".as_bytes()), "a=\u{e9}");
    }
}
