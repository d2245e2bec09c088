use std::collections::BTreeMap;

use loadgate::error_class::ErrorClass;
use loadgate::metrics::{
    Block, BlockGrid, EndpointPlan, Environment, Histogram, JudgementPlan, LookBuilder, LookRecord,
    RECORD_FORMAT, Repeat, RunRecord, ScenarioRecord,
};
use loadgate::units::{Limit, Metric, RegressionRule, Rules, Tolerance};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Pareto, StandardNormal};

/// Median (ms) and log-sd of each feature's service times.
const FEATURES: [(f64, f64); 5] = [(150.0, 0.25), (120.0, 0.35), (200.0, 0.45), (100.0, 0.5), (80.0, 0.6)];
const SECONDS: u64 = 30;
const RATE: u64 = 200;
/// A request in fifty waits for something else too, by a factor with this scale and shape.
const TAIL: (f64, f64, f64) = (0.02, 1.5, 3.0);
/// Standard deviation of ln load, and how long it remembers (s).
const LOAD: (f64, f64) = (0.05, 1.0);
/// Log-sd of a run's error rate.
const ERROR_SPREAD: f64 = 0.3;
const BASE_ERRORS: f64 = 0.001;
/// Only service times above this standard score are the tail that a slower tail slows.
const TAIL_FROM: f64 = 1.0;

/// How runs of the same build differ.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub features: usize,
    /// Standard deviation of a run's effect on ln latency.
    pub sigma: f64,
    /// Correlation of the features' run effects.
    pub correlation: f64,
    /// A run in so many is slowed by 15%: the whole of it, or one feature.
    pub disturbed: Option<(f64, Disturbed)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Disturbed {
    Run,
    Feature,
}

impl World {
    pub const fn new(features: usize, sigma: f64) -> Self {
        Self { features, sigma, correlation: 0.5, disturbed: None }
    }
}

/// What the candidate's build does to the first feature, or to all others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    Same,
    /// All of its service times grow by this share.
    Slower(f64),
    /// Only the slow ones do.
    Tail(f64),
    /// Its error rate is this.
    Errors(f64),
    /// All others get faster by this share.
    OthersGain(f64),
}

pub fn random(seed: u64, draw: u64, stream: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (draw << 20) ^ stream)
}

/// How much is sent of each feature.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub rate: u64,
    pub seconds: u64,
}

impl Shape {
    pub const USUAL: Self = Self { rate: RATE, seconds: SECONDS };

    pub fn block_ms(self) -> u64 {
        BlockGrid::new(self.rate as f64, self.seconds * 1_000_000_000).length_ns / 1_000_000
    }

    pub fn blocks(self) -> u64 {
        self.seconds * 1000 / self.block_ms()
    }
}

pub fn plan(feature: usize, shape: Shape) -> EndpointPlan {
    let rule = |metric, share, floor_ms| RegressionRule {
        metric,
        delta: Tolerance { share, floor_ms },
        explicit: true,
    };
    EndpointPlan {
        endpoint: format!("f{feature}/step"),
        digest: "same".into(),
        request: "GET /".into(),
        line: 1,
        rate_per_s: shape.rate as f64,
        planned: shape.rate * shape.seconds,
        rules: Rules {
            // Limits are not what is tried here.
            limits: vec![Limit { metric: Metric::ErrorRate, below: 0.5 }],
            regression: vec![
                rule(Metric::P50, 0.10, 2.0),
                rule(Metric::P95, 0.10, 5.0),
                rule(Metric::P99, 0.20, 10.0),
                rule(Metric::ErrorRate, 0.005, 0.0),
            ],
            ..Rules::default()
        },
        users: None,
        length_ms: shape.seconds * 1000,
        shown_only: false,
        whole: None,
        conditional: false,
    }
}

/// A record of these looks, to be judged for promotion.
pub fn record(world: World, id: &str, plan_of: (Repeat, bool), runs: Vec<LookRecord>) -> RunRecord {
    RunRecord {
        format: RECORD_FORMAT,
        id: id.into(),
        label: None,
        loadgate_version: String::new(),
        started: "2026-11-24T00:00:00Z".into(),
        target: "simulated".into(),
        env: "simulated".into(),
        plan: JudgementPlan {
            gate: "safety".into(),
            repeat: plan_of.0,
            restarts: plan_of.1,
            same_host: false,
            require_baseline: false,
            instances: 5,
            side_by_side: None,
        },
        environment: Environment::default(),
        scenarios: (0..world.features)
            .map(|f| ScenarioRecord {
                file: format!("f{f}.yaml"),
                feature: format!("f{f}"),
                owner: None,
                digest: String::new(),
                endpoints: vec![plan(f, Shape::USUAL)],
            })
            .collect(),
        smoke: None,
        runs,
        error_examples: Vec::new(),
        interrupted: None,
        not_ready: None,
        setup_failed: None,
        alerts: Vec::new(),
        probes: Vec::new(),
        probe_failed: None,
        control: None,
        shard: None,
        clock: None,
        merged: None,
        service: None,
        out_of_time: None,
        stale_baselines: None,
        unverified: false,
    }
}

pub fn normal(random: &mut StdRng) -> f64 {
    StandardNormal.sample(random)
}

/// One run of half a minute at 200 requests a second and feature, on an instance of its own.
pub fn look(world: World, change: Change, name: &str, number: u32, random: &mut StdRng) -> LookRecord {
    let shared = normal(random);
    let own: Vec<f64> = (0..world.features).map(|_| normal(random)).collect();
    let load = load(Shape::USUAL, random);
    let bad: f64 = random.random();
    let bad_feature = random.random_range(0..world.features);
    let effects: Vec<f64> = (0..world.features)
        .map(|feature| {
            let effect = world.sigma
                * (world.correlation.sqrt() * shared + (1.0 - world.correlation).sqrt() * own[feature]);
            let hit = world.disturbed.is_some_and(|(share, what)| {
                bad < share && (what == Disturbed::Run || bad_feature == feature)
            });
            effect + if hit { 1.15f64.ln() } else { 0.0 }
        })
        .collect();
    let all = Arm { shape: Shape::USUAL, effects: &effects, load: &load, errors: None, missing: 0.0 };
    made(&all, change, name, "candidate", number, random)
}

/// What one arm's requests meet.
pub struct Arm<'a> {
    pub shape: Shape,
    /// By feature, on ln latency.
    pub effects: &'a [f64],
    /// By block, on ln latency.
    pub load: &'a [f64],
    /// By feature: standard scores of the error rate; drawn where none are given.
    pub errors: Option<&'a [f64]>,
    /// The share of requests that never came.
    pub missing: f64,
}

/// One stretch of load on one arm.
pub fn made(
    arm: &Arm<'_>,
    change: Change,
    name: &str,
    side: &str,
    number: u32,
    random: &mut StdRng,
) -> LookRecord {
    let features = arm.effects.len();
    let mut builder = LookBuilder::new((0..features).map(|feature| plan(feature, arm.shape)).collect());
    let block_ms = arm.shape.block_ms();
    for feature in 0..features {
        let shift = match change {
            Change::Slower(by) if feature == 0 => by.ln_1p(),
            Change::OthersGain(by) if feature != 0 => -by.ln_1p(),
            _ => 0.0,
        };
        let tail = if let (Change::Tail(by), 0) = (change, feature) { 1.0 + by } else { 1.0 };
        let score = arm.errors.map_or_else(|| normal(random), |scores| scores[feature]);
        let errors = if let (Change::Errors(rate), 0) = (change, feature) { rate } else { BASE_ERRORS };
        let errors = errors * (ERROR_SPREAD * score - ERROR_SPREAD * ERROR_SPREAD / 2.0).exp();
        let (median, spread) = FEATURES[feature % FEATURES.len()];
        let pareto = Pareto::new(TAIL.1, TAIL.2).expect("a tail");
        for (index, load) in arm.load.iter().enumerate() {
            let scale = median * 1e6 * (arm.effects[feature] + shift + load).exp();
            let mut response = Histogram::default();
            let mut failed = 0;
            let (mut planned, mut skipped) = (0, 0);
            for _ in 0..arm.shape.rate * block_ms / 1000 {
                if arm.missing > 0.0 && random.random::<f64>() < arm.missing {
                    skipped += 1;
                    continue;
                }
                planned += 1;
                let uniform: f64 = random.random();
                let z = normal(random);
                let slow = uniform < TAIL.0;
                let mut ns = scale * (spread * z).exp();
                if slow {
                    ns *= pareto.sample(random);
                }
                if slow || z > TAIL_FROM {
                    ns *= tail;
                }
                // The other end of the same uniform number: a request fails or has a tail, seldom both.
                if uniform > 1.0 - errors {
                    failed += 1;
                } else {
                    response.record(ns as u64);
                }
            }
            let mut counts = BTreeMap::new();
            if failed > 0 {
                counts.insert(ErrorClass::Status, failed);
            }
            let block = Block {
                endpoint: feature,
                index: index as u64,
                start_ms: index as u64 * block_ms,
                len_ms: block_ms,
                planned,
                done: planned,
                skipped,
                errors: counts,
                response,
                ..Block::default()
            };
            builder.add(block).expect("an endpoint of the plan");
        }
    }
    let mut look = LookRecord {
        look: number,
        arm: side.into(),
        instance_id: name.into(),
        window_ms: arm.shape.seconds * 1000,
        stop: "done".into(),
        ..LookRecord::default()
    };
    builder.finish(&mut look);
    look
}

/// ln load of each block.
pub fn load(shape: Shape, random: &mut StdRng) -> Vec<f64> {
    let (sd, remembers_s) = LOAD;
    let kept = (-(shape.block_ms() as f64) / 1000.0 / remembers_s).exp();
    let mut now = normal(random);
    (0..shape.blocks())
        .map(|_| {
            now = kept * now + (1.0 - kept * kept).sqrt() * normal(random);
            sd * now
        })
        .collect()
}
