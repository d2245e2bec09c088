use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::frame::{Figure, Hover, Series, WIDTH, axis_below, axis_left, line, line_on};
use super::scale::{Scale, latency_tick, points, tenth};
use crate::metrics::{Histogram, LookRecord, TimelineBlock};
use crate::report::model::{EndpointRow, ReportModel};
use crate::units::{counted, format_ms, format_share};

const LEFT: f64 = 62.0;
const RIGHT: f64 = WIDTH - 18.0;
const TOP: f64 = 18.0;
const LATENCY_BOTTOM: f64 = 150.0;
const RATE_TOP: f64 = 172.0;
const BOTTOM: f64 = 226.0;
const HEIGHT: f64 = 260.0;
/// Between two looks, as a share of the whole.
const GAP: f64 = 0.02;
const MOST_BINS: usize = 72;
/// No stage is shorter; what begins sooner belongs to the first.
const LEAST_STAGE_MS: u64 = 1_000;

/// What the other arm's line is called.
const CONTROL: &str = "control p95";

/// Some blocks of one endpoint together.
struct Bin {
    /// Seconds on the axis.
    at_s: f64,
    len_s: f64,
    planned: u64,
    done: u64,
    errors: u64,
    quantiles: [Option<f64>; 3],
}

/// p50, p95 and p99 of each stretch of time, and below them the rate and the errors; looks one after the other, with
/// transients and aborts marked.
#[must_use]
pub fn timeline(id: &str, model: &ReportModel, number: usize, row: &EndpointRow) -> Option<Figure> {
    let looks = &model.record.runs;
    let beside = model.record.control.as_ref().map_or(&[][..], |control| &control.runs);
    let window_s = |look: &LookRecord| look.window_ms as f64 / 1e3;
    let whole_s: f64 = looks.iter().map(window_s).sum();
    let gap_s = whole_s * GAP;
    let mut origin_s = 0.0;
    let (mut placed, mut of_control) = (Vec::new(), Vec::new());
    let most = MOST_BINS / looks.len().max(1);
    for (at, look) in looks.iter().enumerate() {
        placed.push((origin_s, bins(look, number, origin_s, most), look));
        of_control.extend(beside.get(at).map(|other| bins(other, number, origin_s, most)));
        origin_s += window_s(look) + gap_s;
    }
    let all = || placed.iter().flat_map(|(_, bins, _)| bins);
    all().next()?;
    let x = Scale::linear(0.0, (origin_s - gap_s).max(1e-3), LEFT, RIGHT);
    let y = Scale::of_latencies(
        all().chain(of_control.iter().flatten()).flat_map(|bin| bin.quantiles).flatten(),
        LATENCY_BOTTOM,
        TOP,
    );
    let rate = |bin: &Bin| bin.done as f64 / bin.len_s;
    let most_rate = all().map(|bin| (bin.planned as f64 / bin.len_s).max(rate(bin))).fold(1.0, f64::max);
    let failing = |bin: &Bin| bin.errors as f64 / bin.planned.max(1) as f64;
    let most_errors = all().map(failing).fold(1e-9, f64::max);
    let r = Scale::linear(0.0, most_rate * 1.1, BOTTOM, RATE_TOP);
    let curve = |bins: &[Bin], of: &dyn Fn(&Bin) -> Option<f64>, scale: &Scale| {
        let middle = |bin: &Bin| bin.at_s + bin.len_s / 2.0;
        points(bins.iter().filter_map(|bin| Some((x.at(middle(bin)), scale.at(of(bin)?)))))
    };
    let names = ["p50", "p95", "p99"];
    let seconds: Vec<(f64, String)> = if looks.len() == 1 {
        x.ticks(8).into_iter().map(|s| (s, format!("{s} s"))).collect()
    } else {
        placed
            .iter()
            .map(|(origin, _, look)| {
                let word = if model.beside { "segment" } else { "look" };
                (origin + window_s(look) / 2.0, format!("{word} {}", look.look))
            })
            .collect()
    };
    let levels: Vec<(f64, String)> = y.ticks(4).into_iter().map(|v| (v, latency_tick(v))).collect();
    let rates: Vec<(f64, String)> = r.ticks(2).into_iter().map(|v| (v, format!("{v}/s"))).collect();
    let plot = html! {
        (axis_left(&y, LEFT, RIGHT, &levels))
        (axis_left(&r, LEFT, RIGHT, &rates))
        (axis_below(&x, BOTTOM, TOP, &seconds))
        (marks(model, row, &x, &placed.iter().map(|(origin, _, look)| (*origin, *look)).collect::<Vec<_>>()))
        @for bins in &of_control { (line(5, CONTROL, &curve(bins, &|bin| bin.quantiles[1], &y))) }
        @for (_, bins, _) in &placed {
            @for (index, name) in names.iter().enumerate() {
                (line(index + 1, name, &curve(bins, &|bin| bin.quantiles[index], &y)))
            }
            (line_on(&r, "/s", 4, "done", &curve(bins, &|bin| Some(rate(bin)), &r)))
            @let bars = bars(bins, &x, &|bin| failing(bin) / most_errors);
            @if let Some(wide) = bins.first().filter(|_| !bars.is_empty()) {
                path.errors d=(bars) data-counts=(counts(bins)) stroke-width=(tenth((x.at(wide.len_s) - x.at(0.0)).max(1.0))) {}
            }
        }
        text.tick x=(tenth(LEFT)) y=(tenth(RATE_TOP - 8.0)) {
            "requests/s done"
            @if row.summary.errors > 0 { "; errors as bars, the highest " (format_share(most_errors)) }
        }
        @if looks.len() == 1 {
            text.tick x=(tenth(f64::midpoint(LEFT, RIGHT))) y=(tenth(HEIGHT - 4.0)) text-anchor="middle" { "time in the measured window" }
        }
    };
    let mut series: Vec<Series> =
        names.iter().enumerate().map(|(i, name)| Series { name: (*name).to_owned(), style: i + 1 }).collect();
    series.push(Series { name: "requests/s done".into(), style: 4 });
    if !of_control.is_empty() {
        series.push(Series { name: CONTROL.into(), style: 5 });
    }
    let origins = placed.iter().map(|(origin, ..)| *origin).collect();
    let disturbed = model.transients.iter().filter(|t| t.endpoints.iter().any(|d| d.endpoint == row.name));
    let words = format!(
        "{} over time: {} at {:.1}/s, {}, {}.",
        row.name,
        counted(row.summary.requests as usize, "request"),
        row.summary.rate_achieved,
        counted(row.summary.errors as usize, "error"),
        counted(disturbed.count(), "transient")
    );
    Some(Figure {
        id: id.to_owned(),
        title: "Over time".to_owned(),
        words,
        height: HEIGHT,
        series,
        plot,
        hover: Some(Hover { x: (x, "s"), y: (y, "ms"), origins }),
    })
}

/// Errors as one path of bars, which is a fraction of what a rectangle for each would take.
fn bars(bins: &[Bin], x: &Scale, share: &dyn Fn(&Bin) -> f64) -> String {
    let bar = |bin: &Bin| {
        let height = tenth((share(bin) * (BOTTOM - RATE_TOP) * 0.6).max(2.0));
        format!("M{},{}v-{height}", tenth(x.at(bin.at_s + bin.len_s / 2.0)), tenth(BOTTOM))
    };
    bins.iter().filter(|bin| bin.errors > 0).map(bar).collect()
}

/// How many errors each of the [`bars`] stands for.
fn counts(bins: &[Bin]) -> String {
    let all: Vec<String> = bins.iter().filter(|b| b.errors > 0).map(|b| b.errors.to_string()).collect();
    all.join(",")
}

fn bins(look: &LookRecord, endpoint: usize, origin_s: f64, most: usize) -> Vec<Bin> {
    let mut blocks: Vec<&TimelineBlock> = look.blocks.iter().filter(|b| b.endpoint == endpoint).collect();
    blocks.sort_by_key(|block| block.start_ms);
    let each = blocks.len().div_ceil(most.max(1)).max(1);
    blocks
        .chunks(each)
        .map(|chunk| {
            let mut histogram = Histogram::default();
            for block in chunk {
                histogram.merge(&block.histogram);
            }
            let (start, end) = (chunk[0].start_ms, chunk[chunk.len() - 1]);
            Bin {
                at_s: origin_s + start as f64 / 1e3,
                len_s: ((end.start_ms + end.len_ms - start) as f64 / 1e3).max(1e-3),
                planned: chunk.iter().map(|b| b.planned).sum(),
                done: chunk.iter().map(|b| b.done).sum(),
                errors: chunk.iter().map(|b| b.errors).sum(),
                quantiles: [0.5, 0.95, 0.99].map(|q| histogram.quantile_ms(q)),
            }
        })
        .collect()
}

/// Where each look and each stage begins, what was unlike the rest, and where a rule ended the load.
fn marks(model: &ReportModel, row: &EndpointRow, x: &Scale, looks: &[(f64, &LookRecord)]) -> Markup {
    html! {
        @for (number, (origin, look)) in looks.iter().enumerate() {
            @let at = x.at(*origin);
            (upright("begin", at))
            @if looks.len() == 1 {
                text.note x=(tenth(at + 4.0)) y=(tenth(TOP - 6.0)) { (warmup(look)) }
            }
            @for stage in stages(model, row, look) { (upright("stage", x.at(origin + stage))) }
            @for transient in model.transients.iter().filter(|t| t.look == look.look) {
                @if transient.endpoints.iter().any(|d| d.endpoint == row.name) {
                    @let from = x.at(origin + transient.start_ms as f64 / 1e3);
                    @let to = x.at(origin + transient.end_ms as f64 / 1e3);
                    rect.transient x=(tenth(from)) width=(tenth((to - from).max(2.0))) y=(tenth(TOP)) height=(tenth(BOTTOM - TOP)) {
                        title { "transient of " (format_ms((transient.end_ms - transient.start_ms) as f64)) }
                    }
                    (note("transient", from, to, TOP + 10.0))
                }
            }
            @if let Some(abort) = &look.abort {
                @let at = x.at(origin + (abort.at_ms.saturating_sub(look.warmup.length_ms)) as f64 / 1e3);
                (upright("abort", at))
                (note("aborted", at, at, TOP + 22.0))
            }
            @if let Some(stop) = &look.early_stop {
                // Its time counts over all segments.
                @let before_ms: u64 = looks[..number].iter().map(|(_, own)| own.window_ms).sum();
                @let at = x.at(origin + stop.at_ms.saturating_sub(before_ms) as f64 / 1e3);
                (upright("abort", at))
                (note("stopped", at, at, TOP + 22.0))
            }
        }
    }
}

fn upright(class: &str, at: f64) -> Markup {
    html! { line class=(class) x1=(tenth(at)) x2=(tenth(at)) y1=(tenth(TOP)) y2=(tenth(BOTTOM)) {} }
}

/// A word before what it names, or after it where there is no room.
fn note(word: &str, from: f64, to: f64, y: f64) -> Markup {
    const ROOM: f64 = 60.0;
    let (at, anchor) = if from - LEFT > ROOM { (from - 3.0, "end") } else { (to + 3.0, "start") };
    html! { text.note x=(tenth(at)) y=(tenth(y)) text-anchor=(anchor) { (word) } }
}

fn warmup(look: &LookRecord) -> String {
    match look.warmup.length_ms {
        0 => "no warm-up".to_owned(),
        ms => format!("warm-up {} left out", format_ms(ms as f64)),
    }
}

/// `search/find@stage2`, `search/find@ramp1`
fn is_later_stage(name: &str) -> bool {
    name.rsplit_once('@').is_some_and(|(_, part)| part.starts_with("stage") || part.starts_with("ramp"))
}

/// Where the stages of the endpoint's feature begin after the first, in seconds: each has endpoints of its own.
fn stages(model: &ReportModel, row: &EndpointRow, look: &LookRecord) -> Vec<f64> {
    let mut begin: BTreeMap<usize, u64> = BTreeMap::new();
    for block in &look.blocks {
        let first = begin.entry(block.endpoint).or_insert(block.start_ms);
        *first = block.start_ms.min(*first);
    }
    let of = |number: &usize| {
        model
            .endpoints
            .get(*number)
            .is_some_and(|other| other.summary.feature == row.summary.feature && is_later_stage(&other.name))
    };
    let starts: BTreeSet<u64> = begin.iter().filter(|(number, _)| of(number)).map(|(_, ms)| *ms).collect();
    starts.into_iter().filter(|ms| *ms >= LEAST_STAGE_MS).map(|ms| ms as f64 / 1e3).collect()
}
