//! An issue of GitHub per incident (REST API, *Issues*): opened with the first
//! notice, commented on by the later ones, closed by the last.
//!
//! The issue's number is remembered in the outbox's file. Where it is not, as
//! after an answer that was lost on its way, the issue is looked for first: its
//! text ends in a comment that nobody sees, with the incident's key, and
//! listing issues is consistent at once, which searching is not. Closing comes
//! before its comment, because closing twice does no harm.
//!
//! The body is the notice's text: a notice is all that this room is given. The
//! report is at `backstop report N`, and the issue says so.
//!
//! What comes from outside mentions nobody: a text of ours stands in a code
//! block, and values in a user's template are escaped. A freeze is no issue.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::{ACCEPT, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::channel::{Attempt, Channel, Delivered, Failure};
use super::http::{Answer, Call, json_headers};
use super::message::{Message, Texts};
use super::secret::{Revealed, reveal};
use super::template::Escape;
use super::thread::Thread;
use crate::guard::NoticeKind;
use crate::model::Secret;
use crate::view::value;

/// Longest title, in characters: GitHub takes 256.
const TITLE: usize = 250;

/// Issues that are looked through for ours, newest first: one page.
const LISTED: usize = 100;

/// As much of an answer as is read where it has to be understood, in bytes: a
/// page of issues with long texts.
const READ: usize = 8 * 1024 * 1024;

/// A repository's issues.
pub(super) struct GitHub {
    /// `owner/name`.
    pub(super) repository: String,
    pub(super) token: Secret,
    /// The base of the API: `https://api.github.com`, or that of an Enterprise
    /// server.
    pub(super) api: String,
    /// Labels that a new issue gets.
    pub(super) labels: Vec<String>,
    pub(super) texts: Texts,
    pub(super) timeout: Duration,
}

/// An issue, as far as it matters.
#[derive(Deserialize)]
struct Issue {
    number: u64,
    #[serde(default)]
    body: Option<String>,
}

impl Channel for GitHub {
    fn deliver<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Result<Delivered, Failure>> {
        Box::pin(async move {
            let Attempt { notice, memory, .. } = attempt;
            let thread = Thread::of(notice);
            let test = notice.kind == NoticeKind::Test;
            if thread.is_none() && !test {
                return Ok(Delivered::saying("nothing was posted: it is no issue"));
            }
            let token = reveal(&self.token).map_err(|e| Failure::new(e.to_string()))?;
            let to = Errand {
                github: self,
                token: &token,
                unix: attempt.unix,
            };
            let message = Message::new(notice, None, &self.texts, Escape::Markdown);
            let text = match &message.own {
                Some(own) => own.clone(),
                // Each line of it opens with a word of ours: none can end the
                // block.
                None => format!("```text\n{}\n```", message.view.text),
            };
            let ends = test || thread.as_ref().is_some_and(|thread| thread.ends);
            let mut known = memory.and_then(|number| number.parse().ok());
            if let (None, Some(thread)) = (known, &thread) {
                known = to.find(&marker(&thread.key)).await?;
            }
            if let Some(number) = known
                && let Some(said) = to.go_on(number, &message.view.title, &text, ends).await?
            {
                return Ok(Delivered::saying(said).keeping(number.to_string()));
            }
            let mut body = text;
            if let Some(incident) = message.view.incident {
                let host = &message.view.host;
                let _ = write!(
                    body,
                    "\n\nThe whole story: `backstop report {incident}` on {host}."
                );
            }
            if let Some(thread) = &thread {
                body.push_str("\n\n");
                body.push_str(&marker(&thread.key));
            }
            let number = to.open(&message.view.title, &body).await?;
            if ends {
                to.close(number).await?;
            }
            let said = format!("it opened issue {number} of {}", self.repository);
            Ok(Delivered::saying(said).keeping(number.to_string()))
        })
    }

    fn is_threaded(&self) -> bool {
        true
    }
}

/// What an issue's text ends in, so that it can be found.
fn marker(key: &str) -> String {
    // A comment of HTML ends at two hyphens.
    format!("<!-- {} -->", key.replace("--", "-"))
}

/// One delivery's requests.
struct Errand<'a> {
    github: &'a GitHub,
    token: &'a Revealed,
    unix: i64,
}

impl Errand<'_> {
    /// The newest open issue that ends in a marker.
    async fn find(&self, marker: &str) -> Result<Option<u64>, Failure> {
        let path = format!("?state=open&sort=created&direction=desc&per_page={LISTED}");
        let answer = self.ask(Method::GET, &path, None).await?;
        let issues: Vec<Issue> = understood(&answer, StatusCode::OK)?;
        let ours = |issue: &&Issue| {
            let body = issue.body.as_deref().unwrap_or_default();
            body.trim_end().ends_with(marker)
        };
        Ok(issues.iter().find(ours).map(|issue| issue.number))
    }

    async fn open(&self, title: &str, body: &str) -> Result<u64, Failure> {
        let issue = json!({
            "title": value::one_line(title, TITLE),
            "body": body,
            "labels": self.github.labels,
        });
        let answer = self.ask(Method::POST, "", Some(&issue)).await?;
        Ok(understood::<Issue>(&answer, StatusCode::CREATED)?.number)
    }

    /// Comments on an issue, after closing it where this is the end. `None` if
    /// there is no such issue any more.
    async fn go_on(
        &self,
        number: u64,
        title: &str,
        text: &str,
        ends: bool,
    ) -> Result<Option<String>, Failure> {
        if ends && !self.close(number).await? {
            return Ok(None);
        }
        let title = value::one_line(title, TITLE);
        let comment =
            json!({ "body": format!("**{}**\n\n{text}", Escape::Markdown.apply(&title)) });
        let path = format!("/{number}/comments");
        let answer = self.ask(Method::POST, &path, Some(&comment)).await?;
        if is_gone(answer.status) {
            return Ok(None);
        }
        understood::<Value>(&answer, StatusCode::CREATED)?;
        let what = if ends { "closed" } else { "commented on" };
        let repository = &self.github.repository;
        Ok(Some(format!("it {what} issue {number} of {repository}")))
    }

    /// Closes an issue, also one that is closed. Whether there is one.
    async fn close(&self, number: u64) -> Result<bool, Failure> {
        let closed = json!({ "state": "closed", "state_reason": "completed" });
        let path = format!("/{number}");
        let answer = self.ask(Method::PATCH, &path, Some(&closed)).await?;
        if is_gone(answer.status) {
            return Ok(false);
        }
        understood::<Issue>(&answer, StatusCode::OK).map(|_| true)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let github = self.github;
        let mut headers = json_headers(Some(self.token))?;
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/vnd.github+json"),
        );
        headers.insert(
            HeaderName::from_static("x-github-api-version"),
            HeaderValue::from_static("2022-11-28"),
        );
        let api = github.api.trim_end_matches('/');
        let call = Call {
            method,
            url: &format!("{api}/repos/{}/issues{path}", github.repository),
            headers,
            body: body.map_or_else(Vec::new, |body| body.to_string().into_bytes()),
            timeout: github.timeout,
            unix: self.unix,
            hidden: &[self.token],
            read: READ,
        };
        call.send().await
    }
}

const fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// What an answer says, if it is the one that the documentation promises.
fn understood<T: serde::de::DeserializeOwned>(
    answer: &Answer,
    status: StatusCode,
) -> Result<T, Failure> {
    if answer.status != status {
        return Err(answer.failure());
    }
    serde_json::from_str(&answer.body)
        .map_err(|_| Failure::new(format!("it answered {status}, and not as GitHub does")))
}
