use std::path::Path;

use serde_json::Value;

use crate::digest::sha256_hex;
use crate::random::pick;

/// Rows of a data file, in the file's order.
#[derive(Clone, Debug)]
pub struct DataSource {
    pub name: String,
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
    pub pick: Pick,
    /// SHA-256 of the file.
    pub digest: String,
}

pub type Row = Vec<Value>;

/// Which row an iteration gets; fixed by its global index, whatever worker or shard runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    Random,
    /// In order, from the start again at the end.
    Sequential,
    /// In order, each row once.
    Unique,
}

impl DataSource {
    /// The row of iteration `index`.
    #[must_use]
    pub fn row(&self, seed: u64, index: u64) -> &Row {
        let count = self.rows.len() as u64;
        let at = match self.pick {
            Pick::Random => pick(seed, index) % count,
            Pick::Sequential | Pick::Unique => index % count,
        };
        &self.rows[at as usize]
    }

    /// The row of smoke's `pass`, counted from the end so that smoke and load rarely meet.
    #[must_use]
    pub fn smoke_row(&self, pass: u64) -> &Row {
        let count = self.rows.len() as u64;
        &self.rows[(count - 1 - pass % count) as usize]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Text,
    Int,
    Float,
    Bool,
}

impl ColumnType {
    pub const WORDS: [(&'static str, Self); 4] =
        [("string", Self::Text), ("int", Self::Int), ("float", Self::Float), ("bool", Self::Bool)];

    fn parse(self, text: &str) -> Option<Value> {
        Some(match self {
            Self::Text => Value::String(text.to_owned()),
            Self::Int => text.trim().parse::<i64>().ok()?.into(),
            Self::Float => serde_json::Number::from_f64(text.trim().parse().ok()?)?.into(),
            Self::Bool => text.trim().parse::<bool>().ok()?.into(),
        })
    }
}

/// Reads a CSV file with a header row.
///
/// # Errors
/// In words: unreadable, no rows, a row of another length (with its line), a value that is not of its type.
pub fn read_csv(
    path: &Path,
    name: &str,
    pick: Pick,
    types: &[(String, ColumnType)],
) -> Result<DataSource, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes.as_slice());
    let columns: Vec<String> =
        reader.headers().map_err(|e| format!("{}: {e}", path.display()))?.iter().map(str::to_owned).collect();
    if let Some((unknown, _)) = types.iter().find(|(column, _)| !columns.contains(column)) {
        return Err(format!("{} has no column `{unknown}`; it has {}", path.display(), columns.join(", ")));
    }
    let kinds: Vec<ColumnType> = columns
        .iter()
        .map(|column| {
            types.iter().find(|(name, _)| name == column).map_or(ColumnType::Text, |(_, kind)| *kind)
        })
        .collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| format!("{}: {e}", path.display()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let row: Option<Row> = record.iter().zip(&kinds).map(|(text, kind)| kind.parse(text)).collect();
        rows.push(row.ok_or_else(|| {
            format!("{}:{line}: a value is not of the type given under `types`", path.display())
        })?);
    }
    if rows.is_empty() {
        return Err(format!("{} has no rows below its header", path.display()));
    }
    let digest = sha256_hex(&bytes);
    Ok(DataSource { name: name.to_owned(), columns, rows, pick, digest })
}

/// Reads a JSON file: a list of objects. The columns are the first one's keys, and every other object has them too.
///
/// # Errors
/// In words: unreadable, no such list, no rows, a key that is missing (with its row).
pub fn read_json(path: &Path, name: &str, pick: Pick) -> Result<DataSource, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let list: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(&bytes)
        .map_err(|e| format!("{}: expected a list of objects: {e}", path.display()))?;
    let first = list.first().ok_or_else(|| format!("{} has no rows", path.display()))?;
    let columns: Vec<String> = first.keys().cloned().collect();
    let mut rows = Vec::with_capacity(list.len());
    for (i, object) in list.iter().enumerate() {
        let row: Option<Row> = columns.iter().map(|column| object.get(column).cloned()).collect();
        rows.push(row.ok_or_else(|| {
            let missing = columns.iter().find(|c| !object.contains_key(*c)).map_or("", String::as_str);
            format!("{}: row {} has no `{missing}`, which the first one has", path.display(), i + 1)
        })?);
    }
    Ok(DataSource { name: name.to_owned(), columns, rows, pick, digest: sha256_hex(&bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(pick: Pick) -> DataSource {
        let rows = (0..100).map(|i| vec![Value::from(i)]).collect();
        DataSource { name: "n".into(), columns: vec!["id".into()], rows, pick, digest: String::new() }
    }

    #[test]
    fn rows_are_fixed_by_the_iteration() {
        let sequential = source(Pick::Sequential);
        assert_eq!(sequential.row(1, 205)[0], 5);
        assert_eq!(sequential.smoke_row(0)[0], 99);
        let random = source(Pick::Random);
        let picked: Vec<_> = (0..1000).map(|i| random.row(7, i)[0].clone()).collect();
        assert_eq!(picked, (0..1000).map(|i| random.row(7, i)[0].clone()).collect::<Vec<_>>());
        assert_ne!(picked[..20], (0..20).map(|i| random.row(8, i)[0].clone()).collect::<Vec<_>>()[..]);
        let distinct: std::collections::HashSet<_> = picked.iter().map(ToString::to_string).collect();
        assert!(distinct.len() > 95, "{} of 100 rows in 1000 picks", distinct.len());
    }
}
