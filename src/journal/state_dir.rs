//! The state directory: whether the agent may trust it, and that it is the only
//! one there.

use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use super::error::JournalError;

const LOCK: &str = "lock";

/// How often, and how far apart, it is looked again whether the lock of an agent
/// that is dead is free: a step that it was starting has it between `fork` and
/// `execve`, which on a busy machine takes a while.
const LOOKS: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A state directory that this process holds.
pub(crate) struct StateDir {
    pub(crate) dir: OwnedFd,
    /// Unlocks when it is closed, however the process ends. The file stays: to
    /// unlink it would let two agents lock two files of the same name.
    pub(crate) lock: OwnedFd,
}

/// Opens a directory to read in, without any claim on it.
pub(crate) fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

impl StateDir {
    /// Takes the directory for this process; makes it where its parent is there.
    pub(crate) fn take(path: &Path, started_unix_ms: i64) -> Result<Self, JournalError> {
        let dir = trusted(path)?;
        let lock = locked(&dir, path)?;
        let says = says(started_unix_ms);
        rustix::fs::ftruncate(&lock, 0)
            .and_then(|()| rustix::io::pwrite(&lock, says.as_bytes(), 0))
            // The lock is what counts; on a full disk its text may be missing.
            .or_else(|e| if e == Errno::NOSPC { Ok(0) } else { Err(e) })
            .map_err(|e| JournalError::file("write", LOCK, e.into()))?;
        Ok(Self { dir, lock })
    }
}

fn refuse(path: &Path, found: String, remedy: String) -> JournalError {
    JournalError::StateDir {
        path: path.to_owned(),
        found,
        remedy,
    }
}

/// Makes the directory if need be, and opens it if nobody else can have tampered
/// with it.
fn trusted(path: &Path) -> Result<OwnedFd, JournalError> {
    let shown = path.display();
    let refuse = |found, remedy| refuse(path, found, remedy);
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(Errno::NOENT) => {
            return Err(refuse(
                "it does not exist, and neither does its parent".to_owned(),
                format!("make it with `install -d -m 0700 {shown}`, or name another with --state"),
            ));
        }
        // Something in the way is named below; what is simply not there is not.
        Err(e) => {
            if rustix::fs::lstat(path).is_err() {
                return Err(refuse(
                    format!(
                        "it does not exist and cannot be made: {}",
                        io::Error::from(e)
                    ),
                    format!(
                        "make it with `install -d -m 0700 {shown}`, or name another with --state"
                    ),
                ));
            }
        }
    }
    let stat = rustix::fs::lstat(path).map_err(|e| {
        refuse(
            format!("cannot be looked at: {}", io::Error::from(e)),
            "name another with --state".to_owned(),
        )
    })?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {}
        FileType::Symlink => {
            return Err(refuse(
                "it is a symbolic link".to_owned(),
                "name the directory itself with --state".to_owned(),
            ));
        }
        _ => {
            return Err(refuse(
                "it is not a directory".to_owned(),
                "move what is there away, or name another with --state".to_owned(),
            ));
        }
    }
    let me = rustix::process::geteuid().as_raw();
    if stat.st_uid != me {
        return Err(refuse(
            format!(
                "it belongs to user {}, and this agent runs as user {me}",
                stat.st_uid
            ),
            format!("`chown {me} {shown}`, or run the agent as its owner"),
        ));
    }
    if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
        return Err(refuse(
            "others than its owner may write to it".to_owned(),
            format!("`chmod go-w {shown}`"),
        ));
    }
    open_dir(path).map_err(|e| {
        refuse(
            format!("cannot be opened: {e}"),
            format!("`chmod u+rwx {shown}`"),
        )
    })
}

fn locked(dir: &OwnedFd, path: &Path) -> Result<OwnedFd, JournalError> {
    let shown = path.display();
    let refuse = |found, remedy| refuse(path, found, remedy);
    let lock = rustix::fs::openat(
        dir,
        LOCK,
        OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH,
    )
    .map_err(|e| match e {
        Errno::ROFS => refuse(
            "it is on a read-only file system".to_owned(),
            "remount it writable, under systemd with `StateDirectory=backstop` or `ReadWritePaths=`, or name another with --state".to_owned(),
        ),
        Errno::ACCESS | Errno::PERM => refuse(
            "it is not writable".to_owned(),
            format!("`chmod u+rwx {shown}`"),
        ),
        e => refuse(
            format!("its lock file cannot be opened: {}", io::Error::from(e)),
            format!("see to {shown}/{LOCK}"),
        ),
    })?;
    for look in 0.. {
        let taken = super::disk::uninterrupted(|| {
            let operation = FlockOperation::NonBlockingLockExclusive;
            Ok(rustix::fs::flock(&lock, operation)?)
        });
        match taken {
            Ok(()) => break,
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => {
                return Err(JournalError::file("lock", LOCK, e));
            }
            Err(_) => {
                let holder = holder(&lock);
                // What it was about to become when it died has the lock until it
                // is that program.
                if look == LOOKS || pid(&holder).is_none_or(is_alive) {
                    let path = path.to_owned();
                    return Err(JournalError::Held { path, holder });
                }
                std::thread::sleep(BETWEEN_LOOKS);
            }
        }
    }
    Ok(lock)
}

/// The process that a lock's text names.
fn pid(says: &str) -> Option<Pid> {
    let (pid, _) = says.strip_prefix("pid ")?.split_once(',')?;
    Pid::from_raw(pid.parse().ok()?)
}

fn is_alive(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid) != Err(Errno::SRCH)
}

fn says(started_unix_ms: i64) -> String {
    let mut text = format!("pid {}", std::process::id());
    if let Ok(started) = jiff::Timestamp::from_millisecond(started_unix_ms) {
        let _ = write!(text, ", started {started:.0}");
    }
    text.push('\n');
    text
}

fn holder(lock: &OwnedFd) -> String {
    let mut bytes = [0; 256];
    let read = rustix::io::pread(lock, &mut bytes, 0).unwrap_or(0);
    match String::from_utf8_lossy(&bytes[..read]).trim() {
        "" => "it does not say who it is".to_owned(),
        text => text.to_owned(),
    }
}
