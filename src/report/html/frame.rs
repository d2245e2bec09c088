//! What all plots have in common: axes, legend, a description in words, and the same figures as a table.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use super::scale::{Scale, tenth};

pub const WIDTH: f64 = 560.0;

/// One line of a plot that can be switched off.
pub struct Series {
    pub name: String,
    /// Colour and dashes, by number from 1.
    pub style: usize,
}

/// A figure: its title, what it says in words, the plot, and which of its series can be switched off.
pub struct Figure {
    /// Unique on the page.
    pub id: String,
    pub title: String,
    pub words: String,
    pub height: f64,
    pub series: Vec<Series>,
    pub plot: Markup,
    pub hover: Option<Hover>,
}

/// What the script needs to tell values: scales, with the unit of each.
pub struct Hover {
    pub x: (Scale, &'static str),
    pub y: (Scale, &'static str),
    /// Where each of several looks begins, on the horizontal axis.
    pub origins: Vec<f64>,
}

impl Hover {
    fn of((scale, unit): &(Scale, &'static str)) -> String {
        format!("{},{unit}", scale.described())
    }

    fn origins(&self) -> Option<String> {
        let all: Vec<String> = self.origins.iter().map(|at| tenth(*at)).collect();
        (all.len() > 1).then(|| all.join(","))
    }
}

impl Figure {
    #[must_use]
    pub fn render(&self) -> Markup {
        let view = format!("0 0 {WIDTH} {}", self.height);
        let (title, words) = (format!("{}t", self.id), format!("{}d", self.id));
        let hover = self.hover.as_ref();
        html! {
            figure {
                figcaption id=(title) { (self.title) }
                @if self.series.len() > 1 {
                    div.legend role="group" aria-labelledby=(title) {
                        @for series in &self.series {
                            label {
                                input type="checkbox" checked class={ "t" (series.style) };
                                svg.key viewBox="0 0 24 8" aria-hidden="true" {
                                    path class={ "s" (series.style) } d="M0,4h24" {}
                                }
                                (series.name)
                            }
                        }
                    }
                }
                div.scroll role="group" aria-labelledby=(title) {
                    svg.plot viewBox=(view) role="img" aria-labelledby=(title) aria-describedby=(words)
                        data-x=[hover.map(|h| Hover::of(&h.x))] data-y=[hover.map(|h| Hover::of(&h.y))]
                        data-looks=[hover.and_then(Hover::origins)] {
                        desc id=(words) { (self.words) }
                        (self.plot)
                    }
                }
            }
        }
    }
}

/// A polyline that the script can read values from.
#[must_use]
pub fn line(style: usize, name: &str, points: &str) -> Markup {
    html! { polyline class={ "line s" (style) } data-name=(name) points=(PreEscaped(points)) {} }
}

/// One that has a vertical scale of its own.
#[must_use]
pub fn line_on(scale: &Scale, unit: &'static str, style: usize, name: &str, points: &str) -> Markup {
    html! {
        polyline class={ "line s" (style) } data-name=(name) data-y=(Hover::of(&(*scale, unit))) points=(PreEscaped(points)) {}
    }
}

/// Ticks below, each with its label.
#[must_use]
pub fn axis_below(scale: &Scale, y: f64, top: f64, ticks: &[(f64, String)]) -> Markup {
    let grid = strokes(ticks, |at| (tenth(scale.at(at)), tenth(top), "V", tenth(y)));
    html! {
        path.grid d=(grid) {}
        g.below {
            @for (value, label) in ticks { text x=(tenth(scale.at(*value))) y=(tenth(y + 14.0)) { (label) } }
        }
    }
}

/// Ticks at the left.
#[must_use]
pub fn axis_left(scale: &Scale, x: f64, right: f64, ticks: &[(f64, String)]) -> Markup {
    let grid = strokes(ticks, |at| (tenth(x), tenth(scale.at(at)), "H", tenth(right)));
    html! {
        path.grid d=(grid) {}
        g.left {
            @for (value, label) in ticks { text x=(tenth(x - 6.0)) y=(tenth(scale.at(*value) + 4.0)) { (label) } }
        }
    }
}

/// A line at each tick, from a point along one axis, as one path.
fn strokes(ticks: &[(f64, String)], of: impl Fn(f64) -> (String, String, &'static str, String)) -> String {
    ticks.iter().fold(String::new(), |mut path, (at, _)| {
        let (x, y, along, to) = of(*at);
        let _ = write!(path, "M{x},{y}{along}{to}");
        path
    })
}
