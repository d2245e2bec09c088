//! What the fuzz targets share: files in memory, what is done with what was read, and a mutator that keeps JSON whole.

pub mod json;

use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use loadgate::engine::Slice;
use loadgate::error::Error;
use loadgate::gate::scenario_records;
use loadgate::import::Imported;
use loadgate::metrics::{EndpointPlan, RunRecord, interval_log, merge_shards};
use loadgate::report::{render_plan, render_watching};
use loadgate::scenario::{LoadOptions, Loaded, load};
use loadgate::transport::Kind;
use loadgate::verdict::never_judged;

/// A folder of this process alone, in memory where there is such a place. `ci/fuzz` takes it away.
pub fn scratch() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = base.join(format!("loadgate-fuzz-{}", std::process::id()));
        for (name, text) in [
            ("data/regions.csv", include_str!("../../scenarios/epic21/data/regions.csv")),
            ("data/portfolios.csv", include_str!("../../scenarios/epic21/data/portfolios.csv")),
            ("data/tenants.csv", include_str!("../../tests/fixtures/short/data/tenants.csv")),
            ("data/properties.csv", include_str!("../../scenarios/epic21/data/portfolios.csv")),
            ("body.json", "{\"a\": [1, \"${x}\"]}"),
        ] {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in memory");
            std::fs::write(path, text).expect("a file in memory");
        }
        folder
    })
}

/// A file of the scratch folder.
pub fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch().join(name);
    if std::fs::write(&path, bytes).is_err() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in memory");
        std::fs::write(&path, bytes).expect("a file in memory");
    }
    path
}

/// An error in all forms in which people see it.
pub fn told(error: &Error) {
    assert!(!error.to_string().is_empty());
    if let Error::Invalid(found) = error {
        assert!(!found.is_empty(), "refused without a reason");
        for diagnostic in found {
            let [start, end] = diagnostic.range();
            assert!(start.0 >= 1 && start.1 >= 1 && end.0 >= 1 && end.1 >= 1);
        }
    }
}

/// What `validate` does with files.
///
/// # Errors
/// As `validate`'s.
pub fn validate(paths: &[PathBuf]) -> Result<(), Error> {
    let options = LoadOptions { transport: Kind::Wire.name(), ..LoadOptions::default() };
    let Loaded { scenarios, warnings, watching, .. } = load(paths, &options)?;
    for warning in &warnings {
        let _ = (warning.render(), warning.range());
    }
    let records = scenario_records(&scenarios, Slice::WHOLE);
    let plans: Vec<EndpointPlan> = records.into_iter().flat_map(|s| s.endpoints).collect();
    let _ = (never_judged(&plans), render_plan(&scenarios, &plans, &[]), render_watching(&watching));
    Ok(())
}

/// What `import` does with what an importer made: each name is a file's in the folder asked for and nothing else, and
/// what is written can be read.
pub fn imported(result: Result<Imported, String>) {
    let imported = match result {
        Ok(imported) => imported,
        Err(reason) => {
            assert!(!reason.is_empty());
            return;
        }
    };
    let plain = |name: &str| {
        let parts: Vec<_> = Path::new(name).components().collect();
        let below = parts.iter().all(|part| matches!(part, Component::Normal(_)));
        below && (1..=2).contains(&parts.len()) && !name.contains('\0')
    };
    let texts = imported.scenarios();
    for (number, (draft, text)) in imported.drafts.iter().zip(&texts).enumerate().take(4) {
        assert!(plain(&draft.feature), "`{}` names no file", draft.feature);
        for (name, bytes) in draft.files.iter().take(8) {
            assert!(plain(name), "`{name}` names no file");
            if name.split('/').all(|part| part.len() < 200) {
                put(&format!("made/{name}"), bytes);
            }
        }
        let path = put(&format!("made/scenario-{number}.yaml"), text.as_bytes());
        if let Err(error) = validate(&[path]) {
            told(&error);
            // What `import` calls a mistake of its own.
            assert!(std::env::var_os("LOADGATE_FUZZ_STRICT").is_none(), "{error}\n{text}");
        }
        for (name, _) in draft.files.iter().take(8) {
            let _ = std::fs::remove_file(scratch().join("made").join(name));
        }
    }
}

/// What can be read can be written, and read again as the same; and what is made of a record can be.
pub fn record(record: &RunRecord) {
    let bytes = serde_json::to_vec(record).expect("a record can be written");
    let again: RunRecord = serde_json::from_slice(&bytes).expect("what was written can be read");
    assert!(serde_json::to_vec(&again).expect("a record can be written") == bytes, "it is another record");
    interval_log(record).expect("a record has a log of intervals");
    let _ = merge_shards(vec![again]);
}
