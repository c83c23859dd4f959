//! The grammar of conditions: `error_rate > 5% and web is up for 15m of 20m`.
//!
//! ```text
//! when    = any [ "for" DURATION [ "of" DURATION ] ]
//! any     = all { "or" all }
//! all     = test { "and" test }
//! test    = "(" any ")"
//!         | SIGNAL [ "over" DURATION ] OP LIMIT
//!         | SOURCE "is" ( "up" | "down" )
//! ```
//!
//! Recursive descent over a list of words, in time linear in the text. A fault
//! does not end the parse: it skips to the next `and`, `or`, `for` or bracket,
//! so that whoever wrote three mistakes hears of three. Names and units are
//! checked here rather than later, because only here is it known which byte of
//! the policy is to be underlined.
//!
//! Refused on purpose: nesting deeper than [`MAX_DEPTH`], months and years
//! (humantime reads `1M` as 30.44 days, which nobody means), bare numbers for
//! times, and limits that are not finite.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::model::{Condition, Expr, Hold, Limit, Op, Test, Unit};

/// Brackets may nest this deep.
pub const MAX_DEPTH: usize = 64;

/// Words that mean something in a condition and can name neither a signal nor
/// a source.
pub const KEYWORDS: [&str; 6] = ["and", "or", "for", "of", "over", "is"];

/// What a condition may speak of.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Signals and what their numbers are.
    pub signals: &'a BTreeMap<String, Unit>,
    /// Sources, and whether they can be up or down.
    pub sources: &'a BTreeMap<String, bool>,
}

/// Something that is wrong with a condition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte offset into the text.
    pub offset: usize,
    /// Length in bytes; 0 only at the end of the text.
    pub len: usize,
    /// What is wrong, as one sentence without a full stop.
    pub message: String,
    /// What to write instead, where that can be said.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint
            .iter()
            .try_for_each(|hint| write!(f, " (hint: {hint})"))
    }
}

impl std::error::Error for Fault {}

/// Parses a condition and checks its names and units.
///
/// # Errors
///
/// Every fault that could be found, in the order of the text.
pub fn parse(text: &str, scope: &Scope<'_>) -> Result<Condition, Vec<Fault>> {
    let mut parser = Parser {
        text,
        tokens: lex(text),
        at: 0,
        depth: 0,
        scope,
        faults: Vec::new(),
    };
    let expr = parser.any();
    let hold = parser.hold();
    parser.end();
    let mut faults = parser.faults;
    match (expr, hold) {
        (Some(expr), Some(hold)) if faults.is_empty() => Ok(Condition {
            expr,
            hold,
            text: single_spaced(text),
        }),
        _ => {
            faults.sort_by_key(|fault| fault.offset);
            Err(faults)
        }
    }
}

/// Parses a duration as conditions and policies write it: `90s`, `15m`,
/// `1h30m`; longer than nothing, in whole milliseconds.
///
/// # Errors
///
/// What is wrong and where, relative to `text`.
pub fn duration(text: &str) -> Result<Duration, Fault> {
    let parsed = duration_or_zero(text)?;
    if parsed.is_zero() {
        return Err(Fault {
            offset: 0,
            len: text.len(),
            message: "a duration of nothing".to_owned(),
            hint: None,
        });
    }
    Ok(parsed)
}

/// Parses a duration that may be `0s`, in whole milliseconds.
///
/// # Errors
///
/// What is wrong and where, relative to `text`.
pub fn duration_or_zero(text: &str) -> Result<Duration, Fault> {
    // No time that anybody means has so many digits, and close to 2^64 s
    // humantime's sum panics.
    const MOST_DIGITS: usize = 10;
    let fault = |place: Range<usize>, message: String, hint: Option<String>| Fault {
        offset: place.start,
        len: place.len(),
        message,
        hint,
    };
    let whole = 0..text.len();
    if let Some(place) = calendar_unit(text) {
        let unit = &text[place.clone()];
        return Err(fault(
            place,
            format!("`{unit}` is a month or a year, which is no fixed time"),
            Some(if unit == "M" {
                "minutes are `m`".to_owned()
            } else {
                "write it in days, `30d`".to_owned()
            }),
        ));
    }
    if text
        .split(|c: char| !(c.is_ascii_digit() || c.is_whitespace()))
        .any(|run| run.chars().filter(char::is_ascii_digit).count() > MOST_DIGITS)
    {
        return Err(fault(whole, format!("`{text}` is too long"), None));
    }
    let parsed = humantime::parse_duration(text).map_err(|error| {
        use humantime::DurationError as E;
        match error {
            E::InvalidCharacter(at) => {
                let len = text[at..].chars().next().map_or(0, char::len_utf8);
                fault(
                    at..at + len,
                    format!("`{text}` is not a duration"),
                    Some("write it as `90s`, `15m` or `1h30m`".to_owned()),
                )
            }
            E::UnknownUnit { start, end, .. } if start < end => fault(
                start..end,
                format!("`{}` is not a unit of time", &text[start..end]),
                Some("units are ms, s, m, h and d".to_owned()),
            ),
            E::UnknownUnit { .. } => fault(
                whole.clone(),
                format!("`{text}` has no unit of time"),
                Some(format!("write `{text}s` or `{text}m`")),
            ),
            E::NumberOverflow => fault(whole.clone(), format!("`{text}` is too long"), None),
            _ => fault(
                whole.clone(),
                format!("`{text}` is not a duration"),
                Some("write it as `90s`, `15m` or `1h30m`".to_owned()),
            ),
        }
    })?;
    if parsed.subsec_nanos() % 1_000_000 != 0 {
        Err(fault(
            whole,
            format!("`{text}` is finer than a millisecond"),
            None,
        ))
    } else {
        Ok(parsed)
    }
}

/// Where a duration names months or years, in any of humantime's spellings.
fn calendar_unit(text: &str) -> Option<Range<usize>> {
    let mut start = None;
    for (i, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_alphabetic(), start) {
            (true, None) => start = Some(i),
            (false, Some(from)) => {
                let unit = &text[from..i];
                if ["M", "month", "months", "y", "yr", "yrs", "year", "years"].contains(&unit) {
                    return Some(from..i);
                }
                start = None;
            }
            _ => {}
        }
    }
    None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A name, a keyword or a unit of letters.
    Word,
    /// Digits, perhaps signed, with fraction and exponent.
    Number,
    /// `%`, or a slash with its letters.
    Symbol,
    Compare(Op),
    Open,
    Close,
    /// Anything else, `=` and `&&` among it.
    Junk,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    place: Range<usize>,
}

fn lex(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let rest = &text[at..];
        let (kind, len) = match c {
            '(' => (Kind::Open, 1),
            ')' => (Kind::Close, 1),
            '%' => (Kind::Symbol, 1),
            '/' => (Kind::Symbol, 1 + run(&rest[1..], char::is_alphabetic)),
            '>' | '<' | '=' | '!' => compare(rest),
            '0'..='9' | '+' | '-' | '.' => match number(rest) {
                0 => (Kind::Junk, 1),
                len => (Kind::Number, len),
            },
            c if c.is_alphabetic() || c == '_' => (Kind::Word, run(rest, is_name)),
            c => (Kind::Junk, run(rest, |x| x == c)),
        };
        tokens.push(Token {
            kind,
            place: at..at + len,
        });
        at += len;
    }
    tokens
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

/// Length of the leading run of characters that pass.
fn run(text: &str, pass: impl Fn(char) -> bool) -> usize {
    text.find(|c| !pass(c)).unwrap_or(text.len())
}

fn compare(rest: &str) -> (Kind, usize) {
    const OPS: [Op; 6] = [
        Op::GreaterOrEqual,
        Op::LessOrEqual,
        Op::Equal,
        Op::NotEqual,
        Op::Greater,
        Op::Less,
    ];
    OPS.into_iter()
        .find(|op| rest.starts_with(op.text()))
        .map_or_else(
            || {
                (
                    Kind::Junk,
                    run(rest, |c| matches!(c, '=' | '!' | '<' | '>')),
                )
            },
            |op| (Kind::Compare(op), op.text().len()),
        )
}

/// Length of the leading `[+-]digits[.digits][e[+-]digits]`, 0 without a digit.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let mut len = sign + digits(sign);
    let mut any = len > sign;
    if bytes.get(len) == Some(&b'.') {
        let fraction = digits(len + 1);
        any |= fraction > 0;
        len += 1 + fraction;
    }
    if !any {
        return 0;
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits((len + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    scope: &'a Scope<'a>,
    faults: Vec<Fault>,
}

impl<'a> Parser<'a> {
    /// `None` is a fault that has been noted.
    fn any(&mut self) -> Option<Expr> {
        self.joined("or", Self::all, Expr::Any)
    }

    fn all(&mut self) -> Option<Expr> {
        self.joined("and", Self::test, Expr::All)
    }

    /// One or more `part`s joined by a keyword.
    fn joined(
        &mut self,
        keyword: &str,
        part: fn(&mut Self) -> Option<Expr>,
        join: fn(Vec<Expr>) -> Expr,
    ) -> Option<Expr> {
        let mut parts = vec![part(self)];
        while self.eat(keyword) {
            parts.push(part(self));
        }
        let mut parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
        if parts.len() == 1 {
            parts.pop()
        } else {
            Some(join(parts))
        }
    }

    fn test(&mut self) -> Option<Expr> {
        if self.kind() == Some(Kind::Open) {
            return self.bracket();
        }
        let test = self.bare_test();
        if test.is_none() {
            self.recover();
        } else if !self.at_boundary() {
            let found = self.found();
            let hint = self.word().and_then(|word| {
                let known = ["and", "or", "for", "of"];
                let lower = word.to_lowercase();
                if self.kind() == Some(Kind::Junk) {
                    None
                } else {
                    nearest(&lower, known.into_iter())
                }
            });
            let hint = hint.or_else(|| match self.here_text() {
                "&&" | "&" | "," => Some("and"),
                "||" | "|" => Some("or"),
                _ => None,
            });
            self.fault(
                self.here(),
                format!("expected `and`, `or` or `for`, found {found}"),
                hint.map(did_you_mean),
            );
            self.recover();
            return None;
        }
        test.map(Expr::Test)
    }

    fn bracket(&mut self) -> Option<Expr> {
        let open = self.here();
        if self.depth == MAX_DEPTH {
            self.fault(
                open,
                format!("brackets are nested deeper than {MAX_DEPTH}"),
                None,
            );
            // Nothing further in can be said of such a text.
            self.at = self.tokens.len();
            return None;
        }
        self.at += 1;
        self.depth += 1;
        let inner = self.any();
        self.depth -= 1;
        if self.kind() == Some(Kind::Close) {
            self.at += 1;
            return inner;
        }
        if self.is("for") {
            self.fault(
                self.here(),
                "a hold inside brackets".to_owned(),
                Some("`for` stands once, at the end of the whole condition".to_owned()),
            );
            while self.at < self.tokens.len() && self.kind() != Some(Kind::Close) {
                self.at += 1;
            }
            self.at = (self.at + 1).min(self.tokens.len());
        } else if self.faults.is_empty() {
            self.fault(open, "this bracket is not closed".to_owned(), None);
        }
        None
    }

    fn bare_test(&mut self) -> Option<Test> {
        let start = self.here();
        let Some(name) = self.word().filter(|w| !KEYWORDS.contains(w)) else {
            let found = self.found();
            let hint = (self.kind() == Some(Kind::Number))
                .then(|| "the signal stands first: `error_rate > 5%`".to_owned());
            self.fault(
                start,
                format!("expected a signal or a source, found {found}"),
                hint,
            );
            return None;
        };
        self.at += 1;
        if self.eat("is") {
            self.state(name, start)
        } else if self.is("over") || matches!(self.kind(), Some(Kind::Compare(_))) {
            self.comparison(name, start)
        } else {
            let found = self.found();
            let hint = match self.here_text() {
                "=" => Some("equality is `==`".to_owned()),
                "=>" => Some("write `>=`".to_owned()),
                "=<" => Some("write `<=`".to_owned()),
                "<>" => Some("write `!=`".to_owned()),
                _ => None,
            };
            self.fault(
                self.here(),
                format!("expected a comparison, `over` or `is` after `{name}`, found {found}"),
                hint,
            );
            None
        }
    }

    /// After `NAME is`.
    fn state(&mut self, name: &'a str, start: Range<usize>) -> Option<Test> {
        let place = self.here();
        let state = self.word();
        let up = match state {
            Some("up") => true,
            Some("down") => false,
            Some("set" | "clear") => {
                self.fault(
                    start.start..place.end,
                    "flag signals are not supported yet".to_owned(),
                    None,
                );
                return None;
            }
            _ => {
                let found = self.found();
                let hint = state.and_then(|s| nearest(s, ["up", "down"].into_iter()));
                self.fault(
                    place,
                    format!("expected `up` or `down` after `is`, found {found}"),
                    hint.map(did_you_mean),
                );
                return None;
            }
        };
        self.at += 1;
        match self.scope.sources.get(name) {
            Some(true) => Some(Test::Source {
                source: name.to_owned(),
                up,
                text: single_spaced(&self.text[start.start..place.end]),
            }),
            Some(false) => {
                self.fault(
                    start,
                    format!("source `{name}` is of a type that is never up or down"),
                    Some("`is up` names a probe, tcp, scrape or run source".to_owned()),
                );
                None
            }
            None if self.scope.signals.contains_key(name) => {
                self.fault(
                    start,
                    format!("`{name}` is a signal, and only sources are up or down"),
                    Some(format!("compare it with a limit: `{name} > …`")),
                );
                None
            }
            None => {
                let able = self.scope.sources.iter().filter(|(_, able)| **able);
                self.unknown("source", name, start, able.map(|(name, _)| name.as_str()));
                None
            }
        }
    }

    /// After the name of `NAME [over DURATION] OP LIMIT`.
    fn comparison(&mut self, name: &'a str, start: Range<usize>) -> Option<Test> {
        let over = if self.eat("over") {
            Some(self.duration("over")?)
        } else {
            None
        };
        let Some(Kind::Compare(op)) = self.kind() else {
            let found = self.found();
            self.fault(
                self.here(),
                format!("expected one of > >= < <= == !=, found {found}"),
                None,
            );
            return None;
        };
        self.at += 1;
        let unit = self.scope.signals.get(name).copied();
        if unit.is_none() {
            if self.scope.sources.contains_key(name) {
                self.fault(
                    start.clone(),
                    format!("`{name}` is a source, not a signal"),
                    Some(format!("write `{name} is down`, or define a signal on it")),
                );
            } else {
                let names = self.scope.signals.keys().map(String::as_str);
                self.unknown("signal", name, start.clone(), names);
            }
        }
        let limit = self.limit(name, unit)?;
        unit?;
        let end = self.tokens[self.at - 1].place.end;
        Some(Test::Compare {
            signal: name.to_owned(),
            over,
            op,
            limit,
            text: single_spaced(&self.text[start.start..end]),
        })
    }

    fn limit(&mut self, name: &str, of: Option<Unit>) -> Option<Limit> {
        let place = self.here();
        if self.kind() != Some(Kind::Number) {
            let found = self.found();
            let word = self.word().unwrap_or_default().to_lowercase();
            let message = if ["nan", "inf", "infinity"].contains(&word.as_str()) {
                format!("a limit is a finite number, not {found}")
            } else {
                format!("expected a limit, found {found}")
            };
            let hint = (word == "baseline")
                .then(|| "say how often: `2x baseline`".to_owned())
                .or_else(|| {
                    of.filter(|_| !word.is_empty())
                        .map(|of| example(of).to_owned())
                });
            self.fault(place, message, hint);
            return None;
        }
        let digits = &self.text[place.clone()];
        self.at += 1;
        let number = digits.parse::<f64>().ok().filter(|n| n.is_finite());
        let Some(number) = number else {
            self.fault(place, format!("{digits} is not a finite number"), None);
            return None;
        };
        let unit_place = self.here();
        let unit = match self.kind() {
            Some(Kind::Symbol) => Some(self.here_text()),
            Some(Kind::Word) if !KEYWORDS.contains(&self.here_text()) => Some(self.here_text()),
            _ => None,
        };
        self.at += usize::from(unit.is_some());
        if unit == Some("x") {
            return self.baseline(number, place);
        }
        let Some(unit) = unit else {
            return self.bare(number, digits, place, name, of?);
        };
        let Some((measure, scale)) = measure(unit) else {
            let message = format!("`{unit}` is not a unit");
            let units = MEASURES.iter().map(|(name, ..)| *name);
            let hint = nearest(unit, units)
                .map(did_you_mean)
                .or_else(|| of.map(|of| example(of).to_owned()));
            self.fault(unit_place, message, hint);
            return None;
        };
        let of = of?;
        let fits = match of {
            Unit::Plain => matches!(measure, Unit::Seconds | Unit::Bytes),
            of => of == measure,
        };
        if !fits {
            self.fault(
                unit_place,
                format!(
                    "`{unit}` is {} but `{name}` is {}",
                    describe(measure),
                    describe(of)
                ),
                Some(example(of).to_owned()),
            );
            return None;
        }
        let value = scale.apply(number);
        self.in_range(value, place.start..unit_place.end, name, of)
    }

    /// A number without a unit, for a signal of this unit.
    fn bare(
        &mut self,
        number: f64,
        digits: &str,
        place: Range<usize>,
        name: &str,
        of: Unit,
    ) -> Option<Limit> {
        if of == Unit::Seconds {
            self.fault(
                place,
                format!("`{name}` is a time and {digits} has no unit"),
                Some(format!("write `{digits}ms` or `{digits}s`")),
            );
            return None;
        }
        if of == Unit::Ratio && number > 1.0 && number <= 100.0 {
            self.fault(
                place,
                format!("{digits} is {}%: did you mean {digits}%?", number * 100.0),
                Some(example(of).to_owned()),
            );
            return None;
        }
        self.in_range(number, place, name, of)
    }

    /// The limit, if a signal of this unit can ever come near it.
    fn in_range(&mut self, value: f64, place: Range<usize>, name: &str, of: Unit) -> Option<Limit> {
        let message = match of {
            Unit::Ratio if !(0.0..=1.0).contains(&value) => {
                format!("`{name}` is a ratio, which is 0% to 100%")
            }
            Unit::PerSecond if value < 0.0 => format!("`{name}` is a rate, which is never below 0"),
            _ if !value.is_finite() => "the limit is not a finite number".to_owned(),
            _ => return Some(Limit::Fixed(value)),
        };
        self.fault(place, message, None);
        None
    }

    /// After `NUMBER x`.
    fn baseline(&mut self, factor: f64, place: Range<usize>) -> Option<Limit> {
        if !self.eat("baseline") {
            let found = self.found();
            self.fault(
                self.here(),
                format!("expected `baseline` after `x`, found {found}"),
                None,
            );
            return None;
        }
        if factor <= 0.0 {
            self.fault(
                place,
                "a multiple of the baseline is more than 0".to_owned(),
                None,
            );
            return None;
        }
        Some(Limit::Baseline(factor))
    }

    fn hold(&mut self) -> Option<Hold> {
        let start = self.here();
        if !self.eat("for") {
            return Some(Hold::None);
        }
        let Some(first) = self.duration("for") else {
            self.at = self.tokens.len();
            return None;
        };
        if !self.eat("of") {
            return Some(Hold::For(first));
        }
        let Some(whole) = self.duration("of") else {
            self.at = self.tokens.len();
            return None;
        };
        if first > whole {
            let end = self.tokens[self.at - 1].place.end;
            self.fault(
                start.start..end,
                "a part cannot be longer than the whole".to_owned(),
                Some(format!(
                    "did you mean `for {} of {}`?",
                    humantime::format_duration(whole),
                    humantime::format_duration(first)
                )),
            );
            return None;
        }
        Some(Hold::ForOf(first, whole))
    }

    /// The duration after `keyword`: everything up to the next keyword,
    /// comparison or bracket, so that `1h 30m` is one.
    fn duration(&mut self, keyword: &str) -> Option<Duration> {
        let start = self.here();
        let from = self.at;
        while matches!(self.kind(), Some(Kind::Word | Kind::Number | Kind::Symbol))
            && !KEYWORDS.contains(&self.here_text())
        {
            self.at += 1;
        }
        if self.at == from {
            let found = self.found();
            self.fault(
                start,
                format!("expected a duration after `{keyword}`, found {found}"),
                Some("write it as `90s`, `15m` or `1h30m`".to_owned()),
            );
            return None;
        }
        let end = self.tokens[self.at - 1].place.end;
        match duration(&self.text[start.start..end]) {
            Ok(duration) => Some(duration),
            Err(fault) => {
                self.faults.push(Fault {
                    offset: start.start + fault.offset,
                    ..fault
                });
                None
            }
        }
    }

    /// Whatever is left is wrong.
    fn end(&mut self) {
        if self.at < self.tokens.len() && self.faults.is_empty() {
            let found = self.found();
            let message = match self.kind() {
                Some(Kind::Close) => "this bracket was never opened".to_owned(),
                _ => format!("expected the end of the condition, found {found}"),
            };
            let hint = ["and", "or"]
                .contains(&self.here_text())
                .then(|| "`for` stands once, at the end of the whole condition".to_owned());
            self.fault(self.here(), message, hint);
        }
    }

    fn unknown<'n>(
        &mut self,
        what: &str,
        name: &str,
        place: Range<usize>,
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        const SHOWN: usize = 12;
        let mut list = known.clone().take(SHOWN).collect::<Vec<_>>().join(", ");
        if known.clone().nth(SHOWN).is_some() {
            list.push_str(", …");
        }
        let message = if list.is_empty() {
            format!("{what} `{name}` is not defined; none are")
        } else {
            format!("{what} `{name}` is not defined; defined are {list}")
        };
        let hint = nearest(name, known).map(did_you_mean);
        self.fault(place, message, hint);
    }

    /// Skips the rest of a test that could not be read.
    fn recover(&mut self) {
        let mut open = 0_usize;
        while let Some(kind) = self.kind() {
            match kind {
                Kind::Open => open += 1,
                Kind::Close if open == 0 => return,
                Kind::Close => open -= 1,
                _ if open == 0 && self.at_boundary() => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Whether a test may end here.
    fn at_boundary(&self) -> bool {
        self.kind().is_none_or(|kind| kind == Kind::Close)
            || ["and", "or", "for"].contains(&self.here_text())
    }

    fn kind(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    /// The place of the next token; empty and last at the end.
    fn here(&self) -> Range<usize> {
        let end = self.text.len();
        self.tokens
            .get(self.at)
            .map_or(end..end, |token| token.place.clone())
    }

    fn here_text(&self) -> &'a str {
        &self.text[self.here()]
    }

    fn word(&self) -> Option<&'a str> {
        (self.kind() == Some(Kind::Word)).then(|| self.here_text())
    }

    fn is(&self, keyword: &str) -> bool {
        self.word() == Some(keyword)
    }

    fn eat(&mut self, keyword: &str) -> bool {
        let found = self.is(keyword);
        self.at += usize::from(found);
        found
    }

    fn found(&self) -> String {
        match self.here_text() {
            "" => "the end".to_owned(),
            text => format!("`{text}`"),
        }
    }

    fn fault(&mut self, place: Range<usize>, message: String, hint: Option<String>) {
        self.faults.push(Fault {
            offset: place.start,
            len: place.len(),
            message,
            hint,
        });
    }
}

/// How a unit becomes the base unit. Division where the factor below one has no
/// exact double: `7%` must be the double nearest to 0.07.
#[derive(Clone, Copy)]
enum Scale {
    Times(f64),
    Per(f64),
}

impl Scale {
    fn apply(self, number: f64) -> f64 {
        match self {
            Self::Times(factor) => number * factor,
            Self::Per(divisor) => number / divisor,
        }
    }
}

const MEASURES: [(&str, Unit, Scale); 13] = [
    ("%", Unit::Ratio, Scale::Per(100.0)),
    ("ms", Unit::Seconds, Scale::Per(1000.0)),
    ("s", Unit::Seconds, Scale::Times(1.0)),
    ("m", Unit::Seconds, Scale::Times(60.0)),
    ("h", Unit::Seconds, Scale::Times(3600.0)),
    ("d", Unit::Seconds, Scale::Times(86_400.0)),
    ("B", Unit::Bytes, Scale::Times(1.0)),
    ("KiB", Unit::Bytes, Scale::Times(1024.0)),
    ("MiB", Unit::Bytes, Scale::Times(1_048_576.0)),
    ("GiB", Unit::Bytes, Scale::Times(1_073_741_824.0)),
    ("/s", Unit::PerSecond, Scale::Times(1.0)),
    ("/m", Unit::PerSecond, Scale::Per(60.0)),
    ("/h", Unit::PerSecond, Scale::Per(3600.0)),
];

fn measure(unit: &str) -> Option<(Unit, Scale)> {
    MEASURES
        .iter()
        .find(|(name, ..)| *name == unit)
        .map(|&(_, unit, scale)| (unit, scale))
}

const fn describe(unit: Unit) -> &'static str {
    match unit {
        Unit::Ratio => "a ratio",
        Unit::Seconds => "a time",
        Unit::PerSecond => "a rate",
        Unit::Bytes => "a size",
        Unit::Plain => "a plain number",
    }
}

const fn example(unit: Unit) -> &'static str {
    match unit {
        Unit::Ratio => "a ratio takes `5%` or a fraction from 0 to 1",
        Unit::Seconds => "a time takes ms, s, m, h or d: `800ms`",
        Unit::PerSecond => "a rate takes /s, /m or /h: `10/s`",
        Unit::Bytes => "a size takes B, KiB, MiB or GiB: `512MiB`",
        Unit::Plain => "a plain number takes no unit, or one of time or size",
    }
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// The known name that is so near that it was probably meant. Long words are
/// not compared: they are no typing mistakes, and the comparison is quadratic.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let allowed = (name.chars().count() / 3).max(1);
    known
        .filter(|known| known.len() <= LONGEST)
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|&(distance, known)| distance <= allowed && distance < known.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<Condition, Vec<Fault>> {
        let signals = [
            ("error_rate", Unit::Ratio),
            ("p95", Unit::Seconds),
            ("rps", Unit::PerSecond),
            ("rss", Unit::Bytes),
            ("queue", Unit::Plain),
        ];
        let sources = [("web", true), ("app", true), ("alerts", false)];
        parse(
            text,
            &Scope {
                signals: &signals.map(|(n, u)| (n.to_owned(), u)).into(),
                sources: &sources.map(|(n, u)| (n.to_owned(), u)).into(),
            },
        )
    }

    #[test]
    fn no_number_of_seconds_overflows() {
        for text in [
            "18446744073709551615s 1000000000ns",
            "1844674407 3709551615s 1000000000ns",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(duration("2592000000ms"), duration("30d"));
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
        assert!(duration("0s").is_err());
    }

    /// Fully bracketed, with limits in base units.
    fn shown(expr: &Expr) -> String {
        let join = |parts: &[Expr], word: &str| {
            let parts: Vec<_> = parts.iter().map(shown).collect();
            format!("({})", parts.join(word))
        };
        match expr {
            Expr::Any(parts) => join(parts, " or "),
            Expr::All(parts) => join(parts, " and "),
            Expr::Test(Test::Source { source, up, .. }) => format!("{source}:{up}"),
            Expr::Test(Test::Compare {
                signal,
                over,
                op,
                limit,
                ..
            }) => {
                let over = over.map_or(String::new(), |o| format!("[{}s]", o.as_secs_f64()));
                match limit {
                    Limit::Fixed(x) => format!("{signal}{over}{}{x}", op.text()),
                    Limit::Baseline(x) => format!("{signal}{over}{}{x}x", op.text()),
                }
            }
        }
    }

    #[test]
    fn and_binds_tighter_than_or_and_limits_are_in_base_units() {
        for (text, expected) in [
            ("error_rate > 5%", "error_rate>0.05"),
            ("error_rate>7 %", "error_rate>0.07"),
            ("error_rate >= 0.5", "error_rate>=0.5"),
            ("error_rate > 1.5x baseline", "error_rate>1.5x"),
            ("p95 over 5m > 2000ms", "p95[300s]>2"),
            ("p95 over 1h 30m != 2 h", "p95[5400s]!=7200"),
            ("rps < 10/m", "rps<0.16666666666666666"),
            ("rps < 10", "rps<10"),
            ("rss > 1.5GiB", "rss>1610612736"),
            ("rss > 512", "rss>512"),
            ("queue == -1e3", "queue==-1000"),
            ("queue > 2d", "queue>172800"),
            ("queue > 1KiB", "queue>1024"),
            ("web is down", "web:false"),
            (
                "web is up or rps < 1 and error_rate > 1% or rss > 1B",
                "(web:true or (rps<1 and error_rate>0.01) or rss>1)",
            ),
            (
                "(web is up or rps < 1) and (error_rate > 1%)",
                "((web:true or rps<1) and error_rate>0.01)",
            ),
        ] {
            let condition = parsed(text).unwrap_or_else(|f| panic!("{text}: {f:?}"));
            assert_eq!(shown(&condition.expr), expected, "{text}");
            assert_eq!(condition.hold, Hold::None);
        }
    }

    #[test]
    fn holds_stand_at_the_end() {
        let minutes = |m| Duration::from_mins(m);
        for (text, hold) in [
            ("web is down for 30m", Hold::For(minutes(30))),
            ("web is down for 1h 30m", Hold::For(minutes(90))),
            (
                "web is down for 5m of 10m",
                Hold::ForOf(minutes(5), minutes(10)),
            ),
            (
                "(web is down) for 5m of 5m",
                Hold::ForOf(minutes(5), minutes(5)),
            ),
        ] {
            assert_eq!(parsed(text).unwrap().hold, hold, "{text}");
        }
    }

    #[test]
    fn texts_are_as_written_with_single_spaces() {
        let condition = parsed("  error_rate   >\n 5 %  and web is\tdown  for 1m ").unwrap();
        assert_eq!(condition.text, "error_rate > 5 % and web is down for 1m");
        let Expr::All(parts) = condition.expr else {
            panic!("not a conjunction")
        };
        let texts: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Expr::Test(test) => test.text(),
                _ => "",
            })
            .collect();
        assert_eq!(texts, ["error_rate > 5 %", "web is down"]);
    }

    #[test]
    fn every_fault_names_its_place_and_what_to_write() {
        let mut report = String::new();
        for text in [
            "",
            "eror_rate > 5%",
            "error_rate > 5",
            "error_rate > 140",
            "error_rate > 140%",
            "error_rate > 5ms",
            "error_rate = 5%",
            "error_rate > nan",
            "error_rate > inf",
            "error_rate > 1e999",
            "error_rate > baseline",
            "error_rate > 2x basline",
            "error_rate > 0x baseline",
            "error_rate 5%",
            "5% < error_rate",
            "p95 > 2000",
            "p95 > 2sec",
            "p95 over 0s > 2s",
            "p95 over > 2s",
            "p95 over 5 > 2s",
            "rps > -1/s",
            "queue > 5%",
            "rss > 5MB",
            "web > 5",
            "web is dwn",
            "web is set",
            "queue is up",
            "wbe is up",
            "alerts is up",
            "web is down for",
            "web is down for 1M",
            "web is down for 2years",
            "web is down for 15 minuts",
            "web is down for 90",
            "web is down for 0s",
            "web is down for 500us",
            "web is down for 10m of 5m",
            "web is down for 5m and queue > 1",
            "(web is down for 5m) and queue > 1",
            "(web is down",
            "web is down)",
            "web is down AND queue > 1",
            "web is down && queue > 1",
            "web is down adn queue > 1",
            "and web is down",
            "web is down and",
            "web is down and or queue > 1",
            "eror_rate > 5ms and p95 > 5 and (rps > x or wbe is up) for 0s",
        ] {
            use std::fmt::Write as _;
            let faults = parsed(text).expect_err(text);
            writeln!(report, "{text}").unwrap();
            for fault in faults {
                assert!(text.get(fault.offset..fault.offset + fault.len).is_some());
                let marker = "^".repeat(text[fault.offset..][..fault.len].chars().count().max(1));
                let indent = " ".repeat(text[..fault.offset].chars().count());
                writeln!(report, "{indent}{marker} {fault}").unwrap();
            }
        }
        insta::assert_snapshot!(report);
    }

    #[test]
    fn deep_nesting_is_a_fault_and_not_an_overflow() {
        for depth in [MAX_DEPTH, MAX_DEPTH + 1, 100_000] {
            let text = format!("{}web is up{}", "(".repeat(depth), ")".repeat(depth));
            assert_eq!(parsed(&text).is_ok(), depth <= MAX_DEPTH);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_every_place_lies_in_it(
            text in "([a-zé0-9 ()<>=!%./_-]|error_rate|p95|web| is | up| and | or | for |5%|2s){0,24}",
        ) {
            match parsed(&text) {
                Ok(condition) => prop_assert_eq!(parsed(&condition.text).unwrap(), condition),
                Err(faults) => {
                    prop_assert!(!faults.is_empty());
                    for fault in faults {
                        prop_assert!(text.get(fault.offset..fault.offset + fault.len).is_some());
                    }
                }
            }
        }
    }
}
