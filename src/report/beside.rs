//! Several runs side by side.

use super::model::ReportModel;
use crate::units::{Metric, change_of, counted, format_ms, format_share};
use crate::verdict::EndpointSummary;

/// What must stand below such tables.
pub const CAUTION: &str = "Changes are against the first run, as observed: two runs of one build differ too. \
                           `loadgate compare RUN… --against RUN…` says which of them mean something.";

/// One endpoint in all runs.
pub struct BesideRow {
    pub name: String,
    /// One cell a run: the value, and from the second on the change.
    pub cells: Vec<String>,
}

/// One quantity of an endpoint.
struct Quantity {
    title: &'static str,
    value: fn(&EndpointSummary) -> Option<f64>,
    told: fn(f64) -> String,
    /// Whether its change is told too: what is zero at first changes by no share.
    relative: bool,
}

const QUANTITIES: [Quantity; 5] = [
    Quantity { title: "p50", value: |e| e.p50_ms, told: format_ms, relative: true },
    Quantity { title: "p95", value: |e| e.p95_ms, told: format_ms, relative: true },
    Quantity { title: "p99", value: |e| e.p99_ms, told: format_ms, relative: true },
    Quantity { title: "error rate", value: |e| e.error_rate, told: format_share, relative: false },
    Quantity {
        title: "requests",
        value: |e| Some(e.requests as f64),
        told: |count| format!("{count:.0}"),
        relative: false,
    },
];

/// `3 runs side by side: 1 GO, 2 HOLD`
#[must_use]
pub fn actions(models: &[ReportModel]) -> String {
    let count = |action: &str| models.iter().filter(|model| model.action() == action).count();
    let told: Vec<String> = ["ROLL BACK", "HOLD", "PARTIAL", "GO"]
        .into_iter()
        .filter_map(|action| Some(format!("{} {action}", Some(count(action)).filter(|n| *n > 0)?)))
        .collect();
    format!("{} side by side: {}", counted(models.len(), "run"), told.join(", "))
}

/// For each quantity the endpoints of all runs, in the order in which they first appear.
#[must_use]
pub fn side_by_side(models: &[ReportModel]) -> Vec<(&'static str, Vec<BesideRow>)> {
    let mut names: Vec<&String> = Vec::new();
    for row in models.iter().flat_map(|model| &model.endpoints) {
        if !names.contains(&&row.name) {
            names.push(&row.name);
        }
    }
    let row = |quantity: &Quantity, name: &String| {
        let of = |model: &ReportModel| {
            model
                .endpoints
                .iter()
                .find(|row| row.name == *name)
                .and_then(|row| (quantity.value)(&row.summary))
        };
        let first = models.first().and_then(of).filter(|first| quantity.relative && *first > 0.0);
        let cells = models.iter().enumerate().map(|(i, model)| {
            let Some(own) = of(model) else { return "–".to_owned() };
            let text = (quantity.told)(own);
            match first.filter(|_| i > 0) {
                Some(first) => format!("{text} {}", change_of(Metric::P50, own / first - 1.0)),
                None => text,
            }
        });
        BesideRow { name: name.clone(), cells: cells.collect() }
    };
    let rows = |quantity: &Quantity| names.iter().map(|name| row(quantity, name)).collect();
    QUANTITIES.iter().map(|quantity| (quantity.title, rows(quantity))).collect()
}
