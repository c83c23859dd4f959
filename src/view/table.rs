//! Text for terminals: columns that line up, lines that fit, and colour only
//! where it was asked for.

use super::value::is_unprintable;

/// Narrowest terminal that is reckoned with, in columns.
pub const NARROW: usize = 40;

/// How text may be dressed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns; at least [`NARROW`] is assumed.
    pub width: usize,
    /// Whether ANSI colours may be used.
    pub colour: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            width: 100,
            colour: false,
        }
    }
}

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Style {
    /// Paints a text.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            _ if !self.colour => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "1;31",
            Tone::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A line cut to the width, with an ellipsis where it was cut.
    pub(super) fn fit(self, text: &str) -> String {
        cut(text, self.width.max(NARROW))
    }

    /// A line as it is, indented and cut to the width.
    pub(super) fn verbatim(self, out: &mut String, line: &str) {
        out.push_str(self.fit(&format!("    {}", printable(line))).trim_end());
        out.push('\n');
    }

    /// A labelled sentence, wrapped at words under its beginning.
    pub(super) fn field(self, out: &mut String, label: &str, tone: Tone, text: &str) {
        const INDENT: usize = 12;
        let room = self.width.max(NARROW) - INDENT;
        for (i, line) in wrap(text, room).iter().enumerate() {
            let label = if i == 0 { label } else { "" };
            out.push_str(&self.paint(Tone::Faint, &pad(&format!("  {label}"), INDENT)));
            out.push_str(&self.paint(tone, line));
            out.push('\n');
        }
    }
}

/// One cell.
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

/// A plain cell.
pub(super) fn plain(text: impl AsRef<str>) -> Cell {
    toned(text, Tone::Plain)
}

/// A cell in a tone.
pub(super) fn toned(text: impl AsRef<str>, tone: Tone) -> Cell {
    Cell {
        text: printable(text.as_ref()),
        tone,
    }
}

/// Rows of cells under a head. The last column takes what is left of the width
/// and is wrapped; the others are as wide as their longest cell.
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// Least widths of the first columns.
    least: Vec<usize>,
}

impl Table {
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
            least: Vec::new(),
        }
    }

    /// With first columns that are so wide at least: for rows that come one by
    /// one, and are to stand below each other all the same.
    pub(super) fn at_least(mut self, widths: &[usize]) -> Self {
        self.least = widths.to_vec();
        self
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Renders the table; nothing at all when it has no rows.
    pub(super) fn render(&self, out: &mut String, style: Style) {
        self.render_below(true, out, style);
    }

    /// Renders its rows alone.
    pub(super) fn render_rows(&self, out: &mut String, style: Style) {
        self.render_below(false, out, style);
    }

    fn render_below(&self, with_head: bool, out: &mut String, style: Style) {
        const GAP: usize = 2;
        /// Least room for the last column beside the others.
        const LEAST: usize = 20;
        if self.rows.is_empty() {
            return;
        }
        let columns = self.head.len();
        let width_of = |i: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(i));
            let cells = cells.map(|c| c.text.chars().count());
            let least = self.least.get(i).copied().unwrap_or(0);
            let least = least.max(self.head[i].chars().count());
            cells.max().unwrap_or(0).max(least)
        };
        let mut widths: Vec<usize> = (0..columns).map(width_of).collect();
        let total = style.width.max(NARROW) - GAP;
        let before: usize = widths[..columns - 1].iter().map(|w| w + GAP).sum();
        // Too narrow for a column beside the others: its text goes below.
        let below = before + LEAST > total && widths[columns - 1] + before > total;
        widths[columns - 1] = if below {
            total.saturating_sub(2 * GAP)
        } else {
            total - before
        };
        let shown = if below { columns - 1 } else { columns };
        let head: Vec<Cell> = self.head.iter().map(|h| toned(h, Tone::Faint)).collect();
        let head = with_head.then_some(&head);
        for row in head.into_iter().chain(&self.rows) {
            let last = &row[columns - 1];
            let wrapped = wrap(&last.text, widths[columns - 1]);
            let mut line = String::from("  ");
            let mut room = total;
            for (i, cell) in row[..columns - 1].iter().enumerate() {
                let cell_width = if i + 1 == shown {
                    room
                } else {
                    widths[i] + GAP
                };
                let text = cut(&cell.text, room.min(widths[i]));
                let padded = if i + 1 == shown {
                    text
                } else {
                    pad(&text, cell_width.min(room))
                };
                room = room.saturating_sub(cell_width);
                line.push_str(&style.paint(cell.tone, &padded));
            }
            if !below {
                line.push_str(&style.paint(last.tone, &wrapped[0]));
            }
            out.push_str(line.trim_end());
            out.push('\n');
            let is_head = head.is_some_and(|head| std::ptr::eq(row, head));
            let (skip, indent) = if below {
                (0, 3 * GAP)
            } else {
                (1, before + GAP)
            };
            for part in wrapped.iter().skip(skip) {
                if !is_head && !part.is_empty() {
                    out.push_str(&" ".repeat(indent));
                    out.push_str(&style.paint(last.tone, part));
                    out.push('\n');
                }
            }
        }
    }
}

fn pad(text: &str, width: usize) -> String {
    let mut padded = text.to_owned();
    padded.extend(std::iter::repeat_n(
        ' ',
        width.saturating_sub(text.chars().count()),
    ));
    padded
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    if width == 0 {
        return String::new();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// What is from outside may neither move the cursor nor change its colour.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if is_unprintable(c) { ' ' } else { c })
        .collect()
}

/// Breaks a text at words into lines of at most `width` characters; a word that
/// is longer is cut. At least one line, maybe empty.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in printable(text).split_whitespace() {
        let word = cut(word, width);
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(&word);
            used += length;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["trigger", "state", "why"]);
        table.row(vec![
            plain("service-down"),
            toned("clear", Tone::Good),
            plain("web is up"),
        ]);
        table.row(vec![
            plain("slow"),
            toned("blind", Tone::Warning),
            plain("the window is not full: 40s of 1m covered, and then some more"),
        ]);
        table
    }

    fn rendered(width: usize) -> String {
        let mut out = String::new();
        table().render(
            &mut out,
            Style {
                width,
                colour: false,
            },
        );
        out
    }

    #[test]
    fn columns_line_up_and_the_last_one_wraps() {
        insta::assert_snapshot!(rendered(60), @r"
        trigger       state  why
        service-down  clear  web is up
        slow          blind  the window is not full: 40s of 1m
                             covered, and then some more
        ");
    }

    #[test]
    fn where_there_is_no_room_the_last_column_goes_below() {
        insta::assert_snapshot!(rendered(40), @r"
        trigger       state
        service-down  clear
            web is up
        slow          blind
            the window is not full: 40s of 1m
            covered, and then some more
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [40, 41, 50, 60, 80, 200] {
            for line in rendered(width).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn text_from_outside_paints_nothing() {
        let style = Style {
            width: 80,
            colour: true,
        };
        assert_eq!(style.paint(Tone::Bad, "x"), "\x1b[1;31mx\x1b[0m");
        let mut out = String::new();
        style.field(&mut out, "why", Tone::Plain, "\x1b[2Jgone");
        assert!(!out.contains("\x1b[2J"));
        let mut table = Table::new(&["a", "b"]);
        table.row(vec![plain("\x1b[2J"), plain("x\ny")]);
        let mut out = String::new();
        table.render(&mut out, Style::default());
        assert!(!out.contains('\x1b'));
        assert_eq!(out.lines().count(), 2);
    }
}
