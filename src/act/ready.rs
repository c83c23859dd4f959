//! Whether a step could be done now, with every placeholder filled in.
//!
//! It is what [`preflight`] asks, of the very program, unit and link that the
//! step would touch, and whether a link's new target is there. It changes
//! nothing.

use std::path::{Path, PathBuf};

use super::preflight;
use crate::model::{Action, StepAction};
use crate::process::Problem;

/// What stands in the way of this step. Empty when nothing does, or nothing can
/// be known.
#[must_use]
pub fn ready(action: &Action) -> Vec<Problem> {
    let mut problems = preflight(&match action {
        Action::Run { argv, .. } => StepAction::Run(argv.clone()),
        Action::Systemd { unit, action } => StepAction::Systemd {
            unit: unit.clone(),
            action: *action,
        },
        Action::Http(request) => StepAction::Http(request.clone()),
        Action::Symlink { link, to } => StepAction::Symlink {
            link: link.clone(),
            to: to.clone(),
        },
    });
    if let Action::Symlink { link, to } = action
        && !target(link, to).exists()
    {
        problems.push(Problem {
            found: format!("`{to}` does not exist, or cannot be seen from here"),
            remedy: "keep the releases that may be gone back to".to_owned(),
        });
    }
    problems
}

/// Where a link would point: a relative target counts from the link's own
/// directory.
fn target(link: &str, to: &str) -> PathBuf {
    let dir = Path::new(link).parent().unwrap_or(Path::new("/"));
    dir.join(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_ready_for_a_target_that_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("releases/v1")).unwrap();
        let link = dir.path().join("current").display().to_string();
        let swap = |to: &str| {
            let to = to.to_owned();
            let link = link.clone();
            ready(&Action::Symlink { link, to })
        };
        assert_eq!(swap("releases/v1"), []);
        let absolute = dir.path().join("releases/v1");
        assert_eq!(swap(absolute.to_str().unwrap()), []);
        let [problem] = &swap("releases/v2")[..] else {
            panic!("one problem");
        };
        assert!(problem.found.contains("releases/v2"), "{problem:?}");
    }
}
