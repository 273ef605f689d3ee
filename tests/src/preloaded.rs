//! A little library that a process is started with, and the numbers that it reads while it runs.
//!
//! It replaces functions of the C library. That takes a C compiler, which building the server takes
//! as well, and a process that is linked dynamically.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Names the library to the loader.
pub(crate) const PRELOAD: &str = "LD_PRELOAD";

/// A built library, and a file for each number.
#[derive(Debug)]
pub(crate) struct Preloaded {
    folder: TempDir,
}

impl Preloaded {
    /// Builds a library from C.
    ///
    /// # Panics
    /// If there is no C compiler: without one there would be no server either.
    pub(crate) fn build(source: &str) -> Preloaded {
        let preloaded = Preloaded { folder: tempfile::tempdir().expect("a temporary folder") };
        let file = preloaded.file("library.c");
        fs::write(&file, source).expect("write a source file");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(preloaded.library()).arg(&file);
        let built = compiler.output().expect("a C compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        preloaded
    }

    /// The value of [`PRELOAD`].
    pub(crate) fn library(&self) -> PathBuf {
        self.file("library.so")
    }

    /// The file of a number; the library takes a missing one for 0.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes a number.
    pub(crate) fn set(&self, name: &str, number: i128) {
        // A reader must never meet half a number.
        let new = self.file("new");
        fs::write(&new, number.to_string()).expect("write a number");
        fs::rename(&new, self.file(name)).expect("set a number");
    }
}
