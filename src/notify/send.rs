use std::time::Duration;

use super::message::{Message, kind_name};
use super::outbox::Outbox;
use crate::error::Result;
use crate::remote::{Answer, Remote};
use crate::scenario::{Webhook, WebhookKind};
use crate::secrets::Secrets;

const FIRST_WAIT: Duration = Duration::from_millis(500);
/// However long a receiver asks to wait: a gate does not.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What became of one message.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub to: String,
    pub kind: String,
    pub tries: u32,
    /// Why it waits in the outbox, if it does.
    pub refused: Option<String>,
}

/// Sends what waits, all webhooks at once, each with its own tries. What was taken leaves the outbox.
///
/// # Errors
/// If the outbox cannot be written; before anything was sent, if that fails at first.
pub async fn deliver(
    outbox: &mut Outbox,
    webhooks: &[Webhook],
    remote: &Remote,
    secrets: &Secrets,
) -> Result<Vec<Delivery>> {
    outbox.keep()?;
    let all = outbox.waiting.iter().map(|message| send(message, webhooks, remote, secrets));
    let outcomes = futures_util::future::join_all(all).await;
    let mut deliveries = Vec::new();
    let mut left = Vec::new();
    for (mut message, (tries, refused)) in std::mem::take(&mut outbox.waiting).into_iter().zip(outcomes) {
        deliveries.push(Delivery {
            to: message.to.clone(),
            kind: message.kind.clone(),
            tries,
            refused: refused.clone(),
        });
        if refused.is_some() {
            message.tries += tries;
            message.refused = refused;
            left.push(message);
        }
    }
    outbox.waiting = left;
    outbox.keep()?;
    Ok(deliveries)
}

/// How often it was tried, and why it was not taken.
async fn send(
    message: &Message,
    webhooks: &[Webhook],
    remote: &Remote,
    secrets: &Secrets,
) -> (u32, Option<String>) {
    let own = |webhook: &&Webhook| webhook.told == message.to && kind_name(webhook.kind) == message.kind;
    let Some(webhook) = webhooks.iter().find(own) else {
        return (0, Some("no webhook of this address is configured here".to_owned()));
    };
    let url = match webhook.kind {
        WebhookKind::Alertmanager => format!("{}/api/v2/alerts", webhook.url.trim_end_matches('/')),
        WebhookKind::Generic | WebhookKind::Slack => webhook.url.clone(),
    };
    let mut wait = FIRST_WAIT;
    let mut reason = String::new();
    for number in 1..=webhook.retries + 1 {
        let timeout = Duration::from_nanos(webhook.timeout_ns);
        let mut asked = None;
        match remote.post_json(&url, &webhook.headers, message.body.clone(), timeout).await {
            Ok(answer) if answer.is_success() => return (number, None),
            Ok(answer) => {
                reason = secrets.scrub_brief(&format!("it answers {}: {}", answer.status, answer.excerpt()));
                if !may_pass(&answer) {
                    return (number, Some(reason));
                }
                asked = answer.retry_after;
            }
            Err(failure) => reason = secrets.scrub_brief(&failure),
        }
        if number <= webhook.retries {
            tokio::time::sleep(asked.unwrap_or(wait).min(LONGEST_WAIT)).await;
            wait *= 2;
        }
    }
    (webhook.retries + 1, Some(reason))
}

fn may_pass(answer: &Answer) -> bool {
    answer.status >= 500 || matches!(answer.status, 408 | 425 | 429)
}
