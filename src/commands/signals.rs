use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, Once, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::engine::Interrupt;
use crate::error::{Error, Result};

/// Whether a person is asked, who may rather end it.
static ASKING: AtomicBool = AtomicBool::new(false);
/// The first signal that has come: whoever listens later hears it as well.
static FIRST: Mutex<Option<(&str, i32)>> = Mutex::new(None);

/// The first SIGINT, SIGTERM or SIGHUP ends the run in order; a second one ends the process at once.
pub fn listen() -> Result<Interrupt> {
    listening(true)
}

/// The same for what is done after a run, whether that was interrupted or not.
pub fn listen_from_now() -> Result<Interrupt> {
    listening(false)
}

fn listening(from_before: bool) -> Result<Interrupt> {
    watch();
    let (sender, interrupt) = Interrupt::new();
    let first = *FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((name, _)) = first.filter(|_| from_before) {
        sender.send_replace(Some(name));
    }
    for (mut stream, name, code) in streams()? {
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

fn streams() -> Result<Vec<(Signal, &'static str, i32)>> {
    let all = [
        (SignalKind::interrupt(), "SIGINT", 130),
        (SignalKind::terminate(), "SIGTERM", 143),
        (SignalKind::hangup(), "SIGHUP", 130),
    ];
    // Whoever ran it by `nohup` wants it to go on.
    let heard = all
        .into_iter()
        .filter(|(kind, ..)| *kind != SignalKind::hangup() || !crate::machine::ignores_hangup());
    heard
        .map(|(kind, name, code)| {
            let fail = |e| Error::harness(format!("cannot listen for {name}: {e}"));
            Ok((signal(kind).map_err(fail)?, name, code))
        })
        .collect()
}

/// Once somebody has listened, a signal does nothing by itself any more. So a thread hears what comes meanwhile and afterwards:
/// while a verdict is made, while reports are written, between two services, while a person is asked.
fn watch() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let hear = || {
            block_on(async {
                let all = streams()?.into_iter().map(|(mut stream, name, code)| async move {
                    while stream.recv().await.is_some() {
                        came(name, code);
                    }
                });
                futures_util::future::join_all(all).await;
                Ok(())
            })
        };
        // Where there is no room for a thread, nothing but the run itself hears a signal.
        let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(hear);
    });
}

fn came(name: &'static str, code: i32) {
    let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    if first.is_some() || ASKING.load(Relaxed) {
        std::process::exit(code);
    }
    *first = Some((name, code));
}

/// While a person is asked, a signal ends the process.
pub fn asking<T>(ask: impl FnOnce() -> T) -> T {
    ASKING.store(true, Relaxed);
    if let Some((_, code)) = *FIRST.lock().unwrap_or_else(PoisonError::into_inner) {
        std::process::exit(code);
    }
    let answer = ask();
    ASKING.store(false, Relaxed);
    answer
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
