use super::arms;
use super::arrival::Slice;
use crate::digest::sha256_hex;
use crate::metrics::{BlockGrid, Pairing, WholePlan};
use crate::random::pick;
use crate::scenario::{LoadPlan, Scenario};

/// One step in one stage of the measured window: what is judged.
#[derive(Clone, Debug)]
pub struct EndpointSpec {
    pub scenario: usize,
    pub step: usize,
    /// `feature/step name`, in later steady stages with `@stage2` and so on, in ramps with `@ramp1`.
    pub name: String,
    /// Mean of the stage, of this slice; 0 in the closed model.
    pub rate_per_s: f64,
    pub users: Option<u32>,
    /// Requests of the stage, of this slice; 0 in the closed model.
    pub planned: u64,
    pub length_ns: u64,
    pub judged: bool,
    /// The single requests of a poll, beside the time until its condition holds.
    pub attempts: bool,
    pub grid: BlockGrid,
    /// Of a shard: what all of them together send.
    pub whole: Option<WholePlan>,
}

/// The endpoints of a load, and which of them a step of a stage counts to.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub endpoints: Vec<EndpointSpec>,
    /// By scenario, stage and step; `None` for a step that does not run under load.
    index: Vec<Vec<Vec<Option<usize>>>>,
    /// Likewise for the attempts of polls.
    attempts: Vec<Vec<Vec<Option<usize>>>>,
}

/// What of a scenario's arrivals is meant.
#[derive(Clone, Copy)]
struct Share {
    slice: Slice,
    pairing: Option<Pairing>,
    arm: usize,
}

/// Of one scenario, whichever others run beside it.
#[must_use]
pub fn scenario_seed(seed: u64, scenario: &Scenario) -> u64 {
    let name = sha256_hex(scenario.feature.as_bytes());
    pick(seed, u64::from_str_radix(&name[..16], 16).unwrap_or_default())
}

impl Layout {
    /// With a pairing the scenarios are those of one arm, then those of the other.
    #[must_use]
    pub fn new(scenarios: &[Scenario], seed: u64, slice: Slice, pairing: Option<Pairing>) -> Self {
        let mut layout = Self::default();
        let an_arm = if pairing.is_some() { scenarios.len() / 2 } else { scenarios.len() };
        for (number, scenario) in scenarios.iter().enumerate() {
            let share = Share { slice, pairing, arm: number / an_arm.max(1) };
            let stages = scenario.load.as_ref().map_or(0, |load| load.stages.len());
            layout.index.push(vec![vec![None; scenario.steps.len()]; stages]);
            layout.attempts.push(vec![vec![None; scenario.steps.len()]; stages]);
            if let Some(load) = &scenario.load {
                layout.place(number, scenario, load, scenario_seed(seed, scenario), share);
            }
        }
        layout
    }

    fn place(&mut self, number: usize, scenario: &Scenario, load: &LoadPlan, seed: u64, share: Share) {
        let Share { slice, pairing, arm } = share;
        let own = |n: &u64| arms::takes(pairing, arm, seed, *n);
        let shares = scenario.shares();
        let mut bases = vec![0];
        for stage in &load.stages {
            bases.push(bases.last().copied().unwrap_or(0) + stage.arrivals());
        }
        let counted = |slice: Slice| -> Vec<Vec<u64>> {
            let stages = bases.windows(2);
            stages
                .map(|pair| scenario.counts(seed, slice.of(pair[1]).filter(|n| *n >= pair[0]).filter(own)))
                .collect()
        };
        let planned = counted(slice);
        let in_all = (slice.count > 1).then(|| counted(Slice::WHOLE));
        for (step, spec) in scenario.load_steps() {
            let (mut origin_ns, mut steady, mut ramps) = (0, 0, 0);
            for (at, stage) in load.stages.iter().enumerate() {
                let judged = stage.level.is_steady();
                let name = if judged {
                    steady += 1;
                    if steady == 1 {
                        spec.endpoint.clone()
                    } else {
                        format!("{}@stage{steady}", spec.endpoint)
                    }
                } else {
                    ramps += 1;
                    format!("{}@ramp{ramps}", spec.endpoint)
                };
                let whole_per_s = stage.rate_per_s() * shares[step] * arms::part(pairing);
                let users = (!stage.level.is_open()).then(|| stage.level.users().1);
                let grid = if stage.iterations.is_some() {
                    BlockGrid::of_quarters(stage.length_ns)
                } else if users.is_some() {
                    BlockGrid::of_users(stage.length_ns)
                } else {
                    // The same for all shards, so that their blocks add up.
                    BlockGrid::new(whole_per_s, stage.length_ns)
                };
                self.index[number][at][step] = Some(self.endpoints.len());
                let own = EndpointSpec {
                    scenario: number,
                    step,
                    name,
                    rate_per_s: whole_per_s / slice.count as f64,
                    users,
                    planned: planned[at][step],
                    length_ns: stage.length_ns,
                    judged,
                    attempts: false,
                    grid: grid.starting_at(origin_ns),
                    whole: in_all
                        .as_ref()
                        .map(|counts| WholePlan { rate_per_s: whole_per_s, planned: counts[at][step] }),
                };
                self.endpoints.push(own.clone());
                if spec.action.is_poll() {
                    self.attempts[number][at][step] = Some(self.endpoints.len());
                    // How many there will be is the target's doing.
                    self.endpoints.push(EndpointSpec {
                        name: format!("{}@attempts", own.name),
                        rate_per_s: 0.0,
                        planned: 0,
                        judged: false,
                        attempts: true,
                        whole: own.whole.map(|_| WholePlan { rate_per_s: 0.0, planned: 0 }),
                        grid: BlockGrid::of_quarters(stage.length_ns).starting_at(origin_ns),
                        ..own
                    });
                }
                origin_ns += stage.length_ns;
            }
        }
    }

    /// Which endpoint a step counts to, in a stage of its scenario.
    #[must_use]
    pub fn endpoint(&self, scenario: usize, stage: usize, step: usize) -> Option<usize> {
        self.index[scenario][stage][step]
    }

    /// Which endpoint the attempts of a poll count to.
    #[must_use]
    pub fn attempts(&self, scenario: usize, stage: usize, step: usize) -> Option<usize> {
        self.attempts[scenario][stage][step]
    }
}
