//! The report of a deployment that people sign, one phase a run: `document` puts it together from what each feature came
//! to (`features`), what happened on the way (`events`), and what was done and what was not (`checklist`).

mod checklist;
mod document;
mod events;
mod features;

pub use document::{
    render_deployment_html, render_deployment_markdown, render_rollout_html, render_rollout_markdown,
};
