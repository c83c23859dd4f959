//! What the agent took down, for whoever asks later: what there is and where it
//! has gaps, all of it as `OpenMetrics` text, and recordings from elsewhere
//! beside it.
//!
//! Everything here reads the files of a state directory, so it works whether an
//! agent runs or not, and takes nothing from one that does. Only an import
//! writes, into a directory of its own that no agent ever reads.

mod export;
mod import;
mod overview;
mod stretch;

pub use export::{ExportError, Exported, export};
pub use import::{Import, ImportError, Imported};
pub use overview::{Bytes, Overview, OverviewError, Place, Released, ServicePast, SourcePast};
pub use stretch::Stretch;
