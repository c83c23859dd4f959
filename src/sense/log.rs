//! A log file: its new lines, counted by the patterns that they match.
//!
//! It is read from its end at the first sample: what stood there before is
//! nobody's evidence. Each pattern is a counter from then on, the same on every
//! page, so that signals of a log are counted like those of a scrape: growth
//! from sample to sample, nothing for the first.
//!
//! Rotation by renaming is followed: the old file is read to its end first, and
//! the new one from its beginning. So is truncation in place, as far as anybody
//! can see it: a file that is shorter than what was read begins anew. One that
//! was cut and has grown past that point between two samples cannot be told
//! from one that has only grown, and lines of it are lost.
//!
//! What it refuses: to read anything but a file (a pipe would take its lines
//! from another reader), to hold more of a line than [`LONGEST_LINE`] or to read
//! more than [`MOST_READ`] in one sample. What is left is read at the next.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use memchr::memchr;

use crate::model::{Gap, GapKind, Pattern, Sample, Series};

/// A line is matched up to here, in bytes; the rest of it is passed over.
const LONGEST_LINE: usize = 64 * 1024;
/// Most bytes that one sample reads.
const MOST_READ: u64 = 64 << 20;
/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// A log and what was counted in it.
#[derive(Debug)]
pub(super) struct Log {
    /// Shared with the thread that reads: a file may hang on a dead mount.
    counted: Arc<Mutex<Counted>>,
}

impl Log {
    pub(super) fn new<'a>(
        path: &str,
        patterns: impl Iterator<Item = (&'a String, &'a Pattern)>,
    ) -> Self {
        let counters = patterns.map(|(name, pattern)| Counter {
            series: Arc::new(Series::new(name, Vec::new())),
            pattern: pattern.clone(),
            lines: 0,
        });
        Self {
            counted: Arc::new(Mutex::new(Counted {
                path: PathBuf::from(path),
                tail: None,
                missed: false,
                counters: counters.collect(),
            })),
        }
    }

    /// Reads what is new. Counts its bytes when all of it is read.
    pub(super) async fn sample(&mut self, bytes: &mut u64) -> Result<Vec<Sample>, Gap> {
        let counted = Arc::clone(&self.counted);
        let read = tokio::task::spawn_blocking(move || {
            let Ok(mut counted) = counted.try_lock() else {
                // The reading before this one has not come back.
                return Err(Gap::new(GapKind::TimedOut, "the file does not answer"));
            };
            let read = counted.advance().map_err(|error| gap(&error))?;
            Ok((counted.page(), read))
        });
        let (page, read) = read
            .await
            .map_err(|_| Gap::new(GapKind::Other, "the reading of the file was given up"))??;
        *bytes += read;
        Ok(page)
    }
}

/// What a failure to read says. Nothing here speaks of the service's health: a
/// log is no check of it.
fn gap(error: &io::Error) -> Gap {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "the agent may not read the file".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    };
    Gap::new(GapKind::Other, why)
}

#[derive(Debug)]
struct Counted {
    path: PathBuf,
    tail: Option<Tail>,
    /// The file was missing before: when it comes, all of it is new.
    missed: bool,
    counters: Vec<Counter>,
}

#[derive(Debug)]
struct Counter {
    series: Arc<Series>,
    pattern: Pattern,
    lines: u64,
}

impl Counted {
    fn page(&self) -> Vec<Sample> {
        let sample = |counter: &Counter| Sample {
            series: Arc::clone(&counter.series),
            value: counter.lines as f64,
        };
        self.counters.iter().map(sample).collect()
    }

    /// Counts the new lines of the file, and of the one that took its place.
    /// Returns the bytes read.
    fn advance(&mut self) -> io::Result<u64> {
        let mut tail = match self.tail.take() {
            Some(tail) => tail,
            None => match Tail::open(&self.path) {
                Ok(mut tail) => {
                    if !self.missed {
                        tail.skip_to_end()?;
                    }
                    tail
                }
                Err(error) => {
                    self.missed |= error.kind() == io::ErrorKind::NotFound;
                    return Err(error);
                }
            },
        };
        let mut read = 0;
        loop {
            read += tail.read(MOST_READ - read, &mut self.counters)?;
            if read >= MOST_READ {
                break;
            }
            // Where nothing stands at the path now, the writer may still write
            // to the file it has open.
            match Tail::open(&self.path) {
                Ok(next) if next.id != tail.id => {
                    tail.end(&mut self.counters);
                    tail = next;
                }
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => {
                    self.tail = Some(tail);
                    return Err(error);
                }
            }
        }
        self.tail = Some(tail);
        Ok(read)
    }
}

/// An open file, read up to a place.
#[derive(Debug)]
struct Tail {
    file: File,
    /// Device and inode.
    id: (u64, u64),
    at: u64,
    /// The beginning of a line whose end is still to come.
    line: Vec<u8>,
    /// The line under way began before the first sample: only its end is seen.
    headless: bool,
}

impl Tail {
    fn open(path: &Path) -> io::Result<Self> {
        // Before opening: to open a pipe would wait for its writer.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let file = File::open(path)?;
        let about = file.metadata()?;
        Ok(Self {
            file,
            id: (about.dev(), about.ino()),
            at: 0,
            line: Vec::new(),
            headless: false,
        })
    }

    fn skip_to_end(&mut self) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        self.at = end;
        if end > 0 {
            let mut last = [0];
            self.file.seek(SeekFrom::Start(end - 1))?;
            self.headless = self.file.read(&mut last)? == 1 && last != *b"\n";
        }
        Ok(())
    }

    /// Reads on, at most `most` bytes, and counts the lines that are whole.
    fn read(&mut self, most: u64, counters: &mut [Counter]) -> io::Result<u64> {
        if self.file.metadata()?.len() < self.at {
            // Cut in place: what stands there now was written since.
            self.at = 0;
            self.line.clear();
            self.headless = false;
        }
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut chunk = vec![0; CHUNK];
        let mut read = 0;
        while read < most {
            let n = match self.file.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            read += n as u64;
            self.at += n as u64;
            self.feed(&chunk[..n], counters);
        }
        Ok(read)
    }

    fn feed(&mut self, mut bytes: &[u8], counters: &mut [Counter]) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (rest_of_line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.line.is_empty() && !self.headless {
                // The usual case: the whole line is in the chunk.
                count(rest_of_line, counters);
            } else {
                self.keep(rest_of_line);
                self.end(counters);
            }
        }
        self.keep(bytes);
    }

    /// Adds to the line under way, as far as there is room.
    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The line under way is whole, or nothing more will come of it.
    fn end(&mut self, counters: &mut [Counter]) {
        let line = std::mem::take(&mut self.line);
        if !std::mem::take(&mut self.headless) && !line.is_empty() {
            count(&line, counters);
        }
    }
}

fn count(line: &[u8], counters: &mut [Counter]) {
    let line = &line[..line.len().min(LONGEST_LINE)];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    for counter in counters {
        counter.lines += u64::from(counter.pattern.is_in(line));
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use super::*;

    struct Scene {
        directory: tempfile::TempDir,
        counted: Counted,
    }

    impl Scene {
        fn new(patterns: &[(&str, &str)]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("app.log");
            let patterns: Vec<_> = patterns
                .iter()
                .map(|&(name, text)| (name.to_owned(), Pattern::parse(text).unwrap()))
                .collect();
            let log = Log::new(
                path.to_str().unwrap(),
                patterns.iter().map(|(name, pattern)| (name, pattern)),
            );
            let counted = Arc::into_inner(log.counted).unwrap();
            Self {
                directory,
                counted: counted.into_inner().unwrap(),
            }
        }

        fn path(&self) -> &Path {
            &self.counted.path
        }

        fn write(&self, text: impl AsRef<[u8]>) {
            let mut open = OpenOptions::new();
            let mut file = open.create(true).append(true).open(self.path()).unwrap();
            file.write_all(text.as_ref()).unwrap();
        }

        fn rotate(&self, to: &str) {
            fs::rename(self.path(), self.directory.path().join(to)).unwrap();
        }

        /// The counters after one more sample.
        fn sample(&mut self) -> Vec<u64> {
            self.counted.advance().unwrap();
            self.counted.counters.iter().map(|c| c.lines).collect()
        }
    }

    const ERRORS: &[(&str, &str)] = &[("errors", "ERROR"), ("lines", "")];

    #[test]
    fn what_stood_there_before_is_not_counted_and_what_comes_is() {
        let mut scene = Scene::new(ERRORS);
        scene.write("ERROR old\nfine\n");
        assert_eq!(scene.sample(), [0, 0]);
        scene.write("ERROR new\nfine\r\nERROR\n");
        assert_eq!(scene.sample(), [2, 3]);
        assert_eq!(scene.sample(), [2, 3]);
    }

    #[test]
    fn a_line_counts_once_it_is_whole() {
        let mut scene = Scene::new(ERRORS);
        scene.write("half of an ER");
        assert_eq!(scene.sample(), [0, 0]);
        scene.write("ROR whose head nobody saw\nERR");
        assert_eq!(scene.sample(), [0, 0]);
        scene.write("OR in pieces\n");
        assert_eq!(scene.sample(), [1, 1]);
    }

    #[test]
    fn a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_beginning() {
        let mut scene = Scene::new(ERRORS);
        scene.write("");
        assert_eq!(scene.sample(), [0, 0]);
        scene.write("ERROR 1\n");
        scene.rotate("app.log.1");
        assert_eq!(scene.sample(), [1, 1], "nothing at the path yet");
        let old = scene.directory.path().join("app.log.1");
        fs::write(&old, "ERROR 1\nERROR late\nERROR without an end").unwrap();
        scene.write("ERROR 2\nfine\n");
        assert_eq!(scene.sample(), [4, 5]);
        scene.write("ERROR 3\n");
        assert_eq!(scene.sample(), [5, 6]);
    }

    #[test]
    fn several_rotations_between_two_samples_lose_only_what_was_never_seen() {
        let mut scene = Scene::new(ERRORS);
        scene.write("");
        scene.sample();
        scene.write("ERROR 1\n");
        scene.rotate("app.log.2");
        scene.write("ERROR never seen\n");
        scene.rotate("app.log.1");
        scene.write("ERROR 3\n");
        assert_eq!(scene.sample(), [2, 2]);
    }

    #[test]
    fn a_file_cut_in_place_begins_anew() {
        let mut scene = Scene::new(ERRORS);
        scene.write("a long line that stood there before\n");
        scene.sample();
        scene.write("ERROR 1\n");
        assert_eq!(scene.sample(), [1, 1]);
        fs::write(scene.path(), "ERROR 2\n").unwrap();
        assert_eq!(scene.sample(), [2, 2]);
    }

    #[test]
    fn a_missing_file_has_its_reason_and_counts_whole_when_it_comes() {
        let mut scene = Scene::new(ERRORS);
        let error = scene.counted.advance().unwrap_err();
        assert_eq!(gap(&error).detail, "there is no such file");
        scene.write("ERROR first\n");
        assert_eq!(scene.sample(), [1, 1]);
    }

    #[test]
    fn what_is_not_a_file_is_refused() {
        let mut scene = Scene::new(ERRORS);
        fs::create_dir(scene.path()).unwrap();
        let error = scene.counted.advance().unwrap_err();
        assert_eq!(
            gap(&error).detail,
            "the file cannot be read: it is not a file"
        );
    }

    #[test]
    fn an_endless_line_costs_no_memory_and_bytes_need_no_encoding() {
        let mut scene = Scene::new(&[
            ("errors", "ERROR"),
            ("late", "too late"),
            ("raw", r"(?-u)\xff"),
        ]);
        scene.write("");
        scene.sample();
        scene.write("ERROR ");
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..8 {
            scene.write(&piece);
            scene.sample();
            let tail = scene.counted.tail.as_ref().unwrap();
            assert!(tail.line.capacity() <= 2 * LONGEST_LINE);
        }
        scene.write("too late\n");
        scene.write(b"\xff\xfe\n");
        assert_eq!(scene.sample(), [1, 0, 1]);
    }

    #[tokio::test]
    async fn a_sample_is_a_page_of_counters() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        fs::write(&path, "").unwrap();
        let (name, pattern) = ("errors".to_owned(), Pattern::parse("ERROR").unwrap());
        let mut log = Log::new(path.to_str().unwrap(), [(&name, &pattern)].into_iter());
        let mut bytes = 0;
        log.sample(&mut bytes).await.unwrap();
        fs::write(&path, "ERROR\n").unwrap();
        let page = log.sample(&mut bytes).await.unwrap();
        assert_eq!((page[0].series.name(), page[0].value), ("errors", 1.0));
        assert_eq!(bytes, 6);
    }
}
