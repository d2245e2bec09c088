use std::cell::Cell;

use serde_json::Value;

use crate::random::{pick, unit};
use crate::units::parse_duration_ns;

/// A value that is made where it is used.
#[derive(Clone, Debug, PartialEq)]
pub enum Generator {
    /// Version 4, never the same twice.
    Uuid,
    Now {
        form: NowForm,
        offset_ns: i64,
    },
    /// Both ends belong to it. Drawn by the iteration's seed, as are picks.
    RandInt {
        low: i64,
        high: i64,
    },
    Pick(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NowForm {
    Rfc3339,
    Unix,
    UnixMs,
}

/// What generated values of one iteration are drawn from: the same for the same seed.
#[derive(Debug, Default)]
pub struct Chance {
    seed: u64,
    draws: Cell<u64>,
}

impl Chance {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, draws: Cell::new(0) }
    }

    /// In [0, 1).
    fn next(&self) -> f64 {
        self.draws.set(self.draws.get() + 1);
        unit(pick(self.seed, self.draws.get()), 0)
    }
}

/// The names, as hints give them.
pub const GENERATORS: [&str; 4] = ["uuid", "now(-1h)", "rand_int(1, 100)", "pick(a, b)"];

impl Generator {
    /// `None` where the name is none of a generator's.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), Some(rest.strip_suffix(')')?)),
            None => (text, None),
        };
        let list: Vec<&str> = arguments
            .map(|all| all.split(',').map(str::trim).filter(|a| !a.is_empty()).collect())
            .unwrap_or_default();
        Some(match name {
            "uuid" if list.is_empty() => Ok(Self::Uuid),
            "uuid" => Err("`uuid` takes nothing".into()),
            "now" => Self::parse_now(&list),
            "rand_int" => match list.as_slice() {
                [low, high] => match (low.parse::<i64>(), high.parse::<i64>()) {
                    (Ok(low), Ok(high)) if low <= high => Ok(Self::RandInt { low, high }),
                    (Ok(_), Ok(_)) => Err("`rand_int` takes the lower number first".into()),
                    _ => Err("`rand_int` takes two whole numbers, such as `rand_int(1, 100)`".into()),
                },
                _ => Err("`rand_int` takes two whole numbers, such as `rand_int(1, 100)`".into()),
            },
            "pick" if list.is_empty() => Err("`pick` takes words, such as `pick(red, green)`".into()),
            "pick" => Ok(Self::Pick(list.into_iter().map(str::to_owned).collect())),
            _ => return None,
        })
    }

    fn parse_now(arguments: &[&str]) -> Result<Self, String> {
        let (mut form, mut offset_ns) = (NowForm::Rfc3339, 0);
        for argument in arguments {
            match *argument {
                "unix" => form = NowForm::Unix,
                "unix_ms" => form = NowForm::UnixMs,
                other => {
                    let (sign, length) = match other.split_at_checked(1) {
                        Some(("-", length)) => (-1, length),
                        Some(("+", length)) => (1, length),
                        _ => return Err("`now` takes `unix`, `unix_ms`, or an offset such as `-1h`".into()),
                    };
                    offset_ns = sign * parse_duration_ns(length)? as i64;
                }
            }
        }
        Ok(Self::Now { form, offset_ns })
    }

    #[must_use]
    pub fn value(&self, chance: &Chance) -> Value {
        match self {
            Self::Uuid => Value::String(uuid(rand::random())),
            Self::Now { form, offset_ns } => {
                let now = jiff::Timestamp::now() + jiff::SignedDuration::from_nanos(*offset_ns);
                match form {
                    NowForm::Rfc3339 => Value::String(format!("{now:.3}")),
                    NowForm::Unix => now.as_second().into(),
                    NowForm::UnixMs => now.as_millisecond().into(),
                }
            }
            Self::RandInt { low, high } => {
                // Wider than the numbers themselves: the two ends may lie further apart than an i64 reaches.
                let count = (i128::from(*high) - i128::from(*low) + 1) as f64;
                let drawn = i128::from(*low) + (chance.next() * count) as i128;
                (drawn.min(i128::from(*high)) as i64).into()
            }
            Self::Pick(words) => {
                let at = (chance.next() * words.len() as f64) as usize;
                Value::String(words[at.min(words.len() - 1)].clone())
            }
        }
    }
}

/// RFC 9562, version 4, from 128 random bits.
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) | (0x4 << 76);
    let bits = bits & !(0x3 << 62) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_are_read_and_keep_within_their_bounds() {
        let read = |text| Generator::parse(text).unwrap();
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        let (one, two) = (Chance::new(7), Chance::new(7));
        let dice = read("rand_int(1, 6)").unwrap();
        let drawn: Vec<i64> = (0..600).map(|_| dice.value(&one).as_i64().unwrap()).collect();
        assert_eq!(drawn, (0..600).map(|_| dice.value(&two).as_i64().unwrap()).collect::<Vec<_>>());
        for side in 1..=6 {
            let count = drawn.iter().filter(|n| **n == side).count();
            assert!((60..=140).contains(&count), "{side}: {count}");
        }
        assert!(drawn.iter().all(|n| (1..=6).contains(n)));
        let wide = read("rand_int(-9223372036854775808, 9223372036854775807)").unwrap();
        let signs: Vec<bool> = (0..50).map(|_| wide.value(&one).as_i64().unwrap() < 0).collect();
        assert!(signs.contains(&true) && signs.contains(&false), "the whole range once overflowed");
        let words = read("pick(red, dark green)").unwrap();
        assert!((0..50).any(|_| words.value(&one) == "dark green"));
        let now = |text| read(text).unwrap().value(&one);
        let apart = now("now(unix)").as_i64().unwrap() - now("now(unix, -1h)").as_i64().unwrap();
        assert!((3599..=3601).contains(&apart));
        assert!(now("now").as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        for bad in ["uuid(1)", "rand_int(6, 1)", "rand_int(1)", "pick()", "now(later)"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(Generator::parse("tenant.id").is_none());
    }
}
