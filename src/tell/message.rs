//! A notice ready to be sent: its view, with the user's text where there is a
//! template for its kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::template::{Escape, render};
use crate::guard::Notice;
use crate::view::NoticeView;

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
        templates: &BTreeMap<String, String>,
        escape: Escape,
    ) -> Self {
        let mut view = NoticeView::new(notice);
        let kind = notice.kind.name();
        let own = templates.get(kind).and_then(|source| {
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

    fn message(template: &str) -> Message {
        let templates = BTreeMap::from([("opened".to_owned(), template.to_owned())]);
        Message::new(&full(), &templates, Escape::Nothing)
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
        let templates = BTreeMap::from([("closed".to_owned(), "x".to_owned())]);
        let message = Message::new(&full(), &templates, Escape::Nothing);
        assert_eq!(message.own, None);
        assert!(!message.view.text.contains("template"));
    }
}
