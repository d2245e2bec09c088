use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::session::{complain, tell};
use super::signals::{block_on, listen};
use crate::error::{Error, Result};
use crate::secrets::Secrets;
use crate::serve::{Gates, News, Serving, State, Template, bind, serve as answer};
use crate::store::Lock;

const LAST_ANSWERS: Duration = Duration::from_millis(500);

pub struct ServeRequest {
    pub listen: SocketAddr,
    /// Of all gates, for this process alone.
    pub folder: PathBuf,
    pub template: Template,
    /// Verdicts that are older are no answer.
    pub fresh_for: Duration,
    pub token: Option<String>,
}

/// Begins gates for whoever asks, and answers, until a signal ends it.
///
/// # Errors
/// If the address or the folder cannot be had.
pub fn serve(request: ServeRequest) -> Result<u8> {
    // So that no panic, log or core dump has it.
    let _known =
        Secrets::new(request.token.iter().map(|own| ("LOADGATE_SERVE_TOKEN".into(), own.clone())).collect());
    block_on(async {
        let mut interrupt = listen()?;
        let listener = bind(request.listen).await?;
        let address = listener.local_addr().map_err(|e| Error::harness(format!("no address: {e}")))?;
        let gates = Arc::new(Gates::open(&request.folder, request.template, request.fresh_for)?);
        let Some(_held) = Lock::take(&request.folder.join(".lock"))? else {
            let hint = "give this one a folder of its own with --out";
            return Err(Error::usage_hint(
                format!("another process serves the gates of {}", request.folder.display()),
                hint,
            ));
        };
        if !address.ip().is_loopback() && request.token.is_none() {
            complain(
                "warning: whoever reaches this address can begin a load; set LOADGATE_SERVE_TOKEN to a secret",
            );
        }
        tell(&format!("loadgate serves gates on http://{address}, kept in {}\n", request.folder.display()))?;
        let serving = Arc::new(Serving { gates: gates.clone(), token: request.token });
        let running = gates.run(&news);
        tokio::pin!(running);
        let answering = answer(listener, serving);
        tokio::pin!(answering);
        tokio::select! {
            served = &mut answering => served?,
            () = &mut running => {}
            () = interrupt.wait() => {
                // What runs is ended in order, and begun again by the next question that comes to a next process.
                complain(&format!("{}: what runs is ended", interrupt.signal().unwrap_or_default()));
                gates.stop();
                tokio::select! {
                    served = &mut answering => served?,
                    () = &mut running => {}
                }
                // Whoever waits for an answer has it.
                let _ = tokio::time::timeout(LAST_ANSWERS, &mut answering).await;
            }
        }
        Ok(0)
    })
}

fn news(news: &News<'_>) {
    let now = jiff::Timestamp::now().strftime("%FT%TZ");
    let text = match news {
        News::Begins { key, attempt: 1 } => format!("{key}: begins"),
        News::Begins { key, attempt } => format!("{key}: begins, attempt {attempt}"),
        News::GoesOn { key } => format!("{key}: goes on"),
        News::Ended(standing) if standing.state == State::Done => {
            let code = standing.exit_code.map_or(String::new(), |code| format!(" (exit code {code})"));
            format!("{}: {}{code}", standing.key, standing.summary)
        }
        News::Ended(standing) => format!("{}: {}", standing.key, standing.summary),
        News::Failed { key, error } => format!("{key}: {error}"),
    };
    complain(&format!("{now} {text}"));
}
