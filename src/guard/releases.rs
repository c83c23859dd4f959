//! Which releases were seen, what is known of them, and which one to go back
//! to.
//!
//! A release is *good* when it ran `good_after` without a breach and was clear
//! in at least 80% of the ticks of that time; *bad* when it was rolled back
//! from. A person's word outranks both, until the release is rolled back from
//! again: that is newer than the word. Which one is gone back to is the matter
//! of `target`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rollout;
use crate::model::{Declaration, Moment, Pick, Release, ReleaseRule, Standing, Word};

/// Most releases remembered; the oldest that is neither running nor the newest
/// good one goes first.
const KEPT: usize = 64;

/// Most migrations remembered; the newest forbids what the older ones do.
const MOST_CROSSED: usize = 16;

/// The releases of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases {
    /// In the order in which they were first deployed.
    pub seen: Vec<Release>,
    /// The version that runs, once known.
    pub running: Option<String>,
    /// Those that people said came with a migration that cannot be taken back.
    #[serde(default)]
    pub irreversible: Vec<Irreversible>,
    /// The versions that run at once, while there are several.
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// The last change that was a deployment, not the agent's own rollback.
    pub deployed: Option<Moment>,
    /// Since when the running release has had no breach.
    clean_since: Option<Moment>,
    /// Ticks since then.
    ticks: u64,
    /// Clear ones among them.
    clear: u64,
}

/// A release that came, or comes, with a migration which cannot be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Irreversible {
    /// The release; it may be still to come.
    pub version: String,
    /// Who says so.
    pub said: Declaration,
}

/// What one tick says about the running release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    /// No trigger breached, and what could be judged was clear.
    Clear,
    /// Something could not be judged.
    Blind,
    /// A trigger breached.
    Breach,
}

impl Releases {
    /// The running release.
    #[must_use]
    pub fn running(&self) -> Option<&Release> {
        let version = self.running.as_deref()?;
        self.find(version)
    }

    /// A release by its version.
    #[must_use]
    pub fn find(&self, version: &str) -> Option<&Release> {
        self.seen.iter().find(|r| r.version == version)
    }

    /// A release was seen running. Returns whether it was not the running one
    /// before; `deployed` says whether somebody deployed it, rather than the
    /// agent's own rollback having put it there.
    pub(crate) fn released(&mut self, version: &str, at: Moment, deployed: bool) -> bool {
        if self.running.as_deref() == Some(version) {
            return false;
        }
        // The release found at first sight was deployed at an unknown time
        // before; it settles nothing and is to blame for nothing.
        if deployed && self.running.is_some() {
            self.deployed = Some(at);
        }
        self.running = Some(version.to_owned());
        match self.seen.iter_mut().find(|r| r.version == version) {
            Some(release) => release.deployed = at,
            None => self.seen.push(Release {
                version: version.to_owned(),
                first_deployed: at,
                deployed: at,
                standing: Standing::Unproven,
                said: None,
            }),
        }
        self.start_anew(at);
        true
    }

    /// The time without a breach starts anew.
    pub(crate) fn start_anew(&mut self, at: Moment) {
        self.clean_since = Some(at);
        self.ticks = 0;
        self.clear = 0;
    }

    /// Counts one tick of the running release. Returns its version when this
    /// tick makes it good.
    pub(crate) fn ticked(&mut self, at: Moment, tick: Tick, good_after: Duration) -> Option<&str> {
        if tick == Tick::Breach || self.rollout.is_some() {
            self.start_anew(at);
            return None;
        }
        let since = self.clean_since?;
        self.ticks += 1;
        self.clear += u64::from(tick == Tick::Clear);
        if at.since(since) < good_after {
            return None;
        }
        if self.clear * 5 < self.ticks * 4 {
            // Too blind to tell: what was seen so far proves nothing.
            self.start_anew(at);
            return None;
        }
        let version = self.running.as_deref()?;
        let release = self.seen.iter_mut().find(|r| r.version == version)?;
        if release.standing != Standing::Unproven {
            return None;
        }
        release.standing = Standing::Good;
        Some(&release.version)
    }

    /// The release was rolled back from: newer than anything that was said of
    /// it before.
    pub(crate) fn condemn(&mut self, version: &str) {
        if let Some(release) = self.seen.iter_mut().find(|r| r.version == version) {
            release.standing = Standing::Bad;
            release.said = None;
        }
    }

    /// A person says what a release is.
    ///
    /// # Errors
    ///
    /// It was never seen running: nobody could tell what it is older than.
    pub(crate) fn declared(
        &mut self,
        version: &str,
        word: Word,
        said: Declaration,
    ) -> Result<(), String> {
        let standing = match word {
            Word::Good => Standing::Good,
            Word::Bad => Standing::Bad,
            Word::Unproven => Standing::Unproven,
            Word::Irreversible => {
                self.cross(version, said);
                return Ok(());
            }
            Word::Reversible => return self.uncross(version),
        };
        let Some(release) = self.seen.iter_mut().find(|r| r.version == version) else {
            return Err(self.unknown(version));
        };
        let at = said.at;
        release.standing = standing;
        release.said = (word != Word::Unproven).then_some(said);
        if word == Word::Unproven && self.running.as_deref() == Some(version) {
            self.start_anew(at);
        }
        Ok(())
    }

    /// A release comes with a migration that cannot be taken back. It may be
    /// still to come: a migration runs before what needs it is deployed.
    fn cross(&mut self, version: &str, said: Declaration) {
        self.irreversible.retain(|i| i.version != version);
        if self.irreversible.len() >= MOST_CROSSED {
            self.irreversible.remove(0);
        }
        let version = version.to_owned();
        self.irreversible.push(Irreversible { version, said });
    }

    fn uncross(&mut self, version: &str) -> Result<(), String> {
        let before = self.irreversible.len();
        self.irreversible.retain(|i| i.version != version);
        if self.irreversible.len() < before {
            return Ok(());
        }
        Err(format!(
            "nobody said that release {version} is irreversible; what the policy says is changed there"
        ))
    }

    fn unknown(&self, version: &str) -> String {
        /// More would not be read.
        const MOST: usize = 5;
        let newest: Vec<&str> = self.seen.iter().rev().map(|r| r.version.as_str()).collect();
        match newest.len() {
            0 => format!("release {version} was never seen running here; none was"),
            n if n > MOST => format!(
                "release {version} was never seen running here; the last ones were {}",
                newest[..MOST].join(", ")
            ),
            _ => format!(
                "release {version} was never seen running here; seen were {}",
                newest.join(", ")
            ),
        }
    }

    /// Forgets the oldest releases where there are too many; what the rule
    /// names, and what people said of migrations, is still asked for.
    pub(crate) fn forget(&mut self, rule: Option<&ReleaseRule>) {
        while self.seen.len() > KEPT {
            let newest_good = self.seen.iter().rposition(|r| r.standing == Standing::Good);
            let named = |version: &str| {
                let by_rule = rule.is_some_and(|rule| {
                    let pinned = matches!(&rule.pick, Pick::Version(pinned) if pinned == version);
                    pinned || rule.irreversible_since.as_deref() == Some(version)
                });
                by_rule
                    || self.running.as_deref() == Some(version)
                    || self.irreversible.iter().any(|i| i.version == version)
            };
            let Some(i) = (0..self.seen.len())
                .find(|&i| Some(i) != newest_good && !named(&self.seen[i].version))
            else {
                return;
            };
            self.seen.remove(i);
        }
    }
}

/// Why a release is bad, in a clause.
pub(crate) fn why_bad(release: &Release) -> String {
    match &release.said {
        Some(said) => format!("{} says so: {}", said.by, said.reason),
        None => "it was rolled back from before".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Current, Unchecked};

    fn rule(fallback_previous: bool) -> ReleaseRule {
        ReleaseRule {
            current: Current::Reported,
            good_after: Duration::from_secs(60),
            settle: Duration::ZERO,
            blame: None,
            pick: Pick::NewestGood,
            check: None,
            unchecked: Unchecked::Escalate,
            fallback_previous,
            irreversible_since: None,
        }
    }

    fn at(s: u64) -> Moment {
        Moment::from_millis(s * 1000)
    }

    fn run_clean(releases: &mut Releases, from: u64, to: u64) {
        for s in (from..=to).step_by(5) {
            releases.ticked(at(s), Tick::Clear, Duration::from_secs(60));
        }
    }

    #[test]
    fn the_target_is_the_newest_good_one_before_the_running_one() {
        let mut releases = Releases::default();
        releases.released("a", at(0), true);
        run_clean(&mut releases, 5, 60);
        releases.released("b", at(100), true);
        assert_eq!(releases.target(&rule(false)).unwrap(), "a");
        releases.condemn("b");
        releases.released("a", at(110), false);
        assert!(releases.target(&rule(true)).is_err(), "never forward");
        releases.released("c", at(200), true);
        assert_eq!(releases.target(&rule(true)).unwrap(), "a");
    }

    #[test]
    fn a_breach_or_too_much_blindness_keeps_a_release_unproven() {
        for tick in [Tick::Breach, Tick::Blind] {
            let mut releases = Releases::default();
            releases.released("a", at(0), true);
            for s in (5..=60).step_by(5) {
                let tick = if s % 20 == 0 { tick } else { Tick::Clear };
                releases.ticked(at(s), tick, Duration::from_secs(60));
            }
            assert_eq!(releases.running().unwrap().standing, Standing::Unproven);
        }
    }

    fn said(s: u64) -> Declaration {
        Declaration {
            by: "ann".to_owned(),
            at: at(s),
            reason: "because".to_owned(),
        }
    }

    #[test]
    fn a_persons_word_outranks_what_was_observed() {
        let mut releases = Releases::default();
        releases.released("a", at(0), true);
        run_clean(&mut releases, 5, 60);
        releases.released("b", at(100), true);
        releases.declared("b", Word::Bad, said(101)).unwrap();
        run_clean(&mut releases, 105, 300);
        assert_eq!(releases.find("b").unwrap().standing, Standing::Bad);
        releases.released("c", at(400), true);
        assert_eq!(releases.target(&rule(true)).unwrap(), "a");
        releases.declared("b", Word::Good, said(401)).unwrap();
        assert_eq!(releases.target(&rule(false)).unwrap(), "b");
        releases.declared("a", Word::Bad, said(402)).unwrap();
        releases.declared("b", Word::Unproven, said(403)).unwrap();
        assert!(releases.target(&rule(false)).is_err());
    }

    #[test]
    fn a_rollback_is_newer_than_what_was_said_before_it() {
        let mut releases = Releases::default();
        releases.released("a", at(0), true);
        releases.declared("a", Word::Good, said(1)).unwrap();
        releases.condemn("a");
        assert_eq!(releases.find("a").unwrap().standing, Standing::Bad);
        assert_eq!(releases.find("a").unwrap().said, None);
        releases.declared("a", Word::Good, said(2)).unwrap();
        assert_eq!(releases.find("a").unwrap().standing, Standing::Good);
    }

    #[test]
    fn nothing_is_said_of_a_release_that_was_never_seen() {
        let mut releases = Releases::default();
        assert!(releases.declared("a", Word::Good, said(0)).is_err());
        releases.released("a", at(0), true);
        let why = releases.declared("b", Word::Bad, said(1)).unwrap_err();
        assert_eq!(why, "release b was never seen running here; seen were a");
    }

    #[test]
    fn the_first_release_seen_was_not_deployed_just_now() {
        let mut releases = Releases::default();
        releases.released("a", at(0), true);
        assert_eq!(releases.deployed, None);
        releases.released("b", at(9), true);
        assert_eq!(releases.deployed, Some(at(9)));
    }
}
