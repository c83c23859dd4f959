//! Who can answer a question: the roles that a policy names, held against the
//! agent config.
//!
//! Only what cannot be met is told. Who is in a Unix group nobody knows here, so
//! a group may always have one more; programs hold roles by their tokens, and a
//! program consents to nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Marks;
use super::fault::{Draft, listed};
use super::lint::suggestion;
use crate::model::{Approve, Config, Role};

/// Warns of roles that nobody holds, and of more people than hold them.
pub(super) fn people(
    approve: &Approve,
    path: &str,
    config: &Config,
    marks: &Marks,
    out: &mut Vec<Draft>,
) {
    let roles = format!("{path}.roles");
    let mut held = Vec::new();
    for name in &approve.roles {
        let at = || marks.test(&roles, name);
        match config.roles.get(name) {
            None => out.push(
                Draft::warning(
                    "role",
                    at(),
                    format!("nobody holds the role `{name}`: the agent config has no such role"),
                )
                .hint(suggestion(name, config.roles.keys())),
            ),
            Some(role) if role.users.is_empty() && role.groups.is_empty() => out.push(
                Draft::warning(
                    "role",
                    at(),
                    format!("nobody who can answer holds the role `{name}`: programs alone do"),
                )
                .hint(format!(
                    "add `users` or `groups` to `[roles.{name}]` of the agent config"
                )),
            ),
            Some(role) => held.push((name.as_str(), role)),
        }
    }
    if held.is_empty() || held.iter().any(|(_, role)| !role.groups.is_empty()) {
        return each(approve, path, &held, marks, out);
    }
    let people: BTreeSet<_> = held.iter().flat_map(|(_, role)| &role.users).collect();
    if people.len() < approve.quorum as usize {
        out.push(
            Draft::warning(
                "quorum",
                marks.first(&[format!("{path}.quorum"), path.to_owned()]),
                format!(
                    "{} people must agree, but these roles are held by {}",
                    approve.quorum,
                    people.len()
                ),
            )
            .hint(if approve.each {
                "give the roles to more people, or name fewer roles"
            } else {
                "give the roles to more people, or lower `quorum`"
            }),
        );
    } else {
        each(approve, path, &held, marks, out);
    }
}

/// Warns when one of each role is asked for and no choice of people gives it: a
/// person speaks for one role.
fn each(
    approve: &Approve,
    path: &str,
    held: &[(&str, &Role)],
    marks: &Marks,
    out: &mut Vec<Draft>,
) {
    if !approve.each {
        return;
    }
    let mut speakers = BTreeMap::new();
    for at in 0..held.len() {
        if find(at, held, &mut speakers, &mut BTreeSet::new()) {
            continue;
        }
        let roles = held.iter().filter(|(_, role)| role.groups.is_empty());
        let roles: Vec<_> = roles.map(|(name, _)| *name).collect();
        let users = held.iter().filter(|(_, role)| role.groups.is_empty());
        let users: BTreeSet<_> = users.flat_map(|(_, role)| &role.users).collect();
        let users: Vec<_> = users.into_iter().map(String::as_str).collect();
        out.push(
            Draft::warning(
                "quorum",
                marks.first(&[format!("{path}.each"), path.to_owned()]),
                format!(
                    "there is never one of each: a person speaks for one role, and {} are held by {}",
                    listed(roles),
                    listed(users)
                ),
            )
            .hint("give the roles to more people, or name fewer roles"),
        );
        return;
    }
}

/// Finds somebody for a role, moving others to further roles of theirs where
/// that helps (an augmenting path: Kuhn's algorithm for bipartite matching).
fn find<'c>(
    at: usize,
    held: &[(&str, &'c Role)],
    speakers: &mut BTreeMap<&'c str, usize>,
    tried: &mut BTreeSet<&'c str>,
) -> bool {
    let role = held[at].1;
    if !role.groups.is_empty() {
        return true;
    }
    for user in &role.users {
        if !tried.insert(user) {
            continue;
        }
        let moved = match speakers.get(user.as_str()).copied() {
            None => true,
            Some(other) => find(other, held, speakers, tried),
        };
        if moved {
            speakers.insert(user, at);
            return true;
        }
    }
    false
}
