//! Links by which people answer a question over HTTP, each once.
//!
//! A link says in clear which question of which incident it answers, how, and in
//! whose name; its last part is the HMAC-SHA256 (RFC 2104) of that. So nothing
//! secret is stored but the key, which is in the state directory for its owner
//! alone: a link outlives a restart, and is in no journal, outbox, log or
//! report. Taking the key away ends every link that was made with it.
//!
//! That a link is used up is seen by the question, which counts a person once,
//! and is over when it is answered.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::guard::{Notice, Person};
use crate::model::{Config, Mode};
use crate::view::answer::AnswerLinks;

/// The key's file in the state directory.
const KEY: &str = "links.key";

/// The key's length, in bytes: that of the hash (RFC 2104, section 3).
const LENGTH: usize = 32;

/// What is signed begins with this, so that the key signs nothing else.
const PURPOSE: &str = "backstop link 1";

/// Answers that are taken in `PERIOD` from genuine links of one person: each
/// leaves a line in the journal, useful or not.
const MOST_ANSWERS: usize = 10;

/// Links that are not genuine and get a page in `PERIOD`, all in all.
const MOST_FOREIGN: usize = 60;

const PERIOD: Duration = Duration::from_secs(60);

/// People whose answers are counted one by one. Only genuine links count.
const MOST_PEOPLE: usize = 1000;

/// Why the key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read, made or written.
    #[error("the key of links {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner can read it, or it is not the agent's.
    #[error("the key of links {} must be the agent's alone: remove it, and each link that is out ends with it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It is no key.
    #[error("the key of links {} is {found} bytes long instead of 32: remove it, and each link that is out ends with it", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length, as far as it was read.
        found: usize,
    },
}

/// Makes links, and knows them again.
pub struct Links {
    key: hmac::Key,
    config: watch::Receiver<Arc<Config>>,
    answers: Mutex<Vec<(String, Throttle)>>,
    foreign: Mutex<Throttle>,
}

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The incident.
    pub(super) incident: u64,
    /// Which of its questions.
    pub(super) question: u32,
    /// Yes or no.
    pub(super) approve: bool,
    /// In whose name.
    pub(super) who: String,
}

impl Links {
    /// With the key in the state directory, which is made if there is none.
    /// Reads and writes files.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn open(state: &Path, config: watch::Receiver<Arc<Config>>) -> Result<Self, KeyError> {
        let bytes = key(&state.join(KEY))?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
            config,
            answers: Mutex::default(),
            foreign: Mutex::default(),
        })
    }

    /// The links of a notice that asks, for a notifier whose answers come from
    /// this person; `None` when there is nothing that this person could answer
    /// or the config gives links to nobody.
    #[must_use]
    pub fn of(&self, notice: &Notice, who: &str) -> Option<AnswerLinks> {
        let incident = notice.incident.filter(|_| notice.mode == Mode::Enforce)?;
        let asked = notice.question.as_ref()?;
        let config = Arc::clone(&self.config.borrow());
        let base = config.public_url.as_ref()?;
        let roles = roles(&config, who);
        let may = asked.roles.is_empty() || roles.iter().any(|held| asked.roles.contains(held));
        if !may {
            return None;
        }
        let link = |approve| {
            let link = Link {
                incident,
                question: asked.number,
                approve,
                who: who.to_owned(),
            };
            format!("{base}/answer/{}", self.path(&link))
        };
        Some(AnswerLinks {
            approve: link(true),
            reject: link(false),
        })
    }

    /// The parts of its address, the signature last.
    fn path(&self, link: &Link) -> String {
        let signature = hmac::sign(&self.key, signed(link).as_bytes());
        format!(
            "{}/{}/{}/{}/{}",
            link.incident,
            link.question,
            word(link.approve),
            utf8_percent_encode(&link.who, NON_ALPHANUMERIC),
            URL_SAFE_NO_PAD.encode(signature)
        )
    }

    /// The link with these parts, if this agent made it: a comparison that
    /// takes the same time whatever differs.
    pub(super) fn genuine(&self, parts: [&str; 5]) -> Option<Link> {
        let [incident, question, approve, who, signature] = parts;
        let link = Link {
            incident: incident.parse().ok()?,
            question: question.parse().ok()?,
            approve: match approve {
                "approve" => true,
                "reject" => false,
                _ => return None,
            },
            who: who.to_owned(),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.key, signed(&link).as_bytes(), &signature).ok()?;
        Some(link)
    }

    /// The person that a link's answer comes from, as long as a notifier of the
    /// config in force answers as them.
    pub(super) fn person(&self, link: &Link) -> Option<Person> {
        let config = self.config.borrow();
        config.public_url.as_ref()?;
        let mut notifiers = config.notifiers.values();
        let answers = notifiers.any(|n| n.answers_as.as_ref() == Some(&link.who));
        (answers && !config.tokens.is_empty()).then(|| Person {
            name: link.who.clone(),
            roles: roles(&config, &link.who),
        })
    }

    /// Whether this person's answers may be heard just now.
    pub(super) fn may_answer(&self, who: &str) -> bool {
        let Ok(mut answers) = self.answers.lock() else {
            return false;
        };
        let place = answers.iter().position(|(name, _)| name == who);
        let place = place.unwrap_or_else(|| {
            if answers.len() == MOST_PEOPLE {
                answers.remove(0);
            }
            answers.push((who.to_owned(), Throttle::default()));
            answers.len() - 1
        });
        answers[place].1.takes(MOST_ANSWERS)
    }

    /// Whether one more link that is not genuine gets a page of its own.
    pub(super) fn may_ask(&self) -> bool {
        self.foreign
            .lock()
            .is_ok_and(|mut foreign| foreign.takes(MOST_FOREIGN))
    }
}

/// Not even the key's length goes into a log.
impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links(…)")
    }
}

/// When something was done, as far back as matters.
#[derive(Debug, Default)]
struct Throttle(VecDeque<Instant>);

impl Throttle {
    fn takes(&mut self, most: usize) -> bool {
        let now = Instant::now();
        while self.0.front().is_some_and(|at| now - *at >= PERIOD) {
            self.0.pop_front();
        }
        let takes = self.0.len() < most;
        if takes {
            self.0.push_back(now);
        }
        takes
    }
}

/// The roles that the config gives to this name.
fn roles(config: &Config, who: &str) -> Vec<String> {
    let held = config.roles.iter();
    held.filter(|(_, role)| role.users.iter().any(|user| user == who))
        .map(|(role, _)| role.clone())
        .collect()
}

const fn word(approve: bool) -> &'static str {
    if approve { "approve" } else { "reject" }
}

/// What is signed. The name is last and has no line end in it, so that no two
/// links are the same text.
fn signed(link: &Link) -> String {
    let mut text = PURPOSE.to_owned();
    let Link {
        incident,
        question,
        approve,
        who,
    } = link;
    // Writing to a string cannot fail.
    let _ = write!(text, "\n{incident}\n{question}\n{}\n{who}", word(*approve));
    text
}

/// Reads the key, or makes it.
fn key(path: &Path) -> Result<[u8; LENGTH], KeyError> {
    let failed = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(NOFOLLOW)
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return made(path).map_err(failed),
        Err(error) => return Err(failed(error)),
    };
    let meta = file.metadata().map_err(failed)?;
    let mine = meta.uid() == rustix::process::geteuid().as_raw();
    if !mine || meta.mode() & 0o077 != 0 {
        return Err(KeyError::Open {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    let read = file.take(LENGTH as u64 + 1).read_to_end(&mut bytes);
    read.map_err(failed)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| KeyError::Length {
        path: path.to_owned(),
        found: bytes.len(),
    })
}

/// A link in its place would let somebody else choose the key.
const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// A new key, whole under its name or not there at all.
fn made(path: &Path) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let new = path.with_extension("key.new");
    // What an agent that was killed has left of one.
    let _ = std::fs::remove_file(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::model::{Notifier, NotifierKind, Role, TokenHash};

    fn config() -> Config {
        let role = Role {
            users: vec!["ann lee".to_owned(), "ops/room".to_owned()],
            ..Role::default()
        };
        let notifier = Notifier {
            kind: NotifierKind::Run {
                command: vec!["/bin/true".to_owned()],
            },
            templates: [].into(),
            template: None,
            timeout: Duration::from_secs(1),
            rate: None,
            only: Vec::new(),
            answers_as: Some("ann lee".to_owned()),
        };
        Config {
            public_url: Some("https://ops.example.org/b".to_owned()),
            roles: [("lead".to_owned(), role)].into(),
            tokens: [("ci".to_owned(), TokenHash::from_bytes([0; 32]))].into(),
            notifiers: [("mail".to_owned(), notifier)].into(),
            ..Config::default()
        }
    }

    fn links(directory: &Path) -> Links {
        Links::open(directory, watch::channel(Arc::new(config())).1).unwrap()
    }

    fn link(who: &str) -> Link {
        Link {
            incident: 12,
            question: 1,
            approve: true,
            who: who.to_owned(),
        }
    }

    #[test]
    fn a_link_is_known_again_after_a_restart_and_by_no_other_key() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = links(one.path()).path(&link("ann"));
        let parts: Vec<&str> = path.split('/').collect();
        let parts: [&str; 5] = parts.try_into().unwrap();
        assert_eq!(links(one.path()).genuine(parts), Some(link("ann")));
        assert_eq!(links(other.path()).genuine(parts), None);
        std::fs::remove_file(one.path().join(KEY)).unwrap();
        assert_eq!(links(one.path()).genuine(parts), None);
    }

    #[test]
    fn no_part_of_a_link_can_be_exchanged() {
        let directory = tempfile::tempdir().unwrap();
        let links = links(directory.path());
        let path = links.path(&link("ann"));
        let parts: Vec<&str> = path.split('/').collect();
        let good: [&str; 5] = parts.try_into().unwrap();
        for (place, other) in [
            (0, "13"),
            (1, "2"),
            (2, "reject"),
            (2, "APPROVE"),
            (3, "bob"),
            (3, "ann\n"),
            (4, ""),
            (4, &good[4][1..]),
            (4, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ] {
            let mut parts = good;
            parts[place] = other;
            assert_eq!(links.genuine(parts), None, "{parts:?}");
        }
        assert_eq!(links.genuine(good), Some(link("ann")));
    }

    #[test]
    fn a_name_of_any_letters_is_one_part_of_the_address() {
        let directory = tempfile::tempdir().unwrap();
        let path = links(directory.path()).path(&link("ops/room ü"));
        assert_eq!(path.split('/').count(), 5, "{path}");
        assert!(path.is_ascii() && !path.contains(' '), "{path}");
    }

    #[test]
    fn whom_no_notifier_answers_as_any_more_has_no_links_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let (told, config_in_force) = watch::channel(Arc::new(config()));
        let links = Links::open(directory.path(), config_in_force).unwrap();
        let person = links.person(&link("ann lee")).unwrap();
        assert_eq!(person.roles, ["lead"]);
        assert!(links.person(&link("ops/room")).is_none());
        for without in [
            |c: &mut Config| c.public_url = None,
            |c: &mut Config| c.tokens.clear(),
            |c: &mut Config| c.notifiers.clear(),
        ] {
            let mut changed = config();
            without(&mut changed);
            told.send_replace(Arc::new(changed));
            assert!(links.person(&link("ann lee")).is_none());
        }
    }

    #[test]
    fn the_key_is_its_owners_alone_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let receiver = || watch::channel(Arc::new(config())).1;
        drop(links(directory.path()));
        let path = directory.path().join(KEY);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Links::open(directory.path(), receiver()).unwrap_err();
        assert!(matches!(refused, KeyError::Open { .. }), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, [1; 31]).unwrap();
        let refused = Links::open(directory.path(), receiver()).unwrap_err();
        assert!(
            matches!(refused, KeyError::Length { found: 31, .. }),
            "{refused}"
        );
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let refused = Links::open(directory.path(), receiver()).unwrap_err();
        assert!(matches!(refused, KeyError::Io { .. }), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_answers_is_heard_in_part_and_the_next_minute_again() {
        let directory = tempfile::tempdir().unwrap();
        let links = links(directory.path());
        let heard = (0..100).filter(|_| links.may_answer("ann")).count();
        assert_eq!(heard, MOST_ANSWERS);
        assert!(links.may_answer("bob"), "another person is heard");
        tokio::time::advance(PERIOD).await;
        assert!(links.may_answer("ann"));
        let shown = (0..1000).filter(|_| links.may_ask()).count();
        assert_eq!(shown, MOST_FOREIGN);
    }
}
