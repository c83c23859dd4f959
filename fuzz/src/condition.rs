//! Any text is a condition on what is in scope, or faults with their places
//! inside the text.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use backstop::judge::grammar::{Scope, parse};
use backstop::model::{Expr, Limit, Test, Unit};

/// A signal of each unit, and a source that cannot be up or down.
static NAMES: LazyLock<(BTreeMap<String, Unit>, BTreeMap<String, bool>)> = LazyLock::new(|| {
    let signals = [
        ("error_rate", Unit::Ratio),
        ("p95", Unit::Seconds),
        ("rate", Unit::PerSecond),
        ("memory", Unit::Bytes),
        ("queue", Unit::Plain),
    ];
    let sources = [("web", true), ("provider", false)];
    (
        signals.map(|(name, unit)| (name.to_owned(), unit)).into(),
        sources.map(|(name, up)| (name.to_owned(), up)).into(),
    )
});

/// The bytes as a condition.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (signals, sources) = &*NAMES;
    match parse(text, &Scope { signals, sources }) {
        Ok(condition) => check(&condition.expr),
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            for fault in faults {
                let end = fault.offset + fault.len;
                assert!(
                    text.get(fault.offset..end).is_some(),
                    "{fault:?} is not a place in {text:?}"
                );
            }
        }
    }
}

/// What was taken speaks of what there is, and can be compared with.
fn check(expr: &Expr) {
    match expr {
        Expr::Any(parts) | Expr::All(parts) => {
            assert!(!parts.is_empty());
            parts.iter().for_each(check);
        }
        Expr::Test(Test::Compare { signal, limit, .. }) => {
            assert!(NAMES.0.contains_key(signal));
            let (Limit::Fixed(limit) | Limit::Baseline(limit)) = limit;
            assert!(limit.is_finite());
        }
        Expr::Test(Test::Source { source, .. }) => assert_eq!(NAMES.1.get(source), Some(&true)),
    }
}
