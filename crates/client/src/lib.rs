//! A blocking client of the ZooKeeper protocol.
