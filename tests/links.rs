//! The real agent is answered over HTTP, by links of its notices: whoever looks
//! at one answers nothing, each answers once, over restarts too, and what is not
//! the agent's own does nothing.

#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "a real agent takes real time")]

#[path = "live/host.rs"]
mod host;
#[path = "live/shop.rs"]
mod shop;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use host::Host;
use serde_json::Value;

const SHA: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A service that asks two leads before it rolls back, and tells ann and ben by
/// a notifier of their own, each of which writes its notices to a file.
fn asking(name: &str, quorum: u32) -> Host {
    let host = Host::new(name);
    let person = |name: &str| {
        let told = host.dir.join(format!("told-{name}"));
        format!(
            "[notifiers.{name}]\ntype = \"run\"\nanswers_as = \"{name}\"\n\
             command = [\"/bin/sh\", \"-c\", \"{{ cat; echo; }} >> {}\"]\n",
            told.display()
        )
    };
    host.configure(&format!(
        "public_url = \"http://{}/\"\n[tokens.ci]\nsha256 = \"{SHA}\"\n\
         [roles.lead]\nusers = [\"ann\", \"ben\"]\n[roles.dba]\nusers = [\"zoe\"]\n{}{}{}",
        host.http.address,
        person("ann"),
        person("ben"),
        person("zoe"),
    ));
    host.release("bad");
    host.write(
        "shop.toml",
        &format!(
            "{}[triggers.errors]\nwhen = \"error_rate > 5% for 1s\"\nseverity = \"high\"\n\
             approve = {{ roles = [\"lead\"], quorum = {quorum}, within = \"10m\" }}\n\
             [plans.rollback]\n\
             verify = {{ require = [\"error_rate < 5% for 1s\"], within = \"30s\", watch = \"1s\" }}\n\
             [[plans.rollback.steps]]\nname = \"back\"\n\
             run = [\"/bin/sh\", \"-c\", \"echo back >> DIR/ran; ln -sfn DIR/releases/good DIR/current\"]\n\
             [[escalation]]\nnotify = [\"ann\", \"ben\", \"zoe\"]\n",
            host::SOURCES
        ),
    );
    host
}

/// The notice that asks, as its notifier got it.
fn asked(host: &Host, name: &str) -> Value {
    host.wait("the question", || {
        let told = fs::read_to_string(host.dir.join(format!("told-{name}"))).ok()?;
        let notices = told
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        notices
            .into_iter()
            .find(|notice: &Value| notice["kind"] == "asked")
    })
}

fn link(notice: &Value, word: &str) -> String {
    let url = notice[format!("{word}_url")].as_str().unwrap();
    let path = url.strip_prefix("http://").unwrap();
    path[path.find('/').unwrap()..].to_owned()
}

struct Page {
    status: u16,
    head: String,
    body: String,
}

fn ask(host: &Host, method: &str, path: &str, head: &str, body: &[u8]) -> Page {
    let mut stream = TcpStream::connect(host.http.address).unwrap();
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n{head}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    // A server that has heard enough hangs up while we still talk.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    Page {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

fn get(host: &Host, path: &str) -> Page {
    ask(host, "GET", path, "", b"")
}

fn post(host: &Host, path: &str, form: &str) -> Page {
    let head = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        form.len()
    );
    ask(host, "POST", path, &head, form.as_bytes())
}

/// Nothing that could be followed again is anywhere but where it was sent.
fn assert_kept_nowhere(host: &Host, links: &[&String]) {
    let mut files: Vec<_> = fs::read_dir(host.dir.join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.push(host.dir.join("log"));
    let pages = ["/metrics", "/api/v1/status", "/api/v1/incidents/1"].map(|path| host.get(path));
    let report = host.get("/api/v1/incidents/1/report");
    assert!(report.contains("by a link"), "{report}");
    for link in links {
        let secret = link.rsplit('/').next().unwrap();
        assert_eq!(secret.len(), 43, "256 bits: {link}");
        for file in &files {
            let bytes = fs::read(file).unwrap();
            let there = memchr::memmem::find(&bytes, secret.as_bytes()).is_some();
            assert!(!there, "{} has a link in it", file.display());
        }
        for page in pages.iter().chain([&report]) {
            assert!(!page.contains(secret), "{page}");
        }
    }
}

#[test]
fn who_looks_at_a_link_answers_nothing_and_who_follows_it_answers_once() {
    let mut host = asking("links-once", 2);
    host.start();
    let (ann, ben) = (asked(&host, "ann"), asked(&host, "ben"));
    let (yes, no) = (link(&ann, "approve"), link(&ann, "reject"));
    assert!(ann["text"].as_str().unwrap().contains("\nApprove: http://"));
    // Whom it does not ask has no link: there is nothing that she could answer.
    assert_eq!(asked(&host, "zoe")["approve_url"], Value::Null);

    for (method, path) in [("GET", &yes), ("GET", &no), ("HEAD", &yes)] {
        let page = ask(&host, method, path, "", b"");
        assert_eq!(page.status, 200, "{}", page.body);
        for header in [
            "cache-control: no-store",
            "referrer-policy: no-referrer",
            "x-frame-options: deny",
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'; style-src 'sha256-",
        ] {
            assert!(page.head.contains(header), "{header}: {}", page.head);
        }
    }
    let page = get(&host, &yes);
    for part in [
        "<form method=\"post\">",
        "error_rate",
        "Agreed so far",
        "nobody yet",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert_eq!(host.count("answered"), 0, "a preview answers nothing");

    let page = post(&host, &yes, "reason=it+is+bad%21&x=y");
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(
        page.body
            .contains("ann approved by a link: it is bad! (1 of 2)"),
        "{}",
        page.body
    );
    assert_eq!(get(&host, &yes).status, 410, "used up");
    let again = post(&host, &yes, "");
    assert_eq!(again.status, 409);
    assert!(
        again.body.contains("a person counts once"),
        "{}",
        again.body
    );
    assert_eq!(host.count("answer_ignored"), 1);
    assert!(host.ran().is_empty(), "one person is not two");

    // The same link after a restart, and another person's.
    host.kill();
    host.start();
    assert_eq!(post(&host, &yes, "").status, 409);
    assert!(host.ran().is_empty());
    let other = link(&ben, "approve");
    assert_eq!(get(&host, &other).status, 200);
    assert_eq!(post(&host, &other, "reason=").status, 200);
    host.until_ran("back");
    host.until("closed");
    let late = post(&host, &no, "");
    assert_eq!(late.status, 409);
    assert!(
        late.body.contains("but the incident is closed"),
        "{}",
        late.body
    );
    assert_eq!(get(&host, &no).status, 410);
    assert_kept_nowhere(&host, &[&yes, &no, &other]);
    assert_eq!(host.stop(), Some(0));
}

#[test]
fn what_the_agent_did_not_make_is_told_so_and_nothing_else_happens() {
    let mut host = asking("links-foreign", 1);
    host.start();
    let ann = asked(&host, "ann");
    let yes = link(&ann, "approve");
    let changed = |from: &str, to: &str| yes.replacen(from, to, 1);
    let foreign = [
        changed("/approve/", "/reject/"),
        changed("/ann/", "/ben/"),
        changed("/ann/", "/root/"),
        changed("/answer/1/1/", "/answer/1/2/"),
        changed("/answer/1/1/", "/answer/2/1/"),
        format!("{yes}A"),
        yes[..yes.len() - 1].to_owned(),
        "/answer/1/1/approve/ann/%ff%fe".to_owned(),
        "/answer/99999999999999999999999/1/approve/ann/x".to_owned(),
    ];
    for path in &foreign {
        for method in ["GET", "POST"] {
            let page = ask(&host, method, path, "Content-Length: 0\r\n", b"");
            assert!(
                [400, 404].contains(&page.status),
                "{method} {path}: {}",
                page.status
            );
        }
    }
    // No method but the form's, and no body but a small form.
    for method in ["PUT", "DELETE", "PATCH"] {
        let page = ask(&host, method, &yes, "Content-Length: 0\r\n", b"");
        assert_eq!(page.status, 405, "{method}");
    }
    let large = "Content-Length: 104857600\r\n";
    assert_eq!(ask(&host, "POST", &yes, large, &[b'x'; 8192]).status, 413);
    let mut chunks = Vec::new();
    for _ in 0..1600 {
        chunks.extend_from_slice(b"10000\r\n");
        chunks.resize(chunks.len() + 0x1_0000, b'x');
        chunks.extend_from_slice(b"\r\n");
    }
    let page = ask(
        &host,
        "POST",
        &yes,
        "Transfer-Encoding: chunked\r\n",
        &chunks,
    );
    assert_eq!(page.status, 413);
    for form in [
        "reason=%ff%fe",
        "reason=a%00b",
        &format!("reason={}", "x".repeat(3000)),
    ] {
        assert_eq!(post(&host, &yes, form).status, 400, "{form}");
    }
    assert!(host.ran().is_empty() && host.count("answered") == 0);
    let page = host.get("/metrics");
    let refused = host::number(&page, "backstop_http_refused_total{reason=\"link\"}");
    assert!(refused >= 14.0, "{refused}");

    // Another key makes every link foreign.
    host.kill();
    fs::remove_file(host.dir.join("state/links.key")).unwrap();
    host.start();
    assert_eq!(post(&host, &yes, "").status, 404);
    assert!(host.ran().is_empty());
    assert!(!host.log().contains(yes.rsplit('/').next().unwrap()));
}

#[test]
fn a_question_that_was_answered_otherwise_makes_a_page_of_its_links() {
    let mut host = asking("links-over", 1);
    host.start();
    let (ann, ben) = (asked(&host, "ann"), asked(&host, "ben"));
    assert_eq!(
        post(&host, &link(&ben, "reject"), "reason=it+is+me").status,
        200
    );
    host.until("dismissed");
    let page = get(&host, &link(&ann, "approve"));
    assert_eq!(page.status, 410);
    assert!(
        page.body.contains("The incident is closed"),
        "{}",
        page.body
    );
    let page = post(&host, &link(&ann, "approve"), "");
    assert_eq!(page.status, 409);
    assert!(
        page.body.contains("It is noted, and changes nothing."),
        "{}",
        page.body
    );
    // A flood of one person's answers leaves no flood of lines.
    let statuses: Vec<u16> = (0..20)
        .map(|_| post(&host, &link(&ann, "approve"), "").status)
        .collect();
    assert_eq!(statuses.last(), Some(&429));
    assert!(host.count("answer_ignored") <= 10);
    assert!(host.ran().is_empty());
}
