//! The text of the rules: reading and writing its lines.
//!
//! A line is `prefix permissions scheme:id`, with any number of spaces and tabs between the parts;
//! the id is the rest of the line as it is, so that distinguished names can be copied. Permissions
//! are letters of `cdrwa`, or `-` for none. In the prefix, `\ooo` with three octal digits is the
//! byte of this number, as in `/etc/fstab`: a space is written `\040`, a backslash `\134`. Empty
//! lines, and lines whose first character besides spaces is `#`, are comments.

use std::fmt;

use wire::acl::perms;
use wire::path;

use super::{GRANTS_MAX, TEXT_BYTES_MAX};
use crate::auth::{self, Schemes};

/// Letters of the permissions, in the order in which they are written.
const LETTERS: [(char, i32); 5] = [
    ('c', perms::CREATE),
    ('d', perms::DELETE),
    ('r', perms::READ),
    ('w', perms::WRITE),
    ('a', perms::ADMIN),
];

/// Which ids are valid does not depend on settings, so that stored rules can always be read. A rule
/// for a scheme that is off gives nothing, since no client has an identity of it.
const EVERY_SCHEME: Schemes = Schemes { digest: true, key: true, sasl: true, x509: true };

/// A rule. [`Display`](fmt::Display) writes its line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The path that the rule is on; it concerns this node and everything below.
    pub prefix: String,
    /// Sum of [`perms`] that it gives; 0 gives nothing, and so takes the path from everybody whom
    /// no other rule on the same prefix names.
    pub perms: i32,
    /// A scheme of ACLs, or `auth` for everybody who has an identity of `sasl` or `x509`.
    pub scheme: String,
    /// The id in the scheme; empty for `auth`. It has no line breaks, and no blanks at its end.
    pub id: String,
}

/// Why a line is not a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// A part is missing.
    #[error("expected 'prefix permissions scheme:id'")]
    Form,
    /// A backslash without three octal digits, or bytes that are not UTF-8.
    #[error("a backslash must be followed by the three octal digits of a byte, as \\040 for a space")]
    Escape,
    /// The prefix is not a path.
    #[error("the prefix is not a valid path")]
    Prefix,
    /// A letter that is no permission.
    #[error("permissions are letters of cdrwa, or - for none")]
    Permissions,
    /// A scheme that rules do not have, or an id that the scheme does not have.
    #[error("not an identity: expected world:anyone, auth:, ip:, digest:, sasl:, x509: or key: with an id")]
    Identity,
}

/// Why a text is not rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGrants {
    /// The text is too long.
    #[error("the rules have {0} bytes, the limit is {TEXT_BYTES_MAX}")]
    TooLong(usize),
    /// There are too many rules.
    #[error("there are more than {GRANTS_MAX} rules")]
    TooMany,
    /// The text is not UTF-8.
    #[error("the rules are not UTF-8")]
    NotText,
    /// A line that is not a rule.
    #[error("line {number}: {why}")]
    Line {
        /// Number of the line, counted from 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        why: BadLine,
    },
}

/// Passes the rules of a text to `each`, in its order.
pub(super) fn each_rule(text: &[u8], mut each: impl FnMut(Grant)) -> Result<(), BadGrants> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(BadGrants::TooLong(text.len()));
    }
    let text = std::str::from_utf8(text).map_err(|_| BadGrants::NotText)?;
    let mut rules = 0;
    for (at, line) in text.lines().enumerate() {
        let Some(grant) = Grant::of_line(line).map_err(|why| BadGrants::Line { number: at + 1, why })? else {
            continue;
        };
        rules += 1;
        if rules > GRANTS_MAX {
            return Err(BadGrants::TooMany);
        }
        each(grant);
    }
    Ok(())
}

impl Grant {
    /// The rule of a line; `None` for a comment.
    ///
    /// # Errors
    /// If it is neither.
    pub fn of_line(line: &str) -> Result<Option<Self>, BadLine> {
        let line = line.trim_matches(BLANKS);
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let (prefix, rest) = line.split_once(BLANKS).ok_or(BadLine::Form)?;
        let (letters, who) = rest.trim_start_matches(BLANKS).split_once(BLANKS).ok_or(BadLine::Form)?;
        let (scheme, id) = who.trim_start_matches(BLANKS).split_once(':').ok_or(BadLine::Form)?;
        let perms = parse_perms(letters).ok_or(BadLine::Permissions)?;
        let (prefix, scheme, id) = (unescape(prefix)?, scheme.to_owned(), id.to_owned());
        Self { prefix, perms, scheme, id }.checked().map(Some)
    }

    /// The rule itself if it is one that a text can have.
    ///
    /// # Errors
    /// If its prefix, its permissions or its identity is invalid.
    pub fn checked(self) -> Result<Self, BadLine> {
        path::validate(&self.prefix).map_err(|_| BadLine::Prefix)?;
        if self.perms & !perms::ALL != 0 {
            return Err(BadLine::Permissions);
        }
        let is_valid = match &*self.scheme {
            auth::AUTH => self.id.is_empty(),
            scheme => EVERY_SCHEME.check_id(scheme, Some(&self.id)).is_ok(),
        };
        let is_a_line = !self.id.contains(['\n', '\r']) && !self.id.ends_with(BLANKS);
        if is_valid && is_a_line { Ok(self) } else { Err(BadLine::Identity) }
    }
}

/// What separates the parts of a line.
const BLANKS: [char; 3] = [' ', '\t', '\r'];

/// The sum of the permissions with these letters. `-` stands for no permission.
fn parse_perms(letters: &str) -> Option<i32> {
    if letters == "-" {
        return Some(0);
    }
    letters.chars().try_fold(0, |sum, letter| {
        LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, bit)| sum | bit)
    })
}

fn unescape(part: &str) -> Result<String, BadLine> {
    if !part.contains('\\') {
        return Ok(part.to_owned());
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(3).ok_or(BadLine::Escape)?;
        let number = digits.iter().try_fold(0u32, |number, digit| match digit {
            b'0'..=b'7' => Some(number * 8 + u32::from(digit - b'0')),
            _ => None,
        });
        bytes.push(number.and_then(|number| u8::try_from(number).ok()).ok_or(BadLine::Escape)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| BadLine::Escape)
}

fn escape(prefix: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    prefix.chars().try_for_each(|letter| match letter {
        ' ' | '\\' => write!(f, "\\{:03o}", u32::from(letter)),
        other => write!(f, "{other}"),
    })
}

/// The letters of a sum of permissions, `-` for none.
struct Letters(i32);

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & perms::ALL == 0 {
            return f.write_str("-");
        }
        LETTERS.iter().filter(|(_, bit)| self.0 & bit != 0).try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(&self.prefix, f)?;
        write!(f, " {} {}:{}", Letters(self.perms), self.scheme, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Grants;
    use super::*;

    fn grant(prefix: &str, perms: i32, scheme: &str, id: &str) -> Grant {
        Grant { prefix: prefix.into(), perms, scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn a_rule_reads_back_as_it_was_written() {
        for rule in [
            grant("/", 31, "world", "anyone"),
            grant("/a", 0, "auth", ""),
            grant("/a b/c\\d/\u{e9}", 5, "x509", "CN=a\\, b, O=c  d"),
            grant("/#", 1, "ip", "::1"),
            grant("/a", 16, "digest", " #u :h"),
            grant("/a", 1, "key", "a\tb"),
        ] {
            let line = rule.to_string();
            assert_eq!(Grant::of_line(&line), Ok(Some(rule)), "{line}");
            assert_eq!(line.lines().count(), 1, "{line}");
        }
    }

    #[test]
    fn lines_that_are_rules() {
        for (line, rule) in [
            ("  /a\t\trw   sasl:bob \r", grant("/a", 3, "sasl", "bob")),
            ("/a\\040b - world:anyone", grant("/a b", 0, "world", "anyone")),
            ("/\\303\\251 rr auth:", grant("/\u{e9}", 1, "auth", "")),
            ("/a r digest:u:h", grant("/a", 1, "digest", "u:h")),
        ] {
            assert_eq!(Grant::of_line(line), Ok(Some(rule)), "{line}");
        }
        for comment in ["", "  ", "# /a r auth:", "\t#"] {
            assert_eq!(Grant::of_line(comment), Ok(None), "{comment}");
        }
    }

    #[test]
    fn lines_that_are_not_rules() {
        for (line, why) in [
            ("/a", BadLine::Form),
            ("/a r", BadLine::Form),
            ("/a r bob", BadLine::Form),
            ("a r auth:", BadLine::Prefix),
            ("/a/ r auth:", BadLine::Prefix),
            ("/a/../b r auth:", BadLine::Prefix),
            ("/a x auth:", BadLine::Permissions),
            ("/a r- auth:", BadLine::Permissions),
            ("/a\\04 r auth:", BadLine::Escape),
            ("/a\\777 r auth:", BadLine::Escape),
            ("/a\\351 r auth:", BadLine::Escape),
            ("/a r auth:bob", BadLine::Identity),
            ("/a r world:me", BadLine::Identity),
            ("/a r super:", BadLine::Identity),
            ("/a r ip:1.2.3", BadLine::Identity),
            ("/a r digest:bob", BadLine::Identity),
            ("/a r other:bob", BadLine::Identity),
        ] {
            assert_eq!(Grant::of_line(line), Err(why), "{line}");
        }
    }

    #[test]
    fn rules_that_no_line_can_have() {
        for rule in [
            grant("/a", 32, "auth", ""),
            grant("a", 1, "auth", ""),
            grant("/a", 1, "key", "line\nbreak"),
            grant("/a", 1, "key", "blank "),
        ] {
            assert!(rule.clone().checked().is_err(), "{rule:?}");
        }
    }

    #[test]
    fn a_text_has_limits_and_names_its_bad_line() {
        let parse = |text: &str| Grants::parse(text.as_bytes()).map(drop);
        assert_eq!(parse(""), Ok(()));
        assert_eq!(
            parse("# a\n\n/a r auth:\n/a x auth:"),
            Err(BadGrants::Line { number: 4, why: BadLine::Permissions })
        );
        assert_eq!(parse(&"/a r auth:\n".repeat(GRANTS_MAX)), Ok(()));
        assert_eq!(parse(&"/a r auth:\n".repeat(GRANTS_MAX + 1)), Err(BadGrants::TooMany));
        assert_eq!(parse(&"#".repeat(TEXT_BYTES_MAX)), Ok(()));
        assert_eq!(parse(&"#".repeat(TEXT_BYTES_MAX + 1)), Err(BadGrants::TooLong(TEXT_BYTES_MAX + 1)));
        assert_eq!(Grants::parse(b"\xff"), Err(BadGrants::NotText));
    }
}
