//! What a report says, before it becomes Markdown or HTML: headings, tables, folds. Its text is plain; renderers escape.

/// How a cell is meant; always beside a word that says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Caution,
    Bad,
}

#[derive(Clone, Debug)]
pub struct Cell {
    pub text: String,
    pub tone: Tone,
}

impl Cell {
    #[must_use]
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Words to the left, numbers to the right: `numbers` says from which column on.
#[derive(Clone, Debug)]
pub struct Table {
    pub header: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
    pub numbers: std::ops::Range<usize>,
}

#[derive(Clone, Debug)]
pub enum Block {
    Heading(String),
    Text(String),
    /// Emphasized: a verdict.
    Strong(String, Tone),
    List(Vec<Cell>),
    Table(Table),
    Code(String),
    /// Shown on demand.
    Fold {
        summary: String,
        blocks: Vec<Block>,
    },
    /// A line to write on.
    Signature(String),
    /// One item of a checklist.
    Check {
        done: bool,
        text: String,
    },
}
