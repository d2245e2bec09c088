use std::collections::BTreeMap;

use super::block::{Block, BlockGrid};
use super::histogram::Histogram;
use super::sample::Sample;

const WARMUP_GRID_NS: u64 = 250_000_000;

/// A worker's own record of its requests: open blocks, handed out once nothing in them can change.
pub struct Recorder {
    grids: Vec<BlockGrid>,
    open: BTreeMap<Key, OpenBlock>,
    /// sent − planned of each arrival's first request in the measured window, a histogram for each endpoint.
    lag: Vec<Histogram>,
}

type Key = (usize, bool, u64);

#[derive(Default)]
struct OpenBlock {
    in_flight: u64,
    block: Block,
}

impl Recorder {
    #[must_use]
    pub fn new(grids: Vec<BlockGrid>) -> Self {
        let lag = vec![Histogram::default(); grids.len()];
        Self { grids, open: BTreeMap::new(), lag }
    }

    /// A request planned at `planned_ns` is about to be sent. `window_ns` is where the measured window begins.
    pub fn started(&mut self, endpoint: usize, planned_ns: u64, warmup: bool, window_ns: u64) {
        self.slot(endpoint, planned_ns, warmup, window_ns).in_flight += 1;
    }

    /// The counterpart of [`Recorder::started`].
    pub fn finished(&mut self, sample: &Sample, window_ns: u64) {
        let slot = self.slot(sample.endpoint, sample.planned_ns, sample.warmup, window_ns);
        slot.in_flight -= 1;
        slot.block.add(sample);
    }

    /// A step that was not tried, at the instant where its iteration ended.
    pub fn skipped(&mut self, endpoint: usize, at_ns: u64, warmup: bool, window_ns: u64) {
        self.slot(endpoint, at_ns, warmup, window_ns).block.skipped += 1;
    }

    pub fn lag(&mut self, endpoint: usize, lag_ns: u64) {
        self.lag[endpoint].record(lag_ns);
    }

    /// Hands out every block that ends by `released_ns` (no later arrival can fall into it) and waits for no response.
    pub fn close_until(&mut self, released_ns: u64, window_ns: u64) -> Vec<Block> {
        let grids = &self.grids;
        let closed: Vec<Key> = self
            .open
            .iter()
            .filter(|((endpoint, warmup, index), open)| {
                let (length, last, origin) = if *warmup {
                    (WARMUP_GRID_NS, false, 0)
                } else {
                    let grid = grids[*endpoint];
                    (grid.length_ns, *index + 1 >= grid.count, window_ns)
                };
                !last && open.in_flight == 0 && origin.saturating_add((index + 1) * length) <= released_ns
            })
            .map(|(key, _)| *key)
            .collect();
        closed.iter().filter_map(|key| self.open.remove(key)).map(|open| open.block).collect()
    }

    /// Hands out all that is left, and the send lags.
    #[must_use]
    pub fn finish(self) -> (Vec<Block>, Vec<Histogram>) {
        (self.open.into_values().map(|open| open.block).collect(), self.lag)
    }

    fn slot(&mut self, endpoint: usize, at_ns: u64, warmup: bool, window_ns: u64) -> &mut OpenBlock {
        let (index, length_ns) = if warmup {
            (at_ns / WARMUP_GRID_NS, WARMUP_GRID_NS)
        } else {
            let grid = self.grids[endpoint];
            (grid.index(at_ns.saturating_sub(window_ns)), grid.length_ns)
        };
        self.open.entry((endpoint, warmup, index)).or_insert_with(|| OpenBlock {
            in_flight: 0,
            block: Block {
                endpoint,
                index,
                warmup,
                start_ms: index * length_ns / 1_000_000,
                len_ms: length_ns / 1_000_000,
                ..Block::default()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::Outcome;
    use super::*;
    use crate::error_class::ErrorClass;

    fn merged(recorders: Vec<Recorder>) -> BTreeMap<Key, Block> {
        let mut all: BTreeMap<Key, Block> = BTreeMap::new();
        for block in recorders.into_iter().flat_map(|recorder| recorder.finish().0) {
            match all.entry((block.endpoint, block.warmup, block.index)) {
                std::collections::btree_map::Entry::Occupied(mut same) => same.get_mut().merge(&block),
                std::collections::btree_map::Entry::Vacant(new) => drop(new.insert(block)),
            }
        }
        all
    }

    proptest! {
        #[test]
        fn samples_split_over_recorders_merge_to_what_one_recorder_holds(
            samples in proptest::collection::vec((0usize..3, 0u64..8_000_000_000, 1u64..3_000_000_000, 0u8..4, 0usize..4), 1..200),
        ) {
            let grids = vec![BlockGrid::new(200.0, 6_000_000_000); 3];
            let window_ns = 2_000_000_000;
            let mut one = Recorder::new(grids.clone());
            let mut many: Vec<_> = (0..4).map(|_| Recorder::new(grids.clone())).collect();
            for (endpoint, planned_ns, took, kind, worker) in samples {
                let outcome = match kind {
                    0 => Outcome::Cut,
                    1 => Outcome::Failed(ErrorClass::Status),
                    2 => Outcome::Failed(ErrorClass::Timeout),
                    _ => Outcome::Ok,
                };
                let warmup = planned_ns < window_ns;
                let sample = Sample { endpoint, planned_ns, sent_ns: planned_ns + 1, done_ns: planned_ns + took, outcome, warmup };
                for recorder in [&mut one, &mut many[worker]] {
                    recorder.started(endpoint, planned_ns, warmup, window_ns);
                    recorder.finished(&sample, window_ns);
                }
            }
            prop_assert_eq!(merged(vec![one]), merged(many));
        }
    }

    #[test]
    fn a_block_stays_open_while_a_response_is_awaited() {
        let mut recorder = Recorder::new(vec![BlockGrid::new(200.0, 1_000_000_000)]);
        recorder.started(0, 10, false, 0);
        assert!(recorder.close_until(u64::MAX, 0).is_empty());
        let sample = Sample {
            endpoint: 0,
            planned_ns: 10,
            sent_ns: 10,
            done_ns: 900_000_000,
            outcome: Outcome::Ok,
            warmup: false,
        };
        recorder.finished(&sample, 0);
        assert!(recorder.close_until(200_000_000, 0).is_empty());
        assert_eq!(recorder.close_until(250_000_000, 0).len(), 1);
    }
}
