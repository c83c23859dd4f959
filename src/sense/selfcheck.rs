//! Whether the agent's own host works, as far as sampling needs it.
//!
//! Asked when every source fails in the same tick. A connection to itself over
//! loopback takes three free descriptors and a working loopback interface; if
//! that fails, what the sources said says nothing about the service.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// Loopback answers in microseconds; a host that needs longer than this is
/// itself in trouble.
const DEADLINE: Duration = Duration::from_secs(1);

/// Connects to itself over loopback.
///
/// # Errors
///
/// What did not work, for people.
pub async fn selfcheck() -> Result<(), String> {
    let connect = async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (accepted, connected) =
            tokio::try_join!(listener.accept(), TcpStream::connect(address))?;
        drop((accepted, connected));
        Ok::<_, std::io::Error>(())
    };
    match tokio::time::timeout(DEADLINE, connect).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("no connection to itself over loopback: {error}")),
        Err(_) => Err("no connection to itself over loopback within 1s".to_owned()),
    }
}
