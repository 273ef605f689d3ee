//! Options and operands of one command, in the syntax of zkCli: options may stand anywhere, several
//! letters may share a dash, and a long option has a single dash.

use super::failure::Failure;

/// An option a command has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Opt {
    /// It is there or not.
    Flag(&'static str),
    /// The word after it belongs to it.
    Value(&'static str),
}

impl Opt {
    fn name(self) -> &'static str {
        match self {
            Self::Flag(name) | Self::Value(name) => name,
        }
    }
}

/// The words of one command, sorted.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    flags: Vec<&'static str>,
    values: Vec<(&'static str, String)>,
    /// Words that are no options, in their order.
    pub(crate) operands: Vec<String>,
}

impl Parsed {
    /// Sorts `words`, which are those after the name of the command.
    ///
    /// # Errors
    /// [`Failure::Usage`] for an option that is not in `known`, or one without its value.
    pub(crate) fn new(words: &[String], known: &[Opt]) -> Result<Self, Failure> {
        let mut parsed = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                parsed.operands.extend(words.by_ref().cloned());
            } else if is_option(word) {
                parsed.option(&word[1..], known, &mut words)?;
            } else {
                parsed.operands.push(word.clone());
            }
        }
        Ok(parsed)
    }

    fn option<'w>(
        &mut self,
        text: &str,
        known: &[Opt],
        words: &mut impl Iterator<Item = &'w String>,
    ) -> Result<(), Failure> {
        if let Some(&option) = known.iter().find(|option| option.name() == text) {
            return self.take(option, words.next_if_value(option));
        }
        for (at, letter) in text.char_indices() {
            let mut buffer = [0; 4];
            let name = &*letter.encode_utf8(&mut buffer);
            let option = known.iter().find(|option| option.name() == name);
            let option = *option.ok_or_else(|| Failure::Usage(format!("there is no option -{text}")))?;
            let rest = &text[at + letter.len_utf8()..];
            if let (Opt::Value(_), false) = (option, rest.is_empty()) {
                return self.take(option, Some(rest.to_owned()));
            }
            self.take(option, words.next_if_value(option))?;
        }
        Ok(())
    }

    fn take(&mut self, option: Opt, value: Option<String>) -> Result<(), Failure> {
        match (option, value) {
            (Opt::Flag(name), _) => self.flags.push(name),
            (Opt::Value(name), Some(value)) => self.values.push((name, value)),
            (Opt::Value(name), None) => return Err(Failure::Usage(format!("-{name} needs a value"))),
        }
        Ok(())
    }

    /// Whether the flag is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.flags.contains(&name)
    }

    /// The value of an option; of several the last one.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// The value of an option as a number.
    ///
    /// # Errors
    /// [`Failure::Usage`] if it is not a number, or out of range.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let parse = |text: &str| {
            let number = text.parse();
            number.map_err(|_| Failure::Usage(format!("-{name} needs a number in range, not '{text}'")))
        };
        self.value(name).map(parse).transpose()
    }

    /// An operand that may be missing.
    pub(crate) fn operand(&self, index: usize) -> Option<&str> {
        self.operands.get(index).map(String::as_str)
    }
}

/// A dash alone is an operand, and so is a negative number: `set /a -5`.
fn is_option(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && rest.parse::<f64>().is_err())
}

trait NextIfValue {
    fn next_if_value(&mut self, option: Opt) -> Option<String>;
}

impl<'w, I: Iterator<Item = &'w String>> NextIfValue for I {
    /// The word after the option, if the option takes one.
    fn next_if_value(&mut self, option: Opt) -> Option<String> {
        if matches!(option, Opt::Value(_)) { self.next().cloned() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Opt] = &[Opt::Flag("s"), Opt::Flag("w"), Opt::Value("v"), Opt::Value("members")];

    fn parse(words: &[&str]) -> Result<Parsed, Failure> {
        Parsed::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), KNOWN)
    }

    #[test]
    fn options_stand_anywhere_and_share_a_dash() {
        let parsed = parse(&["/a", "-sw", "-v", "-1", "data", "-members", "x"]).unwrap();
        assert!(parsed.has("s") && parsed.has("w") && !parsed.has("v"));
        assert_eq!(parsed.number("v").unwrap(), Some(-1));
        assert_eq!(parsed.value("members"), Some("x"));
        assert_eq!(parsed.operands, ["/a", "data"]);
        assert_eq!(parse(&["-sv3", "/a"]).unwrap().value("v"), Some("3"));
    }

    #[test]
    fn dashes_that_are_no_options() {
        let parsed = parse(&["/a", "-", "-5", "--", "-s"]).unwrap();
        assert_eq!(parsed.operands, ["/a", "-", "-5", "-s"]);
        assert!(!parsed.has("s"));
    }

    #[test]
    fn unknown_options_and_missing_values_are_refused() {
        for words in [&["-x"][..], &["-sx"], &["--long"], &["-v"]] {
            assert!(matches!(parse(words), Err(Failure::Usage(_))), "{words:?}");
        }
        assert!(parse(&["-v", "x"]).unwrap().number::<i32>("v").is_err());
    }
}
