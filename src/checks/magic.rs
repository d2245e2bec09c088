/// File formats that are told by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Magic {
    Pdf,
    Xlsx,
    Csv,
    Png,
}

impl Magic {
    /// As scenarios name them.
    pub const WORDS: [(&'static str, Self); 4] =
        [("pdf", Self::Pdf), ("xlsx", Self::Xlsx), ("csv", Self::Csv), ("png", Self::Png)];

    pub fn name(self) -> &'static str {
        Self::WORDS.iter().find(|(_, magic)| *magic == self).map_or("", |(name, _)| name)
    }

    pub fn matches(self, body: &[u8]) -> bool {
        match self {
            Self::Pdf => body.starts_with(b"%PDF-"),
            Self::Png => body.starts_with(b"\x89PNG\r\n\x1a\n"),
            Self::Xlsx => body.starts_with(b"PK\x03\x04") && contains(body, b"xl/workbook.xml"),
            Self::Csv => is_csv(body),
        }
    }
}

/// Text whose first rows have equally many, at least two, fields.
fn is_csv(body: &[u8]) -> bool {
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(body).into_records().take(21);
    let wide = |row: csv::Result<csv::StringRecord>| row.is_ok_and(|row| row.len() >= 2);
    rows.next().is_some_and(wide) && rows.all(wide) && !body.contains(&0)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_tells_real_files_from_lookalikes() {
        for (magic, body, holds) in [
            (Magic::Pdf, &b"%PDF-1.7\n"[..], true),
            (Magic::Pdf, b"<html>", false),
            (Magic::Csv, b"a,b\n1,2\n", true),
            (Magic::Csv, b"a,b\n\"x,y\",2\n", true),
            (Magic::Csv, b"a,b\r\n\"two\nlines\",2\r\n", true),
            (Magic::Csv, b"a,b\n1\n", false),
            (Magic::Csv, b"", false),
            (Magic::Csv, b"a,b\n\xff,2\n", false),
            (Magic::Csv, b"{\"a\":1}", false),
            (Magic::Xlsx, b"PK\x03\x04 word/document.xml", false),
            (Magic::Xlsx, b"PK\x03\x04....xl/workbook.xml....", true),
            (Magic::Png, b"\x89PNG\r\n\x1a\n....", true),
            (Magic::Png, b"GIF89a", false),
        ] {
            assert_eq!(magic.matches(body), holds, "{magic:?} {body:?}");
        }
    }
}
