use std::fmt::Write as _;

use super::content;
use super::document::{Block, Cell, Table, Tone};
use super::inert::shortened;
use super::model::{ReportModel, passed_of};
use super::watched;
use crate::units::counted;

/// What a comment may hold on the usual platforms is 65,536 characters; something is left for what is around it.
pub const MOST_CHARACTERS: usize = 60_000;
const MOST_IN_CELL: usize = 600;
const MOST_IN_TEXT: usize = 2_000;
const MOST_IN_NAME: usize = 120;
const MOST_CODE: usize = 2_000;
const SHOWN_FINDINGS: usize = 5;
const MOST_EXAMPLES: usize = 5;
const MOST_TRANSIENTS: usize = 10;
/// A document is cut in its cells, not at its end, where it is signed.
const UNLIMITED: usize = usize::MAX;
/// For the notes that say what was left out.
const RESERVE: usize = 600;

/// A comment on a pull request, or a job's summary: the verdict, what it rests on, the findings, the endpoints; all else
/// folded.
#[must_use]
pub fn render_markdown(model: &ReportModel) -> String {
    let mut blocks = vec![
        Block::Strong(model.verdict.summary.clone(), content::tone_of_action(model.verdict.action)),
        Block::Text(model.evidence()),
    ];
    let told =
        |f: &&crate::verdict::Finding| !model.verdict.summary.contains(&f.reason) || f.remedy.is_some();
    let findings: Vec<Cell> =
        model.verdict.findings.iter().filter(told).map(|f| content::finding_cell(model, f)).collect();
    let (shown, folded) = findings.split_at(findings.len().min(SHOWN_FINDINGS));
    if !shown.is_empty() {
        blocks.push(Block::List(shown.to_vec()));
    }
    if !model.record.runs.is_empty() {
        blocks.push(Block::Table(content::endpoints(model)));
    }
    blocks.extend(watched::probes(model).map(Block::Table));
    if !folded.is_empty() {
        blocks.push(fold(counted(folded.len(), "more finding"), vec![Block::List(folded.to_vec())]));
    }
    let transients = content::transients(model, MOST_TRANSIENTS);
    if !transients.is_empty() {
        blocks.push(Block::Text("Seen in the timeline:".into()));
        blocks.push(Block::List(transients));
    }
    let evidence = content::evidence(model, MOST_EXAMPLES).concat();
    if !evidence.is_empty() {
        blocks.push(fold(content::evidence_title(model).into(), evidence));
    }
    if let Some(alerts) = watched::alerts(model) {
        let fired = model.verdict.alerts.len();
        let title = format!("Alerts: {fired} of {} fired", alerts.rows.len());
        blocks.push(fold(title, vec![Block::Table(alerts)]));
    }
    let rules = content::rules(model);
    if !rules.rows.is_empty() {
        blocks.push(fold(format!("All rules ({})", rules.rows.len()), vec![Block::Table(rules)]));
    }
    let comparisons = content::comparisons(model);
    if !comparisons.rows.is_empty() {
        let mut inner: Vec<Block> = Vec::new();
        if let Some(impact) = content::impact(model) {
            inner.extend([Block::Table(impact), Block::Text(content::RARELY_PROVEN.into())]);
        }
        inner.push(Block::Table(comparisons));
        inner.extend(model.power().map(Block::Text));
        blocks.push(fold("Before against after".into(), inner));
    }
    if let Some(slowest) = content::slowest(model) {
        blocks.push(fold("The slowest requests, by their traces".into(), vec![Block::Table(slowest)]));
    }
    if !model.smoke_steps().is_empty() {
        blocks.push(fold(passed_of(model.smoke_steps()), vec![Block::Table(content::smoke(model))]));
    }
    let mut origin = vec![Block::Table(content::provenance(model))];
    if !model.record.runs.is_empty() {
        origin.push(Block::Table(content::looks(model)));
    }
    blocks.push(fold("Where this comes from".into(), origin));
    let elsewhere = "More did not fit in here; `report.html` and `verdict.json` have all of it.";
    markdown_of(&blocks, MOST_CHARACTERS, elsewhere)
}

/// A document as a whole, however long.
#[must_use]
pub fn render_markdown_document(blocks: &[Block]) -> String {
    markdown_of(blocks, UNLIMITED, "")
}

/// Several runs side by side.
#[must_use]
pub fn render_markdown_beside(models: &[ReportModel]) -> String {
    let mut out = Budget::new(MOST_CHARACTERS);
    out.push(&format!("{}\n\n", strong(&super::beside::actions(models))));
    for (number, model) in (1..).zip(models) {
        out.push(&format!("{number}. {} {}\n", paragraph(model.title()), strong(&model.verdict.summary)));
    }
    for (metric, rows) in super::beside::side_by_side(models) {
        let mut text = format!("\n| {metric} |");
        for number in 1..=models.len() {
            let _ = write!(text, " {number} |");
        }
        let _ = writeln!(text, "\n|---|{}", "---:|".repeat(models.len()));
        out.push(&text);
        for row in rows {
            let cells: Vec<String> = row.cells.iter().map(|cell| escaped(cell)).collect();
            out.push(&format!(
                "| {} | {} |\n",
                escaped(&shortened(&row.name, MOST_IN_NAME)),
                cells.join(" | ")
            ));
        }
    }
    out.push(&format!("\n{}\n", escaped(super::beside::CAUTION)));
    out.ended("More did not fit in here; `loadgate report` with `--format html` has all of it.")
}

fn fold(summary: String, blocks: Vec<Block>) -> Block {
    Block::Fold { summary, blocks }
}

/// Text that grows only while there is room.
struct Budget {
    text: String,
    characters: usize,
    /// Up to where it may grow for now.
    most: usize,
    left_out: bool,
}

impl Budget {
    fn new(most: usize) -> Self {
        Self { text: String::new(), characters: 0, most: most - RESERVE, left_out: false }
    }

    /// Adds a piece as a whole, or not at all.
    fn push(&mut self, piece: &str) -> bool {
        let more = piece.chars().count();
        let fits = self.characters + more <= self.most;
        if fits {
            self.text.push_str(piece);
            self.characters += more;
        } else {
            self.left_out = true;
        }
        fits
    }

    /// An empty line, unless there is one already.
    fn blank(&mut self) {
        let wanted = match self.text.as_str() {
            "" => "",
            text if text.ends_with("\n\n") => "",
            text if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        self.close(wanted);
    }

    /// What closes something open: there is always room for it.
    fn close(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.characters += piece.chars().count();
    }

    /// The text, and where the rest is if there is one.
    fn ended(mut self, elsewhere: &str) -> String {
        if self.left_out {
            self.blank();
            self.close(&format!("{elsewhere}\n"));
        }
        self.text
    }
}

/// Markdown of at most so many characters; what does not fit is `elsewhere`.
fn markdown_of(blocks: &[Block], most: usize, elsewhere: &str) -> String {
    let mut out = Budget::new(most);
    write_blocks(&mut out, blocks);
    out.ended(elsewhere)
}

fn write_blocks(out: &mut Budget, all: &[Block]) {
    let folds = |blocks: &[Block]| blocks.iter().filter(|b| matches!(b, Block::Fold { .. })).count();
    for (number, block) in all.iter().enumerate() {
        if !matches!(block, Block::Signature(_) | Block::Check { .. }) {
            out.blank();
        }
        match block {
            Block::Heading(text) => drop(out.push(&format!("## {}\n\n", escaped(text)))),
            Block::Text(text) => drop(out.push(&format!("{}\n", paragraph(&shortened(text, MOST_IN_TEXT))))),
            Block::Strong(text, tone) => {
                let sign = match tone {
                    Tone::Good => "✅ ",
                    Tone::Caution => "⚠️ ",
                    Tone::Bad => "❌ ",
                    Tone::Plain => "",
                };
                out.push(&format!("{sign}{}\n", strong(text)));
            }
            Block::List(items) => {
                for item in items {
                    out.push(&format!("- {}\n", paragraph(&shortened(&item.text, MOST_IN_CELL))));
                }
            }
            Block::Table(table) => write_table(out, table),
            Block::Code(text) => {
                let text: String = text.chars().take(MOST_CODE).collect();
                let fence = "`".repeat(longest_run(&text, '`').max(2) + 1);
                out.push(&format!("{fence}text\n{text}\n{fence}\n"));
            }
            Block::Fold { summary, blocks } => {
                // What is long must not leave the folds after it empty.
                let whole = out.most;
                out.most = out.characters + (whole - out.characters.min(whole)) / folds(&all[number..]);
                if out.push(&format!("<details><summary>{}</summary>\n\n", html_text(summary))) {
                    write_blocks(out, blocks);
                    out.blank();
                    out.close("</details>\n");
                }
                out.most = whole;
            }
            Block::Signature(text) => drop(out.push(&format!("- {}: ____________________\n", escaped(text)))),
            Block::Check { done, text } => {
                out.push(&format!("- [{}] {}\n", if *done { 'x' } else { ' ' }, escaped(text)));
            }
        }
    }
}

fn write_table(out: &mut Budget, table: &Table) {
    let mut head = String::from("|");
    for name in &table.header {
        let _ = write!(head, " {name} |");
    }
    head.push_str("\n|");
    for column in 0..table.header.len() {
        head.push_str(if table.numbers.contains(&column) { "---:|" } else { "---|" });
    }
    head.push('\n');
    if !out.push(&head) {
        return;
    }
    for (number, row) in table.rows.iter().enumerate() {
        let mut line = String::from("|");
        for (column, cell) in row.iter().enumerate() {
            let most = if column == 0 { MOST_IN_NAME } else { MOST_IN_CELL };
            let text = escaped(&shortened(&cell.text, most));
            let _ = if cell.tone == Tone::Bad {
                write!(line, " **{text}** |")
            } else {
                write!(line, " {text} |")
            };
        }
        line.push('\n');
        if !out.push(&line) {
            out.close(&format!("\n… and {}\n", counted(table.rows.len() - number, "more row")));
            break;
        }
    }
}

/// [`escaped`], where a line begins: no list, rule, or heading comes of it.
fn paragraph(text: &str) -> String {
    let text = escaped(text.trim_start());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let mut after = text[digits..].chars();
    match (after.next(), after.next()) {
        (Some('-' | '+' | '='), _) if digits == 0 => format!("\\{text}"),
        (Some('.' | ')'), None | Some(' ')) if digits > 0 => {
            format!("{}\\{}", &text[..digits], &text[digits..])
        }
        _ => text,
    }
}

fn strong(text: &str) -> String {
    format!("**{}**", escaped(&shortened(text, 2 * MOST_IN_CELL)))
}

/// Plain text that stays plain: no markup, no HTML, no link, nobody is called.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A backslash would not do: platforms look for these in what is rendered.
            '@' | '#' => {
                out.push(c);
                out.push_str("<!-- -->");
            }
            '-' if is_issue(&out) && rest.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str("<!-- -->-");
            }
            ':' if rest.peek() == Some(&'/') => out.push_str(":<!-- -->"),
            '.' if www(&out) => out.push_str("<!-- -->."),
            // Inside a word it is none.
            '_' if before.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric()) => {
                out.push(c);
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
        before = c;
    }
    out
}

fn www(before: &str) -> bool {
    before.len() >= 3 && before.as_bytes()[before.len() - 3..].eq_ignore_ascii_case(b"www")
}

/// Whether what stands before a dash and a number makes an issue of it: `GH-1`.
fn is_issue(before: &str) -> bool {
    let word = before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    word.eq_ignore_ascii_case("gh")
}

fn html_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_plain() {
        for (text, safe) in [
            ("p95 of a/b < 3 ms", "p95 of a/b &lt; 3 ms"),
            ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
            ("a|b *c* _d_ `e`", "a\\|b \\*c\\* \\_d\\_ \\`e\\`"),
            ("@everyone see #1", "@<!-- -->everyone see #<!-- -->1"),
            ("org/repo#12, GH-7, a-7", "org/repo#<!-- -->12, GH<!-- -->-7, a-7"),
            ("mailto:a@b.example", "mailto:a@<!-- -->b.example"),
            ("![x](http://h/p)", "\\!\\[x\\](http:<!-- -->//h/p)"),
            ("www.example", "www<!-- -->.example"),
            ("line\nbreak", "line break"),
        ] {
            assert_eq!(escaped(text), safe);
        }
        for (text, safe) in [
            ("---", "\\---"),
            ("- [x] done", "\\- \\[x\\] done"),
            ("+ item", "\\+ item"),
            ("    code", "code"),
            ("1. list", "1\\. list"),
            ("2) list", "2\\) list"),
            ("12.5 ms", "12.5 ms"),
            ("plain", "plain"),
        ] {
            assert_eq!(paragraph(text), safe);
        }
    }

    #[test]
    fn a_table_that_does_not_fit_says_so() {
        let row = vec![Cell::from("x".repeat(100)); 3];
        let table = Table { header: vec!["a", "b", "c"], rows: vec![row; 1000], numbers: 1..3 };
        let long = fold("many".into(), vec![Block::Table(table)]);
        let text = markdown_of(
            &[long.clone(), long.clone(), fold("few".into(), vec![Block::Text("all of it".into())])],
            MOST_CHARACTERS,
            "elsewhere",
        );
        assert!(text.chars().count() <= MOST_CHARACTERS, "{}", text.chars().count());
        assert_eq!(text.matches("more rows").count(), 2);
        assert!(text.contains("all of it") && text.ends_with("</details>\n\nelsewhere\n"));
        let whole = render_markdown_document(&[long]);
        assert!(whole.len() > 300_000 && !whole.contains("more rows"));
    }
}
