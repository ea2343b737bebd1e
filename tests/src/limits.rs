//! The bounds of the rig's own queues: a simulation that runs away fails, it does not fill memory.

/// Datagrams that wait in one simulated socket until its owner reads them; more are dropped.
pub const INBOX_DATAGRAMS: usize = 4_096;

/// Datagrams that are under way in one simulated network; more are dropped.
pub const FLIGHT_DATAGRAMS: usize = 65_536;

/// Records that one trace keeps; the trace hash covers all datagrams, recorded or not.
pub const TRACE_RECORDS: usize = 1_000_000;

/// Bytes that a raw client keeps of what the server sent.
pub const RAW_RECEIVED_BYTES: usize = 1 << 20;

/// Lines that are kept of what a process wrote.
pub const OUTPUT_LINES: usize = 2_000;

/// Deeds in the history between two snapshots.
pub const HISTORY_ACTS: usize = 100_000;
