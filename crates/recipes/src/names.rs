//! Names of the znodes of participants, as Curator and kazoo have them.

/// Whose names the znodes of a recipe get. Every client of one lock has to order all others, so
/// choose the layout of the other clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// `_c_GUID-lock-0000000001`, as Apache Curator's. kazoo takes part with
    /// `extra_lock_patterns=["-lock-"]`.
    #[default]
    Curator,
    /// `GUID__lock__0000000001`, as kazoo's.
    Kazoo,
}

/// The kind of a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Lock,
    Read,
    Write,
    Latch,
    Lease,
}

impl Kind {
    /// What stands between the unique part and the number.
    pub(crate) fn mark(self, layout: Layout) -> &'static str {
        match (layout, self) {
            (Layout::Curator, Self::Lock) => "-lock-",
            (Layout::Curator, Self::Read) => "-__READ__",
            (Layout::Curator, Self::Write) => "-__WRIT__",
            (Layout::Curator, Self::Latch) => "-latch-",
            (_, Self::Lease) => "-lease-",
            (Layout::Kazoo, Self::Read) => "__rlock__",
            (Layout::Kazoo, Self::Lock | Self::Write | Self::Latch) => "__lock__",
        }
    }

    /// The name of a new participant up to its number.
    pub(crate) fn prefix(self, layout: Layout, unique: &str) -> String {
        let protection = if layout == Layout::Curator || self == Self::Lease { "_c_" } else { "" };
        format!("{protection}{unique}{}", self.mark(layout))
    }
}

/// Whether the name is that of a reader, in either layout.
pub(crate) fn is_reader(name: &str) -> bool {
    name.contains("__READ__") || name.contains("__rlock__")
}

/// The number that the server has put at the end of a name; `None` for a name without one. The
/// numbers of one parent rise until it has had 2^31 children.
pub(crate) fn sequence(name: &str) -> Option<i64> {
    let number = name.get(name.len().checked_sub(10)?..)?;
    if number.bytes().all(|byte| byte.is_ascii_digit()) { number.parse().ok() } else { None }
}

/// A name that nobody else chooses: a random UUID, with or without its hyphens.
pub(crate) fn unique(layout: Layout) -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match layout {
        Layout::Kazoo => hex,
        Layout::Curator => [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_the_last_ten_digits() {
        for (name, expected) in [
            ("_c_6d6e8a2e-7a9f-4d3f-8a55-0123456789ab-lock-0000000012", Some(12)),
            ("0123456789abcdef0123456789abcdef__lock__0000000007", Some(7)),
            ("_c_x-__READ__2147483647", Some(2_147_483_647)),
            ("1234567890123", Some(4_567_890_123)),
            ("", None),
            ("lock-", None),
            ("lock-12", None),
            ("ä234567890", None),
        ] {
            assert_eq!(sequence(name), expected, "{name}");
        }
    }

    #[test]
    fn unique_names_are_uuids() {
        let (curator, kazoo) = (unique(Layout::Curator), unique(Layout::Kazoo));
        assert_eq!((curator.len(), kazoo.len()), (36, 32));
        assert_eq!(&curator[14..15], "4");
        assert_ne!(unique(Layout::Kazoo), kazoo);
        assert_eq!(Kind::Lock.prefix(Layout::Curator, "u"), "_c_u-lock-");
        assert_eq!(Kind::Read.prefix(Layout::Kazoo, "u"), "u__rlock__");
    }
}
