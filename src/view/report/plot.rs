//! One signal over a time, of an incident or of a replay: its curve, its limit,
//! the hold, and what happened when. As inline SVG, and as a line of blocks
//! where pictures cannot be.
//!
//! A picture of a month is no larger than one of an hour: of what falls on one
//! column of it, the lowest and the highest are drawn.

use std::fmt::Write as _;
use std::time::Duration;

use super::html::escaped;
use crate::model::{Limit, Moment, Op, Policy, Test, Unit};
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
    /// What a policy compares a signal over its own window with: of several
    /// limits that of a preferred trigger, else the first.
    #[must_use]
    pub fn of(policy: &Policy, signal: &str, preferred: impl Fn(&str) -> bool) -> Option<Self> {
        let mut bounds: Vec<Self> = Vec::new();
        for trigger in &policy.triggers {
            for test in trigger.when.expr.tests() {
                if let Test::Compare {
                    signal: read,
                    over: None,
                    op,
                    limit: Limit::Fixed(limit),
                    ..
                } = test
                    && read == signal
                {
                    bounds.push(Self {
                        trigger: trigger.name.clone(),
                        op: *op,
                        limit: *limit,
                    });
                }
            }
        }
        bounds.sort_by_key(|bound| !preferred(&bound.trigger));
        bounds.into_iter().next()
    }

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
pub(crate) struct Plot {
    pub(crate) curve: Curve,
    /// From its first point to its last, at least.
    pub(crate) span: (Moment, Moment),
    /// Shaded times, each kind in the order of time.
    pub(crate) bands: Vec<Band>,
    /// From when on the curve is of what would not have been so.
    pub(crate) doubtful: Option<Moment>,
    /// What happened when, in the order of time.
    pub(crate) marks: Vec<(Moment, String)>,
    pub(crate) wall_ahead_ms: i64,
}

/// A shaded time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Band {
    pub(crate) what: Shade,
    pub(crate) from: Moment,
    pub(crate) to: Moment,
}

/// What a shaded time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shade {
    /// From the beginning of a breach to its firing or its end.
    Hold,
    /// Nothing could be judged.
    Blind,
}

impl Shade {
    const ALL: [Self; 2] = [Self::Blind, Self::Hold];

    const fn class(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Blind => "blind",
        }
    }
}

/// More marks are lines without a number.
const NUMBERED: usize = 16;

impl Plot {
    fn values(&self) -> impl Iterator<Item = f64> + Clone {
        self.curve.points.iter().filter_map(|(_, value)| *value)
    }

    fn number(&self, x: f64) -> String {
        value::number(x, self.curve.unit)
    }

    /// Of day, to the second; where more than a day is drawn, with the day, to
    /// the minute.
    fn clock(&self, at: Moment) -> String {
        const DAY: Duration = Duration::from_hours(24);
        if self.span.1.since(self.span.0) <= DAY {
            return value::clock(at, self.wall_ahead_ms);
        }
        let time = value::time(at, self.wall_ahead_ms).replace('T', " ");
        time.get(5..16).map_or(time.clone(), str::to_owned)
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
    pub(crate) fn text(&self) -> String {
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
        if self.marks.len() > NUMBERED {
            return Some(format!(
                "{} marks: the timeline has them",
                value::count(self.marks.len() as f64)
            ));
        }
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
    pub(crate) fn svg(&self, n: usize) -> String {
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
        self.shade(&mut out);
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
        let thinned = self.thinned();
        let turn = self.doubtful.map_or(thinned.len(), |doubtful| {
            thinned.partition_point(|(at, _)| *at < doubtful)
        });
        let (sure, doubtful) = thinned.split_at(turn);
        for (points, class) in [(sure, "curve"), (doubtful, "curve doubtful")] {
            for piece in points.split(|(_, value)| value.is_none()) {
                let points: Vec<String> = piece
                    .iter()
                    .filter_map(|(at, value)| {
                        Some(format!("{:.1},{:.1}", self.x(*at), y((*value)?)))
                    })
                    .collect();
                if !points.is_empty() {
                    let _ = writeln!(
                        out,
                        "<polyline class=\"{class}\" points=\"{}\"/>",
                        points.join(" ")
                    );
                }
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

    /// Rectangles behind the curve; those that touch are one.
    fn shade(&self, out: &mut String) {
        let height = HEIGHT - BOTTOM - TOP;
        let mut draw = |class: &str, from: f64, to: f64| {
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                (to - from).max(1.0),
            );
        };
        if let Some(doubtful) = self.doubtful {
            draw("doubtful", self.x(doubtful), self.x(self.span.1));
        }
        for what in Shade::ALL {
            let mut open: Option<(f64, f64)> = None;
            for band in self.bands.iter().filter(|band| band.what == what) {
                let (from, to) = (self.x(band.from), self.x(band.to));
                match &mut open {
                    Some(last) if from - last.1 < 1.0 => last.1 = last.1.max(to),
                    _ => {
                        if let Some((from, to)) = open.replace((from, to)) {
                            draw(what.class(), from, to);
                        }
                    }
                }
            }
            if let Some((from, to)) = open {
                draw(what.class(), from, to);
            }
        }
    }

    /// For each unit of the drawing the lowest and the highest of the points on
    /// it, in their order; `None` where none was on it.
    fn thinned(&self) -> Vec<(Moment, Option<f64>)> {
        let mut thin: Vec<(Moment, Option<f64>)> = Vec::new();
        let mut column: Option<Extremes> = None;
        for &(at, value) in &self.curve.points {
            let x = self.x(at);
            match (&mut column, value) {
                // A gap shorter than a unit cannot be seen.
                (Some(open), None) if x - open.x < 1.0 => {}
                (Some(open), Some(value)) if x - open.x < 1.0 => open.take(at, value),
                (_, value) => {
                    thin.extend(column.take().into_iter().flat_map(Extremes::points));
                    column = value.map(|value| Extremes::new(x, at, value));
                    if value.is_none() {
                        thin.push((at, None));
                    }
                }
            }
        }
        thin.extend(column.into_iter().flat_map(Extremes::points));
        thin.dedup_by(|next, last| next.1.is_none() && last.1.is_none());
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
        let mut drawn = f64::NEG_INFINITY;
        for (n, (at, _)) in self.marks.iter().enumerate() {
            let x = self.x(*at);
            if x - drawn < 1.0 && self.marks.len() > NUMBERED {
                continue;
            }
            drawn = x;
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
        if self.marks.len() > NUMBERED {
            return;
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

/// The lowest and the highest point on one unit of the drawing.
struct Extremes {
    x: f64,
    low: (Moment, f64),
    high: (Moment, f64),
}

impl Extremes {
    const fn new(x: f64, at: Moment, value: f64) -> Self {
        Self {
            x,
            low: (at, value),
            high: (at, value),
        }
    }

    fn take(&mut self, at: Moment, value: f64) {
        if value < self.low.1 {
            self.low = (at, value);
        }
        if value > self.high.1 {
            self.high = (at, value);
        }
    }

    fn points(self) -> impl Iterator<Item = (Moment, Option<f64>)> {
        let (first, second) = if self.low.0 <= self.high.0 {
            (self.low, self.high)
        } else {
            (self.high, self.low)
        };
        let second = (first != second).then_some(second);
        let points = std::iter::once(first).chain(second);
        points.map(|(at, value)| (at, Some(value)))
    }
}

#[cfg(test)]
mod tests {
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
            bands: vec![Band {
                what: Shade::Hold,
                from: at(1),
                to: at(2),
            }],
            doubtful: None,
            marks: [(1, "fired"), (1, "decided"), (3, "cured")]
                .map(|(n, what)| (at(n), what.to_owned()))
                .to_vec(),
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
    fn a_month_is_drawn_as_small_as_an_hour_and_shows_its_extremes() {
        let mut values = vec![Some(0.01); 500_000];
        values[123_456] = Some(0.9);
        values[123_457] = Some(0.0);
        for n in 0..5000 {
            values[n * 90] = None;
        }
        let mut plot = plot(&values);
        let at = |n: usize| Moment::from_millis(n as u64 * 5000);
        plot.doubtful = Some(at(400_000));
        plot.marks = (0..5000)
            .map(|n| (at(n * 100), "fired".to_owned()))
            .collect();
        plot.bands = (0..5000)
            .map(|n| Band {
                what: Shade::Blind,
                from: at(n * 100),
                to: at(n * 100 + 10),
            })
            .collect();
        let svg = plot.svg(1);
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
        assert!(svg.contains("error_rate: 0% to 90%"), "{svg}");
        assert!(svg.contains("curve doubtful"));
        assert!(svg.contains("5,000 marks: the timeline has them"));
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
