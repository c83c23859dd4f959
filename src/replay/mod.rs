//! A second driver of the engine: recorded samples in, what would have happened
//! out.
//!
//! It is the same engine, in shadow, with the recording's clock. What it says
//! about a recording is what the live agent said of the same samples, to the
//! tick: nothing here knows what a trigger is. SPEC 5 gives the format of a
//! recording and of the answer.

mod column;
mod drive;
mod exposed;
mod history;
mod past;
mod recording;
mod reel;
mod scenario;
mod tested;
mod told;

#[cfg(test)]
mod tests;

pub(crate) use column::Column;
pub use drive::{Replay, replay};
pub use exposed::{Exposed, Row};
pub use history::HistoryError;
pub use past::{Entries, Entry, Imported, Past, PastError, Span};
pub(crate) use recording::Recorder;
pub use recording::{Fault, Recording};
pub(crate) use reel::{Fact, Facts};
pub use scenario::{Played, Scenario, Unplayable};
pub use tested::{Difference, Happened, Tested, test};
pub use told::{Told, ToldEvent, TriggerSummary};
