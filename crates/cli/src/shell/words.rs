//! Lines into words, as a Unix shell splits them.
//!
//! Blanks separate words. `'…'` keeps everything, `"…"` everything but `\"` and `\\`, and `\`
//! outside of quotes the one character after it. There are no variables, patterns or comments
//! inside a line.

/// One word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Byte offset of its first character, which may be a quote.
    pub(crate) start: usize,
    /// The word without quotes and escapes.
    pub(crate) text: String,
}

/// A line taken apart, finished or not: completion reads lines that are still being typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// All words; the last one may be unfinished.
    pub(crate) words: Vec<Word>,
    /// The quote that was not closed, or a `\` with nothing after it.
    pub(crate) open: Option<char>,
    /// Whether the line ends inside a word, so that the next character would belong to it.
    pub(crate) in_word: bool,
}

/// Takes a line apart.
pub(crate) fn scan(line: &str) -> Scan {
    let mut scan = Scan::default();
    let mut characters = line.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if scan.open.is_none() && character.is_whitespace() {
            scan.in_word = false;
            continue;
        }
        if !scan.in_word {
            scan.in_word = true;
            scan.words.push(Word { start: at, text: String::new() });
        }
        let word = &mut scan.words.last_mut().expect("a word was begun").text;
        match (scan.open, character) {
            (Some(quote), _) if character == quote => scan.open = None,
            (Some('"'), '\\') => match characters.next_if(|&(_, next)| next == '"' || next == '\\') {
                Some((_, next)) => word.push(next),
                None => word.push('\\'),
            },
            (Some(_), _) => word.push(character),
            (None, '\'' | '"') => scan.open = Some(character),
            (None, '\\') => match characters.next() {
                Some((_, next)) => word.push(next),
                None => scan.open = Some('\\'),
            },
            (None, _) => word.push(character),
        }
    }
    scan
}

/// The words of a finished line.
///
/// # Errors
/// The quote that is missing its partner.
pub(crate) fn split(line: &str) -> Result<Vec<String>, String> {
    let scan = scan(line);
    match scan.open {
        None => Ok(scan.words.into_iter().map(|word| word.text).collect()),
        Some('\\') => Err("the line ends with a single \\".to_owned()),
        Some(quote) => Err(format!("a closing {quote} is missing")),
    }
}

/// The text as one word of a line.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_whitespace() || matches!(character, '\'' | '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    if out.is_empty() { "''".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (line, expected) in [
            ("", &[][..]),
            ("  ls   /  ", &["ls", "/"]),
            ("create /a 'hello world' ", &["create", "/a", "hello world"]),
            (r#"create /a "x \"y\" \\ \n""#, &["create", "/a", r#"x "y" \ \n"#]),
            (r"set /a\ b c\\d", &["set", "/a b", r"c\d"]),
            (r#"set /a '' "" x'y'"z""#, &["set", "/a", "", "", "xyz"]),
            (r"get 'a\'", &["get", r"a\"]),
        ] {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn an_open_quote_is_an_error() {
        assert!(split("set /a 'x").unwrap_err().contains('\''));
        assert!(split("set /a \"x'").unwrap_err().contains('"'));
        assert!(split(r"set /a \").unwrap_err().contains('\\'));
    }

    #[test]
    fn an_unfinished_line_says_where_its_last_word_begins() {
        let seen = scan(r"get /a\ b/'c ");
        assert_eq!(seen.words[1], Word { start: 4, text: "/a b/c ".into() });
        assert_eq!((seen.open, seen.in_word), (Some('\''), true));
        assert!(!scan("get ").in_word);
    }

    #[test]
    fn a_quoted_text_is_one_word_again() {
        for text in ["/a", "/a b", "it's \"so\"", r"a\b", "", "/ä\tö"] {
            assert_eq!(split(&quote(text)).unwrap(), [text]);
        }
    }
}
