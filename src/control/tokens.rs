//! Who calls over TCP: whoever shows a token, and nobody else.
//!
//! The agent knows a token's SHA-256 only. A token that `backstop token` makes
//! has 256 bits, so that the hash of it says nothing, and comparing hashes gives
//! nothing away either; the comparison takes the same time all the same. What
//! was shown is kept nowhere and written nowhere.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use tokio::time::Instant;

use crate::guard::Person;
use crate::model::{Config, TokenHash};

/// At most one line of the log in so long says that callers were refused.
const QUIET: Duration = Duration::from_secs(60);

/// How callers were refused, counted since the start.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Without a token, or with one that nobody holds.
    unknown: AtomicU64,
    /// With a token, of a role that may not.
    forbidden: AtomicU64,
    /// With a body that was too large.
    too_large: AtomicU64,
    /// With a body that is not what is expected.
    malformed: AtomicU64,
    /// With a link that is not known, was taken back, or used too often.
    link: AtomicU64,
    said: Mutex<Option<(Instant, u64)>>,
}

/// Why a caller was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Unknown,
    Forbidden,
    TooLarge,
    Malformed,
    Link,
}

impl Refusals {
    /// Every reason by its stable name, with its count.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 5] {
        [
            ("unknown_token", &self.unknown),
            ("role", &self.forbidden),
            ("too_large", &self.too_large),
            ("malformed", &self.malformed),
            ("link", &self.link),
        ]
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }

    /// Counts a refusal, and writes it to the log unless that was done just now.
    pub(super) fn count(&self, why: Why, path: &str) {
        let counter = match why {
            Why::Unknown => &self.unknown,
            Why::Forbidden => &self.forbidden,
            Why::TooLarge => &self.too_large,
            Why::Malformed => &self.malformed,
            Why::Link => &self.link,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let Ok(mut said) = self.said.lock() else {
            return;
        };
        let now = Instant::now();
        match &mut *said {
            Some((at, unsaid)) if now.duration_since(*at) < QUIET => *unsaid += 1,
            before => {
                let unsaid = before.map_or(0, |(_, unsaid)| unsaid);
                *before = Some((now, 0));
                tracing::warn!(?why, path, unsaid, "a caller over HTTP was refused");
            }
        }
    }
}

/// The holder of the token that a request shows.
///
/// # Errors
///
/// Why it shows none that is known, in a sentence.
pub(super) fn holder(headers: &HeaderMap, config: &Config) -> Result<Person, &'static str> {
    let Some(shown) = headers.get(AUTHORIZATION) else {
        return Err("a token is needed: `Authorization: Bearer …`");
    };
    let shown = shown.as_bytes();
    let (scheme, token) = shown
        .split_at_checked(b"Bearer ".len())
        .ok_or("the authorization is no bearer's")?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err("the authorization is no bearer's");
    }
    let hash = TokenHash::from_bytes(sha256(token.trim_ascii()));
    // All are looked at, whichever it is.
    let held = config.tokens.iter().fold(None, |held, (name, known)| {
        if known.equals(&hash) {
            Some(name)
        } else {
            held
        }
    });
    let Some(name) = held else {
        return Err("nobody holds this token");
    };
    let roles = config
        .roles
        .iter()
        .filter(|(_, role)| role.tokens.contains(name));
    Ok(Person {
        // No user has a name with a space in it.
        name: format!("token {name}"),
        roles: roles.map(|(role, _)| role.clone()).collect(),
    })
}

/// The SHA-256 of a token, as the agent config has it.
#[must_use]
pub fn sha256(token: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, token);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    fn config() -> Config {
        Config {
            tokens: ["am", "ci"]
                .map(|name| {
                    let hash = sha256(format!("secret of {name}").as_bytes());
                    (name.to_owned(), TokenHash::from_bytes(hash))
                })
                .into(),
            roles: [(
                "alerts".to_owned(),
                Role {
                    tokens: vec!["am".to_owned()],
                    ..Role::default()
                },
            )]
            .into(),
            ..Config::default()
        }
    }

    fn shows(value: Option<&str>) -> Result<Person, &'static str> {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        holder(&headers, &config())
    }

    #[test]
    fn a_token_is_its_holder_with_its_roles_and_nobody_else_is_one() {
        let am = shows(Some("Bearer secret of am")).unwrap();
        assert_eq!(
            (am.name.as_str(), am.roles),
            ("token am", vec!["alerts".to_owned()])
        );
        let ci = shows(Some("bearer secret of ci")).unwrap();
        assert_eq!((ci.name.as_str(), ci.roles), ("token ci", Vec::new()));
        for wrong in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Basic secret of am"),
            Some("Bearer secret of a"),
            Some("Bearer secret of am and more"),
            Some("secret of am"),
        ] {
            assert!(shows(wrong).is_err(), "{wrong:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_counted_whole() {
        let refusals = Refusals::default();
        for _ in 0..1000 {
            refusals.count(Why::Unknown, "/");
        }
        refusals.count(Why::TooLarge, "/");
        assert_eq!(
            refusals.counts(),
            [
                ("unknown_token", 1000),
                ("role", 0),
                ("too_large", 1),
                ("malformed", 0),
                ("link", 0)
            ]
        );
    }
}
