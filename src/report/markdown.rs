use std::fmt::Write as _;

use super::content;
use super::document::{Block, Cell, Table, Tone};
use super::inert::shortened;
use super::model::ReportModel;
use crate::units::counted;
use crate::verdict::Severity;

/// What a comment may hold on the usual platforms is 65,536 characters; something is left for what is around it.
pub const MOST_CHARACTERS: usize = 60_000;
const MOST_IN_CELL: usize = 600;
const MOST_IN_TEXT: usize = 2_000;
const MOST_IN_NAME: usize = 120;
const MOST_CODE: usize = 2_000;
const SHOWN_FINDINGS: usize = 5;
const MOST_EXAMPLES: usize = 5;
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
    let findings: Vec<Cell> = model.verdict.findings.iter().filter(told).map(content::finding_cell).collect();
    let (shown, folded) = findings.split_at(findings.len().min(SHOWN_FINDINGS));
    if !shown.is_empty() {
        blocks.push(Block::List(shown.to_vec()));
    }
    if !folded.is_empty() {
        blocks.push(fold(
            format!("{} more", counted(folded.len(), "finding")),
            vec![Block::List(folded.to_vec())],
        ));
    }
    if !model.record.runs.is_empty() {
        blocks.push(Block::Table(content::endpoints(model)));
    }
    let transients = content::transients(model);
    if !transients.is_empty() {
        blocks.push(Block::Text("Seen in the timeline:".into()));
        blocks.push(Block::List(transients));
    }
    let failed = model.verdict.findings.iter().any(|f| f.severity == Severity::Fail);
    let evidence = content::evidence(model, MOST_EXAMPLES);
    if !evidence.is_empty() {
        blocks.push(fold(if failed { "What failed" } else { "Examples of errors" }.into(), evidence));
    }
    let rules = content::rules(model);
    if !rules.rows.is_empty() {
        blocks.push(fold(format!("All rules ({})", rules.rows.len()), vec![Block::Table(rules)]));
    }
    let comparisons = content::comparisons(model);
    if !comparisons.rows.is_empty() {
        let mut inner = vec![Block::Table(comparisons)];
        inner.extend(model.power().map(Block::Text));
        blocks.push(fold("Before against after".into(), inner));
    }
    if !model.smoke_steps().is_empty() {
        blocks.push(fold(content::smoke_summary(model), vec![Block::Table(content::smoke(model))]));
    }
    let mut origin = vec![Block::Table(content::provenance(model))];
    if !model.record.runs.is_empty() {
        origin.push(Block::Table(content::looks(model)));
    }
    blocks.push(fold("Where this comes from".into(), origin));
    markdown_of(&blocks)
}

/// Several runs side by side.
#[must_use]
pub fn render_markdown_beside(models: &[ReportModel]) -> String {
    let mut out = Budget::default();
    for (number, model) in (1..).zip(models) {
        out.push(&format!("{number}. {} {}\n", escaped(model.title()), strong(&model.verdict.summary)));
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
    out.text
}

fn fold(summary: String, blocks: Vec<Block>) -> Block {
    Block::Fold { summary, blocks }
}

/// Text that grows only while there is room.
#[derive(Default)]
struct Budget {
    text: String,
    characters: usize,
    left_out: bool,
}

impl Budget {
    /// Adds a piece as a whole, or not at all.
    fn push(&mut self, piece: &str) -> bool {
        let more = piece.chars().count();
        let fits = self.characters + more + RESERVE <= MOST_CHARACTERS;
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
}

/// Markdown of at most [`MOST_CHARACTERS`].
#[must_use]
pub fn markdown_of(blocks: &[Block]) -> String {
    let mut out = Budget::default();
    write_blocks(&mut out, blocks);
    if out.left_out {
        out.blank();
        out.close("More did not fit in here; `report.html` and `verdict.json` have all of it.\n");
    }
    out.text
}

fn write_blocks(out: &mut Budget, blocks: &[Block]) {
    for block in blocks {
        if !matches!(block, Block::Signature(_) | Block::Check { .. }) {
            out.blank();
        }
        match block {
            Block::Heading(text) => drop(out.push(&format!("## {}\n\n", escaped(text)))),
            Block::Text(text) => drop(out.push(&format!("{}\n", escaped(&shortened(text, MOST_IN_TEXT))))),
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
                    out.push(&format!("- {}\n", escaped(&shortened(&item.text, MOST_IN_CELL))));
                }
            }
            Block::Table(table) => write_table(out, table),
            Block::Code(text) => {
                let text: String = text.chars().take(MOST_CODE).collect();
                let fence = "`".repeat(longest_run(&text, '`').max(2) + 1);
                out.push(&format!("{fence}text\n{text}\n{fence}\n"));
            }
            Block::Fold { summary, blocks } => {
                if out.push(&format!("<details><summary>{}</summary>\n\n", html_text(summary))) {
                    write_blocks(out, blocks);
                    out.blank();
                    out.close("</details>\n");
                }
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
            out.close(&format!("\n… and {} more rows\n", table.rows.len() - number));
            break;
        }
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
            '@' | '#' if !before.is_alphanumeric() => {
                out.push(c);
                out.push_str("<!-- -->");
            }
            ':' if rest.peek() == Some(&'/') => out.push_str(":<!-- -->"),
            '.' if out.to_ascii_lowercase().ends_with("www") => out.push_str("<!-- -->."),
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
            ("report@attempts", "report@attempts"),
            ("![x](http://h/p)", "\\!\\[x\\](http:<!-- -->//h/p)"),
            ("www.example", "www<!-- -->.example"),
            ("line\nbreak", "line break"),
        ] {
            assert_eq!(escaped(text), safe);
        }
    }

    #[test]
    fn a_table_that_does_not_fit_says_so() {
        let row = vec![Cell::from("x".repeat(100)); 3];
        let table = Table { header: vec!["a", "b", "c"], rows: vec![row; 1000], numbers: 1..3 };
        let text = markdown_of(&[fold("many".into(), vec![Block::Table(table)])]);
        assert!(text.chars().count() <= MOST_CHARACTERS, "{}", text.chars().count());
        assert!(text.contains("more rows") && text.contains("report.html") && text.contains("</details>"));
    }
}
