//! The words, quoted texts and signs of a JAAS file.

use std::iter::Peekable;
use std::str::Chars;

use super::JaasError;

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word or a quoted text.
    Text(String),
    /// Any other character.
    Sign(char),
}

/// Splits a text into tokens.
pub(super) struct Tokens<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
    next: Option<Token>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Tokens<'a> {
        Tokens { chars: text.chars().peekable(), line: 1, next: None }
    }

    /// The line of the last token.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn expected(&self, expected: &'static str) -> JaasError {
        JaasError::Expected { line: self.line, expected }
    }

    /// The next token, which stays; `None` at the end of the file.
    pub(super) fn peek(&mut self) -> Result<Option<&Token>, JaasError> {
        if self.next.is_none() {
            self.next = self.read()?;
        }
        Ok(self.next.as_ref())
    }

    fn take(&mut self) -> Result<Option<Token>, JaasError> {
        self.peek()?;
        Ok(self.next.take())
    }

    /// A word or a quoted text.
    pub(super) fn text(&mut self, expected: &'static str) -> Result<String, JaasError> {
        self.text_or_end(expected)?.ok_or(self.expected(expected))
    }

    /// As [`Self::text`]; `None` at the end of the file.
    pub(super) fn text_or_end(&mut self, expected: &'static str) -> Result<Option<String>, JaasError> {
        match self.take()? {
            None => Ok(None),
            Some(Token::Text(text)) => Ok(Some(text)),
            Some(Token::Sign(_)) => Err(self.expected(expected)),
        }
    }

    /// This sign.
    pub(super) fn sign(&mut self, sign: char, expected: &'static str) -> Result<(), JaasError> {
        match self.take()? {
            Some(Token::Sign(found)) if found == sign => Ok(()),
            _ => Err(self.expected(expected)),
        }
    }

    fn read(&mut self) -> Result<Option<Token>, JaasError> {
        self.skip_blanks()?;
        let Some(first) = self.chars.next() else { return Ok(None) };
        if first == '"' {
            return self.quoted().map(|text| Some(Token::Text(text)));
        }
        if !begins_word(first) {
            return Ok(Some(Token::Sign(first)));
        }
        let mut word = String::from(first);
        while let Some(next) = self.chars.next_if(|&c| continues_word(c)) {
            word.push(next);
        }
        Ok(Some(Token::Text(word)))
    }

    /// Skips white space and comments. As in Java, a comment without an end reaches to the end of
    /// the file.
    fn skip_blanks(&mut self) -> Result<(), JaasError> {
        loop {
            match self.chars.peek() {
                Some('\n') => self.line += 1,
                Some(c) if c.is_ascii_control() || *c == ' ' => {}
                Some('/') => {
                    self.chars.next();
                    match self.chars.next() {
                        Some('/') => while self.chars.next_if(|&c| c != '\n').is_some() {},
                        Some('*') => self.skip_comment(),
                        _ => return Err(self.expected("// or /*, or quotes around a value with /")),
                    }
                    continue;
                }
                _ => return Ok(()),
            }
            self.chars.next();
        }
    }

    fn skip_comment(&mut self) {
        let mut previous = ' ';
        for c in self.chars.by_ref() {
            if c == '\n' {
                self.line += 1;
            }
            if previous == '*' && c == '/' {
                return;
            }
            previous = c;
        }
    }

    /// The rest of a quoted text, which ends in the line where it begins.
    fn quoted(&mut self) -> Result<String, JaasError> {
        let mut text = String::new();
        loop {
            match self.chars.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some('\n' | '\r') | None => return Err(self.expected("\" at the end of a quoted text")),
                Some(c) => text.push(c),
            }
        }
    }

    /// The character behind a backslash, by the rules of `StreamTokenizer`.
    fn escaped(&mut self) -> Result<char, JaasError> {
        Ok(match self.chars.next() {
            Some('a') => '\x07',
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\x0b',
            Some(digit @ '0'..='7') => self.octal(digit),
            Some('\n' | '\r') | None => return Err(self.expected("\" at the end of a quoted text")),
            Some(other) => other,
        })
    }

    /// Up to three octal digits, of which the first one of three is at most 3.
    fn octal(&mut self, first: char) -> char {
        let mut number = first as u32 - '0' as u32;
        let digits_max = if first <= '3' { 3 } else { 2 };
        for _ in 1..digits_max {
            let Some(digit) = self.chars.next_if(|c| ('0'..='7').contains(c)) else { break };
            number = number * 8 + (digit as u32 - '0' as u32);
        }
        char::from(number as u8)
    }
}

fn begins_word(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '_' | '$' | '*') || !c.is_ascii()
}

fn continues_word(c: char) -> bool {
    begins_word(c) || c.is_ascii_digit() || matches!(c, '.' | '-')
}
