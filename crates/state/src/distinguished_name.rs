//! The syntax of distinguished names, as far as it decides whether an ACL may have one as its id.

/// Keywords of attributes that Java knows (`sun.security.x509.AVAKeyword`).
const KEYWORDS: &[&str] = &[
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];

/// Whether Java's `X500Principal` takes the text: attributes `keyword=value`, separated by commas,
/// semicolons or plus signs that are neither quoted nor escaped. The empty name is one.
pub(crate) fn is_valid(name: &str) -> bool {
    name.is_empty() || attributes(name).is_some_and(|all| all.into_iter().all(is_attribute))
}

/// The attributes; `None` if a quotation or an escape has no end.
fn attributes(name: &str) -> Option<Vec<&str>> {
    let (mut all, mut start, mut is_quoted) = (Vec::new(), 0, false);
    let mut chars = name.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()?),
            '"' => is_quoted = !is_quoted,
            ',' | ';' | '+' if !is_quoted => {
                all.push(&name[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(&name[start..]);
    (!is_quoted).then_some(all)
}

fn is_attribute(text: &str) -> bool {
    let Some((keyword, _)) = text.split_once('=') else { return false };
    let keyword = keyword.trim();
    let is_known = KEYWORDS.iter().any(|known| known.eq_ignore_ascii_case(keyword));
    is_known || is_object_identifier(keyword)
}

fn is_object_identifier(keyword: &str) -> bool {
    let bare = keyword.strip_prefix("OID.").or(keyword.strip_prefix("oid.")).unwrap_or(keyword);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    bare.split('.').count() >= 2 && bare.split('.').all(is_number)
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    /// Each was given to Java's `X500Principal` (17).
    #[test]
    fn names_are_valid_where_java_takes_them() {
        for (name, expected) in [
            ("CN=a", true),
            ("cn=a, OU=b+OU=c;O=\"x, y\"", true),
            ("CN=a\\,b", true),
            ("1.2.840.113549.1.9.1=#160161,CN=a", true),
            ("OID.1.2.3=#0401ff", true),
            ("", true),
            (" ", false),
            ("CN=", true),
            ("a", false),
            ("CN", false),
            ("X=a", false),
            ("CN=a,", false),
            ("CN=a,b", false),
            ("CN=\"a", false),
            ("CN=a\\", false),
        ] {
            assert_eq!(is_valid(name), expected, "{name:?}");
        }
    }
}
