//! The nodes by which a client of ClickHouse finds out what a server can do (reference 3).
//!
//! They are virtual: `/keeper/feature_flags`, `/keeper/api_version` and `/keeper/max_request_size`
//! can be read under their paths, and are nowhere else. Nothing of them is in the tree, so `ls /`
//! of a ZooKeeper client shows what a ZooKeeper shows, snapshots and digests know nothing of them,
//! and they come and go with the setting. A client that creates nodes of these names gets them: a
//! node of the tree goes before a virtual one. `/keeper` itself is not there, since nothing asks
//! for it.
//!
//! Writes do not see them: to create, set or delete one is to do so with a node that does not exist.

use wire::stat::Stat;

use super::{Found, Shown};
use crate::acl_table::OPEN_BYTES;

const FEATURE_FLAGS: &str = "/keeper/feature_flags";
const API_VERSION: &str = "/keeper/api_version";
const MAX_REQUEST_SIZE: &str = "/keeper/max_request_size";

/// Flags 0–10 and 14: filtered list, multi read, check not exists, create if not exists, remove
/// recursive, multi watches, check stat, persistent watches | create with stats, try remove, list
/// with stat and data, max request size. Flag n is bit 7 - n % 8 of byte n / 8. Flags 11 to 13,
/// recursive children and creates with a TTL or of a container in Keeper's form, are not
/// implemented.
const FLAGS: &[u8] = &[0b1111_1111, 0b1110_0010];

/// What a client without knowledge of the flags may take for granted: `GET_RECURSIVE`, 6.
const VERSION: &[u8] = b"6";

/// World, anyone, READ would be more exact; but who may do what with a node that cannot be changed is no question.
const ACL: &[u8] = OPEN_BYTES;

/// Whether only a client of ClickHouse asks for this path.
pub(super) fn is_announcement(path: &str) -> bool {
    matches!(path, FEATURE_FLAGS | API_VERSION | MAX_REQUEST_SIZE)
}

pub(super) fn find(path: &str, request_bytes_max: u32) -> Option<Found<'static>> {
    let data = match path {
        FEATURE_FLAGS => Shown::Stored(Some(FLAGS)),
        API_VERSION => Shown::Stored(Some(VERSION)),
        // ClickHouse's client refuses a larger request itself, with both sizes in the message.
        MAX_REQUEST_SIZE => Shown::Made(request_bytes_max.to_string()),
        _ => return None,
    };
    let length = data.len();
    let stat = Stat { data_length: length as i32, ..Stat::default() };
    Some(Found { id: None, stat, data, acl: ACL })
}
