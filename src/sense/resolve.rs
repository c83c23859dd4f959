//! Host names → addresses, by the system's resolver.
//!
//! Not left to a library for two reasons: a name that could not
//! be resolved must be told from a service that is down, and a name server that
//! is silent must not pile up threads. The system's resolver blocks and cannot
//! be cancelled, so a lookup may outlive the sample that asked for it; while
//! two for one name are still out, further ones are refused.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use super::fault::Unresolved;

/// Most lookups of one name that are out at once.
const MOST_OUT: usize = 2;

/// The system's resolver.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolver {
    out: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Resolver {
    /// The addresses of a host, which may be an address itself.
    pub(super) async fn lookup(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Unresolved> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let host = host.to_owned();
        let found = match Out::new(self, &host) {
            None => Err(io::Error::other("earlier lookups have not been answered")),
            Some(out) => {
                let asked = host.clone();
                tokio::task::spawn_blocking(move || {
                    let found = (asked.as_str(), port).to_socket_addrs();
                    drop(out);
                    found.map(Iterator::collect::<Vec<_>>)
                })
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
            }
        };
        match found {
            Ok(addresses) if addresses.is_empty() => Err(Unresolved {
                host,
                why: io::Error::other("it has no address"),
            }),
            Ok(addresses) => Ok(addresses),
            Err(why) => Err(Unresolved { host, why }),
        }
    }

    /// Whether a lookup of this host is out.
    pub(super) fn is_out(&self, host: &str) -> bool {
        self.lock().contains_key(host)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one lookup that is out, for as long as its thread runs.
struct Out {
    resolver: Resolver,
    host: String,
}

impl Out {
    fn new(resolver: &Resolver, host: &str) -> Option<Self> {
        let mut out = resolver.lock();
        let count = out.entry(host.to_owned()).or_default();
        (*count < MOST_OUT).then(|| {
            *count += 1;
            Self {
                resolver: resolver.clone(),
                host: host.to_owned(),
            }
        })
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        let mut out = self.resolver.lock();
        if let Some(count) = out.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                out.remove(&self.host);
            }
        }
    }
}
