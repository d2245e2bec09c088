use std::sync::Arc;

use crate::metrics::ShardRecord;
use crate::random::{pick, unit};
use crate::scenario::{Level, LoadPlan, Process, Stage};

/// Which part of a whole load is meant: every `count`-th arrival or virtual user, from `index` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    pub index: u64,
    pub count: u64,
}

impl Slice {
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// A shard's, or the whole.
    #[must_use]
    pub fn of_shard(shard: Option<ShardRecord>) -> Self {
        shard.map_or(Self::WHOLE, |shard| Self { index: shard.index, count: shard.count })
    }

    /// A part of this part.
    #[must_use]
    pub fn part(self, index: u64, count: u64) -> Self {
        Self { index: self.index + self.count * index, count: self.count * count }
    }

    /// Of the numbers below `n`, those that it has.
    pub fn of(self, n: u64) -> impl Iterator<Item = u64> {
        (self.index..n).step_by(self.count as usize)
    }
}

/// One iteration of a scenario in the open model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Global: the same whatever worker or shard sends it.
    pub index: u64,
    pub stage: usize,
    /// Since the schedule's beginning.
    pub at_ns: u64,
}

/// When the iterations of one scenario arrive: a pure function of stages and seed, walked in order.
#[derive(Clone)]
pub struct Arrivals {
    stages: Arc<[Staged]>,
    slice: Slice,
    first_index: u64,
    stage: usize,
    next: u64,
    /// Poisson: how many gaps of the present stage are summed up, and their sum.
    walked: (u64, f64),
}

struct Staged {
    stage: Stage,
    start_ns: u64,
    /// Arrivals of the stages before.
    base: u64,
    arrivals: u64,
    process: Process,
    seed: u64,
    /// Shift of evenly spread arrivals, as a share of their distance, so that scenarios do not arrive in bursts.
    phase: f64,
    /// What the gaps are scaled by, so that the stage has the arrivals that its level promises.
    scale: f64,
}

/// A warm-up lasts until it is told otherwise.
const ENDLESS_NS: u64 = 1 << 52;

impl Arrivals {
    /// The measured stages.
    #[must_use]
    pub fn measured(plan: &LoadPlan, seed: u64, phase: f64) -> Self {
        Self::new(&plan.stages, plan.process, seed, phase, 0, None)
    }

    /// The leading ramps, then the first steady level without end. Its iterations are counted on from the measured ones,
    /// so that these do not depend on how long the warm-up took.
    #[must_use]
    pub fn warmup(plan: &LoadPlan, seed: u64, phase: f64) -> Self {
        let mut stages = plan.lead.clone();
        stages.push(Stage { length_ns: ENDLESS_NS, ..plan.stages[0] });
        let endless = stages.len() - 1;
        Self::new(&stages, plan.process, pick(seed, u64::MAX), phase, plan.arrivals(), Some(endless))
    }

    fn new(
        stages: &[Stage],
        process: Process,
        seed: u64,
        phase: f64,
        first_index: u64,
        endless: Option<usize>,
    ) -> Self {
        let (mut start_ns, mut base) = (0, 0);
        let staged = stages
            .iter()
            .enumerate()
            .map(|(i, stage)| {
                let (seed, arrivals) = (pick(seed, i as u64), stage.arrivals());
                let scale = if process == Process::Constant || endless == Some(i) {
                    1.0
                } else {
                    // As many arrivals as are due: a Poisson process under the condition of its count (Kingman 1993, §2.4).
                    let total: f64 = (0..=arrivals).map(|k| gap(seed, k)).sum();
                    stage.rate_per_s() * stage.length_ns as f64 / 1e9 / total
                };
                let own = Staged { stage: *stage, start_ns, base, arrivals, process, seed, phase, scale };
                start_ns += stage.length_ns;
                base += arrivals;
                own
            })
            .collect();
        Self { stages: staged, slice: Slice::WHOLE, first_index, stage: 0, next: 0, walked: (0, 0.0) }
    }

    /// Only those of a slice.
    #[must_use]
    pub fn sliced(&self, slice: Slice) -> Self {
        Self { slice, next: slice.index, ..self.clone() }
    }
}

/// An exponentially spread gap of mean 1.
fn gap(seed: u64, k: u64) -> f64 {
    -unit(seed, k).ln()
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let n = self.next;
        while n >= self.stages.get(self.stage)?.base + self.stages[self.stage].arrivals {
            self.stage += 1;
            self.walked = (0, 0.0);
        }
        let own = &self.stages[self.stage];
        let k = n - own.base;
        let within_ns = match (own.process, own.stage.level) {
            (Process::Poisson, _) => {
                while self.walked.0 <= k {
                    self.walked.1 += gap(own.seed, self.walked.0);
                    self.walked.0 += 1;
                }
                own.stage.offset_ns(self.walked.1 * own.scale)
            }
            // Whole numbers only: no schedule drifts, however long.
            (Process::Constant, Level::Rate(rate)) => {
                let shift_ns = (own.phase * rate.offset_ns(1) as f64) as u64;
                (rate.offset_ns(k) + shift_ns).min(own.stage.length_ns - 1)
            }
            (Process::Constant, _) => own.stage.offset_ns(k as f64 + own.phase),
        };
        self.next += self.slice.count;
        Some(Arrival { index: self.first_index + n, stage: self.stage, at_ns: own.start_ns + within_ns })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scenario::Warmup;
    use crate::units::{NS_PER_S, parse_rate};

    fn steady(rate: &str, seconds: u64) -> Stage {
        Stage {
            level: Level::Rate(parse_rate(rate).unwrap()),
            length_ns: seconds * NS_PER_S,
            iterations: None,
        }
    }

    fn plan(stages: Vec<Stage>, process: Process) -> LoadPlan {
        LoadPlan { warmup: Warmup::Fixed { ns: 0 }, lead: Vec::new(), stages, process }
    }

    fn profile(process: Process) -> LoadPlan {
        let ramp = Level::RateRamp { from: 70.0, to: 200.0 };
        let ramp = Stage { level: ramp, length_ns: 3 * NS_PER_S, iterations: None };
        plan(vec![steady("70/s", 2), ramp, steady("200/s", 2)], process)
    }

    proptest! {
        #[test]
        fn the_workers_slices_cover_the_schedule_once(workers in 1u64..9, seed: u64, poisson: bool) {
            let process = if poisson { Process::Poisson } else { Process::Constant };
            let whole = Arrivals::measured(&profile(process), seed, 0.3);
            let mut shared: Vec<_> =
                (0..workers).flat_map(|i| whole.sliced(Slice::WHOLE.part(i, workers))).collect();
            shared.sort_unstable_by_key(|arrival| arrival.index);
            let all: Vec<_> = whole.clone().collect();
            prop_assert_eq!(all.len() as u64, profile(process).arrivals());
            prop_assert!(all.is_sorted_by_key(|arrival| arrival.at_ns));
            prop_assert_eq!(shared, all);
        }

        #[test]
        fn no_arrival_is_ever_further_than_a_nanosecond_from_the_even_grid(per_s in 1u32..50_000, n in 0u64..10_000_000) {
            let seconds = n / u64::from(per_s) + 1;
            let even = plan(vec![steady(&format!("{per_s}/s"), seconds)], Process::Constant);
            let arrival = Arrivals::measured(&even, 1, 0.0).sliced(Slice { index: n, count: 1 }).next().unwrap();
            let exact = n as f64 * 1e9 / f64::from(per_s);
            prop_assert!((arrival.at_ns as f64 - exact).abs() <= 1.0 + exact * 1e-15);
        }
    }

    /// The same seed gives the same schedule to the nanosecond; another seed another one.
    #[test]
    fn a_schedule_is_fixed_by_its_seed() {
        let times = |seed| {
            Arrivals::measured(&profile(Process::Poisson), seed, 0.0).map(|a| a.at_ns).collect::<Vec<_>>()
        };
        assert_eq!(times(7), times(7));
        assert_ne!(times(7), times(8));
    }

    /// Gaps of a Poisson process are exponential: their deviation equals their mean, and 1/e of them exceed it.
    #[test]
    fn poisson_gaps_are_exponential() {
        let arrivals = Arrivals::measured(&plan(vec![steady("1000/s", 100)], Process::Poisson), 3, 0.0);
        let times: Vec<_> = arrivals.map(|a| a.at_ns as f64 / 1e6).collect();
        assert_eq!(times.len(), 100_000);
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        let beyond = gaps.iter().filter(|g| **g > mean).count() as f64 / gaps.len() as f64;
        assert!((mean - 1.0).abs() < 0.01 && (deviation / mean - 1.0).abs() < 0.02, "{mean} {deviation}");
        assert!((beyond - (-1.0f64).exp()).abs() < 0.01, "{beyond}");
    }

    #[test]
    fn the_warmup_leads_in_and_counts_on() {
        let mut plan = plan(vec![steady("100/s", 10)], Process::Constant);
        let ramp = Level::RateRamp { from: 0.0, to: 100.0 };
        plan.lead.push(Stage { level: ramp, length_ns: 2 * NS_PER_S, iterations: None });
        let warm: Vec<_> = Arrivals::warmup(&plan, 1, 0.0).take(150).collect();
        assert_eq!((warm[0].index, warm[0].at_ns), (1000, 0));
        assert_eq!((warm[100].at_ns, warm[149].at_ns), (2 * NS_PER_S, 2 * NS_PER_S + 490_000_000));
    }
}
