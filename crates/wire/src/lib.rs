//! The ZooKeeper protocol as bytes and nouns.
