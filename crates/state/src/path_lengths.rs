//! Which ancestors of a path are worth a look.

use std::collections::BTreeMap;

/// The lengths in bytes of some paths, each counted as often as it occurs.
///
/// To look up every ancestor of a path takes the square of its depth, and a path may have half as
/// many levels as bytes. An ancestor can only be one of the paths in question if one of them has
/// its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathLengths(BTreeMap<usize, usize>);

impl PathLengths {
    pub(crate) fn add(&mut self, path: &str) {
        *self.0.entry(path.len()).or_default() += 1;
    }

    /// Takes back an [`add`](Self::add).
    pub(crate) fn remove(&mut self, path: &str) {
        let count = self.0.get_mut(&path.len()).expect("only what was added is removed");
        *count -= 1;
        if *count == 0 {
            self.0.remove(&path.len());
        }
    }

    /// Whether one of the paths may be this one.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.contains_key(&path.len())
    }

    /// The path and those of its ancestors that may be among the paths, the longest first.
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
    fn a_length_is_forgotten_with_its_last_path() {
        let mut lengths = lengths(&["/a", "/b"]);
        lengths.remove("/a");
        assert!(lengths.has("/c"));
        lengths.remove("/b");
        assert!(lengths == PathLengths::default());
    }
}
