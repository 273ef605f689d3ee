//! Data of znodes as text.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Data as base64.
pub(crate) fn base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Base64 as data.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("not base64: {error}"))
}

/// Data for the eye: text as it is, except that bytes which are not UTF-8 become `\xNN`, and on a
/// terminal also control characters.
pub(crate) fn readable(data: &[u8], on_terminal: bool) -> Cow<'_, str> {
    match std::str::from_utf8(data) {
        Ok(text) if !on_terminal || !text.chars().any(steers) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(data)),
    }
}

fn steers(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\t')
}

fn escaped(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len() * 2);
    let escape = |out: &mut String, bytes: &[u8]| {
        for byte in bytes {
            let _ = write!(out, "\\x{byte:02x}");
        }
    };
    for chunk in data.utf8_chunks() {
        for character in chunk.valid().chars() {
            if steers(character) {
                escape(&mut out, character.encode_utf8(&mut [0; 4]).as_bytes());
            } else if character == '\\' {
                out.push_str("\\\\");
            } else {
                out.push(character);
            }
        }
        escape(&mut out, chunk.invalid());
    }
    out
}

/// Data as hexadecimal lines of 16 bytes with their offset and the printable characters among them.
pub(crate) fn hex_dump(data: &[u8]) -> String {
    let mut out = String::new();
    for (row, line) in data.chunks(16).enumerate() {
        let _ = write!(out, "{:08x}  ", row * 16);
        for column in 0..16 {
            match line.get(column) {
                Some(byte) => {
                    let _ = write!(out, "{byte:02x} ");
                }
                None => out.push_str("   "),
            }
        }
        let printable = |&byte: &u8| if matches!(byte, b' '..=b'~') { byte as char } else { '.' };
        out.push_str(" |");
        out.extend(line.iter().map(printable));
        out.push_str("|\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_and_bytes_are_escaped() {
        assert_eq!(readable("häß\n".as_bytes(), true), "häß\n");
        assert_eq!(readable(b"a\xff\\b\x00", false), "a\\xff\\\\b\\x00");
        assert_eq!(readable(b"\x1b[31m", false), "\x1b[31m");
        assert_eq!(readable(b"\x1b[31m", true), "\\x1b[31m");
    }

    #[test]
    fn a_hex_dump_has_offset_bytes_and_text() {
        let dump = hex_dump(b"0123456789abcdef\xff");
        let lines: Vec<&str> = dump.lines().collect();
        assert_eq!(lines[0], "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|");
        assert!(lines[1].starts_with("00000010  ff   ") && lines[1].ends_with(" |.|"));
        assert_eq!(hex_dump(b""), "");
    }

    #[test]
    fn base64_goes_both_ways() {
        assert_eq!(from_base64(&base64(b"\x00\xff")).unwrap(), b"\x00\xff");
        assert!(from_base64("?").is_err());
    }
}
