//! A port for a process that a test starts.
//!
//! A port that was free a moment ago may be anybody's: the kernel hands the same
//! ones out to whoever connects. So it stays bound here, by a socket that never
//! listens, for as long as the test needs it. Linux lets a listener bind beside
//! it, because both say `SO_REUSEADDR` (socket(7)), as servers do; nobody else is
//! given the port.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// Kept free of others until it is dropped.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    pub(crate) fn hold() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            address: held.local_addr().unwrap(),
            _held: held,
        }
    }
}
