//! Sources over TLS: whom the agent trusts, who it is to them, and what it says
//! when that does not fit.
//!
//! `tests/tls` has an authority and one certificate of it for 127.0.0.1, from
//! 2020 to 2120; its key is no secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backstop::model::{GapKind, Outcome, Selector, Source, SourceKind, Tls};
use backstop::sense::{Client, Sampled, Sensor};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n";

fn file(name: &str) -> String {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    dir.join(name).display().to_string()
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    let found = CertificateDer::pem_file_iter(file(name)).expect("a file");
    found.collect::<Result<_, _>>().expect("certificates")
}

/// A page over TLS on kept connections; asks for a client certificate or not.
/// Its URL, and how many connections were accepted.
async fn target(asks: bool) -> (String, Arc<AtomicUsize>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let config = if asks {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates("ca.pem"));
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        config.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        config.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
    let config = config.with_single_cert(certificates("server.pem"), key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a certificate")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!(
        "https://{}/metrics",
        listener.local_addr().expect("an address")
    );
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut asked = Vec::new();
                loop {
                    asked.push(stream.read_u8().await?);
                    if asked.ends_with(b"\r\n\r\n") {
                        asked.clear();
                        stream.write_all(PAGE).await?;
                        stream.flush().await?;
                    }
                    if asked.len() > 4096 {
                        return Ok::<_, std::io::Error>(());
                    }
                }
            });
        }
    });
    (url, accepted)
}

fn sensor(url: &str, tls: Tls) -> Sensor {
    let source = Source {
        kind: SourceKind::Scrape {
            url: url.to_owned(),
            headers: [].into(),
            max_body: 1 << 20,
            tls,
        },
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(20),
        fail_after: 3,
        pass_after: 2,
    };
    let selectors = vec![Selector::parse("a").expect("a selector")];
    Sensor::new("app", &source, selectors, &Client::new()).expect("a source")
}

fn trusting(ca: &str) -> Tls {
    Tls {
        ca: Some(ca.to_owned()),
        ..Tls::default()
    }
}

fn failure(sampled: &Sampled) -> (GapKind, &str) {
    let gap = sampled.outcome.gap();
    let gap = gap.unwrap_or_else(|| panic!("it did not fail: {:?}", sampled.outcome));
    (gap.kind, &gap.detail)
}

fn is_read(sampled: &Sampled) -> bool {
    matches!(&sampled.outcome, Outcome::Scraped(page) if page.len() == 1)
}

#[tokio::test]
async fn a_target_over_tls_costs_one_connection() {
    let (url, accepted) = target(false).await;
    let mut sensor = sensor(&url, trusting(&file("ca.pem")));
    for _ in 0..5 {
        let sampled = sensor.sample().await;
        assert!(is_read(&sampled), "{:?}", sampled.outcome);
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_is_not_trusted_is_not_read() {
    let (url, _) = target(false).await;
    let sampled = sensor(&url, Tls::default()).sample().await;
    // Where the system has no certificates at all, that is what is said.
    assert_eq!(failure(&sampled).0, GapKind::Tls);
    for (ca, detail) in [
        ("server.pem", "TLS: the certificate's issuer is not trusted"),
        ("none.pem", "cannot read"),
        ("server.key", "is no PEM that can be used"),
    ] {
        let sampled = sensor(&url, trusting(&file(ca))).sample().await;
        let (kind, found) = failure(&sampled);
        assert_eq!(kind, GapKind::Tls);
        assert!(found.contains(detail), "{found}");
    }
}

#[tokio::test]
async fn a_target_that_asks_who_we_are_is_told() {
    let (url, _) = target(true).await;
    let nobody = trusting(&file("ca.pem"));
    let sampled = sensor(&url, nobody.clone()).sample().await;
    assert_eq!(failure(&sampled).0, GapKind::Tls, "{:?}", sampled.outcome);
    let known = Tls {
        cert: Some(file("server.pem")),
        key: Some(file("server.key")),
        ..nobody
    };
    let sampled = sensor(&url, known).sample().await;
    assert!(is_read(&sampled), "{:?}", sampled.outcome);
}

#[tokio::test]
async fn certificates_that_were_replaced_are_read_at_the_next_sample() {
    let (url, _) = target(false).await;
    let dir = tempfile::tempdir().expect("a directory");
    let ca = dir.path().join("ca.pem");
    let replace = |name: &str, ca: &Path| std::fs::copy(file(name), ca).expect("a copy");
    // A certificate, but not of who signed the target's.
    replace("server.pem", &ca);
    let mut sensor = sensor(&url, trusting(&ca.display().to_string()));
    assert_eq!(failure(&sensor.sample().await).0, GapKind::Tls);
    replace("ca.pem", &ca);
    let sampled = sensor.sample().await;
    assert!(is_read(&sampled), "{:?}", sampled.outcome);
}
