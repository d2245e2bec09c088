use super::fields::Reader;
use super::load_plan::{AbortRule, LoadPlan, Process, Warmup};
use super::node::{Node, NodeValue};
use super::parse::required;
use super::stage::{Level, Stage};
use crate::units::{Metric, NS_PER_S, parse_above, parse_rate};

/// As durations are read.
const LONGEST_S: f64 = 1e6;
const DEFAULT_WARMUP_MAX_NS: u64 = 60_000_000_000;
const DEFAULT_ABORT_WINDOW_NS: u64 = 10_000_000_000;
/// How long a stage that is given by its iterations may take.
const DEFAULT_ITERATIONS_WITHIN_NS: u64 = 600_000_000_000;
pub const LOAD_KEYS: [&str; 4] = ["warmup", "warmup_max", "stages", "arrivals"];
pub const ABORT_KEYS: [&str; 2] = ["when", "for"];
pub const STAGE_KEYS: [&str; 5] = ["rate", "vus", "ramp", "for", "iterations"];

/// Rates are multiplied by `scale`.
pub fn read_load(reader: &Reader, node: &Node, scale: f64) -> Option<LoadPlan> {
    let fields = reader.fields(node, "`stages` and `warmup`", &LOAD_KEYS)?;
    let max_ns = fields
        .get("warmup_max")
        .map_or(Some(DEFAULT_WARMUP_MAX_NS), |n| reader.duration(n, "a duration such as 60s"))?;
    let warmup = match fields.get("warmup") {
        None => Warmup::Auto { max_ns },
        Some(n) if reader.text(n, "`auto` or a duration")? == "auto" => Warmup::Auto { max_ns },
        Some(n) => Warmup::Fixed { ns: reader.duration(n, "`auto` or a duration such as 5s")? },
    };
    let processes = [("constant", Process::Constant), ("poisson", Process::Poisson)];
    let process =
        fields.get("arrivals").map_or(Some(Process::Constant), |n| reader.word(n, "arrivals", &processes));
    let list_node = required(reader, &fields, "stages", "a list such as `[ { rate: 100/s, for: 30s } ]`")?;
    let list = reader.list(list_node, "a list of stages")?;
    let open = list.iter().find_map(|stage| match &stage.value {
        NodeValue::Map(entries) => entries.iter().find_map(|(key, _)| match key.name.as_str() {
            "rate" => Some(true),
            "vus" => Some(false),
            _ => None,
        }),
        _ => None,
    });
    let mut stages: Vec<Stage> = Vec::new();
    for stage in list {
        let before = stages.last().map(|s: &Stage| s.level);
        stages.push(read_stage(reader, stage, before, open, scale)?);
    }
    let Some(first) = stages.iter().position(|s| s.level.is_steady()) else {
        let help = Some("add a steady stage, such as `{ rate: 100/s, for: 30s }`".to_owned());
        reader.fail(
            &list_node.span,
            "a profile needs a steady stage to measure",
            "ramps are not judged",
            help,
        );
        return None;
    };
    if process == Some(Process::Poisson) && !stages[first].level.is_open() {
        let span = &fields.get("arrivals")?.span;
        reader.fail(span, "virtual users have no arrivals", "for stages with a `rate`", None);
    }
    if stages.len() > 1 && stages.iter().any(|stage| stage.iterations.is_some()) {
        reader.fail(
            &list_node.span,
            "`iterations` of virtual users are for a single stage",
            "use `for` here",
            None,
        );
    }
    let measured = stages.split_off(first);
    Some(LoadPlan { warmup, lead: stages, stages: measured, process: process? })
}

fn read_stage(
    reader: &Reader,
    node: &Node,
    before: Option<Level>,
    open: Option<bool>,
    scale: f64,
) -> Option<Stage> {
    let what =
        "a stage such as `{ rate: 100/s, for: 30s }`, `{ vus: 20, for: 30s }` or `{ ramp: 100/s, for: 10s }`";
    let fields = reader.fields(node, what, &STAGE_KEYS)?;
    let levels: Vec<&str> = ["rate", "vus", "ramp"].into_iter().filter(|k| fields.get(k).is_some()).collect();
    let [kind] = levels.as_slice() else {
        if !fields.mistyped {
            reader.fail(&node.span, "a stage has exactly one of `rate`, `vus` and `ramp`", "not here", None);
        }
        return None;
    };
    let value = fields.get(kind)?;
    let is_rate = match *kind {
        "rate" => true,
        "vus" => false,
        // A bare number is one of virtual users.
        _ => !matches!(value.value, NodeValue::Number(_)),
    };
    if open.is_some_and(|open| open != is_rate) || before.is_some_and(|level| level.is_open() != is_rate) {
        let label = "one model a file: arrivals a second, or virtual users";
        reader.fail(&value.span, "`rate` and `vus` do not mix", label, None);
        return None;
    }
    let level = if is_rate {
        let parsed = parse_rate(&reader.scalar(value, "a rate such as 100/s")?);
        let rate = reader.take(value, "expected a rate", parsed)?.scaled(scale);
        if *kind == "ramp" {
            Level::RateRamp { from: before.map_or(0.0, |level| level.rates().1), to: rate.per_second() }
        } else {
            Level::Rate(rate)
        }
    } else {
        let users = reader.whole(value, "a number of virtual users")?;
        if !(1..=100_000).contains(&users) && *kind == "vus" || users > 100_000 {
            reader.fail(&value.span, "expected 1 to 100,000 virtual users", "out of range", None);
            return None;
        }
        let users = users as u32;
        if *kind == "ramp" {
            Level::UsersRamp { from: before.map_or(0, |level| level.users().1), to: users }
        } else {
            Level::Users(users)
        }
    };
    let iterations = match fields.get("iterations") {
        None => None,
        Some(n) => Some((n, reader.whole(n, "a number of iterations")?)),
    };
    let length = fields.get("for").map(|n| reader.duration(n, "a duration such as 30s").map(|ns| (n, ns)));
    let length = match length {
        Some(None) => return None,
        Some(Some(given)) => Some(given),
        None => None,
    };
    match (iterations, length) {
        (Some((at, count)), length) => {
            if count == 0 || *kind == "ramp" || (is_rate && length.is_some()) {
                let label = "with `vus`, or instead of `for` with a `rate`; at least 1";
                reader.fail(&at.span, "this number of iterations makes no sense", label, None);
                return None;
            }
            Some(match level {
                Level::Rate(rate) if count as f64 / rate.per_second() > LONGEST_S => {
                    let label = "at this rate they would take weeks";
                    reader.fail(&at.span, "so many iterations have no end", label, None);
                    return None;
                }
                Level::Rate(rate) => Stage { level, length_ns: rate.offset_ns(count), iterations: None },
                _ => Stage {
                    level,
                    length_ns: length.map_or(DEFAULT_ITERATIONS_WITHIN_NS, |(_, ns)| ns),
                    iterations: Some(count),
                },
            })
        }
        (None, Some((at, length_ns))) => {
            if length_ns < NS_PER_S {
                reader.fail(&at.span, "a stage needs at least one second", "too short to measure", None);
                return None;
            }
            Some(Stage { level, length_ns, iterations: None })
        }
        (None, None) => {
            required(reader, &fields, "for", "a duration such as 30s");
            None
        }
    }
}

pub fn read_abort_rules(reader: &Reader, node: &Node) -> Vec<AbortRule> {
    let list =
        reader.list(node, "a list such as `[ { when: error_rate > 50%, for: 10s } ]`").unwrap_or_default();
    list.iter().filter_map(|item| read_abort_rule(reader, item)).collect()
}

fn read_abort_rule(reader: &Reader, node: &Node) -> Option<AbortRule> {
    let fields = reader.fields(node, "a rule such as `{ when: error_rate > 50%, for: 10s }`", &ABORT_KEYS)?;
    let when = required(reader, &fields, "when", "a condition such as `error_rate > 50%`")?;
    let text = reader.text(when, "a condition such as `error_rate > 50%`")?;
    let window_ns = fields
        .get("for")
        .map_or(Some(DEFAULT_ABORT_WINDOW_NS), |n| reader.duration(n, "a duration such as 10s"))?;
    if !(NS_PER_S..=300 * NS_PER_S).contains(&window_ns) {
        let span = fields.get("for").map_or(&node.span, |n| &n.span);
        reader.fail(span, "the window is 1s to 300s long", "evaluated every second", None);
        return None;
    }
    let name = text.split(['>', ' ']).next().unwrap_or_default();
    let Ok(metric) = name.parse::<Metric>() else {
        reader.unknown(&when.span, "metric", name, &Metric::NAMES);
        return None;
    };
    let above = reader.take(when, "expected a condition", parse_above(metric, &text[name.len()..]))?;
    Some(AbortRule { metric, above, window_ns })
}

#[cfg(test)]
mod tests {
    use super::super::load::LoadOptions;
    use super::super::parse::parse;
    use crate::error::SourceText;

    /// The length of the stage was once cut to 64 bits.
    #[test]
    fn iterations_without_an_end_are_refused() {
        let read = |iterations: u64| {
            let text = format!(
                "feature: f\nsteps: [ {{ name: a, get: / }} ]\nload: {{ stages: [ {{ rate: 1/s, iterations: {iterations} }} ] }}\n"
            );
            parse(SourceText { path: "a.yaml".into(), text }, &LoadOptions::default(), 1.0)
        };
        assert!(read(1_000_000).is_ok());
        let found = read(u64::MAX).err().unwrap();
        assert!(found[0].message.contains("have no end"), "{}", found[0].message);
    }
}
