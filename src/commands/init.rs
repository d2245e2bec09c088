use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, Method};
use url::Url;

use super::session::tell;
use super::signals::block_on;
use crate::credentials::in_query;
use crate::error::{Error, Result};
use crate::report::{Met, starter_job, starter_scenario};
use crate::scenario::{LoadOptions, SCHEMA, load};
use crate::secrets::{Secrets, without_userinfo};
use crate::store::write_atomic;
use crate::transport::{HttpTransport, Kind, Lane, Request, Transport as _, TransportOptions};

pub struct InitRequest {
    /// Absolute.
    pub url: String,
    pub dir: PathBuf,
    pub feature: Option<String>,
    pub transport: TransportOptions,
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks a service once and writes a scenario that holds for its answer, the schema for editors, and a CI job. Nothing that
/// is there is touched.
///
/// # Errors
/// If the service does not answer, or a file is there already.
pub fn init(request: &InitRequest) -> Result<u8> {
    let secrets = Secrets::new(in_query(&request.url));
    let shown = secrets.scrub(&without_userinfo(&request.url));
    let bad = |reason: String| Error::usage(format!("{shown}: {reason}"));
    let transport = HttpTransport::new(&request.transport)?;
    let asked = Request::new(Method::GET, &request.url, HeaderMap::new(), None, TIMEOUT).map_err(bad)?;
    let exchange =
        block_on(async { Ok(transport.exchange(&Lane::shared(), &asked).await) })?.map_err(|e| {
            let message = format!("{shown} does not answer: {}", e.message);
            Error::usage_hint(message, "give an address of the service that answers to GET")
        })?;
    if exchange.status >= 300 && !matches!(exchange.status, 401 | 403) {
        let location = exchange.headers.map().get(http::header::LOCATION).and_then(|v| v.to_str().ok());
        let hint = match location.filter(|_| exchange.status < 400) {
            Some(to) => format!("it leads on to {to}: give that address"),
            None => {
                "a scenario is made from an answer as it should be: give an address that answers with 2xx"
                    .into()
            }
        };
        return Err(Error::usage_hint(format!("{shown} answers {}", exchange.status), hint));
    }
    let url = Url::parse(&request.url).map_err(|e| bad(e.to_string()))?;
    let met =
        Met::new(&url, request.feature.as_deref(), exchange.status, exchange.headers.map(), &exchange.body);
    let dir = if request.dir == Path::new(".") { PathBuf::new() } else { request.dir.clone() };
    let folder = dir.join("loadgate");
    let scenario = folder.join(format!("{}.yaml", met.feature));
    let files = [
        (scenario.clone(), starter_scenario(&met)),
        (folder.join("schema.json"), SCHEMA.to_owned()),
        (dir.join(".github/workflows/loadgate.yml"), starter_job(&met)),
    ];
    // The schema is no one's own, so a second scenario may find it there.
    let own =
        |path: &Path| path.ends_with("schema.json") || (path.ends_with("loadgate.yml") && !scenario.exists());
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists() && !own(path)) {
        let hint = "give another --feature or --dir, or take it away first";
        return Err(Error::usage_hint(format!("{} is already there", path.display()), hint));
    }
    let new: Vec<_> = files.iter().filter(|(path, _)| !path.exists()).collect();
    if let Err(error) = new.iter().try_for_each(|(path, text)| write_atomic(path, text.as_bytes())) {
        // All or none: a part of them would stand in the way of the next try.
        for (path, _) in &new {
            let _ = std::fs::remove_file(path);
        }
        return Err(error);
    }
    for (path, _) in new {
        tell(&format!("wrote {}\n", path.display()))?;
    }
    let options = LoadOptions { transport: Kind::Wire.name(), ..LoadOptions::default() };
    load(std::slice::from_ref(&scenario), &options)?;
    let (file, target) = (scenario.display(), &met.target);
    let asked: Vec<String> = met.asked().into_iter().map(|name| format!("export {name}=…")).collect();
    let asked = if asked.is_empty() { String::new() } else { format!("\n  {}", asked.join("\n  ")) };
    tell(&format!(
        "\n{shown} answered {} in this form; look at the checks, then:\n{asked}\n  loadgate validate {file}\n  loadgate smoke {file} --target {target}\n  loadgate run {file} --target {target}\n",
        met.status
    ))?;
    Ok(0)
}
