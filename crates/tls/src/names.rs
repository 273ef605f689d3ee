//! Distinguished names: as text, in the form in which ZooKeeper compares them, and in a form in
//! which two encodings of the same name are equal.

use x509_parser::asn1_rs::Tag;
use x509_parser::der_parser::ber::Class;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The attributes that have a keyword in RFC 2253, by the content of their object identifier.
const KEYWORDS: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];

/// The name as `X500Principal.getName()` of Java writes it, after RFC 2253: the most specific part
/// first, without spaces, attributes without a keyword there as the hexadecimal bytes of their
/// value.
pub(crate) fn rfc2253(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let part = |rdn: &&x509_parser::x509::RelativeDistinguishedName<'_>| {
        rdn.iter().map(attribute).collect::<Vec<_>>().join("+")
    };
    parts.iter().rev().map(part).collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    let keyword = KEYWORDS.iter().find(|(bytes, _)| *bytes == oid.as_bytes());
    match keyword {
        Some((_, keyword)) if is_text(attribute) => format!("{keyword}={}", escaped(attribute.as_slice())),
        keyword => {
            let value = attribute.attr_value();
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let name = keyword.map_or_else(|| oid.to_id_string(), |(_, keyword)| (*keyword).to_owned());
            format!("{name}=#{:02x}{}{}", value.tag().0, hex(&length(value.data.len())), hex(value.data))
        }
    }
}

/// A length in DER.
fn length(bytes: usize) -> Vec<u8> {
    if let Ok(short @ 0..=0x7f) = u8::try_from(bytes) {
        return vec![short];
    }
    let be = bytes.to_be_bytes();
    let digits: Vec<u8> = be.into_iter().skip_while(|byte| *byte == 0).collect();
    [&[0x80 | digits.len() as u8], &digits[..]].concat()
}

fn is_text(attribute: &AttributeTypeAndValue<'_>) -> bool {
    let value = attribute.attr_value();
    let tags = [
        Tag::Utf8String,
        Tag::PrintableString,
        Tag::Ia5String,
        Tag::T61String,
        Tag::GeneralString,
        Tag::BmpString,
        Tag::UniversalString,
    ];
    value.class() == Class::Universal && tags.contains(&value.tag())
}

/// As Java escapes: every special character wherever it stands, and white space at either end.
fn escaped(value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value);
    let is_blank = |c: char| matches!(c, ' ' | '\r');
    let leading = value.len() - value.trim_start_matches(is_blank).len();
    let trailing = value.trim_end_matches(is_blank).len();
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        match c {
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => out.extend(['\\', c]),
            '\0' => out.push_str("\\00"),
            _ if at < leading || at >= trailing => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

/// Bytes that are equal for names that are equal: the case of letters, the amount of white space
/// and the kind of string do not matter, as in Java.
pub(crate) fn canonical(name: &X509Name<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for rdn in name.iter_rdn() {
        let mut attributes: Vec<Vec<u8>> = rdn.iter().map(canonical_attribute).collect();
        attributes.sort_unstable();
        put(&mut out, &attributes.concat());
    }
    out
}

fn canonical_attribute(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, attribute.attr_type().as_bytes());
    let value = attribute.attr_value();
    let is_comparable = [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String].contains(&value.tag());
    match std::str::from_utf8(value.data) {
        Ok(text) if is_comparable => {
            let words: Vec<&str> = text.split_whitespace().collect();
            put(&mut out, words.join(" ").to_lowercase().as_bytes());
        }
        _ => {
            put(&mut out, &value.tag().0.to_be_bytes());
            put(&mut out, value.data);
        }
    }
    out
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_and_outer_spaces_are_escaped() {
        for (value, expected) in [
            ("plain name", "plain name"),
            ("a,b=c+d", "a\\,b\\=c\\+d"),
            ("#x", "\\#x"),
            ("a#b", "a\\#b"),
            (" a ", "\\ a\\ "),
            ("  ", "\\ \\ "),
            ("a\0b", "a\\00b"),
            ("\u{e9}", "\u{e9}"),
            ("", ""),
        ] {
            assert_eq!(escaped(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn lengths_are_those_of_der() {
        assert_eq!(length(5), [5]);
        assert_eq!(length(0x80), [0x81, 0x80]);
        assert_eq!(length(0x1234), [0x82, 0x12, 0x34]);
    }
}
