use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Ran, fixture, json, loadgate, run};

fn import(folder: &Path, args: &[&str]) -> Ran {
    run(loadgate(folder).arg("import").args(args))
}

fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser/node_modules")
}

/// Whether `ci/test` could install what these need.
fn installed() -> bool {
    std::env::var_os("LOADGATE_SKIP_BROWSER").is_none()
}

#[test]
fn commands_and_collections_become_scenarios() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let curl = import(folder, &["curl", &fixture("import/commands.sh"), "--dir", "curl"]).expect(0);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    insta::assert_snapshot!(
        "import_curl",
        format!(
            "{}\n{}\n{}",
            curl.out,
            read("curl/shop-example-com.yaml"),
            read("curl/files-example-com.yaml")
        )
    );
    let postman =
        import(folder, &["postman", &fixture("import/collection.json"), "--dir", "postman"]).expect(0);
    insta::assert_snapshot!("import_postman", format!("{}\n{}", postman.out, read("postman/shop-api.yaml")));
    // Nothing secret is in any of it, nor anything that is there overwritten.
    for name in ["curl/shop-example-com.yaml", "postman/shop-api.yaml"] {
        let text = read(name);
        for secret in ["open-sesame", "eyJhbG", "0123456789", "4711"] {
            assert!(!text.contains(secret), "{name} has {secret}:\n{text}");
        }
    }
    import(folder, &["curl", &fixture("import/commands.sh"), "--dir", "curl"])
        .expect(2)
        .says("is there already");
    run(loadgate(folder).args(["validate", "curl", "postman"])).expect(0);
}

#[test]
fn what_is_not_what_it_should_be_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let refused = |from: &str, text: &str, expected: &str| {
        std::fs::write(folder.join("file"), text).unwrap();
        import(folder, &[from, "file"]).expect(2).says(expected);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "nothing is written");
    };
    refused("curl", "wget http://a", "`wget` is no curl command");
    refused("curl", "curl -H 'a: b", "a `'` is never closed");
    refused("curl", "curl --frobnicate http://a", "curl's option `--frobnicate` is not understood");
    refused("curl", "curl \"http://a\" ^\n -H \"a: b\"", "copy it as cURL (bash)");
    refused("har", "{}", "it is no HAR file");
    refused("har", "{\"log\":{\"entries\":[]}}", "nothing is left of it");
    refused("postman", "{\"info\":{}}", "it is no Postman collection");
    refused("openapi", "swagger: '2.0'\n", "convert it to OpenAPI 3 first");
    refused("openapi", "openapi: 3.0.0\ninfo: { title: x }\npaths: {}\n", "it has no operations");
    refused("openapi", "openapi: 3.0.0\npaths: { /a: { get: {} } \n", "file:");
    import(folder, &["openapi", "absent.yaml"]).expect(2).says("absent.yaml");
}

/// Documents of real services, of 3.0 and 3.1, JSON and YAML.
#[test]
fn public_descriptions_make_scenarios_that_validate() {
    if !installed() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let examples = packages().join("@readme/oas-examples");
    for (file, least, host, least_schemas) in [
        (
            packages().join("@blockfrost/openapi/openapi.yaml"),
            100,
            "https://cardano-mainnet.blockfrost.io",
            90,
        ),
        (examples.join("3.0/json/star-trek.json"), 100, "http://stapi.co", 90),
        (examples.join("3.0/json/petstore.json"), 15, "http://petstore.swagger.io", 5),
        (examples.join("3.1/json/train-travel.json"), 6, "https://api.example.com", 3),
        (examples.join("3.1/json/readme.json"), 50, "https://api.readme.com", 20),
    ] {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let ran = import(folder, &["openapi", file.to_str().unwrap(), "--dir", &name]).expect(0);
        ran.says(&format!("--target {host}"));
        let (mut steps, mut schemas) = (0, 0);
        for entry in std::fs::read_dir(folder.join(&name)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|own| own == "yaml") {
                let text = std::fs::read_to_string(&path).unwrap();
                steps += text.matches("\n  - name: ").count();
                schemas += text.matches("json_schema:").count();
            }
        }
        assert!(steps >= least && schemas >= least_schemas, "{name}: {steps} steps, {schemas} schemas");
        run(loadgate(folder).args(["validate", &name])).expect(0);
    }
    let some = import(
        folder,
        &[
            "openapi",
            examples.join("3.0/json/petstore.json").to_str().unwrap(),
            "--dir",
            "some",
            "--only",
            "get /pet/{*",
        ],
    );
    some.expect(0).says("1 step");
    insta::assert_snapshot!("import_openapi", std::fs::read_to_string(folder.join("some/pet.yaml")).unwrap());
    insta::assert_snapshot!(
        "import_openapi_schema",
        std::fs::read_to_string(folder.join("some/pet.schemas/getpetbyid.json")).unwrap()
    );
}

/// A visit to a shop that Chromium recorded: what its pages and scripts carried from answer to request is captured, so that the
/// scenario passes on the same shop, with other tokens and orders each time.
#[test]
fn what_chromium_recorded_can_be_sent_again() {
    if !installed() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let mut node = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/record.mjs"))
        .args(["chromium", folder.join("visit.har").to_str().unwrap()])
        .current_dir(packages().parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ci/test installs node and Chromium");
    let mut line = String::new();
    BufReader::new(node.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim();
    assert!(address.starts_with("http://"), "the recording failed");
    let ran = import(folder, &["har", "visit.har", "--feature", "shop", "--dir", "made"]).expect(0);
    ran.says("made/shop.yaml: 7 steps").says("static files").says("environment: API_KEY, PASSWORD\n");
    let text = std::fs::read_to_string(folder.join("made/shop.yaml")).unwrap();
    for expected in [
        "\"csrf\": \"${csrf}\"",
        "Bearer ${access_token}",
        "/api/orders/${id}",
        "\"idempotency-key\": \"${uuid}\"",
        "costs $${x}",
    ] {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }
    for secret in ["hunter2", "k-4711", "ord_"] {
        assert!(!text.contains(secret), "{secret}:\n{text}");
    }
    let mut smoke = loadgate(folder);
    smoke.args(["smoke", "made/shop.yaml", "--target", address, "--out", "out"]);
    smoke.env("PASSWORD", "hunter2-hunter2").env("API_KEY", "k-4711-4711");
    let passed = run(&mut smoke);
    drop(node.stdin.take());
    node.wait().unwrap();
    passed.expect(0).says("All 7 functional steps passed");
    assert_eq!(json(&folder.join("out/verdict.json"))["outcome"], "pass");
    // What the page called elsewhere is a scenario of its own.
    let others = std::fs::read_dir(folder.join("made")).unwrap().count();
    assert_eq!(others, 2);
}
