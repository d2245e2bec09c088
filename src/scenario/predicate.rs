use super::check::{StepReader, read_jsonpath, read_regex};
use super::fields::Fields;
use super::node::{Node, NodeValue};
use crate::checks::{Operand, Predicate, ValueType};
use crate::units::parse_duration_ns;

pub const PREDICATES: [&str; 10] =
    ["equals", "not", "contains", "between", "count", "exists", "matches", "newer_than", "type", "sum"];
/// What can be said of a single value, and so be denied.
pub const DENIABLE: [&str; 6] = ["equals", "contains", "between", "matches", "newer_than", "type"];
pub const SUM_KEYS: [&str; 3] = ["equals", "jsonpath", "within"];

impl StepReader<'_, '_, '_> {
    pub fn predicate(&mut self, node: &Node, fields: &Fields<'_>) -> Option<Predicate> {
        let name = self.reader.exactly_one(node, fields, "", &PREDICATES)?;
        self.named_predicate(name, fields.get(name)?)
    }

    fn named_predicate(&mut self, name: &str, value: &Node) -> Option<Predicate> {
        let reader = self.reader;
        Some(match name {
            "equals" => Predicate::Equals(self.operand(value)?),
            "contains" => {
                if matches!(&value.value, NodeValue::Text(text) if text.is_empty()) {
                    reader.fail(
                        &value.span,
                        "this check can never fail",
                        "every text contains nothing",
                        None,
                    );
                }
                Predicate::Contains(self.operand(value)?)
            }
            "not" => {
                let inner =
                    reader.fields(value, "a predicate to deny, such as `{ equals: 0 }`", &PREDICATES)?;
                let name = reader.exactly_one(value, &inner, "`not`", &PREDICATES)?;
                if !DENIABLE.contains(&name) {
                    let help = match name {
                        "exists" => "write `exists: false`",
                        "count" => "give the other bounds, such as `count: { max: 0 }`",
                        _ => "take `not` away",
                    };
                    let message = format!("`not` denies one of {}", DENIABLE.join(", "));
                    let label = format!("`{name}` cannot be denied");
                    reader.fail(&inner.entry(name)?.0.span, message, label, Some(help.to_owned()));
                    return None;
                }
                Predicate::Not(Box::new(self.named_predicate(name, inner.get(name)?)?))
            }
            "exists" => Predicate::Exists(reader.flag(value, "true or false")?),
            "type" => Predicate::Type(reader.word(value, "type", &ValueType::WORDS)?),
            "newer_than" => self.newer_than(value)?,
            "matches" => {
                let regex = read_regex(reader, value)?;
                if regex.is_match("") && ["\u{0}", "a", "é 1\n"].iter().all(|text| regex.is_match(text)) {
                    let help = Some("`\\S` asks for any text that is not blank".to_owned());
                    reader.fail(
                        &value.span,
                        "this check can never fail",
                        "matches any text, an empty one too",
                        help,
                    );
                }
                Predicate::Matches(regex)
            }
            "between" => match reader.list(value, "two numbers such as [0, 1]")? {
                [low, high] => {
                    let (low, high) = (reader.number(low, "a number")?, reader.number(high, "a number")?);
                    if low > high {
                        let help = Some(format!("[{high}, {low}]"));
                        let label = "the lower bound is above the upper";
                        reader.fail(&value.span, "this check can never hold", label, help);
                    }
                    Predicate::Between(low, high)
                }
                _ => {
                    reader.fail(&value.span, "expected two numbers", "such as [0, 1]", None);
                    return None;
                }
            },
            "sum" => self.sum(value)?,
            _ => {
                let (min, max) = self.range(value, "values")?;
                Predicate::Count { min, max }
            }
        })
    }

    /// An age, a date, or a captured date.
    fn newer_than(&mut self, node: &Node) -> Option<Predicate> {
        let reader = self.reader;
        let text = reader.scalar(node, "a duration such as 60s, or a date")?;
        if text.contains("${") {
            return Some(Predicate::LaterThan(self.operand(node)?));
        }
        if let Ok(age_ns) = parse_duration_ns(&text) {
            return Some(Predicate::NewerThan { age_ns });
        }
        let midnight = format!("{text}T00:00:00Z");
        if let Some(date) = [text.as_str(), &midnight].iter().find_map(|t| t.parse::<jiff::Timestamp>().ok())
        {
            return Some(Predicate::LaterThan(Operand::Literal(date.to_string().into())));
        }
        let help =
            Some("an age such as 60s, a date such as 2026-11-24 or 2026-11-24T08:00:00Z, or `${captured}`");
        let label = "neither a duration nor a date";
        reader.fail(&node.span, "`newer_than` needs a date to compare with", label, help.map(str::to_owned));
        None
    }

    /// A number, or `{ jsonpath, within }` for one in the same response.
    fn sum(&mut self, node: &Node) -> Option<Predicate> {
        let reader = self.reader;
        let NodeValue::Map(_) = &node.value else {
            return Some(Predicate::Sum { total: self.operand(node)?, within: 0.0 });
        };
        let what = "a number, or `{ jsonpath: $.total, within: 0.01 }`";
        let fields = reader.fields(node, what, &SUM_KEYS)?;
        let total = match reader.exactly_one(node, &fields, "`sum`", &["equals", "jsonpath"])? {
            "equals" => self.operand(fields.get("equals")?)?,
            _ => Operand::Query(read_jsonpath(reader, fields.get("jsonpath")?)?),
        };
        let within = fields.get("within").map_or(Some(0.0), |n| reader.number(n, "a number"))?;
        if within < 0.0 {
            let span = fields.get("within").map_or(&node.span, |n| &n.span);
            reader.fail(span, "this check can never hold", "a distance is not negative", None);
        }
        Some(Predicate::Sum { total, within })
    }

    pub fn operand(&mut self, node: &Node) -> Option<Operand> {
        let json = self.json(node)?;
        Some(json.constant().map_or_else(
            || {
                self.operands.push(json.clone());
                Operand::Deferred(self.operands.len() - 1)
            },
            Operand::Literal,
        ))
    }
}
