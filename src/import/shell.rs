//! Words of a shell's command line, as far as copied commands need it.

/// One command's words; `Err` says what is not understood.
pub fn commands(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut all: Vec<Vec<String>> = Vec::new();
    let (mut words, mut word): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut chars = text.chars().peekable();
    // What follows a pipe or a redirection is another program's.
    let mut skipping = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some('\r') => {
                    chars.next_if_eq(&'\n');
                }
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            '\'' => {
                let own = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => own.push(c),
                        None => return Err("a `'` is never closed".into()),
                    }
                }
            }
            '"' => {
                let own = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => own.push(c),
                            Some('\n') => {}
                            Some(c) => own.extend(['\\', c]),
                            None => return Err("a `\"` is never closed".into()),
                        },
                        Some(c) => own.push(c),
                        None => return Err("a `\"` is never closed".into()),
                    }
                }
            }
            '$' if chars.peek() == Some(&'\'') => {
                chars.next();
                ansi_c(&mut chars, word.get_or_insert_default())?;
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' | '|' | '&' | '>' | '<' => {
                if let Some(word) = word.take().filter(|_| !skipping) {
                    words.push(word);
                }
                if c == '\n' || c == ';' || (c == '&' && chars.next_if_eq(&'&').is_some()) {
                    if !words.is_empty() {
                        all.push(std::mem::take(&mut words));
                    }
                    skipping = false;
                } else {
                    skipping = true;
                }
            }
            c if c.is_whitespace() => {
                if let Some(word) = word.take().filter(|_| !skipping) {
                    words.push(word);
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word.filter(|_| !skipping));
    if !words.is_empty() {
        all.push(words);
    }
    Ok(all)
}

/// `$'…'`, behind its opening quote.
fn ansi_c(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, own: &mut String) -> Result<(), String> {
    let mut high = None;
    loop {
        let c = chars.next().ok_or("a `$'` is never closed")?;
        if c == '\'' {
            return Ok(());
        }
        if c != '\\' {
            own.push(c);
            continue;
        }
        let escape = chars.next().ok_or("a `$'` is never closed")?;
        let mut hex = |most: usize| {
            let mut digits = String::new();
            while digits.len() < most {
                match chars.next_if(char::is_ascii_hexdigit) {
                    Some(digit) => digits.push(digit),
                    None => break,
                }
            }
            u32::from_str_radix(&digits, 16).ok()
        };
        let code = match escape {
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            '0' => Some(0),
            'u' => hex(4),
            'U' => hex(8),
            'x' => hex(2),
            other => Some(other as u32),
        };
        match (high.take(), code) {
            // Halves of a pair, as JavaScript writes what lies beyond 16 bits.
            (Some(first), Some(second @ 0xDC00..=0xDFFF)) => {
                own.extend(char::from_u32(0x1_0000_u32 + ((first - 0xD800) << 10) + (second - 0xDC00)));
            }
            (_, Some(first @ 0xD800..=0xDBFF)) => high = Some(first),
            (_, Some(code)) => own.extend(char::from_u32(code)),
            (_, None) => return Err(format!("`\\{escape}` is not understood")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let table: [(&str, &[&[&str]]); 9] = [
            ("curl -X POST 'http://a/b?c=1&d=2'", &[&["curl", "-X", "POST", "http://a/b?c=1&d=2"]]),
            ("curl \\\n  -H \"a: b\" \\\r\n -d 'x'\"y\"z", &[&["curl", "-H", "a: b", "-d", "xyz"]]),
            ("curl -d $'it\\'s \\u0021\\ud83d\\ude00\\n'", &[&["curl", "-d", "it's !😀\n"]]),
            (
                "curl a | jq . # no\ncurl b > out; curl c && curl d",
                &[&["curl", "a"], &["curl", "b"], &["curl", "c"], &["curl", "d"]],
            ),
            ("# only\n\n", &[]),
            ("curl \"a\\\"b\\c$d\"", &[&["curl", "a\"b\\c$d"]]),
            ("curl ''", &[&["curl", ""]]),
            ("curl a &", &[&["curl", "a"]]),
            ("curl a#b", &[&["curl", "a#b"]]),
        ];
        for (text, expected) in table {
            assert_eq!(commands(text).unwrap(), expected, "{text}");
        }
        assert!(commands("curl 'a").unwrap_err().contains("never closed"));
    }
}
