use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, Once, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::engine::Interrupt;
use crate::error::{Error, Result};

/// How many hear signals for themselves.
static LISTENING: AtomicUsize = AtomicUsize::new(0);
/// Whether one has been heard already.
static HEARD: AtomicBool = AtomicBool::new(false);
/// Whether a person is asked, who may rather end it.
static ASKING: AtomicBool = AtomicBool::new(false);
/// What came while nobody listened: whoever listens next hears it.
static PENDING: Mutex<Option<(&str, i32)>> = Mutex::new(None);

/// The first SIGINT, SIGTERM or SIGHUP ends the run in order; a second one ends the process at once.
pub fn listen() -> Result<Interrupt> {
    hear_what_nobody_does();
    let (sender, interrupt) = Interrupt::new();
    if let Some((name, _)) = PENDING.lock().unwrap_or_else(PoisonError::into_inner).take() {
        HEARD.store(true, Relaxed);
        sender.send_replace(Some(name));
    }
    for (mut stream, name, code) in streams()? {
        let (sender, listening) = (sender.clone(), Counted::one());
        tokio::spawn(async move {
            let _listening = listening;
            while stream.recv().await.is_some() {
                if sender.borrow().is_some() {
                    // The journal holds every closed block; `loadgate report` reads it.
                    std::process::exit(code);
                }
                HEARD.store(true, Relaxed);
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

struct Counted;

impl Counted {
    fn one() -> Self {
        LISTENING.fetch_add(1, Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LISTENING.fetch_sub(1, Relaxed);
    }
}

/// Once somebody has listened, a signal does nothing by itself any more. So a thread hears what comes before and after: while
/// reports are written, between two services, while a person is asked.
fn hear_what_nobody_does() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let hear = || {
            block_on(async {
                let all = streams()?.into_iter().map(|(mut stream, name, code)| async move {
                    while stream.recv().await.is_some() {
                        unheard(name, code);
                    }
                });
                futures_util::future::join_all(all).await;
                Ok(())
            })
        };
        // Where there is no room for a thread, it is as if nobody had pressed anything.
        let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(hear);
    });
}

fn unheard(name: &'static str, code: i32) {
    if LISTENING.load(Relaxed) > 0 {
        return;
    }
    let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
    if HEARD.load(Relaxed) || ASKING.load(Relaxed) || pending.is_some() {
        std::process::exit(code);
    }
    *pending = Some((name, code));
}

/// While a person is asked, a signal ends the process.
pub fn asking<T>(ask: impl FnOnce() -> T) -> T {
    ASKING.store(true, Relaxed);
    if let Some((_, code)) = PENDING.lock().unwrap_or_else(PoisonError::into_inner).take() {
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
