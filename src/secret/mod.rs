//! Secrets: fetched from where the configuration says at each use, so that a
//! rotated one is taken up, and never shown.
//!
//! A file that everybody on the host can read is no secret: it is refused, with
//! the `chmod` that mends it.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::model::Secret;

/// Longest secret that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Why a secret cannot be used. Never contains it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Everybody on this host can read the file.
    #[error("everybody can read the secret in {path}: chmod o= {path}")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// The file is longer than 64 KiB: not a secret.
    #[error("{path} is longer than 64 KiB: it is no secret")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing there, or only blanks.
    #[error("the secret in {place} is empty")]
    Empty {
        /// The file or variable.
        place: String,
    },
    /// It has a control character in it, or is not UTF-8.
    #[error("the secret in {place} is not one line of text")]
    NotText {
        /// The file or variable.
        place: String,
    },
    /// The environment variable is not set.
    #[error("the environment variable {name}, which should hold a secret, is not set")]
    NotSet {
        /// Its name.
        name: String,
    },
    /// The credential's name is not a file name.
    #[error("`{name}` cannot be the name of a credential")]
    BadName {
        /// The name.
        name: String,
    },
}

/// Looks whether a secret is there and may be used, without keeping it.
///
/// # Errors
///
/// Why it cannot be used.
pub fn check_secret(secret: &Secret) -> Result<(), SecretError> {
    reveal(secret).map(drop)
}

/// A secret in memory. Its only way out is [`Revealed::expose`].
pub(crate) struct Revealed(String);

impl Revealed {
    /// The secret itself: for the request that it belongs to and nothing else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The secret after a prefix, such as a scheme of authorization.
    pub(super) fn after(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.0)
    }

    /// A text from outside with every occurrence of the secret taken out.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(&self.0, "[secret]")
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Fetches a secret.
///
/// # Errors
///
/// Why it cannot be used.
pub(crate) fn reveal(secret: &Secret) -> Result<Revealed, SecretError> {
    match secret {
        Secret::Plain(text) => text_of(text, "the configuration"),
        Secret::File(path) => from_file(Path::new(path)),
        Secret::Env(name) => from_env(name, std::env::var_os(name)),
        Secret::Credential(name) => {
            from_credential(name, std::env::var_os("CREDENTIALS_DIRECTORY"))
        }
    }
}

fn from_env(name: &str, value: Option<std::ffi::OsString>) -> Result<Revealed, SecretError> {
    let value = value.ok_or_else(|| SecretError::NotSet { name: name.into() })?;
    let value = value
        .into_string()
        .map_err(|_| SecretError::NotText { place: name.into() })?;
    text_of(&value, name)
}

fn from_credential(
    name: &str,
    directory: Option<std::ffi::OsString>,
) -> Result<Revealed, SecretError> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(SecretError::BadName { name: name.into() });
    }
    let directory = directory.ok_or_else(|| SecretError::NotSet {
        name: "CREDENTIALS_DIRECTORY".into(),
    })?;
    from_file(&Path::new(&directory).join(name))
}

fn from_file(path: &Path) -> Result<Revealed, SecretError> {
    let unreadable = |source| SecretError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // Opened first and looked at through the open file: nothing can be swapped
    // in between.
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o004 != 0 {
        return Err(SecretError::Open {
            path: path.to_owned(),
        });
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(SecretError::TooLong {
            path: path.to_owned(),
        });
    }
    let place = path.display().to_string();
    let text = String::from_utf8(bytes).map_err(|_| SecretError::NotText {
        place: place.clone(),
    })?;
    text_of(&text, &place)
}

fn text_of(text: &str, place: &str) -> Result<Revealed, SecretError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(SecretError::Empty {
            place: place.into(),
        });
    }
    if text.chars().any(char::is_control) {
        return Err(SecretError::NotText {
            place: place.into(),
        });
    }
    Ok(Revealed(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use tempfile::TempDir;

    use super::*;

    fn file(scratch: &TempDir, content: &[u8], mode: u32) -> Secret {
        let path = scratch.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Secret::File(path.to_str().unwrap().into())
    }

    #[test]
    fn a_file_is_trimmed_and_read_at_each_use() {
        let scratch = TempDir::new().unwrap();
        let secret = file(&scratch, b" hunter2\n", 0o600);
        assert_eq!(reveal(&secret).unwrap().expose(), "hunter2");
        let secret = file(&scratch, b"hunter3", 0o640);
        assert_eq!(reveal(&secret).unwrap().expose(), "hunter3");
    }

    #[test]
    fn what_everybody_can_read_is_refused_with_the_remedy() {
        let scratch = TempDir::new().unwrap();
        let secret = file(&scratch, b"hunter2", 0o644);
        let error = check_secret(&secret).unwrap_err().to_string();
        assert!(error.contains("chmod o= "), "{error}");
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn no_error_and_no_debug_text_shows_a_secret() {
        let scratch = TempDir::new().unwrap();
        let long = vec![b'x'; 70_000];
        let cases: [&[u8]; 4] = [b"", b"hun\nter2", b"\xffhunter2", &long];
        for bytes in cases {
            let error = check_secret(&file(&scratch, bytes, 0o600)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("ter2"));
        }
        let revealed = reveal(&Secret::Plain("hunter2".into())).unwrap();
        assert_eq!(format!("{revealed:?}"), "[secret]");
        assert_eq!(revealed.redact("no hunter2 here"), "no [secret] here");
    }

    #[test]
    fn a_credential_is_a_file_in_its_directory_and_nowhere_else() {
        let scratch = TempDir::new().unwrap();
        file(&scratch, b"hunter2", 0o400);
        let directory = || Some(scratch.path().as_os_str().to_owned());
        assert_eq!(
            from_credential("secret", directory()).unwrap().expose(),
            "hunter2"
        );
        for name in ["../secret", "", "..", "/etc/passwd"] {
            assert!(matches!(
                from_credential(name, directory()),
                Err(SecretError::BadName { .. })
            ));
        }
        assert!(matches!(
            from_credential("secret", None),
            Err(SecretError::NotSet { .. })
        ));
    }

    #[test]
    fn a_variable_must_be_set_and_hold_something() {
        assert_eq!(
            from_env("TOKEN", Some("hunter2".into())).unwrap().expose(),
            "hunter2"
        );
        assert!(from_env("TOKEN", None).is_err());
        assert!(from_env("TOKEN", Some(" ".into())).is_err());
    }
}
