use std::collections::VecDeque;

use super::block::{Block, BlockGrid};
use super::histogram::Histogram;
use super::phase::PhaseHistograms;
use super::sample::{Outcome, Sample};
use super::slow_request::SlowRequest;
use crate::phases::Phases;

const WARMUP_GRID_NS: u64 = 250_000_000;

/// A worker's own record of its requests: open blocks, handed out once nothing in them can change.
pub struct Recorder {
    grids: Vec<BlockGrid>,
    /// Open blocks of each endpoint: of the measured window, and of the warm-up.
    tracks: Vec<[Track; 2]>,
    own: Vec<EndpointOwn>,
}

/// What is kept of an endpoint as a whole.
#[derive(Clone, Default)]
pub struct EndpointOwn {
    /// sent − planned of each arrival's first request in the measured window.
    pub lag: Histogram,
    pub phases: PhaseHistograms,
    /// The slowest, where they carry a trace: response time, planned since the window, trace, failed.
    pub slowest: Vec<(u64, u64, u128, bool)>,
}

/// Neighbouring blocks by their index, the oldest first.
#[derive(Default)]
struct Track {
    first: u64,
    open: VecDeque<Option<OpenBlock>>,
}

#[derive(Default)]
struct OpenBlock {
    in_flight: u64,
    block: Block,
}

impl Recorder {
    #[must_use]
    pub fn new(grids: Vec<BlockGrid>) -> Self {
        let tracks = grids.iter().map(|_| <[Track; 2]>::default()).collect();
        let own = vec![EndpointOwn::default(); grids.len()];
        Self { grids, tracks, own }
    }

    /// A request planned at `planned_ns` is about to be sent. `window_ns` is where the measured window begins.
    pub fn started(&mut self, endpoint: usize, planned_ns: u64, warmup: bool, window_ns: u64) {
        self.slot(endpoint, planned_ns, warmup, window_ns).in_flight += 1;
    }

    /// The counterpart of [`Recorder::started`].
    pub fn finished(&mut self, sample: &Sample, phases: &Phases, window_ns: u64) {
        let slot = self.slot(sample.endpoint, sample.planned_ns, sample.warmup, window_ns);
        slot.in_flight -= 1;
        slot.block.add(sample);
        if !sample.warmup {
            self.own[sample.endpoint].phases.add(phases);
        }
    }

    /// Keeps a request with a trace if it is among the slowest of its endpoint.
    pub fn traced(&mut self, sample: &Sample, trace: u128, window_ns: u64) {
        let slowest = &mut self.own[sample.endpoint].slowest;
        let took = sample.response_ns();
        let full = slowest.len() >= SlowRequest::MOST;
        if sample.warmup || (full && slowest.last().is_some_and(|last| last.0 >= took)) {
            return;
        }
        let at = slowest.partition_point(|known| known.0 >= took);
        let since = sample.planned_ns.saturating_sub(window_ns);
        slowest.insert(at, (took, since, trace, sample.outcome != Outcome::Ok));
        slowest.truncate(SlowRequest::MOST);
    }

    /// A step that was not tried, at the instant where its iteration ended.
    pub fn skipped(&mut self, endpoint: usize, at_ns: u64, warmup: bool, window_ns: u64) {
        self.slot(endpoint, at_ns, warmup, window_ns).block.skipped += 1;
    }

    pub fn lag(&mut self, endpoint: usize, lag_ns: u64) {
        self.own[endpoint].lag.record(lag_ns);
    }

    /// Hands out every block that ends by `released_ns` (no later arrival can fall into it) and waits for no response.
    pub fn close_until(&mut self, released_ns: u64, window_ns: u64) -> Vec<Block> {
        let mut closed = Vec::new();
        for (tracks, grid) in self.tracks.iter_mut().zip(&self.grids) {
            for (warmup, track) in [false, true].into_iter().zip(tracks) {
                track.close(&mut closed, |index| {
                    if warmup {
                        (index + 1) * WARMUP_GRID_NS <= released_ns
                    } else {
                        // Later requests belong to the last block, so it stays open.
                        index + 1 < grid.count
                            && window_ns.saturating_add(grid.start_ns(index + 1)) <= released_ns
                    }
                });
            }
        }
        closed
    }

    /// Hands out all that is left.
    #[must_use]
    pub fn finish(self) -> (Vec<Block>, Vec<EndpointOwn>) {
        let left = self.tracks.into_iter().flatten().flat_map(|track| track.open).flatten();
        (left.map(|open| open.block).collect(), self.own)
    }

    fn slot(&mut self, endpoint: usize, at_ns: u64, warmup: bool, window_ns: u64) -> &mut OpenBlock {
        let grid = self.grids[endpoint];
        let index = if warmup { at_ns / WARMUP_GRID_NS } else { grid.index(at_ns.saturating_sub(window_ns)) };
        self.tracks[endpoint][usize::from(warmup)].slot(index).get_or_insert_with(|| {
            let (start_ns, length_ns) = if warmup {
                (index * WARMUP_GRID_NS, WARMUP_GRID_NS)
            } else {
                (grid.start_ns(index), grid.length_ns)
            };
            let (start_ms, len_ms) = (start_ns / 1_000_000, length_ns / 1_000_000);
            let block = Block { endpoint, index, start_ms, len_ms, warmup, ..Block::default() };
            OpenBlock { in_flight: 0, block }
        })
    }
}

impl Track {
    fn slot(&mut self, index: u64) -> &mut Option<OpenBlock> {
        if self.open.is_empty() {
            self.first = index;
        }
        // A block that was closed already gets a second piece; pieces add up.
        while index < self.first {
            self.open.push_front(None);
            self.first -= 1;
        }
        let at = (index - self.first) as usize;
        while self.open.len() <= at {
            self.open.push_back(None);
        }
        &mut self.open[at]
    }

    fn close(&mut self, closed: &mut Vec<Block>, is_over: impl Fn(u64) -> bool) {
        for (index, slot) in (self.first..).zip(&mut self.open) {
            if slot.as_ref().is_some_and(|open| open.in_flight == 0 && is_over(index)) {
                closed.extend(slot.take().map(|open| open.block));
            }
        }
        while let Some(None) = self.open.front() {
            self.open.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::sample::Outcome;
    use super::*;
    use crate::error_class::ErrorClass;

    fn merged(recorders: Vec<Recorder>) -> BTreeMap<(usize, bool, u64), Block> {
        let mut all: BTreeMap<(usize, bool, u64), Block> = BTreeMap::new();
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
                    recorder.finished(&sample, &Phases::default(), window_ns);
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
        recorder.finished(&sample, &Phases::default(), 0);
        assert!(recorder.close_until(200_000_000, 0).is_empty());
        assert_eq!(recorder.close_until(250_000_000, 0).len(), 1);
    }
}
