use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::HeaderName;

use super::message::{Message, kind_name};
use super::outbox::Outbox;
use crate::error::Error;
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

pub struct Delivered {
    pub each: Vec<Delivery>,
    /// Why the outbox does not say what waits now.
    pub unwritten: Option<Error>,
}

/// Sends what waits, all webhooks at once, each with its own tries, until a signal comes. What was taken leaves the outbox.
/// Nobody is left untold because a disk is full.
pub async fn deliver(
    outbox: &mut Outbox,
    webhooks: &[Webhook],
    remote: &Remote,
    secrets: &Secrets,
    signal: impl Future<Output = ()>,
) -> Delivered {
    let mut unwritten = outbox.keep().err();
    let waiting = outbox.waiting.clone();
    let mut sending: FuturesUnordered<_> = waiting
        .iter()
        .map(|message| async move { (message, send(message, webhooks, remote, secrets).await) })
        .collect();
    let mut each = Vec::new();
    let mut signal = std::pin::pin!(signal);
    loop {
        let done = tokio::select! {
            done = sending.next() => done,
            () = &mut signal => break,
        };
        let Some((message, (tries, refused))) = done else { break };
        each.push(Delivery {
            to: message.to.clone(),
            kind: message.kind.clone(),
            tries,
            refused: refused.clone(),
        });
        // At once: whoever is ended meanwhile tells nobody twice.
        let same = |own: &Message| own.id == message.id && own.number == message.number;
        match refused {
            None => outbox.waiting.retain(|own| !same(own)),
            Some(reason) => {
                for own in outbox.waiting.iter_mut().filter(|own| same(own)) {
                    own.tries += tries;
                    own.refused = Some(reason.clone());
                }
            }
        }
        unwritten = outbox.keep().err();
    }
    Delivered { each, unwritten }
}

/// How often it was tried, and why it was not taken.
async fn send(
    message: &Message,
    webhooks: &[Webhook],
    remote: &Remote,
    secrets: &Secrets,
) -> (u32, Option<String>) {
    let own = |webhook: &&Webhook| {
        secrets.scrub(&webhook.told) == message.to && kind_name(webhook.kind) == message.kind
    };
    let mut same = webhooks.iter().filter(own);
    // Where the file has changed since, an address that stands there once is the one that was meant.
    let meant = same.clone().find(|webhook| webhook.number == message.number);
    // Or its address has been mended, and it stands where it stood.
    let mended = || webhooks.iter().find(|w| w.number == message.number && kind_name(w.kind) == message.kind);
    let once = meant.or_else(|| same.next().filter(|_| same.next().is_none()));
    let Some(webhook) = once.or_else(mended) else {
        return (0, Some("no webhook of this address is configured here".to_owned()));
    };
    let url = match webhook.kind {
        WebhookKind::Alertmanager => format!("{}/api/v2/alerts", webhook.url.trim_end_matches('/')),
        WebhookKind::Generic | WebhookKind::Slack => webhook.url.clone(),
    };
    let key = (HeaderName::from_static("idempotency-key"), message.id.clone());
    let headers: Vec<_> = webhook.headers.iter().cloned().chain([key]).collect();
    let mut wait = FIRST_WAIT;
    let mut reason = String::new();
    for number in 1..=webhook.retries + 1 {
        let timeout = Duration::from_nanos(webhook.timeout_ns);
        let mut asked = None;
        match remote.post_json(&url, &headers, message.body.clone(), timeout).await {
            Ok(answer) if answer.is_success() => return (number, None),
            Ok(answer) => {
                reason = secrets.scrub_brief(&format!("it answers {}: {}", answer.status, answer.excerpt()));
                if !may_pass(&answer) {
                    return (number, Some(reason));
                }
                asked = answer.retry_after;
            }
            Err(failure) => {
                reason = secrets.scrub_brief(&failure.reason);
                if failure.lasting {
                    return (number, Some(reason));
                }
            }
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
