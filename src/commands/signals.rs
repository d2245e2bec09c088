use tokio::signal::unix::{SignalKind, signal};

use crate::engine::Interrupt;
use crate::error::{Error, Result};

/// The first SIGINT, SIGTERM or SIGHUP ends the run in order; a second one ends the process at once.
pub fn listen() -> Result<Interrupt> {
    let (sender, interrupt) = Interrupt::new();
    let all = [
        (SignalKind::interrupt(), "SIGINT", 130),
        (SignalKind::terminate(), "SIGTERM", 143),
        (SignalKind::hangup(), "SIGHUP", 130),
    ];
    // Whoever ran it by `nohup` wants it to go on.
    let heard = all
        .into_iter()
        .filter(|(kind, ..)| *kind != SignalKind::hangup() || !crate::machine::ignores_hangup());
    for (kind, name, code) in heard {
        let mut stream =
            signal(kind).map_err(|e| Error::harness(format!("cannot listen for {name}: {e}")))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if sender.borrow().is_some() {
                    // The journal holds every closed block; `loadgate report` reads it.
                    std::process::exit(code);
                }
                sender.send_replace(Some(name));
            }
        });
    }
    Ok(interrupt)
}

/// Runs `work` on a runtime of its own.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::harness(format!("cannot start: {e}")))?;
    let done = runtime.block_on(work);
    // A resolver that waits for a name server must not be waited for.
    runtime.shutdown_background();
    done
}
