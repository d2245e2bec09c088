//! Shards into one record: counts and histograms are added, everything else is derived from what each shard said of itself;
//! so it does not matter in which order, or over how many steps, they are put together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::generator::GeneratorRecord;
use super::look_builder::achieved;
use super::run_record::{
    EndpointPlan, ErrorExample, LookRecord, RunRecord, SmokeRecord, SmokeStatus, SmokeStep, TimelineBlock,
    WarmupRecord,
};
use super::shards::{MergedRecord, ShardLook, ShardRecord};
use super::side_by_side::AnsweredBy;
use super::slow_request::SlowRequest;
use crate::digest::sha256_hex;

/// Why a record cannot be put together with those before it.
#[derive(Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Which of them.
    pub record: usize,
    pub reason: String,
    pub hint: &'static str,
}

/// All shards of a load as one record, which may lack some. Merged records may be merged on.
///
/// # Errors
/// If one is no shard, is given twice, or is of another load than the first. `records` is not empty.
pub fn merge_shards(records: Vec<RunRecord>) -> Result<RunRecord, Mismatch> {
    let mut whole: Option<RunRecord> = None;
    for (number, record) in records.into_iter().enumerate() {
        let fail = |(reason, hint)| Mismatch { record: number, reason, hint };
        let lifted = lifted(record).map_err(fail)?;
        whole = Some(match whole {
            None => lifted,
            Some(whole) => {
                same_load(&whole, &lifted).map_err(fail)?;
                joined(whole, lifted)
            }
        });
    }
    let mut whole = whole.ok_or(Mismatch { record: 0, reason: "there is none".into(), hint: "name some" })?;
    derive(&mut whole);
    Ok(whole)
}

type Refusal = (String, &'static str);

/// As if it had been merged already, with itself alone.
fn lifted(mut record: RunRecord) -> Result<RunRecord, Refusal> {
    if record.merged.is_some() {
        return Ok(record);
    }
    let Some(shard) = record.shard.take() else {
        let hint = "`run --shard I/N` makes shards; several whole runs are judged by `compare`";
        return Err(("it is a whole run, not a shard of one".into(), hint));
    };
    if record.control.is_some() {
        return Err(("it is a canary, which stands beside its own control".into(), "judge it by itself"));
    }
    let part = record.as_part(shard);
    let plans = record.scenarios.iter_mut().flat_map(|scenario| &mut scenario.endpoints);
    for plan in plans {
        let Some(whole) = plan.whole.take() else {
            if shard.count == 1 {
                continue;
            }
            let reason =
                "it does not say what all shards together were to send: an earlier loadgate recorded it";
            return Err((reason.into(), "record the shards again with this version"));
        };
        (plan.rate_per_s, plan.planned) = (whole.rate_per_s, whole.planned);
    }
    let name = format!("shard {}/{}", shard.index, shard.count);
    for step in record.smoke.iter_mut().flat_map(|smoke| &mut smoke.steps) {
        if let Some(message) = &mut step.message {
            *message = format!("{message} (seen by {name})");
        }
    }
    for look in &mut record.runs {
        let told = |text: &String| format!("{} (seen by {name})", text.trim_end_matches('.'));
        look.notes = look.notes.iter().map(told).collect();
        look.remarks = look.remarks.iter().map(told).collect();
    }
    record.merged = Some(MergedRecord { count: shard.count, shards: vec![part] });
    (record.interrupted, record.not_ready, record.setup_failed, record.probe_failed) =
        (None, None, None, None);
    record.clock = None;
    Ok(record)
}

/// Whether two records are parts of one load.
fn same_load(whole: &RunRecord, other: &RunRecord) -> Result<(), Refusal> {
    const SAME: &str = "all shards run the same files with the same --var, --only and --rate";
    let (Some(own), Some(others)) = (&whole.merged, &other.merged) else {
        return Err(("it is no shard".into(), SAME));
    };
    if own.count != others.count {
        let reason = format!("it is one of {} shards, the first one of {}", others.count, own.count);
        return Err((reason, "merge the shards of one load only"));
    }
    for part in &others.shards {
        if let Some(twice) = own.shards.iter().find(|known| known.index == part.index) {
            let (name, first, second) = (own.name(part.index), &twice.id, &part.id);
            let reason = if first == second {
                format!("shard {name} is named twice")
            } else {
                format!("there are two runs of shard {name}: {first} and {second}")
            };
            return Err((reason, "name each shard once, all of one load"));
        }
    }
    let told = |record: &RunRecord| -> Vec<(String, String, String)> {
        let all = record.scenarios.iter();
        all.map(|s| (s.feature.clone(), s.digest.chars().take(12).collect(), s.digest.clone())).collect()
    };
    let (first, second) = (told(whole), told(other));
    if first != second {
        let reason = match first.iter().zip(&second).find(|(a, b)| a != b) {
            Some((a, b)) if a.0 == b.0 => {
                format!("its scenario {} is another: digest {}, the first shard's {}", a.0, b.1, a.1)
            }
            _ => "its scenarios are others than the first shard's".to_owned(),
        };
        return Err((reason, SAME));
    }
    let plans = |record: &RunRecord| -> Vec<(String, String, f64, u64, Option<u32>)> {
        let all = record.scenarios.iter().flat_map(|s| &s.endpoints);
        all.map(|p| (p.endpoint.clone(), p.digest.clone(), p.rate_per_s, p.planned, p.users)).collect()
    };
    if let Some((_, b)) = plans(whole).iter().zip(&plans(other)).find(|(a, b)| a != b) {
        return Err((format!("{} was to be sent otherwise than by the first shard", b.0), SAME));
    }
    for (what, own, others) in [
        ("environment", &whole.env, &other.env),
        ("target", &whole.target, &other.target),
        ("version of loadgate", &whole.loadgate_version, &other.loadgate_version),
    ] {
        if own != others {
            let reason = format!("its {what} is {others}, the first shard's {own}");
            return Err((reason, "merge the shards of one load only"));
        }
    }
    if whole.plan != other.plan {
        let reason = "it is to be judged otherwise than the first shard (--gate, --same-host, --instances)";
        return Err((reason.into(), "give all shards the same flags"));
    }
    Ok(())
}

/// What can be added is added; the rest is derived at the end.
fn joined(mut whole: RunRecord, mut other: RunRecord) -> RunRecord {
    if let (Some(own), Some(others)) = (&mut whole.merged, other.merged.take()) {
        own.shards.extend(others.shards);
        own.shards.sort_by_key(|part| part.index);
    }
    whole.unverified |= other.unverified;
    whole.smoke = match (whole.smoke.take(), other.smoke.take()) {
        (Some(own), Some(others)) => Some(worse_steps(own, others)),
        (own, others) => own.or(others),
    };
    whole.error_examples = kept(whole.error_examples.into_iter().chain(other.error_examples).collect());
    for look in other.runs {
        match whole.runs.iter_mut().find(|own| own.look == look.look) {
            Some(own) => add_look(own, look),
            None => whole.runs.push(look),
        }
    }
    whole.runs.sort_by_key(|look| look.look);
    whole
}

/// Of each step what the shard saw that saw the worst.
fn worse_steps(own: SmokeRecord, others: SmokeRecord) -> SmokeRecord {
    let rank = |step: &SmokeStep| match step.status {
        SmokeStatus::Passed => 1,
        SmokeStatus::NearMiss => 2,
        SmokeStatus::Failed => 3,
        SmokeStatus::Skipped => 0,
    };
    let key = |step: &SmokeStep| (rank(step), step.elapsed_ms.to_bits(), step.message.clone());
    let mut steps = own.steps;
    for step in others.steps {
        match steps.iter_mut().find(|known| (&known.endpoint, &known.place) == (&step.endpoint, &step.place))
        {
            Some(known) if key(known) < key(&step) => *known = step,
            Some(_) => {}
            None => steps.push(step),
        }
    }
    SmokeRecord { steps }
}

/// At most twenty of a class, the same ones whatever the order.
fn kept(mut examples: Vec<ErrorExample>) -> Vec<ErrorExample> {
    examples.sort_by_cached_key(|e| (e.class, serde_json::to_string(e).unwrap_or_default()));
    ErrorExample::limited(examples)
}

fn add_look(own: &mut LookRecord, other: LookRecord) {
    for (endpoint, others) in own.endpoints.iter_mut().zip(other.endpoints) {
        endpoint.requests += others.requests;
        endpoint.cut += others.cut;
        endpoint.censored += others.censored;
        endpoint.skipped += others.skipped;
        for (class, count) in others.errors {
            *endpoint.errors.entry(class).or_default() += count;
        }
        endpoint.response.merge(&others.response);
        endpoint.service.merge(&others.service);
        endpoint.error.merge(&others.error);
        endpoint.phases.merge(&others.phases);
        endpoint.slowest.extend(others.slowest);
        SlowRequest::keep(&mut endpoint.slowest);
    }
    let mut blocks: BTreeMap<(usize, u64), TimelineBlock> =
        std::mem::take(&mut own.blocks).into_iter().map(|b| ((b.endpoint, b.start_ms), b)).collect();
    for block in other.blocks {
        match blocks.get_mut(&(block.endpoint, block.start_ms)) {
            None => {
                blocks.insert((block.endpoint, block.start_ms), block);
            }
            Some(known) => {
                known.planned += block.planned;
                known.done += block.done;
                known.errors += block.errors;
                for (class, count) in block.classes {
                    *known.classes.entry(class).or_default() += count;
                }
                known.histogram.merge(&block.histogram);
            }
        }
    }
    own.blocks = blocks.into_values().collect();
    own.readings.extend(other.readings);
    own.readings.sort_by(|a, b| {
        (a.at_ms, a.probe).cmp(&(b.at_ms, b.probe)).then_with(|| {
            let value = |reading: &super::probe_record::Reading| reading.value.unwrap_or(f64::NAN);
            value(a).total_cmp(&value(b)).then_with(|| a.problem.cmp(&b.problem))
        })
    });
    own.notes.extend(other.notes);
    own.remarks.extend(other.remarks);
    for (own, others) in
        [(&mut own.warmup.response, other.warmup.response), (&mut own.warmup.first, other.warmup.first)]
    {
        match (own, others) {
            (Some(own), Some(others)) => own.merge(&others),
            (own, others) => *own = own.take().or(others),
        }
    }
}

/// Everything that follows from the shards' own words.
fn derive(record: &mut RunRecord) {
    let Some(merged) = record.merged.clone() else { return };
    let ids: BTreeSet<&str> = merged.shards.iter().map(|part| part.id.as_str()).collect();
    let earliest = |texts: &mut dyn Iterator<Item = &String>| {
        texts.min_by_key(|text| text.parse::<Timestamp>().unwrap_or(Timestamp::MAX)).cloned()
    };
    if let Some(first) = merged.shards.first() {
        record.environment = first.environment.clone();
    }
    record.label = merged.shards.iter().find_map(|part| part.label.clone());
    record.started = earliest(&mut merged.shards.iter().map(|part| &part.started)).unwrap_or_default();
    // Sorts by time like any other.
    let stamp = ids.iter().next().and_then(|id| id.split('-').next()).unwrap_or_default();
    let all: Vec<&str> = ids.iter().copied().collect();
    record.id = format!("{stamp}-{}", &sha256_hex(all.join("\n").as_bytes())[..6]);
    let plans: Vec<EndpointPlan> = record.scenarios.iter().flat_map(|s| s.endpoints.clone()).collect();
    let id = record.id.clone();
    for look in &mut record.runs {
        let parts: Vec<(&ShardLook, String)> = merged
            .shards
            .iter()
            .flat_map(|part| part.looks.iter().map(|own| (own, merged.name(part.index))))
            .filter(|(own, _)| own.look.look == look.look)
            .collect();
        let looks = || parts.iter().map(|(own, _)| &own.look);
        look.started = earliest(&mut looks().map(|own| &own.started)).unwrap_or_default();
        look.window_started = earliest(&mut looks().filter_map(|own| own.window_started.as_ref()));
        look.window_ms = looks().map(|own| own.window_ms).max().unwrap_or(0);
        let gravity = |own: &&LookRecord| {
            ["done", "drain deadline", "abort", "interrupt", "crash"].iter().position(|s| *s == own.stop)
        };
        look.stop = looks().max_by_key(gravity).map(|own| own.stop.clone()).unwrap_or_default();
        look.abort = looks()
            .filter_map(|own| own.abort.clone())
            .min_by(|a, b| (a.at_ms, &a.endpoint, a.requests).cmp(&(b.at_ms, &b.endpoint, b.requests)));
        look.notes = sorted(std::mem::take(&mut look.notes));
        look.remarks = sorted(std::mem::take(&mut look.remarks));
        look.warmup = warmup(look, &parts);
        look.generator = generator(&parts);
        let answered = answered(looks());
        let names = |set: &BTreeSet<String>| {
            (!set.is_empty()).then(|| set.iter().map(String::as_str).collect::<Vec<_>>().join("+"))
        };
        look.instance_id = names(&answered.instances).unwrap_or_else(|| id.clone());
        look.build_id = names(&answered.builds);
        look.answered_by = Some(answered);
        for (number, (endpoint, plan)) in look.endpoints.iter_mut().zip(&plans).enumerate() {
            let lags = parts.iter().filter_map(|(own, _)| own.sent.get(number)?.lag_p99_us);
            // No shard's is exceeded by that of all.
            endpoint.lag_p99_us = lags.reduce(f64::max);
            endpoint.rate_offered = plan.rate_per_s;
            endpoint.rate_achieved = achieved(plan, endpoint.requests, look.window_ms);
        }
    }
}

fn sorted(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

fn warmup(look: &LookRecord, parts: &[(&ShardLook, String)]) -> WarmupRecord {
    let own = || parts.iter().map(|(own, _)| &own.look.warmup);
    let mut moving = parts.iter().filter_map(|(own, name)| {
        let what = own.look.warmup.unsteady.as_ref()?;
        Some(format!("{what} (seen by shard {name})"))
    });
    let first = moving.next();
    let more = moving.count();
    WarmupRecord {
        length_ms: own().map(|w| w.length_ms).max().unwrap_or(0),
        requests: own().map(|w| w.requests).sum(),
        errors: own().map(|w| w.errors).sum(),
        p50_ms: look.warmup.response.as_ref().and_then(|h| h.quantile_ms(0.5)),
        first_p50_ms: look.warmup.first.as_ref().and_then(|h| h.quantile_ms(0.5)),
        unsteady: first.map(|text| if more > 0 { format!("{text}, and {more} more") } else { text }),
        examined: own().map(|w| w.examined).max().flatten(),
        response: look.warmup.response.clone(),
        first: look.warmup.first.clone(),
    }
}

fn generator(parts: &[(&ShardLook, String)]) -> GeneratorRecord {
    let own = || parts.iter().map(|(own, _)| &own.look.generator);
    GeneratorRecord {
        workers: own().map(|g| g.workers).sum(),
        dropped_arrivals: own().map(|g| g.dropped_arrivals).sum(),
        few_files: own().any(|g| g.few_files),
        send_lag_p99_us: own().filter_map(|g| g.send_lag_p99_us).reduce(f64::max),
        cpu_busy: own().filter_map(|g| g.cpu_busy).reduce(f64::max),
        local_failures: own().map(|g| g.local_failures).sum(),
        unsent_arrivals: own().map(|g| g.unsent_arrivals).sum(),
    }
}

fn answered<'a>(looks: impl Iterator<Item = &'a LookRecord>) -> AnsweredBy {
    let mut all = AnsweredBy::default();
    for own in looks.filter_map(|look| look.answered_by.as_ref()) {
        all.asked |= own.asked;
        all.instances.extend(own.instances.iter().cloned());
        all.builds.extend(own.builds.iter().cloned());
        all.cohorts.extend(own.cohorts.iter().cloned());
    }
    all
}

impl ShardRecord {
    /// As it is given with `--shard`.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}/{}", self.index, self.count)
    }
}
