//! The values of a series as promtool's unit tests write them: `0+10x60 _x5 stale`.
//!
//! Syntax and meaning are Prometheus's (*Unit testing for rules*, `<series>`):
//! `a+bxN` is a, a+b, … a+N·b, which are N+1 values; `a-bxN` likewise downwards;
//! `axN` is a and N more of it; `_` is a missing sample and `_xN` are N of them;
//! `stale` says that the series ended. `0x10` is ten more zeros and never a
//! hexadecimal number. Values are multiplied out rather than added up, so that
//! the last of `0+0.1x100` is 10.
//!
//! Native histograms (`{{schema:…}}`) are refused: no signal reads one. So is
//! whatever would make more than [`MOST_VALUES`] values of one series.

/// Values of one series: five days of five-second samples.
pub(super) const MOST_VALUES: u64 = 100_000;

const HINT: &str =
    "write `0+10x60`, `100-1x60`, `5x60`, `_`, `_x5`, `stale` or a number, with spaces between";

/// What a series has at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Point {
    /// A sample.
    Is(f64),
    /// `_`: no sample.
    Missing,
    /// `stale`: the page was there and the series no longer on it.
    Stale,
}

/// Where the notation is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misread {
    /// Byte offset into the text.
    pub(super) offset: usize,
    /// Bytes.
    pub(super) len: usize,
    pub(super) message: String,
    pub(super) hint: String,
}

/// The points of a series, from its first step on.
pub(super) fn points(text: &str) -> Result<Vec<Point>, Misread> {
    let mut points = Vec::new();
    for (offset, word) in words(text) {
        let misread = |message: String, hint: &str| Misread {
            offset,
            len: word.len(),
            message,
            hint: hint.to_owned(),
        };
        let run = Run::parse(word).map_err(|(message, hint)| misread(message, hint))?;
        let room = MOST_VALUES - points.len() as u64;
        if run.length > room {
            let message =
                format!("`{word}` makes the series too long: at most {MOST_VALUES} values go");
            return Err(misread(message, "test a shorter time"));
        }
        points.extend((0..run.length).map(|i| run.at(i)));
    }
    Ok(points)
}

/// The words between blanks, each with its offset.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace()
        .map(|word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
}

/// One word of the notation.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    first: Point,
    /// From one value to the next.
    step: f64,
    /// How many points it makes, at least one; `u64::MAX` stands for all that
    /// are more.
    length: u64,
}

impl Run {
    /// Reads a word; else what is wrong with it, and what to write.
    fn parse(word: &str) -> Result<Self, (String, &'static str)> {
        let strange = || (format!("`{word}` is not a value of a series"), HINT);
        if word.starts_with('{') {
            let message = "native histograms are not read".to_owned();
            return Err((
                message,
                "write the series of a classic histogram: `…_bucket`",
            ));
        }
        if word == "stale" {
            return Ok(Self::of(Point::Stale, 1));
        }
        if let Some(rest) = word.strip_prefix('_') {
            return match times(rest) {
                Some(0) => Err((format!("`{word}` is nothing"), HINT)),
                Some(n) => Ok(Self::of(Point::Missing, n)),
                None if rest.is_empty() => Ok(Self::of(Point::Missing, 1)),
                None => Err(strange()),
            };
        }
        let (first, rest) = number(word).ok_or_else(strange)?;
        if rest.is_empty() {
            return Ok(Self::of(Point::Is(first), 1));
        }
        if let Some(n) = times(rest) {
            return Ok(Self::of(Point::Is(first), n.saturating_add(1)));
        }
        let (step, rest) = Some(rest)
            .filter(|rest| rest.starts_with(['+', '-']))
            .and_then(number)
            .ok_or_else(strange)?;
        if !step.is_finite() {
            return Err((format!("`{word}` has no finite step"), HINT));
        }
        match times(rest) {
            Some(n) => Ok(Self {
                step,
                ..Self::of(Point::Is(first), n.saturating_add(1))
            }),
            None if rest.is_empty() => Err((
                format!("`{word}` does not say how often"),
                "write how many values follow the first: `0+10x60`",
            )),
            None => Err(strange()),
        }
    }

    const fn of(first: Point, length: u64) -> Self {
        Self {
            first,
            step: 0.0,
            length,
        }
    }

    fn at(&self, i: u64) -> Point {
        match self.first {
            Point::Is(first) if i > 0 && self.step != 0.0 => {
                Point::Is(self.step.mul_add(i as f64, first))
            }
            first => first,
        }
    }
}

/// `x60`: how often. What no `u64` holds is as much as one holds.
fn times(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('x')?;
    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    whole.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// A decimal number, `Inf` or `NaN` at the start of the text, and what follows
/// it.
fn number(text: &str) -> Option<(f64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = text.len() - unsigned.len();
    let word = unsigned
        .get(..3)
        .filter(|word| word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan"));
    let len = word.map_or_else(|| decimal(unsigned), str::len);
    let (number, rest) = text.split_at(sign + len);
    Some((number.parse().ok()?, rest))
}

/// Bytes of the decimal number that the text starts with.
fn decimal(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = matches!(bytes.get(end + 1), Some(b'+' | b'-'));
        let from = end + 1 + usize::from(signed);
        let exponent = digits(from);
        if exponent > from {
            end = exponent;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As promtool prints them.
    fn told(text: &str) -> String {
        let points = points(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let told: Vec<_> = points
            .iter()
            .map(|point| match point {
                Point::Is(x) => x.to_string(),
                Point::Missing => "_".to_owned(),
                Point::Stale => "stale".to_owned(),
            })
            .collect();
        told.join(" ")
    }

    #[test]
    fn the_examples_of_the_prometheus_manual_mean_what_it_says() {
        for (text, expected) in [
            ("-2+4x3", "-2 2 6 10"),
            ("1-2x4", "1 -1 -3 -5 -7"),
            ("1x4", "1 1 1 1 1"),
            ("1 _x3 stale", "1 _ _ _ stale"),
            ("1+0x4", "1 1 1 1 1"),
            ("0 0 0x2", "0 0 0 0 0"),
            ("+5 .5 1e3x1", "5 0.5 1000 1000"),
            ("1e1-1e0x2", "10 9 8"),
            ("-1--1x2", "no"),
            ("Inf NaN -inf", "inf NaN -inf"),
            ("0x0 _", "0 _"),
            ("0+0.1x3", "0 0.1 0.2 0.30000000000000004"),
        ] {
            if expected == "no" {
                assert!(points(text).is_err(), "{text}");
            } else {
                assert_eq!(told(text), expected, "{text}");
            }
        }
        // Zeros, and not 4,096.
        assert_eq!(points("0x1000").map(|p| p.len()), Ok(1001));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, there, said) in [
            ("0x1000000000", "0x1000000000", "too long"),
            (
                "1x2 0x99999999999999999999",
                "0x99999999999999999999",
                "too long",
            ),
            ("1 _x100000", "_x100000", "too long"),
            ("1 0+10 5", "0+10", "how often"),
            ("1 stalex3", "stalex3", "is not a value"),
            ("1 zwölf", "zwölf", "is not a value"),
            ("0+ax3", "0+ax3", "is not a value"),
            ("0 + 10x60", "+", "is not a value"),
            ("1x", "1x", "is not a value"),
            ("1x-3", "1x-3", "is not a value"),
            ("1x3x3", "1x3x3", "is not a value"),
            ("_x0", "_x0", "is nothing"),
            ("__", "__", "is not a value"),
            ("1+Infx3", "1+Infx3", "no finite step"),
            ("{{schema:1}}x3", "{{schema:1}}x3", "native histograms"),
        ] {
            let misread = points(text).expect_err(text);
            let place = misread.offset..misread.offset + misread.len;
            assert_eq!(text.get(place), Some(there), "{text}");
            assert!(misread.message.contains(said), "{}", misread.message);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_points_or_a_fault_inside_it(text in "[-+_x0-9a-fINs.e \\n]{0,40}|\\PC{0,40}") {
            match points(&text) {
                Ok(points) => prop_assert!(points.len() as u64 <= MOST_VALUES),
                Err(misread) => {
                    let place = misread.offset..misread.offset + misread.len;
                    prop_assert!(text.get(place).is_some_and(|there| !there.is_empty()));
                }
            }
        }

        #[test]
        fn a_run_has_one_value_more_than_it_says_and_even_steps(
            first in -1000_i32..1000,
            step in -100_i32..100,
            n in 0_usize..200,
        ) {
            let read = points(&format!("{first}{step:+}x{n}")).unwrap();
            prop_assert_eq!(read.len(), n + 1);
            for (i, point) in read.into_iter().enumerate() {
                let value = f64::from(first) + f64::from(step) * i as f64;
                prop_assert_eq!(point, Point::Is(value));
            }
        }

        #[test]
        fn words_are_read_one_by_one(
            words in prop::collection::vec("_|_x[1-9]|stale|[0-9]{1,3}|[0-9]x[0-9]|-?[0-9][+-][0-9]x[0-9]", 0..8),
            blank in "[ \\t\\n]{1,3}",
        ) {
            let together = points(&words.join(&blank)).unwrap();
            let single = words.iter().flat_map(|word| points(word).unwrap());
            prop_assert_eq!(together, single.collect::<Vec<_>>());
        }
    }
}
