//! What can go wrong with the journal, and what can be found wrong in it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The journal cannot be opened, or what was given to it is not kept.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The state directory is not one that the agent may trust. The text names
    /// the remedy.
    #[error("state directory {}: {found}; {remedy}", path.display())]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// Another agent works on this state directory.
    #[error("state directory {}: another agent holds it ({holder}); stop that one, or give this one its own --state", path.display())]
    Held {
        /// The directory.
        path: PathBuf,
        /// Who: process and start, as its lock file says.
        holder: String,
    },
    /// An operation on a file of the state directory failed.
    #[error("cannot {verb} {file}: {source}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file's name in the state directory.
        file: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Writing failed before, and what was given since is not kept. Only a
    /// [`roll`](super::Journal::roll) into new files can mend it.
    #[error(
        "the journal is broken since an earlier failure: {why}; {lost} records are lost so far"
    )]
    Broken {
        /// The failure that broke it.
        why: String,
        /// Records that are not kept.
        lost: u64,
    },
}

impl JournalError {
    pub(crate) fn file(verb: &'static str, file: &str, source: io::Error) -> Self {
        Self::File {
            verb,
            file: file.to_owned(),
            source,
        }
    }
}

/// Something in the journal that is not as it was written. After this the agent
/// judges and tells, but acts only after a person's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Records are missing where later ones are there, or where they were known
    /// to be durable.
    Hole {
        /// The first one missing.
        from: u64,
        /// The first one that is there again; `None` when none is.
        to: Option<u64>,
        /// What was found in their place: file, offset and fault, where known.
        found: Vec<String>,
    },
    /// A file is there but cannot be used: of another program, of a newer
    /// version, or its first bytes are damaged.
    File {
        /// Its name in the state directory.
        file: String,
        /// What is wrong with it.
        found: String,
    },
    /// A line of the decisions log does not follow from the one before it.
    Chain {
        /// The file.
        file: String,
        /// The sequence number of that line.
        seq: u64,
    },
    /// Bytes that are neither a record nor the end of a torn write.
    Bytes {
        /// The file.
        file: String,
        /// Where they begin.
        offset: u64,
        /// What is wrong with them.
        found: String,
    },
    /// No snapshot can be read and the beginning of the logs is no longer kept:
    /// the state cannot be whole.
    NoSnapshot {
        /// The first record that is still there, if any is.
        first: Option<u64>,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hole { from, to, found } => {
                match to {
                    Some(to) if *to == from + 1 => write!(f, "record {from} is missing")?,
                    Some(to) => write!(f, "records {from} to {} are missing", to - 1)?,
                    None => write!(f, "records from {from} on are missing")?,
                }
                for (i, found) in found.iter().enumerate() {
                    f.write_str(if i == 0 { ": " } else { ", " })?;
                    f.write_str(found)?;
                }
                Ok(())
            }
            Self::File { file, found } => write!(f, "{file}: {found}"),
            Self::Chain { file, seq } => write!(
                f,
                "{file}: record {seq} does not follow from the one before it: its chain is broken"
            ),
            Self::Bytes {
                file,
                offset,
                found,
            } => write!(f, "{file}: {found} at byte {offset}"),
            Self::NoSnapshot { first: Some(first) } => write!(
                f,
                "no snapshot can be read and the records before {first} are no longer kept"
            ),
            Self::NoSnapshot { first: None } => {
                f.write_str("no snapshot can be read and no records are there")
            }
        }
    }
}

/// The end of the journal that was being written when the power failed or the
/// agent was killed. It had not been acknowledged, and was cut off: this is how
/// a journal should look after a crash, not damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: String,
    /// Its length now.
    pub kept: u64,
    /// Bytes that were cut off.
    pub cut: u64,
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: cut off {} bytes after byte {} that were not written whole",
            self.file, self.cut, self.kept
        )
    }
}
