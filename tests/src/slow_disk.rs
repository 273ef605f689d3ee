//! A disk that takes its time, or hangs, whenever a test wants it to.
//!
//! The server's process is started with a little library (`LD_PRELOAD`) that wraps `fdatasync` and
//! delays it. A file says for how long, so that it can be changed while the server runs; a flush
//! that waits already heeds it too.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::preloaded::{PRELOAD, Preloaded};

/// Names the file with the delay, in microseconds.
const VARIABLE: &str = "OSTLER_TEST_FLUSH_DELAY";

const SOURCE: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long delay_us(void) {
    char text[24] = {0};
    const char *path = getenv("OSTLER_TEST_FLUSH_DELAY");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}

int fdatasync(int file) {
    long waited_us = 0, left_us;
    while ((left_us = delay_us() - waited_us) > 0) {
        long some_us = left_us < 20000 ? left_us : 20000;
        usleep(some_us);
        waited_us += some_us;
    }
    return syscall(SYS_fdatasync, file);
}
"#;

/// The library, built once for an ensemble.
#[derive(Debug)]
pub struct SlowDisks {
    library: Preloaded,
}

impl SlowDisks {
    /// Builds the library.
    ///
    /// # Panics
    /// If there is no C compiler: without one there would be no server either.
    pub fn build() -> SlowDisks {
        SlowDisks { library: Preloaded::build(SOURCE) }
    }

    /// Lets a process that is about to start have a disk that can be made slow, by this name.
    pub fn give(&self, name: u8, command: &mut Command) {
        self.give_to(name, |variable, value| {
            command.env(variable, value);
        });
    }

    /// The same, by the variables of its environment.
    pub fn give_to(&self, name: u8, mut set: impl FnMut(&str, PathBuf)) {
        set(PRELOAD, self.library.library());
        set(VARIABLE, self.library.file(&file(name)));
    }

    /// From now on, until changed, each flush takes this much longer.
    pub fn set(&self, name: u8, delay: Duration) {
        self.library.set(&file(name), delay.as_micros() as i128);
    }
}

/// The file with the delay of a disk.
fn file(name: u8) -> String {
    format!("delay-{name}")
}
