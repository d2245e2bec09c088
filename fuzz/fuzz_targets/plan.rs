#![no_main]
//! The plan of a rollout.

use std::path::Path;

use libfuzzer_sys::{Corpus, fuzz_target};
use loadgate::report::{Screen, render_rollout_plan};
use loadgate::rollout::read_plan;
use loadgate_fuzz::{put, told};

fuzz_target!(|data: &[u8]| -> Corpus {
    if std::str::from_utf8(data).is_err() {
        return Corpus::Reject;
    }
    match read_plan(&put("rollout.yaml", data), &[], false) {
        Ok(plan) => {
            let _ = plan.state(None);
            (0..plan.phases.len()).for_each(|phase| assert!(plan.percent_before(phase) <= 100));
            let _ = render_rollout_plan(&plan, Path::new("rollouts"), 1.0, &[], Screen::FILE);
        }
        Err(error) => told(&error),
    }
    Corpus::Keep
});
