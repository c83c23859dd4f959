//! A step that points a link elsewhere, so that nobody ever finds no link.
//!
//! A new link is made beside the old one and renamed over it, which the file
//! system does at once or not at all; then the directory is synced, so that a
//! rollback survives the power cut that may follow. All of it is done relative
//! to the directory as it was opened: whoever renames a directory above
//! meanwhile cannot lead the step elsewhere.
//!
//! It refuses to replace anything that is not a link, and to point a link at
//! what does not exist: a service that is ill is better than one that cannot
//! start.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, fsync, openat, readlinkat, renameat, statat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;
use tokio::time::sleep;

use super::Order;
use crate::model::{HowEnded, Output};
use crate::process::plain;

/// Why a link could not be swapped.
#[derive(Debug, thiserror::Error)]
pub(super) enum SwapError {
    /// A link that is not named by a whole path could be anywhere.
    #[error("`{0}` is not the whole path of a link")]
    NotAPath(String),
    /// Something else is where the link should be.
    #[error("`{0}` is not a link but {1}; it was not touched")]
    NotALink(String, &'static str),
    /// The new target is not there.
    #[error("`{to}` does not exist; `{link}` was not touched")]
    NoTarget {
        /// The link.
        link: String,
        /// Where it should have pointed.
        to: String,
    },
    /// The system refused before anything was changed.
    #[error("cannot {tried} `{path}`: {}", plain(.source))]
    Refused {
        /// What was tried.
        tried: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It points at the new target, but might not after a power cut.
    #[error("`{link}` points at `{to}` now, but its directory could not be synced: {}", plain(.source))]
    NotSynced {
        /// The link.
        link: String,
        /// Where it points.
        to: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Points `link` at `to`, within the order's time.
///
/// A swap that has begun is not taken back: when it is cancelled, what came of
/// it is still awaited for the grace and told as it is. A file system that
/// hangs longer may do it later, and the answer says so.
pub(super) async fn step(
    order: &Order,
    link: &str,
    to: &str,
    cancel: impl Future<Output = ()>,
) -> (HowEnded, Output) {
    let mut swapping = {
        let (link, to, id) = (link.to_owned(), to.to_owned(), order.id.clone());
        tokio::task::spawn_blocking(move || swap(&link, &to, &id))
    };
    let stop = async {
        tokio::select! {
            () = cancel => {
                sleep(order.grace).await;
                HowEnded::Cancelled
            }
            () = sleep(order.timeout) => HowEnded::TimedOut,
        }
    };
    tokio::select! {
        biased;
        swapped = &mut swapping => match swapped {
            Ok(Ok(said)) => (HowEnded::Succeeded, Output::said(said)),
            Ok(Err(e)) => (HowEnded::Failed(e.to_string()), Output::default()),
            Err(e) => (
                HowEnded::Failed(format!("the swap of `{link}` broke off: {e}")),
                Output::default(),
            ),
        },
        how = stop => (
            how,
            Output::said(format!("its file system does not answer; `{link}` may be swapped later")),
        ),
    }
}

/// Points `link` at `to` and says what was done.
fn swap(link: &str, to: &str, id: &str) -> Result<String, SwapError> {
    let refused = |tried, path: &str, e: Errno| SwapError::Refused {
        tried,
        path: path.to_owned(),
        source: e.into(),
    };
    let path = Path::new(link);
    let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), path.is_absolute())
    else {
        return Err(SwapError::NotAPath(link.to_owned()));
    };
    let dir = openat(
        CWD,
        parent,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| refused("open the directory", &parent.to_string_lossy(), e))?;

    let before = match readlinkat(&dir, name, Vec::new()) {
        Ok(target) => Some(target.to_string_lossy().into_owned()),
        Err(Errno::NOENT) => None,
        // Not a link: EINVAL says so of everything else.
        Err(Errno::INVAL) => {
            return Err(SwapError::NotALink(
                link.to_owned(),
                called(what(&dir, name)),
            ));
        }
        Err(e) => return Err(refused("read the link", link, e)),
    };
    // As the link will be followed: from its own directory.
    match statat(&dir, to, AtFlags::empty()) {
        Ok(_) => {}
        Err(Errno::NOENT | Errno::NOTDIR) => {
            let (link, to) = (link.to_owned(), to.to_owned());
            return Err(SwapError::NoTarget { link, to });
        }
        Err(e) => return Err(refused("look at", to, e)),
    }
    let sync = || {
        fsync(&dir).map_err(|e| SwapError::NotSynced {
            link: link.to_owned(),
            to: to.to_owned(),
            source: e.into(),
        })
    };
    clean(&dir, name);
    if before.as_deref() == Some(to) {
        // A run that was cut off may have got as far as this, and no further.
        sync()?;
        return Ok(format!("`{link}` already pointed at `{to}`"));
    }
    let beside = temporary(name, Some(id));
    symlinkat(to, &dir, &beside)
        .map_err(|e| refused("make a link beside", link, e))
        .and_then(|()| renameat(&dir, &beside, &dir, name).map_err(|e| refused("replace", link, e)))
        .inspect_err(|_| {
            let _ = unlinkat(&dir, &beside, AtFlags::empty());
        })?;
    sync()?;
    Ok(match before {
        Some(before) => format!("`{link}` points at `{to}`; it pointed at `{before}`"),
        None => format!("`{link}` points at `{to}`; it did not exist"),
    })
}

/// The name of the link that is made beside `name`, or what all such names
/// begin with.
fn temporary(name: &OsStr, id: Option<&str>) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".backstop-");
    if let Some(id) = id {
        temporary.push(id.replace('/', "_"));
        temporary.push(format!("-{}", std::process::id()));
    }
    temporary
}

/// Removes links that a crash has left beside `name`. What cannot be removed
/// stays; it is in nobody's way.
fn clean(dir: &OwnedFd, name: &OsStr) {
    let begin = temporary(name, None);
    let Ok(entries) = Dir::read_from(dir.as_fd()) else {
        return;
    };
    for entry in entries.flatten() {
        let left = OsStr::from_bytes(entry.file_name().to_bytes());
        if left.as_bytes().starts_with(begin.as_bytes())
            && what(dir, left) == Some(FileType::Symlink)
        {
            let _ = unlinkat(dir, left, AtFlags::empty());
        }
    }
}

/// What is there, itself and not what it points at; `None` if nothing can be
/// seen.
pub(super) fn what(dir: impl AsFd, name: &OsStr) -> Option<FileType> {
    statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .ok()
        .map(|stat| FileType::from_raw_mode(stat.st_mode))
}

/// What a person calls it.
pub(super) const fn called(what: Option<FileType>) -> &'static str {
    match what {
        Some(FileType::Symlink) => "a link",
        Some(FileType::Directory) => "a directory",
        Some(FileType::RegularFile) => "a file",
        _ => "a special file",
    }
}
