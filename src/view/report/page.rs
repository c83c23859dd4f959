//! A report, of an incident or of a replay, before it has a form: headings, tables, plots, in their order.
//!
//! What comes from outside is a [`Span`], and never markup: each form escapes
//! it in its own way.

use super::plot::Plot;
use crate::model::Output;

/// A line of text in parts.
pub(crate) type Line = Vec<Span>;

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Plain(String),
    /// As the policy has it, or as it is typed.
    Code(String),
}

pub(crate) fn plain(text: impl Into<String>) -> Line {
    vec![Span::Plain(text.into())]
}

pub(crate) fn code(text: impl Into<String>) -> Line {
    vec![Span::Code(text.into())]
}

/// How a point of a checklist stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A machine has seen that it is so.
    Done,
    /// A machine has seen that it is not so.
    Not,
    /// For people, or too early to say.
    Open,
}

/// A part of a report.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    /// Level 1 is the title.
    Heading(u8, Line),
    Text(Line),
    /// Something that people replace by what they know.
    Hint(String),
    Table {
        /// Empty texts for a table of names and values.
        head: Vec<&'static str>,
        rows: Vec<Vec<Line>>,
    },
    List(Vec<Line>),
    Checks(Vec<(Mark, Line)>),
    Printed(Output),
    Plot(Plot),
}

/// A report before it has a form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) blocks: Vec<Block>,
}

impl Page {
    pub(crate) fn heading(&mut self, level: u8, text: impl Into<String>) {
        self.blocks.push(Block::Heading(level, plain(text)));
    }

    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(plain(text)));
    }

    pub(crate) fn hint(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Hint(text.into()));
    }

    /// Names and values.
    pub(crate) fn facts(&mut self, rows: Vec<(&'static str, Line)>) {
        let rows = rows.into_iter().map(|(name, v)| vec![plain(name), v]);
        self.table(&["", ""], rows.collect());
    }

    pub(crate) fn table(&mut self, head: &[&'static str], rows: Vec<Vec<Line>>) {
        let head = head.to_vec();
        self.blocks.push(Block::Table { head, rows });
    }

    pub(crate) fn list(&mut self, lines: Vec<Line>) {
        self.blocks.push(Block::List(lines));
    }

    pub(crate) fn checks(&mut self, points: Vec<(Mark, Line)>) {
        self.blocks.push(Block::Checks(points));
    }
}
