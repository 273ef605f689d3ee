//! The wall clock of one process, which a test can set.
//!
//! The process is started with a little library (`LD_PRELOAD`) that adds an offset to what
//! `clock_gettime`, `gettimeofday` and `time` tell of the wall clock. A file says how much, so that
//! the clock can jump while the process runs. Monotonic clocks, and the clock of the machine, are
//! left alone.

use crate::preloaded::{PRELOAD, Preloaded};

/// Names the file with the offset, in seconds.
const VARIABLE: &str = "OSTLER_TEST_CLOCK_OFFSET";

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset_s(void) {
    char text[24] = {0};
    const char *path = environ ? getenv("OSTLER_TEST_CLOCK_OFFSET") : 0;
    long file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (file < 0) return 0;
    long length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    return length > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset_s();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed) now->tv_sec += offset_s();
    return failed;
}

time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}
"#;

/// The file with the offset.
const OFFSET: &str = "offset";

/// The clock of the processes that it is given to.
#[derive(Debug)]
pub struct Clock {
    library: Preloaded,
}

impl Clock {
    /// A clock that tells the right time.
    ///
    /// # Panics
    /// If there is no C compiler: without one there would be no server either.
    pub fn build() -> Clock {
        Clock { library: Preloaded::build(SOURCE) }
    }

    /// What a process needs in its environment to have this clock.
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables = [(PRELOAD, self.library.library()), (VARIABLE, self.library.file(OFFSET))];
        variables.map(|(name, path)| (name.to_owned(), path.display().to_string())).into()
    }

    /// Sets the clock forward by this number of seconds, or back if it is negative.
    pub fn jump(&self, seconds: i64) {
        self.library.set(OFFSET, seconds.into());
    }
}
