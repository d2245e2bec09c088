use super::errors::{self, ErrorSeries};
use super::model::{Comparison, Finding, FindingKind, Severity};
use super::side_by_side::both_uncertain;
use super::statistics::squared_deviations;
use super::stored::Levels;
use crate::metrics::{ControlRecord, LookRecord, ProbePlan, RunRecord};
use crate::units::{Metric, RegressionRule};

/// Errors and requests of real users, as counters told them: between one reading and the next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    errors: f64,
    requests: f64,
}

/// What stands for real users where endpoints are named.
#[must_use]
pub fn name_of(plan: &ProbePlan) -> String {
    format!("real users/{}", plan.name)
}

/// Real users of both arms: one comparison for each probe that counts them, with the requests of the smaller arm; or why
/// there is none. Their errors come in clumps, so the counts are divided by how much more the arms' difference varies from
/// reading to reading than that of independent errors would (as for endpoints, DESIGN §5).
pub fn compare(
    record: &RunRecord,
    control: &ControlRecord,
    levels: Levels,
) -> Vec<Result<(Comparison, u64), Box<Finding>>> {
    let compared = record.probes.iter().enumerate().filter_map(|(i, plan)| Some((i, plan, plan.compare?)));
    compared
        .map(|(number, plan, delta)| {
            let apart_ms = (plan.every_ms / 2).max(1) as i64;
            let (own, other) = paired(&record.runs, &control.runs, number, apart_ms);
            let (candidate, beside) = (total(&own), total(&other));
            for (arm, count) in [("candidate", candidate), ("control", beside)] {
                if count.requests < 1.0 {
                    return Err(Box::new(unseen(plan, arm)));
                }
            }
            let rule = RegressionRule { metric: Metric::ErrorRate, delta, explicit: true };
            let whole = |count: Count| (count.errors.round() as u64, count.requests.round() as u64);
            let series = ErrorSeries {
                endpoint: name_of(plan),
                rule,
                baseline: vec![whole(beside)],
                candidate: whole(candidate),
                candidate_instances: 1,
            };
            let phi = overdispersion(&own, &other);
            let compared = errors::compare(&series, phi, levels);
            let requests = candidate.requests.min(beside.requests) as u64;
            Ok((both_uncertain(compared, &series, phi, levels), requests))
        })
        .collect()
}

fn unseen(plan: &ProbePlan, arm: &str) -> Finding {
    let text = format!("No real user's request was counted on the {arm} by {}.", plan.name);
    let mut finding = Finding::new(FindingKind::Probe, Severity::Hold, None, text).remedy(
        "look whether its query finds the arm, and whether users reach it; `arms` says what `${arm}` stands for",
    );
    finding.probe = Some(plan.name.clone());
    finding
}

/// The increments of both arms' counters between readings that both have, look by look. A counter that falls, as where a replica
/// ended, tells nothing of that interval.
fn paired(
    candidate: &[LookRecord],
    control: &[LookRecord],
    number: usize,
    apart_ms: i64,
) -> (Vec<Count>, Vec<Count>) {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for (a, b) in candidate.iter().zip(control) {
        let beside = readings(b, number, 2 * apart_ms);
        let near = |at_ms: i64| beside.iter().find(|(then_ms, ..)| (then_ms - at_ms).abs() < apart_ms);
        let both: Vec<_> = readings(a, number, 2 * apart_ms)
            .into_iter()
            .filter_map(|one| Some((one, *near(one.0)?)))
            .collect();
        for pair in both.windows(2) {
            let grown = |before: Read, after: Read| {
                let count = Count { errors: after.1 - before.1, requests: after.2 - before.2 };
                (count.errors >= 0.0 && count.requests >= 0.0).then_some(count)
            };
            if let (Some(x), Some(y)) = (grown(pair[0].0, pair[1].0), grown(pair[0].1, pair[1].1)) {
                own.push(x);
                other.push(y);
            }
        }
    }
    (own, other)
}

/// When, errors, requests.
type Read = (i64, f64, f64);

/// Those of the measured window, and the turn before and after it.
fn readings(look: &LookRecord, number: usize, around_ms: i64) -> Vec<Read> {
    let near = |at_ms: i64| at_ms > -around_ms && at_ms < look.window_ms as i64 + around_ms;
    let own = look.readings.iter().filter(|r| r.probe == number && near(r.at_ms));
    let mut readings: Vec<Read> = own.filter_map(|r| Some((r.at_ms, r.value?, r.of?))).collect();
    readings.sort_by_key(|(at_ms, ..)| *at_ms);
    readings
}

fn total(counts: &[Count]) -> Count {
    counts.iter().fold(Count::default(), |sum, one| Count {
        errors: sum.errors + one.errors,
        requests: sum.requests + one.requests,
    })
}

/// Pearson's χ² of the paired differences over what independent errors would give; the arms may have unequal shares of users.
fn overdispersion(own: &[Count], other: &[Count]) -> f64 {
    let (candidate, control) = (total(own), total(other));
    let share = candidate.requests / control.requests.max(1.0);
    let deltas: Vec<f64> = own.iter().zip(other).map(|(a, b)| a.errors - share * b.errors).collect();
    let expected = candidate.errors + share * share * control.errors;
    if deltas.len() < 2 {
        return errors::UNKNOWN_OVERDISPERSION;
    }
    if expected < 1.0 {
        return errors::LEAST_OVERDISPERSION;
    }
    (squared_deviations(&deltas) / expected).max(errors::LEAST_OVERDISPERSION)
}

#[cfg(test)]
mod tests {
    use super::super::model::Settled;
    use super::*;
    use crate::metrics::Reading;
    use crate::units::Tolerance;

    fn looks(counters: &[(f64, f64)]) -> Vec<LookRecord> {
        let readings = counters.iter().enumerate().map(|(i, (value, of))| Reading {
            at_ms: i as i64 * 5_000,
            value: Some(*value),
            of: Some(*of),
            ..Reading::default()
        });
        vec![LookRecord { window_ms: 30_000, readings: readings.collect(), ..LookRecord::default() }]
    }

    fn compared(own: &[(f64, f64)], other: &[(f64, f64)]) -> Result<(Comparison, u64), Box<Finding>> {
        let mut record: RunRecord = serde_json::from_value(serde_json::json!({
            "format": 1, "id": "", "loadgate_version": "", "started": "", "target": "", "env": "",
            "plan": { "gate": "safety", "repeat": "auto", "restarts": false },
            "environment": { "cpu_model": "", "cores": 1, "kernel": "", "ci_run": null, "git_commit": null },
            "scenarios": [], "smoke": null, "runs": [], "error_examples": [], "interrupted": null, "not_ready": null,
            "probes": [{ "name": "errors", "place": "", "asks": "", "every_ms": 5000, "max_age_ms": 9, "limit": null, "for_ms": 0 }],
        }))
        .unwrap();
        record.probes[0].compare = Some(Tolerance { share: 0.005, floor_ms: 0.0 });
        record.runs = looks(own);
        let control = ControlRecord { runs: looks(other), ..ControlRecord::default() };
        let levels = Levels { alpha: 0.003, errors_apart: None, q: 0.95, least_fail: 0.0, judges: true };
        compare(&record, &control, levels).remove(0)
    }

    #[test]
    fn counters_of_both_arms_are_compared_over_restarts_and_unequal_shares() {
        // A quarter of the users are on the candidate.
        let control: Vec<(f64, f64)> =
            (0..7).map(|i| (10.0 * f64::from(i), 10_000.0 * f64::from(i))).collect();
        let alike: Vec<(f64, f64)> = (0..7).map(|i| (3.0 * f64::from(i), 2_500.0 * f64::from(i))).collect();
        let (same, requests) = compared(&alike, &control).unwrap();
        assert_eq!((same.settled, same.p, requests), (Settled::Within, 1.0, 15_000));
        assert_eq!((same.reference, same.observed), (0.001, 0.0012));
        // The counters began anew halfway: what was counted before is kept.
        let worse: Vec<(f64, f64)> =
            (0..7).map(|i| (50.0 * f64::from(i % 4), 2_500.0 * f64::from(i % 4))).collect();
        let (worse, requests) = compared(&worse, &control).unwrap();
        assert!(worse.p < 1e-9 && worse.settled == Settled::Open, "{worse:?}");
        assert_eq!((worse.observed, requests), (0.02, 12_500));
        let unseen = compared(&[(0.0, 0.0); 7], &control).unwrap_err();
        assert!(unseen.severity == Severity::Hold && unseen.reason.contains("candidate"));
        // All errors at once are no proof of a rate.
        let mut clump = vec![(0.0, 0.0), (0.0, 500.0), (15.0, 1000.0)];
        clump.extend((3..7).map(|i| (15.0, 500.0 * f64::from(i))));
        let even: Vec<(f64, f64)> = (0..7).map(|i| (0.0, 500.0 * f64::from(i))).collect();
        let spread: Vec<(f64, f64)> = (0..7).map(|i| (2.5 * f64::from(i), 500.0 * f64::from(i))).collect();
        let (clumped, evenly) = (compared(&clump, &even).unwrap().0, compared(&spread, &even).unwrap().0);
        assert!(clumped.p > 20.0 * evenly.p, "{} {}", clumped.p, evenly.p);
    }
}
