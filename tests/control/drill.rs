//! A drill that takes longer than a connection may say nothing.

use backstop::control::{Client, Drill};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::fake::{CURE, Fake};

#[tokio::test]
async fn each_point_is_told_as_soon_as_it_is_known_and_the_report_in_the_end() {
    let fake = Fake::asking().await;
    tokio::time::pause();
    let began = Instant::now();
    let client = Client::new(&fake.socket).unwrap();
    let mut told = Vec::new();
    let tell = |point: &backstop::view::DrillPoint| {
        told.push((point.part.clone(), began.elapsed() >= CURE));
    };
    let report = client.drill("cart", &Drill::default(), tell).await.unwrap();
    assert_eq!(report.points.len(), 2);
    assert_eq!(
        told,
        [("check".to_owned(), false), ("verify".to_owned(), true)]
    );
}

#[tokio::test]
async fn whoever_does_not_follow_it_gets_the_report_alone() {
    let fake = Fake::asking().await;
    tokio::time::pause();
    let mut stream = UnixStream::connect(&fake.socket).await.unwrap();
    let request = "POST /api/v1/services/cart/drill HTTP/1.0\r\nHost: agent\r\n\
                   Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(head.contains("application/json"), "{head}");
    let report: Value = serde_json::from_str(body).unwrap();
    assert_eq!(report["service"], "cart");
}
