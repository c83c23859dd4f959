//! A test notice, sent by a person's word through one notifier of the config.
//! It needs no agent that runs, and disturbs none.

use super::AgentError;
use super::clock::{self, Clock};
use crate::guard::{Notice, NoticeKind};
use crate::model::{Mode, Notifier};
use crate::tell;

/// Sends one marked test notice. Takes as long as the notifier's timeout at
/// most. What the receiver said, or why it was not reached, both in words.
///
/// # Errors
///
/// Nothing can be sent at all.
pub fn try_notifier(name: &str, notifier: &Notifier) -> Result<Result<String, String>, AgentError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| AgentError::system("start the runtime", e))?;
    let unix_ms = clock::unix_ms();
    let notice = notice(name, &Clock::carry(None, None), unix_ms);
    let unix = unix_ms.div_euclid(1000);
    Ok(runtime.block_on(tell::try_once(notifier, &notice, unix)))
}

fn notice(notifier: &str, clock: &Clock, unix_ms: i64) -> Notice {
    Notice {
        id: format!("backstop-test/-/{unix_ms}"),
        at: clock.now(),
        wall_ahead_ms: clock.wall_ahead_ms(),
        kind: NoticeKind::Test,
        service: "backstop-test".into(),
        host: clock::host(),
        mode: Mode::Enforce,
        incident: None,
        severity: None,
        trigger: None,
        cause: None,
        current: None,
        target: None,
        reason: format!("a test of the notifier {notifier}"),
        next: "nothing: no incident is open".into(),
        stop: String::new(),
        question: None,
        notify: vec![notifier.to_owned()],
        drill: false,
    }
}
