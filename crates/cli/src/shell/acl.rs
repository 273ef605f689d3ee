//! ACLs as zkCli writes them: `scheme:id:perms`, separated by commas.

use wire::Acl;
use wire::acl::perms;

use super::failure::Failure;

/// Letters of the permissions, in zkCli's order.
const LETTERS: [(char, i32); 5] = [
    ('c', perms::CREATE),
    ('d', perms::DELETE),
    ('r', perms::READ),
    ('w', perms::WRITE),
    ('a', perms::ADMIN),
];

/// Reads an ACL. The id may have colons and is the text between the first and the last one.
///
/// # Errors
/// [`Failure::Usage`] naming the entry that is wrong. zkCli skips such an entry; an ACL that is not
/// the one asked for is worse than none.
pub(crate) fn parse(text: &str) -> Result<Vec<Acl>, Failure> {
    text.split(',').map(entry).collect()
}

fn entry(text: &str) -> Result<Acl, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("'{text}' in the ACL: {why}"));
    let form = || wrong("expected scheme:id:perms");
    let (scheme, rest) = text.split_once(':').ok_or_else(form)?;
    let (id, letters) = rest.rsplit_once(':').ok_or_else(form)?;
    let sum =
        sum(letters).map_err(|letter| wrong(&format!("there is no permission '{letter}', only cdrwa")))?;
    Ok(Acl::new(sum, scheme, id))
}

/// The sum of the permissions with these letters.
///
/// # Errors
/// The first letter that is no permission.
pub(crate) fn sum(letters: &str) -> Result<i32, char> {
    letters.chars().try_fold(0, |sum, letter| {
        let known = LETTERS.iter().find(|(known, _)| *known == letter);
        known.map(|(_, bit)| sum | bit).ok_or(letter)
    })
}

/// The letters of a sum of permissions.
pub(crate) fn letters(sum: i32) -> String {
    LETTERS.iter().filter(|(_, bit)| sum & bit != 0).map(|(letter, _)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_scheme_id_and_letters() {
        let list = parse("world:anyone:r,digest:bob:h=:cdrwa,ip:::1:").unwrap();
        let expected =
            [Acl::new(1, "world", "anyone"), Acl::new(31, "digest", "bob:h="), Acl::new(0, "ip", "::1")];
        assert_eq!(list, expected);
        assert_eq!(letters(31), "cdrwa");
        assert_eq!(letters(perms::READ | perms::ADMIN), "ra");
    }

    #[test]
    fn a_wrong_entry_is_not_skipped() {
        for text in ["", "world", "world:anyone", "world:anyone:rx", "world:anyone:r,"] {
            assert!(matches!(parse(text), Err(Failure::Usage(_))), "{text}");
        }
    }
}
