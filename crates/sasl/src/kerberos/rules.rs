//! The rules of `security.auth_to_local`.
//!
//! ```text
//! rules = rule*                                         (white space before each one)
//! rule  = "DEFAULT"
//!       | "RULE:[" count ":" format "]" ( "(" match ")" )? ( "s/" from "/" to "/" "g"? )?
//! ```
//!
//! A rule applies to names with `count` components. In the format, `$0` is the realm and `$1` and
//! `$2` are the components. The result must match the whole of `match`; then the first, or every,
//! occurrence of `from` is replaced. The patterns are regular expressions, of which only those are
//! possible that can be matched in linear time: no look-around and no back-references.

use regex::{Captures, Regex, RegexBuilder};

use super::Principal;

/// A longer text is not a list of rules.
const RULES_BYTES_MAX: usize = 64 << 10;
/// More rules are a mistake.
const RULES_MAX: usize = 1000;
/// Memory that one compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// A result may be this long; a longer one counts as no match.
const NAME_BYTES_MAX: usize = 64 << 10;

/// Rules that turn names into short names. The first one that applies decides.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// As they were written: rules are equal if their texts are.
    text: String,
    rules: Vec<Rule>,
    default_realm: String,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Rules) -> bool {
        (&self.text, &self.default_realm) == (&other.text, &other.default_realm)
    }
}

impl Eq for Rules {}

#[derive(Clone, Debug)]
enum Rule {
    /// The first component of names in the default realm.
    Default,
    Mapping(Mapping),
}

#[derive(Clone, Debug)]
struct Mapping {
    components: usize,
    format: Vec<Part>,
    matches: Option<Regex>,
    substitution: Option<Substitution>,
}

#[derive(Clone, Debug)]
struct Substitution {
    from: Regex,
    to: Vec<Part>,
    /// Whether every occurrence is replaced.
    repeats: bool,
}

/// A part of a format or of a replacement.
#[derive(Clone, Debug)]
enum Part {
    Text(String),
    /// The realm, a component or a group with this number.
    Number(usize),
}

/// What is wrong with a list of rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Too long, or too many rules.
    #[error("must have at most {RULES_BYTES_MAX} bytes and {RULES_MAX} rules")]
    TooMany,
    /// Not a rule.
    #[error("\"{0}\" is not a rule such as DEFAULT or RULE:[1:$1](pattern)s/from/to/g")]
    Malformed(String),
    /// A parameter or group that does not exist, or a lone `$` or `\`.
    #[error("in \"{0}\" a $ or \\ is followed by something that it cannot stand for")]
    Reference(String),
    /// A regular expression that cannot be used.
    #[error("\"{pattern}\" is not a usable regular expression: {reason}")]
    Pattern {
        /// The expression.
        pattern: String,
        /// Why not.
        reason: String,
    },
}

impl Rules {
    /// Parses a list of rules. `DEFAULT` applies to names in `default_realm`.
    pub fn parse(text: &str, default_realm: &str) -> Result<Rules, RuleError> {
        if text.len() > RULES_BYTES_MAX {
            return Err(RuleError::TooMany);
        }
        let mut rules = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if rules.len() == RULES_MAX {
                return Err(RuleError::TooMany);
            }
            let (rule, behind) = one(rest)?;
            rules.push(rule);
            rest = behind.trim_start();
        }
        Ok(Rules { text: text.to_owned(), rules, default_realm: default_realm.to_owned() })
    }

    /// Changes the realm to whose names `DEFAULT` applies.
    pub fn set_default_realm(&mut self, realm: &str) {
        realm.clone_into(&mut self.default_realm);
    }

    /// The short name; `None` if no rule applies, or if the one that does leaves a `/` or `@`. A
    /// name without host and realm is short already.
    pub(super) fn short_name(&self, principal: &Principal<'_>) -> Option<String> {
        let (realm, service) = match (principal.realm, principal.host) {
            (None, None) => return Some(principal.service.to_owned()),
            (realm, _) => (realm.unwrap_or_default(), principal.service),
        };
        let all = [realm, service, principal.host.unwrap_or_default()];
        let parameters = &all[..2 + usize::from(principal.host.is_some())];
        let result = self.rules.iter().find_map(|rule| match rule {
            Rule::Default => (realm == self.default_realm).then(|| service.to_owned()),
            Rule::Mapping(mapping) => mapping.apply(parameters),
        })?;
        (!result.contains(['/', '@'])).then_some(result)
    }
}

impl Mapping {
    fn apply(&self, parameters: &[&str]) -> Option<String> {
        if parameters.len() != self.components + 1 {
            return None;
        }
        let base = filled(&self.format, |number| parameters[number])?;
        if self.matches.as_ref().is_some_and(|pattern| !pattern.is_match(&base)) {
            return None;
        }
        match &self.substitution {
            None => Some(base),
            Some(substitution) => substitution.apply(&base),
        }
    }
}

impl Substitution {
    fn apply(&self, base: &str) -> Option<String> {
        let mut is_too_long = false;
        let replacement = |found: &Captures<'_>| {
            let group = |number| found.get(number).map_or("", |group| group.as_str());
            filled(&self.to, group).unwrap_or_else(|| {
                is_too_long = true;
                String::new()
            })
        };
        let limit = if self.repeats { 0 } else { 1 };
        let result = self.from.replacen(base, limit, replacement).into_owned();
        (!is_too_long && result.len() <= NAME_BYTES_MAX).then_some(result)
    }
}

/// The text of the parts; `None` if it is too long.
fn filled<'a>(parts: &'a [Part], value: impl Fn(usize) -> &'a str) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        text.push_str(match part {
            Part::Text(text) => text,
            Part::Number(number) => value(*number),
        });
        if text.len() > NAME_BYTES_MAX {
            return None;
        }
    }
    Some(text)
}

/// The rule at the start of the text, and what follows it.
fn one(text: &str) -> Result<(Rule, &str), RuleError> {
    let malformed = || RuleError::Malformed(text.to_owned());
    if let Some(rest) = text.strip_prefix("DEFAULT") {
        return Ok((Rule::Default, rest));
    }
    let rest = text.strip_prefix("RULE:[").ok_or_else(malformed)?;
    let (count, rest) = rest.split_once(':').ok_or_else(malformed)?;
    let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let components = count.parse().ok().filter(|_| is_number).ok_or_else(malformed)?;
    let (format, mut rest) = rest.split_once(']').ok_or_else(malformed)?;
    let mut matches = None;
    if let Some((pattern, behind)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
        matches = Some(compiled(pattern, &format!("^(?:{pattern})$"))?);
        rest = behind;
    }
    let mut substitution = None;
    if let Some(parts) = rest.strip_prefix("s/") {
        let (from, behind) = parts.split_once('/').ok_or_else(malformed)?;
        let (to, behind) = behind.split_once('/').ok_or_else(malformed)?;
        let from = compiled(from, from)?;
        let to = replacement(to, from.captures_len())?;
        let repeats = behind.starts_with('g');
        substitution = Some(Substitution { from, to, repeats });
        rest = if repeats { &behind[1..] } else { behind };
    }
    let format = parameters(format, components)?;
    Ok((Rule::Mapping(Mapping { components, format, matches, substitution }), rest))
}

fn compiled(shown: &str, pattern: &str) -> Result<Regex, RuleError> {
    RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| RuleError::Pattern {
        pattern: shown.to_owned(),
        reason: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
    })
}

/// The parts of a format: `$` with digits is a parameter, of which there is one more than
/// components.
fn parameters(format: &str, components: usize) -> Result<Vec<Part>, RuleError> {
    let wrong = || RuleError::Reference(format.to_owned());
    let mut pieces = format.split('$');
    let mut parts = vec![Part::Text(pieces.next().unwrap_or_default().to_owned())];
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let (number, text) = piece.split_at(digits);
        let number: usize = number.parse().map_err(|_| wrong())?;
        // A name has at most two components, so no rule with more of them ever applies.
        if number > components.min(2) {
            return Err(wrong());
        }
        parts.extend([Part::Number(number), Part::Text(text.to_owned())]);
    }
    Ok(parts)
}

/// The parts of a replacement as Java reads it: `\` before a character stands for that character,
/// `$` with digits for a group. Of several digits those belong to the number that name a group.
fn replacement(text: &str, groups: usize) -> Result<Vec<Part>, RuleError> {
    let wrong = || RuleError::Reference(text.to_owned());
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().ok_or_else(wrong)?),
            '$' => {
                let first = chars.next().and_then(|digit| digit.to_digit(10)).ok_or_else(wrong)?;
                let mut number = first as usize;
                if number >= groups {
                    return Err(wrong());
                }
                while let Some(digit) = chars.peek().and_then(|digit| digit.to_digit(10))
                    && number * 10 + (digit as usize) < groups
                {
                    number = number * 10 + digit as usize;
                    chars.next();
                }
                parts.extend([Part::Text(std::mem::take(&mut plain)), Part::Number(number)]);
            }
            _ => plain.push(c),
        }
    }
    parts.push(Part::Text(plain));
    Ok(parts)
}
