//! Which release a rollback goes to.
//!
//! The policy's rule says which are preferred; whatever it says, it is never
//! the one that runs, never a bad one, never one that was first deployed after
//! it, and never one from before a migration that cannot be taken back. What
//! nobody can place in that order is not chosen either: it never guesses.

use super::Releases;
use super::releases::Irreversible;
use crate::model::{Pick, Release, ReleaseRule, Standing};

impl Releases {
    /// The release to go back to, or why there is none.
    ///
    /// # Errors
    ///
    /// The reason, for people.
    pub(crate) fn target<'a>(&'a self, rule: &'a ReleaseRule) -> Result<&'a str, String> {
        let first = self.candidates(rule).first().copied();
        first.ok_or_else(|| self.no_target(rule))
    }

    /// The releases that may be gone back to by the rule, the best first.
    pub(crate) fn candidates<'a>(&'a self, rule: &'a ReleaseRule) -> Vec<&'a str> {
        let mut found = self.wanted(rule);
        found.retain(|version| self.is_reversible_to(version, rule.irreversible_since.as_deref()));
        found
    }

    /// As [`Self::candidates`], but for migrations.
    fn wanted<'a>(&'a self, rule: &'a ReleaseRule) -> Vec<&'a str> {
        let Some(running) = self.running() else {
            return Vec::new();
        };
        if let Pick::Version(version) = &rule.pick {
            // A person wrote it into the policy: it needs no proof.
            let goes = self.is_before_the_running(version).is_ok();
            return goes.then_some(version.as_str()).into_iter().collect();
        }
        let older = self.seen.iter().rev();
        let older = older.skip_while(|r| r.version != running.version).skip(1);
        let matching: Vec<&Release> = older
            .filter(|r| match &rule.pick {
                Pick::NewestGood | Pick::Version(_) => true,
                Pick::Pattern(glob) => glob.matches(&r.version),
            })
            .collect();
        let of = |goes: fn(&Release) -> bool| {
            let found = matching.iter().filter(|r| goes(r));
            found.map(|r| r.version.as_str()).collect::<Vec<_>>()
        };
        let good = of(|r| r.standing == Standing::Good);
        if good.is_empty() && rule.fallback_previous {
            return of(|r| r.standing != Standing::Bad);
        }
        good
    }

    /// A release that a person named, or pinned: neither running, nor bad, nor
    /// newer.
    ///
    /// # Errors
    ///
    /// The reason, for people.
    fn is_before_the_running(&self, version: &str) -> Result<(), String> {
        let running = self.running.as_deref();
        if running == Some(version) {
            return Err(format!("release {version} runs already"));
        }
        match self.find(version) {
            Some(release) if release.standing == Standing::Bad => Err(format!(
                "release {version} is bad: {}",
                super::releases::why_bad(release)
            )),
            Some(_) if running.and_then(|r| self.place(r)) < self.place(version) => Err(format!(
                "release {version} was first deployed after the running one: that is no rollback"
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a person may go back to this release.
    ///
    /// # Errors
    ///
    /// The reason, for people.
    pub(crate) fn admits(&self, version: &str, since: Option<&str>) -> Result<(), String> {
        self.is_before_the_running(version)?;
        if self.is_reversible_to(version, since) {
            return Ok(());
        }
        Err(self.behind(version, since))
    }

    /// Whether no migration that cannot be taken back lies between this release
    /// and those after it.
    fn is_reversible_to(&self, version: &str, since: Option<&str>) -> bool {
        self.crossed(since).all(|crossed| {
            self.place(crossed)
                .is_some_and(|c| self.place(version) >= Some(c))
        })
    }

    /// The releases that came with a migration that cannot be taken back.
    fn crossed<'a>(&'a self, since: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let said = self.irreversible.iter().map(|i| i.version.as_str());
        since.into_iter().chain(said)
    }

    /// The order in which releases were first deployed.
    fn place(&self, version: &str) -> Option<usize> {
        self.seen.iter().position(|r| r.version == version)
    }

    /// Why a release lies behind a migration.
    fn behind(&self, version: &str, since: Option<&str>) -> String {
        // The one that forbids most: not seen yet, else the newest.
        let barrier = self
            .crossed(since)
            .max_by_key(|v| self.place(v).unwrap_or(usize::MAX))
            .unwrap_or_default();
        let said = self.irreversible.iter().find(|i| i.version == barrier);
        let who = said.map_or_else(String::new, |Irreversible { said, .. }| {
            format!(" ({} says so: {})", said.by, said.reason)
        });
        match (self.place(barrier), self.place(version)) {
            (Some(_), Some(_)) => format!(
                "release {version} and what is older cannot be gone back to: \
                 {barrier} came with a migration that cannot be taken back{who}"
            ),
            (Some(_), None) => format!(
                "release {version} was never seen running here, so it may be older than \
                 {barrier}, which came with a migration that cannot be taken back{who}"
            ),
            (None, _) => format!(
                "release {version} and what is older cannot be gone back to: {barrier} comes \
                 with a migration that cannot be taken back{who}, and has not been seen running \
                 here yet"
            ),
        }
    }

    fn no_target(&self, rule: &ReleaseRule) -> String {
        let Some(running) = self.running() else {
            return "the running release is not known yet".to_owned();
        };
        if let Some(version) = self.wanted(rule).first() {
            return self.behind(version, rule.irreversible_since.as_deref());
        }
        match &rule.pick {
            Pick::NewestGood => format!(
                "no good release is known that was deployed before {}",
                running.version
            ),
            Pick::Pattern(glob) => format!(
                "no good release that matches {glob} is known that was deployed before {}",
                running.version
            ),
            Pick::Version(version) => {
                let why = self.is_before_the_running(version).err();
                format!(
                    "the policy's target cannot be gone back to: {}",
                    why.unwrap_or_default()
                )
            }
        }
    }
}
