//! What a directory of policies says, and what that changes.
//!
//! Everything is read and checked before anything changes. A file that is
//! broken keeps the policy that ran before, over a restart too: then which
//! service the file was for is read off its text, and where even that is not
//! possible, no service is given up because of it. Only a service for which no
//! file can be meant any more is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::act;
use crate::control::Reloaded;
use crate::guard::Service;
use crate::model::{Current, Policy, SourceKind};
use crate::policy::files::{PolicyFile, Writable, read_folder};
use crate::policy::{Fault, render};
use crate::process;

/// Characters of a content's hash that are kept: enough to tell a service's
/// policies apart, short enough to say.
const HASH: usize = 12;

/// A directory of policies as it was read.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    files: Vec<Volume>,
    /// Why the directory itself cannot be used, for people.
    refused: Option<String>,
}

/// One file.
#[derive(Debug)]
struct Volume {
    path: PathBuf,
    hash: String,
    content: Content,
    warnings: Option<String>,
}

#[derive(Debug)]
enum Content {
    Policy {
        policy: Arc<Policy>,
        /// Steps that could not be done as things are.
        problems: Vec<String>,
    },
    Broken {
        /// Why, for people.
        why: String,
        /// The service that its text names, if that much can be read.
        names: Option<String>,
    },
}

/// What a shelf changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Policies that are new or changed, with the hash of their content.
    pub(super) revised: Vec<(Arc<Policy>, String)>,
    /// Services that no file is for any more.
    pub(super) removed: Vec<String>,
    /// The same for people.
    pub(super) report: Reloaded,
    /// What is allowed but probably not meant, for people.
    pub(super) warnings: Vec<String>,
}

/// Which service each file was for, when it could last be read.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    services: BTreeMap<PathBuf, String>,
}

impl Shelf {
    /// Reads the directory. Blocks on the disk.
    pub(super) fn read(dir: &Path) -> Self {
        let folder = read_folder(dir, Writable::Refuse);
        let refused = (!folder.faults.is_empty()).then(|| render(&folder.faults, "", false));
        Self {
            files: folder.files.into_iter().map(Volume::new).collect(),
            refused,
        }
    }

    /// Why the directory itself cannot be used, if it cannot.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// What it changes for the services that are guarded.
    pub(super) fn against(
        self,
        catalogue: &mut Catalogue,
        services: &BTreeMap<String, Service>,
    ) -> Changes {
        let mut changes = Changes::default();
        let mut meant = BTreeSet::new();
        // Whether a file, or the directory, may be for any service.
        let mut any = self.refused.is_some();
        changes.report.refused.extend(self.refused);
        let mut read = BTreeMap::new();
        for file in self.files {
            changes.warnings.extend(file.warnings);
            match file.content {
                Content::Policy { policy, problems } => {
                    meant.insert(policy.service.clone());
                    read.insert(file.path, policy.service.clone());
                    changes.report.preflight.extend(problems);
                    let same = services.get(&policy.service).is_some_and(|s| {
                        !s.retiring && s.policy_hash == file.hash && *s.policy == *policy
                    });
                    if !same {
                        changes.report.revised.push(policy.service.clone());
                        changes.revised.push((policy, file.hash));
                    }
                }
                Content::Broken { why, names } => {
                    changes.report.refused.push(why);
                    let was = catalogue.services.get(&file.path).cloned();
                    any |= was.is_none() && names.is_none();
                    meant.extend(names);
                    if let Some(service) = was {
                        meant.insert(service.clone());
                        read.insert(file.path, service);
                    }
                }
            }
        }
        if any {
            catalogue.services.extend(read);
        } else {
            let gone = services
                .iter()
                .filter(|(name, s)| !s.retiring && !meant.contains(*name));
            changes.removed = gone.map(|(name, _)| name.clone()).collect();
            catalogue.services = read;
        }
        changes.report.removed.clone_from(&changes.removed);
        changes.report.successful = changes.report.refused.is_empty();
        changes
    }
}

impl Volume {
    fn new(file: PolicyFile) -> Self {
        let PolicyFile { path, text, loaded } = file;
        let shown = |faults: &[Fault]| render(faults, &text, false);
        let warnings = (!loaded.warnings.is_empty()).then(|| shown(&loaded.warnings));
        let content = match loaded.policy {
            Some(policy) => Content::Policy {
                problems: problems(&policy),
                policy: Arc::new(policy),
            },
            None => Content::Broken {
                why: shown(&loaded.faults),
                names: named(&text),
            },
        };
        Self {
            hash: hash(&text),
            path,
            content,
            warnings,
        }
    }
}

/// Identifies a file's content: the beginning of its SHA-256 in hex.
fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref()[..HASH / 2]
        .iter()
        .fold(String::with_capacity(HASH), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// The service that a text names which is no policy.
fn named(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.trim().strip_prefix("service")?.trim_start();
        let value = value.strip_prefix('=')?.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (name, _) = value[1..].split_once(quote)?;
        (!name.is_empty()).then(|| name.to_owned())
    })
}

/// What stands in the way of the policy's plans and of its commands, asked as
/// the agent runs.
pub(super) fn problems(policy: &Policy) -> Vec<String> {
    let commands = policy.sources.iter().filter_map(|(name, source)| {
        let SourceKind::Run { command } = &source.kind else {
            return None;
        };
        let problem = process::problem(command.first()?)?;
        Some(format!("{}: source {name}: {problem}", policy.service))
    });
    let version = policy
        .release
        .as_ref()
        .and_then(|rule| match &rule.current {
            Current::Run(command) => process::problem(command.first()?),
            _ => None,
        })
        .map(|problem| format!("{}: the running release: {problem}", policy.service));
    let steps = policy
        .plans
        .iter()
        .flat_map(|(plan, p)| p.steps.iter().map(move |step| (plan, step)));
    let steps = steps.flat_map(|(plan, step)| {
        act::preflight(&step.action)
            .into_iter()
            .map(move |problem| {
                format!(
                    "{}: plan {plan}, step `{}`: {problem}",
                    policy.service, step.name
                )
            })
    });
    commands.chain(version).chain(steps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{Engine, Event};
    use crate::model::Moment;
    use crate::policy::load;

    fn text(service: &str, after: &str) -> String {
        format!(
            "service = \"{service}\"\n[sources.web]\ntype = \"tcp\"\naddress = \"h:1\"\n\
             [triggers.down]\nwhen = \"web is down for {after}\"\nseverity = \"low\"\n"
        )
    }

    fn shelf(files: &[(&str, &str)]) -> Shelf {
        let volume = |(path, text): &(&str, &str)| {
            Volume::new(PolicyFile {
                path: PathBuf::from(path),
                text: (*text).to_owned(),
                loaded: load(path, text),
            })
        };
        Shelf {
            files: files.iter().map(volume).collect(),
            refused: None,
        }
    }

    /// A directory's readings one after the other: what each revised, removed,
    /// and how many files it refused.
    struct Readings {
        engine: Engine,
        catalogue: Catalogue,
    }

    impl Readings {
        fn new() -> Self {
            Self {
                engine: Engine::new(),
                catalogue: Catalogue::default(),
            }
        }

        fn restart(&mut self) {
            self.catalogue = Catalogue::default();
        }

        fn read(&mut self, files: &[(&str, &str)]) -> (Vec<String>, Vec<String>, usize) {
            let changes = shelf(files).against(&mut self.catalogue, &self.engine.state().services);
            for (policy, hash) in changes.revised {
                let event = Event::Revised { policy, hash };
                self.engine.step(Moment::from_millis(1), event);
            }
            for service in changes.removed {
                self.engine
                    .step(Moment::from_millis(1), Event::Removed { service });
            }
            let report = changes.report;
            (report.revised, report.removed, report.refused.len())
        }
    }

    fn some(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn only_what_changed_is_revised() {
        let mut readings = Readings::new();
        let (a, b) = (text("a", "5m"), text("b", "5m"));
        let first = readings.read(&[("a.toml", &a), ("b.toml", &b)]);
        assert_eq!(first, (some(&["a", "b"]), some(&[]), 0));
        let again = readings.read(&[("a.toml", &a), ("b.toml", &b)]);
        assert_eq!(again, (some(&[]), some(&[]), 0));
        let changed = text("b", "6m");
        let second = readings.read(&[("a.toml", &a), ("b.toml", &changed)]);
        assert_eq!(second, (some(&["b"]), some(&[]), 0));
    }

    #[test]
    fn a_broken_file_keeps_its_service_and_protects_no_other() {
        let mut readings = Readings::new();
        let (a, b) = (text("a", "5m"), text("b", "5m"));
        readings.read(&[("a.toml", &a), ("b.toml", &b)]);
        assert_eq!(
            readings.read(&[("a.toml", "")]),
            (some(&[]), some(&["b"]), 1)
        );
        assert_eq!(readings.read(&[("a.toml", "")]), (some(&[]), some(&[]), 1));
    }

    #[test]
    fn after_a_restart_a_broken_file_is_known_by_the_name_in_it() {
        let mut readings = Readings::new();
        let (a, b) = (text("a", "5m"), text("b", "5m"));
        readings.read(&[("a.toml", &a), ("b.toml", &b)]);
        readings.restart();
        let broken = a.replace("tcp", "tpc");
        assert_eq!(
            readings.read(&[("a.toml", &broken)]),
            (some(&[]), some(&["b"]), 1)
        );
    }

    #[test]
    fn after_a_restart_a_file_without_a_name_gives_nothing_up() {
        let mut readings = Readings::new();
        let (a, b) = (text("a", "5m"), text("b", "5m"));
        readings.read(&[("a.toml", &a), ("b.toml", &b)]);
        readings.restart();
        assert_eq!(readings.read(&[("a.toml", "")]), (some(&[]), some(&[]), 1));
        assert_eq!(
            readings.read(&[("a.toml", &a)]),
            (some(&[]), some(&["b"]), 0)
        );
    }

    #[test]
    fn a_directory_that_cannot_be_read_gives_nothing_up() {
        let mut readings = Readings::new();
        readings.read(&[("a.toml", &text("a", "5m"))]);
        let gone = Shelf {
            files: Vec::new(),
            refused: Some("it cannot be read".into()),
        };
        let changes = gone.against(&mut readings.catalogue, &readings.engine.state().services);
        assert!(changes.removed.is_empty() && !changes.report.successful);
    }
}
