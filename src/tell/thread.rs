//! What notices of one matter share at their receiver: an incident, or a
//! trigger that cannot be judged. One alert, one issue, one thread of mail.
//!
//! The key is the same over restarts, and differs between hosts: several agents
//! may tell the same receiver.

use std::fmt::Write as _;

use crate::guard::{Notice, NoticeKind};

/// Longest key, in bytes: PagerDuty takes 255 characters. Only a host's name
/// that no kernel allows could make a longer one.
const LONGEST: usize = 255;

/// The matter that a notice belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    /// `backstop/web-1/checkout/12`.
    pub(super) key: String,
    /// Whether this notice is its last.
    pub(super) ends: bool,
}

impl Thread {
    /// The thread of a notice; none where it is not about something that ends,
    /// such as a freeze or a test.
    pub(super) fn of(notice: &Notice) -> Option<Self> {
        let mut key = format!("backstop/{}/{}", notice.host, notice.service);
        let blind = matches!(notice.kind, NoticeKind::Blind | NoticeKind::SeesAgain);
        let ends = if blind {
            let trigger = notice.trigger.as_deref().unwrap_or("-");
            let _ = write!(key, "/blind/{trigger}");
            notice.kind == NoticeKind::SeesAgain
        } else {
            let _ = write!(key, "/{}", notice.incident?);
            notice.kind == NoticeKind::Closed
        };
        if key.len() > LONGEST {
            key = key.split_off(key.ceil_char_boundary(key.len() - LONGEST));
        }
        Some(Self { key, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tell::template::full;

    fn of(kind: NoticeKind, incident: Option<u64>) -> Option<(String, bool)> {
        let notice = Notice {
            kind,
            incident,
            ..full()
        };
        Thread::of(&notice).map(|t| (t.key, t.ends))
    }

    #[test]
    fn an_incident_is_one_thread_from_its_opening_to_its_close() {
        let key = "backstop/web-1/checkout/12".to_owned();
        for kind in NoticeKind::ALL {
            let expected = match kind {
                NoticeKind::Blind => Some(("backstop/web-1/checkout/blind/payment-failure", false)),
                NoticeKind::SeesAgain => {
                    Some(("backstop/web-1/checkout/blind/payment-failure", true))
                }
                NoticeKind::Closed => Some((key.as_str(), true)),
                _ => Some((key.as_str(), false)),
            };
            let expected = expected.map(|(key, ends)| (key.to_owned(), ends));
            assert_eq!(of(kind, Some(12)), expected, "{kind:?}");
        }
        assert_eq!(of(NoticeKind::Frozen, None), None);
        assert_eq!(of(NoticeKind::Test, None), None);
    }

    #[test]
    fn a_key_fits_and_keeps_the_part_that_differs() {
        let notice = Notice {
            host: "é".repeat(300),
            ..full()
        };
        let key = Thread::of(&notice).unwrap().key;
        assert!(key.len() <= LONGEST && key.ends_with("/checkout/12"));
    }
}
