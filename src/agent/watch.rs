//! When the policies and the agent's config are to be read: something changed
//! where they are, SIGHUP, a person, or half a minute has passed and something
//! looks different.
//!
//! The directory is watched, not its files: an editor replaces a file, and a
//! `ConfigMap` swaps a link beside it. File systems that tell nothing (NFS,
//! overlays) are looked at twice a minute. Reading a file is an event too and
//! starts nothing.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::AgentError;
use super::input::Input;
use super::reload::Shelf;
use super::settings::Written;
use crate::control::Reloaded;

/// An atomic replacement is several events: they are waited for.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// A directory that never comes to rest is read all the same, this often.
const LATEST: Duration = Duration::from_secs(2);

/// How often the directory is looked at, whatever it tells.
const POLL: Duration = Duration::from_secs(30);

/// Reads the policies whenever there is a reason to.
pub(super) struct Watch {
    dir: PathBuf,
    /// The agent's config, if it has one.
    config: Option<PathBuf>,
    inputs: mpsc::Sender<Input>,
    orders: mpsc::Receiver<oneshot::Sender<Reloaded>>,
    hangup: Signal,
    touched: mpsc::Receiver<()>,
    touch: mpsc::Sender<()>,
    watcher: Option<RecommendedWatcher>,
    seen: Vec<Stamp>,
}

/// How a file looks without reading it.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watch {
    pub(super) fn new(
        (dir, config): (PathBuf, Option<PathBuf>),
        inputs: mpsc::Sender<Input>,
        orders: mpsc::Receiver<oneshot::Sender<Reloaded>>,
    ) -> Result<Self, AgentError> {
        let hangup =
            signal(SignalKind::hangup()).map_err(|e| AgentError::system("listen for SIGHUP", e))?;
        // One that waits is enough.
        let (touch, touched) = mpsc::channel(1);
        let mut watch = Self {
            seen: stamps(&dir, config.as_deref()),
            dir,
            config,
            inputs,
            orders,
            hangup,
            touched,
            touch,
            watcher: None,
        };
        watch.watch();
        Ok(watch)
    }

    pub(super) async fn run(mut self) {
        let mut poll = Instant::now() + POLL;
        loop {
            let mut answers = Vec::new();
            tokio::select! {
                Some(()) = self.touched.recv() => self.rest().await,
                _ = self.hangup.recv() => tracing::info!("SIGHUP: the policies and the config are read again"),
                order = self.orders.recv() => match order {
                    Some(answer) => answers.push(answer),
                    None => return,
                },
                () = sleep_until(poll) => {
                    poll = Instant::now() + POLL;
                    if self.watcher.is_none() {
                        self.watch();
                    }
                    if stamps(&self.dir, self.config.as_deref()) == self.seen {
                        continue;
                    }
                    // A directory that was replaced is another one to watch.
                    self.watch();
                }
            }
            if !self.read(answers).await {
                return;
            }
        }
    }

    /// Waits until nothing happens in the directory for a moment.
    async fn rest(&mut self) {
        let latest = Instant::now() + LATEST;
        loop {
            sleep(DEBOUNCE).await;
            let now = Instant::now();
            if now >= latest || timeout_at(now, self.touched.recv()).await.is_err() {
                return;
            }
        }
    }

    async fn read(&mut self, answers: Vec<oneshot::Sender<Reloaded>>) -> bool {
        let (dir, config) = (self.dir.clone(), self.config.clone());
        let read = tokio::task::spawn_blocking(move || {
            let seen = stamps(&dir, config.as_deref());
            let written = config.as_ref().map(|path| Box::new(Written::read(path)));
            (seen, Box::new(Shelf::read(&dir)), written)
        });
        let Ok((seen, shelf, written)) = read.await else {
            return false;
        };
        self.seen = seen;
        let read = Input::Read {
            shelf,
            written,
            answers,
        };
        self.inputs.send(read).await.is_ok()
    }

    /// Watches the directory, if that is possible.
    fn watch(&mut self) {
        let touch = self.touch.clone();
        let (dir, config) = (self.dir.clone(), self.config.clone());
        let told = move |event: notify::Result<notify::Event>| {
            let relevant = event.as_ref().map_or(true, |event| {
                // Beside the config there may be anything, a log even.
                let ours = |path: &PathBuf| {
                    path.starts_with(&dir)
                        || config.as_ref().and_then(|c| c.file_name()) == path.file_name()
                };
                let kind = matches!(
                    event.kind,
                    EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_)
                );
                kind && event.paths.iter().any(ours)
            });
            if relevant {
                // Full means that one waits already.
                let _ = touch.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
            watcher.watch(&self.dir, RecursiveMode::NonRecursive)?;
            let beside = self.config.as_ref().and_then(|config| config.parent());
            // Relative to where the agent was started, it has none.
            if let Some(beside) = beside.filter(|beside| !beside.as_os_str().is_empty()) {
                watcher.watch(beside, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        self.watcher = watcher
            .inspect_err(|error| {
                tracing::warn!(
                    dir = %self.dir.display(),
                    %error,
                    "cannot be watched; it is looked at every {} s", POLL.as_secs()
                );
            })
            .ok();
    }
}

/// How the directory, its policies and the agent's config look. Follows links:
/// what they point at is what would be read.
fn stamps(dir: &Path, config: Option<&Path>) -> Vec<Stamp> {
    let listed = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"));
    let mut stamps: Vec<Stamp> = std::iter::once(dir.to_owned())
        .chain(config.map(Path::to_owned))
        .chain(listed)
        .filter_map(|path| {
            let meta = std::fs::metadata(&path).ok()?;
            Some(Stamp {
                path,
                device: meta.dev(),
                inode: meta.ino(),
                size: meta.size(),
                modified: (meta.mtime(), meta.mtime_nsec()),
                changed: (meta.ctime(), meta.ctime_nsec()),
            })
        })
        .collect();
    stamps.sort_by(|a, b| a.path.cmp(&b.path));
    stamps
}
