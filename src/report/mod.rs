//! Rendering only: what was decided becomes text. Nothing here judges. Of a run, [`ReportModel`] holds all that any
//! format shows, inert; `document` and `content` are what Markdown and HTML share.

mod baselines;
mod beside;
mod combined;
mod content;
mod deployment;
mod document;
mod explain;
mod github;
mod html;
mod inert;
mod json;
mod junit;
mod latencies;
mod live;
mod load_performance;
mod markdown;
mod model;
mod origin;
mod paint;
mod plan;
mod progress;
mod rollout;
mod smoke;
mod starter;
mod table;
mod terminal;
mod watch;
mod watched;
mod words;

pub use baselines::{Shown, render_baselines, render_refresh};
pub use combined::{CombinedRow, render_combined, render_combined_json, render_combined_markdown};
pub use deployment::{
    render_deployment_html, render_deployment_markdown, render_rollout_html, render_rollout_markdown,
};
pub use explain::render_explanation;
pub use github::render_annotations;
pub use html::{render_html, render_html_beside};
pub use inert::{inert, json};
pub use json::render_json;
pub use junit::{render_combined_junit, render_junit};
pub use latencies::render_latencies;
pub use live::{Live, told_event};
pub use load_performance::render_load_performance;
pub use markdown::{render_markdown, render_markdown_beside};
pub use model::ReportModel;
pub use paint::Paint;
pub use plan::{render_plan, render_watching};
pub use rollout::{
    RolloutView, render_rollout, render_rollout_ending, render_rollout_json, render_rollout_plan,
    rollout_line, rollout_summary,
};
pub use smoke::render_smoke;
pub use starter::{Met, starter_job, starter_scenario};
pub use table::grid;
pub use terminal::{Detail, Screen, render_closing, render_side_by_side, render_terminal};
pub use watch::render_watch;
