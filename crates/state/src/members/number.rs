//! The numbers of servers (`myid`, `server.N`), and the ids of their members in the consensus
//! group.
//!
//! A server becomes a new member with each new disk: an id is never reused, since other members
//! remember its promises.
//!
//! ```text
//!   33 … 20 │ 19 … 0
//!   ────────┼────────
//!    disk   │ server        disks are counted from 1, so no id is 0, which means none in consensus
//! ```
//! An id fits into the 34 bits that a Paxos ballot reserves for it.

/// The number of a server, from 0 to [`SERVER_ID_MAX`].
pub type ServerId = u32;

const SERVER_BITS: u32 = 20;
const DISK_BITS: u32 = 14;

/// The highest server number. ZooKeeper accepts any `long`.
pub const SERVER_ID_MAX: ServerId = (1 << SERVER_BITS) - 1;

/// Member ids are below this.
pub const MEMBER_ID_LIMIT: u64 = 1 << (SERVER_BITS + DISK_BITS);

/// Parses a server number; `None` if it is invalid or too high.
pub fn parse_server_id(text: &str) -> Option<ServerId> {
    text.parse().ok().filter(|number| *number <= SERVER_ID_MAX)
}

/// The id of a server's member with its first disk.
pub fn first_member_id(server: ServerId) -> u64 {
    1 << SERVER_BITS | u64::from(server)
}

/// The id of the same server's member with its next disk; `None` after the last one.
pub fn next_member_id(id: u64) -> Option<u64> {
    Some(id + (1 << SERVER_BITS)).filter(|next| *next < MEMBER_ID_LIMIT)
}

/// The server of a member.
pub fn server_of_id(id: u64) -> ServerId {
    (id & u64::from(SERVER_ID_MAX)) as ServerId
}

/// The number of a member's disk within its server.
pub fn disk_of_id(id: u64) -> u64 {
    id >> SERVER_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disk_of_every_server_has_a_distinct_nonzero_id() {
        let mut ids = Vec::new();
        for server in [0, 1, 255, 256, SERVER_ID_MAX] {
            let all = std::iter::successors(Some(first_member_id(server)), |id| next_member_id(*id));
            for (id, disk) in all.zip(1..) {
                assert_eq!((server_of_id(id), disk_of_id(id)), (server, disk));
                assert!((1..MEMBER_ID_LIMIT).contains(&id));
                ids.push(id);
            }
        }
        assert_eq!(ids.len(), 5 * ((1 << DISK_BITS) - 1));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 5 * ((1 << DISK_BITS) - 1));
    }

    #[test]
    fn numbers_of_servers() {
        for (text, number) in [
            ("0", Some(0)),
            ("256", Some(256)),
            ("1048575", Some(SERVER_ID_MAX)),
            ("1048576", None),
            ("-1", None),
            ("4294967297", None),
            ("", None),
            ("1a", None),
        ] {
            assert_eq!(parse_server_id(text), number, "{text}");
        }
    }
}
