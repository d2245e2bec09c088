use std::sync::Arc;

use http::HeaderName;

use super::alert::read_alerts;
use super::fields::Reader;
use super::generate::Chance;
use super::load::LoadOptions;
use super::model::Scenario;
use super::node::{Node, NodeValue};
use super::probe::{Probe, read_headers, read_probes};
use super::scope::Scope;
use super::sources::read_vars;
use super::template::{Context, Template};
use crate::error::{Diagnostic, Error, Result, SourceText};
use crate::metrics::AlertRule;
use crate::secrets::without_userinfo;
use crate::units::NS_PER_S;

pub const FILE_KEYS: [&str; 4] = ["vars", "probes", "alerts", "notify"];
/// Of the plan of a rollout, which has these among others.
pub const PLAN_KEYS: [&str; 13] = [
    "rollout",
    "release",
    "vars",
    "scenarios",
    "control",
    "candidate",
    "pairing",
    "phases",
    "on_hold",
    "rollback",
    "probes",
    "alerts",
    "notify",
];
pub const WEBHOOK_KEYS: [&str; 7] =
    ["webhook", "slack", "alertmanager", "on", "headers", "timeout", "retries"];
const KINDS: [&str; 3] = ["webhook", "slack", "alertmanager"];
const DEFAULT_TIMEOUT_NS: u64 = 5 * NS_PER_S;
const DEFAULT_RETRIES: u64 = 3;

/// What is watched beside the load, and who is told.
#[derive(Clone, Debug, Default)]
pub struct Watching {
    pub probes: Vec<Probe>,
    pub alerts: Vec<AlertRule>,
    pub webhooks: Vec<Webhook>,
}

/// Somebody who is told.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// In the order of the file: two may have one address.
    pub number: usize,
    pub kind: WebhookKind,
    /// With its secrets.
    pub url: String,
    /// Without.
    pub told: String,
    pub on: Vec<Occasion>,
    pub headers: Vec<(HeaderName, String)>,
    pub timeout_ns: u64,
    pub retries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookKind {
    /// Everything, as JSON.
    Generic,
    /// A text, as Slack and what is compatible with it take it.
    Slack,
    /// `POST /api/v2/alerts` of Alertmanager.
    Alertmanager,
}

/// What a webhook is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    Alert,
    Fail,
    Hold,
    Pass,
}

impl Occasion {
    pub const WORDS: [(&'static str, Self); 4] =
        [("alert", Self::Alert), ("fail", Self::Fail), ("hold", Self::Hold), ("pass", Self::Pass)];
}

/// What was read of a file, and what was found on the way.
pub struct ParsedWatching {
    pub watching: Watching,
    pub secrets: Vec<(String, String)>,
    /// The variables that the file defines.
    pub vars: Vec<String>,
}

/// Reads a file of probes, alerts and webhooks that hold for all features.
///
/// # Errors
/// All mistakes found, in the file's order.
pub fn parse_watching(
    source: SourceText,
    options: &LoadOptions,
) -> std::result::Result<ParsedWatching, Vec<Diagnostic>> {
    let source = Arc::new(source);
    let root = Node::parse(&source).map_err(|d| vec![d])?;
    let reader = Reader::new(source);
    let mut scope = Scope::new(options, Vec::new());
    let mut watching = Watching::default();
    let of_plan =
        matches!(&root.value, NodeValue::Map(all) if all.iter().any(|(key, _)| key.name == "phases"));
    let keys = if of_plan { &PLAN_KEYS[..] } else { &FILE_KEYS };
    if let Some(fields) = reader.fields(&root, "`probes`, `alerts`, `notify` and `vars`", keys) {
        read_vars(&reader, &fields, &mut scope);
        watching = read_watching(&reader, &root, &scope);
    }
    let secrets = scope.secrets.into_inner();
    let vars = scope.vars.into_iter().map(|(name, _)| name).collect();
    let (mistakes, _) = reader.into_found();
    if mistakes.is_empty() { Ok(ParsedWatching { watching, secrets, vars }) } else { Err(mistakes) }
}

/// The `probes`, `alerts` and `notify` of a mapping whose other keys somebody else reads.
pub fn read_watching(reader: &Reader, root: &Node, scope: &Scope<'_>) -> Watching {
    let NodeValue::Map(entries) = &root.value else { return Watching::default() };
    let get = |name: &str| entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node);
    let probes = get("probes").map(|node| read_probes(reader, node, scope)).unwrap_or_default();
    let alerts = get("alerts").map(|node| read_alerts(reader, node, None, &probes)).unwrap_or_default();
    let hooks = get("notify").and_then(|node| reader.list(node, "a list of webhooks")).unwrap_or_default();
    let numbered = hooks.iter().enumerate();
    let webhooks = numbered.filter_map(|(i, node)| read_webhook(reader, i, node, scope)).collect();
    Watching { probes, alerts, webhooks }
}

fn read_webhook(reader: &Reader, number: usize, node: &Node, scope: &Scope<'_>) -> Option<Webhook> {
    let what = "a webhook such as `{ slack: \"https://hooks.example/${secret.HOOK}\", on: [alert, fail] }`";
    let fields = reader.fields(node, what, &WEBHOOK_KEYS)?;
    let name = reader.exactly_one(node, &fields, "a webhook", &KINDS)?;
    let kind = match name {
        "slack" => WebhookKind::Slack,
        "alertmanager" => WebhookKind::Alertmanager,
        _ => WebhookKind::Generic,
    };
    let chance = Chance::default();
    let context = Context { rows: &[], captures: &[], chance: &chance };
    let template = |n: &Node| -> Option<Template> {
        let text = reader.scalar(n, "text")?;
        scope.outer_template(reader, n, &text, &[])
    };
    let at = fields.get(name)?;
    let compiled = template(at)?;
    let url = compiled.render(&context);
    // Without secrets its address need not be one.
    if scope.options.require_secrets || !compiled.canonical().contains("${secret.") {
        let http = url::Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !http {
            reader.fail(
                &at.span,
                "expected an address that begins with http:// or https://",
                "not here",
                None,
            );
            return None;
        }
    }
    let on = match fields.get("on") {
        None => vec![Occasion::Alert, Occasion::Fail],
        Some(n) => reader
            .list(n, "a list such as `[alert, fail]`")?
            .iter()
            .map(|n| reader.word(n, "occasion", &Occasion::WORDS))
            .collect::<Option<Vec<_>>>()?,
    };
    let headers = read_headers(reader, &fields, &template)?
        .into_iter()
        .map(|(name, value)| (name, value.render(&context)))
        .collect();
    let timeout_ns = fields
        .get("timeout")
        .map_or(Some(DEFAULT_TIMEOUT_NS), |n| reader.duration(n, "a duration such as 5s"))?;
    let retries = fields
        .get("retries")
        .map_or(Some(DEFAULT_RETRIES), |n| reader.whole_in(n, "a number of further tries", &(0..=10)))?;
    let told = without_userinfo(&compiled.canonical());
    Some(Webhook { number, kind, url, told, on, headers, timeout_ns, retries: retries as u32 })
}

impl Watching {
    /// Those of the scenarios too; one probe of several files is asked once.
    ///
    /// # Errors
    /// Where two of one name ask otherwise.
    pub fn with_scenarios(mut self, scenarios: &[Scenario]) -> Result<Self> {
        for scenario in scenarios {
            self.alerts.extend(scenario.alerts.iter().cloned());
            for probe in &scenario.probes {
                match self.probes.iter().find(|known| known.plan.name == probe.plan.name) {
                    None => self.probes.push(probe.clone()),
                    Some(known) if known.is_same(probe) => {}
                    Some(known) => {
                        let (name, own, other) = (&probe.plan.name, &probe.plan.place, &known.plan.place);
                        return Err(Error::usage_hint(
                            format!("probe `{name}` of {own} is another than that of {other}"),
                            "give each its own name",
                        ));
                    }
                }
            }
        }
        Ok(self)
    }
}
