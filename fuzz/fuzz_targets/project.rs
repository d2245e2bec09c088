#![no_main]
//! `loadgate.yaml`, and what it says of each service.

use libfuzzer_sys::{Corpus, fuzz_target};
use loadgate::project::read_project;
use loadgate_fuzz::{put, told};

fuzz_target!(|data: &[u8]| -> Corpus {
    if std::str::from_utf8(data).is_err() {
        return Corpus::Reject;
    }
    let project = match read_project(&put("loadgate.yaml", data), &[], false) {
        Ok(project) => project,
        Err(error) => {
            told(&error);
            return Corpus::Keep;
        }
    };
    let names = |names: Vec<&String>| {
        names.into_iter().map(|name| Some(name.clone())).chain([None]).collect::<Vec<_>>()
    };
    for environment in names(project.environments.iter().map(|own| &own.name).take(4).collect()) {
        for profile in names(project.profiles.iter().map(|(name, _)| name).take(4).collect()) {
            let _ = project.resolve(&[], environment.as_deref(), profile.as_deref());
            let _ = project.resolve(&["*a*b*".into()], environment.as_deref(), profile.as_deref());
            let _ = project.bare(environment.as_deref(), profile.as_deref());
        }
    }
    Corpus::Keep
});
