use std::borrow::Cow;
use std::io::Read as _;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// The body as its `content-encoding` says. One that would grow beyond `cap` bytes is refused before it does.
///
/// # Errors
/// In words, if it is no such encoding, is too large, or the encoding is not known here.
pub fn decoded<'a>(headers: &HeaderMap, body: &'a [u8], cap: usize) -> Result<Cow<'a, [u8]>, String> {
    let Some(value) = headers.get(CONTENT_ENCODING).filter(|_| !body.is_empty()) else {
        return Ok(body.into());
    };
    let coding = value.to_str().unwrap_or("").trim().to_ascii_lowercase();
    let mut plain = Vec::new();
    let mut read = |reader: &mut dyn std::io::Read| reader.take(cap as u64 + 1).read_to_end(&mut plain);
    let went = match coding.as_str() {
        "" | "identity" => return Ok(body.into()),
        "gzip" | "x-gzip" => read(&mut flate2::read::MultiGzDecoder::new(body)),
        "deflate" => read(&mut flate2::read::ZlibDecoder::new(body)),
        other => {
            return Err(format!(
                "content-encoding `{other}` is not known here: gzip and deflate are; change `accept-encoding`"
            ));
        }
    };
    went.map_err(|e| format!("the body is not valid {coding}: {e}"))?;
    if plain.len() > cap {
        return Err(format!("the body is over the cap of {} MiB once it is decompressed", cap >> 20));
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http::HeaderValue;

    use super::*;

    fn headers(coding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))])
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_bodies_are_read_and_bombs_are_not() {
        let body = gzip(b"{\"a\": 1}");
        assert_eq!(&*decoded(&headers("gzip"), &body, 1 << 10).unwrap(), b"{\"a\": 1}");
        assert_eq!(&*decoded(&HeaderMap::new(), b"plain", 1 << 10).unwrap(), b"plain");
        let bomb = gzip(&vec![0; 4 << 20]);
        assert!(bomb.len() < 10_000);
        assert!(decoded(&headers("gzip"), &bomb, 1 << 20).unwrap_err().contains("over the cap of 1 MiB"));
        assert!(decoded(&headers("gzip"), &bomb[..100], 1 << 20).unwrap_err().contains("not valid gzip"));
        assert!(decoded(&headers("br"), b"x", 1 << 20).unwrap_err().contains("`br`"));
    }
}
