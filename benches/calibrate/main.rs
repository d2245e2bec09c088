//! Operating points of the verdict: made runs through the real judge, beside other judges on the same draws.
//!
//!     ci/calibrate [--draws 4000] [--power 1000] [--seed 1] [--only TEXT] [--tell] [--write]

#[path = "../../tests/simulator/mod.rs"]
mod simulator;

mod canary;
mod rows;
mod table;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use loadgate::metrics::LookRecord;
use loadgate::verdict::Outcome;
use simulator::model::Change;
use simulator::peers;
use simulator::trial::{baseline, trial};

use rows::Row;

/// What the draws of one change in one row came to.
#[derive(Clone, Default)]
pub struct Cell {
    pub draws: u64,
    pub failed: u64,
    pub passed: u64,
    pub unresolved: u64,
    pub invalid: u64,
    /// Failed, and the changed feature is among those named.
    pub named: u64,
    pub failed_at_first: u64,
    pub looks: u64,
    pub peers: [u64; 6],
}

impl Cell {
    fn add(&mut self, other: &Self) {
        self.draws += other.draws;
        self.failed += other.failed;
        self.passed += other.passed;
        self.unresolved += other.unresolved;
        self.invalid += other.invalid;
        self.named += other.named;
        self.failed_at_first += other.failed_at_first;
        self.looks += other.looks;
        self.peers.iter_mut().zip(other.peers).for_each(|(own, other)| *own += other);
    }
}

fn draw(row: &Row, seed: u64, number: u64, draws: u64, power: u64, tell: bool, cells: &mut [Cell]) {
    let baseline = baseline(row.world, row.instances, seed, number);
    let stored: Vec<&LookRecord> = baseline.runs.iter().map(|record| &record.runs[0]).collect();
    for (change, cell) in row.changes.iter().zip(cells) {
        let alarm = matches!(change, Change::Same | Change::OthersGain(_));
        if number >= if alarm { draws } else { power } {
            continue;
        }
        let trial = trial(row.world, row.plan, &baseline, *change, seed, number);
        let verdict = &trial.verdict;
        cell.draws += 1;
        cell.looks += verdict.looks as u64;
        match (verdict.outcome, verdict.cause) {
            (Outcome::Fail, _) => cell.failed += 1,
            (Outcome::Pass, _) => cell.passed += 1,
            (_, Some(loadgate::verdict::Cause::Invalid)) => cell.invalid += 1,
            _ => cell.unresolved += 1,
        }
        if tell && (alarm == trial.failed()) {
            eprintln!("  draw {number} {change:?}: {}", verdict.summary);
        }
        if trial.failed() {
            let first = |f: &loadgate::verdict::Finding| {
                f.severity == loadgate::verdict::Severity::Fail && f.endpoint.as_deref() == Some("f0/step")
            };
            cell.named += u64::from(verdict.findings.iter().any(first));
            cell.failed_at_first += u64::from(verdict.looks == 1);
        }
        if row.beside_peers {
            let (kayenta, strictly) = peers::kayenta(&stored, &trial.first);
            let said = [
                peers::over_the_last(&stored, &trial.first),
                peers::over_the_mean(&stored, &trial.first),
                peers::errors_doubled(&stored, &trial.first),
                peers::mann_whitney(&stored, &trial.first),
                kayenta,
                strictly,
            ];
            cell.peers.iter_mut().zip(said).for_each(|(count, said)| *count += u64::from(said));
        }
    }
}

fn measure(row: &Row, seed: u64, draws: u64, power: u64, tell: bool) -> Vec<Cell> {
    let next = AtomicU64::new(0);
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut all = vec![Cell::default(); row.changes.len()];
    std::thread::scope(|scope| {
        let work = || {
            let mut cells = vec![Cell::default(); row.changes.len()];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= draws.max(power) {
                    return cells;
                }
                draw(row, seed, number, draws, power, tell, &mut cells);
            }
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let cells = thread.join().expect("a worker that ends");
            all.iter_mut().zip(&cells).for_each(|(own, cell)| own.add(cell));
        }
    });
    all
}

fn main() {
    let (mut draws, mut power, mut seed, mut only) = (4000, 1000, 1, String::new());
    let (mut tell, mut write) = (false, false);
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse().ok()).expect("a number after the flag");
        match flag.as_str() {
            "--draws" => draws = number(),
            "--power" => power = number(),
            "--seed" => seed = number(),
            "--only" => only = args.next().expect("a text after --only"),
            // Each false alarm and each miss, in its own words.
            "--tell" => tell = true,
            "--write" => write = true,
            // cargo bench gives this to every harness.
            "--bench" => {}
            other => {
                panic!("unknown flag {other}; there are --draws, --power, --seed, --only, --tell and --write")
            }
        }
    }
    let mut done = Vec::new();
    for row in rows::all().into_iter().filter(|row| row.name.contains(&only)) {
        let begun = Instant::now();
        let cells = measure(&row, seed, draws, power, tell);
        eprintln!("{}", table::line(&row, &cells));
        eprintln!("  ({:.0} s)", begun.elapsed().as_secs_f64());
        done.push((row, cells));
    }
    let mut beside = Vec::new();
    for row in canary::all().into_iter().filter(|row| row.name.contains(&only)) {
        let begun = Instant::now();
        let cells = canary::measure(&row, seed, draws, power, tell);
        eprintln!("{}", canary::line(&row, &cells));
        eprintln!("  ({:.0} s)", begun.elapsed().as_secs_f64());
        beside.push((row, cells));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/OPERATING_POINTS.md");
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    let (first, second) = stored.split_at(stored.find(canary::TITLE).unwrap_or(stored.len()));
    // What was not measured stays as it was.
    let first = if done.is_empty() { first.to_owned() } else { table::render(&done, seed) };
    let second = if beside.is_empty() { second.to_owned() } else { canary::render(&beside, seed) };
    let text = format!("{first}{second}");
    print!("{text}");
    if write {
        std::fs::write(path, text).expect("the table can be written");
    }
}
