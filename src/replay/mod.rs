//! A second driver of the engine: recorded samples in, what would have happened
//! out.
//!
//! It is the same engine, in shadow, with the recording's clock. What it says
//! about a recording is what the live agent said of the same samples, to the
//! tick: nothing here knows what a trigger is. SPEC 5 gives the format of a
//! recording and of the answer.

mod blindness;
mod column;
mod compare;
mod curves;
mod drive;
mod exposed;
mod history;
mod page;
mod past;
mod recorder;
mod recording;
mod reel;
mod scenario;
mod tested;
mod text;
mod timeline;
mod told;
mod tune;

#[cfg(test)]
mod tests;

pub use blindness::Blindness;
pub(crate) use column::Column;
pub use compare::{Change, Compared, Comparison, Counted, compare};
pub use curves::Curves;
pub use drive::{Onlooker, Replay, replay, replay_before};
pub use exposed::{Exposed, Row};
pub use history::HistoryError;
pub use page::page;
pub use past::{Entries, Entry, Imported, Past, PastError, Span};
pub use recorder::{LATENCY, Place, RELEASE, Recorder, SOURCE, SUCCESS, UP};
pub use recording::{Fault, Recording};
pub(crate) use reel::{Fact, Facts};
pub use scenario::{Played, Scenario, Unplayable};
pub use tested::{Difference, Happened, Tested, test};
pub use timeline::timeline;
pub use told::{Progress, Told, ToldEvent, TriggerSummary};
pub use tune::{
    Axes, Choice, Episode, Incident, LabelFaults, Labelled, OwnFault, OwnIncidents, Ran, Score,
    TuneFault, Tuned, labels, own_incidents, tune, tuning_page,
};
