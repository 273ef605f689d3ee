//! What a connection string says about TLS, which tokio-postgres knows in part only.

use std::path::PathBuf;

use tokio_postgres::Config;

use super::encryption::Encryption;
use super::session::text;
use crate::database_tls::{DatabaseCa, take_parameters};
use crate::participant::Trouble;

/// What is ours in a connection string, as libpq calls it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

/// Reads a connection string. `ca` is what it trusts if it names no file, and with it TLS is wanted
/// unless the string says otherwise.
///
/// # Errors
/// [`Trouble::Unfit`].
pub(super) fn read(
    connection: &str,
    ca: Option<&DatabaseCa>,
) -> Result<(Config, Option<Encryption>), Trouble> {
    let (rest, wanted) = split(connection);
    let config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
        Trouble::Unfit(format!("the connection string of PostgreSQL: {}", text(&error)))
    })?;
    let named = wanted.sslrootcert.map(PathBuf::from);
    let named = named.map(|path| DatabaseCa::read(&path)).transpose()?;
    let encryption = encryption(wanted.sslmode.as_deref(), named.as_ref().or(ca))?;
    Ok((config, encryption))
}

/// TLS as libpq understands its modes, but for `allow` and `prefer`, which promise nothing: they
/// are connections without TLS.
fn encryption(mode: Option<&str>, ca: Option<&DatabaseCa>) -> Result<Option<Encryption>, Trouble> {
    let unfit = |why: String| Trouble::Unfit(format!("the connection string of PostgreSQL: {why}"));
    let trusting =
        |ca: &DatabaseCa, checks_host| Ok(Some(Encryption::new(ca.configuration(checks_host), Some(ca))));
    match (mode, ca) {
        (None, None) | (Some("disable" | "allow" | "prefer"), _) => Ok(None),
        (Some("require"), None) => Ok(Some(Encryption::of_anybody())),
        (Some("require" | "verify-ca"), Some(ca)) => trusting(ca, false),
        (None | Some("verify-full"), Some(ca)) => trusting(ca, true),
        (Some(mode @ ("verify-ca" | "verify-full")), None) => {
            Err(unfit(format!("sslmode={mode} needs the certificates to trust, sslrootcert=FILE")))
        }
        (Some(other), _) => Err(unfit(format!(
            "sslmode={other} is not known: it is disable, allow, prefer, require, verify-ca or verify-full"
        ))),
    }
}

/// Takes what is ours out of a connection string.
fn split(connection: &str) -> (String, Wanted) {
    if ["postgres://", "postgresql://"].iter().any(|scheme| connection.starts_with(scheme)) {
        let (rest, [sslmode, sslrootcert]) = take_parameters(connection, ["sslmode", "sslrootcert"]);
        return (rest, Wanted { sslmode, sslrootcert });
    }
    let (mut left, mut wanted, mut rest) = (String::new(), Wanted::default(), connection);
    while let Some((name, _)) = rest.split_once('=') {
        let (value, length) = value(&rest[name.len() + 1..]);
        let (word, after) = rest.split_at(name.len() + 1 + length);
        match name.trim() {
            "sslmode" => wanted.sslmode = Some(value),
            "sslrootcert" => wanted.sslrootcert = Some(value),
            _ => left += word,
        }
        rest = after;
    }
    // What is wrong there, the parser of the rest says.
    (left + rest, wanted)
}

/// The value at the start of a text, in quotes or up to the next space, and the bytes that it
/// takes.
fn value(text: &str) -> (String, usize) {
    let start = text.len() - text.trim_start().len();
    let mut characters = text[start..].char_indices().peekable();
    let is_quoted = characters.next_if(|(_, first)| *first == '\'').is_some();
    let mut value = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if is_quoted => return (value, start + at + 1),
            space if !is_quoted && space.is_whitespace() => return (value, start + at),
            other => value.push(other),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(sslmode: Option<&str>, sslrootcert: Option<&str>) -> Wanted {
        Wanted { sslmode: sslmode.map(str::to_owned), sslrootcert: sslrootcert.map(str::to_owned) }
    }

    #[test]
    fn what_is_said_of_tls_is_taken_out_of_a_connection_string() {
        let full = wanted(Some("verify-full"), Some("/a b/c'd"));
        for (text, left) in [
            (
                r"host=h sslmode=verify-full password='a \' sslmode=b' sslrootcert = '/a b/c\'d' port=1",
                "host",
            ),
            (r"sslrootcert=/a\ b/c\'d  sslmode = 'verify-full'", ""),
            ("postgres://u@h/d?sslmode=verify-full&sslrootcert=/a%20b/c%27d", "postgres://u@h/d"),
        ] {
            let (rest, found) = split(text);
            assert_eq!(found, full, "{text}");
            assert!(rest.trim().starts_with(left) && !rest.contains("verify"), "{rest}");
            assert!(rest.parse::<Config>().is_ok(), "{rest}");
        }
        let (rest, found) = split(r"host=h password='a \' sslmode=b' port=1");
        assert_eq!((rest.as_str(), found), (r"host=h password='a \' sslmode=b' port=1", Wanted::default()));
    }

    #[test]
    fn a_mode_that_cannot_be_kept_is_an_error_that_says_what_to_do() {
        for (text, says) in [
            ("host=h sslmode=verify-full", "needs the certificates to trust, sslrootcert=FILE"),
            ("host=h sslmode=always", "sslmode=always is not known"),
            ("host=h sslmode=require sslrootcert=/does/not/exist", "/does/not/exist"),
            ("host", "the connection string of PostgreSQL"),
        ] {
            let Err(Trouble::Unfit(why)) = read(text, None) else { panic!("{text} is taken") };
            assert!(why.contains(says), "{why}");
        }
        assert!(read("host=h sslmode=prefer", None).unwrap().1.is_none());
        assert!(read("host=h sslmode=require", None).unwrap().1.is_some());
    }
}
