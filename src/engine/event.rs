use crate::metrics::Block;

/// What happens while load is sent.
#[derive(Debug)]
pub enum Event {
    /// Blocks, or a worker's pieces of blocks, in which nothing can change any more.
    Closed(Vec<Block>),
    /// Four times a second or so.
    Progress {
        elapsed_ms: u64,
        /// Where the measured window begins and ends, once that is known.
        window_ms: Option<(u64, u64)>,
        in_flight: usize,
    },
}
