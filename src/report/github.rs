//! What GitHub Actions shows beside the lines of a pull request.

use std::fmt::Write as _;

use super::model::ReportModel;
use crate::metrics::{SmokeStatus, SmokeStep};
use crate::verdict::{Finding, FindingKind, Outcome, Severity};

/// As many of one kind as GitHub shows for a step.
const MOST_OF_A_KIND: usize = 10;

/// Workflow commands, one a line: each failure, hold and warning on the line of the scenario that it is about. Paths
/// below `root` are made relative to it.
#[must_use]
pub fn render_annotations(model: &ReportModel, root: Option<&str>) -> String {
    let mut out = String::new();
    // What was allowed to pass is no error.
    let passed = model.verdict.outcome == Outcome::Pass;
    let hold = if passed { "notice" } else { "error" };
    for (severity, command) in
        [(Severity::Fail, "error"), (Severity::Hold, hold), (Severity::Warn, "warning")]
    {
        let findings = model.verdict.findings.iter().filter(|f| f.severity == severity);
        for finding in findings.take(MOST_OF_A_KIND) {
            let place = place(model, finding).map(|(file, line)| {
                let below =
                    root.and_then(|root| file.strip_prefix(root)).filter(|rest| rest.starts_with('/'));
                let file = below.unwrap_or(&file);
                format!("file={},line={line},", property(file.trim_start_matches('/')))
            });
            let title = property(&format!("loadgate: {}", model.action()));
            let remedy = finding.remedy.as_ref().map(|r| format!("\n{r}")).unwrap_or_default();
            let allowed = if passed && severity == Severity::Hold { "allowed: " } else { "" };
            let message = data(&format!("{allowed}{}{remedy}", finding.reason));
            let _ = writeln!(out, "::{command} {}title={title}::{message}", place.unwrap_or_default());
        }
    }
    out
}

/// File and line of the scenario.
fn place(model: &ReportModel, finding: &Finding) -> Option<(String, usize)> {
    let endpoint = finding.endpoint.as_ref()?;
    if finding.kind == FindingKind::Check {
        let failed = |s: &&SmokeStep| s.status == SmokeStatus::Failed && s.endpoint == *endpoint;
        if let Some(step) = model.smoke_steps().iter().find(failed) {
            return split(&step.place);
        }
    }
    let row = model.endpoints.iter().find(|row| row.name == *endpoint)?;
    Some((row.file.clone(), row.plan.line))
}

/// `file:line:column`, of earlier versions `file:line`.
fn split(place: &str) -> Option<(String, usize)> {
    let (head, last) = place.rsplit_once(':')?;
    let inner = head.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
    let (file, line) = inner.or_else(|| Some((head, last.parse().ok()?)))?;
    Some((file.to_owned(), line))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
