//! The durable record: every fact that reached the engine, every order that it
//! gave, and its state from time to time.

mod codec;
mod decisions;
mod disk;
mod error;
mod layout;
mod log;
mod merge;
mod reader;
mod record;
mod recovery;
mod samples;
mod snapshot;
mod state_dir;
mod varint;
mod writer;

pub use error::{Damage, JournalError, Torn};
pub use reader::{Records, read};
pub use record::{Anchor, Body, Lost, Record};
pub use recovery::{Recovery, Step, Steps};
pub use writer::{Journal, Kept, Options, Retention};
