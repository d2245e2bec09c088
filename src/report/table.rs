use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Modify, Padding, Style};

use super::inert::{columns, line, shortened};

/// Rows below a header, numbers to the right of the first column (the only door to `tabled`). Cells are made inert.
#[must_use]
pub fn grid(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut builder = Builder::default();
    builder.push_record(header.iter().copied());
    for row in rows {
        builder.push_record(row.iter().map(|cell| line(cell)));
    }
    let mut table = builder.build();
    table
        .with(Style::blank())
        .with(Padding::new(0, 1, 0, 0))
        .with(Modify::new(Columns::new(1..)).with(Alignment::right()));
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// [`grid`] in at most `width` columns: whole columns go, in the order of `droppable` (by header), then the middle of the
/// first column's texts.
#[must_use]
pub fn fitted(header: &[&str], rows: &[Vec<String>], width: usize, droppable: &[&str]) -> String {
    let (mut header, mut rows) = (header.to_vec(), rows.to_vec());
    let mut droppable = droppable.iter();
    while total(&header, &rows) > width {
        let Some(name) = droppable.next() else { break };
        if let Some(at) = header.iter().position(|own| own == name) {
            header.remove(at);
            for row in &mut rows {
                row.remove(at);
            }
        }
    }
    let over = total(&header, &rows).saturating_sub(width);
    if over > 0 {
        let first = widest(&header, &rows, 0);
        let most = first.saturating_sub(over).max(LEAST_NAME);
        for row in &mut rows {
            row[0] = shortened(&row[0], most);
        }
    }
    grid(&header, &rows)
}

/// [`fitted`], with the columns that do not fit in further tables below it, each of which has the first `kept` columns too.
#[must_use]
pub fn in_parts(header: &[&str], rows: &[Vec<String>], width: usize, kept: usize) -> Vec<String> {
    let wide = |column: usize| widest(header, rows, column) + GAP;
    let always = wide(0).min(LEAST_NAME + GAP) + (1..kept).map(wide).sum::<usize>();
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut used = usize::MAX;
    for column in kept..header.len() {
        if used.saturating_add(wide(column)) > width + GAP {
            parts.push((0..kept).collect());
            used = always;
        }
        used += wide(column);
        parts.last_mut().into_iter().for_each(|part| part.push(column));
    }
    let part = |columns: &Vec<usize>| {
        let header: Vec<&str> = columns.iter().map(|column| header[*column]).collect();
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| columns.iter().map(|column| row[*column].clone()).collect()).collect();
        fitted(&header, &rows, width, &[])
    };
    parts.iter().map(part).collect()
}

/// A name is not cut further than this, however narrow the terminal.
const LEAST_NAME: usize = 16;
/// Between two columns.
const GAP: usize = 2;

fn total(header: &[&str], rows: &[Vec<String>]) -> usize {
    (0..header.len()).map(|column| widest(header, rows, column) + GAP).sum::<usize>().saturating_sub(GAP)
}

fn widest(header: &[&str], rows: &[Vec<String>], column: usize) -> usize {
    let cells = rows.iter().map(|row| row[column].as_str()).chain([header[column]]);
    cells.map(columns).max().unwrap_or(0)
}
