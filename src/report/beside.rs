//! Several runs side by side.

use super::model::ReportModel;
use crate::units::{format_ms, format_share};
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

type Value = fn(&EndpointSummary) -> Option<f64>;

/// For each quantity the endpoints of all runs, in the order in which they first appear.
#[must_use]
pub fn side_by_side(models: &[ReportModel]) -> Vec<(String, Vec<BesideRow>)> {
    let mut names: Vec<&String> = Vec::new();
    for row in models.iter().flat_map(|model| &model.endpoints) {
        if !names.contains(&&row.name) {
            names.push(&row.name);
        }
    }
    let quantities: [(&str, Value, bool); 5] = [
        ("p50", |e| e.p50_ms, true),
        ("p95", |e| e.p95_ms, true),
        ("p99", |e| e.p99_ms, true),
        ("error rate", |e| e.error_rate, false),
        ("requests", |e| Some(e.requests as f64), false),
    ];
    quantities
        .into_iter()
        .map(|(title, value, latency)| {
            let rows = names.iter().map(|name| {
                let of = |model: &ReportModel| {
                    model.endpoints.iter().find(|row| row.name == **name).and_then(|row| value(&row.summary))
                };
                let first = models.first().and_then(of);
                let cells = models.iter().enumerate().map(|(i, model)| {
                    let Some(own) = of(model) else { return "–".to_owned() };
                    let text = match title {
                        "requests" => format!("{own:.0}"),
                        "error rate" => format_share(own),
                        _ => format_ms(own),
                    };
                    match first.filter(|first| i > 0 && latency && *first > 0.0) {
                        Some(first) => format!("{text} {:+.1}%", (own / first - 1.0) * 100.0),
                        None => text,
                    }
                });
                BesideRow { name: (*name).clone(), cells: cells.collect() }
            });
            (title.to_owned(), rows.collect())
        })
        .collect()
}
