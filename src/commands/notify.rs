use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::report::stored_verdict;
use super::session::{complain, tell};
use super::signals::{block_on, listen_from_now};
use crate::error::{Error, Result};
use crate::exit_code::ExitCode;
use crate::gate::{GateResult, read_record};
use crate::notify::{Delivered, Delivery, Message, Outbox, deliver, messages};
use crate::remote::Remote;
use crate::scenario::{LoadOptions, Webhook, watching_file};
use crate::secrets::Secrets;
use crate::transport::TransportOptions;
use crate::units::counted;

/// Whether webhooks are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notify {
    #[default]
    Send,
    /// Shown instead of sent.
    DryRun,
    Off,
}

/// What is to be told of a run, written down before anything else can go wrong. That it cannot be changes no verdict.
pub fn prepare(result: &GateResult, out: &Path, notify: Notify) -> Result<Option<Outbox>> {
    let now = Timestamp::now().to_string();
    let all = messages(&result.webhooks, &result.record, &result.verdict, &result.secrets, &now);
    keep(all, out, notify)
}

/// Writes down what is to be told, or shows it.
pub fn keep(all: Vec<Message>, out: &Path, notify: Notify) -> Result<Option<Outbox>> {
    match notify {
        Notify::Off => return Ok(None),
        Notify::DryRun => return show(&all).map(|()| None),
        Notify::Send if all.is_empty() => return Ok(None),
        Notify::Send => {}
    }
    let mut outbox = Outbox::open(out)?;
    outbox.waiting.extend(all);
    // Whoever sends it tries again, and says so where it fails.
    let _ = outbox.keep();
    Ok(Some(outbox))
}

/// Tells it. What cannot be told waits in the outbox, and changes no verdict.
pub fn tell_of(result: &GateResult, outbox: Option<Outbox>, transport: &TransportOptions) {
    let Some(mut outbox) = outbox else { return };
    if let Err(e) = sent(&mut outbox, &result.webhooks, &result.secrets, transport) {
        complain(&format!("warning: {e}"));
    }
}

/// The same beside other work, on a runtime that is there already.
pub async fn tell_meanwhile(
    mut outbox: Outbox,
    webhooks: Vec<Webhook>,
    secrets: Secrets,
    transport: TransportOptions,
) {
    let delivered = async {
        let remote = Remote::new(&transport)?;
        let delivered = deliver(&mut outbox, &webhooks, &remote, &secrets, std::future::pending()).await;
        told(delivered, &outbox)
    };
    if let Err(e) = delivered.await {
        complain(&format!("warning: {e}"));
    }
}

/// How many could not be told.
fn sent(
    outbox: &mut Outbox,
    webhooks: &[Webhook],
    secrets: &Secrets,
    transport: &TransportOptions,
) -> Result<usize> {
    let remote = Remote::new(transport)?;
    let delivered = block_on(async {
        let mut interrupt = listen_from_now()?;
        Ok(deliver(outbox, webhooks, &remote, secrets, async move { interrupt.wait().await }).await)
    })?;
    told(delivered, outbox)?;
    Ok(outbox.waiting.len())
}

fn told(delivered: Delivered, outbox: &Outbox) -> Result<()> {
    let Delivered { each, unwritten } = delivered;
    let waits = match unwritten {
        None => format!("it waits in {}, and `loadgate notify` tells it", outbox.path().display()),
        Some(_) => "nor can that be written down".to_owned(),
    };
    let mut shown = Ok(());
    for Delivery { to, kind, tries, refused } in &each {
        match refused {
            None => shown = shown.and(tell(&format!("told {kind} {to}\n"))),
            Some(reason) => complain(&format!(
                "warning: {kind} {to} could not be told in {}: {reason}; {waits}",
                counted(*tries as usize, "try"),
            )),
        }
    }
    let refused = each.iter().filter(|one| one.refused.is_some()).count();
    if outbox.waiting.len() > refused {
        let left = counted(outbox.waiting.len() - refused, "message");
        complain(&format!("warning: {left} not sent, since a signal came; {waits}"));
    }
    unwritten.map_or(shown, Err)
}

fn show(all: &[Message]) -> Result<()> {
    for message in all {
        let body: serde_json::Value = serde_json::from_str(&message.body).unwrap_or_default();
        let pretty = serde_json::to_string_pretty(&body).map_err(|e| Error::harness(e.to_string()))?;
        tell(&format!("would tell {} {}:\n{pretty}\n", message.kind, message.to))?;
    }
    Ok(())
}

pub struct NotifyRequest {
    /// Folders of runs.
    pub runs: Vec<PathBuf>,
    /// The file with the webhooks, and its variables.
    pub file: PathBuf,
    pub vars: Vec<(String, String)>,
    /// What a run would tell, instead of telling it.
    pub dry_run: bool,
    pub transport: TransportOptions,
}

/// Tells what runs could not tell when they ended; or shows what they would.
///
/// # Errors
/// If a run or the file cannot be read.
pub fn notify(request: &NotifyRequest) -> Result<u8> {
    let options = LoadOptions {
        vars: request.vars.clone(),
        require_secrets: !request.dry_run,
        ..LoadOptions::default()
    };
    let (watching, secrets) = watching_file(&request.file, &options)?;
    if watching.webhooks.is_empty() {
        return Err(Error::input(&request.file, "notify", "it has no `notify`")
            .with_hint("a webhook is `notify: [ { slack: https://… } ]`"));
    }
    let mut left = 0;
    for run in &request.runs {
        if request.dry_run {
            let record = read_record(run)?;
            let verdict = stored_verdict(run)?
                .ok_or_else(|| Error::input(run, "read verdict", "there is no verdict.json in it"))?;
            let waiting = Outbox::open(run)?.waiting;
            let now = Timestamp::now().to_string();
            let all = messages(&watching.webhooks, &record, &verdict, &secrets, &now);
            match (waiting.is_empty(), all.is_empty()) {
                (false, _) => show(&waiting)?,
                (true, true) => tell(&format!("{}: nobody would be told\n", run.display()))?,
                (true, false) => {
                    tell(&format!("{}: nothing waits; at its end it would tell\n", run.display()))?;
                    show(&all)?;
                }
            }
            continue;
        }
        if !run.is_dir() {
            return Err(Error::input(run, "notify", "it is no folder of a run"));
        }
        let mut outbox = Outbox::open(run)?;
        if outbox.waiting.is_empty() {
            tell(&format!("{}: nothing waits\n", run.display()))?;
            continue;
        }
        left += sent(&mut outbox, &watching.webhooks, &secrets, &request.transport)?;
    }
    Ok(if left == 0 { 0 } else { ExitCode::Harness.code() })
}
