//! The agent's own config: read at the start, and again whenever the policies
//! are.
//!
//! Roles, tokens and the address of links are looked at whenever somebody comes,
//! and change at once. Where the agent listens, what it keeps of the past, and its
//! notifiers, whose queues are on disk and under way, are those of the start: a
//! change of them waits for a restart, and is said to. A file that is broken changes nothing.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use crate::control::Reloaded;
use crate::model::Config;
use crate::policy::files::{Writable, read_config};
use crate::policy::{LoadedConfig, render};

/// The config in force.
#[derive(Debug)]
pub(super) struct Settings {
    config: watch::Sender<Arc<Config>>,
}

/// The file as it was read.
#[derive(Debug)]
pub(super) struct Written {
    text: String,
    loaded: LoadedConfig,
}

impl Written {
    /// Reads the file. Blocks on the disk.
    pub(super) fn read(path: &Path) -> Self {
        let (text, loaded) = read_config(path, Writable::Refuse);
        Self { text, loaded }
    }
}

impl Settings {
    /// With the config of the start.
    pub(super) fn new(config: Config) -> Self {
        Self {
            config: watch::Sender::new(Arc::new(config)),
        }
    }

    /// The config that is in force whenever one looks.
    pub(super) fn follow(&self) -> watch::Receiver<Arc<Config>> {
        self.config.subscribe()
    }

    /// Takes over what was read, as far as that is possible, and says what came
    /// of it.
    pub(super) fn take(&self, written: Written, report: &mut Reloaded) {
        let Some(new) = written.loaded.config else {
            let faults = render(&written.loaded.faults, &written.text, false);
            report.refused.push(faults);
            report.successful = false;
            return;
        };
        let now = Arc::clone(&self.config.borrow());
        let changed = |names: &[(&str, bool)]| {
            let changed = names.iter().filter(|(_, same)| !same);
            changed.map(|(name, _)| (*name).to_owned()).collect()
        };
        report.restart = changed(&[
            ("http", new.http == now.http),
            ("notifiers", new.notifiers == now.notifiers),
            ("history", new.history == now.history),
        ]);
        report.config = changed(&[
            ("public_url", new.public_url == now.public_url),
            ("roles", new.roles == now.roles),
            ("tokens", new.tokens == now.tokens),
        ]);
        if report.config.is_empty() {
            return;
        }
        for fault in &written.loaded.warnings {
            let shown = render(std::slice::from_ref(fault), &written.text, false);
            tracing::warn!("{}", shown.trim_end());
        }
        tracing::info!(
            keys = report.config.join(", "),
            "the agent's config changed"
        );
        self.config.send_replace(Arc::new(Config {
            http: now.http.clone(),
            notifiers: now.notifiers.clone(),
            history: now.history,
            ..new
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::load_config;

    fn written(text: &str) -> Written {
        Written {
            text: text.to_owned(),
            loaded: load_config("backstop.toml", text),
        }
    }

    const LEAD: &str = "[roles.lead]\nusers = [\"ann\"]\n";

    fn taken(settings: &Settings, text: &str) -> Reloaded {
        let mut report = Reloaded {
            successful: true,
            ..Reloaded::default()
        };
        settings.take(written(text), &mut report);
        report
    }

    #[test]
    fn who_may_what_changes_at_once_and_the_rest_waits_for_a_restart() {
        let settings = Settings::new(written(LEAD).loaded.config.unwrap());
        let config = settings.follow();
        assert_eq!(taken(&settings, LEAD).config, Vec::<String>::new());
        let more = format!(
            "http = \"off\"\n{LEAD}[roles.dba]\nusers = [\"ben\"]\n\
             [notifiers.page]\ntype = \"run\"\ncommand = [\"/bin/true\"]\n"
        );
        let report = taken(&settings, &more);
        assert_eq!(report.config, ["roles"]);
        assert_eq!(report.restart, ["http", "notifiers"]);
        assert!(report.successful);
        let now = config.borrow().clone();
        assert_eq!(now.roles.len(), 2);
        assert_eq!(now.http.as_deref(), Some("127.0.0.1:9911"));
        assert!(now.notifiers.is_empty());
        // It still waits, and no more once it is as it was.
        assert_eq!(taken(&settings, &more).restart, ["http", "notifiers"]);
        assert_eq!(taken(&settings, LEAD).restart, Vec::<String>::new());
    }

    #[test]
    fn a_broken_file_changes_nothing_and_says_so() {
        let settings = Settings::new(written(LEAD).loaded.config.unwrap());
        let report = taken(&settings, "rolls = 1\n");
        assert!(!report.successful && report.refused[0].contains("rolls"));
        assert_eq!(settings.follow().borrow().roles.len(), 1);
    }
}
