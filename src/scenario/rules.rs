use super::fields::{Fields, Reader};
use super::node::{Node, NodeValue};
use crate::units::{Limit, LimitsOn, Metric, RegressionRule, Rules, parse_limit, parse_tolerance};

const DEFAULT_ERROR_LIMIT: Limit = Limit { metric: Metric::ErrorRate, below: 0.01 };

pub const REGRESSION_KEYS: [&str; 5] = ["p50", "p95", "p99", "error_rate", "ignore"];

/// The file's rules, and the limits that it gives to single steps by their name.
pub fn read_rules<'a>(reader: &Reader, fields: &Fields<'a>) -> (Rules, Vec<StepLimits<'a>>) {
    let (mut limits, of_steps) =
        fields.get("limits").map(|n| read_limits(reader, n, true)).unwrap_or_default();
    if !limits.iter().any(|l| l.metric == Metric::ErrorRate) {
        limits.push(DEFAULT_ERROR_LIMIT);
    }
    let words = [("proven", LimitsOn::Proven), ("observed", LimitsOn::Observed)];
    let limits_on =
        fields.get("limits_on").and_then(|n| reader.word(n, "limits_on", &words)).unwrap_or_default();
    let mut rules = Rules { limits, limits_on, regression: Vec::new(), ignore: None };
    let Some(node) = fields.get("regression") else { return (rules, of_steps) };
    if matches!(&node.value, NodeValue::Text(text) if text == "default") {
        rules.regression = Rules::default_regression();
        return (rules, of_steps);
    }
    for (key, value) in reader.map(node, "`default`, or metrics and their tolerances").unwrap_or_default() {
        let Some(text) = reader.text(value, "a tolerance such as `10% and 5ms`") else { continue };
        if key.name == "ignore" {
            rules.ignore = reader.take(value, "expected a tolerance", parse_tolerance(Metric::P50, text));
            continue;
        }
        if !REGRESSION_KEYS.contains(&key.name.as_str()) {
            reader.unknown(&key.span, "regression metric", &key.name, &REGRESSION_KEYS);
            continue;
        }
        let Ok(metric) = key.name.parse::<Metric>() else { continue };
        let delta = reader.take(value, "expected a tolerance", parse_tolerance(metric, text));
        rules.regression.extend(delta.map(|delta| RegressionRule { metric, delta, explicit: true }));
    }
    (rules, of_steps)
}

/// Limits under the name of a step.
pub struct StepLimits<'a> {
    pub name: &'a str,
    pub span: std::ops::Range<usize>,
    pub limits: Vec<Limit>,
}

/// With `steps`, a mapping under any other name than a metric's is for the step of that name.
pub fn read_limits<'a>(reader: &Reader, node: &'a Node, steps: bool) -> (Vec<Limit>, Vec<StepLimits<'a>>) {
    let (mut limits, mut of_steps) = (Vec::new(), Vec::new());
    for (key, value) in
        reader.map(node, "metrics and their limits, such as `{ p95: < 400ms }`").unwrap_or_default()
    {
        let Ok(metric) = key.name.parse::<Metric>() else {
            if steps && matches!(value.value, NodeValue::Map(_)) {
                let limits = read_limits(reader, value, false).0;
                of_steps.push(StepLimits { name: &key.name, span: key.span.clone(), limits });
            } else {
                reader.unknown(&key.span, "metric", &key.name, &Metric::NAMES);
            }
            continue;
        };
        let Some(text) = reader.text(value, "a limit such as `< 400ms`") else { continue };
        limits.extend(reader.take(value, "expected a limit", parse_limit(metric, text)));
    }
    (limits, of_steps)
}
