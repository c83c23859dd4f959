//! The durable record: every fact that reached the engine, every order that it
//! gave, and its state from time to time.
//!
//! Two logs share one sequence of numbers. Samples and ticks are many and small
//! and go into the *samples log*, binary, some 1.3 bytes for a sample. All else
//! is rare and precious and goes into the *decisions log*, JSON lines in a hash
//! chain that `jq` and a person can read. A number that is in neither log is a
//! record that is missing: nothing vanishes silently.
//!
//! [`Journal::commit`] makes the samples durable before the decisions that rest
//! on them, so a decision is never found without its evidence. Each line and
//! frame says up to which number all was durable when it was written; that tells
//! the torn end of a crash, which is cut off, from damage, which is said aloud
//! and never thrown away (see `recovery.rs`). A failed sync is never asked again:
//! the log is broken until [`Journal::roll`] has gone on in new files. Space for
//! decisions is made sure of ahead of need, inside the log's own file, where
//! nobody else can take it when the disk runs full.
//!
//! This room knows no clock, spawns nothing and never looks into the state that
//! it is given to keep.
//!
//! # Files
//!
//! All in the state directory; `N` has at least twelve digits.
//!
//! | file | what |
//! |---|---|
//! | `lock` | locked with `flock` as long as an agent runs; says which |
//! | `samples-N.seg` | a segment of the samples log, its records from number `N` on |
//! | `decisions-N.jsonl` | a segment of the decisions log, likewise |
//! | `snapshot-N.json` | the state after all records below `N`; the last two are kept |
//!
//! A file that is made whole (a snapshot, a segment's header) is written under
//! the name with `.tmp` behind it, synced and renamed, and the directory is
//! synced. Other names in the directory are left alone.
//!
//! # Format 1
//!
//! A reader that finds a higher version in a header uses nothing of that file
//! and says so. Within a version, new kinds of record may appear; a reader that
//! does not know one says so, too.
//!
//! **Decisions.** One JSON object a line. Each ends with `"hash"`, the first 16
//! bytes of the SHA-256, in hex, of all that stands before `,"hash"` in its line,
//! and has `"prev"`, the hash of the line before. So `sed 's/,"hash".*//'` and
//! `sha256sum` check it. The first line is the header: `format` (`backstop
//! decisions`), `version`, `first` (the `N` of the name), `at`, and `prev`, the
//! last hash of the segment before (zeros if there is none that can be built
//! on). All others have `seq`, `at` (the agent's clock, ms), `wall_ms` (Unix
//! time, ms, for people only), `safe` (all records up to this one were durable
//! before this line was written), `samples_safe` (all samples up to this one
//! were), and one of: `event`; `cause` and `commands`; `anchor`; `lost` (records
//! from `lost.from` on that are not found before this line were lost, and why).
//!
//! **Samples.** Numbers are little-endian. Header, 32 bytes: `BKSTPSMP`, version
//! (u16), zero (u16), `first` (u64), `at` in ms (u64), CRC-32 of these 28 bytes.
//! Then frames: kind (u8: `0xA5` a key frame, which starts with empty tables,
//! `0x5A` one that goes on with the tables of the frame before), length of the
//! payload (u32), CRC-32 (u32) of the header's checksum, the kind, the length as
//! u64 and the payload. The payload is made of varints (LEB128; *signed* ones in
//! zigzag) and starts with the number of its first record, how far below that
//! `safe` was, and how many records follow; their numbers are consecutive.
//!
//! A record: kind (u8), `at` (signed difference to the record before), then
//! - 1, ticked: service, tick, wall ahead in ms (signed difference to the last);
//! - 2 and 3, scraped: source, tick, with 3 the page's series (a count, then each
//!   one's index), then each one's value; with 2 the series are those of that
//!   source's page before;
//! - 4 and 5, probed: source, tick, latency in whole seconds and the rest in
//!   nanoseconds, with 5 a gap;
//! - 6, failed: source, tick, a gap.
//!
//! A service is an index, at its first use followed by its name; a source
//! likewise, followed by service and name; a series likewise within its source,
//! followed by name, number of labels, and their names and values. Texts are a
//! length and UTF-8. A tick is the signed difference to the last of its service.
//! A gap is its kind (u8, numbered in `codec.rs`) and its detail. A value is a
//! varint: even, twice the signed difference to the last value of the series,
//! both being whole and at most 2^53 (0 stands for a last value that is not); 3,
//! the same bits as before; 1, followed by a byte with the number of leading and
//! of trailing zero bytes (high and low half) of the exclusive-or with the bits
//! before, and the bytes between them, highest first. At a key frame every last
//! value, tick and moment is 0.
//!
//! **Snapshots.** Three lines: a header (`format`: `backstop snapshot`,
//! `version`, `next` (the `N` of the name), `at`, `wall_ahead_ms`, `anchor`, and
//! the places in both logs from which to go on), the state as JSON, and `hash`,
//! as above, of the two lines before with their newlines.

mod codec;
mod decisions;
mod disk;
mod error;
mod layout;
mod log;
mod merge;
mod opening;
mod options;
mod reader;
mod record;
mod recovery;
mod retention;
mod samples;
mod snapshot;
mod state_dir;
pub(crate) mod varint;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{Damage, JournalError, Torn};
pub use options::{Options, Retention};
pub use reader::{Records, bytes, read, read_decisions, read_from, read_samples, wall_ahead_ms};
pub use record::{Anchor, Body, Lost, Record};
pub use recovery::{Recovery, Step, Steps};
pub use writer::{Journal, Kept};
