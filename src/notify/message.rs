use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::metrics::RunRecord;
use crate::scenario::{Occasion, Webhook, WebhookKind};
use crate::secrets::Secrets;
use crate::verdict::{Action, FiredAlert, Outcome, Severity, Verdict};

/// Findings beyond these are in the report.
const MOST_FINDINGS: usize = 10;

/// One text for one webhook. It holds no address, so that it can be kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    #[serde(default = "first_format")]
    pub format: u32,
    /// The same for every try, so that a receiver can tell that it has it already.
    pub id: String,
    /// Which webhook: its number in its file, and its address without secrets.
    #[serde(default)]
    pub number: usize,
    pub to: String,
    pub kind: String,
    /// UTC, RFC 3339.
    pub created: String,
    pub body: String,
    #[serde(default)]
    pub tries: u32,
    /// Why it was not taken last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

pub const MESSAGE_FORMAT: u32 = 1;

/// Of messages that say none.
fn first_format() -> u32 {
    1
}

pub fn kind_name(kind: WebhookKind) -> &'static str {
    match kind {
        WebhookKind::Generic => "webhook",
        WebhookKind::Slack => "slack",
        WebhookKind::Alertmanager => "alertmanager",
    }
}

/// What there is to tell, for each webhook that asks for it; `now` is in RFC 3339.
#[must_use]
pub fn messages(
    webhooks: &[Webhook],
    record: &RunRecord,
    verdict: &Verdict,
    secrets: &Secrets,
    now: &str,
) -> Vec<Message> {
    let asked = |webhook: &&Webhook| webhook.on.iter().any(|occasion| occurs(*occasion, verdict));
    webhooks
        .iter()
        .filter(asked)
        .map(|webhook| {
            let body = match webhook.kind {
                WebhookKind::Generic => generic(record, verdict),
                WebhookKind::Slack => json!({ "text": slack(record, verdict) }),
                WebhookKind::Alertmanager => alertmanager(record, verdict, now),
            };
            of(webhook, &record.id, &body, secrets, now)
        })
        .collect()
}

/// What became of a rollout as a whole.
#[derive(Clone, Debug)]
pub struct News {
    /// The same however often it is told.
    pub id: String,
    pub rollout: String,
    pub release: String,
    /// `complete`, `rolled_back`, `rollback_failed`, `stopped`, `held`, or `failed` where loadgate itself did.
    pub state: &'static str,
    pub occasion: Occasion,
    pub summary: String,
    pub exit_code: u8,
}

/// The same of a rollout.
#[must_use]
pub fn news(webhooks: &[Webhook], news: &News, secrets: &Secrets, now: &str) -> Vec<Message> {
    let failed = news.state == "rollback_failed";
    // Nobody asked not to be told that the way back is closed.
    let asked = |webhook: &&Webhook| failed || webhook.on.contains(&news.occasion);
    let title = format!("{} {}", news.rollout, news.release);
    webhooks
        .iter()
        .filter(asked)
        .map(|webhook| {
            let body = match webhook.kind {
                WebhookKind::Generic => json!({
                    "format": 1,
                    "id": news.id,
                    "rollout": news.rollout,
                    "release": news.release,
                    "state": news.state,
                    "exit_code": news.exit_code,
                    "summary": news.summary,
                }),
                WebhookKind::Slack => {
                    json!({ "text": format!("*{}*: {}", plain(&title), plain(&news.summary)) })
                }
                WebhookKind::Alertmanager => {
                    let severity = if failed { "page" } else { "warn" };
                    let mut entry = json!({
                        "labels": {
                            "alertname": "loadgate rollout", "severity": severity, "rollout": news.rollout, "source": "loadgate",
                        },
                        "annotations": { "summary": news.summary, "release": news.release },
                        "startsAt": now,
                    });
                    if news.occasion == Occasion::Pass {
                        entry["endsAt"] = json!(now);
                    }
                    json!([entry])
                }
            };
            of(webhook, &news.id, &body, secrets, now)
        })
        .collect()
}

/// `id` is that of what is told, the same for every try.
fn of(webhook: &Webhook, id: &str, body: &Value, secrets: &Secrets, now: &str) -> Message {
    Message {
        format: MESSAGE_FORMAT,
        id: format!("{id}/{}", webhook.number),
        number: webhook.number,
        to: secrets.scrub(&webhook.told),
        kind: kind_name(webhook.kind).to_owned(),
        created: now.to_owned(),
        body: secrets.scrub(&body.to_string()),
        tries: 0,
        refused: None,
    }
}

/// Slack's own marks are escaped as its documentation asks.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn occurs(occasion: Occasion, verdict: &Verdict) -> bool {
    match occasion {
        Occasion::Alert => !verdict.alerts.is_empty() && verdict.outcome != Outcome::Partial,
        Occasion::Fail => verdict.action == Action::RollBack,
        Occasion::Hold => verdict.action == Action::Hold && verdict.outcome != Outcome::Partial,
        Occasion::Pass => verdict.action == Action::Go,
    }
}

fn grave(verdict: &Verdict) -> impl Iterator<Item = &crate::verdict::Finding> {
    verdict.findings.iter().filter(|f| matches!(f.severity, Severity::Fail | Severity::Hold))
}

fn generic(record: &RunRecord, verdict: &Verdict) -> Value {
    json!({
        "format": 1,
        "id": record.id,
        "run_id": record.id,
        "label": record.label,
        "started": record.started,
        "target": record.target,
        "env": record.env,
        "ci_run": record.environment.ci_run,
        "git_commit": record.environment.git_commit,
        "outcome": verdict.outcome,
        "action": verdict.action,
        "exit_code": verdict.exit_code,
        "summary": verdict.summary,
        "alerts": verdict.alerts,
        "findings": grave(verdict).take(MOST_FINDINGS).collect::<Vec<_>>(),
    })
}

fn slack(record: &RunRecord, verdict: &Verdict) -> String {
    let title = record.label.as_deref().unwrap_or(&record.target);
    let mut lines = vec![format!("*{}*: {}", plain(title), plain(&verdict.summary))];
    let alert = |alert: &FiredAlert| {
        format!(
            "• *{}* {}: {} → {}",
            alert.severity.name(),
            plain(&alert.name),
            plain(&alert.seen),
            plain(&alert.respond)
        )
    };
    lines.extend(verdict.alerts.iter().map(alert));
    let rest = grave(verdict).filter(|f| !verdict.summary.contains(&f.reason)).take(MOST_FINDINGS);
    lines.extend(rest.map(|f| format!("• {}", plain(&f.reason))));
    lines.push(format!("run {}, exit code {}", plain(&record.id), verdict.exit_code));
    lines.join("\n")
}

/// One for each alert that fired; without any, one for the verdict. What names an alert is the same from run to run, so that
/// Alertmanager takes the next one for the same.
fn alertmanager(record: &RunRecord, verdict: &Verdict, now: &str) -> Value {
    let entry = |name: &str, severity: &str, place: Option<&str>, summary: &str, respond: Option<&str>| {
        let mut labels = json!({
            "alertname": name, "severity": severity, "env": record.env, "target": record.target, "source": "loadgate",
        });
        if let Some(place) = place {
            labels["endpoint"] = json!(place);
        }
        let mut annotations =
            json!({ "summary": summary, "description": verdict.summary, "run_id": record.id });
        if let Some(respond) = respond {
            annotations["respond"] = json!(respond);
        }
        let mut entry = json!({ "labels": labels, "annotations": annotations, "startsAt": now });
        if verdict.action == Action::Go && verdict.alerts.is_empty() {
            entry["endsAt"] = json!(now);
        }
        entry
    };
    if verdict.alerts.is_empty() {
        // One name and one severity, whatever the verdict: so a pass ends what a fail began.
        return json!([entry("loadgate verdict", "warn", None, &verdict.summary, None)]);
    }
    let of = |alert: &FiredAlert| {
        let place = alert.endpoint.as_deref().or(alert.probe.as_deref());
        entry(&alert.name, alert.severity.name(), place, &alert.seen, Some(&alert.respond))
    };
    verdict.alerts.iter().map(of).collect()
}
