//! A small, seeded version of `ci/calibrate`; `benches/OPERATING_POINTS.md` has the whole.

use loadgate::metrics::Repeat;
use loadgate::verdict::transients;

use crate::simulator::canary::{Arms, CanaryTrial, both, canary};
use crate::simulator::model::{Change, World, look, random, record};
use crate::simulator::peers;
use crate::simulator::trial::{Plan, Trial, baseline, trial};

const SEED: u64 = 4;

/// How many of `draws` trials fail.
fn failed(world: World, instances: u32, plan: Plan, change: Change, draws: u64) -> u64 {
    count(world, instances, plan, change, draws, &Trial::failed)
}

fn count(
    world: World,
    instances: u32,
    plan: Plan,
    change: Change,
    draws: u64,
    of: &(dyn Fn(&Trial) -> bool + Sync),
) -> u64 {
    let hit =
        |draw: &u64| of(&trial(world, plan, &baseline(world, instances, SEED, *draw), change, SEED, *draw));
    on_two_cores(draws, |draw| hit(&draw)).into_iter().filter(|hit| *hit).count() as u64
}

/// What `of` makes of each draw, in their order.
fn on_two_cores<T: Send>(draws: u64, of: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| (draws / 2..draws).map(&of).collect::<Vec<T>>());
        ((0..draws / 2).map(&of).collect::<Vec<T>>(), second.join().expect("no panics"))
    });
    first.into_iter().chain(second).collect()
}

/// Binomial bounds around the figures of `OPERATING_POINTS.md`: a rate of 1% gives 4 of 80 or more once in 100 such tests.
#[test]
fn few_false_alarms_and_regressions_caught() {
    let quiet = World::new(5, 0.02);
    assert!(failed(quiet, 5, Plan::Looks, Change::Same, 80) < 4);
    assert!(failed(World::new(5, 0.05), 5, Plan::Looks, Change::Same, 80) < 4);
    assert!(failed(quiet, 1, Plan::Looks, Change::Same, 60) < 4);
    assert!(failed(World::new(1, 0.02), 5, Plan::Looks, Change::Same, 120) < 4);
    assert!(failed(quiet, 5, Plan::Once, Change::OthersGain(0.05), 80) < 4);
    let passed = |trial: &Trial| trial.verdict.exit_code == 0;
    assert!(count(quiet, 5, Plan::Looks, Change::Same, 40, &passed) >= 35);
    assert!(failed(quiet, 5, Plan::Looks, Change::Slower(0.10), 40) >= 34);
    assert_eq!(failed(quiet, 5, Plan::Looks, Change::Slower(0.20), 20), 20);
    assert!(failed(quiet, 3, Plan::Looks, Change::Slower(0.20), 20) >= 18);
    let at_once = |trial: &Trial| trial.failed() && trial.verdict.looks == 1;
    assert!(count(quiet, 5, Plan::Looks, Change::Errors(0.01), 40, &at_once) >= 36);
}

/// The others see the same runs; the naive test must cry wolf here, or the model would be too kind.
#[test]
fn a_naive_test_cries_wolf_on_the_same_draws() {
    let quiet = World::new(5, 0.02);
    let alarms = (0..20)
        .filter(|draw| {
            let stored = baseline(quiet, 5, SEED, *draw);
            let looks: Vec<_> = stored.runs.iter().map(|record| &record.runs[0]).collect();
            let first = trial(quiet, Plan::Once, &stored, Change::Same, SEED, *draw).first;
            peers::mann_whitney(&looks, &first)
        })
        .count();
    assert!(alarms >= 4, "{alarms} of 20");
}

/// Ordinary runs, heavy tails and swinging load included, have no transients.
#[test]
fn ordinary_runs_have_no_transients() {
    let world = World::new(5, 0.02);
    let mut told = 0;
    for draw in 0..60 {
        let mut random = random(11, draw, 1);
        let look = look(world, Change::Same, "one", 1, &mut random);
        told += transients(&record(world, "run", (Repeat::Auto, true), vec![look])).len();
    }
    assert!(told <= 1, "{told} transients in 60 ordinary runs of five features");
}

/// Two arms side by side: around the figures of `OPERATING_POINTS.md`, as above.
#[test]
fn a_canary_is_stopped_early_for_what_it_does_alone() {
    let arms = Arms::new(0.005);
    let of = |arms: Arms, change: Change, draws: u64| -> Vec<CanaryTrial> {
        on_two_cores(draws, |draw| canary(arms, change, SEED, draw))
    };
    let failed = |all: &[CanaryTrial]| all.iter().filter(|trial| trial.failed()).count();
    let same = of(arms, Change::Same, 80);
    assert!(failed(&same) < 4);
    assert!(same.iter().filter(|trial| trial.promoted()).count() >= 60);
    assert!(failed(&of(Arms { restarts: true, ..arms }, Change::Same, 40)) < 3);
    // Arms that got requests in other numbers differ in nothing else.
    assert!(failed(&of(Arms { missing: 0.1, ..arms }, Change::Same, 40)) < 3);
    assert!(failed(&of(Arms { missing: 0.4, ..arms }, Change::Same, 40)) < 3);
    let by = |all: &[CanaryTrial], ms: u64| all.iter().filter(|t| t.failed() && t.at_ms <= ms).count();
    assert!(by(&of(arms, Change::Slower(0.10), 40), 30_000) >= 36);
    assert!(by(&of(arms, Change::Slower(0.05), 40), 120_000) >= 32);
    assert!(by(&of(arms, Change::Slower(0.20), 20), 20_000) >= 18);
    assert!(by(&of(arms, Change::Errors(0.05), 20), 7_000) >= 18);
    // What both arms do is nobody's release.
    let broken: Vec<CanaryTrial> = (0..3).map(|draw| both(arms, Change::Errors(0.6), SEED, draw)).collect();
    assert!(broken.iter().all(|trial| trial.verdict.exit_code == 3), "{}", broken[0].verdict.summary);
    assert!(broken[0].verdict.summary.contains("The control fails too"), "{}", broken[0].verdict.summary);
}
