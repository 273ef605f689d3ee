//! File descriptors: as many as the system allows, with some reserved for the most important uses.
//!
//! Any host that can reach a port can take descriptors, and a server without free ones cannot
//! switch to its next log segment, write a snapshot or accept other servers. So before a connection
//! is accepted for good, its descriptor number is checked. The system gives out the lowest free
//! number: all below it are in use.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Most descriptors kept from clients; a quarter of the limit where that is less.
const RESERVE_MAX: u64 = 96;

/// What a connection is for. Each use may take what the uses before it must leave.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    /// Clients, of any number.
    Client,
    /// The AdminServer and the metrics.
    Operator,
    /// Other servers. What they must leave is for files.
    Server,
}

impl Use {
    /// Thirds of the reserve that this use leaves free.
    fn thirds_left(self) -> u64 {
        match self {
            Use::Client => 3,
            Use::Operator => 2,
            Use::Server => 1,
        }
    }
}

/// Raises the soft limit to the hard limit.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!("the limit of file descriptors (ulimit -n) stays at {current:?}: {e}");
    }
}

/// Whether a new connection leaves enough descriptors for more important uses.
pub(crate) fn leaves_room(connection: &impl AsFd, purpose: Use) -> bool {
    let number = u64::try_from(connection.as_fd().as_raw_fd()).unwrap_or(0);
    getrlimit(Resource::Nofile).current.is_none_or(|limit| number < ceiling(limit, purpose))
}

/// The number that a connection's descriptor must stay below.
fn ceiling(limit: u64, purpose: Use) -> u64 {
    let reserve = (limit / 4).min(RESERVE_MAX);
    limit - reserve * purpose.thirds_left() / 3
}

/// Whether only the connection being accepted has failed, so that the next one may be accepted at
/// once. Any other failure, such as a lack of descriptors or memory, would recur immediately.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::INTR
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_most_and_files_get_the_last_ones() {
        for limit in [16, 100, 1024, 1 << 20] {
            let left =
                [Use::Client, Use::Operator, Use::Server].map(|purpose| limit - ceiling(limit, purpose));
            assert!(left[0] > left[1] && left[1] > left[2] && left[2] > 0, "{limit}: {left:?}");
            assert!(left[0] <= limit / 4, "{limit}: {left:?}");
        }
        assert_eq!(ceiling(1024, Use::Client), 928);
    }

    #[test]
    fn a_lack_of_descriptors_is_not_the_failure_of_one_connection() {
        let is_gone = |errno: Errno| is_gone(&io::Error::from(errno));
        assert!(is_gone(Errno::CONNABORTED) && is_gone(Errno::PROTO));
        assert!(
            ![Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::INVAL]
                .map(is_gone)
                .contains(&true)
        );
    }
}
