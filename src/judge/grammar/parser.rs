//! The descent: what follows what, and where to go on after a fault.

use std::ops::Range;
use std::time::Duration;

use super::lex::{Kind, Token, lex};
use super::{Fault, KEYWORDS, MAX_DEPTH, Scope, did_you_mean, duration, nearest, single_spaced};
use crate::model::{Expr, Hold, Limit, Op, Test, Unit};

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    tokens: Vec<Token>,
    pub(super) at: usize,
    depth: usize,
    scope: &'a Scope<'a>,
    faults: Vec<Fault>,
}

impl<'a> Parser<'a> {
    /// Reads a whole condition; all its faults, in the order of the text.
    pub(super) fn read(text: &'a str, scope: &'a Scope<'a>) -> Result<(Expr, Hold), Vec<Fault>> {
        let mut parser = Self {
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
            (Some(expr), Some(hold)) if faults.is_empty() => Ok((expr, hold)),
            _ => {
                faults.sort_by_key(|fault| fault.offset);
                Err(faults)
            }
        }
    }

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
            Some(state @ ("set" | "clear")) => {
                self.at += 1;
                return self.flag(name, state == "set", start.start..place.end);
            }
            _ => {
                let found = self.found();
                let flag = self.scope.signals.get(name) == Some(&Unit::Flag);
                let (states, expected) = if flag {
                    (["set", "clear"], "`set` or `clear`")
                } else {
                    (["up", "down"], "`up` or `down`")
                };
                let hint = state.and_then(|s| nearest(s, states.into_iter()));
                self.fault(
                    place,
                    format!("expected {expected} after `is`, found {found}"),
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
                let hint = match self.scope.signals.get(name) {
                    Some(Unit::Flag) => format!("it is a flag: `{name} is set`"),
                    _ => format!("compare it with a limit: `{name} > …`"),
                };
                self.fault(
                    start,
                    format!("`{name}` is a signal, and only sources are up or down"),
                    Some(hint),
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

    /// After `NAME is set` or `clear`: a flag is a number that is 1 or 0.
    fn flag(&mut self, name: &'a str, set: bool, place: Range<usize>) -> Option<Test> {
        match self.scope.signals.get(name) {
            Some(Unit::Flag) => Some(Test::Compare {
                signal: name.to_owned(),
                over: None,
                op: Op::Equal,
                limit: Limit::Fixed(if set { 1.0 } else { 0.0 }),
                text: single_spaced(&self.text[place]),
            }),
            Some(_) => {
                self.fault(
                    place,
                    format!("`{name}` is no flag, and only flags are set or clear"),
                    Some(format!("compare it with a limit: `{name} > …`")),
                );
                None
            }
            None if self.scope.sources.contains_key(name) => {
                self.fault(
                    place,
                    format!("`{name}` is a source, and only flags are set or clear"),
                    Some("define a signal on it with `flag = NAME`".to_owned()),
                );
                None
            }
            None => {
                let flags = self.scope.signals.iter();
                let flags = flags.filter(|(_, unit)| **unit == Unit::Flag);
                let at = place.start..place.start + name.len();
                self.unknown("flag", name, at, flags.map(|(name, _)| name.as_str()));
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
        if unit == Some(Unit::Flag) {
            self.fault(
                start,
                format!("`{name}` is a flag, and has no size"),
                Some(format!("write `{name} is set` or `{name} is clear`")),
            );
            return None;
        }
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

    pub(super) fn kind(&self) -> Option<Kind> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    /// The place of the next token; empty and last at the end.
    pub(super) fn here(&self) -> Range<usize> {
        let end = self.text.len();
        self.tokens
            .get(self.at)
            .map_or(end..end, |token| token.place.clone())
    }

    pub(super) fn here_text(&self) -> &'a str {
        &self.text[self.here()]
    }

    pub(super) fn word(&self) -> Option<&'a str> {
        (self.kind() == Some(Kind::Word)).then(|| self.here_text())
    }

    fn is(&self, keyword: &str) -> bool {
        self.word() == Some(keyword)
    }

    pub(super) fn eat(&mut self, keyword: &str) -> bool {
        let found = self.is(keyword);
        self.at += usize::from(found);
        found
    }

    pub(super) fn found(&self) -> String {
        match self.here_text() {
            "" => "the end".to_owned(),
            text => format!("`{text}`"),
        }
    }

    pub(super) fn fault(&mut self, place: Range<usize>, message: String, hint: Option<String>) {
        self.faults.push(Fault {
            offset: place.start,
            len: place.len(),
            message,
            hint,
        });
    }
}
