//! Addresses → a connection: TCP, and TLS on top where the URL says so.
//!
//! A host's addresses are tried in the resolver's order, each with a head start
//! before the next is tried beside it (RFC 8305, *Happy Eyeballs*, section 5),
//! so that one address that swallows packets does not cost the whole timeout.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The delay that RFC 8305 recommends.
const HEAD_START: Duration = Duration::from_millis(250);

/// What HTTP is spoken over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Debug + Send + Unpin {
    /// Whether nothing came over it since it was used last, not even its end.
    fn is_quiet(&self) -> bool;
}

impl Wire for TcpStream {
    fn is_quiet(&self) -> bool {
        self.try_read(&mut [0])
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Wire for TlsStream<TcpStream> {
    /// Session tickets may have come: only using it tells.
    fn is_quiet(&self) -> bool {
        true
    }
}

/// Connects to the first of a host's addresses that takes it.
///
/// # Errors
///
/// The last address's failure.
pub(super) async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut left = addresses.into_iter();
    let mut tried = FuturesUnordered::new();
    loop {
        if let Some(address) = left.next() {
            tried.push(TcpStream::connect(address));
        }
        tokio::select! {
            connected = tried.next() => match connected {
                Some(Ok(stream)) => {
                    // A request is one write: nothing is gained by holding it back.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Some(Err(error)) => last = error,
                None => return Err(last),
            },
            () = tokio::time::sleep(HEAD_START), if left.len() > 0 => {}
        }
    }
}

/// TLS over a connection to this host.
///
/// # Errors
///
/// A failed handshake, with the [`rustls::Error`] inside.
pub(super) async fn secure(
    stream: TcpStream,
    host: &str,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_refuses_or_swallows_does_not_stand_in_the_way() {
        // Bound, so that nobody else listens there; and not listening.
        let vacant = tokio::net::TcpSocket::new_v4().unwrap();
        vacant.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let refuses = vacant.local_addr().unwrap();
        // Documentation only (RFC 5737): no route, or no answer.
        let swallows: SocketAddr = "192.0.2.1:9".parse().unwrap();
        let takes = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let takes = takes.local_addr().map(|address| (takes, address)).unwrap();
        for before in [
            vec![],
            vec![refuses],
            vec![swallows],
            vec![swallows, refuses],
        ] {
            let addresses = [before, vec![takes.1]].concat();
            let stream = connect(addresses).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), takes.1);
        }
        let error = connect(vec![refuses]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect(Vec::new()).await.is_err());
    }
}
