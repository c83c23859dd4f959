//! Faults as a person reads them: the text underlined, rustc's way. Only the
//! lines of a secret that does not belong into the file are not shown.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::fault::{Fault, FaultSeverity, Place, SECRET};

/// Columns of a rendered fault; longer lines are cut around what is underlined.
const WIDTH: usize = 120;

/// Lines between two places up to which they are shown in one piece.
const NEAR: usize = 20;

/// Renders the faults of one file, given the text that they were found in, one
/// after the other with an empty line between, ending in a newline.
#[must_use]
pub fn render(faults: &[Fault], text: &str, color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    }
    .term_width(WIDTH);
    let mut out = String::new();
    for (i, fault) in faults.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        out.push_str(&renderer.render(&[report(fault, text)]));
        out.push('\n');
    }
    out
}

fn report<'a>(fault: &'a Fault, text: &'a str) -> Group<'a> {
    let level = match fault.severity {
        FaultSeverity::Error => Level::ERROR,
        FaultSeverity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(fault.message.as_str()));
    group = match &fault.place {
        None => group.element(Origin::path(fault.file.as_str())),
        // What is underlined here must not reach a log.
        Some(place) if fault.code == SECRET => group.element(
            Origin::path(fault.file.as_str())
                .line(place.line)
                .char_column(place.column),
        ),
        Some(place) => snippets(group, fault, place, text),
    };
    if let Some(hint) = &fault.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    group
}

fn snippets<'a>(mut group: Group<'a>, fault: &'a Fault, place: &Place, text: &'a str) -> Group<'a> {
    let near = |other: &Place| other.line.abs_diff(place.line) <= NEAR;
    let together = || fault.related.iter().filter(|r| near(&r.place));
    let first = together().map(|r| &r.place).chain([place]);
    let (start, line) = first
        .clone()
        .map(|p| (line_start(text, p.offset), p.line))
        .min()
        .unwrap_or_default();
    let end = first
        .map(|p| line_end(text, p.offset + p.length))
        .max()
        .unwrap_or_default();
    let Some(source) = text.get(start..end).filter(|source| is_readable(source)) else {
        return group.element(
            Origin::path(fault.file.as_str())
                .line(place.line)
                .char_column(place.column),
        );
    };
    let mut snippet = Snippet::source(source)
        .path(fault.file.as_str())
        .line_start(line)
        .annotation(
            AnnotationKind::Primary
                .span(range(place, start))
                .label(fault.label.as_deref()),
        );
    for related in together() {
        snippet = snippet.annotation(
            AnnotationKind::Context
                .span(range(&related.place, start))
                .label(related.label.as_str()),
        );
    }
    group = group.element(snippet);
    for related in fault.related.iter().filter(|r| !near(&r.place)) {
        let start = line_start(text, related.place.offset);
        let end = line_end(text, related.place.offset + related.place.length);
        if let Some(source) = text.get(start..end).filter(|source| is_readable(source)) {
            group = group.element(
                Snippet::source(source)
                    .path(fault.file.as_str())
                    .line_start(related.place.line)
                    .annotation(
                        AnnotationKind::Context
                            .span(range(&related.place, start))
                            .label(related.label.as_str()),
                    ),
            );
        }
    }
    group
}

/// Whether an excerpt is worth showing: a person did not write longer lines, and
/// laying them out takes long.
fn is_readable(source: &str) -> bool {
    source.len() <= 10_000 && source.lines().all(|line| line.len() <= 1000)
}

fn range(place: &Place, start: usize) -> Range<usize> {
    place.offset - start..place.offset + place.length - start
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |i| i + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text.get(at..)
        .and_then(|after| after.find('\n'))
        .map_or(text.len(), |i| at + i)
}
