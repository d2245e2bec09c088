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
    refused("curl", "curl -m es http://a", "`-m` has no number of seconds");
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

/// All that an import said and wrote.
fn imported(from: &str, source: &str) -> String {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    std::fs::write(folder.join("source"), source).unwrap();
    let ran = import(folder, &[from, "source", "--dir", "made"]).expect(0);
    let mut all = ran.out;
    let mut folders = vec![folder.join("made")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                all.extend(["--- ".to_owned(), name, "\n".to_owned()]);
                all.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    all
}

/// A collection of one request.
fn collection(variables: &str, request: &str) -> String {
    format!(
        r#"{{ "info": {{ "name": "C" }}, "variable": [ {variables} ], "item": [ {{ "name": "One", "request": {request} }} ] }}"#
    )
}

/// A recording in which one answer has a field that the next request sends.
fn recording(kind: &str, body: &str) -> String {
    let entry = |method: &str, path: &str, more: &str, answer: &str| {
        format!(
            r#"{{ "startedDateTime": "{path}", "request": {{ "method": "{method}", "url": "http://a.test{path}", {more} "httpVersion": "" }},
            "response": {{ "status": 200, "content": {{ "mimeType": "application/json", "text": {answer:?} }} }} }}"#
        )
    };
    let sent = format!(
        r#""headers": [ {{ "name": "Content-Type", "value": "{kind}" }} ], "postData": {{ "mimeType": "{kind}", "text": {body:?} }},"#
    );
    let first = entry("GET", "/1", "", r#"{"uuid":"carried-0001"}"#);
    format!(r#"{{ "log": {{ "entries": [ {first}, {} ] }} }}"#, entry("PATCH", "/2", &sent, "{}"))
}

#[test]
fn what_reviewers_found_in_importers() {
    const FORM: &str = r#""content-type": "application/x-www-form-urlencoded""#;
    let post = |body: &str| format!(r#"{{ "method": "POST", "url": "http://a.test/x", "body": {body} }}"#);
    let raw = |header: &str, text: &str| {
        format!(
            r#"{{ "method": "POST", "url": "http://a.test/x", "header": [ {header} ], "body": {{ "mode": "raw", "raw": {text:?}, "options": {{ "raw": {{ "language": "json" }} }} }} }}"#
        )
    };
    let patch = r#"{ "key": "Content-Type", "value": "application/json-patch+json" }"#;
    let rows: Vec<(&str, String, &[&str], &[&str])> = vec![
        // Secrets.
        (
            "curl",
            r#"curl http://a.test/x -d '{"user":"bob","password":"hunter2hunter2"}'"#.into(),
            &[r#"json: {"password":"${secret.PASSWORD}","user":"bob"}"#, FORM],
            &["hunter2"],
        ),
        (
            "curl",
            r#"curl http://a.test/x -d 'payload={"a":1}&token=s3cr3tvalue99'"#.into(),
            &[r#"form: { "payload": "{\"a\":1}", "token": "${secret.TOKEN}" }"#],
            &["s3cr3t", "content-type"],
        ),
        (
            "curl",
            r#"curl http://a.test/x -d 'a=1' -d 'data={"password":"hunter2hunter2"}'"#.into(),
            &[r#""data": "{\"password\":\"${secret.PASSWORD}\"}""#],
            &["hunter2"],
        ),
        (
            "curl",
            "curl http://a.test/x -H 'content-type: text/xml' -d '<a><password>s3cr3t-${x}</password></a>'"
                .into(),
            &[r#"body: "<a><password>${secret.PASSWORD}</password></a>""#, r#""text/xml""#],
            &["s3cr3t"],
        ),
        (
            "postman",
            collection(
                "",
                &post(
                    r#"{ "mode": "graphql", "graphql": { "query": "q", "variables": "{\"password\":\"hunter2hunter2\",\"pin\":471147}" } }"#,
                ),
            ),
            &[r#""variables":{"password":"${secret.PASSWORD}","pin":"${secret.PIN}"}"#],
            &["hunter2", "471147"],
        ),
        (
            "postman",
            collection("", &raw("", r#"{ "id": {{id}}, "password": "hunter2 hunter2" }"#)),
            &[r#"body: "{ \"id\": ${id}, \"password\": \"${secret.PASSWORD}\" }""#],
            &["hunter2"],
        ),
        (
            "postman",
            collection(
                r#"{ "key": "session_token", "value": "hunter2hunter2" }"#,
                r#"{ "method": "GET", "url": { "raw": "http://a.test/:session_token/:other_token", "variable": [ { "key": "session_token", "value": "" }, { "key": "other_token", "value": "s3cr3tvalue99" } ] } }"#,
            ),
            &[r#"get: "/${secret.SESSION_TOKEN}/${secret.OTHER_TOKEN}""#],
            &["hunter2", "s3cr3t"],
        ),
        // What is made of itself.
        (
            "openapi",
            r##"
openapi: 3.0.0
info: { title: pets }
paths:
  /pets: { post: { requestBody: { content: { application/json: { schema: { $ref: "#/components/schemas/Pet" } } } } } }
components:
  schemas:
    Pet: { oneOf: [ { $ref: "#/components/schemas/Cat" } ] }
    Cat: { allOf: [ { $ref: "#/components/schemas/Pet" }, { properties: { name: { type: string, example: Tom } } } ] }
"##
            .into(),
            &[r#""name":"Tom""#],
            &[],
        ),
        (
            "postman",
            collection(
                r#"{ "key": "host_id", "value": "{{host_id}}" }"#,
                r#"{ "method": "GET", "url": "http://a.test/{{host_id}}" }"#,
            ),
            &["`host_id` has no value", r#"get: "/${host_id}""#],
            &[],
        ),
        // What did not load.
        (
            "curl",
            "curl http://a.test/x -F files=@a.txt -F files=@b.txt".into(),
            &[r#"multipart: { "files": { file: "a.txt" } }"#, "a second part `files`"],
            &["b.txt"],
        ),
        (
            "har",
            recording("application/json", r#"{"id":"carried-0001"}"#),
            &[r#"capture: { uuid_2: { jsonpath: "$.uuid" } }"#, r#"json: {"id":"${uuid_2}"}"#],
            &["content-type"],
        ),
        (
            "postman",
            collection(
                r#"{ "key": "a_path", "value": "{{ver}}/api" }, { "key": "ver", "value": "v7" }"#,
                r#"{ "method": "GET", "url": "http://a.test/x/{{a_path}}" }"#,
            ),
            &["vars:\n  \"ver\": \"v7\"\n  \"a_path\": \"${ver}/api\"\n"],
            &[],
        ),
        // Content types.
        (
            "har",
            recording("application/json-patch+json", "[]"),
            &[r#""content-type": "application/json-patch+json""#],
            &[],
        ),
        (
            "curl",
            "curl http://a.test/x -H 'Content-Type: application/vnd.a+json; v=2' -d '{}'".into(),
            &[r#""content-type": "application/vnd.a+json; v=2""#],
            &["urlencoded"],
        ),
        (
            "postman",
            collection("", &raw(patch, "[]")),
            &[r#""content-type": "application/json-patch+json""#, "json: []"],
            &[],
        ),
        // Files of schemas, and paths that nobody describes.
        (
            "openapi",
            "
openapi: 3.0.0
info: { title: r }
paths:
  /r/{a}: { get: { responses: { 200: { content: { application/json: { schema: { type: object } } } } } } }
  /r/{a}/{b}: { get: { responses: { 200: { content: { application/json: { schema: { type: array } } } } } } }
  /z/{a}/{undoc}: { get: { parameters: [ { in: path, name: a, required: true, schema: { type: string } } ], responses: {} } }
"
            .into(),
            &[
                "r.schemas/get-r-id.json\"",
                "r.schemas/get-r-id-2.json\"",
                r#"get: "/z/${a}/${undoc}""#,
                r#""undoc": "example""#,
                r#""type": "object""#,
                r#""type": "array""#,
            ],
            &[],
        ),
        // What curl's options mean.
        ("curl", "curl http://a.test/x -d ''".into(), &[r#"post: "/x""#], &["form:", "body:"]),
        (
            "curl",
            "curl http://a.test/x -d a=1 -d @rest.txt".into(),
            &[r#"form: { "a": "1" }"#, "-d @rest.txt beside other data"],
            &["\"@rest.txt"],
        ),
        (
            "curl",
            "curl http://a.test/x --digest -u ann:open-sesame".into(),
            &["curl's --digest"],
            &["authorization", "BASIC_AUTH"],
        ),
        (
            "curl",
            r#"curl http://a.test/x -F 'meta=hello;type=text/plain' -F 'q="a;\"b"' --form-string 'lit=@x;type=y'"#
                .into(),
            &[r#"multipart: { "meta": "hello", "q": "a;\"b", "lit": "@x;type=y" }"#],
            &[],
        ),
        (
            "curl",
            "curl http://a.test/x -H 'X-Requested-With: XMLHttpRequest'".into(),
            &[r#""x-requested-with": "XMLHttpRequest""#],
            &[],
        ),
        // Names.
        (
            "postman",
            collection(
                r#"{ "key": "a-b", "value": "one" }, { "key": "a_b", "value": "two" }"#,
                r#"{ "method": "GET", "url": "http://a.test/{{a-b}}/{{a_b}}" }"#,
            ),
            &[r#""a_b": "one""#, r#""a_b_2": "two""#, r#"get: "/${a_b}/${a_b_2}""#],
            &[],
        ),
        (
            "postman",
            collection(
                "",
                &post(
                    r#"{ "mode": "formdata", "formdata": [ { "key": "a", "value": "1" }, { "key": "a", "value": "2" } ] }"#,
                ),
            ),
            &[r#"multipart: { "a": "1" }"#, "a second part `a`"],
            &[],
        ),
        // What a secret merely equals.
        (
            "curl",
            r#"curl http://a.test/password-reset --json '{"password":"password"}'"#.into(),
            &[
                r#"post: "/password-reset""#,
                r#"name: "post password-reset""#,
                r#"json: {"password":"${secret.PASSWORD}"}"#,
            ],
            &[],
        ),
        (
            "curl",
            r#"curl http://a.test/x/hunter2hunter --json '{"password":"hunter2hunter","hunter2hunter":"a hunter2hunter"}'"#
                .into(),
            &[r#"post: "/x/${secret.PASSWORD}""#, r#"{"hunter2hunter":"a ${secret.PASSWORD}","#],
            &["x hunter2hunter"],
        ),
    ];
    for (from, source, expected, absent) in rows {
        let all = imported(from, &source);
        for text in expected {
            assert!(all.contains(text), "`{text}` is not in what became of\n{source}\n{all}");
        }
        for text in absent {
            assert!(!all.contains(text), "`{text}` is in what became of\n{source}\n{all}");
        }
    }
}

#[test]
fn what_could_not_be_written_whole_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    std::fs::create_dir(folder.join("made")).unwrap();
    std::fs::write(folder.join("made/r.schemas"), "in the way").unwrap();
    let answer = "responses: { 200: { content: { application/json: { schema: { type: object } } } } }";
    let sent = "requestBody: { content: { application/pdf: {} } }";
    let text = format!(
        "openapi: 3.0.0\ninfo: {{ title: r }}\npaths: {{ /r: {{ post: {{ {sent}, {answer} }} }} }}\n"
    );
    std::fs::write(folder.join("source"), text).unwrap();
    let ran = import(folder, &["openapi", "source", "--dir", "made"]);
    assert_ne!(ran.code, 0, "{}{}", ran.out, ran.err);
    let left: Vec<_> =
        std::fs::read_dir(folder.join("made")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["r.schemas"]);
}

/// Found by fuzzing: headers that are given twice, or are none, answers that never came or call themselves anything, and
/// letters that JSON has and YAML has not, statuses of six digits.
#[test]
fn what_no_scenario_can_send_is_left_out_and_the_rest_is_valid() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let curl = "curl https://shop.example.com/a -H 'accept: a/b' -H 'accept: c/d' -H 'cookie: x=1' -H 'cookie: y=2' -H 'no name: z'\n";
    std::fs::write(folder.join("commands"), curl).unwrap();
    import(folder, &["curl", "commands", "--dir", "curl"])
        .expect(0)
        .says("\"no name\" is no name of a header");
    let text = std::fs::read_to_string(folder.join("curl/shop-example-com.yaml")).unwrap();
    assert!(text.contains("\"accept\": \"a/b, c/d\""), "{text}");
    let entry = |status: u16, kind: &str| {
        let odd = "\u{7f}\u{85}\u{2028}\u{feff}";
        let headers = serde_json::json!([{"name": "", "value": "v"}, {"name": "x-odd", "value": format!("{kind}\u{7f}")}]);
        let body = serde_json::json!({ "mimeType": "application/json", "text": serde_json::json!({ "odd": odd, (odd): 1 }).to_string() });
        serde_json::json!({
            "comment": odd,
            "request": { "method": "POST", "url": format!("https://shop.example.com/{status}"), "headers": headers, "postData": body },
            "response": { "status": status, "headers": [], "content": { "mimeType": kind } },
        })
    };
    let har =
        serde_json::json!({ "log": { "entries": [entry(0, "text/html"), entry(201, ">a/b: #\u{7f}")] } });
    std::fs::write(folder.join("a.har"), har.to_string()).unwrap();
    import(folder, &["har", "a.har", "--dir", "har"]).expect(0).says("x-odd has what no header can have");
    let text = std::fs::read_to_string(folder.join("har/shop-example-com.yaml")).unwrap();
    assert!(text.contains(r#""odd":"\u007f\u0085\u2028\ufeff""#), "{text}");
    let described = serde_json::json!({ "openapi": "3.1.0", "info": { "title": "a", "version": "1" },
        "paths": { "/a": { "get": { "responses": { "200200": {}, "2XX": {}, "2é": {} },
            "requestBody": { "content": { "text/j${": { "example": "x" } } } } } } });
    std::fs::write(folder.join("a.json"), described.to_string()).unwrap();
    import(folder, &["openapi", "a.json", "--dir", "openapi"]).expect(0);
    let told = serde_json::json!({ "info": { "name": "a" }, "item": [{
        "name": "a", "request": { "method": "GET", "url": "https://shop.example.com/a" },
        "event": [{ "listen": "test", "script": { "exec": ["pm.response.to.have.status(029)"] } }],
    }] });
    std::fs::write(folder.join("p.json"), told.to_string()).unwrap();
    import(folder, &["postman", "p.json", "--dir", "postman"]).expect(0);
    for made in ["curl", "har", "openapi", "postman"] {
        run(loadgate(folder).args(["validate", made])).expect(0);
    }
}
