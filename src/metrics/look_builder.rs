use std::collections::BTreeMap;

use super::block::Block;
use super::histogram::Histogram;
use super::run_record::{EndpointPlan, EndpointRecord, LookRecord, TimelineBlock, WarmupRecord};

/// Puts a look together from its blocks, one at a time, so that only what is kept is held in memory.
pub struct LookBuilder {
    plans: Vec<EndpointPlan>,
    endpoints: Vec<EndpointRecord>,
    timeline: BTreeMap<(usize, u64), TimelineBlock>,
    warmup: WarmupRecord,
    warm: Histogram,
    first: Histogram,
}

/// What a load meets first, before caches are filled.
const FIRST_MS: u64 = 2_000;

impl LookBuilder {
    #[must_use]
    pub fn new(plans: Vec<EndpointPlan>) -> Self {
        let endpoints = plans
            .iter()
            .map(|plan| EndpointRecord {
                endpoint: plan.endpoint.clone(),
                rate_offered: plan.rate_per_s,
                ..EndpointRecord::default()
            })
            .collect();
        let (timeline, warmup) = (BTreeMap::new(), WarmupRecord::default());
        let (warm, first) = (Histogram::default(), Histogram::default());
        Self { plans, endpoints, timeline, warmup, warm, first }
    }

    /// A closed block, or a piece of one. `None` where it is of no endpoint.
    pub fn add(&mut self, block: Block) -> Option<()> {
        if block.warmup {
            self.warmup.requests += block.planned;
            self.warmup.length_ms = self.warmup.length_ms.max(block.start_ms + block.len_ms);
            self.warmup.errors += block.error_count();
            if block.start_ms < FIRST_MS {
                self.first.merge(&block.response);
            }
            self.warm.merge(&block.response);
            return Some(());
        }
        let total = self.endpoints.get_mut(block.endpoint)?;
        total.requests += block.planned;
        total.cut += block.cut;
        total.censored += block.censored;
        total.skipped += block.skipped;
        for (class, count) in &block.errors {
            *total.errors.entry(*class).or_default() += count;
        }
        total.response.merge(&block.response);
        total.service.merge(&block.service);
        total.error.merge(&block.error);
        let errors = block.error_count();
        let piece = self.timeline.entry((block.endpoint, block.index)).or_insert_with(|| TimelineBlock {
            start_ms: block.start_ms,
            len_ms: block.len_ms,
            endpoint: block.endpoint,
            planned: 0,
            done: 0,
            errors: 0,
            classes: BTreeMap::new(),
            histogram: Histogram::default(),
        });
        piece.planned += block.planned;
        piece.done += block.done;
        piece.errors += errors;
        for (class, count) in &block.errors {
            *piece.classes.entry(*class).or_default() += count;
        }
        if piece.histogram.is_empty() {
            piece.histogram = block.response;
        } else {
            piece.histogram.merge(&block.response);
        }
        Some(())
    }

    /// The endpoints' totals and the timeline into `look`.
    pub fn finish(self, look: &mut LookRecord) {
        look.warmup.requests = self.warmup.requests;
        look.warmup.errors = self.warmup.errors;
        look.warmup.p50_ms = self.warm.quantile_ms(0.5);
        look.warmup.first_p50_ms = self.first.quantile_ms(0.5);
        if self.plans.iter().any(|plan| plan.whole.is_some()) {
            (look.warmup.response, look.warmup.first) = (Some(self.warm), Some(self.first));
        }
        look.endpoints = self.endpoints;
        look.blocks = self.timeline.into_values().collect();
        let cut_off = look.stop == "crash";
        if cut_off {
            // Nobody could say any more how far it came: what is there does.
            let ends = look.blocks.iter().map(|block| block.start_ms + block.len_ms);
            look.window_ms = ends.max().unwrap_or(0).min(look.window_ms);
            (look.warmup.length_ms, look.warmup.examined) = (self.warmup.length_ms, Some(false));
        }
        let window_ms = look.window_ms;
        for (number, (total, plan)) in look.endpoints.iter_mut().zip(&self.plans).enumerate() {
            total.rate_achieved = if cut_off {
                let own = || look.blocks.iter().filter(|block| block.endpoint == number);
                let (from, to) =
                    (own().map(|b| b.start_ms).min(), own().map(|b| b.start_ms + b.len_ms).max());
                total.requests as f64 * 1e3 / to.zip(from).map_or(1, |(to, from)| to - from).max(1) as f64
            } else {
                achieved(plan, total.requests, window_ms)
            };
        }
    }
}

/// Requests per second of a window that is `window_ms` long.
pub(super) fn achieved(plan: &EndpointPlan, requests: u64, window_ms: u64) -> f64 {
    if plan.users.is_some() || plan.planned == 0 {
        // A stage that is given by its iterations ends the window when they are done.
        let length_ms = plan.length_ms.min(window_ms).max(1);
        requests as f64 * 1e3 / length_ms as f64
    } else {
        plan.rate_per_s * requests as f64 / plan.planned.max(1) as f64
    }
}
