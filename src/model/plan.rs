//! Plans: what is run to roll back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Approve, Condition, Expect, Secret, Tls};

/// An ordered list of steps with its limits and its proof of cure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The deadline of the whole run.
    pub timeout: Duration,
    /// Least time from the end of any run to the next.
    pub cooldown: Duration,
    /// Most runs in a period.
    pub budget: Budget,
    /// The steps in order; never empty.
    pub steps: Vec<Step>,
    /// What proves the cure.
    pub verify: Verify,
    /// How risky a person said it is.
    pub risk: Option<Risk>,
    /// How long a person expects it to take.
    pub expect: Option<Duration>,
    /// The recovery goal: from the beginning of the breach to the proof of cure.
    #[serde(default)]
    pub goal: Option<Duration>,
    /// Whether it is a rollback: to another release, as far as the policy knows
    /// releases. For one that is none no release is chosen, checked or blamed,
    /// and its runs hold back no rollback, nor theirs it.
    #[serde(default = "yes")]
    pub goes_back: bool,
}

/// What was written before there was a choice.
pub(crate) const fn yes() -> bool {
    true
}

impl Plan {
    /// Whether a step has a use for the release to go to.
    #[must_use]
    pub fn names_target(&self) -> bool {
        let names = |text: &str| text.contains("{target}");
        self.steps.iter().any(|step| match &step.action {
            StepAction::Run(argv) => argv.iter().any(|a| names(a)),
            StepAction::Systemd { unit, .. } => names(unit),
            StepAction::Http(request) => {
                let mut texts = request.headers.values().chain(&request.body);
                names(&request.url) || texts.any(|text| names(text))
            }
            StepAction::Symlink { link, to } => names(link) || names(to),
            StepAction::Check(_) | StepAction::Wait(_) => false,
        })
    }
}

/// At most `runs` in any `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Budget {
    pub runs: u32,
    pub period: Duration,
}

/// How risky a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Risk {
    Low,
    Medium,
    High,
}

impl Risk {
    /// As policies write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What proves that a rollback cured the service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verify {
    /// Conditions that must hold, on samples after the last step. Empty means
    /// the default: the fired trigger is clear, and no source that was up is
    /// down.
    pub require: Vec<Condition>,
    /// Until when, from the end of the last step.
    pub within: Duration,
    /// What happens when they did not.
    pub otherwise: NotCured,
    /// Quiet after the cure before the incident closes.
    pub watch: Duration,
}

/// What happens when a rollback did not cure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCured {
    /// A person is called.
    Escalate,
    /// Once more, to the good release before.
    Next,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What people call it.
    pub name: String,
    /// What it does.
    pub action: StepAction,
    /// The deadline of one attempt.
    pub timeout: Duration,
    /// Further attempts after a failure.
    pub retries: u32,
    /// Whether the plan goes on after it failed.
    pub continue_on_failure: bool,
    /// Whether it runs even after a failure of a step before.
    pub always: bool,
    /// Whether it may be run again when its end is unknown.
    pub idempotent: bool,
    /// Whose consent it needs before it begins.
    #[serde(default)]
    pub approve: Option<Approve>,
    /// What it counts: the last line that it prints is a number.
    #[serde(default)]
    pub measures: Option<Measure>,
}

/// What a query counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Its name in reports and escalation: `orders`.
    pub name: String,
    /// In what it counts; may be empty.
    pub unit: String,
}

/// What systemd may be asked to do with a unit: the verbs of systemctl(1) that
/// queue a job or mend a failed state, and none that edits what root declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum UnitAction {
    Start,
    Stop,
    Restart,
    Reload,
    ResetFailed,
}

impl UnitAction {
    /// As policies write it, and systemctl takes it.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::ResetFailed => "reset-failed",
        }
    }
}

/// A request of a step. Its secrets are named where they go, as
/// `{secret:NAME}`, and are never in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// `POST`, as a rule.
    pub method: String,
    /// Where to; `http` or `https`.
    pub url: String,
    /// Sent with the request.
    pub headers: BTreeMap<String, String>,
    /// Sent with the request.
    pub body: Option<String>,
    /// What makes an answer a success.
    pub expect: Expect,
    /// Certificates.
    pub tls: Tls,
    /// Where each secret is, by its name.
    pub secrets: BTreeMap<String, Secret>,
}

/// What a step does, with placeholders not filled in yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StepAction {
    /// Runs a program.
    Run(Vec<String>),
    /// Has systemd do something with a unit, and waits for its job.
    Systemd {
        /// The unit.
        unit: String,
        /// What is done with it.
        action: UnitAction,
    },
    /// Makes an HTTP request.
    Http(Box<HttpRequest>),
    /// Points a link elsewhere, atomically.
    Symlink {
        /// The link.
        link: String,
        /// Where it points afterwards.
        to: String,
    },
    /// Waits until a condition holds, at most for the step's timeout.
    Check(Condition),
    /// Waits.
    Wait(Duration),
}

/// What `act` is told to do: every placeholder filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Runs this program with these arguments, without a shell.
    Run {
        /// Program and arguments; never empty.
        argv: Vec<String>,
        /// Added to a clean environment: `BACKSTOP_SERVICE` and its siblings.
        env: BTreeMap<String, String>,
    },
    /// Has systemd do something with a unit, and waits for its job.
    Systemd {
        /// The unit.
        unit: String,
        /// What is done with it.
        action: UnitAction,
    },
    /// Makes an HTTP request, its secrets put in when it is made.
    Http(Box<HttpRequest>),
    /// Points `link` at `to`, atomically.
    Symlink {
        /// The link.
        link: String,
        /// Where it points afterwards.
        to: String,
    },
}
