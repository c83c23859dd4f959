//! What a failed connection or request was, told apart by its chain of causes.
//!
//! The cause at the bottom is an [`io::Error`], a [`rustls::Error`], a
//! [`hyper::Error`] or our own [`Unresolved`]: all of them say what they are,
//! so nobody's words are compared. `tests/sense/faults.rs` holds the outcome.

use std::error::Error;
use std::io;

use rustix::io::Errno;
use rustls::{CertificateError, Error as Tls};

use crate::model::{Gap, GapKind};

/// A host name that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("the name {host} could not be resolved: {why}")]
pub(super) struct Unresolved {
    pub(super) host: String,
    pub(super) why: io::Error,
}

/// The gap that an error stands for; its causes are looked through from the top.
pub(super) fn gap(error: &(dyn Error + 'static)) -> Gap {
    let mut cause = Some(error);
    let mut last = error.to_string();
    while let Some(error) = cause {
        if let Some(found) = typed(error) {
            return found;
        }
        last = error.to_string();
        cause = error.source();
    }
    Gap::new(GapKind::Other, last)
}

/// Whether this is how a kept connection fails that the other side had already
/// closed.
pub(super) fn may_be_stale(gap: &Gap) -> bool {
    gap.kind == GapKind::Reset
}

fn typed(error: &(dyn Error + 'static)) -> Option<Gap> {
    if let Some(error) = error.downcast_ref::<Unresolved>() {
        return Some(Gap::new(unresolved(&error.why), error.to_string()));
    }
    if let Some(error) = error.downcast_ref::<Tls>() {
        return Some(Gap::new(GapKind::Tls, tls(error)));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // An `io::Error`'s source is its inner error's source: the inner error
        // itself has to be asked for.
        if let Some(inner) = error.get_ref()
            && let Some(gap) = typed(inner)
        {
            return Some(gap);
        }
        return io(error);
    }
    error.downcast_ref().and_then(http)
}

/// What `hyper` itself found wrong.
fn http(error: &hyper::Error) -> Option<Gap> {
    let (kind, detail) = if error.is_incomplete_message() {
        (
            GapKind::Reset,
            "the connection closed before an answer".to_owned(),
        )
    } else if error.is_parse_too_large() {
        (
            GapKind::TooLarge,
            "the head of the answer is too large".to_owned(),
        )
    } else if error.is_parse() {
        (GapKind::Malformed, format!("not HTTP: {error}"))
    } else {
        return None;
    };
    Some(Gap::new(kind, detail))
}

/// A lookup that failed for want of a descriptor says nothing about the name.
fn unresolved(error: &io::Error) -> GapKind {
    if out_of_descriptors(error) {
        GapKind::Own
    } else {
        GapKind::Unresolved
    }
}

fn out_of_descriptors(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

/// The gap of an input or output error; `None` where its kind says nothing.
pub(super) fn io(error: &io::Error) -> Option<Gap> {
    use io::ErrorKind as E;
    if out_of_descriptors(error) {
        return Some(Gap::new(GapKind::Own, "no free descriptor"));
    }
    let (kind, detail) = match error.kind() {
        E::ConnectionRefused => (GapKind::Refused, "connection refused"),
        E::ConnectionReset | E::ConnectionAborted | E::BrokenPipe | E::NotConnected => {
            (GapKind::Reset, "connection reset")
        }
        E::NetworkUnreachable | E::NetworkDown => (GapKind::NoRoute, "network unreachable"),
        E::HostUnreachable => (GapKind::NoRoute, "no route to host"),
        E::AddrNotAvailable => (GapKind::Own, "no free local port"),
        E::TimedOut => (GapKind::TimedOut, "the connection timed out"),
        E::UnexpectedEof => (GapKind::Truncated, "the body ended before its end"),
        E::OutOfMemory => (GapKind::Own, "out of memory"),
        _ => return None,
    };
    Some(Gap::new(kind, detail))
}

fn tls(error: &Tls) -> String {
    let why = match error {
        Tls::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate is for another name"
            }
            CertificateError::UnknownIssuer => "the certificate's issuer is not trusted",
            CertificateError::Revoked => "the certificate is revoked",
            _ => return format!("TLS: {error}"),
        },
        Tls::InvalidMessage(_) => "the other side does not speak TLS",
        _ => return format!("TLS: {error}"),
    };
    format!("TLS: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_it_is_follows_from_the_errno() {
        for (errno, kind, blind) in [
            (Errno::CONNREFUSED, GapKind::Refused, false),
            (Errno::CONNRESET, GapKind::Reset, false),
            (Errno::PIPE, GapKind::Reset, false),
            (Errno::TIMEDOUT, GapKind::TimedOut, false),
            (Errno::NETUNREACH, GapKind::NoRoute, true),
            (Errno::HOSTUNREACH, GapKind::NoRoute, true),
            (Errno::NETDOWN, GapKind::NoRoute, true),
            (Errno::MFILE, GapKind::Own, true),
            (Errno::NFILE, GapKind::Own, true),
            (Errno::ADDRNOTAVAIL, GapKind::Own, true),
            (Errno::ACCESS, GapKind::Other, false),
        ] {
            let gap = gap(&io::Error::from(errno));
            assert_eq!(gap.kind, kind, "{errno}");
            assert_eq!(gap.is_blindness(), blind, "{errno}");
        }
    }

    #[test]
    fn a_typed_cause_inside_an_io_error_is_found() {
        let inner = Tls::InvalidCertificate(CertificateError::Expired);
        let outer = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        let gap = gap(&outer);
        assert_eq!(gap.kind, GapKind::Tls);
        assert_eq!(gap.detail, "TLS: the certificate has expired");
    }
}
