//! `OpenMetrics` text with timestamps → a recording, as a stream, by the scanner
//! that reads pages.
//!
//! A file that was kept may be cut, joined or damaged in the middle: what can be
//! read of it is used, and what cannot is said. A line without a line feed at
//! the end of a file without `# EOF` is not read: half a number is a number too.

use std::io::Read;

use memchr::memrchr;

use super::recorder::Recorder;
use super::recording::Fault;
use crate::model::{Gap, GapKind, Moment};
use crate::sense::exposition::{self, Dialect, Exposition, Found, Framing, MAX_LINE};

/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// Reads a file to its end. The fault of the first line that could not be used,
/// if there was one: of a recording without a sample, the reason.
///
/// # Errors
///
/// [`Fault::Read`], and [`Fault::Format`] of a line that never ends.
pub(super) fn read(recorder: &mut Recorder, mut from: impl Read) -> Result<Option<Fault>, Fault> {
    let mut exposition = Exposition::everything();
    let page = exposition.page(Dialect::OpenMetrics, u64::MAX);
    let mut page = page.passing_over();
    let mut taken = Taken {
        recorder,
        fault: None,
        last: None,
    };
    let mut buffer = vec![0; CHUNK];
    // The start of a line that goes on in the next piece.
    let mut held = 0;
    loop {
        let read = from.read(&mut buffer[held..])?;
        if read == 0 {
            break;
        }
        let filled = held + read;
        let Some(end) = memrchr(b'\n', &buffer[held..filled]).map(|n| held + n + 1) else {
            held = filled;
            if held > MAX_LINE {
                let why = format!("line {} does not end", page.lines_read() + 1);
                return Err(Fault::Format(Gap::new(GapKind::TooLarge, why)));
            }
            buffer.resize(buffer.len().max(2 * held), 0);
            continue;
        };
        let fed = page.feed_each(&buffer[..end], |found| taken.take(&found));
        fed.map_err(Fault::Format)?;
        buffer.copy_within(end..filled, 0);
        held = filled - end;
    }
    if matches!(buffer[..held].trim_ascii(), b"" | b"# EOF") {
        let fed = page.feed_each(&buffer[..held], |found| taken.take(&found));
        fed.map_err(Fault::Format)?;
        held = 0;
    }
    let (lines, passed) = (page.lines_read(), page.passed_over());
    let finished = page.finish_each(Framing::Announced, |found| taken.take(&found));
    if finished.is_err() || held > 0 {
        let until = match taken.last {
            Some(at) => format!(
                "the last sample is of {}",
                crate::view::value::time(Moment::from_millis(at), 0)
            ),
            None => "no sample is in it".to_owned(),
        };
        let half = if held > 0 {
            ", in the middle of the next"
        } else {
            ""
        };
        taken.recorder.remark(format!(
            "the file was cut behind line {lines}{half}: it has no `# EOF` at its end; {until}"
        ));
    }
    if let Some((line, why)) = passed.first {
        let what = match passed.lines {
            1 => "a line was passed over".to_owned(),
            n => format!("{n} lines were passed over, the first"),
        };
        taken.recorder.remark(format!("{what}, line {line}: {why}"));
        let fault = Gap::new(
            GapKind::Malformed,
            format!("not an exposition at line {line}: {why}"),
        );
        return Ok(Some(taken.fault.unwrap_or(Fault::Format(fault))));
    }
    Ok(None)
}

/// Takes down what the scanner finds.
struct Taken<'r> {
    recorder: &'r mut Recorder,
    fault: Option<Fault>,
    /// The time of the last sample of all.
    last: Option<u64>,
}

impl Taken<'_> {
    #[inline]
    fn take(&mut self, found: &Found<'_>) -> Result<(), exposition::Fault> {
        let ms = found.timestamp_ms.and_then(|ms| u64::try_from(ms).ok());
        let Some(ms) = ms else {
            return Err(self.refuse(Fault::Untimed(found.series.to_string())));
        };
        let at = Moment::from_millis(ms);
        let slot = found.slot as usize;
        let row = self.recorder.row(slot, found.series, at, found.value);
        row.map_err(|fault| self.refuse(fault))?;
        self.last = self.last.max(Some(ms));
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, fault: Fault) -> exposition::Fault {
        let said = exposition::Fault::new(fault.to_string());
        self.fault.get_or_insert(fault);
        said
    }
}
