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
    /// Scales for the script, with the unit of each: horizontal, vertical.
    pub hover: Option<[(Scale, &'static str); 2]>,
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
                div.scroll tabindex="0" role="group" aria-labelledby=(title) {
                    svg.plot viewBox=(view) role="img" aria-labelledby=(title) aria-describedby=(words)
                        data-x=[hover.map(|h| format!("{},{}", h[0].0.described(), h[0].1))]
                        data-y=[hover.map(|h| format!("{},{}", h[1].0.described(), h[1].1))] {
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
