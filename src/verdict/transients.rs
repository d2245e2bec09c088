use serde::Serialize;

use super::statistics::median;
use crate::metrics::{EndpointPlan, LookRecord, RunRecord, TimelineBlock, bucket_ms};

/// Fewer blocks than these have no usual level.
const LEAST_BLOCKS: usize = 8;
/// How many standard deviations above the usual level a block must lie…
const DEVIATIONS: f64 = 7.0;
/// …and by which factor at least, so that a quiet endpoint is not all incidents.
const LEAST_FACTOR: f64 = 1.5;
const LEAST_MS: f64 = 5.0;
/// Fewer late or failed requests than these in one block are no incident.
const LEAST_REQUESTS: f64 = 5.0;
/// Blocks this close together are one event, in milliseconds.
const GAP_MS: u64 = 1_000;

/// A stretch of a look in which something was unlike the rest of it, and after which it was as before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transient {
    pub look: u32,
    /// Since the measured window began.
    pub start_ms: u64,
    pub end_ms: u64,
    /// Whether the usual level came back before the window ended.
    pub recovered: bool,
    pub endpoints: Vec<Disturbed>,
}

/// What a transient did to one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disturbed {
    pub endpoint: String,
    /// The endpoint's usual p95 of a block.
    pub usual_ms: f64,
    /// The highest p95 of a block within.
    pub peak_ms: f64,
    pub requests: u64,
    pub errors: u64,
}

/// Bursts of slowness or of errors, found block by block against the endpoint's own median block (so that a level that
/// is high for more than half of a look is no transient: limits and drift are for that).
#[must_use]
pub fn transients(record: &RunRecord) -> Vec<Transient> {
    let plans: Vec<&EndpointPlan> = record.scenarios.iter().flat_map(|s| &s.endpoints).collect();
    // A ramp is meant to change.
    let judged = |number: usize| plans.get(number).is_none_or(|plan| !plan.shown_only);
    record.runs.iter().flat_map(|look| of_look(look, &judged)).collect()
}

fn of_look(look: &LookRecord, judged: &dyn Fn(usize) -> bool) -> Vec<Transient> {
    let mut events: Vec<Transient> = Vec::new();
    for (number, endpoint) in look.endpoints.iter().enumerate().filter(|(number, _)| judged(*number)) {
        let mut blocks: Vec<&TimelineBlock> =
            look.blocks.iter().filter(|b| b.endpoint == number && b.planned > 0).collect();
        blocks.sort_by_key(|block| block.start_ms);
        if blocks.len() < LEAST_BLOCKS {
            continue;
        }
        let unusual = unusual(&blocks);
        let usual_ms = median(&mut quantiles(&blocks, 0.95));
        let last_ms = blocks.iter().map(|block| block.start_ms + block.len_ms).max().unwrap_or(0);
        for (block, _) in blocks.iter().zip(&unusual).filter(|(_, unusual)| **unusual) {
            let (start_ms, end_ms) = (block.start_ms, block.start_ms + block.len_ms);
            let disturbed = Disturbed {
                endpoint: endpoint.endpoint.clone(),
                usual_ms,
                peak_ms: block.histogram.quantile_ms(0.95).unwrap_or(usual_ms),
                requests: block.planned,
                errors: block.errors,
            };
            let recovered = end_ms < last_ms;
            events.push(Transient {
                look: look.look,
                start_ms,
                end_ms,
                recovered,
                endpoints: vec![disturbed],
            });
        }
    }
    merged(events)
}

/// For each block whether it is unlike the others: as a whole slower, with more slow requests, or with more errors.
fn unusual(blocks: &[&TimelineBlock]) -> Vec<bool> {
    let planned: f64 = blocks.iter().map(|block| block.planned as f64).sum();
    let many = |count: f64, expected: f64| {
        count >= LEAST_REQUESTS && count > expected + DEVIATIONS * (expected + 0.1).sqrt()
    };
    // A block's own quantile says little (a p95 of fifty requests is the third slowest of them; a median between two
    // peaks is either); how many of its requests are far beyond the usual one says more.
    let late_beyond = |q: f64| {
        let above_ms = beyond(median(&mut quantiles(blocks, q)));
        let late = move |block: &TimelineBlock| {
            let mut count = 0;
            block
                .histogram
                .each_bucket(|bucket, n| count += if bucket_ms(bucket) > above_ms { n } else { 0 });
            count as f64
        };
        let mean = blocks.iter().map(|block| late(block)).sum::<f64>() / planned;
        move |block: &TimelineBlock| many(late(block), mean * block.planned as f64)
    };
    let (slow, slow_tail) = (late_beyond(0.5), late_beyond(0.95));
    let failing = median(&mut blocks.iter().map(|b| b.errors as f64 / b.planned as f64).collect::<Vec<_>>());
    let fails = |block: &TimelineBlock| many(block.errors as f64, failing * block.planned as f64);
    blocks.iter().map(|block| slow(block) || slow_tail(block) || fails(block)).collect()
}

/// What is clearly above a usual level, by its share and in milliseconds.
fn beyond(usual_ms: f64) -> f64 {
    (usual_ms * LEAST_FACTOR).max(usual_ms + LEAST_MS)
}

fn quantiles(blocks: &[&TimelineBlock], q: f64) -> Vec<f64> {
    blocks.iter().filter_map(|block| block.histogram.quantile_ms(q)).collect()
}

/// Blocks that touch, of whichever endpoints, are one event.
fn merged(mut events: Vec<Transient>) -> Vec<Transient> {
    events.sort_by_key(|event| event.start_ms);
    let mut merged: Vec<Transient> = Vec::new();
    for event in events {
        match merged.last_mut().filter(|open| event.start_ms <= open.end_ms + GAP_MS) {
            None => merged.push(event),
            Some(open) => {
                open.end_ms = open.end_ms.max(event.end_ms);
                open.recovered &= event.recovered;
                for new in event.endpoints {
                    match open.endpoints.iter_mut().find(|known| known.endpoint == new.endpoint) {
                        None => open.endpoints.push(new),
                        Some(known) => {
                            known.peak_ms = known.peak_ms.max(new.peak_ms);
                            known.requests += new.requests;
                            known.errors += new.errors;
                        }
                    }
                }
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{EndpointRecord, Histogram};

    /// Two endpoints, blocks of a second with 60 requests around 100 ms; `odd` changes a block's median and errors.
    fn look(blocks: u64, odd: impl Fn(usize, u64) -> (f64, u64)) -> LookRecord {
        let mut look = LookRecord { look: 1, window_ms: blocks * 1000, ..LookRecord::default() };
        for endpoint in 0..2 {
            look.endpoints
                .push(EndpointRecord { endpoint: format!("f/{endpoint}"), ..EndpointRecord::default() });
            for index in 0..blocks {
                let (factor, errors) = odd(endpoint, index);
                let mut histogram = Histogram::default();
                for i in 0..60u64 {
                    let spread = 1.0 + ((i * 7 + index * 3) % 60) as f64 / 100.0;
                    histogram.record((100e6 * factor * spread) as u64);
                }
                look.blocks.push(TimelineBlock {
                    start_ms: index * 1000,
                    len_ms: 1000,
                    endpoint,
                    planned: 60,
                    done: 60,
                    errors,
                    histogram,
                    ..TimelineBlock::default()
                });
            }
        }
        look
    }

    fn found_in(look: &LookRecord) -> Vec<Transient> {
        of_look(look, &|_| true)
    }

    #[test]
    fn a_burst_is_found_with_its_bounds_and_size_and_a_level_is_none() {
        let steady = look(30, |_, _| (1.0, 0));
        assert_eq!(found_in(&steady), []);
        let wobbling = look(30, |_, index| (1.0 + 0.04 * (index % 4) as f64, u64::from(index % 9 == 0)));
        assert_eq!(found_in(&wobbling), []);

        let spike = look(30, |endpoint, index| match (endpoint, index) {
            (0, 10..=12) => (3.0, 0),
            (1, 11) => (1.0, 20),
            _ => (1.0, 0),
        });
        let found = found_in(&spike);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].start_ms, found[0].end_ms, found[0].recovered), (10_000, 13_000, true));
        let [slow, failing] = &found[0].endpoints[..] else { panic!("{found:?}") };
        assert!((slow.peak_ms / slow.usual_ms - 3.0).abs() < 0.05 && slow.requests == 180, "{slow:?}");
        assert_eq!((failing.endpoint.as_str(), failing.errors, failing.requests), ("f/1", 20, 60));

        let to_the_end = look(30, |_, index| (if index >= 27 { 2.0 } else { 1.0 }, 0));
        assert_eq!(found_in(&to_the_end).iter().map(|t| t.recovered).collect::<Vec<_>>(), [false]);
        let for_good = look(30, |_, index| (if index >= 14 { 2.0 } else { 1.0 }, 0));
        assert_eq!(found_in(&for_good), [], "more than half of a look is a level");
        let two = look(30, |_, index| (if index == 4 || index == 20 { 2.0 } else { 1.0 }, 0));
        assert_eq!(found_in(&two).len(), 2);
    }
}
