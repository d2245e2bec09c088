use std::fmt::Write as _;

use super::table::grid;
use crate::units::format_ms;
use crate::verdict::Verdict;

/// For each endpoint its percentiles, response and service time side by side, and where the time went.
#[must_use]
pub fn render_latencies(verdict: &Verdict) -> String {
    let mut out = String::new();
    for endpoint in verdict.endpoints.iter().filter(|endpoint| endpoint.requests > 0) {
        let ms = |value: Option<f64>| value.map_or("–".to_owned(), format_ms);
        let row = |name: &str, response, service| vec![name.to_owned(), ms(response), ms(service)];
        let rows = [
            row("p50", endpoint.p50_ms, endpoint.service_p50_ms),
            row("p95", endpoint.p95_ms, endpoint.service_p95_ms),
            row("p99", endpoint.p99_ms, endpoint.service_p99_ms),
            row("p99.9", endpoint.p999_ms, endpoint.service_p999_ms),
            row("max", endpoint.max_ms, endpoint.service_max_ms),
            row("mean", endpoint.mean_ms, endpoint.service_mean_ms),
        ];
        let offered = if endpoint.rate_offered > 0.0 {
            format!(" of {:.1}/s offered", endpoint.rate_offered)
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "{} requests, {:.1}/s{offered}, {} errors\n",
            endpoint.requests, endpoint.rate_achieved, endpoint.errors
        );
        let _ = writeln!(out, "{}\n", grid(&["latency", "response", "service"], &rows));
        let phases: Vec<Vec<String>> = endpoint
            .phases
            .iter()
            .map(|phase| {
                let name = phase.phase.replace('_', " ");
                vec![name, phase.count.to_string(), ms(phase.p50_ms), ms(phase.p95_ms), ms(phase.p99_ms)]
            })
            .collect();
        if !phases.is_empty() {
            let _ = writeln!(out, "{}\n", grid(&["phase", "requests", "p50", "p95", "p99"], &phases));
        }
        let _ = writeln!(
            out,
            "response: from when the request should have gone out; service: from when it did\n"
        );
    }
    out
}
