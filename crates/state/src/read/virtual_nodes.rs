//! The nodes by which ClickHouse's clients discover a server's capabilities.
//!
//! They are virtual: `/keeper/feature_flags`, `/keeper/api_version` and `/keeper/max_request_size`
//! can be read by path, but are not in the tree. So `ls /` shows a ZooKeeper client what ZooKeeper
//! shows, snapshots and digests do not contain them, and they depend only on the setting. A client
//! can create nodes with these names: a node in the tree takes precedence over a virtual one.
//! `/keeper` itself does not exist, since no client reads it.
//!
//! Writes do not see them: creating, setting or deleting one acts on a node that does not exist.

use wire::stat::Stat;

use super::{Found, Shown};
use crate::acl_table::OPEN_BYTES;

const FEATURE_FLAGS: &str = "/keeper/feature_flags";
const API_VERSION: &str = "/keeper/api_version";
const MAX_REQUEST_SIZE: &str = "/keeper/max_request_size";

/// Flags 0–10 and 14: filtered list, multi read, check not exists, create if not exists, remove
/// recursive, multi watches, check stat, persistent watches | create with stats, try remove, list
/// with stat and data, max request size. Flag n is bit 7 - n % 8 of byte n / 8. Flags 11 to 13,
/// recursive children and creates with a TTL or of a container in Keeper's format, are not
/// implemented.
const FLAGS: &[u8] = &[0b1111_1111, 0b1110_0010];

/// The capabilities that a client unaware of the flags may assume: `GET_RECURSIVE`, 6.
const VERSION: &[u8] = b"6";

/// World, anyone, READ would be more accurate, but permissions do not matter for a node that cannot
/// be changed.
const ACL: &[u8] = OPEN_BYTES;

/// Whether only ClickHouse's clients read this path.
pub(super) fn is_announcement(path: &str) -> bool {
    matches!(path, FEATURE_FLAGS | API_VERSION | MAX_REQUEST_SIZE)
}

pub(super) fn find(path: &str, request_bytes_max: u32) -> Option<Found<'static>> {
    let data = match path {
        FEATURE_FLAGS => Shown::Stored(Some(FLAGS)),
        API_VERSION => Shown::Stored(Some(VERSION)),
        // ClickHouse's client itself refuses a larger request, and reports both sizes.
        MAX_REQUEST_SIZE => Shown::Made(request_bytes_max.to_string()),
        _ => return None,
    };
    let length = data.len();
    let stat = Stat { data_length: length as i32, ..Stat::default() };
    Some(Found { id: None, stat, data, acl: ACL })
}
