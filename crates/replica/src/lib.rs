//! One member of one group: engine and machine as one deterministic loop.
