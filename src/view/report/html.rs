//! A report as one HTML file: its style and its plots are in it, it needs no
//! script and fetches nothing, reads in light and dark, and prints.

use std::fmt::Write as _;

use super::page::{Block, Line, Mark, Page, Span};
use super::{TEXT, printable};
use crate::view::value;

const STYLE: &str = include_str!("report.css");

/// The page.
pub(crate) fn write(page: &Page) -> String {
    let title = page.blocks.iter().find_map(|block| match block {
        Block::Heading(1, line) => Some(shown(line)),
        _ => None,
    });
    let mut body = String::new();
    let mut plots = 0;
    for block in &page.blocks {
        write_block(&mut body, block, &mut plots);
    }
    document(&title.unwrap_or_default(), "", &body)
}

/// One file that needs nothing else, in the report's style and some more. Title
/// and body are HTML already.
pub(crate) fn document(title: &str, style: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}{style}</style>\n</head>\n<body>\n<main>\n\
         {body}</main>\n</body>\n</html>\n"
    )
}

fn write_block(out: &mut String, block: &Block, plots: &mut usize) {
    // Writing to a string cannot fail.
    let _ = match block {
        Block::Heading(level, line) => {
            let level = (*level).clamp(1, 6);
            writeln!(out, "<h{level}>{}</h{level}>", shown(line))
        }
        Block::Text(line) => writeln!(out, "<p>{}</p>", shown(line)),
        Block::Hint(text) => writeln!(out, "<p class=\"hint\">{}</p>", escaped(text)),
        Block::Table { head, rows } => {
            table(out, head, rows);
            Ok(())
        }
        Block::List(lines) => {
            let items: String = lines
                .iter()
                .map(|line| format!("<li>{}</li>\n", shown(line)))
                .collect();
            writeln!(out, "<ul>\n{items}</ul>")
        }
        Block::Checks(points) => {
            let items: String = points
                .iter()
                .map(|(mark, line)| check(*mark, line))
                .collect();
            writeln!(out, "<ul class=\"checks\">\n{items}</ul>")
        }
        Block::Printed(output) => {
            let text = printable(output);
            if text.trim().is_empty() {
                Ok(())
            } else {
                writeln!(out, "<pre>{}</pre>", escaped(text.trim_end()))
            }
        }
        Block::Plot(plot) => {
            *plots += 1;
            writeln!(out, "<figure>\n{}</figure>", plot.svg(*plots))
        }
    };
}

fn table(out: &mut String, head: &[&str], rows: &[Vec<Line>]) {
    let facts = head.iter().all(|name| name.is_empty());
    out.push_str(if facts {
        "<div class=\"wide\"><table class=\"facts\">\n"
    } else {
        "<div class=\"wide\"><table>\n<thead><tr>"
    });
    if !facts {
        for name in head {
            let _ = write!(out, "<th scope=\"col\">{}</th>", escaped(name));
        }
        out.push_str("</tr></thead>\n");
    }
    out.push_str("<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (place, line) in row.iter().enumerate() {
            let _ = if facts && place == 0 {
                write!(out, "<th scope=\"row\">{}</th>", shown(line))
            } else {
                write!(out, "<td>{}</td>", shown(line))
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

fn check(mark: Mark, line: &Line) -> String {
    let (class, sign, said) = match mark {
        Mark::Done => ("done", "✓", "done"),
        Mark::Not => ("not", "✗", "not so"),
        Mark::Open => ("open", "○", "open"),
    };
    format!(
        "<li class=\"{class}\"><span class=\"sign\" aria-hidden=\"true\">{sign}</span>\
         <span class=\"said\">{said}: </span>{}</li>\n",
        shown(line)
    )
}

fn shown(line: &Line) -> String {
    line.iter()
        .map(|span| match span {
            Span::Plain(outside) => {
                let before = if outside.starts_with(' ') { " " } else { "" };
                let after = if outside.ends_with(' ') { " " } else { "" };
                let text = escaped(&value::one_line(outside, TEXT));
                format!("{before}{text}{after}")
            }
            Span::Code(outside) => {
                let text = escaped(&value::one_line(outside, TEXT));
                format!("<code>{text}</code>")
            }
        })
        .collect()
}

/// Text as text, in an element and in a quoted attribute (HTML Living Standard,
/// *Serializing HTML fragments*, and the quotes).
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Output;

    #[test]
    fn nothing_from_outside_is_an_element() {
        let evil = "<script>alert('x')</script>\"&";
        let mut page = Page::default();
        page.heading(1, evil);
        page.text(evil);
        page.facts(vec![("Service", vec![Span::Code(evil.into())])]);
        page.checks(vec![(Mark::Not, vec![Span::Plain(evil.into())])]);
        page.blocks
            .push(Block::Printed(Output::said("</pre><img src=x>")));
        let html = write(&page);
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("<img"), "{html}");
        assert_eq!(html.matches("</pre>").count(), 1, "{html}");
        assert_eq!(html.matches("&lt;script&gt;").count(), 5, "{html}");
    }

    #[test]
    fn it_fetches_nothing_and_runs_nothing() {
        let html = write(&Page::default());
        for outside in ["http", "src=", "url(", "@import", "<script", "onload"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}
