//! Where things are when nobody says: the system's directories for root, the
//! XDG directories for everybody else (SPEC 2).

use std::path::{Path, PathBuf};

/// The default paths of this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// The agent's config; it need not exist.
    pub(super) config: PathBuf,
    /// The directory of policies.
    pub(super) policies: PathBuf,
    /// The state directory.
    pub(super) state: PathBuf,
    /// The control socket.
    pub(super) socket: PathBuf,
}

impl Places {
    /// Those of the user that runs this process.
    pub(super) fn of_this_user() -> Self {
        let root = rustix::process::geteuid().is_root();
        Self::of(root, |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                // The XDG base directory specification: relative ones are ignored.
                .filter(|path| path.is_absolute())
        })
    }

    fn of(root: bool, var: impl Fn(&str) -> Option<PathBuf>) -> Self {
        if root {
            return Self::under(
                Path::new("/etc/backstop"),
                Path::new("/var/lib/backstop"),
                Path::new("/run/backstop"),
            );
        }
        let home = var("HOME").unwrap_or_else(|| PathBuf::from("/"));
        let config = var("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let state = var("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state"));
        let state = state.join("backstop");
        let runtime = var("XDG_RUNTIME_DIR").map_or_else(|| state.clone(), |d| d.join("backstop"));
        Self::under(&config.join("backstop"), &state, &runtime)
    }

    fn under(config: &Path, state: &Path, runtime: &Path) -> Self {
        Self {
            config: config.join("backstop.toml"),
            policies: config.join("policies"),
            state: state.to_owned(),
            socket: runtime.join("control.sock"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_unit_s_user_look_in_the_same_places() {
        let of_root = Places::of(true, |_| None);
        assert_eq!(of_root.config, Path::new("/etc/backstop/backstop.toml"));
        assert_eq!(of_root.policies, Path::new("/etc/backstop/policies"));
        assert_eq!(of_root.state, Path::new("/var/lib/backstop"));
        assert_eq!(of_root.socket, Path::new("/run/backstop/control.sock"));
        let of_unit = Places::of(false, |name| match name {
            "XDG_CONFIG_HOME" => Some("/etc".into()),
            "XDG_STATE_HOME" => Some("/var/lib".into()),
            "XDG_RUNTIME_DIR" => Some("/run".into()),
            _ => None,
        });
        assert_eq!(of_unit, of_root);
    }

    #[test]
    fn without_a_runtime_directory_the_socket_is_beside_the_state() {
        let places = Places::of(false, |name| (name == "HOME").then(|| "/home/ann".into()));
        assert_eq!(
            places.socket,
            Path::new("/home/ann/.local/state/backstop/control.sock")
        );
    }
}
