//! One log of opaque bytes, agreed.
