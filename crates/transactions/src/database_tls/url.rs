//! The parameters of a URL that are about TLS.

/// Takes these parameters out of a URL. What is left of it, and the value of each that was there,
/// the last if it was there twice.
pub(crate) fn take_parameters<const N: usize>(url: &str, names: [&str; N]) -> (String, [Option<String>; N]) {
    let mut taken = [const { None }; N];
    let Some((start, query)) = url.split_once('?') else { return (url.to_owned(), taken) };
    let mut left = Vec::new();
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match names.iter().position(|known| *known == name) {
            Some(index) => taken[index] = Some(decoded(value)),
            None => left.push(parameter),
        }
    }
    match left.is_empty() {
        true => (start.to_owned(), taken),
        false => (format!("{start}?{}", left.join("&")), taken),
    }
}

/// A value with its percent signs resolved; one that is not part of a number stays.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let number = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let number = number.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match number.filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_out() {
        let (left, [mode, root]) =
            take_parameters("p://a:b@c/d?x=1&mode=all&root=%2Fa%20b%zz", ["mode", "root"]);
        assert_eq!(left, "p://a:b@c/d?x=1");
        assert_eq!((mode.as_deref(), root.as_deref()), (Some("all"), Some("/a b%zz")));
        for (url, expected) in [("p://c/d", "p://c/d"), ("p://c/d?root=", "p://c/d")] {
            assert_eq!(take_parameters(url, ["mode", "root"]).0, expected);
        }
    }
}
