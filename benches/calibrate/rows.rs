use crate::simulator::model::{Change, Disturbed, World};
use crate::simulator::trial::Plan::{self, Looks, Once};

/// One line of the tables: a world, a baseline, a plan, and the changes that are tried in it.
pub struct Row {
    pub name: String,
    pub world: World,
    pub instances: u32,
    pub plan: Plan,
    pub changes: Vec<Change>,
    pub beside_peers: bool,
}

const ALL: [Change; 6] = [
    Change::Same,
    Change::Slower(0.05),
    Change::Slower(0.10),
    Change::Slower(0.20),
    Change::Tail(0.10),
    Change::Errors(0.01),
];
const MAIN: [Change; 4] = [Change::Same, Change::Slower(0.10), Change::Slower(0.20), Change::Errors(0.01)];

fn row(name: &str, world: World, instances: u32, plan: Plan, changes: &[Change]) -> Row {
    Row { name: name.into(), world, instances, plan, changes: changes.to_vec(), beside_peers: false }
}

pub fn all() -> Vec<Row> {
    let quiet = World::new(5, 0.02);
    let noisy = World::new(5, 0.05);
    let disturbed = |what| World { disturbed: Some((0.03, what)), ..quiet };
    // A probe that told exactly what the machine did to all features would leave only what is each feature's own.
    let probed = World { sigma: 0.02 * 0.5f64.sqrt(), correlation: 0.0, ..quiet };
    vec![
        Row { beside_peers: true, ..row("σ 2%, K 5, ≤ 5 looks", quiet, 5, Looks, &ALL) },
        Row { beside_peers: true, ..row("σ 5%, K 5, ≤ 5 looks", noisy, 5, Looks, &ALL) },
        row("σ 2%, K 3, ≤ 5 looks", quiet, 3, Looks, &MAIN),
        row("σ 2%, K 2, ≤ 5 looks", quiet, 2, Looks, &MAIN),
        row("σ 2%, K 1, ≤ 5 looks", quiet, 1, Looks, &MAIN),
        row("σ 2%, K 5, one feature, ≤ 5 looks", World::new(1, 0.02), 5, Looks, &MAIN),
        row("σ 5%, K 5, one feature, ≤ 5 looks", World::new(1, 0.05), 5, Looks, &MAIN),
        row("σ 2%, K 5, one look", quiet, 5, Once, &ALL),
        row("σ 5%, K 5, one look", noisy, 5, Once, &MAIN),
        row("σ 2%, K 5, one feature, one look", World::new(1, 0.02), 5, Once, &MAIN),
        row("σ 2%, K 5, 3% of runs +15%, ≤ 5 looks", disturbed(Disturbed::Run), 5, Looks, &MAIN),
        row(
            "σ 2%, K 5, one feature of 3% of runs +15%, ≤ 5 looks",
            disturbed(Disturbed::Feature),
            5,
            Looks,
            &MAIN,
        ),
        row("σ 2%, K 5, all others 5% faster, ≤ 5 looks", quiet, 5, Looks, &[Change::OthersGain(0.05)]),
        row("σ 2%, K 5, all others 5% faster, one look", quiet, 5, Once, &[Change::OthersGain(0.05)]),
        row("what if: K 10, one look", quiet, 10, Once, &MAIN),
        row("what if: a perfect host probe, K 5, one look", probed, 5, Once, &MAIN),
    ]
}
