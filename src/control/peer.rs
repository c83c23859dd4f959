//! Who sits at the other end of the socket.
//!
//! The kernel says which user connected (`SO_PEERCRED`); what a request claims
//! about its sender is never looked at. Names and groups are read from
//! `/etc/passwd` and `/etc/group` themselves: asking NSS means loading modules
//! into the process that must not stop, so users of a directory service are
//! known by their number, and hold roles that name the number or a group that
//! is their primary one.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use tokio::net::UnixStream;

use crate::guard::Person;
use crate::model::{Config, Role};

/// The process at the other end, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    uid: u32,
    gid: u32,
}

impl Peer {
    /// The one that made this connection.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self {
            uid: credentials.uid(),
            gid: credentials.gid(),
        })
    }
}

/// The users and groups of this machine, as their files have them.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads them anew: who left a group has left it now. A file that cannot be
    /// read names nobody, which grants nothing.
    pub(super) async fn read() -> Self {
        Self {
            passwd: text(Path::new("/etc/passwd")).await,
            group: text(Path::new("/etc/group")).await,
        }
    }

    /// The person, with the roles that the config gives them.
    pub(super) fn person(&self, peer: Peer, config: &Config) -> Person {
        let user = self.user(peer.uid);
        let name = user.map_or_else(|| peer.uid.to_string(), |(name, _)| name.to_owned());
        let primary = user.map(|(_, gid)| gid);
        let groups = self.groups(&name, primary, peer.gid);
        let roles = config
            .roles
            .iter()
            .filter(|(_, role)| {
                role.users.contains(&name)
                    || role.groups.iter().any(|g| groups.contains(g.as_str()))
            })
            .map(|(role, _)| role.clone())
            .collect();
        Person { name, roles }
    }

    /// The users who hold a role, by name: those that it names, and those of its
    /// groups.
    fn holders(&self, role: &Role) -> BTreeSet<String> {
        let mut holders: BTreeSet<String> = role.users.iter().cloned().collect();
        for line in self.group.lines() {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            if !role.groups.iter().any(|group| group == name) {
                continue;
            }
            let gid = fields.nth(1).and_then(|gid| gid.parse::<u32>().ok());
            let members = fields.next().unwrap_or_default().split(',');
            let members = members.map(str::trim).filter(|member| !member.is_empty());
            holders.extend(members.map(str::to_owned));
            holders.extend(gid.into_iter().flat_map(|gid| self.users_of(gid)));
        }
        holders
    }

    /// The users whose primary group this is.
    fn users_of(&self, group: u32) -> impl Iterator<Item = String> {
        self.passwd.lines().filter_map(move |line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|n| !n.is_empty())?;
            let gid: u32 = fields.nth(2)?.parse().ok()?;
            (gid == group).then(|| name.to_owned())
        })
    }

    /// The first user with this number, as `getpwuid` has it, and its group.
    fn user(&self, uid: u32) -> Option<(&str, u32)> {
        self.passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|n| !n.is_empty())?;
            let number: u32 = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            (number == uid).then_some((name, gid))
        })
    }

    /// The groups that name this user, its primary one, and the one that its
    /// process runs in.
    fn groups(&self, user: &str, primary: Option<u32>, current: u32) -> BTreeSet<&str> {
        self.group
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next().filter(|n| !n.is_empty())?;
                let gid: u32 = fields.nth(1)?.parse().ok()?;
                let mut members = fields.next().unwrap_or_default().split(',');
                let is_member =
                    Some(gid) == primary || gid == current || members.any(|m| m.trim() == user);
                is_member.then_some(name)
            })
            .collect()
    }
}

/// The users of this machine who hold a role now, by name.
pub async fn holders(role: &Role) -> BTreeSet<String> {
    Accounts::read().await.holders(role)
}

/// The name of a group by its number, for messages.
pub(super) fn group_name(gid: u32) -> Option<String> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == gid).then(|| name.to_owned())
    })
}

async fn text(path: &Path) -> String {
    match tokio::fs::read(path).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read who is who: roles of groups and names hold for nobody");
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/bash\n\
                     # no user\n\
                     +::::::\n\
                     ann:x:1000:1000:Ann:/home/ann:/bin/zsh\n\
                     bob:x:1001:100::/home/bob:/bin/sh\n\
                     ann2:x:1000:1000::/:/bin/sh\n\
                     broken:x:NaN:1:::\n"
                .into(),
            group: "root:x:0:\nusers:x:100:\nann:x:1000:\nleads:x:200:bob,ann\n\
                    sre:x:201:ann\nnosuch:x:x:ann\nempty:x:300\n"
                .into(),
        }
    }

    fn config() -> Config {
        let role = |users: &[&str], groups: &[&str]| Role {
            users: users.iter().map(|&s| s.to_owned()).collect(),
            groups: groups.iter().map(|&s| s.to_owned()).collect(),
            ..Role::default()
        };
        Config {
            roles: [
                ("technical-lead".to_owned(), role(&[], &["leads"])),
                ("release-manager".to_owned(), role(&["ann"], &[])),
                ("on-call".to_owned(), role(&["4242"], &["users"])),
            ]
            .into(),
            ..Config::default()
        }
    }

    fn person(uid: u32, gid: u32) -> (String, Vec<String>) {
        let person = accounts().person(Peer { uid, gid }, &config());
        (person.name, person.roles)
    }

    fn known(name: &str, roles: &[&str]) -> (String, Vec<String>) {
        let roles = roles.iter().map(|&r| r.to_owned()).collect();
        (name.to_owned(), roles)
    }

    #[test]
    fn roles_come_from_names_groups_and_primary_groups() {
        assert_eq!(
            person(1000, 1000),
            known("ann", &["release-manager", "technical-lead"])
        );
        assert_eq!(
            person(1001, 100),
            known("bob", &["on-call", "technical-lead"])
        );
    }

    #[test]
    fn a_role_is_held_by_the_members_of_its_groups_too() {
        let held = |role: &str| -> Vec<String> {
            let holders = accounts().holders(&config().roles[role]);
            holders.into_iter().collect()
        };
        assert_eq!(held("technical-lead"), ["ann", "bob"]);
        assert_eq!(held("release-manager"), ["ann"]);
        assert_eq!(held("on-call"), ["4242", "bob"]);
    }

    #[test]
    fn who_has_no_name_is_known_by_number_and_root_holds_no_role_by_itself() {
        assert_eq!(person(4242, 4242), known("4242", &["on-call"]));
        assert_eq!(person(4243, 4243), known("4243", &[]));
        assert_eq!(person(0, 0), known("root", &[]));
    }
}
