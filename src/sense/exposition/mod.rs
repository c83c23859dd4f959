//! Prometheus text and `OpenMetrics` pages, read as they stream in: bytes →
//! selected samples.
//!
//! A pure parser: no clock, no I/O. It is fed chunks as they come and never
//! holds more than the one line that straddles two of them. Each byte is seen
//! once. A line whose series is known costs a comparison or a hash, plus its
//! number if it is selected; only a series that was never seen is split into
//! labels and matched against the selectors (see `known`). So the cost of a
//! page is that of its bytes, whatever is selected of it.
//!
//! The split into files follows that: `line` is the grammar and remembers
//! nothing, `known` remembers and knows no grammar, `page` is the stream.
//! Recorded samples are the same lines with timestamps, so the replay driver
//! reads its files with [`Exposition::everything`] and [`Page::feed_each`], or
//! line by line with [`parse_line`] and [`series`].
//!
//! What it refuses: HTML and other garbage, with the line and what is wrong
//! there; an `OpenMetrics` page without its `# EOF`, or with anything after it;
//! lines over a mebibyte and bodies over the limit; a selected series that
//! stands on the page twice. What it lets pass: a broken value of a known
//! series that nothing selects, because nobody looks at it.
//!
//! Ours rather than `prometheus-parse`, which silently loses samples whose
//! label values have a `}` and never rejects anything; that crate is the
//! partner of the tests where it is right.
//!
//! Formats: Prometheus *Exposition formats*, text-based format 0.0.4;
//! `OpenMetrics` 1.0.0.

mod hash;
mod known;
mod line;
mod number;
mod page;

pub use line::{Dialect, Fault, Line, parse_line, series};
pub use number::float;
pub use page::{Exposition, Found, Framing, MAX_LINE, Page, PassedOver};
