use maud::{Markup, html};

use crate::report::document::{Block, Cell, Table, Tone};

#[must_use]
pub fn class(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Plain => None,
        Tone::Good => Some("good"),
        Tone::Caution => Some("caution"),
        Tone::Bad => Some("bad"),
    }
}

#[must_use]
pub fn blocks(all: &[Block]) -> Markup {
    html! { @for run in grouped(all) { (run) } }
}

/// Signatures that follow each other stand side by side, checks in one list.
fn grouped(all: &[Block]) -> Vec<Markup> {
    let mut out = Vec::new();
    let mut rest = all;
    while let Some(first) = rest.first() {
        let same = |block: &Block| std::mem::discriminant(block) == std::mem::discriminant(first);
        let count = rest.iter().take_while(|block| same(block)).count();
        let (run, after) = match first {
            Block::Signature(_) | Block::Check { .. } => rest.split_at(count),
            _ => rest.split_at(1),
        };
        out.push(match first {
            Block::Signature(_) => html! { div.sign { @for one in run { (block(one)) } } },
            Block::Check { .. } => html! { ul.check { @for one in run { (block(one)) } } },
            _ => block(first),
        });
        rest = after;
    }
    out
}

fn block(block: &Block) -> Markup {
    match block {
        Block::Heading(text) => html! { h2 { (text) } },
        Block::Text(text) => html! { p { (text) } },
        Block::Strong(text, tone) => html! { p.verdict.(class(*tone).unwrap_or("plain")) { b { (text) } } },
        Block::List(items) => findings(items),
        Block::Table(table) => self::table(table, ""),
        Block::Code(text) => html! { pre { (text) } },
        Block::Fold { summary, blocks } => html! { details { summary { (summary) } (self::blocks(blocks)) } },
        Block::Signature(text) => html! { div { (text) } },
        Block::Check { done, text } => html! {
            li { (if *done { "☑ done: " } else { "☐ open: " }) (text) }
        },
    }
}

#[must_use]
pub fn findings(items: &[Cell]) -> Markup {
    html! {
        ul.findings {
            @for item in items {
                li class=[class(item.tone)] {
                    @if let Some((word, rest)) = item.text.split_once(": ").filter(|(w, _)| ["FAIL", "HOLD", "ALLOWED", "WARN", "INFO"].contains(w)) {
                        b class=[class(item.tone)] { (word) } " " (rest)
                    } @else { (item.text) }
                }
            }
        }
    }
}

/// A table; `link` in front of a row's number is where its first cell leads, if anywhere.
#[must_use]
pub fn table(table: &Table, link: &str) -> Markup {
    let number = |column: usize| table.numbers.contains(&column).then_some("n");
    let label = table.header.join(", ");
    html! {
        div.scroll role="group" aria-label=(format!("Table: {label}")) {
            table {
                thead { tr { @for (column, name) in table.header.iter().enumerate() {
                    th scope="col" class=[number(column)] { (name) }
                } } }
                tbody { @for (index, row) in table.rows.iter().enumerate() { tr {
                    @for (column, cell) in row.iter().enumerate() {
                        @if column > 0 {
                            td class=[joined(number(column), class(cell.tone))] { (breakable(&cell.text)) }
                        } @else if !link.is_empty() {
                            th scope="row" { a href={ "#" (link) (index) } { (breakable(&cell.text)) } }
                        } @else if let Some(rows) = spanned(&table.rows, index) {
                            th scope=(if rows > 1 { "rowgroup" } else { "row" }) rowspan=[(rows > 1).then_some(rows)] { (breakable(&cell.text)) }
                        }
                    }
                } } }
            }
        }
    }
}

/// Text that may be broken after a slash, and within a word that is too long for a column; nowhere else within words.
#[must_use]
pub fn breakable(text: &str) -> Markup {
    const MOST: usize = 16;
    let mut pieces = vec![String::new()];
    let mut length = 0;
    for c in text.chars() {
        if length == MOST {
            pieces.push(String::new());
            length = 0;
        }
        length = if matches!(c, ' ' | '-') { 0 } else { length + 1 };
        pieces.last_mut().into_iter().for_each(|piece| piece.push(c));
        if c == '/' {
            pieces.push(String::new());
            length = 0;
        }
    }
    html! { @for (number, piece) in pieces.iter().enumerate() { @if number > 0 { wbr; } (piece) } }
}

/// How many rows the first cell of this one stands for: those that follow and begin with the same; `None` where it is one
/// of them.
fn spanned(rows: &[Vec<Cell>], index: usize) -> Option<usize> {
    let first = |row: &Vec<Cell>| row.first().map(|cell| cell.text.clone());
    let own = first(&rows[index]);
    let follows = index > 0 && first(&rows[index - 1]) == own;
    (!follows).then(|| rows[index..].iter().take_while(|row| first(row) == own).count())
}

fn joined(a: Option<&str>, b: Option<&str>) -> Option<String> {
    let all: Vec<&str> = a.into_iter().chain(b).collect();
    (!all.is_empty()).then(|| all.join(" "))
}
