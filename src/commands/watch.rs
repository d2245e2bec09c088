use std::time::Duration;

use super::run::{conclude, watched};
use super::session::Session;
use crate::error::{Error, Result};
use crate::gate::{Watch, run_id};

pub struct WatchRequest {
    pub session: Session,
    pub length: Duration,
    pub every: Duration,
}

/// Smoke passes for a while: returns the exit code of what lasted.
///
/// # Errors
/// As documented for the exit codes 2 and 5.
pub fn watch(request: &WatchRequest) -> Result<u8> {
    if request.every < Duration::from_millis(100) {
        return Err(Error::usage_hint("--every is at least 100ms", "a smoke pass is no load test; `run` is"));
    }
    let session = &request.session;
    let loaded = session.loaded()?;
    session.warn_of_idle_probes(&loaded);
    let id = run_id();
    let out = session.outlet(&id)?;
    let mut gate = session.request(loaded, Vec::new(), &id, &out.folder)?;
    gate.load = false;
    gate.watch = Some(Watch { length: request.length, every: request.every });
    let result = watched(session, gate)?;
    conclude(session, &result, &out, None)
}
