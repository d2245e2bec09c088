use std::collections::BTreeMap;

use crate::metrics::{Block, EarlyStop, EndpointPlan};
use crate::verdict::{Piece, Sequential};

/// Puts the arms' blocks together as they close, and hands them to the early stop once they are whole.
pub struct Early {
    test: Sequential,
    /// Measured time before this segment.
    before_ms: u64,
    /// Endpoints an arm.
    an_arm: usize,
    /// By endpoint and the block's place: the control's, the candidate's.
    open: BTreeMap<(usize, u64), [Block; 2]>,
}

impl Early {
    pub fn new(plans: &[EndpointPlan], sigma_dep: f64) -> Self {
        let test = Sequential::new(&plans.iter().collect::<Vec<_>>(), sigma_dep);
        Self { test, before_ms: 0, an_arm: plans.len(), open: BTreeMap::new() }
    }

    /// Blocks, or pieces of some, with both arms' endpoints numbered in one row.
    pub fn take(&mut self, blocks: &[Block]) {
        for block in blocks.iter().filter(|block| !block.warmup) {
            let (arm, endpoint) = (block.endpoint / self.an_arm, block.endpoint % self.an_arm);
            let both = self.open.entry((endpoint, block.index)).or_default();
            let Some(own) = both.get_mut(arm) else { continue };
            own.merge(block);
            (own.start_ms, own.len_ms) = (block.start_ms, block.len_ms);
        }
    }

    /// All blocks that end by this instant of the segment's window are whole. What ends the run, once there is anything.
    pub fn settled(&mut self, window_ms: u64) -> Option<&EarlyStop> {
        let whole = |[control, candidate]: &[Block; 2]| {
            let block = if candidate.len_ms > 0 { candidate } else { control };
            block.start_ms + block.len_ms <= window_ms
        };
        let (ready, open) = std::mem::take(&mut self.open).into_iter().partition(|(_, both)| whole(both));
        self.open = open;
        let ready: BTreeMap<(usize, u64), [Block; 2]> = ready;
        for ((endpoint, _), [control, candidate]) in &ready {
            // What only one arm has is no pair.
            if candidate.len_ms == 0 || control.len_ms == 0 {
                continue;
            }
            let time = (self.before_ms + candidate.start_ms, candidate.len_ms);
            self.test.add(*endpoint, time, piece(candidate), piece(control));
        }
        self.test.decide(self.before_ms + window_ms)
    }

    /// The segment is over: nothing of it is open any more.
    pub fn ended(&mut self, window_ms: u64) -> Option<EarlyStop> {
        let stop = self.settled(u64::MAX - self.before_ms).cloned();
        self.open.clear();
        let at_ms = self.before_ms + window_ms;
        self.before_ms = at_ms;
        stop.map(|stop| EarlyStop { at_ms: stop.at_ms.min(at_ms), ..stop })
    }
}

fn piece(block: &Block) -> Piece<'_> {
    Piece { requests: block.planned, errors: block.error_count(), response: &block.response }
}
