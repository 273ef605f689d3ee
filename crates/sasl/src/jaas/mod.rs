//! JAAS login configuration files, with the grammar of Java's `ConfigFile`.
//!
//! ```text
//! file    = section*
//! section = name "{" module* "}" ";"
//! module  = class flag (key "=" value)* ";"
//! flag    = "required" | "requisite" | "sufficient" | "optional"      (in any case)
//! ```
//!
//! Names, classes, keys and values are words or quoted. A word begins with a letter, `_` or `$`
//! and continues with letters, digits and `.`, `-`, `_`, `$`, `*`. Comments are those of Java.

mod tokens;

use crate::Secret;
use tokens::{Token, Tokens};

/// A longer file is not a JAAS file.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// The content of a JAAS file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JaasFile {
    sections: Vec<Section>,
}

/// One section: the login modules of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    name: String,
    modules: Vec<Module>,
}

/// One login module of a section. The flag is checked and not kept: it orders the attempts of a
/// login, and a server does not log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The name of its Java class.
    pub class: String,
    options: Vec<(String, Secret)>,
}

impl Module {
    /// The value of an option; of the last one if the file has several.
    pub fn option(&self, key: &str) -> Option<&Secret> {
        self.options.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// All options in the order of the file. A later one of the same key replaces an earlier one.
    pub fn options(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.options.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// What is wrong with a file. It names no values, since they may be passwords.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JaasError {
    /// The file is too long.
    #[error("the file is longer than {FILE_BYTES_MAX} bytes")]
    TooLong,
    /// Bytes that are not UTF-8.
    #[error("line {line}: the text is not UTF-8")]
    NotUtf8 {
        /// Number of the line, from 1.
        line: usize,
    },
    /// Something else stands where this was expected.
    #[error("line {line}: expected {expected}")]
    Expected {
        /// Number of the line, from 1.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// A second section of the same name.
    #[error("line {line}: the section {name} stands twice in the file")]
    SectionTwice {
        /// Number of the line, from 1.
        line: usize,
        /// Name of the section.
        name: String,
    },
    /// A value with `${…}`.
    #[error("line {line}: the value of {key} uses a Java property; write out what it stands for")]
    Property {
        /// Number of the line, from 1.
        line: usize,
        /// Key of the option.
        key: String,
    },
}

impl JaasFile {
    /// Parses the bytes of a file. Java refuses everything that is refused here, except for
    /// properties in values, which do not exist outside of Java.
    pub fn parse(bytes: &[u8]) -> Result<JaasFile, JaasError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(JaasError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|error| JaasError::NotUtf8 {
            line: 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count(),
        })?;
        let mut tokens = Tokens::new(text.trim_start_matches('\u{feff}'));
        let mut sections: Vec<Section> = Vec::new();
        while let Some(name) = tokens.text_or_end("the name of a section")? {
            if sections.iter().any(|section| section.name == name) {
                return Err(JaasError::SectionTwice { line: tokens.line(), name });
            }
            sections.push(Section { name, modules: modules(&mut tokens)? });
        }
        Ok(JaasFile { sections })
    }

    /// The modules of a section; `None` if there is no such section, or none in it.
    pub fn section(&self, name: &str) -> Option<&[Module]> {
        let section = self.sections.iter().find(|section| section.name == name)?;
        (!section.modules.is_empty()).then_some(&section.modules[..])
    }
}

/// The modules of one section, with the braces and the semicolon around them.
fn modules(tokens: &mut Tokens<'_>) -> Result<Vec<Module>, JaasError> {
    tokens.sign('{', "{")?;
    let mut modules = Vec::new();
    while tokens.peek()? != Some(&Token::Sign('}')) {
        modules.push(module(tokens)?);
    }
    tokens.sign('}', "}")?;
    tokens.sign(';', "; behind the } of a section")?;
    Ok(modules)
}

fn module(tokens: &mut Tokens<'_>) -> Result<Module, JaasError> {
    let class = tokens.text("the class of a login module or }")?;
    const FLAG: &str = "required, requisite, sufficient or optional";
    let flag = tokens.text(FLAG)?;
    if !["required", "requisite", "sufficient", "optional"].iter().any(|f| f.eq_ignore_ascii_case(&flag)) {
        return Err(tokens.expected(FLAG));
    }
    let mut options = Vec::new();
    while tokens.peek()? != Some(&Token::Sign(';')) {
        let key = tokens.text("the key of an option, or ; behind the last one")?;
        tokens.sign('=', "= behind the key of an option")?;
        let value = tokens.text("a value; anything but a plain word needs double quotes")?;
        options.push((key.clone(), Secret::new(expanded(value, key, tokens.line())?)));
    }
    tokens.sign(';', ";")?;
    Ok(Module { class, options })
}

/// The value with `${/}` replaced, which Java does as well. `${{` and a `${` without end stay as
/// they are.
fn expanded(value: String, key: String, line: usize) -> Result<String, JaasError> {
    let value = value.replace("${/}", "/");
    let mut rest = value.as_str();
    while let Some(at) = rest.find("${") {
        rest = &rest[at + 2..];
        if !rest.starts_with('{') && rest.contains('}') {
            return Err(JaasError::Property { line, key });
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
