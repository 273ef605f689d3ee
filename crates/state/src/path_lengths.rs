//! Which ancestors of a path need a lookup.

use std::collections::BTreeMap;

/// The lengths in bytes of a set of paths, with multiplicity.
///
/// Looking up every ancestor of a path takes quadratic time in its depth, and a path can have half
/// as many levels as bytes. An ancestor can only be in the set if some path in it has the same
/// length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathLengths(BTreeMap<usize, usize>);

impl PathLengths {
    pub(crate) fn add(&mut self, path: &str) {
        *self.0.entry(path.len()).or_default() += 1;
    }

    /// Reverts an [`add`](Self::add).
    pub(crate) fn remove(&mut self, path: &str) {
        let count = self.0.get_mut(&path.len()).expect("only what was added is removed");
        *count -= 1;
        if *count == 0 {
            self.0.remove(&path.len());
        }
    }

    /// Whether the set may contain this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.contains_key(&path.len())
    }

    /// The path and its ancestors that the set may contain, longest first.
    pub(crate) fn candidates<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        let ends_a_name =
            |length: &usize| *length == 1 || *length == path.len() || path.as_bytes()[*length] == b'/';
        let lengths = self.0.range(1..=path.len().max(1)).rev().map(|(length, _)| *length);
        lengths.filter(move |length| *length <= path.len()).filter(ends_a_name).map(|length| &path[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(paths: &[&str]) -> PathLengths {
        let mut lengths = PathLengths::default();
        paths.iter().for_each(|path| lengths.add(path));
        lengths
    }

    #[test]
    fn only_whole_names_of_a_known_length_are_candidates() {
        let lengths = lengths(&["/", "/a", "/bb", "/a/b/cc/d", "/a/b/c/dd/e"]);
        let candidates: Vec<&str> = lengths.candidates("/x/y/zz/q").collect();
        assert_eq!(candidates, ["/x/y/zz/q", "/x", "/"]);
        assert_eq!(lengths.candidates("/").collect::<Vec<_>>(), ["/"]);
        assert_eq!(lengths.candidates("").count(), 0);
    }

    #[test]
    fn a_length_is_removed_with_its_last_path() {
        let mut lengths = lengths(&["/a", "/b"]);
        lengths.remove("/a");
        assert!(lengths.has("/c"));
        lengths.remove("/b");
        assert!(lengths == PathLengths::default());
    }
}
