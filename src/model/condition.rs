//! Conditions, as checked: `error_rate > 5% and web is up for 15m of 20m`.
//!
//! The grammar and its parser live in `judge::grammar`; this is only the shape.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A condition with its hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// What is tested at each tick.
    pub expr: Expr,
    /// How long it must hold.
    pub hold: Hold,
    /// As the policy has it.
    pub text: String,
}

/// Tests joined by *and* and *or*.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Expr {
    /// At least one. Never empty.
    Any(Vec<Expr>),
    /// All. Never empty.
    All(Vec<Expr>),
    /// One test.
    Test(Test),
}

impl Expr {
    /// Its tests, in their order.
    #[must_use]
    pub fn tests(&self) -> Vec<&Test> {
        match self {
            Self::Any(parts) | Self::All(parts) => parts.iter().flat_map(Self::tests).collect(),
            Self::Test(test) => vec![test],
        }
    }
}

/// One test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Test {
    /// A signal against a limit.
    Compare {
        /// The signal's name.
        signal: String,
        /// Replaces the signal's window.
        over: Option<Duration>,
        /// The comparison.
        op: Op,
        /// What it is compared with.
        limit: Limit,
        /// The test as it was written.
        text: String,
    },
    /// A source is up or down.
    Source {
        /// The source's name.
        source: String,
        /// `true` for *up*.
        up: bool,
        /// The test as it was written.
        text: String,
    },
}

impl Test {
    /// The test as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Compare { text, .. } | Self::Source { text, .. } => text,
        }
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Op {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

impl Op {
    /// As the grammar writes it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }
}

/// What a signal is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Limit {
    /// A number in the signal's base unit: a fraction, seconds, bytes, events
    /// per second, or plain.
    Fixed(f64),
    /// A multiple of the signal's baseline.
    Baseline(f64),
}

/// How long a condition must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// At the first breach.
    None,
    /// `for D`.
    For(Duration),
    /// `for X of Y`.
    ForOf(Duration, Duration),
}

impl Hold {
    /// The stretch of time that the hold looks back over: D, or Y; zero without
    /// a hold.
    #[must_use]
    pub const fn span(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::For(d) | Self::ForOf(_, d) => d,
        }
    }

    /// How much breach it takes: D, or X; zero without a hold.
    #[must_use]
    pub const fn needed(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::For(d) | Self::ForOf(d, _) => d,
        }
    }
}

/// What a signal's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A fraction of events, shown in percent.
    Ratio,
    /// Seconds.
    Seconds,
    /// Events per second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// A count or a plain number.
    Plain,
    /// 1 is set, 0 is clear.
    Flag,
}
