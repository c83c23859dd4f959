//! The words everyone shares. No behaviour beyond construction, no clock, no
//! I/O, no randomness.

mod anchored;
mod condition;
mod config;
mod expectation;
mod glob;
mod moment;
mod pattern;
mod placeholder;
mod plan;
mod policy;
mod promote;
mod reading;
mod release;
mod release_rule;
mod sample;
mod selector;
mod series;
mod signal;
mod source;
mod step_end;
mod token;
mod trigger;
mod verdict;

pub use condition::{Condition, Expr, Hold, Limit, Op, Test, Unit};
pub use config::{Config, History, MailTls, Notifier, NotifierKind, Rate, Role, Secret};
pub use expectation::Expectation;
pub use glob::{Glob, GlobError};
pub use moment::{Moment, millis};
pub use pattern::{Pattern, PatternError};
pub use placeholder::{PLACEHOLDERS, placeholders_in, secrets_in};
pub(crate) use plan::yes;
pub use plan::{
    Action, Budget, HttpRequest, Measure, NotCured, Plan, Risk, Step, StepAction, UnitAction,
    Verify,
};
pub use policy::{Level, LevelOn, Mode, Policy};
pub use promote::Promote;
pub(crate) use reading::Short;
pub use reading::{Evidence, NoReading, Reading, Value};
pub(crate) use release::is_version;
pub use release::{Declaration, Release, Standing, Word};
pub use release_rule::{Current, Pick, ReleaseRule, Unchecked};
pub use sample::{Gap, GapKind, Outcome, Sample};
pub use selector::{Selector, SelectorError};
pub use series::Series;
pub use signal::{By, Over, Signal, SignalKind, asked_as};
pub use source::{Expect, Source, SourceKind, Tls};
pub use step_end::{HowEnded, Output, StepEnd};
pub use token::TokenHash;
pub use trigger::{Approve, Otherwise, Response, Severity, Trigger};
pub use verdict::{Against, Baseline, Finding, Moved, Proof, Verdict};
