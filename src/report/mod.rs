//! Rendering only: what was decided becomes text. Nothing here judges.

mod baselines;
mod explain;
mod latencies;
mod live;
mod paint;
mod plan;
mod smoke;
mod starter;
mod table;
mod watch;

pub use baselines::{Shown, render_baselines, render_refresh};
pub use explain::render_explanation;
pub use latencies::render_latencies;
pub use live::Live;
pub use paint::Paint;
pub use plan::render_plan;
pub use smoke::render_smoke;
pub use starter::{Met, starter_job, starter_scenario};
pub use table::{grid, render_verdict};
pub use watch::render_watch;
