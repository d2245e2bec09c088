use std::path::Path;

/// Modules by layer, the lowest first. A module imports only from rows below its own, never from its own.
const LAYERS: [&[&str]; 14] = [
    &["units", "exit_code", "error", "error_class", "digest", "machine", "random", "phases"],
    &["secrets", "credentials"],
    &["logging"],
    &["metrics", "transport", "checks", "demo"],
    &["scenario", "store", "remote"],
    &["engine", "verdict", "probes"],
    &["baseline", "notify", "import", "telemetry"],
    &["gate"],
    &["rollout"],
    &["project", "serve"],
    &["report"],
    &["commands"],
    &["cli"],
    &["main"],
];

fn layer(module: &str) -> usize {
    LAYERS.iter().position(|row| row.contains(&module)).unwrap_or_else(|| panic!("`{module}` has no layer"))
}

fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every `crate::x` and `loadgate::x` in a text; a group `crate::{a, b}` counts for each.
fn imports(text: &str) -> Vec<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for root in ["crate::", "loadgate::"] {
        for (at, _) in text.match_indices(root) {
            let rest = &text[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => {
                    found.extend(group[..group.find('}').unwrap()].split(',').map(|item| name(item.trim())));
                }
                None => found.push(name(rest)),
            }
        }
    }
    found
}

#[test]
fn modules_import_only_from_layers_below_their_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut seen = 0;
    for file in files.iter().filter(|f| !f.ends_with("lib.rs")) {
        let module = file.strip_prefix(&root).unwrap().components().next().unwrap();
        let module = module.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(file).unwrap();
        for import in imports(&text).iter().filter(|import| **import != module) {
            seen += 1;
            assert!(
                layer(import) < layer(&module),
                "{}: `{module}` must not import `{import}`",
                file.display()
            );
        }
        assert!(text.lines().count() <= 460, "{} has {} lines", file.display(), text.lines().count());
    }
    assert!(seen > 60, "the test sees only {seen} imports");
}

/// One door for each foreign crate.
#[test]
fn foreign_crates_stay_behind_their_doors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for (foreign, door) in [
        ("clap", "cli"),
        ("tabled", "report/table.rs"),
        ("unicode_width", "report/inert.rs"),
        ("hdrhistogram", "metrics"),
        ("reqwest", "transport"),
        ("hyper", "transport"),
        ("httparse", "transport"),
        ("rustls", "transport"),
        ("serde_saphyr", "scenario/node.rs"),
        ("annotate_snippets", "error/diagnostic.rs"),
        ("axum", "demo"),
        ("sha2", "digest.rs"),
        ("statrs", "verdict/statistics.rs"),
        ("indicatif", "report/live.rs"),
        ("maud", "report/html"),
        ("quick_xml", "report/junit.rs"),
        ("object_store", "store"),
    ] {
        for file in &files {
            let inside = file.strip_prefix(&root).unwrap();
            let text = std::fs::read_to_string(file).unwrap();
            let used = text.contains(&format!("use {foreign}::")) || text.contains(&format!(" {foreign}::"));
            // One client sends load, the other asks and tells beside it.
            let remote = foreign == "reqwest" && inside.starts_with("remote");
            // One server is measured, the other is asked.
            let remote = remote || foreign == "axum" && inside.starts_with("serve");
            assert!(
                !used || remote || inside.starts_with(door),
                "{} uses {foreign}, whose door is {door}",
                file.display()
            );
        }
    }
}
