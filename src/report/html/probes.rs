use maud::{Markup, html};

use super::frame::{Figure, Hover, Series, WIDTH, axis_below, axis_left, line};
use super::scale::{Scale, points, tenth};
use crate::metrics::{LookRecord, ProbePlan};
use crate::report::model::ReportModel;
use crate::units::counted;
use crate::verdict::told_figure;

const LEFT: f64 = 62.0;
const RIGHT: f64 = WIDTH - 18.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 110.0;
const HEIGHT: f64 = 134.0;
/// Between two looks, as a share of the whole.
const GAP: f64 = 0.02;

/// What one probe read over time, looks one after the other, with its limit.
#[must_use]
pub fn probe_figure(model: &ReportModel, number: usize, plan: &ProbePlan) -> Option<Figure> {
    let control = model.record.control.as_ref().map_or(&[][..], |control| &control.runs);
    let own = series(&model.record.runs, number);
    let other = series(control, number);
    let all = || own.iter().chain(&other).flatten();
    all().next()?;
    let whole_s: f64 = model.record.runs.iter().map(|look| look.window_ms as f64 / 1e3).sum();
    let gaps = model.record.runs.len().saturating_sub(1) as f64;
    let x = Scale::linear(0.0, whole_s * (1.0 + GAP * gaps), LEFT, RIGHT);
    let highest =
        all().map(|(_, value)| *value).chain(plan.limit.map(|limit| limit.value)).fold(0.0, f64::max);
    let y = Scale::linear(0.0, highest * 1.1, BOTTOM, TOP);
    let curve = |part: &[(f64, f64)]| points(part.iter().map(|(s, value)| (x.at(*s), y.at(*value))));
    let told = |value: f64| match plan.limit {
        // A tick is round.
        Some(limit) if limit.percent => format!("{}%", (value * 1e4).round() / 1e2),
        limit => told_figure(limit, value),
    };
    let levels: Vec<(f64, String)> = y.ticks(3).into_iter().map(|v| (v, told(v))).collect();
    let seconds: Vec<(f64, String)> = if model.record.runs.len() == 1 {
        x.ticks(8).into_iter().map(|s| (s, format!("{s} s"))).collect()
    } else {
        Vec::new()
    };
    let own_name = if model.beside { "candidate" } else { plan.name.as_str() };
    let plot = html! {
        (axis_left(&y, LEFT, RIGHT, &levels))
        (axis_below(&x, BOTTOM, TOP, &seconds))
        @if let Some(limit) = plan.limit { (level(y.at(limit.value))) }
        @for part in &other { (line(5, "control", &curve(part))) }
        @for part in &own { (line(1, own_name, &curve(part))) }
    };
    let mut names = vec![Series { name: own_name.to_owned(), style: 1 }];
    if !other.is_empty() {
        names.push(Series { name: "control".into(), style: 5 });
    }
    let limit = plan.limit.map_or_else(String::new, |limit| format!(", limit {limit}"));
    Some(Figure {
        id: format!("q{number}"),
        title: format!("{}{limit}", plan.name),
        words: format!("{} over time: {}{limit}.", plan.name, counted(all().count(), "reading")),
        height: HEIGHT,
        series: names,
        plot,
        hover: Some(Hover { x: (x, "s"), y: (y, ""), origins: Vec::new() }),
    })
}

fn level(at: f64) -> Markup {
    html! { line.limit x1=(tenth(LEFT)) x2=(tenth(RIGHT)) y1=(tenth(at)) y2=(tenth(at)) {} }
}

/// Readings within the measured windows: a line for each look, in seconds on the axis.
fn series(runs: &[LookRecord], number: usize) -> Vec<Vec<(f64, f64)>> {
    let whole_s: f64 = runs.iter().map(|look| look.window_ms as f64 / 1e3).sum();
    let mut origin_s = 0.0;
    let mut all = Vec::new();
    for look in runs {
        let at = |(at_ms, value): (i64, f64)| (origin_s + at_ms as f64 / 1e3, value);
        let part: Vec<(f64, f64)> = look.figures(number).into_iter().map(at).collect();
        all.push(part);
        origin_s += look.window_ms as f64 / 1e3 + whole_s * GAP;
    }
    all.retain(|part| !part.is_empty());
    all
}
