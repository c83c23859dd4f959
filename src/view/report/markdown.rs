//! A report as Markdown: `CommonMark` with GitHub's tables and task lists.

use std::fmt::Write as _;

use super::page::{Block, Line, Mark, Page, Span};
use super::{TEXT, printable};
use crate::model::Output;
use crate::view::value;

/// The page. Ends with one newline.
pub(super) fn write(page: &Page) -> String {
    let mut out = String::new();
    for block in &page.blocks {
        write_block(&mut out, block);
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn write_block(out: &mut String, block: &Block) {
    match block {
        Block::Heading(level, line) => {
            let marks = "#".repeat(usize::from(*level));
            let _ = writeln!(out, "{marks} {}\n", shown(line));
        }
        Block::Text(line) => {
            let _ = writeln!(out, "{}\n", shown(line));
        }
        Block::Hint(text) => {
            let _ = writeln!(out, "_{text}_\n");
        }
        Block::Table { head, rows } => {
            let _ = writeln!(out, "| {} |", head.join(" | "));
            let _ = writeln!(out, "|{}", " --- |".repeat(head.len()));
            for row in rows {
                let cells: Vec<String> = row.iter().map(shown).collect();
                let _ = writeln!(out, "| {} |", cells.join(" | "));
            }
            out.push('\n');
        }
        Block::List(lines) => {
            for line in lines {
                let _ = writeln!(out, "- {}", shown(line));
            }
            out.push('\n');
        }
        Block::Checks(points) => {
            for (mark, line) in points {
                let (tick, said) = match mark {
                    Mark::Done => ("x", ""),
                    Mark::Not => (" ", "**not so**: "),
                    Mark::Open => (" ", ""),
                };
                let _ = writeln!(out, "- [{tick}] {said}{}", shown(line));
            }
            out.push('\n');
        }
        Block::Printed(output) => printed(out, output),
        Block::Plot(plot) => {
            let _ = writeln!(out, "```text\n{}```\n", plot.text());
        }
    }
}

fn shown(line: &Line) -> String {
    line.iter()
        .map(|span| match span {
            Span::Plain(outside) => text(outside),
            Span::Code(outside) => fenced(outside),
        })
        .collect()
}

/// Text from outside on one line, with what Markdown or HTML would take for
/// markup inside a line escaped (`CommonMark` 0.31, *Backslash escapes*). What
/// is markup only at a line's beginning is left: no line begins with it.
fn text(outside: &str) -> String {
    let ends = outside.len() - outside.trim_end_matches(' ').len();
    let begins = outside.len() - outside.trim_start_matches(' ').len();
    let line = value::one_line(outside, TEXT);
    let mut escaped = " ".repeat(begins.min(1));
    let mut before = ' ';
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let markup = match c {
            '\\' | '`' | '*' | '[' | ']' | '|' | '&' | '~' => true,
            // Inside a word, or before a blank, these are what they look like,
            // and a report that is read as text should not be littered.
            '_' => !before.is_alphanumeric(),
            '<' => rest.peek().is_some_and(|next| !next.is_whitespace()),
            _ => false,
        };
        if markup {
            escaped.push('\\');
        }
        escaped.push(c);
        before = c;
    }
    if !line.is_empty() {
        escaped.push_str(&" ".repeat(ends.min(1)));
    }
    escaped
}

/// Text from outside as a span of code, in a table's cell too.
fn fenced(outside: &str) -> String {
    let code = value::one_line(outside, TEXT).replace('`', "'");
    format!("`{}`", code.replace('|', "\\|"))
}

/// What a step printed, in a block whose fence is longer than any run of
/// backticks in it.
fn printed(out: &mut String, output: &Output) {
    let printed = printable(output);
    if printed.trim().is_empty() {
        return;
    }
    let mut longest = 2;
    let mut run = 0;
    for c in printed.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    let _ = writeln!(out, "{fence}text\n{}\n{fence}\n", printed.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_no_markup() {
        assert_eq!(
            text("v42 | <b> # `x` [y](z)"),
            r"v42 \| \<b> # \`x\` \[y\](z)"
        );
        assert_eq!(text("a\n# b < c > d"), "a # b < c > d");
        assert_eq!(text("error_rate"), "error_rate");
        assert_eq!(fenced("a | `b`"), r"`a \| 'b'`");
    }

    #[test]
    fn output_cannot_leave_its_block() {
        let mut out = String::new();
        printed(&mut out, &Output::said("````\n# free\x1b[2J"));
        assert_eq!(out, "`````text\n````\n# free\u{fffd}[2J\n`````\n\n");
        let mut out = String::new();
        printed(&mut out, &Output::said("  \n"));
        assert_eq!(out, "");
    }
}
