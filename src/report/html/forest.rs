use maud::{Markup, html};

use super::frame::{Figure, WIDTH, axis_below};
use super::scale::{Scale, tenth};
use crate::report::inert::shortened;
use crate::report::model::ReportModel;
use crate::report::words::acceptance;
use crate::units::{Metric, with_interval};
use crate::verdict::{Acceptance, Comparison};

const LEFT: f64 = 206.0;
const RIGHT: f64 = WIDTH - 106.0;
const TOP: f64 = 8.0;
const ROW: f64 = 20.0;
const MOST_NAME: usize = 23;
/// Beyond this a change stands at the edge; its figures are in the table.
const MOST_CHANGE: f64 = 1.0;

/// What a row says, by its form as well as its colour.
pub fn sign(acceptance: Acceptance, x: f64, y: f64) -> Markup {
    match acceptance {
        Acceptance::Accepted => html! { circle.good cx=(tenth(x)) cy=(tenth(y)) r="4" {} },
        Acceptance::NotAccepted => {
            html! { rect.bad x=(tenth(x - 4.0)) y=(tenth(y - 4.0)) width="8" height="8" {} }
        }
        Acceptance::NotProven => {
            let path = format!("M{0},{1} l5,5 l-5,5 l-5,-5 z", tenth(x), tenth(y - 5.0));
            html! { path.caution d=(path) {} }
        }
    }
}

/// Each comparison as a point with its interval, beside no change, δ (not worth naming) and Δ (what must be caught).
/// Latencies and error rates have a plot each.
#[must_use]
pub fn forests(model: &ReportModel) -> Vec<Figure> {
    let of = |rates: bool| -> Vec<&Comparison> {
        model.verdict.comparisons.iter().filter(|c| (c.metric == Metric::ErrorRate) == rates).collect()
    };
    let titles = [
        (false, "f", "Change of response times against the"),
        (true, "g", "Change of error rates against the"),
    ];
    titles
        .into_iter()
        .filter_map(|(rates, id, title)| {
            forest(model, id, &format!("{title} {}", model.reference_word()), &of(rates))
        })
        .collect()
}

fn forest(model: &ReportModel, id: &str, title: &str, comparisons: &[&Comparison]) -> Option<Figure> {
    let metric = comparisons.first()?.metric;
    let reach = comparisons
        .iter()
        .flat_map(|c| [c.interval[0].abs(), c.interval[1].abs(), c.delta * 1.3])
        .fold(1e-3, f64::max)
        .min(MOST_CHANGE);
    let x = Scale::linear(-reach, reach, LEFT, RIGHT);
    let bottom = TOP + ROW * comparisons.len() as f64;
    let ticks: Vec<(f64, String)> = x.ticks(5).into_iter().map(|v| (v, change_tick(metric, v))).collect();
    let level = comparisons[0].level;
    let plot = html! {
        (axis_below(&x, bottom, TOP, &ticks))
        @let zero = tenth(x.at(0.0));
        line.zero x1=(zero) x2=(zero) y1=(tenth(TOP)) y2=(tenth(bottom)) {}
        @for (number, c) in comparisons.iter().enumerate() {
            (row(model, c, &x, TOP + ROW * (number as f64 + 0.5)))
        }
        text.tick x=(tenth(f64::midpoint(LEFT, RIGHT))) y=(tenth(bottom + 30.0)) text-anchor="middle" {
            "change with its " (format!("{:.0}", level * 100.0)) "% interval; shaded: δ, not worth naming; dashed: Δ, allowed"
        }
    };
    let told: Vec<String> = comparisons
        .iter()
        .map(|c| {
            let of = model.acceptance(c);
            let change = with_interval(c.metric, c.change, c.interval, c.level);
            format!("{} {} {change}: {}", c.endpoint, c.metric, acceptance(of))
        })
        .collect();
    Some(Figure {
        id: id.to_owned(),
        title: title.to_owned(),
        words: shortened(&told.join("; "), 4_000),
        height: bottom + 38.0,
        series: Vec::new(),
        plot,
        hover: None,
    })
}

/// `+10%`, `-0.5 pp`, with no more digits than it has.
pub fn change_tick(metric: Metric, value: f64) -> String {
    let unit = if metric == Metric::ErrorRate { " pp" } else { "%" };
    let points = (value * 1e4).round() / 1e2;
    if points == 0.0 { format!("0{unit}") } else { format!("{points:+}{unit}") }
}

fn row(model: &ReportModel, c: &Comparison, x: &Scale, y: f64) -> Markup {
    let of = model.acceptance(c);
    let class = match of {
        Acceptance::Accepted => "good",
        Acceptance::NotAccepted => "bad",
        Acceptance::NotProven => "caution",
    };
    let (low, high) = (x.at(c.interval[0]), x.at(c.interval[1]));
    let (top, bottom) = (tenth(y - ROW / 2.0), tenth(y + ROW / 2.0));
    let delta = tenth(x.at(c.delta));
    html! {
        g {
            title { (with_interval(c.metric, c.change, c.interval, c.level)) }
            rect.delta x=(tenth(x.at(-c.ignore))) width=(tenth(x.at(c.ignore) - x.at(-c.ignore))) y=(top) height=(tenth(ROW)) {}
            line.allowed x1=(delta) x2=(delta) y1=(top) y2=(bottom) {}
            text.name x=(tenth(LEFT - 8.0)) y=(tenth(y + 4.0)) text-anchor="end" {
                (shortened(&c.endpoint, MOST_NAME)) " "
                @if c.metric != Metric::ErrorRate { tspan.strong { (c.metric) } }
            }
            line class={ "interval " (class) } x1=(tenth(low)) x2=(tenth(high)) y1=(tenth(y)) y2=(tenth(y)) {}
            @if c.change.abs() > x.to() {
                @let (at, way) = if c.change > 0.0 { (RIGHT, -7.0) } else { (LEFT, 7.0) };
                path.(class) d={ "M" (tenth(at)) "," (tenth(y)) " l" (way) ",-5 v10 z" } {}
            } @else {
                (sign(of, x.at(c.change), y))
            }
            text.name x=(tenth(RIGHT + 8.0)) y=(tenth(y + 4.0)) { (acceptance(of)) }
        }
    }
}
