use std::sync::Arc;

use super::journal::Entry;
use super::target::TargetSpec;
use crate::engine::Tokens;
use crate::metrics::Pairing;
use crate::scenario::{Probe, Scenario};
use crate::secrets::Secrets;

/// The control beside which a candidate is judged.
pub struct BesideRequest {
    pub target: TargetSpec,
    /// The candidate's, with the control's variables and headers.
    pub scenarios: Vec<Scenario>,
    /// As many as the candidate's, in the same order.
    pub probes: Vec<Probe>,
    pub pairing: Pairing,
}

/// Who is asked: the candidate alone, or the control and then the candidate.
pub struct Arm {
    pub is_control: bool,
    pub spec: TargetSpec,
    pub scenarios: Vec<Scenario>,
    pub probes: Vec<Probe>,
    pub tokens: Arc<Tokens>,
}

impl Arm {
    pub fn new(
        is_control: bool,
        spec: &TargetSpec,
        (scenarios, probes): (&[Scenario], &[Probe]),
        secrets: &Secrets,
    ) -> Self {
        let tokens = Arc::new(Tokens::new(secrets.clone()));
        let (scenarios, probes) = (scenarios.to_vec(), probes.to_vec());
        Self { is_control, spec: spec.clone(), scenarios, probes, tokens }
    }

    /// As the record has it.
    pub fn name(&self) -> &'static str {
        if self.is_control { "control" } else { "candidate" }
    }

    /// The scenarios that send load.
    pub fn loaded(&self) -> Vec<Scenario> {
        self.scenarios.iter().filter(|scenario| scenario.load.is_some()).cloned().collect()
    }

    /// What is written down of this arm.
    pub fn entry(&self, entry: Entry) -> Entry {
        if self.is_control { Entry::OfControl(Box::new(entry)) } else { entry }
    }
}
