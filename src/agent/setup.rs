//! What `backstop run` was told.

use std::path::PathBuf;

/// What the agent works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The directory of policies.
    pub policies: PathBuf,
    /// The agent's config; without one everything has a default.
    pub config: Option<PathBuf>,
    /// The state directory.
    pub state: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Where HTTP listens, instead of what the config says; `off` is nowhere.
    pub http: Option<String>,
    /// What is logged.
    pub log: String,
}
