//! The list `key=value,…` of which tokens consist.

use super::Refused;

/// The directives of one token.
#[derive(Debug)]
pub(super) struct Directives(Vec<(String, Vec<u8>)>);

impl Directives {
    /// Parses a token. Keys are case-insensitive; white space and empty elements are skipped; text
    /// behind the last `,` without `=` is ignored. All as in Java.
    pub(super) fn parse(token: &[u8]) -> Result<Directives, Refused> {
        let mut all = Vec::new();
        let mut rest = token;
        loop {
            rest = skip(rest, |byte| byte == b',' || is_blank(byte));
            let Some(equals) = rest.iter().position(|&byte| byte == b'=') else {
                return Ok(Directives(all));
            };
            let key = std::str::from_utf8(rest[..equals].trim_ascii()).map_err(|_| Refused::Malformed)?;
            if key.is_empty() || key.bytes().any(|byte| byte == b',' || is_blank(byte)) {
                return Err(Refused::Malformed);
            }
            let (value, behind) = value(skip(&rest[equals + 1..], is_blank))?;
            all.push((key.to_ascii_lowercase(), value));
            rest = skip(behind, is_blank);
            if !matches!(rest.first(), None | Some(b',')) {
                return Err(Refused::Malformed);
            }
        }
    }

    /// The value of a directive that may stand at most once.
    pub(super) fn one(&self, key: &'static str) -> Result<Option<&[u8]>, Refused> {
        let mut values = self.all(key);
        let value = values.next();
        if values.next().is_some() { Err(Refused::Directive(key)) } else { Ok(value) }
    }

    /// The value of a directive that stands exactly once.
    pub(super) fn needed(&self, key: &'static str) -> Result<&[u8], Refused> {
        self.one(key)?.ok_or(Refused::Directive(key))
    }

    /// The values of a directive.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| &value[..])
    }

    /// Text of a directive in the encoding that the token names: UTF-8, or ISO 8859-1.
    pub(super) fn text(&self, key: &'static str, value: &[u8]) -> Result<String, Refused> {
        match self.one("charset")? {
            None => Ok(value.iter().copied().map(char::from).collect()),
            Some(b"utf-8") => String::from_utf8(value.to_vec()).map_err(|_| Refused::Directive(key)),
            Some(_) => Err(Refused::Directive("charset")),
        }
    }
}

/// The value at the start, and what follows it.
fn value(input: &[u8]) -> Result<(Vec<u8>, &[u8]), Refused> {
    let Some((b'"', quoted)) = input.split_first() else {
        let end = input.iter().position(|&byte| byte == b',' || is_blank(byte)).unwrap_or(input.len());
        return Ok((input[..end].to_vec(), &input[end..]));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return Ok((value, &quoted[at + 1..])),
            b'\\' => value.push(*bytes.next().ok_or(Refused::Malformed)?.1),
            _ => value.push(byte),
        }
    }
    Err(Refused::Malformed)
}

/// The value in quotes.
pub(super) fn quoted(value: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    out
}

fn skip(bytes: &[u8], skipped: impl Fn(u8) -> bool) -> &[u8] {
    let start = bytes.iter().position(|&byte| !skipped(byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
