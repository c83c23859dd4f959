//! Why a command failed, as a person reads it: `error:`, `caused by:`, `hint:`.

use std::fmt::Write as _;

/// Why a command failed.
#[derive(Debug)]
pub struct Error {
    code: u8,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl Error {
    /// It failed: exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::with(1, message)
    }

    /// It makes no sense, or rests on an invalid policy: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::with(2, message)
    }

    /// No agent answers on the socket: exit code 3.
    pub fn no_agent(message: impl Into<String>) -> Self {
        Self::with(3, message)
    }

    fn with(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// What an error of another room says, with what caused it.
    pub fn of(error: &dyn std::error::Error) -> Self {
        Self::failed(error.to_string()).because_of(error.source())
    }

    /// With a chain of causes.
    #[must_use]
    pub fn because_of(mut self, mut cause: Option<&(dyn std::error::Error + 'static)>) -> Self {
        while let Some(error) = cause {
            self.causes.push(error.to_string());
            cause = error.source();
        }
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The exit code.
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// Writes it to standard error.
    #[expect(clippy::print_stderr, reason = "this is the face")]
    pub fn print(&self) {
        eprint!("{self}");
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        for cause in &self.causes {
            writeln!(f, "  caused by: {cause}")?;
        }
        if let Some(hint) = &self.hint {
            let mut text = String::new();
            for (i, line) in hint.lines().enumerate() {
                let indent = if i == 0 { "" } else { "      " };
                let _ = writeln!(text, "{indent}{line}");
            }
            write!(f, "hint: {text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_to_do() {
        let cause = std::io::Error::other("no route");
        let error = Error::no_agent("no agent answers on /run/backstop/control.sock")
            .because_of(Some(&cause))
            .hint("start one with `backstop run`");
        assert_eq!(error.code(), 3);
        assert_eq!(
            error.to_string(),
            "error: no agent answers on /run/backstop/control.sock\n  caused by: no route\nhint: start one with `backstop run`\n"
        );
    }
}
