use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::metrics::{Block, EndpointPlan, ErrorExample, LookRecord, RECORD_FORMAT, RunRecord, SmokeRecord};
use crate::store::{read_journal, write_atomic};
use crate::verdict::Verdict;

/// What is written down as it happens; a record is built from these, after a crash as after a clean end.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The record without its runs.
    Started(Box<RunRecord>),
    Smoke(SmokeRecord),
    NotReady(String),
    /// A look without its measurements.
    Look(Box<LookRecord>),
    Block(Box<Block>),
    /// The same look again, with all but its blocks, and the send lags of its endpoints.
    LookEnded {
        look: Box<LookRecord>,
        lag_p99_us: Vec<Option<f64>>,
        examples: Vec<ErrorExample>,
    },
    Ended {
        interrupted: Option<String>,
    },
}

/// Builds the record. A journal that breaks off gives a record that says so.
pub fn assemble(entries: Vec<Entry>) -> Option<RunRecord> {
    let mut entries = entries.into_iter();
    let Some(Entry::Started(record)) = entries.next() else { return None };
    let mut record = *record;
    record.interrupted = Some("crash".into());
    let plans: Vec<EndpointPlan> = record.scenarios.iter().flat_map(|s| s.endpoints.clone()).collect();
    let mut open: Option<(LookRecord, Vec<Block>)> = None;
    let close = |record: &mut RunRecord, look: Option<(LookRecord, Vec<Block>)>| {
        if let Some((mut look, blocks)) = look {
            look.absorb(&plans, blocks);
            record.runs.push(look);
        }
    };
    for entry in entries {
        match entry {
            Entry::Started(_) => return None,
            Entry::Smoke(smoke) => record.smoke = Some(smoke),
            Entry::NotReady(reason) => record.not_ready = Some(reason),
            Entry::Look(look) => {
                close(&mut record, open.take());
                open = Some((*look, Vec::new()));
            }
            Entry::Block(block) => open.as_mut()?.1.push(*block),
            Entry::LookEnded { look, lag_p99_us, examples } => {
                let (_, blocks) = open.take()?;
                close(&mut record, Some((*look, blocks)));
                let ended = record.runs.last_mut()?;
                ended
                    .endpoints
                    .iter_mut()
                    .zip(lag_p99_us)
                    .for_each(|(endpoint, lag)| endpoint.lag_p99_us = lag);
                record.error_examples.extend(examples);
            }
            Entry::Ended { interrupted } => record.interrupted = interrupted,
        }
    }
    close(&mut record, open);
    Some(record)
}

/// Reads a record from `run.json`, from a run's folder, or from the journal that a crashed run left there.
///
/// # Errors
/// If there is none, or it is of a later format.
pub fn read_record(path: &Path) -> Result<RunRecord> {
    let file = if path.is_dir() { path.join("run.json") } else { path.to_owned() };
    let journal = journal_path(path);
    if path.is_dir() && !file.exists() && journal.exists() {
        let entries = read_journal(&journal)?;
        return assemble(entries)
            .ok_or_else(|| Error::input(&journal, "read journal", "it has no beginning"));
    }
    let hint = "give a run's folder or its run.json";
    let bytes = std::fs::read(&file).map_err(|e| Error::input(&file, "read record", e).with_hint(hint))?;
    let fail = |reason: String| Error::input(&file, "read record", reason).with_hint(hint);
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))?;
    match value["format"].as_u64() {
        Some(format) if format <= u64::from(RECORD_FORMAT) => {
            serde_json::from_value(value).map_err(|e| fail(e.to_string()))
        }
        Some(format) => {
            Err(fail(format!("format {format} is not known; this loadgate reads up to {RECORD_FORMAT}")))
        }
        None => Err(fail("it is no record of a run: it has no `format`".into())),
    }
}

pub fn journal_path(out: &Path) -> PathBuf {
    out.join("journal")
}

/// Writes `run.json` and `verdict.json`.
///
/// # Errors
/// With the path.
pub fn write_results(out: &Path, record: &RunRecord, verdict: &Verdict) -> Result<()> {
    let (run, judged) = (out.join("run.json"), out.join("verdict.json"));
    let bytes = serde_json::to_vec(record).map_err(|e| Error::output(&run, "write", e))?;
    write_atomic(&run, &bytes)?;
    let mut bytes = serde_json::to_vec_pretty(verdict).map_err(|e| Error::output(&judged, "write", e))?;
    bytes.push(b'\n');
    write_atomic(&judged, &bytes)
}
