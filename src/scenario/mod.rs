//! From YAML text to scenarios that can be run: positions kept, mistakes named, nothing sent before all is valid.

mod check;
mod data;
mod digest;
mod fields;
mod load;
mod model;
mod node;
mod parse;
mod profile;
mod program;
mod quick;
mod stage;
mod step;
mod template;

pub use data::{DataSource, Pick, Row};
pub use load::{LoadOptions, load, matches};
pub use model::{
    AbortRule, Action, BodyTemplate, Capture, Identity, LoadPlan, Only, Process, RequestTemplate, Scenario,
    Step, WARMUP_AUTO_NS, Warmup,
};
pub use program::{Act, Branch, Node};
pub use quick::{QuickLoad, QuickOptions, quick, quick_yaml};
pub use stage::{Level, Stage};
pub use template::{Context, JsonTemplate, Template};
