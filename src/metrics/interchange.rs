//! `HdrHistogram`'s V2 form, plain or deflated, read with care: what stands in a file decides neither how much memory is
//! taken for it nor how high the counts are.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::histogram::{BUCKETS, DIGITS, HIGHEST_NS, LOWEST_NS};

const PLAIN: u32 = 0x1c84_9313;
const DEFLATED: u32 = 0x1c84_9314;
const HEADER: usize = 40;
/// A count has nine bytes at most.
const MOST_BYTES: usize = HEADER + 9 * BUCKETS;
/// Nobody has so many, and thousands of such histograms can be added up.
const MOST_SAMPLES: u64 = 1 << 48;

/// The number of each bucket that has samples, and how many, in rising order.
pub fn decoded(bytes: &[u8]) -> Result<Vec<(usize, u64)>, &'static str> {
    const CUT_SHORT: &str = "a histogram is cut short";
    let mut whole = Vec::new();
    let plain = match word(bytes, 0) {
        Some(PLAIN) => bytes,
        Some(DEFLATED) => {
            if word(bytes, 4).is_none_or(|length| length as usize != bytes.len() - 8) {
                return Err(CUT_SHORT);
            }
            let inside = ZlibDecoder::new(&bytes[8..]).take(MOST_BYTES as u64 + 1).read_to_end(&mut whole);
            inside.map_err(|_| "a histogram is damaged")?;
            &whole
        }
        _ => return Err("this is no histogram"),
    };
    let (Some(header), Some(mut counts)) = (plain.get(..HEADER), plain.get(HEADER..)) else {
        return Err(CUT_SHORT);
    };
    let long = |at: usize| header[at..at + 8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let known = word(header, 0) == Some(PLAIN)
        && word(header, 8) == Some(0)
        && word(header, 12) == Some(u32::from(DIGITS))
        && (long(16), long(24), f64::from_bits(long(32))) == (LOWEST_NS, HIGHEST_NS, 1.0);
    if !known {
        return Err("a histogram has other bounds than loadgate's");
    }
    if word(header, 4).is_none_or(|length| length as usize != counts.len()) || plain.len() > MOST_BYTES {
        return Err(CUT_SHORT);
    }
    let (mut found, mut number, mut samples) = (Vec::new(), 0, 0u64);
    while !counts.is_empty() {
        let count = number_of(&mut counts).ok_or(CUT_SHORT)?;
        match u64::try_from(count) {
            // So many buckets without any.
            Err(_) => number += (count.unsigned_abs() as usize).min(BUCKETS),
            Ok(0) => number += 1,
            Ok(count) => {
                samples = samples.saturating_add(count);
                if number >= BUCKETS || samples > MOST_SAMPLES {
                    return Err("a histogram has more than can have been measured");
                }
                found.push((number, count));
                number += 1;
            }
        }
    }
    Ok(found)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Seven bits a byte, the lowest first, but for a ninth byte, which has eight; then the sign from the lowest bit.
fn number_of(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0;
    for at in 0..9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if at == 8 {
            value |= u64::from(*byte) << 56;
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(length: u32, digits: u32, high: u64) -> Vec<u8> {
        let mut bytes = PLAIN.to_be_bytes().to_vec();
        for word in [length, 0, digits] {
            bytes.extend(word.to_be_bytes());
        }
        for long in [LOWEST_NS, high, 1f64.to_bits()] {
            bytes.extend(long.to_be_bytes());
        }
        bytes
    }

    fn with(counts: &[u8]) -> Vec<u8> {
        [header(counts.len() as u32, 3, HIGHEST_NS), counts.to_vec()].concat()
    }

    /// A few bytes once made the reader ask for four gigabytes.
    #[test]
    fn a_histogram_does_not_say_how_much_memory_it_takes() {
        assert!(decoded(&header(u32::MAX, 3, HIGHEST_NS)).is_err());
        assert!(decoded(&header(0, 5, u64::MAX)).is_err(), "50 MB of counts");
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &header(50_000_000, 3, HIGHEST_NS)).unwrap();
        (0..50).for_each(|_| std::io::Write::write_all(&mut encoder, &vec![0; 1_000_000]).unwrap());
        let packed = encoder.finish().unwrap();
        let length = (packed.len() as u32).to_be_bytes();
        assert!(decoded(&[&DEFLATED.to_be_bytes()[..], &length, &packed].concat()).is_err());
    }

    #[test]
    fn counts_beyond_measure_are_refused() {
        assert_eq!(decoded(&with(&[2, 3, 4])), Ok(vec![(0, 1), (3, 2)]), "one, a gap of two, two");
        assert!(decoded(&with(&[0xfe; 8])).is_err(), "it ends within a number");
        assert!(decoded(&with(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])).is_err());
        // The lowest number of all, whose opposite there is not.
        assert_eq!(decoded(&with(&[0xff; 9])), Ok(Vec::new()));
        assert!(decoded(&with(&[[0xff; 9].to_vec(), vec![2]].concat())).is_err());
    }
}
