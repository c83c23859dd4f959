//! Mail, by SMTP (RFC 5321): plain text, one thread per incident.
//!
//! The connection is encrypted: by STARTTLS (RFC 3207), which the server must
//! offer, or from the first byte. Without encryption only a server on this host
//! is spoken to. Each delivery makes a connection of its own: notices are rare.
//!
//! Every mail of an incident answers a first one that need not exist
//! (`In-Reply-To`, `References`): readers group them by it, whichever of them
//! arrived, and nothing has to be remembered. A `Message-ID` is the notice's
//! own, so that a mail that was sent twice is seen to be one. `Auto-Submitted`
//! (RFC 3834) keeps answering machines quiet.

use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error as SmtpError};
use lettre::{AsyncTransport as _, Message as Mail, Tokio1Executor};
use tokio::time::timeout;

use super::channel::{Attempt, Channel, Delivered, Failure};
use super::message::{Message, Texts};
use super::secret::{Revealed, reveal};
use super::template::Escape;
use super::thread::Thread;
use crate::guard::Notice;
use crate::model::{MailTls, Secret};
use crate::view::answer::AnswerLinks;
use crate::view::value;

/// Longest subject, in characters: what a list of mails shows.
const SUBJECT: usize = 200;

/// As much of what the server says as is shown, in characters.
const SHOWN: usize = 200;

/// People with mailboxes.
pub(super) struct Email {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: MailTls,
    /// A file with the authority that signed the server's certificate, beside
    /// those of the system.
    pub(super) ca: Option<String>,
    /// User and password.
    pub(super) login: Option<(Secret, Secret)>,
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) texts: Texts,
    pub(super) timeout: Duration,
}

impl Channel for Email {
    fn deliver<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Delivered, Failure>> {
        Box::pin(async move {
            let unreadable = |e: super::secret::SecretError| Failure::new(e.to_string());
            let login = match &self.login {
                Some((user, password)) => Some((
                    reveal(user).map_err(unreadable)?,
                    reveal(password).map_err(unreadable)?,
                )),
                None => None,
            };
            let mail = self.mail(attempt.notice, attempt.links)?;
            let transport = self.transport(login.as_ref())?;
            // The transport's own limit is for each line that is waited for.
            let answer = timeout(self.timeout, transport.send(mail)).await;
            let answer = answer.map_err(|_| {
                Failure::new(format!("no answer within {}", value::span(self.timeout)))
            })?;
            match answer {
                Ok(answer) => {
                    let said: Vec<&str> = answer.message().collect();
                    let said = hidden(&said.join(" "), login.as_ref());
                    Ok(Delivered::saying(format!(
                        "it answered {}: {said}",
                        answer.code()
                    )))
                }
                Err(error) => Err(failure(&error, login.as_ref())),
            }
        })
    }
}

impl Email {
    fn mail(&self, notice: &Notice, links: Option<&AnswerLinks>) -> Result<Mail, Failure> {
        let message = Message::new(notice, links, &self.texts, Escape::Nothing);
        let (subject, text) = match &message.own {
            // The first line of a user's text is what it is about.
            Some(own) => {
                let own = own.trim_start();
                own.split_once('\n')
                    .map_or((own, own), |(first, rest)| (first, rest.trim_start()))
            }
            None => (message.view.title.as_str(), message.view.text.as_str()),
        };
        let id = format!("<{}@{}>", token(&notice.id), token(&notice.host));
        let mut mail = Mail::builder()
            .from(mailbox(&self.from)?)
            .subject(value::one_line(subject, SUBJECT))
            .date(UNIX_EPOCH + made(notice))
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN)
            .header(AutoSubmitted);
        if let Some(thread) = Thread::of(notice) {
            let first = format!("<{}@{}>", token(&thread.key), token(&notice.host));
            mail = mail.in_reply_to(first.clone()).references(first);
        }
        for to in &self.to {
            mail = mail.to(mailbox(to)?);
        }
        mail.body(text.to_owned())
            .map_err(|e| Failure::new(format!("the mail cannot be written: {e}")))
    }

    fn transport(
        &self,
        login: Option<&(Revealed, Revealed)>,
    ) -> Result<AsyncSmtpTransport<Tokio1Executor>, Failure> {
        let tls = match self.tls {
            MailTls::None => Tls::None,
            MailTls::StartTls => Tls::Required(self.parameters()?),
            MailTls::Tls => Tls::Wrapper(self.parameters()?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.host)
            .port(self.port)
            .tls(tls)
            .timeout(Some(self.timeout));
        if let Some((user, password)) = login {
            transport = transport.credentials(Credentials::new(
                user.expose().to_owned(),
                password.expose().to_owned(),
            ));
        }
        Ok(transport.build())
    }

    fn parameters(&self) -> Result<TlsParameters, Failure> {
        let mut parameters = TlsParameters::builder(self.host.clone());
        if let Some(path) = &self.ca {
            let unusable = |why: String| Failure::new(format!("cannot use {path}: {why}"));
            let pem = std::fs::read(path).map_err(|e| unusable(e.to_string()))?;
            let ca = Certificate::from_pem(&pem).map_err(|e| unusable(e.to_string()))?;
            parameters = parameters.add_root_certificate(ca);
        }
        parameters
            .build()
            .map_err(|e| Failure::new(format!("TLS cannot be set up: {e}")))
    }
}

/// What the server, or the way to it, had to say.
fn failure(error: &SmtpError, login: Option<&(Revealed, Revealed)>) -> Failure {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let why = hidden(&innermost.to_string(), login);
    match error.status() {
        Some(code) if error.is_permanent() => {
            Failure::refused(format!("it answered {code}: {why}"))
        }
        Some(code) => Failure::new(format!("it answered {code}: {why}")),
        None if error.is_timeout() => Failure::new("no answer in time"),
        None if error.is_tls() => Failure::new(format!("no encrypted connection: {why}")),
        None => Failure::new(format!("no mail could be handed over: {why}")),
    }
}

/// One line of what came from outside, without the login.
fn hidden(text: &str, login: Option<&(Revealed, Revealed)>) -> String {
    let text = match login {
        Some((_, password)) => password.redact(text),
        None => text.to_owned(),
    };
    value::one_line(&text, SHOWN)
}

fn mailbox(address: &str) -> Result<Mailbox, Failure> {
    address
        .parse()
        .map_err(|e| Failure::new(format!("`{address}` is not an address: {e}")))
}

/// The part of a `Message-ID`: what is not of a dot-atom (RFC 5322, 3.2.3)
/// becomes a full stop, and none begins, ends or follows another.
fn token(text: &str) -> String {
    let atoms = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
        .filter(|atom| !atom.is_empty());
    let token = atoms.collect::<Vec<_>>().join(".");
    if token.is_empty() { "x".into() } else { token }
}

/// When the notice was made, by the wall clock of then: since the Unix epoch.
fn made(notice: &Notice) -> Duration {
    let ms = notice.at.unix_millis(notice.wall_ahead_ms);
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// `Auto-Submitted: auto-generated`.
#[derive(Clone, Debug)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".into())
    }
}
