use super::model::{Finding, FindingKind, GeneratorSummary, Severity};
use super::quantiles::{
    Evidence, LEAST_BLOCKS, LEAST_TAIL_COMPARED, LEAST_TAIL_LIMIT, QuantileEstimate, missing_requests,
};
use super::statistics::proportion_lower;
use crate::metrics::{EndpointPlan, LookRecord, RunRecord, SentRecord};
use crate::units::{Metric, format_ms, format_ns, format_share};

const BUSY: f64 = 0.90;
const LEAST_ACHIEVED: f64 = 0.95;
const MOST_CUT: f64 = 0.01;
/// From half to half. Load that swings by 5% over a second or so moves the halves of half a minute by 2.6%, so that 5%
/// would void one steady look in fifty.
const MOST_DRIFT: f64 = 0.10;
/// Of its standard error: what neighbouring blocks have in common is seen only in part.
const DRIFT_NOISE: f64 = 8.0;
/// Fewer endpoints are not all.
const LEAST_TOGETHER: usize = 3;
const LAG_FLOOR_US: f64 = 2_000.0;
const LAG_SHARE: f64 = 0.05;

fn invalid(endpoint: Option<&str>, reason: String, remedy: &str) -> Finding {
    Finding::new(FindingKind::Validity, Severity::Hold, endpoint, reason).remedy(remedy)
}

/// Whether the looks can be trusted: everything that speaks against it.
pub fn judge(record: &RunRecord, plans: &[&EndpointPlan], evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    let beside = record.plan.side_by_side.is_some();
    for (number, look) in record.runs.iter().enumerate() {
        if let Some(reason) = &look.warmup.unsteady {
            findings.push(invalid(
                None,
                format!("The target {reason}."),
                "raise `warmup_max`, or find out what still moves",
            ));
        }
        if !beside && !matches!(look.stop.as_str(), "interrupt" | "abort") {
            let drifts = plans.iter().enumerate().filter(|(_, plan)| !plan.shown_only);
            let drifts = drifts.filter_map(|(i, plan)| {
                let estimate = evidence.at(number, i, Metric::P50)?;
                let drift = estimate.drift?;
                let told = drift.abs() > plan.rules.ignore().ln_at(estimate.y.exp());
                Some((if told { drift } else { 0.0 }, estimate.half_w2))
            });
            findings.extend(drift_together(drifts.collect()));
        }
        for (i, plan) in plans.iter().enumerate() {
            // Two arms side by side move together, and what they are compared by is what they differ by.
            let estimate = |metric| evidence.at(number, i, metric).filter(|_| !beside);
            findings.extend(judge_endpoint(look, i, plan, &estimate, beside));
        }
    }
    findings
}

fn judge_endpoint(
    look: &LookRecord,
    index: usize,
    plan: &EndpointPlan,
    estimate: &dyn Fn(Metric) -> Option<QuantileEstimate>,
    beside: bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(endpoint) = look.endpoints.get(index) else { return findings };
    let name = Some(plan.endpoint.as_str());
    if plan.shown_only {
        return findings;
    }
    let cut = endpoint.cut as f64 / endpoint.requests.max(1) as f64;
    if cut > MOST_CUT && look.stop != "interrupt" {
        let reason = format!(
            "{} of the requests to {} were cut before they were answered.",
            format_share(cut),
            plan.endpoint
        );
        findings.push(invalid(
            name,
            reason,
            "the target answers too late at this rate; lower it or give it more time",
        ));
    }
    let enough = |metric: Metric, least| {
        metric.quantile().is_some_and(|q| missing_requests(endpoint.response.count(), q, least) == 0)
    };
    // A rule without its samples is named elsewhere; more blocks alone would not help it.
    let judges_quantiles = plan.rules.limits.iter().any(|l| enough(l.metric, LEAST_TAIL_LIMIT))
        || plan.rules.regression.iter().any(|r| enough(r.metric, LEAST_TAIL_COMPARED));
    if !judges_quantiles || endpoint.requests == 0 || matches!(look.stop.as_str(), "interrupt" | "abort") {
        return findings;
    }
    let blocks = look.blocks.iter().filter(|b| b.endpoint == index).count();
    // Side by side the blocks of all segments count, when the arms are compared.
    if (blocks as u64) < LEAST_BLOCKS && !beside {
        let reason = format!(
            "{} was measured for {blocks} blocks, at least {LEAST_BLOCKS} are needed.",
            plan.endpoint
        );
        findings.push(invalid(
            name,
            reason,
            "measure longer: a block takes ¼ s or 50 requests, whichever is longer",
        ));
        return findings;
    }
    for metric in [Metric::P50, Metric::P95] {
        // A move that is not worth naming between builds is none within a run: microseconds on loopback do that.
        if let Some(QuantileEstimate { y, drift: Some(drift), half_w2, .. }) = estimate(metric)
            && drift.abs() > DRIFT_NOISE * half_w2.sqrt()
            && drift.abs() > plan.rules.ignore().ln_at(y.exp()).max(MOST_DRIFT.ln_1p())
        {
            let reason = format!(
                "{metric} of {} moved by {} between the halves of the measurement: it was not steady.",
                plan.endpoint,
                format_share(drift.exp_m1())
            );
            findings.push(invalid(
                name,
                reason,
                "warm up longer, or measure when the target is not disturbed",
            ));
            break;
        }
    }
    findings
}

/// Endpoints that get faster or slower together say of the target what each alone would take for chance: then no latency of
/// this look is trusted. `drifts` are moves of ln p50 between the halves, with their variances.
fn drift_together(mut drifts: Vec<(f64, f64)>) -> Option<Finding> {
    let count = drifts.len();
    if count < LEAST_TOGETHER {
        return None;
    }
    let mean = drifts.iter().map(|(drift, _)| drift).sum::<f64>() / count as f64;
    let se = drifts.iter().map(|(_, w2)| w2).sum::<f64>().sqrt() / count as f64;
    drifts.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The lower of the two in the middle, seen from the side to which they move: one that leaps is not all.
    let middle = if mean < 0.0 { drifts[count / 2].0 } else { drifts[(count - 1) / 2].0 };
    let most = MOST_DRIFT.ln_1p();
    let moved = mean.abs() > most && mean.abs() > DRIFT_NOISE * se && middle * mean.signum() > most;
    moved.then(|| {
        let reason = format!(
            "p50 of all {count} endpoints together moved by {} between the halves of the measurement: the target was not steady.",
            format_share(mean.exp_m1())
        );
        invalid(None, reason, "warm up longer (`warmup_max`, or a fixed `warmup`), or measure when the target is not disturbed")
    })
}

/// Why a generator was not healthy, and what to do about it.
pub struct Ailment {
    pub reason: String,
    pub remedy: &'static str,
}

const BIGGER: &str = "use a bigger machine or --shard, or a lower rate";
const SLOW_TARGET: &str =
    "the target answers too slowly for this rate: lower it, shorten the timeout, or give the target more";
const LONGER: &str = "give the stage more time with `for`, or more users";
const QUIETER: &str = "use a bigger or quieter machine, or a lower rate";
const MORE_FILES: &str = "raise the limit of open files (`ulimit -n`) or the range of ports (`net.ipv4.ip_local_port_range`), or use fewer users or --shard";

/// How the load generator fared over all looks, in words where it fell short.
pub fn generator(record: &RunRecord, plans: &[&EndpointPlan]) -> (GeneratorSummary, Vec<Ailment>) {
    let mut summary = GeneratorSummary::default();
    let mut ailments: Vec<Ailment> = Vec::new();
    for look in &record.runs {
        let own = &look.generator;
        summary.dropped_arrivals += own.dropped_arrivals;
        summary.unsent_arrivals += own.unsent_arrivals;
        summary.send_lag_p99_us = max(summary.send_lag_p99_us, own.send_lag_p99_us);
        summary.cpu_busy = max(summary.cpu_busy, own.cpu_busy);
        for ailment in own_ailments(record, look, plans) {
            if ailments.iter().all(|known| known.reason != ailment.reason) {
                ailments.push(ailment);
            }
        }
    }
    summary.reasons = ailments.iter().map(|ailment| ailment.reason.clone()).collect();
    summary.healthy = ailments.is_empty();
    (summary, ailments)
}

/// Of one look; of one that was put together, each shard's own.
fn own_ailments(record: &RunRecord, look: &LookRecord, plans: &[&EndpointPlan]) -> Vec<Ailment> {
    let Some(merged) = &record.merged else {
        let sent: Vec<SentRecord> =
            look.endpoints.iter().zip(plans).map(|(own, plan)| SentRecord::of(own, plan.planned)).collect();
        return ailments_of(look, &sent, plans);
    };
    let looks = merged.shards.iter().flat_map(|part| part.looks.iter().map(move |own| (part.index, own)));
    looks
        .filter(|(_, own)| own.look.look == look.look)
        .flat_map(|(index, own)| {
            ailments_of(&own.look, &own.sent, plans).into_iter().map(move |ailment| Ailment {
                reason: format!("shard {}: {}", merged.name(index), ailment.reason),
                ..ailment
            })
        })
        .collect()
}

fn ailments_of(look: &LookRecord, sent: &[SentRecord], plans: &[&EndpointPlan]) -> Vec<Ailment> {
    let mut found = Vec::new();
    let mut add = |reason: String, remedy| found.push(Ailment { reason, remedy });
    let own = &look.generator;
    if own.local_failures > 0 {
        let count = own.local_failures;
        add(format!("{count} connections failed on this machine: out of descriptors or ports"), MORE_FILES);
    }
    let whole = !matches!(look.stop.as_str(), "interrupt" | "crash" | "abort");
    let endpoints = || plans.iter().zip(sent).filter(|(plan, own)| plan.users.is_none() && own.planned > 0);
    // What follows a step that was cut is not sent, which is the target's doing.
    let cut: u64 = sent.iter().map(|endpoint| endpoint.cut).sum();
    let sent = |endpoint: &SentRecord| endpoint.requests + endpoint.skipped;
    let short =
        whole && endpoints().any(|(_, e)| ((sent(e) + cut) as f64) < LEAST_ACHIEVED * e.planned as f64);
    let seconds = look.window_ms.max(1) as f64 / 1e3;
    let offered = endpoints().map(|(_, e)| e.planned).sum::<u64>() as f64 / seconds;
    let achieved = endpoints().map(|(_, e)| sent(e)).sum::<u64>() as f64 / seconds;
    let lost = own.dropped_arrivals + own.unsent_arrivals;
    let busy = own.cpu_busy.filter(|busy| *busy > BUSY);
    if let Some(busy) = busy {
        let cores = match own.workers {
            1 => "its one core was".to_owned(),
            n => format!("the busiest of its {n} cores was"),
        };
        let busy = format_share(busy.min(1.0));
        let sent = if short || lost > 0 {
            format!("it sent {} of {}/s: ", whole_number(achieved), whole_number(offered))
        } else {
            String::new()
        };
        add(format!("{sent}{cores} {busy} busy"), BIGGER);
    } else if own.dropped_arrivals > 0 {
        let count = own.dropped_arrivals;
        let (most, remedy) = if own.few_files {
            ("its limit of open files allows no more requests at once", MORE_FILES)
        } else {
            ("too many requests were waiting for the target at once", SLOW_TARGET)
        };
        add(format!("{count} arrivals were dropped: {most}"), remedy);
    } else if own.unsent_arrivals > 0 && endpoints().next().is_none() {
        let count = own.unsent_arrivals;
        add(format!("{count} of the `iterations` were not begun in time"), LONGER);
    } else if short || own.unsent_arrivals > 0 {
        add(format!("it sent {} of {}/s", whole_number(achieved), whole_number(offered)), QUIETER);
    }
    // To be late is what a busy machine does first; said once is enough.
    if look.stop != "crash" && busy.is_none() && lost == 0 {
        for (plan, endpoint) in endpoints() {
            let Some(lag_us) = endpoint.lag_p99_us else { continue };
            let allowed = LAG_FLOOR_US.max(LAG_SHARE * endpoint.p50_ns.unwrap_or(0) as f64 / 1e3);
            if lag_us > allowed {
                let (lag, most) = (format_ns(lag_us * 1e3), format_ns(allowed * 1e3));
                let name = &plan.endpoint;
                add(
                    format!("it sent late: 1 in 100 requests of {name} by over {lag}, allowed {most}"),
                    QUIETER,
                );
            }
        }
    }
    found
}

/// `2,000`.
fn whole_number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}

/// What an `abort_when` rule saw: proven, or only observed.
pub fn aborted(record: &RunRecord) -> Vec<Finding> {
    let aborts = record.runs.iter().filter_map(|look| look.abort.as_ref());
    aborts
        .map(|abort| {
            let (at_s, over_s) = (abort.at_ms as f64 / 1e3, abort.window_ms as f64 / 1e3);
            let head =
                format!("Ended by `abort_when` after {at_s:.0} s: {} of {}", abort.metric, abort.endpoint);
            let (text, proven) = if abort.metric == Metric::ErrorRate {
                let (x, n) = (abort.errors, abort.requests);
                let (seen, above) = (format_share(abort.observed), format_share(abort.above));
                let proven = proportion_lower(x as f64, n as f64, 0.99) > abort.above;
                (
                    format!("{head} was {seen} ({x} of {n} requests) over {over_s:.0} s, allowed {above}."),
                    proven,
                )
            } else {
                let (seen, above) = (format_ms(abort.observed), format_ms(abort.above));
                (format!("{head} was {seen} over {over_s:.0} s, allowed {above}."), false)
            };
            let severity = if proven { Severity::Fail } else { Severity::Hold };
            Finding::new(FindingKind::Limit, severity, Some(&abort.endpoint), text)
                .measured(abort.metric, abort.observed, abort.above)
                .remedy("look at `error_examples` in run.json; what was measured until then is kept")
        })
        .collect()
}

fn max(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_that_move_together_are_no_steady_target() {
        let of = |drifts: &[f64], se: f64| {
            drift_together(drifts.iter().map(|drift| (*drift, se * se)).collect()).is_some()
        };
        let (all, one) = ([-0.2; 10], [-1.5, 0.0, 0.01, -0.02, 0.0, 0.03, 0.0, 0.0, -0.01, 0.0]);
        assert!(of(&all, 0.05), "caches get warm: none by itself is beyond chance");
        assert!(of(&[0.2, 0.25, 0.15, 0.12], 0.03), "a leak");
        assert!(!of(&one, 0.02), "one endpoint is not all");
        assert!(!of(&[-0.06; 10], 0.005), "what swings on any machine");
        assert!(!of(&all, 0.1), "too few requests to tell");
        assert!(!of(&[-0.2; 2], 0.005), "two are not all: each is judged by itself");
    }
}
