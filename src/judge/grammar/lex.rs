//! A condition's text as words, numbers and signs, each with its place.

use std::ops::Range;

use crate::model::Op;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) place: Range<usize>,
}

pub(super) fn lex(text: &str) -> Vec<Token> {
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
