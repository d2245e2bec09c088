use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// Kinds of personal data that are told by their form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonalData {
    Email,
    Phone,
    Ssn,
    Iban,
    Card,
}

impl PersonalData {
    /// As scenarios name them.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("email", Self::Email),
        ("phone", Self::Phone),
        ("ssn", Self::Ssn),
        ("iban", Self::Iban),
        ("card", Self::Card),
    ];

    fn described(self) -> &'static str {
        match self {
            Self::Email => "an e-mail address",
            Self::Phone => "a phone number",
            Self::Ssn => "a social security number",
            Self::Iban => "an IBAN",
            Self::Card => "a card number",
        }
    }
}

/// What to look for, and which finds are meant to be there.
#[derive(Clone, Debug)]
pub struct Scan {
    pub kinds: Vec<PersonalData>,
    /// Finds that match one of these are none.
    pub except: Vec<Regex>,
}

/// Whether a match is one, by what stands before it, itself, and what stands behind it.
type Holds = fn(&str, &str, &str) -> bool;

/// Finds named in one message.
const MOST_NAMED: usize = 5;

impl Scan {
    #[must_use]
    pub fn everything() -> Self {
        Self { kinds: PersonalData::WORDS.iter().map(|(_, kind)| *kind).collect(), except: Vec::new() }
    }

    /// # Errors
    /// What was found and where, masked: a report must not spread what a response leaks.
    pub fn judge(&self, body: &str, json: Option<&Value>) -> Result<(), String> {
        let mut found = Vec::new();
        match json {
            Some(json) => self.walk(json, "", &mut String::from("$"), &mut found),
            None => self.search(body, "the body", &mut found),
        }
        if found.is_empty() {
            return Ok(());
        }
        let more = found.len().saturating_sub(MOST_NAMED);
        found.truncate(MOST_NAMED);
        let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
        Err(format!("found {}{rest}", found.join(", ")))
    }

    /// The text with every find masked.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for (span, _) in self.finds(text) {
            if span.start >= at {
                out.push_str(&text[at..span.start]);
                out.push_str(&mask(&text[span.clone()]));
                at = span.end;
            }
        }
        out.push_str(&text[at..]);
        out
    }

    fn walk(&self, value: &Value, key: &str, path: &mut String, found: &mut Vec<String>) {
        let length = path.len();
        match value {
            Value::String(text) => {
                let before = found.len();
                self.search(text, path, found);
                // Nine bare digits are a social security number only under such a name.
                if before == found.len()
                    && self.kinds.contains(&PersonalData::Ssn)
                    && names_ssn(key)
                    && text.len() == 9
                    && is_ssn(text)
                {
                    found.push(named(PersonalData::Ssn, path, text));
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    path.push('[');
                    path.push_str(&i.to_string());
                    path.push(']');
                    self.walk(item, key, path, found);
                    path.truncate(length);
                }
            }
            Value::Object(entries) => {
                for (key, item) in entries {
                    path.push('.');
                    path.push_str(&self.masked(key));
                    self.search(key, path, found);
                    self.walk(item, key, path, found);
                    path.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn search(&self, text: &str, place: &str, found: &mut Vec<String>) {
        found.extend(self.finds(text).into_iter().map(|(span, kind)| named(kind, place, &text[span])));
    }

    /// In the text's order.
    fn finds(&self, text: &str) -> Vec<(std::ops::Range<usize>, PersonalData)> {
        let mut finds = Vec::new();
        for kind in &self.kinds {
            let (pattern, holds): (&Regex, Holds) = match kind {
                PersonalData::Email if !text.contains('@') => continue,
                PersonalData::Email => (&EMAIL, |_, find, _| is_personal_email(find)),
                // Everything else has digits.
                _ if !text.bytes().any(|byte| byte.is_ascii_digit()) => continue,
                PersonalData::Phone => (&PHONE, is_phone),
                PersonalData::Ssn => {
                    (&SSN, |before, find, after| stands_alone(before, after) && is_ssn(&digits(find)))
                }
                PersonalData::Iban => {
                    (&IBAN, |before, find, after| stands_alone(before, after) && is_iban(find))
                }
                PersonalData::Card => {
                    (&CARD, |before, find, after| stands_alone(before, after) && is_card(find))
                }
            };
            for find in pattern.find_iter(text) {
                let (before, after) = (&text[..find.start()], &text[find.end()..]);
                if holds(before, find.as_str(), after)
                    && !self.except.iter().any(|except| except.is_match(find.as_str()))
                {
                    finds.push((find.range(), *kind));
                }
            }
        }
        // The groups of an IBAN look like a phone number, and are none.
        finds.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
        let mut end = 0;
        finds.retain(|(span, _)| {
            let apart = span.start >= end;
            end = end.max(span.end);
            apart
        });
        finds
    }
}

fn named(kind: PersonalData, place: &str, find: &str) -> String {
    format!("{} at {place} ({})", kind.described(), mask(find))
}

/// The first character, and how long it was.
fn mask(find: &str) -> String {
    let mut chars = find.chars();
    let first = chars.next().map(String::from).unwrap_or_default();
    first + &"*".repeat(chars.count().min(12))
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"[A-Za-z0-9_%+-]+(?:\.[A-Za-z0-9_%+-]+)*@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}\b")
});
/// International with `+` or `00`, or North American with its separators.
static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\+[1-9]\d{0,3}(?:[ ./-]?\(?\d{1,5}\)?){1,6}|\b00[1-9]\d{0,2}(?:[ ./-]\(?\d{2,5}\)?){2,5}|(?:\(\d{3}\) ?|\b\d{3}[-.])\d{3}[-. ]\d{4}\b",
    )
});
static SSN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b\d{3}([- ])\d{2}[- ]\d{4}\b"));
static IBAN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,4})?)\b")
});
static CARD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}\b|\b3\d{3}[ -]\d{6}[ -]\d{4,5}\b|\b\d{14,16}\b")
});

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Part of no longer word or number, such as a UUID or a decimal.
fn stands_alone(before: &str, after: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let decimal =
        |c: Option<char>, next: Option<char>| c == Some('.') && next.is_some_and(|n| n.is_ascii_digit());
    let (mut back, mut on) = (before.chars().rev(), after.chars());
    let (last, first) = (back.next(), on.next());
    !last.is_some_and(joins)
        && !first.is_some_and(joins)
        && !decimal(last, back.next())
        && !decimal(first, on.next())
}

/// Addresses of roles belong to nobody in particular; `@2x.png` is a picture.
fn is_personal_email(find: &str) -> bool {
    const ROLES: [&str; 18] = [
        "noreply",
        "no-reply",
        "donotreply",
        "do-not-reply",
        "support",
        "info",
        "help",
        "contact",
        "sales",
        "admin",
        "postmaster",
        "webmaster",
        "hostmaster",
        "abuse",
        "security",
        "office",
        "hello",
        "git",
    ];
    const FILES: [&str; 10] = ["png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html", "json"];
    let lower = find.to_ascii_lowercase();
    let (local, domain) = lower.split_once('@').unwrap_or_default();
    let last = domain.rsplit('.').next().unwrap_or_default();
    !ROLES.contains(&local) && !FILES.contains(&last)
}

fn is_phone(before: &str, find: &str, after: &str) -> bool {
    let count = digits(find).len();
    if find.starts_with('+') {
        // `1e+10` and `a+123` are none, nor is an amount such as +1234567.50.
        let alone =
            !before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || matches!(c, '+' | '.'));
        let amount = find.matches(['.', ' ', '-', '/', '(']).count() == 1
            && find.rsplit('.').next().is_some_and(|tail| tail.len() <= 2 && find.contains('.'));
        return alone
            && !amount
            && (8..=15).contains(&count)
            && !after.starts_with(|c: char| c.is_alphanumeric());
    }
    if !stands_alone(before, after) {
        return false;
    }
    if find.starts_with("00") {
        return (10..=17).contains(&count);
    }
    // Area codes and exchanges of North America begin with 2 to 9.
    let own = digits(find).into_bytes();
    own.len() == 10 && own[0] >= b'2' && own[3] >= b'2'
}

fn names_ssn(key: &str) -> bool {
    let key: String = key.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    key == "ssn" || key.contains("socialsecurity")
}

/// Nine digits that the Social Security Administration could have given out.
fn is_ssn(digits: &str) -> bool {
    digits.len() == 9
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !matches!(&digits[..3], "000" | "666")
        && !digits.starts_with('9')
        && &digits[3..5] != "00"
        && &digits[5..] != "0000"
}

/// Countries and the length of their numbers (ISO 13616 registry).
const IBAN_LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 \
    ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 \
    LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 \
    QA29 RO24 RS22 SA24 SC31 SD18 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VG24";

/// Length by country and checksum (ISO 7064, mod 97-10): the number with its first four characters at the end, letters
/// as 10 to 35, leaves 1.
fn is_iban(find: &str) -> bool {
    let text: Vec<u8> = find.bytes().filter(|byte| *byte != b' ').collect();
    let country = std::str::from_utf8(&text[..2]).unwrap_or_default();
    let length = IBAN_LENGTHS.split(' ').find_map(|known| known.strip_prefix(country));
    if length != Some(text.len().to_string().as_str()) {
        return false;
    }
    let rest = text[4..].iter().chain(&text[..4]).fold(0u32, |rest, byte| {
        let value = char::from(*byte).to_digit(36).unwrap_or_default();
        (if value < 10 { rest * 10 } else { rest * 100 } + value) % 97
    });
    rest == 1
}

/// A range that some issuer has (ISO/IEC 7812), and Luhn's check digit.
fn is_card(find: &str) -> bool {
    let digits = digits(find);
    let head = |n: usize| digits[..n].parse::<u32>().unwrap_or_default();
    let issued = match digits.len() {
        16 => {
            head(1) == 4
                || (51..=55).contains(&head(2))
                || (2221..=2720).contains(&head(4))
                || head(4) == 6011
                || head(2) == 65
                || (644..=649).contains(&head(3))
                || (3528..=3589).contains(&head(4))
        }
        15 => matches!(head(2), 34 | 37),
        14 => (300..=305).contains(&head(3)) || matches!(head(2), 36 | 38),
        _ => false,
    };
    issued && luhn(&digits)
}

/// Every second digit from the right counts twice, its two digits added; the sum ends in 0.
fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, byte)| {
            let digit = u32::from(byte - b'0') * if i % 2 == 1 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<PersonalData> {
        Scan::everything().finds(text).into_iter().map(|(_, kind)| kind).collect()
    }

    /// `tests/fixtures/personal-data/corpus.txt`: a kind, or `none`, and a text in each line.
    #[test]
    fn the_corpus_is_told_apart() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/personal-data/corpus.txt");
        let text = std::fs::read_to_string(path).unwrap();
        let mut seen = [0, 0];
        let mut wrong = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (kind, text) = line.split_once(' ').unwrap();
            let expected: Vec<PersonalData> =
                PersonalData::WORDS.iter().filter(|(name, _)| *name == kind).map(|(_, kind)| *kind).collect();
            assert_eq!(expected.is_empty(), kind == "none", "{line}");
            seen[usize::from(kind == "none")] += 1;
            if kinds(text) != expected {
                wrong.push(format!("{line}: found {:?}", kinds(text)));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(seen[0] >= 40 && seen[1] >= 60, "{seen:?}");
    }

    #[test]
    fn finds_are_placed_and_masked() {
        let scan = Scan::everything();
        let body = serde_json::json!({"people": [{"mail": "jane.doe@example.com", "ssn": "536904399", "id": 536_904_399}]});
        let message = scan.judge("", Some(&body)).unwrap_err();
        assert_eq!(
            message,
            "found an e-mail address at $.people[0].mail (j************), \
             a social security number at $.people[0].ssn (5********)"
        );
        let masked = scan.masked(&body.to_string());
        assert!(!masked.contains("jane") && masked.contains("\"id\":536904399"), "{masked}");
        let lenient = Scan { except: vec![Regex::new("@example\\.com$").unwrap()], ..Scan::everything() };
        assert!(lenient.judge("ask jane.doe@example.com", None).is_ok());
    }
}
