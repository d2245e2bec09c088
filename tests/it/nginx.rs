use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{fixture, http, json, loadgate, named, results, run};

/// Debian's nginx serving `tests/fixtures/nginx/www`, with an access log to count by.
struct Nginx {
    child: Child,
    address: String,
    log: std::path::PathBuf,
}

impl Nginx {
    fn start(folder: &Path) -> Self {
        Self::listening(folder, "", "")
    }

    /// With TLS by a certificate that nobody knows: `ca.pem` in the folder.
    fn start_tls(folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("ca.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let at = folder.display();
        Self::listening(
            folder,
            " ssl http2",
            &format!("ssl_certificate {at}/ca.pem; ssl_certificate_key {at}/key.pem;"),
        )
    }

    fn listening(folder: &Path, options: &str, more: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (log, at) = (folder.join("access.log"), folder.display());
        let conf = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr;\n\
             events {{ worker_connections 16384; }}\n\
             http {{ types {{ application/json json; }} log_format protocol '$server_protocol'; access_log {} protocol;\n\
             client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
             keepalive_requests 1000000;\n\
             server {{ listen 127.0.0.1:{port}{options}; {more} root {}; }} }}\n",
            log.display(),
            fixture("nginx/www")
        );
        std::fs::write(folder.join("nginx.conf"), conf).unwrap();
        let child = Command::new("/usr/sbin/nginx")
            .args(["-p", &at.to_string(), "-c", "nginx.conf"])
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed by ci/test");
        let nginx = Self { child, address: format!("127.0.0.1:{port}"), log };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(&nginx.address).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        nginx
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_server_is_measured_and_counts_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(temp.path());
    let scenario = fixture("nginx/catalog.yaml");
    let ran = run(loadgate(temp.path()).args([
        "run",
        &scenario,
        "--target",
        &nginx.url(),
        "--out",
        "out",
        "--wait",
        "10s",
    ]));
    ran.expect(0).says("GO. PASS: 3 endpoints within limits");
    let verdict = json(&results(temp.path()).join("verdict.json"));
    for endpoint in verdict["endpoints"].as_array().unwrap() {
        assert_eq!((&endpoint["requests"], &endpoint["errors"]), (&1000.into(), &0.into()));
    }
    // Readiness, three smoke steps, a second of warm-up, five seconds measured.
    let served = std::fs::read_to_string(&nginx.log).unwrap().lines().count();
    assert_eq!(served, 1 + 3 + 3 * 200 + 3 * 1000);
}

#[test]
fn a_404_fails_the_smoke_pass_and_a_killed_server_the_load() {
    let temp = tempfile::tempdir().unwrap();
    let mut nginx = Nginx::start(temp.path());
    let missing = fixture("nginx/missing-item.yaml");
    let ran =
        run(loadgate(temp.path()).args(["run", &missing, "--target", &nginx.url(), "--out", "missing"]));
    ran.expect(1)
        .says("status: expected 200, got 404")
        .says("/no-such-item.json")
        .says("missing-item.yaml:22:16");
    assert_eq!(json(&temp.path().join("missing/run.json"))["runs"].as_array().unwrap().len(), 0);

    let scenario = fixture("nginx/catalog.yaml");
    let child = loadgate(temp.path())
        .args(["run", &scenario, "--target", &nginx.url(), "--out", "out"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(http(&nginx.address, "GET", "/catalog.json", "").0, 200);
    nginx.child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("Too many errors") && text.contains("connect"), "{text}");
    let verdict = json(&results(temp.path()).join("verdict.json"));
    assert_eq!(named(&verdict, "fail"), ["catalog/list"]);
    let record = json(&results(temp.path()).join("run.json"));
    assert_eq!(record["runs"][0]["stop"], "done", "a dead target does not stop the schedule");
}

/// Its certificate is believed only where that was asked for; HTTP/2 is spoken where it is offered, or demanded.
#[test]
fn tls_is_verified_and_http2_negotiated() {
    let temp = tempfile::tempdir().unwrap();
    let nginx = Nginx::start_tls(temp.path());
    let url = nginx.url().replace("http://127.0.0.1", "https://localhost") + "/catalog.json";
    let quick = |more: &[&str]| {
        let args = ["quick", &url, "-c", "4", "-n", "50", "--warmup", "0s", "--quiet"];
        run(loadgate(temp.path()).args(args).args(more))
    };
    quick(&[]).expect(1).says("tls: ");
    quick(&["--insecure"]).expect(0).says("tls");
    quick(&["--cacert", "ca.pem"]).expect(0);
    quick(&["-k", "--http2"]).expect(0);
    quick(&["-k", "--transport", "http"]).expect(0);
    // Smoke through `wire` too, where HTTP/2 once panicked.
    quick(&["-k", "--transport", "wire", "--http2"]).expect(0);
    let before = std::fs::read_dir(temp.path().join("results")).unwrap().count();
    quick(&["--cacert", "no-such.pem"]).expect(2).says("no-such.pem");
    assert_eq!(before, std::fs::read_dir(temp.path().join("results")).unwrap().count(), "nothing is written");
    let log = std::fs::read_to_string(&nginx.log).unwrap();
    assert_eq!((log.matches("HTTP/2.0").count(), log.lines().count()), (5 * 51, 5 * 51));
}

/// More than this machine can send: it says so, says how much it sent, and blames nobody else.
#[test]
fn an_overloaded_generator_blames_itself() {
    let temp = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(temp.path());
    let output = Command::new("taskset")
        .args(["-c", "0", env!("CARGO_BIN_EXE_loadgate"), "quick", &format!("{}/catalog.json", nginx.url())])
        .args(["--rate", "500000/s"])
        .args(["--for", "2s", "--quiet", "--out", "out"])
        .current_dir(temp.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    for words in ["HOLD. The measurement cannot be trusted.", "of 500,000/s: its one core was", "--shard"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let verdict = json(&results(temp.path()).join("verdict.json"));
    assert_eq!((&verdict["generator"]["healthy"], &verdict["cause"]), (&false.into(), &"invalid".into()));
}
