use url::Url;

use super::curl_body::{Data, FormPart, Sent};
use super::draft::{DraftBody, DraftStep, Imported, draft_of, slug, step_name};
use super::secrets::{Safe, plain};
use super::shell::commands;
use crate::units::parse_duration_ns;

/// Options that take a value which says nothing of the request.
const WITH_VALUE: [&str; 31] = [
    "-o",
    "--output",
    "-w",
    "--write-out",
    "--connect-timeout",
    "-x",
    "--proxy",
    "--cacert",
    "--capath",
    "-E",
    "--cert",
    "--key",
    "-c",
    "--cookie-jar",
    "--retry",
    "--retry-delay",
    "--retry-max-time",
    "--resolve",
    "--connect-to",
    "--interface",
    "-D",
    "--dump-header",
    "--limit-rate",
    "--ciphers",
    "--tls-max",
    "--noproxy",
    "--unix-socket",
    "-K",
    "--config",
    "--max-redirs",
    "--cert-type",
];
/// Options without a value.
const WITHOUT: [&str; 26] = [
    "-s",
    "--silent",
    "-S",
    "--show-error",
    "-v",
    "--verbose",
    "-i",
    "--include",
    "-f",
    "--fail",
    "-k",
    "--insecure",
    "--compressed",
    "-O",
    "--remote-name",
    "-N",
    "--no-buffer",
    "--http1.1",
    "--http2",
    "-#",
    "--progress-bar",
    "-g",
    "--globoff",
    "-4",
    "--fail-with-body",
    "--no-progress-meter",
];
/// What a browser adds, or the transport.
pub const OWN_HEADERS: [&str; 29] = [
    "host",
    "connection",
    "content-length",
    "accept-encoding",
    "user-agent",
    "referer",
    "origin",
    "dnt",
    "te",
    "priority",
    "pragma",
    "cache-control",
    "upgrade-insecure-requests",
    "accept-language",
    "if-none-match",
    "if-modified-since",
    "transfer-encoding",
    "keep-alive",
    "proxy-connection",
    "expect",
    "alt-used",
    "purpose",
    "x-client-data",
    "save-data",
    "sec-gpc",
    "traceparent",
    "tracestate",
    "newrelic",
    "range",
];

/// Whether a scenario should send it.
pub fn is_own_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with(':')
        || name.starts_with("sec-")
        || name.starts_with("postman-")
        || OWN_HEADERS.contains(&name.as_str())
}

/// Copied `curl` commands, one after the other; each host has a file of its own.
///
/// # Errors
/// What is not understood, in words.
pub fn import_curl(text: &str, feature: Option<&str>) -> Result<Imported, String> {
    let (mut imported, mut safe) = (Imported::default(), Safe::default());
    if text.contains("^\"") || text.contains("^\n") || text.contains("^\r\n") {
        return Err("this is the form for the command prompt of Windows: copy it as cURL (bash)".into());
    }
    for mut words in commands(text)? {
        if words.first().is_some_and(|word| word == "$") {
            words.remove(0);
        }
        let program = words.first().map(String::as_str).unwrap_or_default();
        if !["curl", "curl.exe"].contains(&program) && !program.ends_with("/curl") {
            return Err(format!("`{program}` is no curl command"));
        }
        for command in words[1..].split(|word| word == "--next" || word == "-:") {
            let request = read(command)?;
            for option in &request.ignored {
                let line =
                    format!("curl's {option}: what a scenario does not say; flags of `smoke` and `run` may");
                if !imported.left_out.contains(&line) {
                    imported.left_out.push(line);
                }
            }
            if request.urls.is_empty() {
                return Err("a curl command without a URL".into());
            }
            for address in &request.urls {
                let (target, step) = request.step(address, &mut safe, &mut imported.left_out)?;
                let name = feature
                    .map_or_else(|| slug(target.split_once("://").map_or(&target, |(_, host)| host)), slug);
                let draft = draft_of(&mut imported.drafts, &target, &name);
                for file in step.body.files() {
                    if !draft.files.iter().any(|(known, _)| *known == file) {
                        imported.left_out.push(format!(
                            "{file}: put the file that is sent beside the scenario; an empty one stands there"
                        ));
                        draft.files.push((file, Vec::new()));
                    }
                }
                draft.steps.push(step);
            }
        }
    }
    if imported.drafts.is_empty() {
        return Err("there is no curl command in it".into());
    }
    for draft in &mut imported.drafts {
        draft.name_steps();
        draft.notes.push("From curl commands, by `loadgate import curl`.".into());
    }
    imported.secrets = safe.names();
    imported.safe = Some(safe);
    imported.finish();
    Ok(imported)
}

#[derive(Default)]
struct Request {
    urls: Vec<String>,
    method: Option<String>,
    headers: Vec<(String, String)>,
    sent: Sent,
    get: bool,
    head: bool,
    user: Option<String>,
    /// What `user` is for is made from an answer.
    challenged: bool,
    cookie: Option<String>,
    follows: bool,
    timeout: Option<String>,
    /// Options that say something of the connection, which a scenario's flags would say.
    ignored: Vec<String>,
}

fn read(words: &[String]) -> Result<Request, String> {
    let mut request = Request::default();
    let mut words = words.iter().cloned().collect::<std::collections::VecDeque<_>>();
    while let Some(word) = words.pop_front() {
        if !word.starts_with('-') || word == "-" {
            request.urls.push(word);
            continue;
        }
        // Short options may be bundled, and have their value glued to them.
        let bundle = !word.starts_with("--") && word.len() > 2 && word.is_char_boundary(2);
        let (option, glued) =
            if bundle { (word[..2].to_owned(), Some(word[2..].to_owned())) } else { (word.clone(), None) };
        let flag = WITHOUT.contains(&option.as_str()) || matches!(option.as_str(), "-G" | "-I" | "-L" | "-6");
        if flag && let Some(rest) = glued.clone() {
            words.push_front(format!("-{rest}"));
        }
        let glued = glued.filter(|_| !flag);
        let mut value = || {
            let next = glued.clone().or_else(|| words.pop_front());
            next.ok_or_else(|| format!("`{option}` has no value"))
        };
        match option.as_str() {
            "-X" | "--request" => request.method = Some(value()?),
            "-H" | "--header" => {
                let text = value()?;
                match text.split_once(':') {
                    // `A:` takes a header away that curl would add itself.
                    Some((_, own)) if own.trim().is_empty() => {}
                    Some((name, own)) => {
                        request.headers.push((name.trim().to_owned(), own.trim().to_owned()));
                    }
                    // `A;` stands for an empty header, and a file of headers is not here.
                    None if text.is_empty() || text.starts_with('@') || text.trim_end().ends_with(';') => {}
                    None => return Err(format!("`{option}` has a header without a colon")),
                }
            }
            "-d" | "--data" | "--data-ascii" | "--data-binary" => {
                request.sent.data.push(Data::read(value()?));
            }
            "--data-raw" => request.sent.data.push(Data::Text(value()?)),
            "--data-urlencode" => request.sent.data.push(Data::read_encoded(value()?)),
            "--json" => {
                request.sent.json = true;
                request.sent.data.push(Data::read(value()?));
            }
            "-F" | "--form" => request.sent.form.push(FormPart { text: value()?, literal: false }),
            "--form-string" => request.sent.form.push(FormPart { text: value()?, literal: true }),
            "-G" | "--get" => request.get = true,
            "-I" | "--head" => request.head = true,
            "-u" | "--user" => request.user = Some(value()?),
            "-b" | "--cookie" => request.cookie = Some(value()?),
            "-A" | "--user-agent" | "-e" | "--referer" => drop(value()?),
            "-L" | "--location" | "--location-trusted" => request.follows = true,
            "-m" | "--max-time" => {
                let text = value()?;
                let known = parse_duration_ns(&format!("{text}s"));
                let ns = known.map_err(|_| format!("`{option}` has no number of seconds"))?;
                // To curl, 0 is for ever.
                request.timeout = (ns > 0).then_some(text);
            }
            "-T" | "--upload-file" => request.sent.upload = Some(value()?),
            "--oauth2-bearer" => {
                let token = value()?;
                request.headers.push(("Authorization".into(), format!("Bearer {token}")));
            }
            "--url" => request.urls.push(value()?),
            own if WITH_VALUE.contains(&own) => {
                let _ = value()?;
                request.ignored.push(own.to_owned());
            }
            own @ ("-k" | "--insecure") => request.ignored.push(own.to_owned()),
            own if flag || WITHOUT.contains(&own) => {}
            own @ ("--digest" | "--ntlm" | "--negotiate") => {
                request.challenged = true;
                request.ignored.push(own.to_owned());
            }
            "--anyauth" => {}
            other => return Err(format!("curl's option `{other}` is not understood")),
        }
    }
    Ok(request)
}

impl Request {
    fn step(
        &self,
        address: &str,
        safe: &mut Safe,
        left_out: &mut Vec<String>,
    ) -> Result<(String, DraftStep), String> {
        let absolute = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let url = Url::parse(&absolute).map_err(|e| format!("`{address}` is no URL: {e}"))?;
        let mut step = DraftStep::default();
        let target = located(&url, &mut step, safe)?;
        let has = |name: &str| {
            self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
        };
        let kind = has("content-type").unwrap_or_default().to_ascii_lowercase();
        if self.get {
            for data in &self.sent.data {
                match data {
                    Data::Text(text) => {
                        let own = url::form_urlencoded::parse(text.as_bytes());
                        step.query.extend(own.map(|(name, value)| (plain(&name), safe.field(&name, &value))));
                    }
                    Data::Encoded(name, value) => step.query.push((plain(name), safe.field(name, value))),
                    Data::File(file) => left_out.push(format!("-d @{file} with -G: its content as a query")),
                }
            }
        } else {
            step.body = self.sent.body(&kind, safe, left_out);
        }
        let given = !self.get && !self.sent.data.is_empty();
        let sends = given || !matches!(step.body, DraftBody::None);
        let usual = match (self.head, self.sent.upload.is_some(), sends) {
            (true, ..) => "HEAD",
            (_, true, _) => "PUT",
            (_, _, true) => "POST",
            _ => "GET",
        };
        step.method = self.method.clone().unwrap_or_else(|| usual.to_owned()).to_ascii_uppercase();
        known_method(&step.method)?;
        for (name, value) in &self.headers {
            let of_body = name.eq_ignore_ascii_case("content-type") && step.body.brings(value);
            let any = name.eq_ignore_ascii_case("accept") && value == "*/*";
            if !(is_own_header(name) || of_body || any) {
                step.headers.push((name.to_ascii_lowercase(), safe.header(name, value)));
            }
        }
        if kind.is_empty()
            && let Some(usual) = self.sent.usual_type()
            && !matches!(step.body, DraftBody::None)
            && !step.body.brings(usual)
        {
            step.headers.push(("content-type".into(), usual.to_owned()));
        }
        if let Some(cookie) = &self.cookie {
            if cookie.contains('=') {
                step.headers.push(("cookie".into(), safe.secret("cookie", cookie)));
            } else {
                left_out.push(format!("-b {cookie}: the cookies of a file"));
            }
        }
        if let Some(user) = self.user.as_ref().filter(|_| !self.challenged) {
            step.headers.push(("authorization".into(), basic(user, safe)));
        }
        if self.follows {
            step.redirects = Some(10);
        }
        step.timeout = self.timeout.as_ref().map(|seconds| format!("{seconds}s"));
        step.name = step_name(&step.method, url.path());
        Ok((target, step))
    }
}

/// `user:password` as a header.
pub fn basic(user: &str, safe: &mut Safe) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(user);
    format!("Basic {}", safe.secret("basic_auth", &encoded))
}

/// Sets path, query and what user and password of an address mean; returns what it is below of.
pub fn located(url: &Url, step: &mut DraftStep, safe: &mut Safe) -> Result<String, String> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("`{url}` is no address of http or https"));
    }
    step.path = plain(url.path());
    step.query = url.query_pairs().map(|(name, value)| (plain(&name), safe.field(&name, &value))).collect();
    if let Some(password) = url.password() {
        step.headers.push(("authorization".into(), basic(&format!("{}:{password}", url.username()), safe)));
    }
    Ok(url.origin().ascii_serialization())
}

pub fn known_method(method: &str) -> Result<(), String> {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.contains(&method).then_some(()).ok_or_else(|| format!("the method {method} is not known here"))
}
