use std::fmt::Write as _;

use super::table::grid;
use crate::baseline::Stored;
use crate::units::{Metric, format_ms};

/// What is stored for a feature: level and run-to-run noise of each endpoint, and where each run came from.
#[must_use]
pub fn render_baselines(feature: &str, stored: &[Stored]) -> String {
    let mut out = format!("{feature}\n");
    let mut rows = Vec::new();
    let names: std::collections::BTreeSet<&String> =
        stored.iter().flat_map(|s| s.document.endpoints.keys()).collect();
    for name in names {
        let runs: Vec<_> = stored.iter().filter_map(|s| s.document.endpoints.get(name)).collect();
        let cell = |metric: Metric| {
            let ys: Vec<f64> =
                runs.iter().filter_map(|run| run.ln_quantiles.get(&metric.to_string()).copied()).collect();
            let count = ys.len() as f64;
            let mean = ys.iter().sum::<f64>() / count;
            let spread = (ys.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
            let noise = if ys.len() > 1 { format!(" ±{:.1}%", spread * 100.0) } else { String::new() };
            if ys.is_empty() { "–".to_owned() } else { format!("{}{noise}", format_ms(mean.exp())) }
        };
        let (errors, requests) = runs.iter().fold((0, 0), |(e, r), run| (e + run.errors, r + run.requests));
        rows.push(vec![
            name.clone(),
            runs.len().to_string(),
            cell(Metric::P50),
            cell(Metric::P95),
            cell(Metric::P99),
            format!("{errors} of {requests}"),
        ]);
    }
    let _ = writeln!(out, "{}\n", grid(&["endpoint", "runs", "p50", "p95", "p99", "errors"], &rows));
    let rows: Vec<Vec<String>> = stored
        .iter()
        .map(|s| {
            let d = &s.document;
            let build = d.build.clone().unwrap_or_else(|| "–".into());
            let host = format!("{} × {}", d.host.cores, d.host.cpu_model);
            vec![
                d.recorded.chars().take(19).collect(),
                d.instance.clone(),
                build,
                d.accepted_by.clone(),
                d.reason.clone(),
                host,
            ]
        })
        .collect();
    let _ = writeln!(
        out,
        "{}",
        grid(&["recorded (UTC)", "instance", "build", "accepted by", "reason", "host"], &rows)
    );
    out
}
