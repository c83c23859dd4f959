//! Where the agent's own log goes: to journald with its fields when standard
//! error is journald's, else to standard error for people.

use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::AgentError;

/// Starts logging.
pub(super) fn start(filter: &str) -> Result<(), AgentError> {
    let filter: Targets = filter
        .parse()
        .map_err(|e| AgentError::Usage(format!("`{filter}` is no filter of a log: {e}")))?;
    let journald = is_journald()
        .then(tracing_journald::layer)
        .and_then(Result::ok);
    let layer = match journald {
        Some(journald) => journald
            .with_syslog_identifier("backstop".to_owned())
            .boxed(),
        None => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .boxed(),
    };
    // A second agent in one process (tests) goes on with the first one's log.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
    Ok(())
}

/// Whether standard error is connected to journald: then `JOURNAL_STREAM` names
/// its device and inode (systemd.exec(5)).
fn is_journald() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else {
        return false;
    };
    stream.to_str() == Some(&format!("{}:{}", stderr.dev(), stderr.ino()))
}
