//! Telling ClickHouse's clients from ZooKeeper's, which announce themselves alike.

use wire::jute::Reader;
use wire::opcode::Opcode;
use wire::record::Request;

use super::virtual_nodes;

/// Whose form of the protocol a client understands where ZooKeeper and ClickHouse Keeper encode the
/// same answer differently: the failed parts of a multiRead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// A failed part is -1 with its error twice (`MultiOperationRecord`).
    #[default]
    ZooKeeper,
    /// A failed part keeps the number of its operation and has no body
    /// (`ZooKeeperMultiResponse::writeImpl` of ClickHouse).
    Keeper,
}

impl Dialect {
    /// The dialect of a client of the extensions that sends this request: Keeper's if the request
    /// looks for what announces the extensions, or is one of them; otherwise it stays as it was.
    /// ClickHouse's client reads the announcement right after each handshake.
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
                // Neither client understands a write there.
                let is_neithers = |part: &Request<'_>| {
                    matches!(part, Request::Create(_) | Request::Delete(_) | Request::SetData(_))
                };
                let is_either_clients =
                    |part: &Request<'_>| matches!(part, Request::GetData(_) | Request::GetChildren(_));
                parts.iter().any(|part| !is_either_clients(&part) && !is_neithers(&part))
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
