//! Passwords, which no message, log line or `Debug` output shows.

use std::fmt;

use zeroize::Zeroizing;

/// A password. Its memory is overwritten when it is dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// The content of a password file: as ZooKeeper reads it, without the line end that editors
    /// append.
    ///
    /// # Errors
    /// The bytes are not UTF-8.
    pub fn from_file(bytes: Vec<u8>) -> Result<Secret, std::string::FromUtf8Error> {
        let text = Zeroizing::new(String::from_utf8(bytes)?);
        Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
    }

    /// The text, for the one who decrypts with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is no password.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }

    #[test]
    fn a_password_file_may_end_with_a_line_end() {
        for (bytes, expected) in [("p w", "p w"), ("pw\n", "pw"), ("pw\r\n", "pw"), (" pw \n", " pw ")] {
            assert_eq!(Secret::from_file(bytes.into()), Ok(Secret::new(expected)), "{bytes:?}");
        }
        assert!(Secret::from_file(vec![0xff]).is_err());
    }
}
