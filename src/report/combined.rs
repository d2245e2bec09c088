//! Many verdicts on one page: the worst in full, all of them in a table.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::document::{Block, Cell, Table, Tone};
use super::inert::inert;
use super::markdown::render_markdown_document;
use super::table::grid;
use super::terminal::Screen;
use crate::verdict::{Action, Combined, Verdict, WORST};

/// One of them, as it is shown.
pub struct CombinedRow {
    pub name: String,
    /// Where its reports are.
    pub folder: String,
    pub verdict: Result<Verdict, String>,
}

impl CombinedRow {
    fn word(&self) -> &'static str {
        self.verdict.as_ref().map_or("NO VERDICT", |verdict| verdict.outcome.word())
    }

    fn summary(&self) -> String {
        let told = inert(match &self.verdict {
            Ok(verdict) => &verdict.summary,
            Err(reason) => reason,
        });
        told.into_owned()
    }

    fn is_bad(&self) -> bool {
        self.word() != "GO"
    }

    /// What else its folder has to tell: the first remedy.
    fn remedy(&self) -> Option<String> {
        let verdict = self.verdict.as_ref().ok()?;
        verdict.findings.iter().find_map(|finding| Some(inert(finding.remedy.as_deref()?).into_owned()))
    }
}

fn in_order<'a>(rows: &'a [CombinedRow], combined: &'a Combined) -> impl Iterator<Item = &'a CombinedRow> {
    combined.order.iter().filter_map(|number| rows.get(*number))
}

/// For a terminal.
#[must_use]
pub fn render_combined(rows: &[CombinedRow], combined: &Combined, screen: Screen) -> String {
    let mut out = String::new();
    let colour = |text: &str| match combined.action {
        Action::Go => screen.paint.good(text),
        Action::Hold => screen.paint.caution(text),
        Action::RollBack => screen.paint.bad(text),
    };
    let _ = writeln!(out, "{}", colour(&screen.wrapped(&inert(&combined.summary), 0, 0)));
    for row in in_order(rows, combined).filter(|row| row.is_bad()).take(WORST) {
        let _ = writeln!(out, "\n{}", screen.wrapped(&format!("{}: {}", row.name, row.summary()), 0, 2));
        if let Some(remedy) = row.remedy() {
            let _ = writeln!(out, "  {}", screen.wrapped(&format!("→ {remedy}"), 2, 4));
        }
        if !row.folder.is_empty() {
            let _ = writeln!(out, "  {}", row.folder);
        }
    }
    if rows.len() > 1 {
        let cells: Vec<Vec<String>> = in_order(rows, combined)
            .map(|row| {
                let (requests, looks) = row.verdict.as_ref().map_or((0, 0), |verdict| {
                    (verdict.endpoints.iter().map(|e| e.requests).sum::<u64>(), verdict.looks)
                });
                vec![row.name.clone(), row.word().to_owned(), looks.to_string(), requests.to_string()]
            })
            .collect();
        let _ = writeln!(out, "\n{}", grid(&["name", "verdict", "looks", "requests"], &cells));
    }
    out
}

/// For a pull request's comment.
#[must_use]
pub fn render_combined_markdown(rows: &[CombinedRow], combined: &Combined) -> String {
    let tone = match combined.action {
        Action::Go => Tone::Good,
        Action::Hold => Tone::Caution,
        Action::RollBack => Tone::Bad,
    };
    let mut blocks = vec![Block::Strong(inert(&combined.summary).into_owned(), tone)];
    let worst: Vec<Cell> = in_order(rows, combined)
        .filter(|row| row.is_bad())
        .take(WORST)
        .map(|row| {
            let remedy = row.remedy().map(|remedy| format!(" → {remedy}")).unwrap_or_default();
            Cell::from(format!("{}: {}{remedy}", row.name, row.summary()))
        })
        .collect();
    if !worst.is_empty() {
        blocks.push(Block::List(worst));
    }
    let cells = |row: &CombinedRow| {
        let tone = match row.word() {
            "GO" => Tone::Good,
            "ROLL BACK" => Tone::Bad,
            _ => Tone::Caution,
        };
        vec![Cell::from(row.name.clone()), Cell::toned(row.word(), tone), Cell::from(row.summary())]
    };
    let table = Table {
        header: vec!["name", "verdict", "what it says"],
        rows: in_order(rows, combined).map(cells).collect(),
        numbers: 3..3,
    };
    blocks.push(Block::Fold { summary: format!("All {}", rows.len()), blocks: vec![Block::Table(table)] });
    render_markdown_document(&blocks)
}

/// For other programs.
///
/// # Errors
/// If it cannot be serialized, which would be a fault here.
pub fn render_combined_json(rows: &[CombinedRow], combined: &Combined) -> serde_json::Result<String> {
    let one = |row: &CombinedRow| -> Value {
        let verdict = row.verdict.as_ref().ok();
        json!({
            "name": row.name,
            "folder": row.folder,
            "run_id": verdict.map(|v| &v.run_id),
            "outcome": verdict.map(|v| v.outcome),
            "cause": verdict.and_then(|v| v.cause),
            "action": verdict.map_or(Action::Hold, |v| v.action),
            "exit_code": verdict.map(|v| v.exit_code),
            "summary": row.verdict.as_ref().map_or_else(Clone::clone, |v| v.summary.clone()),
        })
    };
    super::inert::json(&json!({
        "format": 1,
        "action": combined.action,
        "exit_code": combined.exit_code,
        "summary": combined.summary,
        "verdicts": in_order(rows, combined).map(one).collect::<Value>(),
    }))
}
