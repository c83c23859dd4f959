//! Standard output, or a file in its place: how wide and how colourful it may be,
//! and that nobody is angry when its reader has gone.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use serde::Serialize;

use super::Error;
use crate::view::Style;

/// Whether colour is wanted: on a terminal, unless `NO_COLOR` says otherwise
/// (<https://no-color.org>: set and not empty).
pub(super) fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// How text may be dressed up: as wide as the terminal. What goes elsewhere is
/// as wide as it needs to be.
pub(super) fn style() -> Style {
    /// Wide enough for every line: a file or `grep` does not wrap.
    const ENDLESS: usize = 1000;
    let columns = rustix::termios::tcgetwinsize(io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|&columns| columns > 0);
    Style {
        width: columns.unwrap_or(if io::stdout().is_terminal() {
            Style::default().width
        } else {
            ENDLESS
        }),
        colour: colour(),
    }
}

/// Writes to standard output. A reader that has gone, such as `head`, has seen
/// enough.
pub(super) fn say(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::failed("cannot write the result").because_of(Some(&e)))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes to the file that was asked for, else to standard output.
pub(super) fn put(file: Option<&Path>, text: &str) -> Result<(), Error> {
    let Some(path) = file else { return say(text) };
    fs::write(path, text)
        .map_err(|e| Error::failed(format!("cannot write {}", path.display())).because_of(Some(&e)))
}

/// Writes JSON to standard output, for programs.
pub(super) fn say_json(what: &impl Serialize) -> Result<(), Error> {
    say(&json(what)?)
}

/// JSON for programs. Ends with a newline.
pub(super) fn json(what: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(what)
        .map_err(|e| Error::failed("cannot write the result").because_of(Some(&e)))?;
    Ok(format!("{text}\n"))
}

/// What a person should know although it worked, on standard error.
#[expect(clippy::print_stderr, reason = "this is the face")]
pub(super) fn warn(text: &str) {
    eprintln!("warning: {text}");
}
