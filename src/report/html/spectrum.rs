use maud::{PreEscaped, html};

use super::frame::{Figure, Hover, Series, WIDTH, axis_below, axis_left, line};
use super::scale::{Scale, latency_tick, points, tenth};
use crate::metrics::Histogram;
use crate::report::model::{EndpointRow, ReportModel};
use crate::units::{Metric, format_ms};
use crate::verdict::RuleKind;

const LEFT: f64 = 62.0;
const RIGHT: f64 = WIDTH - 18.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 196.0;
const HEIGHT: f64 = 230.0;
/// Steps of the curves.
const STEPS: usize = 45;

/// Latency by percentile on `HdrHistogram`'s axis (each nine as wide as the one before), the baseline's runs as a band.
#[must_use]
pub fn spectrum(id: &str, model: &ReportModel, row: &EndpointRow) -> Option<Figure> {
    let reference = model.reference(row);
    let own = &row.measured.response;
    if own.is_empty() {
        return None;
    }
    let nines = nines(own);
    let baseline: Vec<&Histogram> = reference
        .iter()
        .flat_map(|reference| &reference.runs)
        .map(|run| &run.response)
        .filter(|h| !h.is_empty())
        .collect();
    let common = baseline.iter().map(|h| self::nines(h)).fold(nines, f64::min);
    let at = |share: f64| move |most: f64| share * most;
    let steps = |most: f64| (0..=STEPS).map(move |i| at(i as f64 / STEPS as f64)(most));
    let curve: Vec<(f64, f64)> = steps(nines).filter_map(|x| Some((x, value(own, x)?))).collect();
    let band: Vec<(f64, f64, f64)> = steps(common)
        .filter_map(|x| {
            let values: Vec<f64> = baseline.iter().filter_map(|h| value(h, x)).collect();
            let low = values.iter().copied().reduce(f64::min)?;
            Some((x, low, values.iter().copied().reduce(f64::max)?))
        })
        .collect();
    let all = curve.iter().map(|(_, v)| *v).chain(band.iter().flat_map(|(_, low, high)| [*low, *high]));
    let y = Scale::of_latencies(all, BOTTOM, TOP);
    let x = Scale::linear(0.0, nines, LEFT, RIGHT);
    let limit = row.rules.iter().find(|r| {
        r.kind == RuleKind::Limit && r.metric != Metric::ErrorRate && r.allowed <= y.to && r.allowed >= y.from
    });
    let outline = points(
        band.iter()
            .map(|(at, _, high)| (x.at(*at), y.at(*high)))
            .chain(band.iter().rev().map(|(at, low, _)| (x.at(*at), y.at(*low)))),
    );
    let percentiles: Vec<(f64, String)> = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999]
        .into_iter()
        .map(|p| (-(1.0 - p / 100.0f64).log10(), format!("{p}%")))
        .filter(|(at, _)| *at <= nines)
        .collect();
    let levels: Vec<(f64, String)> = y.ticks(4).into_iter().map(|v| (v, latency_tick(v))).collect();
    let runs = baseline.len();
    let plot = html! {
        (axis_left(&y, LEFT, RIGHT, &levels))
        (axis_below(&x, BOTTOM, TOP, &percentiles))
        @if !band.is_empty() { polygon.band.s2 points=(PreEscaped(&outline)) {} }
        @if let Some(limit) = limit {
            @let at = tenth(y.at(limit.allowed));
            line.limit x1=(tenth(LEFT)) x2=(tenth(RIGHT)) y1=(at) y2=(at) {}
            text.note x=(tenth(RIGHT - 4.0)) y=(tenth(y.at(limit.allowed) - 4.0)) text-anchor="end" {
                (limit.metric) " limit " (format_ms(limit.allowed))
            }
        }
        (line(1, "this run", &points(curve.iter().map(|(at, v)| (x.at(*at), y.at(*v))))))
        text.tick x=(tenth(f64::midpoint(LEFT, RIGHT))) y=(tenth(HEIGHT - 4.0)) text-anchor="middle" { "percentile of requests" }
    };
    let mut series = vec![Series { name: "this run".into(), style: 1 }];
    if runs > 0 {
        series.push(Series { name: format!("{}, lowest to highest", model.reference_runs(runs)), style: 2 });
    }
    let ms = |v: Option<f64>| v.map_or("–".to_owned(), format_ms);
    let words = format!(
        "Response times of {}: p50 {}, p95 {}, p99 {}, highest {}.",
        row.name,
        ms(row.summary.p50_ms),
        ms(row.summary.p95_ms),
        ms(row.summary.p99_ms),
        ms(row.summary.max_ms)
    );
    Some(Figure {
        id: id.to_owned(),
        title: "Latency by percentile".to_owned(),
        words,
        height: HEIGHT,
        series,
        plot,
        hover: Some(Hover { x: (x, "nines"), y: (y, "ms"), origins: Vec::new() }),
    })
}

/// How far the axis goes: the percentile of the last request.
fn nines(histogram: &Histogram) -> f64 {
    (histogram.count() as f64).max(10.0).log10()
}

fn value(histogram: &Histogram, nines: f64) -> Option<f64> {
    histogram.quantile_ms(1.0 - 10f64.powf(-nines))
}
