//! A notice ready to be sent: its view, with the user's text where there is a
//! template for its kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::template::{Escape, render};
use crate::guard::Notice;
use crate::model::Notifier;
use crate::view::NoticeView;
use crate::view::answer::AnswerLinks;

/// The texts of the user's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    /// By the notice's kind.
    by_kind: BTreeMap<String, String>,
    /// For every other kind.
    other: Option<String>,
}

impl Texts {
    /// Those of a notifier.
    pub(super) fn of(notifier: &Notifier) -> Self {
        Self {
            by_kind: notifier.templates.clone(),
            other: notifier.template.clone(),
        }
    }

    fn of_kind(&self, kind: &str) -> Option<&str> {
        let own = self.by_kind.get(kind).or(self.other.as_ref());
        own.map(String::as_str)
    }
}

/// What a channel sends.
pub(super) struct Message {
    /// The notice in words. Its text is the default one.
    pub(super) view: NoticeView,
    /// The text made by the user's template.
    pub(super) own: Option<String>,
}

impl Message {
    /// Puts a notice into words. A broken template must not swallow a notice:
    /// the default text is sent instead, and says so.
    pub(super) fn new(
        notice: &Notice,
        links: Option<&AnswerLinks>,
        texts: &Texts,
        escape: Escape,
    ) -> Self {
        let mut view = NoticeView::with_links(notice, links);
        let kind = notice.kind.name();
        let own = texts.of_kind(kind).and_then(|source| {
            render(source, &view, escape)
                .inspect_err(|fault| {
                    tracing::warn!(
                        kind,
                        fault,
                        "a template failed; the default text is sent instead"
                    );
                    let _ = write!(
                        view.text,
                        "\n(This is the default text: the template for `{kind}` failed, {fault}.)"
                    );
                })
                .ok()
        });
        Self { view, own }
    }

    /// The view with the user's text, where there is one, in place of the
    /// default: what is sent as JSON.
    pub(super) fn into_view(self) -> NoticeView {
        let Self { mut view, own } = self;
        if let Some(own) = own {
            view.text = own;
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tell::template::full;

    fn texts(kind: &str, template: &str) -> Texts {
        Texts {
            by_kind: BTreeMap::from([(kind.to_owned(), template.to_owned())]),
            other: None,
        }
    }

    fn message(template: &str) -> Message {
        Message::new(&full(), None, &texts("opened", template), Escape::Nothing)
    }

    #[test]
    fn a_template_replaces_the_text() {
        let view = message("{{ service }}!").into_view();
        assert_eq!(view.text, "checkout!");
        assert!(view.title.contains("payment-failure fired"));
    }

    #[test]
    fn a_broken_template_falls_back_to_the_default_and_says_so() {
        let message = message("{{ servce }}");
        assert_eq!(message.own, None);
        let text = message.into_view().text;
        assert!(text.starts_with("What: payment-failure has held"));
        assert!(text.contains("the template for `opened` failed, line 1"));
    }

    #[test]
    fn a_template_of_another_kind_changes_nothing() {
        let message = Message::new(&full(), None, &texts("closed", "x"), Escape::Nothing);
        assert_eq!(message.own, None);
        assert!(!message.view.text.contains("template"));
    }

    #[test]
    fn a_text_for_all_kinds_yields_to_that_of_the_kind() {
        let text = |kind| {
            let texts = Texts {
                other: Some("any".to_owned()),
                ..texts(kind, "one")
            };
            let message = Message::new(&full(), None, &texts, Escape::Nothing);
            message.own
        };
        assert_eq!(text("opened").as_deref(), Some("one"));
        assert_eq!(text("closed").as_deref(), Some("any"));
    }
}
