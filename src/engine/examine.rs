use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::HeaderMap;

use super::sampling::Sampler;
use super::values::{StepMemory, Values};
use crate::checks::{Failure, HeaderSource, Subject, decoded};
use crate::error_class::ErrorClass;
use crate::scenario::{Place, PlacedCheck, Scenario, Step};
use crate::transport::{BODY_CAP, Exchange, Headers};

/// What failed, and which check of the file says so.
pub type Failed = (Failure, Option<Place>);

/// The step's checks and captures on its response; captures are kept in `values`. With a sampler, the second value says
/// whether the body was taken apart.
pub fn judge(
    step: &Step,
    exchange: &Exchange,
    service_ns: u64,
    sampler: Option<&Sampler>,
    values: &mut Values<'_>,
) -> (Result<(), Failed>, Option<bool>) {
    let drawn = sampler.map(Sampler::draw);
    let begun = (drawn == Some(true)).then(Instant::now);
    let judged = with_subject(exchange, service_ns, |subject| {
        first_failure(&step.checks, subject, &values.memory(&step.operands), drawn.unwrap_or(true))?;
        if step.captures.is_empty() {
            return Ok(());
        }
        let captured = values.capture(&step.captures, subject);
        captured.map_err(|(message, place)| (Failure { class: ErrorClass::Check, message }, Some(place)))
    });
    if let (Some(sampler), Some(begun)) = (sampler, begun) {
        sampler.spent(begun.elapsed());
    }
    (judged, drawn)
}

/// Whether `checks` hold for a response that came of what was sent at `sent`.
pub fn examine(
    step: &Step,
    checks: &[PlacedCheck],
    exchange: &Exchange,
    sent: Instant,
    values: &Values<'_>,
) -> Result<(), Failed> {
    let service_ns = exchange.done.duration_since(sent).as_nanos() as u64;
    with_subject(exchange, service_ns, |subject| {
        first_failure(checks, subject, &values.memory(&step.operands), true)
    })
}

/// Every check of a step that does not hold for its response, but for the one at `known`: as a line for people.
pub fn other_failures(
    scenario: &Scenario,
    step: &Step,
    exchange: &Exchange,
    service_ns: u64,
    values: &Values<'_>,
    known: Option<Place>,
) -> Vec<String> {
    let mut others = Vec::new();
    let _ = with_subject(exchange, service_ns, |subject| {
        let memory = values.memory(&step.operands);
        for placed in step.checks.iter().filter(|placed| Some(placed.place) != known) {
            if let Err(failure) = placed.check.judge(subject, &memory) {
                let line = crate::error::position(&scenario.source.text, placed.place.start).0;
                others.push(format!("line {line}: {}", failure.message));
            }
        }
        Ok(())
    });
    others
}

/// The first check that does not hold. Without `thorough`, only those that cost little.
fn first_failure(
    checks: &[PlacedCheck],
    subject: &Subject<'_>,
    memory: &StepMemory<'_>,
    thorough: bool,
) -> Result<(), Failed> {
    checks.iter().filter(|placed| thorough || !placed.check.is_expensive()).try_for_each(|placed| {
        placed.check.judge(subject, memory).map_err(|failure| (failure, Some(placed.place)))
    })
}

/// Looks at a response, decompressed if it is compressed.
fn with_subject<R>(
    exchange: &Exchange,
    service_ns: u64,
    look: impl FnOnce(&Subject<'_>) -> Result<R, Failed>,
) -> Result<R, Failed> {
    let Exchange { status, headers, body, .. } = exchange;
    if !headers.encodes() {
        return look(&Subject::new(*status, headers, body, service_ns, now_unix_ms));
    }
    let body = decoded(headers.map(), body, BODY_CAP)
        .map_err(|message| (Failure { class: ErrorClass::Protocol, message }, None))?;
    look(&Subject::new(*status, headers, &body, service_ns, now_unix_ms))
}

impl HeaderSource for Headers {
    fn map(&self) -> &HeaderMap {
        Headers::map(self)
    }
}

pub fn now_unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
