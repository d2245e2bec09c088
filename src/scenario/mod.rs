//! From YAML text to scenarios that can be run: positions kept, mistakes named, nothing sent before all is valid.

mod check;
mod data;
mod digest;
mod fields;
mod load;
mod model;
mod node;
mod parse;
mod quick;
mod step;
mod template;

pub use data::{DataSource, Pick, Row};
pub use load::{LoadOptions, load};
pub use model::{
    Action, BodyTemplate, Capture, Identity, LoadPlan, Only, RequestTemplate, Scenario, Step, WARMUP_AUTO_NS,
    Warmup,
};
pub use quick::{QuickOptions, quick, quick_yaml};
pub use template::{Context, JsonTemplate, Template};
