//! Whether a step could be done, asked long before it has to be.
//!
//! It is asked of the kernel by the process that would run the step, so that
//! the sandbox of the unit, its user and its read-only paths are part of the
//! answer. It changes nothing. What depends on a placeholder is not known
//! before the incident and is left out; nor can polkit be asked what it would
//! say to another verb than the one that is tried.

use std::ffi::OsStr;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, FileType, accessat};
use rustix::io::Errno;

use super::http;
use super::symlink::{called, what};
use super::systemd::{self, SYSTEMCTL, Unit};
use crate::model::{StepAction, UnitAction, placeholders_in};
use crate::process::{Problem, plain, problem};

/// What stands in the way of this step, with placeholders not filled in yet.
/// Empty when nothing does, or nothing can be known.
#[must_use]
pub fn preflight(step: &StepAction) -> Vec<Problem> {
    match step {
        StepAction::Run(argv) => match argv.first() {
            Some(name) if is_known(name) => problem(name).into_iter().collect(),
            _ => Vec::new(),
        },
        StepAction::Systemd { unit, action } => match problem(SYSTEMCTL) {
            None if is_known(unit) => unit_of(unit, *action).into_iter().collect(),
            problem => problem.into_iter().collect(),
        },
        StepAction::Http(request) => http::unreadable(request)
            .into_iter()
            .map(|(found, remedy)| Problem {
                found,
                remedy: remedy.to_owned(),
            })
            .collect(),
        StepAction::Symlink { link, .. } if is_known(link) => directory_of(link),
        StepAction::Symlink { .. } | StepAction::Check(_) | StepAction::Wait(_) => Vec::new(),
    }
}

/// Whether there is nothing to fill in.
fn is_known(template: &str) -> bool {
    placeholders_in(template).next().is_none()
}

/// What systemd says of a unit.
fn unit_of(unit: &str, action: UnitAction) -> Option<Problem> {
    let (found, remedy) = match systemd::ask(unit, action) {
        Ok(Unit::Fit) => return None,
        Ok(Unit::Missing) => (
            format!("systemd knows no unit `{unit}`"),
            "correct its name, or install it and run `systemctl daemon-reload`".to_owned(),
        ),
        Ok(Unit::Masked) => (
            format!("the unit `{unit}` is masked"),
            format!("`systemctl unmask {unit}`"),
        ),
        Ok(Unit::Broken) => (
            format!("systemd cannot use the file of `{unit}`"),
            format!("see `systemctl status {unit}`"),
        ),
        Ok(Unit::Incapable) => (
            format!("`{unit}` cannot be asked to {}", action.verb()),
            "take another action, or give the unit what it needs (ExecReload=, or no RefuseManualStart=)"
                .to_owned(),
        ),
        Err(why) => (
            format!("`{unit}` could not be asked about: {why}"),
            "see that `systemctl show` answers the agent's user".to_owned(),
        ),
    };
    Some(Problem { found, remedy })
}

fn directory_of(link: &str) -> Vec<Problem> {
    let problem = |found: String, remedy: &str| {
        let remedy = remedy.to_owned();
        vec![Problem { found, remedy }]
    };
    let path = Path::new(link);
    let (Some(parent), Some(_), true) = (path.parent(), path.file_name(), path.is_absolute())
    else {
        return problem(
            format!("`{link}` is not the whole path of a link"),
            "write it from `/`",
        );
    };
    let dir = parent.display();
    let access = Access::WRITE_OK | Access::EXEC_OK;
    match accessat(CWD, parent, access, AtFlags::EACCESS) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::NOTDIR) => {
            return problem(
                format!("the directory `{dir}` does not exist, or cannot be seen from here"),
                "create it, or correct the path",
            );
        }
        Err(Errno::ROFS) => {
            return problem(
                format!("`{dir}` is read-only for the agent"),
                "if its unit has ProtectSystem=, add the directory to ReadWritePaths=",
            );
        }
        Err(Errno::ACCESS) => {
            return problem(
                format!("the agent's user may not write into `{dir}`"),
                "give it the right: a link is replaced by writing into its directory",
            );
        }
        Err(e) => {
            return problem(
                format!("cannot look at `{dir}`: {}", plain(&e.into())),
                "see that the file system answers",
            );
        }
    }
    match what(CWD, OsStr::new(link.trim_end_matches('/'))) {
        None | Some(FileType::Symlink) => Vec::new(),
        other => problem(
            format!("`{link}` is not a link but {}", called(other)),
            "a step replaces links only; move it away and make a link",
        ),
    }
}
