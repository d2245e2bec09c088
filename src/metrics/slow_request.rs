use serde::{Deserialize, Serialize};

/// One request that took long, to be found in the target's traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlowRequest {
    /// 32 hexadecimal digits, as in `traceparent`.
    pub trace_id: String,
    /// From the planned instant.
    pub response_ms: f64,
    /// When it was planned, since the measured window began.
    pub at_ms: u64,
    /// Whether it failed too.
    pub failed: bool,
}

impl SlowRequest {
    /// So many are kept of an endpoint.
    pub const MOST: usize = 10;

    /// Keeps the slowest, in their order, the same ones whatever the order in which they come.
    pub fn keep(all: &mut Vec<Self>) {
        all.sort_by(|a, b| b.response_ms.total_cmp(&a.response_ms).then_with(|| a.trace_id.cmp(&b.trace_id)));
        all.truncate(Self::MOST);
    }
}
