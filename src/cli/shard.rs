//! Which part of a load a process sends, and when it begins: from flags, or from what a scheduler of arrays tells.

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};
use crate::metrics::{MOST_SHARDS, ShardRecord};
use crate::units::parse_duration_ns;

const MOST_AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// One way of telling a process of an array which one it is.
struct Scheduler {
    name: &'static str,
    index: &'static str,
    count: Option<&'static str>,
    /// The lowest index, where it is always the same.
    first: Option<u64>,
    /// The variable that has the lowest index, and the step between indices.
    range: Option<(&'static str, &'static str)>,
}

const SCHEDULERS: [Scheduler; 6] = [
    Scheduler {
        name: "Kubernetes Indexed Job",
        index: "JOB_COMPLETION_INDEX",
        count: None,
        first: Some(0),
        range: None,
    },
    Scheduler {
        name: "GitLab",
        index: "CI_NODE_INDEX",
        count: Some("CI_NODE_TOTAL"),
        first: Some(1),
        range: None,
    },
    Scheduler {
        name: "Buildkite",
        index: "BUILDKITE_PARALLEL_JOB",
        count: Some("BUILDKITE_PARALLEL_JOB_COUNT"),
        first: Some(0),
        range: None,
    },
    Scheduler {
        name: "CircleCI",
        index: "CIRCLE_NODE_INDEX",
        count: Some("CIRCLE_NODE_TOTAL"),
        first: Some(0),
        range: None,
    },
    Scheduler {
        name: "Slurm",
        index: "SLURM_ARRAY_TASK_ID",
        count: Some("SLURM_ARRAY_TASK_COUNT"),
        first: None,
        range: Some(("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP")),
    },
    Scheduler {
        name: "AWS Batch",
        index: "AWS_BATCH_JOB_ARRAY_INDEX",
        count: None,
        first: Some(0),
        range: None,
    },
];

/// `0/4`: which part, and of how many; `auto` or `auto/4`: from the scheduler's variables.
pub fn shard(text: &str) -> Result<ShardRecord> {
    parse(text, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn parse(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<ShardRecord> {
    let hint = "0-based: the shards of four are 0/4, 1/4, 2/4 and 3/4; `auto` or `auto/4` asks the scheduler";
    let fail = |reason: &str| Error::usage_hint(format!("--shard: `{text}` {reason}"), hint);
    let known = |index: u64, count: u64| {
        let fits = index < count && (1..=MOST_SHARDS).contains(&count);
        fits.then_some(ShardRecord { index, count })
    };
    let (first, count) = match text.split_once('/') {
        Some((first, count)) => (first.trim(), Some(count.trim())),
        None => (text.trim(), None),
    };
    let count: Option<u64> =
        count.map(|count| count.parse().map_err(|_| fail("is not I/N with I below N"))).transpose()?;
    if first != "auto" {
        let index = first.parse().ok();
        let shard = index.zip(count).and_then(|(index, count)| known(index, count));
        return shard.ok_or_else(|| fail("is not I/N with I below N"));
    }
    let Some((scheduler, index)) = SCHEDULERS.iter().find_map(|s| Some((s, variable(s.index)?))) else {
        let names: Vec<_> = SCHEDULERS.iter().map(|s| s.index).collect();
        return Err(fail(&format!("finds no scheduler: none of {} is set", names.join(", "))));
    };
    let number = |name: &str, value: &str| {
        let reason = || fail(&format!("finds {name}={value}, which is no number ({})", scheduler.name));
        value.trim().parse::<u64>().map_err(|_| reason())
    };
    let asked = |name: &str| variable(name).map(|value| number(name, &value)).transpose();
    let count = match (count, scheduler.count) {
        (Some(count), _) => count,
        (None, Some(name)) => {
            asked(name)?.ok_or_else(|| fail(&format!("finds {}, but no {name}", scheduler.index)))?
        }
        (None, None) => {
            return Err(fail(&format!(
                "finds {}, but {} does not tell how many shards there are: give `auto/N`",
                scheduler.index, scheduler.name
            )));
        }
    };
    let (lowest, step) = match scheduler.range {
        None => (scheduler.first.unwrap_or(0), 1),
        Some((lowest, step)) => (asked(lowest)?.unwrap_or(0), asked(step)?.unwrap_or(1).max(1)),
    };
    let own = number(scheduler.index, &index)?;
    let place = own.checked_sub(lowest).filter(|past| past % step == 0).map(|past| past / step);
    place.and_then(|place| known(place, count)).ok_or_else(|| {
        fail(&format!(
            "finds {}={index} of {count}, which is no place among them ({})",
            scheduler.index, scheduler.name
        ))
    })
}

/// `2026-11-26T08:00:00Z`, or seconds since 1970; either with `+5m`.
pub fn start_at(text: &str, now: Timestamp) -> Result<Timestamp> {
    let hint = "an instant such as 2026-11-26T08:00:00Z or the seconds since 1970 (`date +%s`), the same for all shards; \
                +2m after it adds to it";
    let fail = |reason: String| Error::usage_hint(format!("--start-at: `{text}` {reason}"), hint);
    // A time zone such as +01:00 has a plus too, but a colon behind it.
    let (instant, more) = match text.rsplit_once('+') {
        Some((instant, more)) if more.ends_with(|c: char| c.is_ascii_alphabetic()) => {
            let ns = parse_duration_ns(more.trim())
                .map_err(|reason| fail(format!("ends in no duration: {reason}")))?;
            (instant.trim(), SignedDuration::from_nanos(ns as i64))
        }
        _ => (text.trim(), SignedDuration::ZERO),
    };
    let parsed = match instant.parse::<i64>() {
        Ok(seconds) => Timestamp::from_second(seconds).ok(),
        Err(_) => instant.parse().ok(),
    };
    let at = parsed
        .and_then(|at: Timestamp| at.checked_add(more).ok())
        .ok_or_else(|| fail("is no instant".to_owned()))?;
    let ahead = at.duration_since(now);
    if ahead.is_negative() {
        return Err(fail(format!("was {:.0} s ago", -ahead.as_secs_f64())));
    }
    if ahead > MOST_AHEAD {
        return Err(fail("is more than a day ahead".to_owned()));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheduler_of_arrays_tells_the_shard() {
        type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);
        let table: [Row; 16] = [
            ("0/4", &[], "0/4"),
            (" 3 / 4 ", &[], "3/4"),
            ("auto/8", &[("JOB_COMPLETION_INDEX", "5")], "5/8"),
            ("auto", &[("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "3")], "0/3"),
            ("auto", &[("CI_NODE_INDEX", "3"), ("CI_NODE_TOTAL", "3")], "2/3"),
            ("auto", &[("BUILDKITE_PARALLEL_JOB", "0"), ("BUILDKITE_PARALLEL_JOB_COUNT", "2")], "0/2"),
            ("auto", &[("CIRCLE_NODE_INDEX", "1"), ("CIRCLE_NODE_TOTAL", "2")], "1/2"),
            (
                "auto",
                &[
                    ("SLURM_ARRAY_TASK_ID", "14"),
                    ("SLURM_ARRAY_TASK_COUNT", "4"),
                    ("SLURM_ARRAY_TASK_MIN", "10"),
                    ("SLURM_ARRAY_TASK_STEP", "2"),
                ],
                "2/4",
            ),
            ("auto/3", &[("AWS_BATCH_JOB_ARRAY_INDEX", "2")], "2/3"),
            ("4/4", &[], "is not I/N"),
            ("x/4", &[], "is not I/N"),
            ("2", &[], "is not I/N"),
            ("auto", &[], "none of JOB_COMPLETION_INDEX"),
            ("auto", &[("JOB_COMPLETION_INDEX", "5")], "give `auto/N`"),
            ("auto/4", &[("JOB_COMPLETION_INDEX", "5")], "JOB_COMPLETION_INDEX=5 of 4, which is no place"),
            (
                "auto",
                &[("CI_NODE_INDEX", "one"), ("CI_NODE_TOTAL", "3")],
                "CI_NODE_INDEX=one, which is no number",
            ),
        ];
        for (text, variables, expected) in table {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            let told = match parse(text, &variable) {
                Ok(shard) => shard.name(),
                Err(error) => error.to_string(),
            };
            assert!(told.contains(expected), "{text} {variables:?}: {told}");
        }
    }

    #[test]
    fn an_instant_is_given_in_several_ways() {
        let now: Timestamp = "2026-11-26T08:00:00Z".parse().unwrap();
        let table = [
            ("2026-11-26T08:00:30Z", "2026-11-26T08:00:30Z"),
            ("2026-11-26T09:00:30+01:00", "2026-11-26T08:00:30Z"),
            ("2026-11-26T08:00:00Z+2m", "2026-11-26T08:02:00Z"),
            ("2026-11-26T09:00:00+01:00+90s", "2026-11-26T08:01:30Z"),
            ("2026-11-26T07:59:00Z+2m", "2026-11-26T08:01:00Z"),
            ("1795680060", "2026-11-26T08:01:00Z"),
            ("1795680000+1m", "2026-11-26T08:01:00Z"),
            ("2026-11-26T07:59:00Z", "was 60 s ago"),
            ("2026-11-28T08:00:00Z", "more than a day ahead"),
            ("soon", "is no instant"),
            ("2026-11-26T08:00:00Z+soon", "ends in no duration"),
        ];
        for (text, expected) in table {
            let told = match start_at(text, now) {
                Ok(at) => at.to_string(),
                Err(error) => error.to_string(),
            };
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
