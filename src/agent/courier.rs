//! Hands notices to the outbox, in order, away from the loop that judges: the
//! outbox writes them to the disk.
//!
//! A notice is handed over when what it tells is durable, so that nobody hears
//! of something that a crash makes never to have happened; but a disk that does
//! not answer must not keep people from hearing that it does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::scribe::Durable;
use crate::guard::Notice;
use crate::tell::Outbox;

/// How long a notice waits for its record to be durable.
const PATIENCE: Duration = Duration::from_secs(5);

/// A notice, and when what it tells is durable; nothing to wait for when it was
/// before the restart.
pub(super) type Letter = (Notice, Option<oneshot::Receiver<Durable>>);

/// Carries letters until nobody writes any.
pub(super) async fn carry(outbox: Arc<Outbox>, mut letters: mpsc::UnboundedReceiver<Letter>) {
    while let Some((notice, durable)) = letters.recv().await {
        if notice.notify.is_empty() {
            continue;
        }
        if let Some(durable) = durable {
            let _ = timeout(PATIENCE, durable).await;
        }
        let id = notice.id.clone();
        let to = Arc::clone(&outbox);
        match tokio::task::spawn_blocking(move || to.submit(notice)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(
                notice = id,
                error = &error as &dyn std::error::Error,
                "a notice may be forgotten by a crash"
            ),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}
