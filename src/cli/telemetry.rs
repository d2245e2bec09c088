//! Who is told figures while a load runs.

use clap::Args as ClapArgs;

use crate::commands::Session;
use crate::error::{Error, Result};

/// Of the commands that send load.
#[derive(ClapArgs, Clone, Debug)]
pub struct TelemetryArgs {
    #[arg(
        long,
        value_name = "URL",
        env = "LOADGATE_OTLP",
        help = "Tell figures to an OpenTelemetry collector while the load runs: OTLP over HTTP, such as http://localhost:4318; \
                headers from OTEL_EXPORTER_OTLP_HEADERS"
    )]
    pub otlp: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        env = "LOADGATE_REMOTE_WRITE",
        help = "Write figures to Prometheus, such as http://localhost:9090/api/v1/write; a bearer token from \
                LOADGATE_REMOTE_WRITE_TOKEN"
    )]
    pub remote_write: Option<String>,
    /// Serve figures for Prometheus to scrape at /metrics of this address, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS", env = "LOADGATE_METRICS_LISTEN")]
    pub metrics_listen: Option<String>,
    /// How often figures are told
    #[arg(long, value_name = "DURATION", default_value = "5s", env = "LOADGATE_METRICS_EVERY")]
    pub metrics_every: String,
    /// How long the page to scrape stays when all is measured
    #[arg(long, value_name = "DURATION", default_value = "0s", env = "LOADGATE_METRICS_LINGER")]
    pub metrics_linger: String,
    /// Send a `traceparent` with each request of the load, so that slow ones can be found in the target's traces
    #[arg(long, env = "LOADGATE_TRACEPARENT")]
    pub traceparent: bool,
}

/// Sets what flags and the usual variables say.
#[cfg(feature = "telemetry")]
pub fn telling_figures(args: &TelemetryArgs, session: &mut Session) -> Result<()> {
    use super::resolve::{base_url, duration};
    use crate::commands::{LEAST_TOKEN, learn_header};
    use crate::telemetry::{Collector, TelemetryOptions};
    use crate::units::percent_decoded;
    use http::HeaderName;

    session.traced = args.traceparent;

    let collector = |url: &String, path: &dyn Fn(&str) -> Option<String>| -> Result<Collector> {
        base_url(url)?;
        let mut whole =
            url::Url::parse(url).map_err(|e| Error::usage(format!("`{url}` is not a URL: {e}")))?;
        if let Some(path) = path(whole.path().trim_end_matches('/')) {
            whole.set_path(&path);
        }
        Ok(Collector { url: whole.into(), headers: Vec::new() })
    };
    // The address of a collector is a base, by OpenTelemetry's rules; where the whole is given, it is taken.
    let metrics = |base: &str| (!base.ends_with("/v1/metrics")).then(|| format!("{base}/v1/metrics"));
    let write = |path: &str| path.is_empty().then(|| "/api/v1/write".to_owned());
    let mut otlp = args.otlp.as_ref().map(|url| collector(url, &metrics)).transpose()?;
    if let Some(otlp) = &mut otlp
        && let Ok(text) = std::env::var("OTEL_EXPORTER_OTLP_HEADERS")
    {
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let fail = || {
                Error::usage_hint(
                    "OTEL_EXPORTER_OTLP_HEADERS is not understood",
                    "it is name=value,name=value",
                )
            };
            let (name, value) = pair.split_once('=').ok_or_else(fail)?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| fail())?;
            let value = percent_decoded(value.trim());
            learn_header(&session.secrets, name.as_str(), &value, LEAST_TOKEN);
            otlp.headers.push((name, value));
        }
    }
    let mut remote_write = args.remote_write.as_ref().map(|url| collector(url, &write)).transpose()?;
    if let Some(own) = &mut remote_write
        && let Ok(token) = std::env::var("LOADGATE_REMOTE_WRITE_TOKEN")
    {
        session.secrets.learn("LOADGATE_REMOTE_WRITE_TOKEN", &token);
        own.headers.push((http::header::AUTHORIZATION, format!("Bearer {token}")));
    }
    let listen = args.metrics_listen.as_ref().map(|text| {
        let hint = "it is an address and a port of this machine, such as 127.0.0.1:9464";
        text.parse().map_err(|e| Error::usage_hint(format!("--metrics-listen {text}: {e}"), hint))
    });
    session.telemetry = TelemetryOptions {
        otlp,
        remote_write,
        listen: listen.transpose()?,
        every: duration("--metrics-every", &args.metrics_every)?,
        linger: duration("--metrics-linger", &args.metrics_linger)?,
    };
    Ok(())
}

#[cfg(not(feature = "telemetry"))]
pub fn telling_figures(args: &TelemetryArgs, session: &mut Session) -> Result<()> {
    session.traced = args.traceparent;
    let asked = [
        ("--otlp", &args.otlp),
        ("--remote-write", &args.remote_write),
        ("--metrics-listen", &args.metrics_listen),
    ];
    match asked.into_iter().find(|(_, given)| given.is_some()) {
        None => Ok(()),
        Some((flag, _)) => Err(Error::usage_hint(
            format!("{flag}: this build of loadgate tells no figures"),
            "build it with `--features telemetry`",
        )),
    }
}
