use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::simulator::canary::{Arms, canary};
use crate::simulator::model::{Change, Shape};
use crate::simulator::peers;
use crate::table::{name, share};

/// One line of the tables: two arms, and the changes that are tried between them.
pub struct Row {
    pub name: String,
    arms: Arms,
    changes: Vec<Change>,
    beside_peers: bool,
}

/// What the draws of one change in one row came to.
#[derive(Clone, Default)]
pub struct Cell {
    draws: u64,
    failed: u64,
    failed_by_30_s: u64,
    passed: u64,
    stopped: u64,
    /// Measured time until a failure, and until any decision.
    failed_ms: Vec<u64>,
    decided_ms: Vec<u64>,
    peers: [u64; 6],
}

impl Cell {
    fn add(&mut self, other: Self) {
        self.draws += other.draws;
        self.failed += other.failed;
        self.failed_by_30_s += other.failed_by_30_s;
        self.passed += other.passed;
        self.stopped += other.stopped;
        self.failed_ms.extend(other.failed_ms);
        self.decided_ms.extend(other.decided_ms);
        self.peers.iter_mut().zip(other.peers).for_each(|(own, other)| *own += other);
    }
}

const ALL: [Change; 7] = [
    Change::Same,
    Change::Slower(0.05),
    Change::Slower(0.10),
    Change::Slower(0.20),
    Change::Tail(0.10),
    Change::Errors(0.01),
    Change::Errors(0.05),
];
const MAIN: [Change; 5] =
    [Change::Same, Change::Slower(0.10), Change::Slower(0.20), Change::Errors(0.01), Change::Errors(0.05)];
const SOAK_SEGMENT_S: u64 = 450;

pub fn all() -> Vec<Row> {
    let usual = Arms::new(0.005);
    let row = |name: &str, arms: Arms, changes: &[Change]| Row {
        name: format!("canary: {name}"),
        arms,
        changes: changes.to_vec(),
        beside_peers: false,
    };
    let apart = Arms::new(0.0125);
    let at = |rate, seconds| Arms { shape: Shape { rate, seconds }, ..usual };
    let mut rows = vec![
        Row { beside_peers: true, ..row("σ_dep 0.5%", usual, &ALL) },
        row("σ_dep 0.5%, arms afresh each segment", Arms { restarts: true, ..usual }, &ALL),
        row("σ_dep 0.5%, early stop alone", Arms { looks: false, ..usual }, &ALL),
        row("σ_dep 0.5%, looks alone", Arms { early: false, ..usual }, &ALL),
        row("σ_dep 0.5%, one feature", Arms { features: 1, ..usual }, &MAIN),
        row("σ_dep 0.5%, 10% of the candidate's requests never came", Arms { missing: 0.1, ..usual }, &MAIN),
        row("σ_dep 0.5%, 40% of the candidate's requests never came", Arms { missing: 0.4, ..usual }, &MAIN),
        row("σ_dep 1.25%, taken for 0.5%", apart, &MAIN),
        row("σ_dep 1.25%, calibrated", Arms { assumed: 0.0125, ..apart }, &MAIN),
    ];
    for rate in [50, 20, 5] {
        rows.push(row(&format!("σ_dep 0.5%, {rate}/s for 120 s"), at(rate, 30), &MAIN));
    }
    for rate in [50, 20, 5] {
        rows.push(row(&format!("σ_dep 0.5%, {rate}/s for 30 min"), at(rate, SOAK_SEGMENT_S), &MAIN));
    }
    rows
}

fn draw(row: &Row, change: Change, seed: u64, number: u64, tell: bool) -> Cell {
    let trial = canary(row.arms, change, seed, number);
    let failed = trial.failed();
    if tell && (failed == (change == Change::Same)) {
        eprintln!("  draw {number} {change:?}: {}", trial.verdict.summary);
    }
    let mut cell = Cell {
        draws: 1,
        failed: failed.into(),
        failed_by_30_s: (failed && trial.at_ms <= 30_000).into(),
        passed: trial.promoted().into(),
        stopped: trial.stopped.into(),
        failed_ms: if failed { vec![trial.at_ms] } else { Vec::new() },
        decided_ms: vec![trial.at_ms],
        peers: [0; 6],
    };
    if let (true, Some(control)) = (row.beside_peers, &trial.record.control) {
        let (control, candidate) = ([&control.runs[0]], &trial.record.runs[0]);
        let (kayenta, strictly) = peers::kayenta(&control, candidate);
        cell.peers = [
            peers::beyond_static(candidate),
            peers::over_the_last(&control, candidate),
            peers::errors_doubled(&control, candidate),
            peers::mann_whitney(&control, candidate),
            kayenta,
            strictly,
        ]
        .map(u64::from);
    }
    cell
}

pub fn measure(row: &Row, seed: u64, draws: u64, power: u64, tell: bool) -> Vec<Cell> {
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let measured = row.changes.iter().map(|change| {
        let count = if *change == Change::Same { draws } else { power };
        let next = AtomicU64::new(0);
        let mut all = Cell::default();
        std::thread::scope(|scope| {
            let work = || {
                let mut own = Cell::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return own;
                    }
                    own.add(draw(row, *change, seed, number, tell));
                }
            };
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                all.add(thread.join().expect("a worker that ends"));
            }
        });
        all.failed_ms.sort_unstable();
        all.decided_ms.sort_unstable();
        all
    });
    measured.collect()
}

/// `12 s (p90 15 s)`
fn time(sorted: &[u64]) -> String {
    if sorted.is_empty() {
        return "–".to_owned();
    }
    let at = |share: f64| sorted[((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1];
    let told = |ms: u64| {
        let s = ms as f64 / 1e3;
        if s < 100.0 { format!("{s:.1} s") } else { format!("{s:.0} s") }
    };
    format!("{} (p90 {})", told(at(0.5)), told(at(0.9)))
}

pub fn line(row: &Row, cells: &[Cell]) -> String {
    let mut out = format!("{}:", row.name);
    for (change, cell) in row.changes.iter().zip(cells) {
        let _ = write!(
            out,
            "\n  {:<18} fail {} ({} by 30 s)  pass {}  stopped {}  failed after {}  decided after {}",
            name(*change),
            share(cell.failed, cell.draws),
            share(cell.failed_by_30_s, cell.draws),
            share(cell.passed, cell.draws),
            share(cell.stopped, cell.draws),
            time(&cell.failed_ms),
            time(&cell.decided_ms),
        );
        if row.beside_peers {
            let _ = write!(out, "  peers {:?}", cell.peers);
        }
    }
    out
}

/// Where this part of the file begins.
pub const TITLE: &str = "\n# Side by side\n";

pub fn render(done: &[(Row, Vec<Cell>)], seed: u64) -> String {
    let mut out = String::from(TITLE);
    let _ = write!(
        out,
        "\nWritten by `ci/calibrate --only canary --write`: the same model, two arms at once through the real judge and the real \
         early stop. Four segments of 30 s at 200/s an arm and feature, judged after 30, 60 and 120 s, unless the row says \
         otherwise; 80% of the variance of load and error rates is felt by both arms at once; two instances of a build differ \
         by σ_dep, of which half is shared by all features. The judge assumes σ_dep 0.5% unless the row says otherwise; Δ is 5% \
         for p50 and p95. Seed {seed}.\n\n\
         | | change | called worse | by 30 s | stopped between looks | promoted | failed after (median) | decided after | draws |\n\
         |---|---|---|---|---|---|---|---|---|\n"
    );
    for (row, cells) in done {
        for (change, cell) in row.changes.iter().zip(cells) {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.name.trim_start_matches("canary: "),
                name(*change),
                share(cell.failed, cell.draws),
                share(cell.failed_by_30_s, cell.draws),
                share(cell.stopped, cell.draws),
                share(cell.passed, cell.draws),
                time(&cell.failed_ms),
                time(&cell.decided_ms),
                cell.draws
            );
        }
    }
    out.push_str(
        "\n## Side by side, beside other judges on the same draws\n\n\
         They see the first 30 s of both arms. Static limits, as Flagger's and Argo's examples have them: p95 < 500 ms and \
         errors < 1% on the candidate; p95 +10% over the control's; errors twice the control's; a raw Mann–Whitney test at 1% \
         over five features (Bonferroni); Kayenta's rule on points of 2 s (score below 75; in brackets: any metric High).\n\n\
         | | change | loadgate, by 30 s | loadgate, by 120 s | static limits | p95 +10% | errors ×2 | Mann–Whitney | Kayenta |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (row, cells) in done.iter().filter(|(row, _)| row.beside_peers) {
        for (change, cell) in row.changes.iter().zip(cells) {
            let [limits, p95, errors, ranks, kayenta, strictly] = cell.peers.map(|n| share(n, cell.draws));
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {limits} | {p95} | {errors} | {ranks} | {kayenta} ({strictly}) |",
                row.name.trim_start_matches("canary: "),
                name(*change),
                share(cell.failed_by_30_s, cell.draws),
                share(cell.failed, cell.draws),
            );
        }
    }
    out
}
