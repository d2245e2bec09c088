use crate::support::{Demo, http, raw};

#[test]
fn the_demo_serves_real_files_live_events_and_metrics() {
    let demo = Demo::start(&["--allow-faults"]);
    let at = demo.address();
    let (status, body) = http(at, "POST", "/api/v1/reports", "{\"property_id\": \"prop-0001\"}");
    assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
    let (_, pdf) = http(at, "GET", "/api/v1/reports/report-1/export?format=pdf", "");
    let text = String::from_utf8_lossy(&pdf);
    assert!(text.starts_with("%PDF-") && text.trim_end().ends_with("%%EOF"));
    let start: usize = text.lines().rev().nth(1).unwrap().parse().unwrap();
    assert!(pdf[start..].starts_with(b"xref"), "startxref points at the table");
    let (_, xlsx) = http(at, "GET", "/api/v1/reports/report-1/export?format=xlsx", "");
    assert_eq!(cells(&xlsx)[0], ["metric", "value"]);
    let (status, _) = http(at, "GET", "/api/v1/reports/report-1/export?format=doc", "");
    assert_eq!(status, 400);

    let events = raw(at, &format!("GET /api/v1/risk/events HTTP/1.1\r\nhost: {at}\r\n\r\n"), |got| {
        String::from_utf8_lossy(got).matches("event: risk").count() >= 2
    });
    assert!(String::from_utf8_lossy(&events).contains("text/event-stream"));

    let upgrade = format!(
        "GET /api/v1/risk/live HTTP/1.1\r\nhost: {at}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let live = raw(at, &upgrade, |got| String::from_utf8_lossy(got).contains("risk_score"));
    let live = String::from_utf8_lossy(&live);
    assert!(live.starts_with("HTTP/1.1 101") && live.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{live}");

    let metrics = String::from_utf8(http(at, "GET", "/metrics", "").1).unwrap();
    for name in ["demo_cpu_ratio", "demo_memory_ratio", "demo_db_connections", "demo_requests_total"] {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{metrics}");
    }
}

/// As a reader finds them that knows archives and XML: from part to part, by their relationships.
fn cells(workbook: &[u8]) -> Vec<Vec<String>> {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("book.xlsx");
    std::fs::write(&path, workbook).unwrap();
    serde_json::from_str(&crate::reports::python("cells.py", &[&path])).unwrap()
}

#[test]
fn faults_change_at_run_time_where_that_is_allowed() {
    let demo = Demo::start(&["--allow-faults"]);
    let at = demo.address();
    let get = |path: &str| {
        let (status, body) = http(at, "GET", path, "");
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let set = |faults: &str| http(at, "PUT", "/faults", faults).0;
    assert_eq!(set("[\"feed-down\"]"), 204);
    let (status, body) = get("/api/v1/market/insights/at-styria");
    assert!(status == 200 && body.contains("\"stale\":true"), "degrades gracefully: {body}");
    assert_eq!(
        set("[\"leak-personal-data:churn-prediction\", \"errors:risk-dashboard:100%\", \"db-spike\"]"),
        204
    );
    assert!(get("/api/v1/churn/tenants/7").1.contains("jane.doe@example.com"));
    assert_eq!(get("/dashboard").0, 500);
    let connections = get("/metrics").1;
    let connections = connections
        .lines()
        .find_map(|l| l.strip_prefix("demo_db_connections "))
        .unwrap()
        .parse::<u64>()
        .unwrap();
    assert!(connections > 100, "{connections}");
    assert_eq!(set("[\"reset:risk-dashboard:100%\", \"drip:churn-prediction\"]"), 204);
    let cut = http(at, "GET", "/dashboard", "").1;
    assert!(!cut.is_empty() && !cut.ends_with(b"</html>"), "the connection ends in the middle");
    let (status, body) = get("/api/v1/churn/tenants/7");
    assert!(status == 200 && body.ends_with('}'), "a slow body is whole: {body}");
    assert_eq!(set("[\"slwo:risk-dashboard:+60%\"]"), 400);
    assert_eq!(set("[]"), 204);
    assert_eq!(get("/dashboard").0, 200);

    let closed = Demo::start(&[]);
    assert_eq!(http(closed.address(), "PUT", "/faults", "[]").0, 403);
}

#[test]
fn scores_are_stable_and_each_start_is_another_instance() {
    let (one, two) = (Demo::start(&[]), Demo::start(&["--fault", "wrong-score:churn-prediction"]));
    let score = |demo: &Demo, tenant: u32| {
        let (_, body) =
            http(demo.address(), "POST", "/api/v1/churn/score", &format!("{{\"tenant_id\": {tenant}}}"));
        serde_json::from_slice::<serde_json::Value>(&body).unwrap()["risk_score"].as_f64().unwrap()
    };
    assert_eq!(score(&one, 7), score(&one, 7));
    assert_ne!(score(&one, 7), score(&one, 8));
    assert!((score(&two, 7) - score(&one, 7) - 1.2).abs() < 1e-9);
    let instance = |demo: &Demo| {
        let at = demo.address();
        let got =
            raw(at, &format!("GET /healthz HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n"), |_| false);
        let text = String::from_utf8(got).unwrap();
        text.lines().find(|l| l.starts_with("x-instance")).unwrap().to_owned()
    };
    assert_ne!(instance(&one), instance(&two));
}
