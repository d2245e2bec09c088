use maud::html;

use super::forest::{change_tick, sign};
use super::frame::{Figure, WIDTH, axis_below};
use super::scale::{Scale, latency_tick, tenth};
use crate::metrics::Histogram;
use crate::report::inert::shortened;
use crate::report::model::{EndpointRow, ReportModel};
use crate::units::{Metric, counted, format_ms};
use crate::verdict::Acceptance;

const ROW: f64 = 24.0;
const TOP: f64 = 6.0;
const RIGHT: f64 = WIDTH - 20.0;

fn ticks(x: &Scale) -> Vec<(f64, String)> {
    x.ticks(5).into_iter().map(|v| (v, latency_tick(v))).collect()
}

/// Response time (from when a request should have gone out) beside service time (from when it did).
#[must_use]
pub fn response_and_service(id: &str, row: &EndpointRow) -> Option<Figure> {
    const LEFT: f64 = 62.0;
    let s = &row.summary;
    let rows: Vec<(&str, f64, f64)> = [
        ("p50", s.p50_ms, s.service_p50_ms),
        ("p95", s.p95_ms, s.service_p95_ms),
        ("p99", s.p99_ms, s.service_p99_ms),
        ("p99.9", s.p999_ms, s.service_p999_ms),
        ("max", s.max_ms, s.service_max_ms),
    ]
    .into_iter()
    .filter_map(|(name, response, service)| Some((name, response?, service?)))
    .collect();
    if rows.is_empty() {
        return None;
    }
    let x = Scale::of_latencies(rows.iter().flat_map(|(_, a, b)| [*a, *b]), LEFT, RIGHT);
    let bottom = TOP + ROW * rows.len() as f64;
    let plot = html! {
        (axis_below(&x, bottom, TOP, &ticks(&x)))
        @for (number, (name, response, service)) in rows.iter().enumerate() {
            @let y = TOP + ROW * (number as f64 + 0.5);
            text.name x=(tenth(LEFT - 8.0)) y=(tenth(y + 4.0)) text-anchor="end" { (name) }
            line.interval.plain x1=(tenth(x.at(*service))) x2=(tenth(x.at(*response))) y1=(tenth(y)) y2=(tenth(y)) {}
            circle.s5.hollow cx=(tenth(x.at(*service))) cy=(tenth(y)) r="6" {
                title { "service " (format_ms(*service)) ", response " (format_ms(*response)) }
            }
            circle.s1.full cx=(tenth(x.at(*response))) cy=(tenth(y)) r="3.5" {}
        }
    };
    let told: Vec<String> = rows
        .iter()
        .map(|(name, response, service)| {
            format!("{name}: response {}, service {}", format_ms(*response), format_ms(*service))
        })
        .collect();
    Some(Figure {
        id: id.to_owned(),
        title: "Response time (dot) against service time (ring)".to_owned(),
        words: format!("{}: {}", row.name, told.join("; ")),
        height: bottom + 22.0,
        series: Vec::new(),
        plot,
        hover: None,
    })
}

/// Where the time went: each phase's median as a bar, p95 and p99 as marks.
#[must_use]
pub fn phases(id: &str, row: &EndpointRow) -> Option<Figure> {
    const LEFT: f64 = 82.0;
    let phases: Vec<_> = row
        .summary
        .phases
        .iter()
        .filter_map(|p| Some((p.phase.replace('_', " "), p.count, p.p50_ms?, p.p95_ms?, p.p99_ms?)))
        .collect();
    if phases.is_empty() {
        return None;
    }
    let high = phases.iter().map(|(.., p99)| *p99).fold(1e-3, f64::max);
    let x = Scale::linear(0.0, high * 1.05, LEFT, RIGHT);
    let bottom = TOP + ROW * phases.len() as f64;
    let plot = html! {
        (axis_below(&x, bottom, TOP, &ticks(&x)))
        @for (number, (name, count, p50, p95, p99)) in phases.iter().enumerate() {
            @let y = TOP + ROW * (number as f64 + 0.5);
            g {
                title { (name) ": p50 " (format_ms(*p50)) ", p95 " (format_ms(*p95)) ", p99 " (format_ms(*p99)) ", " (counted(*count as usize, "request")) }
                text.name x=(tenth(LEFT - 8.0)) y=(tenth(y + 4.0)) text-anchor="end" { (name) }
                rect.bar x=(tenth(LEFT)) y=(tenth(y - 7.0)) width=(tenth((x.at(*p50) - LEFT).max(1.0))) height="14" {}
                line.interval.plain x1=(tenth(x.at(*p50))) x2=(tenth(x.at(*p99))) y1=(tenth(y)) y2=(tenth(y)) {}
                @for value in [p95, p99] {
                    line.interval.plain x1=(tenth(x.at(*value))) x2=(tenth(x.at(*value))) y1=(tenth(y - 5.0)) y2=(tenth(y + 5.0)) {}
                }
            }
        }
    };
    let told: Vec<String> = phases
        .iter()
        .map(|(name, _, p50, p95, p99)| {
            format!("{name}: p50 {}, p95 {}, p99 {}", format_ms(*p50), format_ms(*p95), format_ms(*p99))
        })
        .collect();
    Some(Figure {
        id: id.to_owned(),
        title: "Where the time went (bar: p50; marks: p95, p99)".to_owned(),
        words: format!("{}: {}", row.name, told.join("; ")),
        height: bottom + 22.0,
        series: Vec::new(),
        plot,
        hover: None,
    })
}

/// Each baseline instance's p95, and this run's, relative to the baseline's mean: what two instances of one build differ by.
#[must_use]
pub fn noise(model: &ReportModel) -> Option<Figure> {
    const LEFT: f64 = 206.0;
    const MOST_NAME: usize = 26;
    if model.record.runs.is_empty() {
        return None;
    }
    let rows: Vec<(&str, Vec<f64>, Option<f64>)> = model
        .endpoints
        .iter()
        .filter_map(|row| {
            let reference = model.reference(row)?;
            let p95 = |histogram: &Histogram| histogram.quantile_ms(0.95);
            let mut instances: Vec<(String, Histogram)> = Vec::new();
            for run in &reference.runs {
                let key = run.instance_key();
                match instances.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, all)) => all.merge(&run.response),
                    None => instances.push((key, run.response.clone())),
                }
            }
            let values: Vec<f64> = instances.iter().filter_map(|(_, all)| p95(all)).collect();
            if values.is_empty() {
                return None;
            }
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let relative = |v: f64| v / mean - 1.0;
            Some((
                row.name.as_str(),
                values.into_iter().map(relative).collect(),
                p95(&row.measured.response).map(relative),
            ))
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let all = rows.iter().flat_map(|(_, values, own)| values.iter().chain(own));
    let reach = all.map(|v| v.abs()).fold(0.02, f64::max).min(1.0) * 1.05;
    let x = Scale::linear(-reach, reach, LEFT, RIGHT);
    let bottom = TOP + ROW * rows.len() as f64;
    let ticks: Vec<(f64, String)> =
        x.ticks(5).into_iter().map(|v| (v, change_tick(Metric::P95, v))).collect();
    let plot = html! {
        (axis_below(&x, bottom, TOP, &ticks))
        @for (number, (name, values, own)) in rows.iter().enumerate() {
            @let y = TOP + ROW * (number as f64 + 0.5);
            text.name x=(tenth(LEFT - 8.0)) y=(tenth(y + 4.0)) text-anchor="end" { (shortened(name, MOST_NAME)) }
            @for value in values {
                circle.s5.hollow cx=(tenth(x.at(*value))) cy=(tenth(y)) r="4" { title { (format!("{:+.1}%", value * 100.0)) } }
            }
            @if let Some(own) = own { (sign(Acceptance::NotProven, x.at(*own), y)) }
        }
    };
    let told: Vec<String> = rows
        .iter()
        .map(|(name, values, own)| {
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            let own = own.map_or("–".to_owned(), |own| format!("{:+.1}%", own * 100.0));
            let before = model.reference_word();
            format!("{name}: {before} {:+.1}% to {:+.1}%, this run {own}", low * 100.0, high * 100.0)
        })
        .collect();
    Some(Figure {
        id: "n".to_owned(),
        title: format!(
            "p95 from run to run: {} (rings), this run (diamond), around their mean",
            model.reference_word()
        ),
        words: told.join("; "),
        height: bottom + 22.0,
        series: Vec::new(),
        plot,
        hover: None,
    })
}
