//! A candidate beside its control, through the real judge and the real early stop.

use std::collections::BTreeMap;

use loadgate::metrics::{
    ControlRecord, LookRecord, Pairing, Repeat, RunRecord, SEGMENTS, SideBySide, TimelineBlock,
};
use loadgate::verdict::{Allow, Outcome, Piece, Sequential, Verdict, judge};
use rand::rngs::StdRng;

use super::model::{Arm, Change, Shape, World, load, made, normal, plan, random, record};

/// The part of the load, and of what moves error rates, that both arms feel at once.
const SHARED: f64 = 0.8;

/// How two deployments that run at the same time differ.
#[derive(Clone, Copy, Debug)]
pub struct Arms {
    pub features: usize,
    /// Of an instance's effect on ln latency; half of its variance is shared by all features.
    pub sigma_dep: f64,
    /// What the judge takes it for.
    pub assumed: f64,
    /// One segment's; there are four.
    pub shape: Shape,
    /// Both arms are started afresh for each segment.
    pub restarts: bool,
    /// The share of the candidate's requests that never came.
    pub missing: f64,
    /// Whether the run may be stopped between looks, and whether it is judged at them.
    pub early: bool,
    pub looks: bool,
}

impl Arms {
    pub const fn new(sigma_dep: f64) -> Self {
        Self {
            features: 5,
            sigma_dep,
            assumed: 0.005,
            shape: Shape::USUAL,
            restarts: false,
            missing: 0.0,
            early: true,
            looks: true,
        }
    }
}

/// What a side-by-side run came to.
pub struct CanaryTrial {
    pub verdict: Verdict,
    /// Measured time until it was decided.
    pub at_ms: u64,
    /// It was stopped between looks.
    pub stopped: bool,
    pub record: RunRecord,
}

impl CanaryTrial {
    pub fn failed(&self) -> bool {
        self.verdict.outcome == Outcome::Fail
    }

    pub fn promoted(&self) -> bool {
        self.verdict.outcome == Outcome::Pass
    }
}

fn effects(arms: Arms, random: &mut StdRng) -> Vec<f64> {
    let shared = normal(random);
    let half = 0.5f64.sqrt();
    (0..arms.features).map(|_| arms.sigma_dep * half * (shared + normal(random))).collect()
}

/// A series of which a part is shared with another.
fn mixed(shared: &[f64], own: &[f64]) -> Vec<f64> {
    let (s, o) = (SHARED.sqrt(), (1.0 - SHARED).sqrt());
    shared.iter().zip(own).map(|(a, b)| s * a + o * b).collect()
}

/// The pieces of both arms into the early stop, in the order of time; when it stopped.
pub fn watch(sequential: &mut Sequential, segment: (&LookRecord, &LookRecord), from_ms: u64) -> Option<u64> {
    let (candidate, control) = segment;
    let beside: BTreeMap<(usize, u64), &TimelineBlock> =
        control.blocks.iter().map(|block| ((block.endpoint, block.start_ms), block)).collect();
    let mut blocks: Vec<&TimelineBlock> = candidate.blocks.iter().collect();
    blocks.sort_by_key(|block| (block.start_ms + block.len_ms, block.endpoint));
    for same_time in blocks.chunk_by(|a, b| a.start_ms + a.len_ms == b.start_ms + b.len_ms) {
        for block in same_time {
            let piece = |b: &'_ TimelineBlock| (b.planned, b.errors);
            let other = beside[&(block.endpoint, block.start_ms)];
            let ((n, x), (m, y)) = (piece(block), piece(other));
            sequential.add(
                block.endpoint,
                (from_ms + block.start_ms, block.len_ms),
                Piece { requests: n, errors: x, response: &block.histogram },
                Piece { requests: m, errors: y, response: &other.histogram },
            );
        }
        let at_ms = from_ms + same_time[0].start_ms + same_time[0].len_ms;
        if sequential.decide(at_ms).is_some() {
            return Some(at_ms);
        }
    }
    None
}

pub fn canary(arms: Arms, change: Change, seed: u64, draw: u64) -> CanaryTrial {
    beside(arms, [Change::Same, change], seed, draw)
}

/// Both arms are changed alike.
#[allow(dead_code, reason = "the bench changes the candidate alone")]
pub fn both(arms: Arms, change: Change, seed: u64, draw: u64) -> CanaryTrial {
    beside(arms, [change, change], seed, draw)
}

fn beside(arms: Arms, [of_control, change]: [Change; 2], seed: u64, draw: u64) -> CanaryTrial {
    let world = World::new(arms.features, 0.0);
    let mut record = record(world, "canary", (Repeat::Auto, arms.restarts), Vec::new());
    for (feature, scenario) in record.scenarios.iter_mut().enumerate() {
        scenario.endpoints = vec![plan(feature, arms.shape)];
    }
    record.plan.side_by_side = Some(SideBySide {
        pairing: Pairing::Mirror,
        sigma_dep: arms.assumed,
        calibrated_pairs: 1,
        one_address: false,
    });
    let mut control = ControlRecord { target: "control".into(), ..ControlRecord::default() };
    let plans: Vec<_> = record.scenarios.iter().flat_map(|s| s.endpoints.clone()).collect();
    let mut sequential = Sequential::new(&plans.iter().collect::<Vec<_>>(), arms.assumed);
    let mut instances = None;
    for number in 1..=SEGMENTS as u64 {
        let mut random = random(seed, draw, number);
        if arms.restarts || instances.is_none() {
            instances = Some([effects(arms, &mut random), effects(arms, &mut random)]);
        }
        let [blue, green] = instances.as_ref().expect("instances");
        let shared = load(arms.shape, &mut random);
        let shared_errors: Vec<f64> = (0..arms.features).map(|_| normal(&mut random)).collect();
        let mut arm = |effects: &[f64], change, side: &str, missing| {
            let own = mixed(&shared, &load(arms.shape, &mut random));
            let errors: Vec<f64> = (0..arms.features).map(|_| normal(&mut random)).collect();
            let errors = mixed(&shared_errors, &errors);
            let arm = Arm { shape: arms.shape, effects, load: &own, errors: Some(&errors), missing };
            made(&arm, change, &format!("{side}-{number}"), side, number as u32, &mut random)
        };
        control.runs.push(arm(blue, of_control, "control", 0.0));
        record.runs.push(arm(green, change, "candidate", arms.missing));
        let from_ms = (number - 1) * arms.shape.seconds * 1000;
        let pair = (record.runs.last().expect("a run"), control.runs.last().expect("a run"));
        let stopped = arms.early.then(|| watch(&mut sequential, pair, from_ms)).flatten();
        if let Some(at_ms) = stopped {
            record.runs.last_mut().expect("a run").early_stop = sequential.decide(at_ms).cloned();
        }
        record.control = Some(Box::new(control.clone()));
        let ended = from_ms + arms.shape.seconds * 1000;
        if stopped.is_some() || arms.looks || number == SEGMENTS as u64 {
            let judgement = judge(&record, &[], Allow::default());
            if stopped.is_some() || !judgement.look_again {
                let (verdict, at_ms) = (judgement.verdict, stopped.unwrap_or(ended));
                return CanaryTrial { verdict, at_ms, stopped: stopped.is_some(), record };
            }
        }
    }
    unreachable!("the last segment is judged")
}
