//! Reading policy files: the only place of this room that does I/O.
//!
//! A policy names programs that the agent runs, so a file that others may write
//! is a way to run as the agent: such a file, or one in such a directory, is
//! refused with the `chmod` that mends it. The checks are made on the opened
//! file, so nothing can be swapped in between. Pipes, devices and directories
//! are refused without being read, files above [`MOST_BYTES`] are not read to
//! their end, and one that changes while it is read is not used.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::fault::Draft;
use super::{
    Fault, FaultSeverity, Loaded, LoadedConfig, LoadedSuite, MOST_BYTES, Tried, load, load_config,
    load_suite,
};

/// How the name of a test file ends.
const TEST: &str = ".test.toml";
/// And that of a policy.
const TOML: &str = ".toml";

/// Policy files per directory.
const MOST_FILES: usize = 1000;

/// What to do about a file that others may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// Refuse it, as the agent does.
    Refuse,
    /// Warn, as a check of a working copy does.
    Warn,
}

/// A policy file as it was read.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it; empty if it could not be read.
    pub text: String,
    /// What came of it. Faults of reading it stand among the others.
    pub loaded: Loaded,
}

/// A directory of policies as it was read.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Its policy files, by name.
    pub files: Vec<PolicyFile>,
    /// What is wrong with the directory itself; then `files` is empty.
    pub faults: Vec<Fault>,
    /// What is dubious about the directory itself.
    pub warnings: Vec<Fault>,
}

/// Reads one policy file.
#[must_use]
pub fn read_policy(path: &Path, writable: Writable) -> PolicyFile {
    let name = path.display().to_string();
    let (text, mut loaded, faults) = match read(path, writable) {
        Ok((text, warnings)) => {
            let loaded = load(&name, &text);
            (text, loaded, warnings)
        }
        Err(fault) => (String::new(), Loaded::refused(&name), vec![*fault]),
    };
    for fault in faults {
        loaded.add(fault);
    }
    PolicyFile {
        path: path.to_owned(),
        text,
        loaded,
    }
}

/// Reads every policy of a directory: `*.toml` but neither `*.test.toml` nor
/// hidden files, not below it. Of two files that name the same service the
/// later one, by name, is refused.
#[must_use]
pub fn read_folder(dir: &Path, writable: Writable) -> Folder {
    let name = dir.display().to_string();
    let mut folder = Folder::default();
    let paths = fs::metadata(dir)
        .map_err(|e| unreadable(&name, &e))
        .and_then(|meta| {
            if let Some(fault) = writable_by_others(&name, &meta, writable) {
                if fault.is_error() {
                    return Err(Box::new(fault));
                }
                folder.warnings.push(fault);
            }
            policy_paths(dir).map_err(|e| unreadable(&name, &e))
        });
    let paths = match paths {
        Ok(paths) if paths.len() <= MOST_FILES => paths,
        Ok(paths) => {
            let message = format!("{} policy files: at most {MOST_FILES} go", paths.len());
            folder.faults.push(Fault::of_file(&name, "size", message));
            return folder;
        }
        Err(fault) => {
            folder.faults.push(*fault);
            return folder;
        }
    };
    folder.files = paths
        .iter()
        .map(|path| read_policy(path, writable))
        .collect();
    refuse_twins(&mut folder.files);
    folder
}

/// Reads the agent's config.
#[must_use]
pub fn read_config(path: &Path, writable: Writable) -> (String, LoadedConfig) {
    let name = path.display().to_string();
    match read(path, writable) {
        Ok((text, warnings)) => {
            let mut loaded = load_config(&name, &text);
            loaded.warnings.extend(warnings);
            (text, loaded)
        }
        Err(fault) => {
            let loaded = LoadedConfig {
                config: None,
                faults: vec![*fault],
                warnings: Vec::new(),
            };
            (String::new(), loaded)
        }
    }
}

/// A test file as it was read.
#[derive(Clone, Debug)]
pub struct SuiteFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it; empty if it could not be read.
    pub text: String,
    /// What came of it. Faults of reading it stand among the others.
    pub loaded: LoadedSuite,
    /// The policy that it tests, where there is one to read.
    pub policy: Option<PolicyFile>,
}

/// Reads a test file and the policy that it names: by its key `policy`, or by
/// its own name, `checkout.test.toml` testing `checkout.toml` beside it.
///
/// Who may write the two is not asked: nothing of them is run.
#[must_use]
pub fn read_suite(path: &Path) -> SuiteFile {
    let name = path.display().to_string();
    let mut policy = None;
    let (text, loaded) = match read(path, Writable::Warn) {
        Ok((text, _)) => {
            let loaded = load_suite(&name, &text, |named| {
                let there = match named {
                    Some(named) => path.with_file_name(named),
                    None => tested(path),
                };
                if !there.exists() {
                    let why = format!("there is no policy {}", there.display());
                    return Tried::Missing(why);
                }
                let file = policy.insert(read_policy(&there, Writable::Warn));
                match &file.loaded.policy {
                    Some(policy) => Tried::Policy(Box::new(policy.clone())),
                    None => Tried::Refused,
                }
            });
            (text, loaded)
        }
        Err(fault) => {
            let loaded = LoadedSuite {
                suite: None,
                faults: vec![*fault],
            };
            (String::new(), loaded)
        }
    };
    SuiteFile {
        path: path.to_owned(),
        text,
        loaded,
        policy,
    }
}

/// The test files that a path means: itself, those of the directory that it is
/// but not below it, or the one beside the policy that it is. Sorted; of a
/// directory perhaps none.
///
/// # Errors
///
/// The directory cannot be read.
pub fn suite_paths(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_dir() {
        return paths_of(path, |name| name.ends_with(TEST));
    }
    let name = path.to_string_lossy();
    Ok(vec![match name.strip_suffix(TOML) {
        Some(stem) if !name.ends_with(TEST) => PathBuf::from(format!("{stem}{TEST}")),
        _ => path.to_owned(),
    }])
}

/// The policy of a test file that names none: `checkout.toml` for
/// `checkout.test.toml`.
fn tested(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(TEST).unwrap_or(&name);
    path.with_file_name(format!("{stem}.toml"))
}

fn policy_paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    paths_of(dir, |name| name.ends_with(TOML) && !name.ends_with(TEST))
}

fn paths_of(dir: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if wanted(&name) && !name.starts_with('.') && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn refuse_twins(files: &mut [PolicyFile]) {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    for file in files {
        let Some(policy) = &file.loaded.policy else {
            continue;
        };
        let name = file.path.display().to_string();
        if let Some(other) = first.get(&policy.service) {
            let at = file.loaded.marks.at("service");
            let message = format!("the service `{}` is that of {other} too", policy.service);
            let draft = Draft::error("twin", at, message)
                .hint("one policy per service: join the two, or rename one");
            let fault = file.loaded.marks.page.locate(draft);
            file.loaded.add(fault);
        } else {
            first.insert(policy.service.clone(), name);
        }
    }
}

/// The text of a file, and warnings about it.
fn read(path: &Path, writable: Writable) -> Result<(String, Vec<Fault>), Box<Fault>> {
    let name = path.display().to_string();
    let failed = |e: io::Error| unreadable(&name, &e);
    // Without it, opening a pipe waits for a writer.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    if !before.is_file() {
        return Err(refused(&name, "unreadable", "this is not a regular file"));
    }
    let warnings = match writable_by_others(&name, &before, writable) {
        Some(fault) if fault.is_error() => return Err(Box::new(fault)),
        fault => fault.into_iter().collect(),
    };
    let bytes = bounded(&mut file).map_err(failed)?;
    if bytes.len() > MOST_BYTES {
        let message = format!(
            "the file has {} bytes: at most {MOST_BYTES} go",
            before.len()
        );
        return Err(refused(&name, "size", message));
    }
    if stamp(&before) != stamp(&file.metadata().map_err(failed)?) {
        let message = "the file changed while it was read";
        return Err(refused(&name, "changing", message));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let good = e.utf8_error().valid_up_to();
        let line = memchr::memchr_iter(b'\n', &e.as_bytes()[..good]).count() + 1;
        let message = format!("the file is not UTF-8: see byte {good}, on line {line}");
        refused(&name, "encoding", message)
    })?;
    Ok((text, warnings))
}

fn bounded(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn stamp(meta: &Metadata) -> (u64, i64, i64) {
    (meta.len(), meta.mtime(), meta.mtime_nsec())
}

fn refused(name: &str, code: &'static str, message: impl Into<String>) -> Box<Fault> {
    Box::new(Fault::of_file(name, code, message))
}

fn unreadable(name: &str, e: &io::Error) -> Box<Fault> {
    refused(name, "unreadable", format!("it cannot be read: {e}"))
}

fn writable_by_others(name: &str, meta: &Metadata, writable: Writable) -> Option<Fault> {
    const GROUP_AND_OTHERS: u32 = 0o022;
    if meta.mode() & GROUP_AND_OTHERS == 0 {
        return None;
    }
    let mut fault = Fault::of_file(
        name,
        "writable",
        "others than its owner may write it, and so decide what the agent runs",
    );
    fault.hint = Some(format!("chmod go-w '{}'", name.replace('\'', "'\\''")));
    if writable == Writable::Warn {
        fault.severity = FaultSeverity::Warning;
    }
    Some(fault)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const MINIMAL: &str = "service = \"a\"\n[sources.web]\ntype = \"tcp\"\naddress = \"h:1\"\n\
                           [triggers.down]\nwhen = \"web is down for 5m\"\nseverity = \"low\"\n";

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("backstop-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_with_its_remedy() {
        let dir = Dir::new("writable");
        let path = dir.write("a.toml", MINIMAL.as_bytes(), 0o664);
        let refused = read_policy(&path, Writable::Refuse).loaded;
        assert!(refused.policy.is_none());
        let hint = refused.faults[0].hint.clone().unwrap();
        assert_eq!(hint, format!("chmod go-w '{}'", path.display()));
        let warned = read_policy(&path, Writable::Warn).loaded;
        assert!(warned.policy.is_some() && warned.warnings.iter().any(|f| f.code == "writable"));

        dir.write("a.toml", MINIMAL.as_bytes(), 0o644);
        fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o777)).unwrap();
        let folder = read_folder(&dir.0, Writable::Refuse);
        assert!(folder.files.is_empty());
        assert_eq!(folder.faults[0].code, "writable");
    }

    #[test]
    fn only_files_of_the_directory_itself_are_read() {
        let dir = Dir::new("folder");
        for name in ["b.toml", "b.test.toml", ".b.toml", "b.toml~", "notes.md"] {
            dir.write(name, MINIMAL.as_bytes(), 0o644);
        }
        fs::create_dir(dir.0.join("agent.toml")).unwrap();
        symlink(dir.0.join("b.toml"), dir.0.join("a.toml")).unwrap();
        fs::create_dir(dir.0.join("recipes")).unwrap();
        for name in ["recipes/c.toml", "recipes/c.test.toml"] {
            dir.write(name, MINIMAL.as_bytes(), 0o644);
        }
        let folder = read_folder(&dir.0, Writable::Refuse);
        let names: Vec<_> = folder
            .files
            .iter()
            .map(|f| f.path.file_name().unwrap())
            .collect();
        assert_eq!(names, ["a.toml", "b.toml"]);
        assert_eq!(suite_paths(&dir.0).unwrap(), [dir.0.join("b.test.toml")]);
        // And one service is one policy's.
        assert!(folder.files[0].loaded.policy.is_some());
        let twin = &folder.files[1].loaded;
        assert!(twin.policy.is_none());
        assert!(
            twin.faults[0].message.contains("a.toml"),
            "{:?}",
            twin.faults
        );
    }

    #[test]
    fn what_is_not_a_small_text_file_is_refused_without_waiting() {
        let dir = Dir::new("strange");
        let large = dir.write("large.toml", &vec![b'#'; MOST_BYTES + 1], 0o644);
        let binary = dir.write("binary.toml", b"service = \"a\"\n\xff\n", 0o644);
        let pipe = dir.0.join("pipe.toml");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        for (path, code) in [
            (large, "size"),
            (binary, "encoding"),
            (pipe, "unreadable"),
            (dir.0.join("absent.toml"), "unreadable"),
        ] {
            let loaded = read_policy(&path, Writable::Refuse).loaded;
            assert_eq!(loaded.faults[0].code, code, "{}", path.display());
            assert!(loaded.policy.is_none());
        }
    }
}
