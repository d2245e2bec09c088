use crate::error_class::ErrorClass;

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Failed(ErrorClass),
    /// Still in flight when the drain deadline or an interrupt cut it: neither a success nor an error.
    Cut,
}

/// One request. All instants are nanoseconds since the start of the look's schedule.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Index into the look's endpoints.
    pub endpoint: usize,
    /// When the request should have gone out.
    pub planned_ns: u64,
    /// When it did, before a connection was acquired.
    pub sent_ns: u64,
    /// Last byte of the body.
    pub done_ns: u64,
    pub outcome: Outcome,
    /// The iteration arrived before the measured window began.
    pub warmup: bool,
}

impl Sample {
    /// done − planned: free of coordinated omission.
    #[must_use]
    pub fn response_ns(&self) -> u64 {
        self.done_ns.saturating_sub(self.planned_ns)
    }

    /// done − sent.
    #[must_use]
    pub fn service_ns(&self) -> u64 {
        self.done_ns.saturating_sub(self.sent_ns)
    }

    /// A lower bound only: the real time would have been longer.
    #[must_use]
    pub fn is_censored(&self) -> bool {
        matches!(self.outcome, Outcome::Cut | Outcome::Failed(ErrorClass::Timeout))
    }
}
