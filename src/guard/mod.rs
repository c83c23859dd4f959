//! Verdicts → commands: phases, gates, budget, escalation. Pure: facts in,
//! orders out.

mod agenda;
mod board;
mod checked;
mod command;
mod deployment;
mod desk;
mod drill;
mod engine;
mod escalation;
mod event;
mod gate;
mod incident;
mod levels;
mod lookout;
mod loss;
mod note;
mod notice;
mod phase;
mod placeholder;
mod probation;
mod push;
mod question;
mod releases;
mod response;
mod rollout;
mod run;
mod service;
mod shadow;
mod step;
mod target;
mod told;
mod verification;

pub use board::{Board, Told};
pub use command::{Command, Order};
pub use drill::{Drill, GateAnswer, Rehearsal};
pub use engine::Engine;
pub use event::{Event, Freeze, Override, Person};
pub use gate::Gate;
pub use incident::{
    Acknowledgement, Approval, Fate, Held, Incident, LevelState, Outcome, RunRecord, StepRecord,
};
pub use lookout::{Lookout, Sight};
pub use loss::{Loss, counted};
pub use note::{Cause, Detail, Note, What};
pub use notice::{Asked, Notice, NoticeKind};
pub use phase::{Broken, Phase, Question, Run, StepState, Verification};
pub use placeholder::{Fault, Unfilled, Values, environment, fill, fill_all, render};
pub use push::{Alert, Push, Statement};
pub use releases::{Irreversible, Releases};
pub use rollout::{Rollout, Share};
pub use service::{Retired, Service, Snapshot};
pub use shadow::{Act, Counts, Deed, Did, Fire, Ledger, Probation, Ruling};
pub use told::{flags_of, listens_to, may_tell};
