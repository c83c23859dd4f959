//! The traffic of the demo: customers who check out, a fixed number a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Between two checkouts: 50 a second.
const EVERY: Duration = Duration::from_millis(20);

/// Customers; they stop when this is dropped.
pub(super) struct Traffic {
    task: JoinHandle<()>,
    sent: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl Traffic {
    pub(super) fn start(port: u16) -> Result<Self, reqwest::Error> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .timeout(Duration::from_secs(2))
            .build()?;
        let (sent, failed) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let url = format!("http://127.0.0.1:{port}/checkout");
        let counts = (Arc::clone(&sent), Arc::clone(&failed));
        let task = tokio::spawn(async move {
            let mut clock = tokio::time::interval(EVERY);
            clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                clock.tick().await;
                counts.0.fetch_add(1, Ordering::Relaxed);
                let answer = http.get(&url).send().await;
                if !answer.is_ok_and(|a| a.status().is_success()) {
                    counts.1.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { task, sent, failed })
    }

    /// Checkouts so far, and how many of them failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        let failed = self.failed.load(Ordering::Relaxed);
        (self.sent.load(Ordering::Relaxed), failed)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}
