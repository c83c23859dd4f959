//! The agent's socket: made so that no one but its owner and its group ever
//! reaches it, and taken over only from an agent that is dead.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustix::fs::Mode;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::line::{Line, PLACES};

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Somebody answers there.
    #[error("an agent answers on {} already", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Something is there that is no socket: it is left alone.
    #[error("{} is there and is no socket", path.display())]
    NoSocket {
        /// What is in the way.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("cannot make the socket {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The listening socket. It is taken away again when this is dropped.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    places: Arc<Semaphore>,
    path: PathBuf,
    /// Device and inode: what is there later may belong to somebody else.
    made: Option<(u64, u64)>,
}

impl Door {
    /// Makes the socket, mode 0660, and its directory if there is none. Of an
    /// agent that is dead the socket is taken over; of one that lives, it is
    /// not.
    ///
    /// The mode is right from the first moment on, by the process's umask, which
    /// is changed for that moment: call it before anything else makes files.
    ///
    /// # Errors
    ///
    /// [`DoorError`].
    pub async fn open(path: &Path) -> Result<Self, DoorError> {
        let failed = |source| DoorError::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(parent) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)
                .map_err(failed)?;
        }
        let listener = match bind(path) {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                make_way(path).await?;
                bind(path)
            }
            bound => bound,
        }
        .map_err(failed)?;
        Ok(Self {
            listener,
            places: Arc::new(Semaphore::new(PLACES)),
            path: path.to_owned(),
            made: identity(path),
        })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if self.made.is_some() && identity(&self.path) == self.made {
            // What stays behind is taken over by the next agent.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    let before = rustix::process::umask(Mode::from_raw_mode(0o117));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}

/// Removes a socket on which nobody answers.
async fn make_way(path: &Path) -> Result<(), DoorError> {
    /// An agent that lives accepts at once, or its queue takes the connection.
    const PATIENCE: Duration = Duration::from_secs(2);
    let failed = |source| DoorError::Io {
        path: path.to_owned(),
        source,
    };
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    if !found.file_type().is_socket() {
        return Err(DoorError::NoSocket {
            path: path.to_owned(),
        });
    }
    match tokio::time::timeout(PATIENCE, UnixStream::connect(path)).await {
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        Ok(Err(e)) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(Err(e)) if e.kind() != io::ErrorKind::WouldBlock => Err(failed(e)),
        Ok(_) | Err(_) => Err(DoorError::Taken {
            path: path.to_owned(),
        }),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

impl Listener for Door {
    type Io = Line<UnixStream>;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        accept(&self.places, &mut self.listener).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// The same places for those who come over TCP.
#[derive(Debug)]
pub(super) struct Window {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Window {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(PLACES)),
        }
    }
}

impl Listener for Window {
    type Io = Line<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        accept(&self.places, &mut self.listener).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// The next caller, once there is a place.
async fn accept<L: Listener>(places: &Arc<Semaphore>, listener: &mut L) -> (Line<L::Io>, L::Addr) {
    let place = match Arc::clone(places).acquire_owned().await {
        Ok(place) => place,
        // Nobody closes it.
        Err(_) => std::future::pending().await,
    };
    let (stream, address) = Listener::accept(listener).await;
    (Line::new(stream, place), address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[tokio::test]
    async fn only_owner_and_group_reach_it_and_it_goes_with_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/control.sock");
        let door = Door::open(&path).await.unwrap();
        assert_eq!(mode(&path), 0o660);
        drop(door);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_agent_is_taken_over_and_that_of_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let living = Door::open(&path).await.unwrap();
        let refused = Door::open(&path).await.unwrap_err();
        assert!(matches!(refused, DoorError::Taken { .. }), "{refused:?}");
        assert!(path.exists());
        drop(living);
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        std::fs::write(&path, "dear").unwrap();
        let refused = Door::open(&path).await.unwrap_err();
        assert!(matches!(refused, DoorError::NoSocket { .. }), "{refused:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"dear");
    }
}
