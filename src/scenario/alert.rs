use super::fields::Reader;
use super::node::Node;
use super::parse::required;
use super::probe::Probe;
use crate::error_class::ErrorClass;
use crate::metrics::{AlertCondition, AlertRule, AlertSeverity, AlertVerdict};
use crate::units::{Metric, NS_PER_S, Threshold, parse_above};

pub const ALERT_KEYS: [&str; 6] = ["name", "when", "for", "errors", "severity", "respond"];
const DEFAULT_WINDOW_NS: u64 = 10 * NS_PER_S;
const EXAMPLE: &str = "a rule such as `{ when: error_rate > 5%, for: 10s, severity: page, respond: page the on-call engineer }`";

/// Every entry of `alerts`; they may speak of the file's own probes.
pub fn read_alerts(reader: &Reader, node: &Node, feature: Option<&str>, probes: &[Probe]) -> Vec<AlertRule> {
    let list = reader.list(node, "a list of rules").unwrap_or_default();
    list.iter().filter_map(|item| read_alert(reader, item, feature, probes)).collect()
}

fn read_alert(reader: &Reader, node: &Node, feature: Option<&str>, probes: &[Probe]) -> Option<AlertRule> {
    let fields = reader.fields(node, EXAMPLE, &ALERT_KEYS)?;
    let when_node = required(reader, &fields, "when", "a condition such as `error_rate > 5%`");
    let respond = required(reader, &fields, "respond", "who does what, such as `page the on-call engineer`")
        .and_then(|n| reader.text(n, "who does what"));
    let when_node = when_node?;
    let text = reader.text(when_node, "a condition such as `error_rate > 5%`")?.trim();
    let when = condition(reader, when_node, text, probes);
    let errors: Vec<ErrorClass> = fields
        .get("errors")
        .and_then(|n| reader.list(n, "a list of kinds of errors, such as `[check, status]`"))
        .unwrap_or_default()
        .iter()
        .filter_map(|n| {
            let name = reader.text(n, "a kind of error")?;
            let found = ErrorClass::ALL.into_iter().find(|class| class.name() == name);
            if found.is_none() {
                let known: Vec<&str> = ErrorClass::ALL.iter().map(|class| class.name()).collect();
                reader.unknown(&n.span, "kind of error", name, &known);
            }
            found
        })
        .collect();
    let when = match when? {
        AlertCondition::Metric { metric: Metric::ErrorRate, above, .. } => {
            AlertCondition::Metric { metric: Metric::ErrorRate, above, errors }
        }
        other => {
            if let Some((key, _)) = fields.entry("errors") {
                reader.fail(&key.span, "`errors` belongs to `error_rate`", "not to this condition", None);
            }
            other
        }
    };
    let for_ns = match (fields.entry("for"), &when) {
        (Some((key, _)), AlertCondition::Verdict(_)) => {
            reader.fail(&key.span, "a verdict has no window", "take `for` away", None);
            0
        }
        (Some((_, n)), _) => reader.duration(n, "a duration such as 10s")?,
        (None, AlertCondition::Verdict(_)) => 0,
        (None, _) => DEFAULT_WINDOW_NS,
    };
    let severity = fields
        .get("severity")
        .map_or(Some(AlertSeverity::Warn), |n| reader.word(n, "severity", &AlertSeverity::WORDS))?;
    let name = fields.get("name").map_or(Some(text), |n| reader.text(n, "a name"))?;
    Some(AlertRule {
        name: name.to_owned(),
        place: format!("{}:{}", reader.source().path.display(), reader.place(&when_node.span).line),
        feature: feature.map(str::to_owned),
        when,
        told: text.to_owned(),
        for_ms: for_ns / 1_000_000,
        severity,
        respond: respond?.to_owned(),
    })
}

fn condition(reader: &Reader, node: &Node, text: &str, probes: &[Probe]) -> Option<AlertCondition> {
    match text {
        "verdict fail" => return Some(AlertCondition::Verdict(AlertVerdict::Fail)),
        "verdict hold" => return Some(AlertCondition::Verdict(AlertVerdict::Hold)),
        _ => {}
    }
    let split = text.find(['<', '>']).unwrap_or(text.len());
    let (name, bound) = (text[..split].trim(), &text[split..]);
    if let Ok(metric) = name.parse::<Metric>() {
        let above = reader.take(node, "expected a condition", parse_above(metric, bound))?;
        return Some(AlertCondition::Metric { metric, above, errors: Vec::new() });
    }
    if probes.iter().any(|probe| probe.plan.name == name) {
        let bound = reader.take(node, "expected a condition", Threshold::parse(bound))?;
        return Some(AlertCondition::Probe { probe: name.to_owned(), bound });
    }
    let own = probes.iter().map(|probe| probe.plan.name.as_str());
    let known: Vec<&str> =
        Metric::NAMES.into_iter().chain(own).chain(["verdict fail", "verdict hold"]).collect();
    reader.unknown(&node.span, "metric or probe", name, &known);
    None
}
