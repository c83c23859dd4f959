//! Verdicts, phases and evidence in words: said once, here, for the command
//! line, the page, notices and reports alike.
//!
//! Pure: a view of the same state at the same moment reads the same. It decides
//! nothing and asks nobody for the time; moments become times of day through
//! the distance to the wall clock that the state itself carries.

pub mod answer;
pub mod incidents;
pub mod ledger;
pub mod note;
mod notice;
pub mod report;
pub mod status;
mod table;
pub mod value;

pub use notice::NoticeView;
pub use report::{
    Bound, Curve, DrillPoint, DrillReport, DrillTime, DrillVerdict, RanStep, Report, ScenarioEvent,
    ScenarioReport, Signals,
};
pub use status::{AgentStatus, Status};
pub use table::{NARROW, Style};
