//! Any text is a selector or a fault with a place inside the text.

use backstop::model::{Selector, Series};

/// The bytes as a selector.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Selector::parse(text) {
        Ok(selector) => {
            let series = Series::new("a", vec![("x".to_owned(), "1".to_owned())]);
            let again = Selector::parse(selector.text());
            let again = again.expect("the text of a selector is one");
            assert_eq!(again.matches(&series), selector.matches(&series));
            assert_eq!(again.name(), selector.name());
        }
        Err(fault) => {
            let end = fault.offset + fault.len;
            assert!(
                text.get(fault.offset..end).is_some(),
                "{fault:?} is not a place in {text:?}"
            );
        }
    }
}
