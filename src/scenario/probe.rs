use http::HeaderName;

use super::check::read_jsonpath;
use super::fields::{Fields, Reader};
use super::generate::Chance;
use super::node::{Key, Node, NodeValue};
use super::parse::required;
use super::scope::Scope;
use super::sources::{header_name, header_value};
use super::template::{Context, Template};
use crate::checks::Query;
use crate::metrics::ProbePlan;
use crate::secrets::without_userinfo;
use crate::units::{Metric, NS_PER_S, Threshold, Tolerance, parse_tolerance};

pub const PROBE_KEYS: [&str; 18] = [
    "prometheus",
    "query",
    "query_range",
    "late",
    "json",
    "jsonpath",
    "at",
    "command",
    "headers",
    "every",
    "timeout",
    "max_age",
    "limit",
    "for",
    "compare",
    "of",
    "allowed",
    "arms",
];
pub const ARM_KEYS: [&str; 2] = ["control", "candidate"];
const KINDS: [&str; 3] = ["prometheus", "json", "command"];
/// What only a probe knows.
const OWN_NAMES: [&str; 2] = ["arm", "target"];

const DEFAULT_EVERY_NS: u64 = 5 * NS_PER_S;
const DEFAULT_TIMEOUT_NS: u64 = 5 * NS_PER_S;
/// Prometheus scrapes once a minute where nobody says otherwise.
const DEFAULT_MAX_AGE_NS: u64 = 90 * NS_PER_S;
const DEFAULT_FOR_NS: u64 = 60 * NS_PER_S;
const DEFAULT_LATE_NS: u64 = 30 * NS_PER_S;
const DEFAULT_ALLOWED: Tolerance = Tolerance { share: 0.005, floor_ms: 0.0 };

/// A figure that is read beside the load.
#[derive(Clone, Debug)]
pub struct Probe {
    pub plan: ProbePlan,
    source: Source,
    headers: Vec<(HeaderName, Template)>,
    timeout_ns: u64,
    /// What `${arm}` stands for.
    arms: Arms,
}

#[derive(Clone, Debug)]
struct Arms {
    control: String,
    candidate: String,
}

#[derive(Clone, Debug)]
enum Source {
    Prometheus { base: Template, query: Template, of: Option<Template>, late_ns: Option<u64> },
    Json { url: Template, value: Query, of: Option<Query>, at: Option<Query> },
    Command { words: Vec<Template>, shell: bool },
}

/// A probe with all names replaced: what is asked of one arm.
#[derive(Clone, Debug)]
pub struct ProbeCall {
    pub source: CallSource,
    pub headers: Vec<(HeaderName, String)>,
    pub every_ns: u64,
    pub timeout_ns: u64,
    pub max_age_ns: u64,
}

#[derive(Clone, Debug)]
pub enum CallSource {
    Prometheus {
        base: String,
        query: String,
        of: Option<String>,
        /// Asked once for the whole window, and again until it is whole or this much time has passed. `None`: asked while
        /// the load runs.
        late_ns: Option<u64>,
    },
    Json {
        url: String,
        value: Query,
        of: Option<Query>,
        at: Option<Query>,
    },
    Command {
        program: String,
        arguments: Vec<String>,
        /// For its environment.
        variables: Vec<(&'static str, String)>,
    },
}

impl Probe {
    /// `target` is the arm's base URL.
    #[must_use]
    pub fn call(&self, target: &str, of_control: bool) -> ProbeCall {
        let arm = if of_control { &self.arms.control } else { &self.arms.candidate };
        let target = target.trim_end_matches('/');
        let captures = [Some(arm.as_str().into()), Some(target.into())];
        let chance = Chance::default();
        let context = Context { rows: &[], captures: &captures, chance: &chance };
        let render = |template: &Template| template.render(&context);
        let source = match &self.source {
            Source::Prometheus { base, query, of, late_ns } => CallSource::Prometheus {
                base: render(base).trim_end_matches('/').to_owned(),
                query: render(query),
                of: of.as_ref().map(render),
                late_ns: *late_ns,
            },
            Source::Json { url, value, of, at } => {
                CallSource::Json { url: render(url), value: value.clone(), of: of.clone(), at: at.clone() }
            }
            Source::Command { words, shell } => {
                let words: Vec<String> = words.iter().map(render).collect();
                let (program, arguments) = if *shell {
                    ("sh".to_owned(), vec!["-c".to_owned(), words.concat()])
                } else {
                    (words[0].clone(), words[1..].to_vec())
                };
                let variables = vec![("LOADGATE_ARM", arm.clone()), ("LOADGATE_TARGET", target.to_owned())];
                CallSource::Command { program, arguments, variables }
            }
        };
        ProbeCall {
            source,
            headers: self.headers.iter().map(|(name, value)| (name.clone(), render(value))).collect(),
            every_ns: self.plan.every_ms * 1_000_000,
            timeout_ns: self.timeout_ns,
            max_age_ns: self.plan.max_age_ms * 1_000_000,
        }
    }

    /// Whether two of one name are one.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let told = |probe: &Self| {
            let plan = ProbePlan { place: String::new(), ..probe.plan.clone() };
            let (headers, timeout_ns, arms) = (&probe.headers, probe.timeout_ns, &probe.arms);
            format!("{plan:?}{:?}{headers:?}{timeout_ns}{arms:?}", probe.source)
        };
        told(self) == told(other)
    }
}

impl ProbeCall {
    /// Whether it is asked once, of the whole window.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.source, CallSource::Prometheus { late_ns: Some(_), .. })
    }

    /// What tells it from the same probe's call on the other arm.
    #[must_use]
    pub fn key(&self) -> String {
        let source = match &self.source {
            CallSource::Json { url, .. } => url.clone(),
            other => format!("{other:?}"),
        };
        let headers: Vec<&String> = self.headers.iter().map(|(_, value)| value).collect();
        format!("{source}{headers:?}")
    }
}

/// Every entry of `probes`.
pub fn read_probes(reader: &Reader, node: &Node, scope: &Scope<'_>) -> Vec<Probe> {
    let what = "names and what is read, such as `cpu: { prometheus: http://…, query: …, limit: < 70% }`";
    let entries = reader.map(node, what).unwrap_or_default();
    entries.iter().filter_map(|(key, node)| read_probe(reader, key, node, scope)).collect()
}

fn read_probe(reader: &Reader, key: &Key, node: &Node, scope: &Scope<'_>) -> Option<Probe> {
    let what = "a probe such as `{ prometheus: http://…, query: …, limit: < 70% }`";
    let fields = reader.fields(node, what, &PROBE_KEYS)?;
    let kind = reader.exactly_one(node, &fields, "a probe", &KINDS)?;
    misplaced(reader, &fields, kind);
    let template = |n: &Node| {
        let text = reader.scalar(n, "text")?;
        scope.outer_template(reader, n, &text, &OWN_NAMES)
    };
    let duration = |name: &str, fallback: u64| {
        fields.get(name).map_or(Some(fallback), |n| reader.duration(n, "a duration such as 30s"))
    };
    let own = fields.get(kind)?;
    let (source, asks) = match kind {
        "prometheus" => {
            let base = template(own)?;
            let how =
                reader.exactly_one(node, &fields, "a probe of Prometheus", &["query", "query_range"])?;
            let query = template(fields.get(how)?)?;
            let of = fields.get("of").map(template);
            let late_ns = duration("late", DEFAULT_LATE_NS)?;
            let whole = if how == "query_range" { ", of the whole window" } else { "" };
            let asks = format!("{}: {}{whole}", without_userinfo(&base.canonical()), query.canonical());
            let of = match of {
                Some(of) => Some(of?),
                None => None,
            };
            (Source::Prometheus { base, query, of, late_ns: (how == "query_range").then_some(late_ns) }, asks)
        }
        "json" => {
            let url = template(own)?;
            let path = required(reader, &fields, "jsonpath", "where the figure stands, such as `$.cpu`")?;
            let value = read_jsonpath(reader, path)?;
            let asks = format!("{}: {value}", without_userinfo(&url.canonical()));
            let of = fields.get("of").and_then(|n| read_jsonpath(reader, n));
            let at = fields.get("at").and_then(|n| read_jsonpath(reader, n));
            (Source::Json { url, value, of, at }, asks)
        }
        _ => {
            let (words, shell) = match &own.value {
                NodeValue::List(words) if !words.is_empty() => {
                    (words.iter().map(template).collect::<Option<Vec<_>>>()?, false)
                }
                _ => (vec![template(own)?], true),
            };
            let told: Vec<String> = words.iter().map(Template::canonical).collect();
            (Source::Command { words, shell }, told.join(" "))
        }
    };
    let every_ns = duration("every", DEFAULT_EVERY_NS)?;
    if every_ns < NS_PER_S {
        let span = fields.get("every").map_or(&node.span, |n| &n.span);
        reader.fail(span, "a probe asks once a second at most", "what it reads changes no faster", None);
    }
    let limit = match fields.get("limit") {
        Some(n) => {
            let text = reader.scalar(n, "a bound such as `< 70%`")?;
            Some(reader.take(n, "expected a bound", Threshold::parse(&text))?)
        }
        None => None,
    };
    let compare = read_compare(reader, &fields, limit.is_some());
    let arm = |name: &str, inner: Option<&Fields<'_>>| match inner.and_then(|inner| inner.get(name)) {
        Some(n) => reader.scalar(n, "what `${arm}` stands for"),
        None => Some(name.to_owned()),
    };
    let inner = match fields.get("arms") {
        Some(n) => Some(reader.fields(n, "`control` and `candidate`", &ARM_KEYS)?),
        None => None,
    };
    let arms =
        Arms { control: arm("control", inner.as_ref())?, candidate: arm("candidate", inner.as_ref())? };
    let headers = read_headers(reader, &fields, &template)?;
    let plan = ProbePlan {
        name: key.name.clone(),
        place: format!("{}:{}", reader.source().path.display(), reader.place(&key.span).line),
        asks,
        every_ms: every_ns / 1_000_000,
        max_age_ms: duration("max_age", DEFAULT_MAX_AGE_NS)? / 1_000_000,
        limit,
        for_ms: duration("for", DEFAULT_FOR_NS)? / 1_000_000,
        compare,
        of_arm: false,
    };
    Some(Probe { plan, source, headers, timeout_ns: duration("timeout", DEFAULT_TIMEOUT_NS)?, arms })
}

/// `headers`, for whoever sends them outside of a load.
pub fn read_headers(
    reader: &Reader,
    fields: &Fields<'_>,
    template: &dyn Fn(&Node) -> Option<Template>,
) -> Option<Vec<(HeaderName, Template)>> {
    let all = fields.get("headers").and_then(|n| reader.map(n, "header names and values"));
    let read = |(key, value): &(Key, Node)| {
        let at = Node { span: key.span.clone(), value: NodeValue::Text(key.name.clone()) };
        let name = header_name(reader, &at, &key.name)?;
        Some((name, header_value(reader, value, template(value)?)?))
    };
    all.unwrap_or_default().iter().map(read).collect()
}

/// Keys that say nothing for this kind of probe, or for its rule.
fn misplaced(reader: &Reader, fields: &Fields<'_>, kind: &str) {
    let of_kind = [
        ("query", "prometheus"),
        ("query_range", "prometheus"),
        ("late", "prometheus"),
        ("jsonpath", "json"),
        ("at", "json"),
    ];
    for (name, meant) in of_kind {
        if let Some((key, _)) = fields.entry(name).filter(|_| kind != meant) {
            reader.fail(&key.span, format!("`{name}` is for `{meant}`"), format!("this asks a {kind}"), None);
        }
    }
    for (name, meant) in
        [("late", "query_range"), ("for", "limit"), ("of", "compare"), ("allowed", "compare")]
    {
        if let Some((key, _)) = fields.entry(name).filter(|_| fields.get(meant).is_none()) {
            let label = format!("there is no `{meant}` here");
            reader.fail(&key.span, format!("`{name}` belongs to `{meant}`"), label, None);
        }
    }
    for (name, label) in [("headers", "give it arguments"), ("compare", "it prints one figure")] {
        if let Some((key, _)) = fields.entry(name).filter(|_| kind == "command") {
            reader.fail(&key.span, format!("a command has no `{name}`"), label, None);
        }
    }
}

fn read_compare(reader: &Reader, fields: &Fields<'_>, limited: bool) -> Option<Tolerance> {
    let (key, node) = fields.entry("compare")?;
    reader.word(node, "comparison", &[("error_rate", ())])?;
    if limited {
        reader.fail(&key.span, "a probe has a `limit` or a `compare`", "counts have no limit", None);
        return None;
    }
    if fields.get("of").is_none() {
        let help = "`query` counts what failed, `of` counts all: both as counters that only grow, such as \
                    `sum(http_requests_total{version=\"${arm}\"})`";
        let label = "a rate alone does not say how many requests stand behind it";
        reader.fail(&key.span, "`compare` needs counts", label, Some(help.to_owned()));
        return None;
    }
    let Some(n) = fields.get("allowed") else { return Some(DEFAULT_ALLOWED) };
    let text = reader.scalar(n, "percentage points, such as 0.5pp")?;
    let allowed = parse_tolerance(Metric::ErrorRate, &text);
    reader.take(n, "expected a difference of error rates", allowed)
}
