//! A stop of `ostler lock` and its like between getting a hold and starting the command.
//!
//! The process is started with a little library (`LD_PRELOAD`) that stops it (`SIGSTOP`) when it
//! asks for the path of its own program, which it does to start a command.

use crate::preloaded::{PRELOAD, Preloaded};

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t readlink(const char *restrict path, char *restrict buffer, size_t size) {
    if (!strcmp(path, "/proc/self/exe")) raise(SIGSTOP);
    return syscall(SYS_readlinkat, AT_FDCWD, path, buffer, size);
}
"#;

/// Stops the processes that it is given to before they start a command.
#[derive(Debug)]
pub struct StoppedStart {
    library: Preloaded,
}

impl StoppedStart {
    /// Builds the library.
    ///
    /// # Panics
    /// If there is no C compiler: without one there would be no server either.
    pub fn build() -> StoppedStart {
        StoppedStart { library: Preloaded::build(SOURCE) }
    }

    /// What a process needs in its environment to be stopped.
    pub fn environment(&self) -> (&'static str, String) {
        (PRELOAD, self.library.library().display().to_string())
    }
}
