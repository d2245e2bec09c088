use super::load_plan::LoadPlan;
use super::model::{Action, Scenario, Step};
use crate::random::{pick, unit};

/// What an iteration does, in order.
#[derive(Clone, Debug)]
pub enum Node {
    /// Index into the scenario's steps.
    Step(usize),
    /// A pause, evenly spread between two lengths; only under load.
    Think {
        least_ns: u64,
        most_ns: u64,
    },
    /// One branch an iteration, drawn by weight.
    OneOf(Vec<Branch>),
    Repeat {
        times: u32,
        nodes: Vec<Node>,
    },
}

#[derive(Clone, Debug)]
pub struct Branch {
    pub weight: u32,
    pub nodes: Vec<Node>,
}

/// A node whose choices are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Step(usize),
    Think {
        ns: u64,
    },
    /// What follows is done however the iteration went.
    Finally,
}

impl Scenario {
    /// What iteration `index` does under load: fixed by the seed, whatever worker or shard runs it.
    #[must_use]
    pub fn acts(&self, seed: u64, index: u64) -> Vec<Act> {
        let mut acts = Vec::with_capacity(self.steps.len());
        let mut draws = 0;
        self.choose(&self.program, seed, index, &mut draws, &mut acts);
        if !self.finally.is_empty() {
            acts.push(Act::Finally);
            self.choose(&self.finally, seed, index, &mut draws, &mut acts);
        }
        acts
    }

    fn own_nodes(&self) -> impl Iterator<Item = &Node> {
        self.program.iter().chain(&self.finally)
    }

    fn choose(&self, nodes: &[Node], seed: u64, index: u64, draws: &mut u64, acts: &mut Vec<Act>) {
        for node in nodes {
            match node {
                Node::Step(step) if !self.steps[*step].in_load() => {}
                Node::Step(step) => acts.push(Act::Step(*step)),
                Node::Think { least_ns, most_ns } => {
                    *draws += 1;
                    let share = unit(pick(seed, *draws), index);
                    acts.push(Act::Think { ns: least_ns + (share * (most_ns - least_ns) as f64) as u64 });
                }
                Node::Repeat { times, nodes } => {
                    for _ in 0..*times {
                        self.choose(nodes, seed, index, draws, acts);
                    }
                }
                Node::OneOf(branches) => {
                    *draws += 1;
                    let total: u64 = branches.iter().map(|b| u64::from(b.weight)).sum();
                    let mut drawn = pick(pick(seed, *draws), index) % total;
                    let chosen = branches.iter().find(|branch| {
                        let weight = u64::from(branch.weight);
                        let here = drawn < weight;
                        drawn = drawn.saturating_sub(weight);
                        here
                    });
                    if let Some(branch) = chosen {
                        self.choose(&branch.nodes, seed, index, draws, acts);
                    }
                }
            }
        }
    }

    /// The longest that an iteration may pause in all.
    #[must_use]
    pub fn longest_think_ns(&self) -> u64 {
        fn longest<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> u64 {
            nodes
                .into_iter()
                .map(|node| match node {
                    Node::Step(_) => 0,
                    Node::Think { most_ns, .. } => *most_ns,
                    Node::OneOf(branches) => branches.iter().map(|b| longest(&b.nodes)).max().unwrap_or(0),
                    Node::Repeat { times, nodes } => u64::from(*times) * longest(nodes),
                })
                .sum()
        }
        if self.load.as_ref().is_some_and(LoadPlan::is_open) { longest(self.own_nodes()) } else { 0 }
    }

    /// Whether every iteration does the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        fn fixed(node: &Node) -> bool {
            match node {
                Node::Step(_) => true,
                Node::Think { least_ns, most_ns } => least_ns == most_ns,
                Node::OneOf(_) => false,
                Node::Repeat { nodes, .. } => nodes.iter().all(fixed),
            }
        }
        self.own_nodes().all(fixed)
    }

    /// How often an iteration takes each step, in the mean.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        fn walk<'a>(nodes: impl IntoIterator<Item = &'a Node>, share: f64, shares: &mut [f64]) {
            for node in nodes {
                match node {
                    Node::Step(step) => shares[*step] = share,
                    Node::Think { .. } => {}
                    Node::Repeat { times, nodes } => walk(nodes, share * f64::from(*times), shares),
                    Node::OneOf(branches) => {
                        let total: f64 = branches.iter().map(|b| f64::from(b.weight)).sum();
                        for branch in branches {
                            walk(&branch.nodes, share * f64::from(branch.weight) / total, shares);
                        }
                    }
                }
            }
        }
        let mut shares = vec![0.0; self.steps.len()];
        walk(self.own_nodes(), 1.0, &mut shares);
        shares
    }

    /// How many requests an iteration sends, in the mean; of what is polled or followed, the first.
    #[must_use]
    pub fn requests_an_iteration(&self) -> f64 {
        self.shares().iter().sum()
    }

    /// The same with every try of what is polled, as far as `length_ns`, that of the load, lets them pile up.
    #[must_use]
    pub fn requests_with_tries(&self, length_ns: u64) -> f64 {
        let tries = |step: &Step| match step.action {
            Action::Poll { every_ns, within_ns, .. } => {
                within_ns.min(length_ns).div_ceil(every_ns.max(1)).max(1) as f64
            }
            _ => 1.0,
        };
        self.shares().iter().zip(&self.steps).map(|(share, step)| share * tries(step)).sum()
    }

    /// How many of the iterations `indices` reach each step.
    #[must_use]
    pub fn counts(&self, seed: u64, indices: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut counts = vec![0; self.steps.len()];
        if self.is_fixed() {
            let all = indices.count() as u64;
            self.acts(seed, 0).iter().for_each(|act| {
                if let Act::Step(step) = act {
                    counts[*step] += all;
                }
            });
            return counts;
        }
        for index in indices {
            for act in self.acts(seed, index) {
                if let Act::Step(step) = act {
                    counts[step] += 1;
                }
            }
        }
        counts
    }
}
