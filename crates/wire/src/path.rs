//! Znode paths as text: validity and components.

/// Why a string is not a valid znode path. Positions are byte offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// The empty string.
    #[error("the path is empty")]
    Empty,
    /// Not starting at the root.
    #[error("the path does not start with '/'")]
    Relative,
    /// A slash after the last name.
    #[error("the path ends with '/'")]
    TrailingSlash,
    /// Two slashes with no name between them.
    #[error("an empty name at byte {0}")]
    EmptyName(usize),
    /// A name `.` or `..`.
    #[error("a relative name at byte {0}")]
    RelativeName(usize),
    /// A character not allowed in names.
    #[error("character U+{character:04X} at byte {at}")]
    Character {
        /// The character.
        character: u32,
        /// Its position.
        at: usize,
    },
}

/// Checks a path by ZooKeeper's rules: it starts at the root and has no trailing slash, no empty or
/// relative name and none of the characters of [`is_refused`].
pub fn validate(path: &str) -> Result<(), InvalidPath> {
    if path == "/" { Ok(()) } else { validate_names(path, false) }
}

/// Checks the path of a sequential create, to which a number will be appended. It may end with a
/// slash, and its last name may be `.` or `..`, since the number makes that a legal name.
pub fn validate_sequential(path: &str) -> Result<(), InvalidPath> {
    validate_names(path, true)
}

fn validate_names(path: &str, digits_follow: bool) -> Result<(), InvalidPath> {
    let Some(names) = path.strip_prefix('/') else {
        return Err(if path.is_empty() && !digits_follow {
            InvalidPath::Empty
        } else {
            InvalidPath::Relative
        });
    };
    if !digits_follow && names.ends_with('/') {
        return Err(InvalidPath::TrailingSlash);
    }
    let mut start = 1;
    let mut only_ascii = true;
    for (at, byte) in path.bytes().enumerate().skip(1) {
        match byte {
            b'/' => {
                check_name(&path[start..at], start)?;
                start = at + 1;
            }
            0..=0x1F | 0x7F => return Err(InvalidPath::Character { character: u32::from(byte), at }),
            _ => only_ascii &= byte.is_ascii(),
        }
    }
    if !digits_follow {
        check_name(&path[start..], start)?;
    }
    if only_ascii { Ok(()) } else { check_characters(path) }
}

#[inline]
fn check_name(name: &str, start: usize) -> Result<(), InvalidPath> {
    match name {
        "" => Err(InvalidPath::EmptyName(start)),
        "." | ".." => Err(InvalidPath::RelativeName(start)),
        _ => Ok(()),
    }
}

fn check_characters(path: &str) -> Result<(), InvalidPath> {
    match path.char_indices().find(|&(_, character)| is_refused(character)) {
        Some((at, character)) => Err(InvalidPath::Character { character: u32::from(character), at }),
        None => Ok(()),
    }
}

/// Whether paths must not contain the character.
///
/// ZooKeeper checks UTF-16 units and refuses D800–F8FF, which includes the surrogates D800–DFFF. So
/// every character that needs a surrogate pair, from U+10000 on, is refused too.
pub fn is_refused(character: char) -> bool {
    matches!(u32::from(character), 0..=0x1F | 0x7F..=0x9F | 0xD800..=0xF8FF | 0xFFF0..)
}

/// The parent path: `/a` for `/a/b`, `/` for `/a`. The root is its own parent.
#[inline]
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(slash) => &path[..slash],
    }
}

/// The last name: `b` for `/a/b`, empty for the root.
#[inline]
pub fn name(path: &str) -> &str {
    match path.rfind('/') {
        Some(slash) => &path[slash + 1..],
        None => path,
    }
}

/// Appends to `out` the path of `name` under `parent`.
#[inline]
pub fn join(parent: &str, name: &str, out: &mut String) {
    out.push_str(parent);
    if !parent.ends_with('/') {
        out.push('/');
    }
    out.push_str(name);
}
