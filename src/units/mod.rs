//! Quantities as people write them: durations, rates, percentages, limits and tolerances.
//! Text is parsed here once; everything above works in nanoseconds and fractions.

mod change;
mod duration;
mod metric;
mod rule;
mod threshold;

pub use change::{change_of, level_of, with_interval};
pub use duration::{Rate, format_ms, format_ns, format_share, parse_duration_ns, parse_rate, parse_share};
pub use metric::Metric;
pub use rule::{
    Limit, LimitsOn, RegressionRule, Rules, Tolerance, parse_above, parse_limit, parse_tolerance,
};
pub use threshold::{Relation, Threshold, format_figure};

/// `1 endpoint`, `2 endpoints`, `3 tries`.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if count == 1 => format!("1 {noun}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{count} {stem}ies"),
        _ => format!("{count} {noun}s"),
    }
}

/// A relative change that something can see, as a percentage: beyond a doubling its size says no more.
#[must_use]
pub fn visible_change(least: f64, digits: usize) -> String {
    if least > 1.0 { "more than +100%".to_owned() } else { format!("+{:.digits$}%", least * 100.0) }
}

/// What an absolute URL has in front of its host's `@`, as it is written, and its host with the port.
#[must_use]
pub fn authority(url: &str) -> Option<(Option<&str>, &str)> {
    let (_, rest) = url.split_once("://")?;
    let whole = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    Some(whole.rsplit_once('@').map_or((None, whole), |(given, place)| (Some(given), place)))
}

/// RFC 3986: everything but unreserved characters is encoded.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// The other way round; what is no such code stays as it is.
#[must_use]
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let hex = |byte: Option<u8>| byte.and_then(|b| (b as char).to_digit(16));
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub const NS_PER_MS: f64 = 1e6;
pub const NS_PER_S: u64 = 1_000_000_000;
