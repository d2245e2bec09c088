use std::collections::BTreeSet;

use super::evidence::{evidence, shown};
use super::hidden::hiding;
use super::iteration::{Ask, Sent, StepResult};
use super::local::Local;
use crate::logging::{Level, log};
use crate::metrics::{ErrorExample, Outcome, Sample};
use crate::transport::{Exchange, Transport};

const EVIDENCE_AN_ENDPOINT: usize = 2;
const IDENTITIES: usize = 64;

/// What is written down of a step beside how long it took.
impl<T: Transport> Local<T> {
    /// The single requests of a poll, each measured from when it was sent.
    pub fn note_attempts(&self, endpoint: usize, warmup: bool, result: &StepResult) {
        let (window_ns, mut recorder) = (self.window_ns(), self.recorder.borrow_mut());
        for attempt in &result.attempts {
            let (sent_ns, done_ns) = (self.since_start_ns(attempt.sent), self.since_start_ns(attempt.done));
            let outcome = attempt.error.map_or(Outcome::Ok, Outcome::Failed);
            let sample = Sample { endpoint, planned_ns: sent_ns, sent_ns, done_ns, outcome, warmup };
            recorder.started(endpoint, sent_ns, warmup, window_ns);
            recorder.finished(&sample, &crate::phases::Phases::default(), window_ns);
        }
    }

    /// Who answered, and what an error looked like.
    pub fn note(&self, scenario: usize, endpoint: usize, warmup: bool, result: &StepResult) {
        let plan = &self.shared.scenarios[scenario];
        if let Some(examined) = result.examined.filter(|_| !warmup) {
            let mut report = self.report.borrow_mut();
            let counts = report.examined.entry(endpoint).or_default();
            *counts = (counts.0 + u64::from(examined), counts.1 + 1);
        }
        let identity = &plan.identity;
        if let Some(Exchange { headers, .. }) = &result.exchange
            && identity.asks()
        {
            let mut report = self.report.borrow_mut();
            let told = |name: &Option<http::HeaderName>| headers.map().get(name.as_ref()?)?.to_str().ok();
            let answered = &mut report.arms[self.shared.arm(scenario)].answered_by;
            remember(&mut answered.instances, told(&identity.instance));
            remember(&mut answered.builds, told(&identity.build));
            remember(&mut answered.cohorts, told(&identity.cohort));
        }
        if result.failure.is_some() {
            self.report.borrow_mut().local_failures += u64::from(result.local && !warmup);
        }
    }

    /// What an error looked like; the first of each endpoint and class with all that shows why.
    pub fn keep_example(&self, ask: &Ask<'_, T>, scenario: usize, endpoint: usize, result: &StepResult) {
        let Ask { way, step, values, .. } = ask;
        let Some(failure) = &result.failure else { return };
        let name = &self.shared.layout.endpoints[endpoint].name;
        let exchange = result.exchange.as_ref();
        let hiding = |sent: Option<&Sent>| {
            hiding(way.scenario, values, way.session, sent, exchange, &self.shared.secrets)
        };
        log(Level::Debug, "load", || {
            let message = shown(step, &failure.message, &hiding(ask.sent().as_ref()));
            format!("{name}: {}: {message}", failure.class.name())
        });
        let mut report = self.report.borrow_mut();
        let examples = &mut report.arms[self.shared.arm(scenario)].examples;
        let same = || examples.iter().filter(|e| e.class == failure.class);
        if same().count() >= ErrorExample::A_CLASS {
            return;
        }
        let sent = ask.sent();
        let secrets = &hiding(sent.as_ref());
        let whole = same().filter(|example| example.endpoint == *name).count() < EVIDENCE_AN_ENDPOINT;
        let evidence =
            whole.then(|| Box::new(evidence(way.scenario, step, result, sent.as_ref(), values, secrets)));
        let message = shown(step, &failure.message, secrets);
        examples.push(ErrorExample { endpoint: name.clone(), class: failure.class, message, evidence });
    }
}

fn remember(known: &mut BTreeSet<String>, told: Option<&str>) {
    if let Some(told) = told
        && !known.contains(told)
        && known.len() < IDENTITIES
    {
        known.insert(told.to_owned());
    }
}
