use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::seal::{sealed, unbroken};
use crate::error::{Error, Result};
use crate::metrics::{
    Block, ClockRecord, ControlRecord, ErrorExample, LookBuilder, LookRecord, PhaseHistograms, RECORD_FORMAT,
    Reading, RunRecord, SlowRequest, SmokeRecord, interval_log,
};
use crate::store::{Plausible, read_journal, write_atomic};
use crate::verdict::Verdict;

/// What is written down as it happens; a record is built from these, after a crash as after a clean end.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The record without its runs.
    Started(Box<RunRecord>),
    Smoke(SmokeRecord),
    NotReady(String),
    SetupFailed(String),
    ProbeFailed(String),
    Clock(ClockRecord),
    /// The budget that a further look would have exceeded.
    OutOfTime(String),
    /// A look without its measurements.
    Look(Box<LookRecord>),
    Block(Box<Block>),
    Reading(Reading),
    /// The same of the arm beside the candidate.
    OfControl(Box<Entry>),
    /// The same look again, with all but its blocks, and what is known of its endpoints only at the end.
    LookEnded {
        look: Box<LookRecord>,
        endpoints: Vec<EndpointEnd>,
        examples: Vec<ErrorExample>,
    },
    Ended {
        interrupted: Option<String>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct EndpointEnd {
    pub lag_p99_us: Option<f64>,
    pub phases: PhaseHistograms,
    #[serde(default)]
    pub slowest: Vec<SlowRequest>,
}

/// Builds the record from the journal. One that breaks off gives a record that says so.
///
/// # Errors
/// If it cannot be read, or makes no sense.
pub fn assemble(path: &Path) -> Result<RunRecord> {
    let mut assembly = Assembly::default();
    let mut sound = true;
    read_journal(path, |Plausible(entry)| sound &= assembly.take(entry).is_some())?;
    let record = assembly.finish().filter(|_| sound);
    record.ok_or_else(|| Error::input(path, "read journal", "it is not whole"))
}

/// A record in the making.
#[derive(Default)]
struct Assembly {
    record: Option<RunRecord>,
    open: Option<(Box<LookRecord>, LookBuilder)>,
    /// The control's, as a record of its own.
    control: Option<Box<Assembly>>,
}

impl Assembly {
    /// `None`: the entry does not belong here.
    fn take(&mut self, entry: Entry) -> Option<()> {
        if let Entry::Started(record) = entry {
            if self.record.is_some() {
                return None;
            }
            self.record = Some(RunRecord { interrupted: Some("crash".into()), ..*record });
            return Some(());
        }
        let record = self.record.as_mut()?;
        match entry {
            Entry::Started(_) => return None,
            Entry::OfControl(entry) => {
                let control = self
                    .control
                    .get_or_insert_with(|| Box::new(Self { record: record.of_control(), ..Self::default() }));
                control.take(*entry)?;
            }
            Entry::Smoke(smoke) => record.smoke = Some(smoke),
            Entry::NotReady(reason) => record.not_ready = Some(reason),
            Entry::SetupFailed(reason) => record.setup_failed = Some(reason),
            Entry::ProbeFailed(reason) => record.probe_failed = Some(reason),
            Entry::OutOfTime(budget) => record.out_of_time = Some(budget),
            Entry::Clock(clock) => record.clock = Some(clock),
            Entry::Look(look) => {
                let plans = record.scenarios.iter().flat_map(|s| s.endpoints.clone()).collect();
                self.close();
                self.open = Some((look, LookBuilder::new(plans)));
            }
            Entry::Block(block) => self.open.as_mut()?.1.add(*block)?,
            // Those of a look come after its beginning, whatever else is open.
            Entry::Reading(reading) => self.open.as_mut()?.0.readings.push(reading),
            Entry::LookEnded { look, endpoints, examples } => {
                let open = self.open.as_mut()?;
                let readings = std::mem::take(&mut open.0.readings);
                *open.0 = LookRecord { readings, ..*look };
                self.close();
                let record = self.record.as_mut()?;
                let ended = record.runs.last_mut()?;
                for (endpoint, end) in ended.endpoints.iter_mut().zip(endpoints) {
                    (endpoint.lag_p99_us, endpoint.phases) = (end.lag_p99_us, end.phases);
                    endpoint.slowest = end.slowest;
                }
                record.error_examples.extend(examples);
            }
            Entry::Ended { interrupted } => record.interrupted = interrupted,
        }
        Some(())
    }

    fn close(&mut self) {
        if let (Some((mut look, builder)), Some(record)) = (self.open.take(), &mut self.record) {
            builder.finish(&mut look);
            record.runs.push(*look);
        }
    }

    fn finish(mut self) -> Option<RunRecord> {
        self.close();
        let mut record = self.record?;
        if let Some(control) = self.control.and_then(|control| control.finish()) {
            record.control = Some(Box::new(ControlRecord {
                target: control.target,
                smoke: control.smoke,
                not_ready: control.not_ready,
                setup_failed: control.setup_failed,
                runs: control.runs,
                error_examples: control.error_examples,
            }));
        }
        Some(record)
    }
}

/// Reads a record from `run.json`, from a run's folder, or from the journal that a crashed run left there.
///
/// # Errors
/// If there is none, or it is of a later format.
pub fn read_record(path: &Path) -> Result<RunRecord> {
    let file = if path.is_dir() { path.join("run.json") } else { path.to_owned() };
    let journal = journal_path(path);
    if path.is_dir() && !file.exists() && journal.exists() {
        return assemble(&journal);
    }
    let hint = || match runs_in(path).as_slice() {
        [] => "give a run's folder or its run.json".to_owned(),
        runs => format!("there are runs in it: {}", runs.join(", ")),
    };
    let bytes = std::fs::read(&file).map_err(|e| Error::input(&file, "read record", e).with_hint(hint()))?;
    let hint = "it is damaged, cut short, or no record of a run; `report` on a folder with a journal alone reads that";
    let fail = |reason: String| Error::input(&file, "read record", reason).with_hint(hint);
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))?;
    unbroken(&file, "read record", &bytes, &value)?;
    match value["format"].as_u64() {
        Some(format) if format <= u64::from(RECORD_FORMAT) => {
            serde_json::from_value(value).map(|Plausible(record)| record).map_err(|e| fail(e.to_string()))
        }
        Some(format) => {
            Err(fail(format!("format {format} is not known; this loadgate reads up to {RECORD_FORMAT}")))
        }
        None => Err(fail("it is no record of a run: it has no `format`".into())),
    }
}

/// Runs that stand below a folder: at most three of them, the newest names first.
fn runs_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut runs: Vec<_> = entries.filter(|path| path.join("run.json").exists()).collect();
    runs.sort();
    runs.iter().rev().take(3).map(|path| path.display().to_string()).collect()
}

pub fn journal_path(out: &Path) -> PathBuf {
    out.join("journal")
}

/// Writes `run.json`, `latency.hlog` where load was sent, and `verdict.json`.
///
/// # Errors
/// With the path.
pub fn write_results(out: &Path, record: &RunRecord, verdict: &Verdict) -> Result<()> {
    let (run, judged) = (out.join("run.json"), out.join("verdict.json"));
    let bytes = serde_json::to_vec(record).map_err(|e| Error::output(&run, "write", e))?;
    write_atomic(&run, &sealed(bytes))?;
    if !record.runs.is_empty() {
        let log = out.join("latency.hlog");
        let bytes = interval_log(record).map_err(|e| Error::output(&log, "write", e))?;
        write_atomic(&log, &bytes)?;
    }
    let bytes = serde_json::to_vec_pretty(verdict).map_err(|e| Error::output(&judged, "write", e))?;
    write_atomic(&judged, &sealed(bytes))
}
