//! A connection: is anybody there, and how long until they are.

use super::client::Client;
use super::stopwatch::Stopwatch;
use super::{SenseError, connect, fault};
use crate::model::{Gap, Outcome};

/// An address that is connected to.
#[derive(Debug)]
pub(super) struct Tcp {
    pub(super) client: Client,
    pub(super) host: String,
    port: u16,
}

impl Tcp {
    pub(super) fn new(address: &str, client: &Client) -> Result<Self, SenseError> {
        let (host, port) = address
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .filter(|(host, _)| !host.is_empty())
            .ok_or_else(|| SenseError::Address {
                address: address.to_owned(),
            })?;
        Ok(Self {
            client: client.clone(),
            host: host.to_owned(),
            port,
        })
    }

    /// One connection, to the first of the host's addresses that takes it.
    pub(super) async fn sample(&mut self) -> Result<Outcome, Gap> {
        let watch = Stopwatch::start();
        let resolver = self.client.resolver();
        let addresses = resolver
            .lookup(&self.host, self.port)
            .await
            .map_err(|error| fault::gap(&error))?;
        match connect::connect(addresses).await {
            Ok(_connected) => Ok(Outcome::Probed {
                latency: watch.elapsed(),
                fault: None,
            }),
            Err(error) => Err(fault::gap(&error)),
        }
    }
}
