//! One page, complete in itself: no network, no fonts, plots as SVG; its script only adds hovering and printing.

mod bars;
mod blocks;
mod forest;
mod frame;
mod page;
mod probes;
mod scale;
mod spectrum;
mod timeline;

pub use page::{render_html, render_html_beside, render_html_document};
