//! From YAML text to scenarios that can be run: positions kept, mistakes named, nothing sent before all is valid.

mod action;
mod alert;
mod auth;
mod capture;
mod check;
mod data;
mod digest;
mod fields;
mod generate;
mod load;
mod load_plan;
mod model;
mod node;
mod parse;
mod predicate;
mod probe;
mod profile;
mod program;
mod quick;
mod request;
mod rules;
mod schema;
mod scope;
mod sources;
mod stage;
mod step;
mod template;
mod watching;
mod written;

/// What other files that people write are read with.
pub mod yaml {
    pub use super::fields::{Fields, Reader};
    pub use super::node::{Key, Node, NodeValue};
    pub use super::parse::required;
    pub use super::scope::Scope;
    pub use super::sources::{header_name, read_vars};
    pub use super::template::Meaning;
    pub use super::watching::{PLAN_KEYS, read_watching};
}

pub use data::{DataSource, Pick, Row};
pub use generate::{Chance, Generator};
pub use load::{LoadOptions, Loaded, PROJECT_FILE, enough_unique_rows, load, matches, watching_file};
pub use load_plan::{AbortRule, LoadPlan, Process, WARMUP_AUTO_NS, Warmup};
pub use model::{
    Action, Capture, CheckSample, Condition, Identity, Message, Only, Part, Place, PlacedCheck, Scenario,
    SessionScope, Step,
};
pub use node::value_of_yaml;
pub use probe::{CallSource, Probe, ProbeCall};
pub use program::{Act, Branch, Node};
pub use quick::{QuickLoad, QuickOptions, kept_yaml, quick};
pub use request::{Auth, BodyTemplate, PartContent, PartTemplate, RequestTemplate, TokenRequest};
pub use schema::SCHEMA;
pub use stage::{Level, Stage};
pub use template::{Context, JsonTemplate, Template};
pub use watching::{Occasion, Watching, Webhook, WebhookKind};
pub use written::{
    basic_auth, bearer_auth, in_comment, in_quotes, in_yaml, literal, mapping, without_credentials,
};
