//! One signal over the time of an incident: its curve, its limit, the hold, and
//! what happened when. As inline SVG, and as a line of blocks where pictures
//! cannot be.

use std::fmt::Write as _;

use super::html::escaped;
use crate::model::{Moment, Op, Unit};
use crate::view::value;

/// The drawing's size, and what its frame leaves free, in SVG units.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 38.0;
const BOTTOM: f64 = 24.0;

/// Columns of the line of blocks.
const COLUMNS: usize = 60;

/// A signal over time, judged again from the recorded samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name.
    pub signal: String,
    /// What its numbers are.
    pub unit: Unit,
    /// What a trigger compares it with.
    pub limit: Option<Bound>,
    /// Its values in the order of time; `None` where it had no reading.
    pub points: Vec<(Moment, Option<f64>)>,
    /// Of a ratio: how many of how many events were hits between the breach's
    /// beginning and its end.
    pub counted: Option<(f64, f64)>,
}

/// A limit of a trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The trigger.
    pub trigger: String,
    /// The comparison that is a breach.
    pub op: Op,
    /// In the signal's unit.
    pub limit: f64,
}

impl Bound {
    /// Whether a value is a breach.
    #[must_use]
    pub fn is_breached_by(&self, value: f64) -> bool {
        match self.op {
            Op::Greater => value > self.limit,
            Op::GreaterOrEqual => value >= self.limit,
            Op::Less => value < self.limit,
            Op::LessOrEqual => value <= self.limit,
            Op::Equal => value.total_cmp(&self.limit).is_eq(),
            Op::NotEqual => value.total_cmp(&self.limit).is_ne(),
        }
    }
}

/// A curve as it is drawn.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) curve: Curve,
    /// From its first point to its last, at least.
    pub(super) span: (Moment, Moment),
    /// When the breach began, and when it had lasted its hold.
    pub(super) hold: Option<(Moment, Moment)>,
    /// What happened when, in the order of time.
    pub(super) marks: Vec<(Moment, &'static str)>,
    pub(super) wall_ahead_ms: i64,
}

impl Plot {
    fn values(&self) -> impl Iterator<Item = f64> + Clone {
        self.curve.points.iter().filter_map(|(_, value)| *value)
    }

    fn number(&self, x: f64) -> String {
        value::number(x, self.curve.unit)
    }

    /// Of day, to the second.
    fn clock(&self, at: Moment) -> String {
        let time = value::time(at, self.wall_ahead_ms);
        time.get(11..19).map_or(time.clone(), str::to_owned)
    }

    /// `error_rate: 0% to 30%, limit > 5% of high-error-rate`.
    fn caption(&self) -> String {
        let least = self.values().fold(f64::INFINITY, f64::min);
        let most = self.values().fold(f64::NEG_INFINITY, f64::max);
        let mut text = if least.is_finite() {
            format!(
                "{}: {} to {}",
                self.curve.signal,
                self.number(least),
                self.number(most)
            )
        } else {
            format!("{}: no reading", self.curve.signal)
        };
        if let Some(bound) = &self.curve.limit {
            let limit = self.number(bound.limit);
            let _ = write!(
                text,
                "; {} fires at {} {limit}",
                bound.trigger,
                bound.op.text()
            );
        }
        text
    }

    /// A line of blocks, a line of marks, and what they mean.
    pub(super) fn text(&self) -> String {
        const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let (_, top) = self.range();
        let mut columns = [None::<f64>; COLUMNS];
        for (n, (at, value)) in self.curve.points.iter().enumerate() {
            let Some(value) = value else { continue };
            // A value stands until the next one is known.
            let next = self.curve.points.get(n + 1).map_or(*at, |(next, _)| *next);
            let (first, last) = (self.column(*at), self.column(next));
            for column in &mut columns[first..=last.max(first)] {
                *column = Some(column.map_or(*value, |c| c.max(*value)));
            }
        }
        let line: String = columns
            .iter()
            .map(|column| match column {
                None => '·',
                Some(value) => {
                    let eighths = (value / top * 8.0).clamp(0.0, 7.0);
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "between 0 and 7"
                    )]
                    BLOCKS[eighths as usize]
                }
            })
            .collect();
        let mut marks = [' '; COLUMNS];
        for (n, (at, _)) in self.marks.iter().enumerate() {
            // Those of one moment stand beside each other.
            let free = marks.iter_mut().skip(self.column(*at)).find(|m| **m == ' ');
            if let Some(place) = free {
                *place = char::from_digit(u32::try_from(n + 1).unwrap_or(0), 36).unwrap_or('+');
            }
        }
        let marks: String = marks.iter().collect();
        let (from, to) = self.span;
        format!(
            "{}\n{line}\n{}\n{} to {}{}\n",
            value::one_line(&self.caption(), 300),
            marks.trim_end(),
            self.clock(from),
            self.clock(to),
            self.legend()
                .map_or_else(String::new, |legend| format!("; {legend}"))
        )
    }

    /// `1 fired 08:51:20, 2 cured 08:52:25`.
    fn legend(&self) -> Option<String> {
        let marks = self.marks.iter().enumerate();
        let marks = marks.map(|(n, (at, what))| format!("{} {what} {}", n + 1, self.clock(*at)));
        let marks: Vec<String> = marks.collect();
        (!marks.is_empty()).then(|| marks.join(", "))
    }

    fn column(&self, at: Moment) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of columns"
        )]
        let column = (self.share(at) * COLUMNS as f64) as usize;
        column.min(COLUMNS - 1)
    }

    /// How far a moment is from the left edge to the right, 0 to 1.
    fn share(&self, at: Moment) -> f64 {
        let (from, to) = self.span;
        let whole = to.since(from).as_secs_f64().max(1e-3);
        (at.since(from).as_secs_f64() / whole).clamp(0.0, 1.0)
    }

    /// The lowest and the highest value that the frame shows.
    fn range(&self) -> (f64, f64) {
        let limit = self.curve.limit.iter().map(|bound| bound.limit);
        let all = self.values().chain(limit);
        let low = all.clone().fold(0.0, f64::min);
        let high = all.fold(0.0, f64::max);
        let room = (high - low) * 0.1;
        if room > 0.0 {
            (low, high + room)
        } else {
            (low, low + 1.0)
        }
    }

    fn x(&self, at: Moment) -> f64 {
        LEFT + self.share(at) * (WIDTH - LEFT - RIGHT)
    }

    /// As an SVG element, the `n`th of its page, and its caption.
    pub(super) fn svg(&self, n: usize) -> String {
        let (low, high) = self.range();
        let y = |value: f64| {
            let share = (value - low) / (high - low);
            HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        };
        let mut out = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"plot-{n} plot-{n}-says\">\n\
             <title id=\"plot-{n}\">{}</title>\n<desc id=\"plot-{n}-says\">{}</desc>\n",
            escaped(&format!("The signal {} over time", self.curve.signal)),
            escaped(&match self.legend() {
                Some(legend) => format!("{}. {legend}.", self.caption()),
                None => self.caption(),
            }),
        );
        let bottom = HEIGHT - BOTTOM;
        if let Some((from, to)) = self.hold {
            let (from, to) = (self.x(from), self.x(to));
            let _ = writeln!(
                out,
                "<rect class=\"hold\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                (to - from).max(1.0),
                bottom - TOP
            );
        }
        let _ = writeln!(
            out,
            "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>\n\
             <text class=\"name\" x=\"{LEFT}\" y=\"14\">{}</text>",
            WIDTH - LEFT - RIGHT,
            bottom - TOP,
            escaped(&value::one_line(&self.curve.signal, 80)),
        );
        self.axes(&mut out, low, high, y);
        self.draw_marks(&mut out);
        for piece in self.thinned().split(|(_, value)| value.is_none()) {
            let points: Vec<String> = piece
                .iter()
                .filter_map(|(at, value)| Some(format!("{:.1},{:.1}", self.x(*at), y((*value)?))))
                .collect();
            if !points.is_empty() {
                let _ = writeln!(
                    out,
                    "<polyline class=\"curve\" points=\"{}\"/>",
                    points.join(" ")
                );
            }
        }
        let caption = match self.legend() {
            Some(legend) => format!("{}. {legend}.", self.caption()),
            None => format!("{}.", self.caption()),
        };
        let _ = writeln!(
            out,
            "</svg>\n<figcaption>{}</figcaption>",
            escaped(&caption)
        );
        out
    }

    /// At most a point for each unit of the drawing: of those that share one,
    /// the one furthest from zero.
    fn thinned(&self) -> Vec<(Moment, Option<f64>)> {
        let mut thin: Vec<(Moment, Option<f64>)> = Vec::new();
        for (at, value) in &self.curve.points {
            let close = |last: &(Moment, _)| self.x(*at) - self.x(last.0) < 1.0;
            match (thin.last_mut().filter(|last| close(last)), value) {
                (Some((_, Some(last))), Some(value)) if value.abs() <= last.abs() => {}
                (Some(last @ (_, Some(_))), Some(value)) => last.1 = Some(*value),
                _ => thin.push((*at, *value)),
            }
        }
        thin
    }

    fn axes(&self, out: &mut String, low: f64, high: f64, y: impl Fn(f64) -> f64) {
        let most = self.values().fold(low, f64::max);
        let mut shown = vec![low, most];
        if let Some(bound) = &self.curve.limit {
            let at = y(bound.limit);
            shown.retain(|value| (y(*value) - at).abs() > 12.0);
            let _ = writeln!(
                out,
                "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\n\
                 <text class=\"limit-text\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                escaped(&self.number(bound.limit)),
            );
        }
        if (y(low) - y(most)).abs() < 12.0 {
            shown = vec![high];
        }
        for value in shown {
            let _ = writeln!(
                out,
                "<text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 6.0,
                y(value) + 4.0,
                escaped(&self.number(value)),
            );
        }
        let (from, to) = self.span;
        let middle = from + to.since(from) / 2;
        for (at, anchor) in [(from, "start"), (middle, "middle"), (to, "end")] {
            let _ = writeln!(
                out,
                "<text text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                self.x(at),
                HEIGHT - 8.0,
                self.clock(at),
            );
        }
    }

    /// Numbers above the frame, each on its line; those that would touch are
    /// one label.
    fn draw_marks(&self, out: &mut String) {
        const CLOSE: f64 = 12.0;
        let mut labels: Vec<(f64, usize, usize)> = Vec::new();
        for (n, (at, _)) in self.marks.iter().enumerate() {
            let x = self.x(*at);
            let _ = writeln!(
                out,
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>",
                HEIGHT - BOTTOM,
            );
            match labels.last_mut() {
                Some((before, _, last)) if x - *before < CLOSE => *last = n + 1,
                _ => labels.push((x, n + 1, n + 1)),
            }
        }
        for (x, first, last) in labels {
            let label = if first == last {
                first.to_string()
            } else {
                format!("{first}–{last}")
            };
            let _ = writeln!(
                out,
                "<text class=\"mark-text\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
                TOP - 5.0,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn plot(values: &[Option<f64>]) -> Plot {
        let at = |n: usize| Moment::from_millis(n as u64 * 5000);
        Plot {
            span: (at(0), at(values.len().max(2) - 1)),
            curve: Curve {
                signal: "<b>error_rate".into(),
                unit: Unit::Ratio,
                limit: Some(Bound {
                    trigger: "errors".into(),
                    op: Op::Greater,
                    limit: 0.05,
                }),
                points: values
                    .iter()
                    .enumerate()
                    .map(|(n, v)| (at(n), *v))
                    .collect(),
                counted: None,
            },
            hold: Some((at(1), at(2))),
            marks: vec![(at(1), "fired"), (at(1), "decided"), (at(3), "cured")],
            wall_ahead_ms: 0,
        }
    }

    #[test]
    fn a_curve_is_broken_where_there_was_no_reading() {
        let svg = plot(&[Some(0.0), Some(0.3), None, Some(0.01), None]).svg(1);
        assert_eq!(svg.matches("<polyline").count(), 2, "{svg}");
        assert!(!svg.contains("<b>"), "{svg}");
        assert!(svg.contains("<title") && svg.contains("<desc"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn nothing_and_a_flat_line_are_drawn_too() {
        for values in [&[][..], &[None], &[Some(0.0)], &[Some(-2.0), Some(-2.0)]] {
            let mut plot = plot(values);
            plot.curve.limit = None;
            plot.span.1 = plot.span.0 + Duration::ZERO;
            let drawn = plot.svg(1) + &plot.text();
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        }
    }

    #[test]
    fn as_text_it_is_a_line_of_blocks_with_its_marks() {
        let text = plot(&[Some(0.0), Some(0.3), Some(0.3), Some(0.01)]).text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "<b>error_rate: 0% to 30%; errors fires at > 5%");
        assert_eq!(lines[1].chars().count(), COLUMNS);
        assert_eq!(
            lines[3],
            "00:00:00 to 00:00:15; 1 fired 00:00:05, 2 decided 00:00:05, 3 cured 00:00:15"
        );
    }
}
