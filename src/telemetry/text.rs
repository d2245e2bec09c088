//! Prometheus' text format, and the names that go with it.

use std::fmt::Write as _;

use super::exporter::Snapshot;
use super::series::{EndpointLabels, Exponential, phase};

/// Of classic buckets: quarters of a doubling, from 122 µs to 128 s, each 19% above the one before.
pub const BOUNDS: std::ops::RangeInclusive<i32> = -52..=28;

pub enum Figure<'a> {
    Number(f64),
    Histogram(&'a Exponential),
}

type Labels = Vec<(&'static str, String)>;

fn labels(snapshot: &Snapshot, own: &EndpointLabels, warmup: bool) -> Labels {
    let mut all = common(snapshot);
    all.extend([
        ("feature", own.feature.clone()),
        ("step", own.step.clone()),
        ("phase", phase(warmup).to_owned()),
        ("http_request_method", own.method.clone()),
        ("url_template", own.url_template.clone()),
        ("server_address", own.server.clone()),
    ]);
    all.extend(own.arm.map(|arm| ("arm", arm.to_owned())));
    all
}

fn common(snapshot: &Snapshot) -> Labels {
    let mut all = vec![("run_id", snapshot.run_id.clone()), ("env", snapshot.env.clone())];
    all.extend(snapshot.service.iter().map(|service| ("service", service.clone())));
    all
}

/// Everything that is told, by name.
pub fn figures(snapshot: &Snapshot) -> Vec<(&'static str, Labels, Figure<'_>)> {
    let mut all = Vec::new();
    let series = || snapshot.all.series.iter().map(|((i, warmup), own)| (&snapshot.labels[*i], *warmup, own));
    for (own, warmup, of) in series() {
        all.push((
            "http_client_request_duration_seconds",
            labels(snapshot, own, warmup),
            Figure::Histogram(&of.service),
        ));
    }
    for (own, warmup, of) in series() {
        all.push((
            "loadgate_response_duration_seconds",
            labels(snapshot, own, warmup),
            Figure::Histogram(&of.response),
        ));
    }
    for (own, warmup, of) in series() {
        all.push((
            "loadgate_requests_total",
            labels(snapshot, own, warmup),
            Figure::Number(of.requests as f64),
        ));
    }
    for (own, warmup, of) in series() {
        for (class, count) in &of.errors {
            let mut labels = labels(snapshot, own, warmup);
            labels.push(("error_type", (*class).to_owned()));
            all.push(("loadgate_errors_total", labels, Figure::Number(*count as f64)));
        }
    }
    all.push(("loadgate_in_flight", common(snapshot), Figure::Number(snapshot.in_flight as f64)));
    all
}

fn help(name: &str) -> (&'static str, &'static str) {
    match name {
        "http_client_request_duration_seconds" => {
            ("histogram", "From sending a request to the last byte of its answer")
        }
        "loadgate_response_duration_seconds" => (
            "histogram",
            "From the instant at which a request should have gone out to the last byte of its answer",
        ),
        "loadgate_requests_total" => ("counter", "Requests that were sent"),
        "loadgate_errors_total" => ("counter", "Requests that failed"),
        _ => ("gauge", "Requests that wait for their answer"),
    }
}

/// The page that is scraped (text format 0.0.4).
pub fn page(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    let mut told = "";
    for (name, labels, figure) in figures(snapshot) {
        if told != name {
            let (kind, text) = help(name);
            let _ = writeln!(out, "# HELP {name} {text}\n# TYPE {name} {kind}");
            told = name;
        }
        let own: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let own = own.join(",");
        match figure {
            Figure::Number(value) => {
                let _ = writeln!(out, "{name}{{{own}}} {value}");
            }
            Figure::Histogram(histogram) => {
                for quarter in BOUNDS {
                    let (bound, count) =
                        (2f64.powf(f64::from(quarter) / 4.0), histogram.at_most_quarter(quarter));
                    let _ = writeln!(out, "{name}_bucket{{{own},le=\"{bound}\"}} {count}");
                }
                let (sum, count) = (histogram.sum_s, histogram.count);
                let _ = writeln!(out, "{name}_bucket{{{own},le=\"+Inf\"}} {count}");
                let _ = writeln!(out, "{name}_sum{{{own}}} {sum}\n{name}_count{{{own}}} {count}");
            }
        }
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
