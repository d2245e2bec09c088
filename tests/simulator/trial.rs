use loadgate::baseline::references_of_runs;
use loadgate::metrics::{LookRecord, Repeat, RunRecord};
use loadgate::verdict::{Allow, Outcome, Reference, Verdict, judge};

use super::model::{Change, World, look, random, record};

/// How a candidate is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plan {
    /// Up to five looks at restarted instances.
    Looks,
    /// One look, nothing can be restarted.
    Once,
}

/// A baseline of so many instances, as one draw makes it.
pub struct Baseline {
    pub runs: Vec<RunRecord>,
    pub references: Vec<Reference>,
}

pub fn baseline(world: World, instances: u32, seed: u64, draw: u64) -> Baseline {
    let runs: Vec<RunRecord> = (0..instances)
        .map(|k| {
            let mut random = random(seed, draw, u64::from(k) + 100);
            let look = look(world, Change::Same, &format!("b{k}"), 1, &mut random);
            record(world, &format!("run-{k}"), (Repeat::Times(1), false), vec![look])
        })
        .collect();
    let references = references_of_runs(&record(world, "candidate", (Repeat::Auto, true), Vec::new()), &runs);
    Baseline { runs, references }
}

/// What a gate came to.
pub struct Trial {
    pub verdict: Verdict,
    pub first: LookRecord,
}

impl Trial {
    pub fn failed(&self) -> bool {
        self.verdict.outcome == Outcome::Fail
    }
}

pub fn trial(world: World, plan: Plan, baseline: &Baseline, change: Change, seed: u64, draw: u64) -> Trial {
    let plan = match plan {
        Plan::Looks => (Repeat::Auto, true),
        Plan::Once => (Repeat::Times(1), false),
    };
    let mut candidate = record(world, "candidate", plan, Vec::new());
    loop {
        let number = candidate.runs.len() as u32 + 1;
        // Looks of the same number share their chance over all changes, so that changes are compared on equal terms.
        let mut random = random(seed, draw, u64::from(number));
        candidate.runs.push(look(world, change, &format!("c{number}"), number, &mut random));
        let judgement = judge(&candidate, &baseline.references, Allow::default());
        if !judgement.look_again {
            let first = candidate.runs.swap_remove(0);
            return Trial { verdict: judgement.verdict, first };
        }
    }
}
