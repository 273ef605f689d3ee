//! Distinguishing ClickHouse's clients from ZooKeeper's, whose handshakes look alike.

use wire::jute::Reader;
use wire::opcode::Opcode;
use wire::record::Request;

use super::virtual_nodes;

/// The protocol variant a client expects where ZooKeeper and ClickHouse Keeper encode the same
/// answer differently: for the failed parts of a multiRead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// A failed part has opcode -1 and its error twice (`MultiOperationRecord`).
    #[default]
    ZooKeeper,
    /// A failed part keeps its opcode and has no body (ClickHouse's
    /// `ZooKeeperMultiResponse::writeImpl`).
    Keeper,
}

impl Dialect {
    /// The dialect of a client, given that it sends this request and the extensions are enabled:
    /// Keeper's if the request reads a node that announces the extensions or is an extension
    /// itself; otherwise unchanged. ClickHouse's client reads the announcement right after each
    /// handshake.
    #[must_use]
    pub fn after(self, opcode: i32, body: &[u8]) -> Dialect {
        if self == Dialect::Keeper || is_of_keepers_client(opcode, body) { Dialect::Keeper } else { self }
    }
}

fn is_of_keepers_client(opcode: i32, body: &[u8]) -> bool {
    match Opcode::from_i32(opcode) {
        Some(Opcode::GetData | Opcode::Exists) => {
            Reader::new(body).ustring().is_ok_and(|path| path.is_some_and(virtual_nodes::is_announcement))
        }
        Some(op @ (Opcode::Multi | Opcode::MultiRead)) => match Request::decode(op, body) {
            Ok(Request::Multi(parts)) => parts.iter().any(|part| is_extension(part.opcode())),
            Ok(Request::MultiRead(parts)) => {
                // Neither client sends a write there.
                let is_write = |part: &Request<'_>| {
                    matches!(part, Request::Create(_) | Request::Delete(_) | Request::SetData(_))
                };
                let is_common_read =
                    |part: &Request<'_>| matches!(part, Request::GetData(_) | Request::GetChildren(_));
                parts.iter().any(|part| !is_common_read(&part) && !is_write(&part))
            }
            _ => false,
        },
        Some(op) => is_extension(op),
        None => false,
    }
}

fn is_extension(opcode: Opcode) -> bool {
    opcode as i32 >= Opcode::FilteredList as i32
}
