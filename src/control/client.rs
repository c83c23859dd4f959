//! The other end of the socket: what the commands of `backstop` speak through.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::drill::{DRILL_PATIENCE, Drill, DrillLine};
use super::peer::group_name;
use super::protocol::{Problem, Taken};
use crate::view::{DrillPoint, DrillReport};

/// How long an answer may take: longer than the agent itself waits.
const PATIENCE: Duration = Duration::from_secs(75);

/// A connection to the agent on a socket.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

/// Why there is no answer, or none that helps.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no agent answers on {}: is it running?", socket.display())]
    NoAgent {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket may not be used by this user.
    #[error("you may not use {}", socket.display())]
    Denied {
        /// The socket.
        socket: PathBuf,
        /// The group that may.
        group: Option<String>,
    },
    /// Something listens, but does not answer, or not in time.
    #[error("the agent on {} gives no answer", socket.display())]
    NoAnswer {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: reqwest::Error,
    },
    /// The answer is not one that this version understands.
    #[error("the agent on {} answers what this `backstop` does not understand", socket.display())]
    Nonsense {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: reqwest::Error,
    },
    /// The answer is not one that this version understands, in one of its lines.
    #[error("the agent on {} answers what this `backstop` does not understand", socket.display())]
    Garbled {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The request was refused before it reached the agent's judgement.
    #[error("{}", problem.error)]
    Refused {
        /// Whether it was malformed, rather than out of place.
        malformed: bool,
        /// Why, and what to do.
        problem: Problem,
    },
    /// There cannot be a client at all.
    #[error("cannot set up the client")]
    Setup(#[source] reqwest::Error),
}

impl Client {
    /// A client of the agent on this socket; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Setup`].
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        // Fails only when there is one already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            // Loading the system's certificates takes longer than the answer.
            .tls_certs_only([])
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(ClientError::Setup)?;
        Ok(Self {
            http,
            socket: socket.to_owned(),
        })
    }

    /// What a route that reads answers, by its segments, such as `status`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, route: &[&str]) -> Result<T, ClientError> {
        let answer = self.send(self.http.get(url(route))).await?;
        self.read(answer).await
    }

    /// The same, narrowed by what follows the route's question mark.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn list<T: DeserializeOwned>(
        &self,
        route: &[&str],
        narrowed: &[(&str, String)],
    ) -> Result<T, ClientError> {
        let mut url = url(route);
        let pairs = narrowed.iter().map(|(name, value)| {
            let value =
                percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            format!("{name}={value}")
        });
        url.push('?');
        url.push_str(&pairs.collect::<Vec<_>>().join("&"));
        let answer = self.send(self.http.get(url)).await?;
        self.read(answer).await
    }

    /// The same as text: of a route that answers with a page.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn text(&self, route: &[&str]) -> Result<String, ClientError> {
        let answer = self.send(self.http.get(url(route))).await?;
        let answer = self.refused(answer).await?;
        answer.text().await.map_err(|source| ClientError::NoAnswer {
            socket: self.socket.clone(),
            source,
        })
    }

    /// Orders something, and says what came of it, refusal included.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn order(&self, route: &[&str], body: &impl Serialize) -> Result<Taken, ClientError> {
        let answer = self.send(self.http.post(url(route)).json(body)).await?;
        if answer.status() != StatusCode::CONFLICT {
            return self.read(answer).await;
        }
        // Refused by the agent, with its notes, or before it got there.
        let bytes = answer.bytes().await.map_err(|e| self.no_answer(e))?;
        if let Ok(taken) = serde_json::from_slice(&bytes) {
            return Ok(taken);
        }
        Err(problem(StatusCode::CONFLICT, &bytes))
    }

    /// Has a plan of a service rehearsed, tells of each point as soon as it is
    /// known, and awaits the report.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn drill(
        &self,
        service: &str,
        drill: &Drill,
        mut told: impl FnMut(&DrillPoint),
    ) -> Result<DrillReport, ClientError> {
        let drill = Drill {
            follow: true,
            ..drill.clone()
        };
        let route = url(&["services", service, "drill"]);
        let request = self.http.post(route).json(&drill);
        let answer = self
            .send(request.timeout(DRILL_PATIENCE + PATIENCE))
            .await?;
        let mut answer = self.refused(answer).await?;
        let mut rest = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| self.no_answer(e))? {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                match serde_json::from_slice(&line) {
                    Ok(DrillLine::Point(point)) => told(&point),
                    Ok(DrillLine::Report(report)) => return Ok(*report),
                    Err(source) => return Err(self.garbled(source)),
                }
            }
        }
        Err(self.garbled(serde::de::Error::custom("there is no report at its end")))
    }

    /// Has the agent do what takes no words, such as `reload`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(&self, route: &[&str]) -> Result<T, ClientError> {
        let answer = self.send(self.http.post(url(route))).await?;
        self.read(answer).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, ClientError> {
        request.send().await.map_err(|e| self.no_answer(e))
    }

    /// The answer, unless it is a refusal.
    async fn refused(&self, answer: Response) -> Result<Response, ClientError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = answer.bytes().await.map_err(|e| self.no_answer(e))?;
        Err(problem(status, &bytes))
    }

    async fn read<T: DeserializeOwned>(&self, answer: Response) -> Result<T, ClientError> {
        let answer = self.refused(answer).await?;
        answer.json().await.map_err(|source| {
            let socket = self.socket.clone();
            if source.is_decode() {
                ClientError::Nonsense { socket, source }
            } else {
                ClientError::NoAnswer { socket, source }
            }
        })
    }

    fn garbled(&self, source: serde_json::Error) -> ClientError {
        ClientError::Garbled {
            socket: self.socket.clone(),
            source,
        }
    }

    fn no_answer(&self, error: reqwest::Error) -> ClientError {
        let socket = self.socket.clone();
        let found = system_error(&error);
        match found.map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied) => ClientError::Denied {
                group: std::fs::metadata(&socket)
                    .ok()
                    .and_then(|found| group_name(found.gid())),
                socket,
            },
            Some(kind) if error.is_connect() => ClientError::NoAgent {
                socket,
                source: found
                    .and_then(io::Error::raw_os_error)
                    .map_or_else(|| kind.into(), io::Error::from_raw_os_error),
            },
            _ => ClientError::NoAnswer {
                socket,
                source: error,
            },
        }
    }
}

/// The host is nobody: the socket is in the client. What people typed stays one
/// segment, whatever is in it.
fn url(route: &[&str]) -> String {
    let mut url = String::from("http://backstop/api/v1");
    for segment in route {
        url.push('/');
        for &byte in segment.as_bytes() {
            if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
                url.push(char::from(byte));
            } else {
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url
}

fn problem(status: StatusCode, body: &[u8]) -> ClientError {
    let problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        error: format!("the agent answers with status {status}"),
        hint: None,
    });
    ClientError::Refused {
        malformed: status == StatusCode::BAD_REQUEST,
        problem,
    }
}

/// What the system said, at the bottom of the library's error.
fn system_error(error: &reqwest::Error) -> Option<&io::Error> {
    let mut cause = error.source();
    let mut found = None;
    while let Some(error) = cause {
        found = error.downcast_ref::<io::Error>().or(found);
        cause = error.source();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_stays_one_segment() {
        let url = url(&["services", "../a b?é", "rollback"]);
        assert_eq!(
            url,
            "http://backstop/api/v1/services/%2E%2E%2Fa%20b%3F%C3%A9/rollback"
        );
    }
}
