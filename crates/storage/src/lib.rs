//! Log and snapshots on disk: bytes that survive a crash.
