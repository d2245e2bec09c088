use crate::metrics::Block;

/// What happens while load is sent.
#[derive(Debug)]
pub enum Event {
    /// Blocks, or a worker's pieces of blocks, in which nothing can change any more.
    Closed(Vec<Block>),
    /// All blocks that end by this instant of the measured window have been handed out; of side-by-side loads alone.
    Settled { window_ms: u64 },
    /// Four times a second or so.
    Progress {
        elapsed_ms: u64,
        /// Where the measured window begins and ends, once that is known.
        window_ms: Option<(u64, u64)>,
        in_flight: usize,
    },
}
