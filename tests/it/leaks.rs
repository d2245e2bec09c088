//! Secrets by the dozen, all with one core that nothing else contains, and a target that says back whatever it is told, in
//! every form: in no output, at no log level, nor in anything that is stored may the core be found.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json as made;

use crate::servers::Service;
use crate::support::{files, loadgate};

/// Of every secret here.
const CORE: &str = "c4nary7q";

/// Environment variables, each a secret of its own place.
const SECRETS: [(&str, &str); 12] = [
    ("LG_HEADER", "hdr-c4nary7q-Header1"),
    ("LG_KEY", "key-c4nary7q-Key22"),
    ("LG_FORM", "f\"o&r<m> c4nary7q/+%\\é'"),
    ("LG_PATH", "path-c4nary7q-p"),
    ("LG_QUERY", "que ry/c4nary7q?&=+"),
    ("LG_BODY", "bo\"dy\\c4nary7q<&>'é\u{7f}/x"),
    ("LG_PASSWORD", "pa:ss c4nary7q/wo%rd"),
    ("LG_CLIENT", "client c4nary7q&secret"),
    ("LG_PART", "part\"c4nary7q\"\\n"),
    ("LG_HOOK", "hook-c4nary7q/x"),
    ("LG_FRAME", "frame \"c4nary7q\""),
    ("LG_PROBE", "probe-c4nary7q-1"),
];

/// Says back everything, as it is and as JSON, HTML and URLs have it.
async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let mut said = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        writeln!(said, "{name}: {}", String::from_utf8_lossy(value.as_bytes())).unwrap();
    }
    said += &String::from_utf8_lossy(&body);
    let html = said.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let status = if parts.uri.path().starts_with("/broken") { 500 } else { 200 };
    let cookie = format!("sid=cookie-{CORE}-abcdef; Path=/");
    let answer = made!({ "said": said, "html": html, "parsed": serde_json::from_slice::<serde_json::Value>(&body).ok() });
    let headers = [
        ("set-cookie", cookie),
        ("content-type", "application/json".to_owned()),
        ("x-said", format!("{}", parts.uri)),
    ];
    (StatusCode::from_u16(status).unwrap(), headers, answer.to_string()).into_response()
}

async fn login() -> Response {
    let headers = [("x-csrf", format!("csrf-{CORE}-1234")), ("set-cookie", format!("jar=jar-{CORE}-xyz12"))];
    let body = made!({ "session": { "ticket": format!("tick-{CORE}-12345678") }, "id": format!("{CORE}k9k9k9k9k9k9k9k9k9k9k9k9k9k9") });
    (headers, body.to_string()).into_response()
}

async fn token(headers: HeaderMap) -> Response {
    assert!(headers.contains_key("authorization"));
    made!({ "access_token": format!("oauth-{CORE}-token"), "expires_in": 3600 }).to_string().into_response()
}

/// Says what it was asked with, as an error of RFC 6749.
async fn denied(body: String) -> Response {
    (StatusCode::BAD_REQUEST, made!({ "error": format!("invalid_client: {body}") }).to_string())
        .into_response()
}

async fn socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(Message::Text(text))) = socket.recv().await {
            let _ = socket.send(Message::Text(text)).await;
        }
    })
}

fn service() -> Service {
    let events =
        || async { ([("content-type", "text/event-stream")], format!("data: token=ev-{CORE}-12345\n\n")) };
    Service::start(
        Router::new()
            .route("/login", post(login))
            .route("/token", post(token))
            .route("/denied", post(denied))
            .route("/socket", any(socket))
            .route("/events", get(events))
            .route("/hook", any(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "no") }))
            .fallback(any(echo)),
    )
}

/// Each file fails where everything comes together: the failing step shows what was sent and what came.
fn scenarios(folder: &Path, failing: bool) {
    let check = if failing { "\n    check: [ { jsonpath: $.said, equals: nothing } ]" } else { "" };
    let load = "load: { warmup: 0s, stages: [ { rate: 40/s, for: 1s } ] }\nlimits: { error_rate: < 99% }\n";
    let common = "headers: { x-api-key: \"${secret.LG_KEY}\", x-plain: \"${secret.LG_HEADER}\" }\n";
    let files = [
        (
            "bearer",
            format!(
                "auth: {{ bearer: \"${{secret.LG_HEADER}}\" }}
steps:
  - name: log in
    post: /login
    form: {{ user: me, password: \"${{secret.LG_FORM}}\" }}
    capture: {{ ticket_token: {{ jsonpath: $.session.ticket }}, csrf: {{ header: x-csrf }}, jar: {{ cookie: jar }}, id: {{ jsonpath: $.id }} }}
  - name: use
    post: \"/echo/${{secret.LG_PATH}}/${{id}}\"
    query: {{ key: \"${{secret.LG_QUERY}}\", t: \"${{ticket_token}}\" }}
    headers: {{ x-csrf: \"${{csrf}}\", x-jar: \"${{jar}}\" }}
    json: {{ a: \"${{secret.LG_BODY}}\", b: [ \"${{ticket_token}}\", \"${{id}}\" ] }}{check}
"
            ),
        ),
        (
            "basic",
            format!(
                "auth: {{ basic: {{ user: me, password: \"${{secret.LG_PASSWORD}}\" }} }}
steps:
  - name: parts
    post: /broken/parts
    multipart: {{ a: \"${{secret.LG_PART}}\", b: \"${{secret.LG_BODY}}\" }}
    check: [ status: {} ]{}
",
                if failing { "200" } else { "500" },
                if failing { "" } else { "\n  - { name: again, get: /echo }" }
            ),
        ),
        (
            "oauth",
            format!(
                "auth: {{ oauth2: {{ token_url: /token, client_id: svc, client_secret: \"${{secret.LG_CLIENT}}\" }} }}
steps:
  - name: form
    post: \"/echo?again=${{secret.LG_QUERY}}\"
    form: {{ a: \"${{secret.LG_FORM}}\", b: \"${{secret.LG_BODY}}\" }}{check}
"
            ),
        ),
        (
            "stream",
            format!(
                "steps:
  - name: events
    sse: {{ get: \"/events?k=${{secret.LG_QUERY}}\"{} }}
",
                if failing { ", each: [ body: { contains: nothing } ]" } else { "" }
            ),
        ),
        (
            "socket",
            format!(
                "steps:
  - name: socket
    websocket: {{ url: \"/socket?k=${{secret.LG_QUERY}}\", send: [ \"${{secret.LG_FRAME}}\" ], expect: [ body: {{ contains: {} }} ] }}
",
                if failing { "nothing" } else { "frame" }
            ),
        ),
        (
            "denied",
            "auth: { oauth2: { token_url: /denied, client_id: svc, client_secret: \"${secret.LG_CLIENT}\", client_auth: body } }
steps: [ { name: never, get: /echo } ]
"
            .to_owned(),
        ),
        ("unreachable", "steps:\n  - { name: never, get: \"http://localhost:9/x?k=${secret.LG_QUERY}\" }\n".to_owned()),
    ];
    for (name, text) in files.iter().filter(|(name, _)| failing || !matches!(*name, "unreachable" | "denied"))
    {
        std::fs::write(folder.join(format!("{name}.yaml")), format!("feature: {name}\n{common}{text}{load}"))
            .unwrap();
    }
}

fn probes(folder: &Path, url: &str) {
    let text = format!(
        "probes:
  queue: {{ json: \"{url}/echo?p=${{secret.LG_PROBE}}\", jsonpath: $.none, headers: {{ x-k: \"${{secret.LG_PROBE}}\" }}, limit: < 5 }}
notify:
  - {{ webhook: \"{url}/hook/${{secret.LG_HOOK}}\", headers: {{ authorization: \"Bearer ${{secret.LG_HOOK}}\" }}, on: [pass, hold, fail, alert] }}
"
    );
    std::fs::write(folder.join("watch.txt"), text).unwrap();
}

/// All forms of it that are looked for: as it is, and as Base64 has it wherever it begins.
fn needles() -> Vec<String> {
    let mut all = vec![CORE.to_owned()];
    for before in 0..3_usize {
        let text = BASE64.encode(format!("{}{CORE}", "x".repeat(before)));
        // What its neighbours have a part in may look otherwise.
        let from = (before * 8).div_ceil(6);
        let to = (before + CORE.len()) * 8 / 6;
        all.push(text[from..to].to_owned());
    }
    all
}

fn assert_clean(what: &str, text: &[u8]) {
    let lower = String::from_utf8_lossy(text);
    for needle in needles() {
        if let Some(at) = lower.find(&needle) {
            let from = (0..at.saturating_sub(200)).rev().find(|i| lower.is_char_boundary(*i)).unwrap_or(0);
            let to = (at + 100..lower.len()).find(|i| lower.is_char_boundary(*i)).unwrap_or(lower.len());
            panic!("{what} has a secret: …{}…", &lower[from..to]);
        }
    }
}

fn assert_folder_clean(folder: &Path) -> usize {
    let all = files(folder);
    for path in &all {
        assert_clean(&path.display().to_string(), &std::fs::read(path).unwrap());
        assert_clean("a file's name", path.display().to_string().as_bytes());
    }
    all.len()
}

fn secret(folder: &Path, level: &str, words: &[&str]) -> Command {
    let mut command = loadgate(folder);
    command.args(["--log", level]).args(words).envs(SECRETS);
    command
}

/// Runs it, and looks at all that it says. The exit code, and what was said.
fn clean(folder: &Path, level: &str, words: &[&str]) -> (i32, String) {
    let ran = crate::support::run(&mut secret(folder, level, words));
    let all = format!("{}{}", ran.out, ran.err);
    assert_clean(&format!("{words:?} at {level}"), all.as_bytes());
    (ran.code, all)
}

#[test]
fn no_secret_is_in_any_output_at_any_level() {
    let service = service();
    for failing in [true, false] {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path();
        scenarios(folder, failing);
        probes(folder, &service.url);
        let target = service.url.replace("http://", &format!("http://who:{CORE}-userinfo@"));
        for level in ["off", "info", "debug", "trace"] {
            let out = format!("smoke-{level}");
            let words = ["smoke", ".", "--target", &target, "--out", &out];
            let (code, said) = clean(folder, level, &words);
            assert_eq!(code, i32::from(failing), "{said}");
            let tells = said.contains("TRACE step: curl");
            assert_eq!(tells, level == "trace", "{said}");
        }
        let words = [
            "run",
            ".",
            "--target",
            &target,
            "--out",
            "whole",
            "--probes",
            "watch.txt",
            "--allow",
            "no-baseline",
        ];
        let (code, said) = clean(folder, "trace", &words);
        assert!(matches!(code, 1 | 3), "{said}");
        let words =
            ["baseline", "record", ".", "--target", &target, "--out", "recorded", "--reason", "known good"];
        let (code, said) = clean(folder, "trace", &words);
        assert_eq!(code == 0, !failing, "{said}");
        let (code, said) = clean(folder, "trace", &["baseline", "show"]);
        assert_eq!(code, if failing { 2 } else { 0 }, "{said}");
        assert_eq!(clean(folder, "trace", &["validate", "."]).0, 0);
        for format in ["table", "json", "junit", "markdown", "html"] {
            assert_eq!(clean(folder, "trace", &["report", "whole", "--format", format]).0, 0);
            let (code, said) = clean(folder, "trace", &["compare", "whole", "--format", format]);
            assert!(matches!(code, 1 | 3), "{said}");
        }
        let (code, said) = clean(folder, "trace", &["notify", "whole", "--probes", "watch.txt", "--dry-run"]);
        assert_eq!(code, 0, "{said}");
        let arm = format!("x-arm: arm-{CORE}-candidate");
        let words = ["canary", "basic.yaml", "--control", &target, "--candidate", &target];
        let more = ["--candidate-header", &arm, "--for", "10s", "--out", "sides"];
        let (code, said) = clean(folder, "trace", &[&words[..], &more].concat());
        assert!(matches!(code, 0 | 1 | 3), "{said}");
        assert!(folder.join("sides/run.json").exists(), "{said}");
        let (code, said) = clean(folder, "trace", &["combine", "whole", "--format", "junit"]);
        assert!(matches!(code, 1 | 3), "{said}");
        let files = assert_folder_clean(folder);
        assert!(files > 30, "{files} files were looked at");
    }
}

/// A rollout with secrets in its addresses, webhooks and headers, and in what its commands say.
#[test]
fn no_secret_of_a_rollout_is_in_any_output() {
    let service = service();
    for failing in [true, false] {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path();
        scenarios(folder, failing);
        std::fs::create_dir(folder.join("scenarios")).unwrap();
        std::fs::rename(folder.join("bearer.yaml"), folder.join("scenarios/bearer.yaml")).unwrap();
        let who = service.url.replace("http://", &format!("http://who:{CORE}-userinfo@"));
        let url = &service.url;
        let plan = format!(
            "rollout: night
scenarios: scenarios
control: {{ url: \"{who}\" }}
candidate: {{ url: \"{who}\", headers: {{ x-arm: \"${{secret.LG_HEADER}}\" }} }}
rollback: {{ command: [sh, -c, \"echo back $LG_KEY\"], within: 15m }}
phases:
  - {{ percent: 100, shift: [sh, -c, \"echo to $LG_KEY $LG_FORM; exit {code}\"], load: {{ against: baselines }} }}
notify:
  - {{ webhook: \"{url}/hook/${{secret.LG_HOOK}}\", headers: {{ authorization: \"Bearer ${{secret.LG_HOOK}}\" }}, on: [pass, hold, fail, alert] }}
",
            code = i32::from(failing)
        );
        std::fs::write(folder.join("plan.txt"), plan).unwrap();
        let (code, said) = clean(folder, "trace", &["rollout", "run", "plan.txt"]);
        assert!(matches!(code, 0 | 1 | 3), "{code}: {said}");
        assert_eq!(said.contains("| to $LG_KEY $LG_FORM"), failing, "what it said is told: {said}");
        for words in [["status", "plan.txt"], ["rollback", "plan.txt"]] {
            let mut words = [&["rollout"], &words[..]].concat();
            words.extend(if words[1] == "rollback" { vec!["--reason", "so it is"] } else { Vec::new() });
            clean(folder, "trace", &words);
        }
        let acts = assert_folder_clean_but_for_plans(folder);
        assert!(acts > 5, "{acts} files were looked at");
    }
}

/// The plan itself has what its author wrote into it; what is to be run, and what it said, is for its owner alone.
fn assert_folder_clean_but_for_plans(folder: &Path) -> usize {
    let mut looked_at = 0;
    for path in files(folder) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_act = path.parent().is_some_and(|own| own.ends_with("acts"));
        let private = is_act && path.extension().is_some_and(|kind| kind == "json" || kind == "log");
        if private {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} is for all to read: {mode:o}", path.display());
        }
        if name.starts_with("plan.") || private {
            continue;
        }
        assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
        looked_at += 1;
    }
    looked_at
}

/// Each cookie of a header is hidden, those too that are shorter than what is found by its looks.
#[test]
fn a_short_cookie_beside_a_long_one_is_hidden() {
    let give = || async {
        let cookies = axum::response::AppendHeaders([
            ("set-cookie", "sid=ab12cd; Path=/"),
            ("set-cookie", "csrf=0123456789abcdef; Path=/"),
        ]);
        (cookies, "well")
    };
    let service = Service::start(Router::new().fallback(any(give)));
    let temp = tempfile::tempdir().unwrap();
    let text =
        "feature: f\nsteps:\n  - { name: a, get: /a }\n  - { name: b, get: /b, check: [ status: 418 ] }\n";
    std::fs::write(temp.path().join("s.yaml"), text).unwrap();
    let words = ["--log", "trace", "smoke", "s.yaml", "--target", &service.url, "--out", "out"];
    let ran = crate::support::run(loadgate(temp.path()).args(words)).expect(1);
    let mut all = vec![ran.out, ran.err];
    all.extend(crate::support::files(temp.path()).iter().map(|path| std::fs::read_to_string(path).unwrap()));
    assert!(all.iter().any(|text| text.contains("COOKIE_sid")), "{all:?}");
    for text in all {
        assert!(!text.contains("ab12cd") && !text.contains("0123456789abcdef"), "{text}");
    }
}

#[test]
fn no_secret_of_flags_is_in_any_output() {
    let service = service();
    let temp = tempfile::tempdir().unwrap();
    let header = format!("x-anything: flag-{CORE}-1");
    let url = format!("{}/broken", service.url.replace("http://", &format!("http://who:{CORE}-userinfo@")));
    let words =
        ["quick", &url, "-H", &header, "--rate", "20/s", "--for", "1s", "--warmup", "0s", "--out", "out"];
    let (code, said) = clean(temp.path(), "trace", &words);
    assert_eq!(code, 1, "{said}");
    assert!(assert_folder_clean(temp.path()) >= 5);
}

/// Credentials in an address are written down nowhere, but where they are expected: in the environment.
#[test]
fn no_credentials_of_an_address_are_in_any_output() {
    let service = service();
    let temp = tempfile::tempdir().unwrap();
    let place = service.url.replace("http://", &format!("http://who:{CORE}-userinfo@"));
    let url = format!("{place}/echo?page=2&api_key=in%2B{CORE}&access_token={CORE}-2");
    let words = ["quick", &url, "-n", "20", "-c", "1", "--warmup", "0s", "--out", "out"];
    let (code, said) = clean(temp.path(), "trace", &words);
    assert!(matches!(code, 0 | 3), "{said}");
    let bearer = format!("authorization: Bearer {CORE}-3");
    let words = ["quick", &url, "-H", &bearer, "-H", "x-plain: p", "-n", "20", "-c", "1", "--emit-scenario"];
    let (code, said) = clean(temp.path(), "off", &words);
    assert_eq!(code, 0, "{said}");
    for part in ["${secret.API_KEY}", "${secret.ACCESS_TOKEN}", "${secret.AUTHORIZATION}", "page=2", "\"p\""]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    // It asks as the address did.
    std::fs::write(temp.path().join("kept.yaml"), &said).unwrap();
    let mut command = loadgate(temp.path());
    command.args(["smoke", "kept.yaml", "--target", &service.url, "--out", "kept"]);
    command
        .envs(["PASSWORD", "ACCESS_TOKEN", "AUTHORIZATION"].map(|name| (name, "some/thing")))
        .env("API_KEY", "a+b&c");
    crate::support::run(&mut command);
    let asked = |line: &String| line.contains("page=2") && line.contains("api_key=a%2Bb%26c");
    assert!(service.log().iter().any(asked), "{:?}", service.log());
    let (code, said) = clean(temp.path(), "trace", &["init", &url]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("export PASSWORD=…\n  export API_KEY=…\n  export ACCESS_TOKEN=…"), "{said}");
    assert!(assert_folder_clean(temp.path()) >= 8);
    // What was written asks as the address did.
    let mut command = loadgate(temp.path());
    command.args(["smoke", "loadgate/echo.yaml", "--target", &service.url, "--out", "asked"]);
    command.env("PASSWORD", "p1").env("API_KEY", "k1").env("ACCESS_TOKEN", "t1");
    crate::support::run(&mut command).expect(0);
    assert!(service.log().iter().any(|line| line == "GET /echo?page=2&api_key=k1&access_token=t1"));
    let job = std::fs::read_to_string(temp.path().join(".github/workflows/loadgate.yml")).unwrap();
    assert!(job.contains("          API_KEY: ${{ secrets.API_KEY }}\n"), "{job}");
    // Credentials of one name are more than one, and what stands twice is sent twice.
    let url = format!("{}/twice?tag=a&tag=b&api_key={CORE}-4&API-KEY={CORE}-5&api_key={CORE}-6", service.url);
    let (code, said) = clean(temp.path(), "off", &["quick", &url, "-n", "1", "--emit-scenario"]);
    assert_eq!(code, 0, "{said}");
    std::fs::write(temp.path().join("twice.yaml"), &said).unwrap();
    let (code, said) = clean(temp.path(), "off", &["init", &url]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("export API_KEY=…\n  export API_KEY_2=…\n  export API_KEY_3=…"), "{said}");
    for (file, asks) in [
        ("twice.yaml", "GET /twice?tag=a&tag=b&api_key=k1&api_key=k3&API-KEY=k2"),
        ("loadgate/twice.yaml", "GET /twice?tag=a&tag=b&api_key=k1&api_key=k3&API-KEY=k2"),
    ] {
        let mut command = loadgate(temp.path());
        command.args(["smoke", file, "--target", &service.url, "--out", "twice"]);
        command.env("API_KEY", "k1").env("API_KEY_2", "k2").env("API_KEY_3", "k3");
        let before = service.count(asks);
        crate::support::run(&mut command).expect(0);
        assert!(service.count(asks) > before, "{file}: {:?}", service.log());
        std::fs::remove_dir_all(temp.path().join("twice")).unwrap();
    }
    // Credentials that are words of the file, or of the address, and one that the body has too.
    let host = service.url.replace("http://", "");
    let bodied = ["-d", "{\"own\": \"correct-horse\", \"other\": \"$correct-horse\"}"];
    for (address, more, has) in [
        (
            format!("http://password:secret@{host}/echo"),
            &[][..],
            "user: \"password\", password: \"${secret.PASSWORD}\"",
        ),
        (
            format!("http://user:localhost@{host}/echo"),
            &[],
            "user: \"user\", password: \"${secret.PASSWORD}\"",
        ),
        (
            format!("{}/echo?token=token&key=post", service.url),
            &["-X", "POST"],
            "\"token\": \"${secret.TOKEN}\"",
        ),
        (format!("http://ghp_{CORE}{CORE}:x-oauth-basic@{host}/echo"), &[], "user: \"${secret.API_TOKEN}\""),
        (format!("{}/echo#access_token={CORE}", service.url), &[], "/echo\"\n"),
        (
            format!("http://u:correct-horse@{host}/echo"),
            &bodied,
            "\\\"own\\\": \\\"${secret.PASSWORD}\\\", \\\"other\\\": \\\"$correct",
        ),
    ] {
        let mut command = loadgate(temp.path());
        let ran =
            crate::support::run(command.args(["quick", &address, "--emit-scenario"]).args(more)).expect(0);
        assert!(ran.out.contains(has) && !ran.out.contains(CORE), "{has}: {}", ran.out);
        std::fs::write(temp.path().join("words.yaml"), &ran.out).unwrap();
        let mut command = loadgate(temp.path());
        command.args(["smoke", "words.yaml", "--target", &service.url, "--out", "words"]);
        command.envs(["PASSWORD", "TOKEN", "KEY", "API_TOKEN"].map(|name| (name, "some-thing")));
        crate::support::run(&mut command).expect(0);
        std::fs::remove_dir_all(temp.path().join("words")).unwrap();
    }
    // Nor is what was mistyped shown, or what stands in the environment, or a body that failed.
    let password = format!("{CORE}-password");
    for (words, says) in [
        (
            vec![
                "smoke".to_owned(),
                "kept.yaml".to_owned(),
                "--target".to_owned(),
                format!("https://ci:{password}@staging:99999"),
            ],
            "…@staging:99999",
        ),
        (
            vec![
                "smoke".to_owned(),
                "kept.yaml".to_owned(),
                "--target".to_owned(),
                format!("https://ci:x#{password}@staging"),
            ],
            "…@staging",
        ),
        (vec!["quick".to_owned(), format!("ci:{password}@staging")], "did you mean http://…@staging"),
        (
            vec![
                "quick".to_owned(),
                service.url.clone(),
                "-H".to_owned(),
                format!("Authorization Bearer {password}"),
            ],
            "without a colon",
        ),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, said) = clean(temp.path(), "trace", &words);
        assert!(code == 2 && said.contains(says), "{said}");
    }
    let twice = format!("{}/t/{password}/x?api_key={password}&q={password}", service.url);
    let body = format!("{{\"password\": \"{CORE}\"}}");
    let words = ["quick", &twice, "-H", &format!("x-plain: {password}"), "-d", &body, "--emit-scenario"];
    let (code, said) = clean(temp.path(), "trace", &words);
    assert!(
        code == 0
            && said.contains("/t/${secret.API_KEY}/x")
            && said.contains("\"x-plain\": \"${secret.TOKEN_X_PLAIN}\"")
            && said.contains("${secret.PASSWORD}"),
        "{said}"
    );
    let mut command = loadgate(temp.path());
    let help =
        command.args(["run", "--help"]).env("LOADGATE_TARGET", format!("https://ci:{password}@staging"));
    assert_clean("--help", crate::support::run(help).expect(0).says("[env: LOADGATE_TARGET]").out.as_bytes());
    let broken = format!("{}/broken", service.url);
    for (name, body) in [
        ("form", format!("client_secret={password}&n=1")),
        ("json", format!("{{\"n\": 1, \"own\": [{{\"password\": \"{password}\"}}]}}")),
    ] {
        let words = ["quick", &broken, "-d", &body, "-n", "20", "-c", "1", "--warmup", "0s", "--out", name];
        let (code, said) = clean(temp.path(), "trace", &words);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("--data-raw"), "{said}");
    }
    // A fragment is not sent, nor told.
    let url = format!("{}/echo#access_token={password}", service.url);
    clean(
        temp.path(),
        "trace",
        &["quick", &url, "-n", "20", "-c", "1", "--warmup", "0s", "--out", "fragment"],
    );
    assert!(assert_folder_clean(temp.path()) >= 20);
    // A user alone is a token.
    let url = format!("{}/other", service.url.replace("http://", &format!("http://{CORE}-token@")));
    assert_eq!(clean(temp.path(), "off", &["init", &url]).0, 0);
    assert!(assert_folder_clean(temp.path()) >= 9);
}

/// What a run that was killed leaves behind, in the midst of its load.
#[test]
fn no_secret_is_in_the_journal() {
    let service = service();
    let temp = tempfile::tempdir().unwrap();
    scenarios(temp.path(), false);
    let words = ["run", "basic.yaml", "bearer.yaml", "--target", &service.url, "--out", "out"];
    let text = std::fs::read_to_string(temp.path().join("bearer.yaml")).unwrap();
    let long = text.replace("for: 1s", "for: 60s").replace("json: {", "timeout: 1ms\n    json: {");
    std::fs::write(temp.path().join("bearer.yaml"), long.replace("name: use", "name: use\n    only: load"))
        .unwrap();
    let mut child =
        secret(temp.path(), "trace", &words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let journal = temp.path().join("out/journal");
    let until = Instant::now() + Duration::from_secs(20);
    while std::fs::metadata(&journal).map_or(0, |there| there.len()) < 2000 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    end(&mut child);
    assert!(std::fs::metadata(&journal).unwrap().len() > 500);
    assert_folder_clean(temp.path());
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Core dumps hold everything; this machine makes them, as the same process without a secret shows.
#[test]
fn no_core_is_dumped_of_a_process_that_holds_secrets() {
    use std::os::unix::process::ExitStatusExt as _;
    let service = service();
    let scenario = |value: &str| {
        format!("feature: f\nsteps:\n  - {{ name: s, get: /echo, headers: {{ x-k: \"{value}\" }} }}\n")
    };
    let dumped = |value: &str| {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("s.yaml"), scenario(value)).unwrap();
        let program = loadgate(temp.path()).get_program().to_owned();
        let mut command = Command::new("sh");
        let script = "ulimit -c unlimited; exec \"$0\" smoke s.yaml --target \"$1\" --watch 60s --out out";
        command.args(["-c", script]).arg(program).arg(&service.url).current_dir(temp.path()).envs(SECRETS);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while !temp.path().join("out/journal").exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
        let status = child.wait().unwrap();
        assert!(temp.path().join("out/journal").exists());
        assert_eq!(status.signal(), Some(6), "{status}");
        status.core_dumped()
    };
    assert!(dumped("nothing"), "this machine dumps no cores at all");
    assert!(!dumped("${secret.LG_KEY}"));
}
