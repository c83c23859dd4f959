//! `backstop test`: the tests of policies, through the very same engine.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use super::{Done, Error, Format, out};
use crate::policy::files::{SuiteFile, read_suite, suite_paths};
use crate::policy::{Fault, render};
use crate::replay::{Difference, Tested, test};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Test files, the policies that they test, or directories of them, without
    /// what is in directories below.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// How to write the result.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether every file could be read and every test passed.
    ok: bool,
    tests: usize,
    passed: usize,
    failed: usize,
    files: Vec<Ran>,
}

/// A test file that was run.
#[derive(Debug, Serialize)]
struct Ran {
    file: String,
    /// Of the file, and of its policy where that is refused.
    faults: Vec<Fault>,
    tests: Vec<Tested>,
    /// The faults as a person reads them.
    #[serde(skip)]
    rendered: String,
}

pub(super) fn run(args: &Args) -> Result<Done, Error> {
    let mut paths = Vec::new();
    for path in &args.paths {
        let found = suite_paths(path).map_err(|e| {
            Error::usage(format!("cannot read {}", path.display())).because_of(Some(&e))
        })?;
        if found.is_empty() {
            return Err(Error::usage(format!("no test in {}", path.display())).hint(
                "a test file is named after its policy: checkout.test.toml beside checkout.toml",
            ));
        }
        for found in found {
            if !paths.contains(&found) {
                paths.push(found);
            }
        }
    }
    let files: Vec<_> = paths.iter().map(|path| ran(read_suite(path))).collect();
    let all = || files.iter().flat_map(|file| &file.tests);
    let (tests, passed) = (all().count(), all().filter(|test| test.passed).count());
    let refused = files.iter().any(|file| !file.faults.is_empty());
    let report = Report {
        ok: passed == tests && !refused,
        tests,
        passed,
        failed: tests - passed,
        files,
    };
    match args.format {
        Format::Json => out::say_json(&report)?,
        Format::Text => out::say(&text(&report))?,
    }
    Ok(match report {
        _ if refused => Done::With(2),
        Report { ok: true, .. } => Done::Well,
        Report { .. } => Done::With(1),
    })
}

fn ran(file: SuiteFile) -> Ran {
    let colour = out::colour();
    let mut rendered = render(&file.loaded.faults, &file.text, colour);
    let mut faults = file.loaded.faults;
    if let Some(policy) = file.policy {
        let own = policy.loaded.faults;
        if !rendered.is_empty() && !own.is_empty() {
            rendered.push('\n');
        }
        rendered.push_str(&render(&own, &policy.text, colour));
        faults.extend(own);
    }
    Ran {
        file: file.path.display().to_string(),
        faults,
        tests: file.loaded.suite.as_ref().map(test).unwrap_or_default(),
        rendered,
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for file in &report.files {
        if !file.rendered.is_empty() {
            let _ = writeln!(text, "{}", file.rendered);
        }
        for test in file.tests.iter().filter(|test| !test.passed) {
            let _ = writeln!(text, "FAILED {}:{}: {}", file.file, test.line, test.name);
            for (i, difference) in test.differences.iter().enumerate() {
                // What is the same for the next line is said there, once.
                let next = test.differences.get(i + 1);
                let last = next.is_none_or(|next| next.happened != difference.happened);
                told(&file.file, difference, last, &mut text);
            }
            for remark in &test.remarks {
                let _ = writeln!(text, "  note: {remark}");
            }
            text.push('\n');
        }
    }
    let files = counted(report.files.len(), "file", "files");
    let tests = counted(report.tests, "test", "tests");
    let refused = report.files.iter().filter(|f| !f.faults.is_empty()).count();
    let refused = match refused {
        0 => String::new(),
        n => format!(", {} refused", counted(n, "file", "files")),
    };
    let _ = writeln!(
        text,
        "{tests} in {files}: {} passed, {} failed{refused}",
        report.passed, report.failed
    );
    text
}

fn told(file: &str, difference: &Difference, events: bool, text: &mut String) {
    let Difference {
        line,
        expected,
        instead,
        happened,
        ..
    } = difference;
    let _ = writeln!(text, "  {file}:{line}");
    let _ = writeln!(text, "    expected: {expected}");
    let _ = writeln!(text, "    instead:  {instead}");
    let width = happened.iter().map(|event| event.at.len()).max();
    for event in happened.iter().filter(|_| events) {
        let width = width.unwrap_or(0);
        let _ = writeln!(text, "      at {:<width$}  {}", event.at, event.line);
    }
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
