#![no_main]
//! `run.json` as `report` takes it: judged anew and shown in every format.

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};
use loadgate::gate::read_record;
use loadgate::report::{
    Detail, ReportModel, Screen, render_deployment_markdown, render_explanation, render_html, render_json,
    render_junit, render_markdown, render_terminal,
};
use loadgate::verdict::{Allow, DEFAULT_IMPACT, judge};
use loadgate_fuzz::{json, put};

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| { json::mutate(data, size, max, seed) });

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(record) = read_record(&put("run.json", data)) else { return Corpus::Reject };
    let verdict = judge(&record, &[], Allow::default()).verdict;
    let models = [ReportModel::new(&record, &verdict, &[], DEFAULT_IMPACT)];
    let _ = render_terminal(&models[0], Screen::FILE, Detail::default());
    let _ = render_explanation(&models[0].verdict, &models[0].record);
    render_json(&models).expect("it can be written as JSON");
    render_junit(&models).expect("it can be written as JUnit's");
    let _ = (render_markdown(&models[0]), render_html(&models[0]), render_deployment_markdown(&models));
    Corpus::Keep
});
