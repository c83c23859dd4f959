//! Mail servers that say no, say nothing, or say nonsense.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{notice, of_kind, outbox, until_failed, until_idle, webhook};
use crate::guard::NoticeKind;
use crate::model::{MailTls, Notifier, NotifierKind, Secret};
use crate::tell::fixture::Scratch;

const PASSWORD: &str = "correct horse";

/// What the server answers to lines that begin so, instead of what it should;
/// `None` is nothing at all. Each once; the empty beginning is the greeting.
type Odd = Vec<(&'static str, Option<&'static str>)>;

/// A mail server on loopback that speaks as RFC 5321 says.
struct Server {
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn new(mut odd: Odd) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let lines = Arc::clone(&lines);
            async move {
                let mut hanging = Vec::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    hanging.extend(talk(stream, &mut odd, &lines).await);
                }
            }
        });
        Self { port, lines, task }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The mails that came, head and text.
    fn mails(&self) -> Vec<String> {
        let all = self.lines().join("\n");
        let mails = all.split("DATA\n").skip(1);
        let mails = mails.map(|rest| rest.split("\n.\n").next().unwrap());
        mails.map(ToOwned::to_owned).collect()
    }

    fn notifier(&self) -> Notifier {
        Notifier {
            kind: NotifierKind::Email {
                host: "127.0.0.1".into(),
                port: self.port,
                tls: MailTls::None,
                ca: None,
                login: Some((
                    Secret::Plain("backstop".into()),
                    Secret::Plain(PASSWORD.into()),
                )),
                from: "Backstop <backstop@example.com>".into(),
                to: vec!["ann@example.com".into(), "Ben <ben@example.com>".into()],
            },
            ..webhook("")
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection to its end. Returns it if nothing more is to be said on it.
async fn talk(stream: TcpStream, odd: &mut Odd, lines: &Mutex<Vec<String>>) -> Option<TcpStream> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut in_mail = false;
    loop {
        let said = line.trim_end();
        let due = odd.first().is_some_and(|(begin, _)| {
            said.starts_with(begin) && begin.is_empty() == said.is_empty()
        });
        let answer = if due && !in_mail {
            match odd.remove(0).1 {
                Some(answer) => answer,
                None => return Some(stream.into_inner()),
            }
        } else if in_mail && said != "." {
            ""
        } else {
            match said.split(' ').next().unwrap() {
                "" => "220 mail.test ESMTP",
                "EHLO" => "250-mail.test\r\n250 AUTH PLAIN",
                "AUTH" => "235 2.7.0 welcome",
                "DATA" => "354 go on",
                "." => "250 2.0.0 Ok: queued as 4711",
                "QUIT" => "221 bye",
                _ => "250 ok",
            }
        };
        in_mail = said == "DATA" && answer.starts_with("354") || in_mail && said != ".";
        if !answer.is_empty() {
            let _ = stream.write_all(format!("{answer}\r\n").as_bytes()).await;
        }
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        lines.lock().unwrap().push(line.trim_end().to_owned());
    }
}

#[tokio::test]
async fn an_incident_is_one_thread_of_mails() {
    let server = Server::new(Vec::new()).await;
    let scratch = Scratch::new();
    let outbox = outbox(&scratch, &[("mail", server.notifier())]);
    outbox
        .submit(of_kind(1, NoticeKind::Opened, &["mail"]))
        .unwrap();
    outbox
        .submit(of_kind(2, NoticeKind::Closed, &["mail"]))
        .unwrap();
    until_idle(&outbox).await;
    assert_eq!(outbox.counts()["mail"].delivered, 2);
    let lines = server.lines();
    // RFC 4616: nothing, user and password, set apart by NUL.
    assert!(lines.contains(&"AUTH PLAIN AGJhY2tzdG9wAGNvcnJlY3QgaG9yc2U=".to_owned()));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("RCPT TO:<ben@example.com>"))
    );
    let mails = server.mails();
    insta::assert_snapshot!("email_opened", mails[0]);
    let header = |mail: &str, name: &str| {
        let line = mail.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {mail}"))
            .to_owned()
    };
    for name in ["In-Reply-To: ", "References: "] {
        assert_eq!(header(&mails[0], name), header(&mails[1], name));
    }
    assert_eq!(
        header(&mails[1], "Message-ID: "),
        "Message-ID: <checkout.12.2@web-1>"
    );
}

#[tokio::test]
async fn the_first_line_of_a_text_of_the_users_own_is_the_subject() {
    let server = Server::new(Vec::new()).await;
    let scratch = Scratch::new();
    let mut mail = server.notifier();
    mail.template = Some("{{ service }} is in trouble\n\nIt is {{ severity }}.".into());
    let outbox = outbox(&scratch, &[("mail", mail)]);
    outbox.submit(notice(1, &["mail"])).unwrap();
    until_idle(&outbox).await;
    let mail = server.mails().remove(0);
    assert!(mail.contains("Subject: checkout is in trouble\n"), "{mail}");
    assert!(mail.trim_end().ends_with("\n\nIt is critical."), "{mail}");
}

#[tokio::test]
async fn a_server_that_says_no_is_quoted_without_the_password() {
    let cases = [
        (
            "RCPT",
            "550 5.1.1 no such user",
            "it answered 550: 5.1.1 no such user",
            true,
        ),
        (
            "MAIL",
            "451 4.7.1 try again later",
            "it answered 451: 4.7.1 try again later",
            false,
        ),
        (
            "AUTH",
            "535 5.7.8 wrong: correct horse",
            "it answered 535: 5.7.8 wrong: [secret]",
            true,
        ),
    ];
    for (line, answer, reason, refused) in cases {
        let server = Server::new(vec![(line, Some(answer))]).await;
        let scratch = Scratch::new();
        let outbox = outbox(&scratch, &[("mail", server.notifier())]);
        outbox.submit(notice(1, &["mail"])).unwrap();
        outbox.submit(notice(2, &["mail"])).unwrap();
        assert_eq!(until_failed(&outbox, 1).await.last_failure.unwrap(), reason);
        until_idle(&outbox).await;
        let mails = server.mails();
        let first = mails[0].contains("checkout.12.1@web-1");
        assert_eq!(first, !refused, "what was refused makes way");
    }
}

#[tokio::test]
async fn nonsense_and_silence_cost_a_timeout_and_no_mail() {
    let server = Server::new(vec![
        ("", Some("SSH-2.0-OpenSSH_9.2")),
        ("", Some("554 no mail here")),
        ("", None),
        ("EHLO", None),
        ("DATA", None),
    ])
    .await;
    let scratch = Scratch::new();
    let mut mail = server.notifier();
    mail.timeout = Duration::from_millis(200);
    let outbox = outbox(&scratch, &[("mail", mail)]);
    outbox.submit(notice(1, &["mail"])).unwrap();
    until_idle(&outbox).await;
    let counts = &outbox.counts()["mail"];
    assert_eq!((counts.delivered, counts.failed), (1, 5));
    assert!(
        server
            .mails()
            .last()
            .unwrap()
            .contains("checkout.12.1@web-1")
    );
}

#[tokio::test]
async fn without_encryption_no_password_goes_out() {
    let server = Server::new(Vec::new()).await;
    let scratch = Scratch::new();
    let mut mail = server.notifier();
    if let NotifierKind::Email { tls, .. } = &mut mail.kind {
        *tls = MailTls::StartTls;
    }
    let outbox = outbox(&scratch, &[("mail", mail)]);
    outbox.submit(notice(1, &["mail"])).unwrap();
    let said = until_failed(&outbox, 1).await.last_failure.unwrap();
    assert!(said.contains("STARTTLS"), "{said}");
    assert!(
        server
            .lines()
            .iter()
            .all(|line| !line.starts_with("AUTH") && !line.starts_with("MAIL"))
    );
}
