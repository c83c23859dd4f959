//! The laws of the house, read off the source: which room may import which, what
//! the pure rooms must not touch, and how a file looks.
//!
//! It reads tokens, not lines: comments and strings may say what they like. Each law
//! is also held against a line that breaks it, so that none of them is empty.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

/// Who may import whom. `model`, the words, and itself every room may.
///
/// `sense`, `act`, `tell`, `journal` and `control` never import each other, and the
/// faces are imported by none.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("judge", &[]),
    ("guard", &["judge"]),
    ("view", &["guard", "judge"]),
    ("policy", &["judge"]),
    // Programs are run by whoever needs one: as a source, a step, a notifier.
    ("process", &[]),
    ("sense", &["process"]),
    // Fetched where they are used, by whoever sends them.
    ("secret", &[]),
    ("act", &["process", "secret"]),
    ("tell", &["guard", "process", "secret", "view"]),
    ("journal", &["guard"]),
    ("control", &["guard", "view"]),
    (
        "agent",
        &[
            "act", "control", "guard", "journal", "judge", "policy", "process", "replay", "sense",
            "tell", "view",
        ],
    ),
    // Of `sense` it needs the parser of exposition lines, which is pure.
    (
        "replay",
        &["guard", "journal", "judge", "policy", "sense", "view"],
    ),
    ("history", &["guard", "journal", "replay", "sense", "view"]),
    // Names of programs for what the face does.
    ("bin", &["cli"]),
    ("cli", FACE),
    ("tui", FACE),
    ("web", FACE),
];

const FACE: &[&str] = &[
    "agent", "control", "guard", "history", "policy", "replay", "view",
];

/// The rooms that are told everything: same events, same commands.
const PURE: &[&str] = &["model/", "judge/", "guard/", "view/"];

/// A pure parser in a room that is not. Its table is keyed by what strangers send,
/// so it is hashed with a random key, and nobody walks through it.
const PURE_PARSER: &str = "sense/exposition/";

/// The one file that asks what time it is. Elsewhere a timer or a deadline is
/// tokio's, which a test can drive.
const CLOCK: &str = "agent/clock.rs";

/// The world that the demo makes around the agent: its traffic and its service
/// run beside the story.
const STAGE: &str = "cli/demo/";

/// Lines of code in a file, its tests left out. Past it there is a second noun.
const LONGEST: usize = 700;

#[test]
fn a_room_imports_what_the_table_says() {
    hold(|file| {
        let room = file.room();
        let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            return vec![format!("no room `{room}` in the table")];
        };
        file.imports()
            .into_iter()
            .filter(|other| *other != room && *other != "model" && !may.contains(&other.as_str()))
            .map(|other| format!("imports `{other}`"))
            .collect()
    });
    let bad = |path, code| {
        let file = File::new(path, code);
        let may = ROOMS.iter().find(|(name, _)| *name == file.room());
        file.imports()
            .iter()
            .any(|other| !may.unwrap().1.contains(&other.as_str()))
    };
    assert!(bad("judge/x.rs", "use crate::guard::Event;"));
    assert!(bad("judge/x.rs", "use crate::{judge::A, guard::{B, C}};"));
    assert!(bad("act/x.rs", "let x = crate :: tell :: Outbox::new();"));
    assert!(!bad("guard/x.rs", "use crate::judge::{cli, tell::X};"));
    assert!(!bad("judge/x.rs", r#"let s = "crate::act"; // crate::act"#));
}

#[test]
fn a_pure_room_has_no_clock_file_network_environment_or_chance() {
    hold(|file| {
        let mut found = Vec::new();
        if PURE.iter().any(|room| file.path.starts_with(room)) {
            found.extend(file.impure(&["HashMap", "HashSet", "RandomState"]));
        } else if file.path.starts_with(PURE_PARSER) {
            found.extend(file.impure(&[]));
        }
        found
    });
    for bad in [
        "use tokio::sync::mpsc;",
        "use std::fs;",
        "use std::{fmt, net::IpAddr};",
        "let home = std::env::var(name);",
        "use std::time::{Duration, Instant};",
        "tracing::warn!(x);",
        "let now = jiff::Timestamp::now();",
        "let map = HashMap::new();",
    ] {
        let file = File::new("judge/x.rs", bad);
        assert_ne!(file.impure(&["HashMap"]), Vec::<String>::new(), "{bad}");
    }
    let good = "use std::time::Duration; // std::fs\nuse std::{fmt, mem};";
    assert_eq!(
        File::new("judge/x.rs", good).impure(&["HashMap"]),
        Vec::<String>::new()
    );
}

#[test]
fn one_file_asks_what_time_it_is() {
    hold(|file| {
        if file.path == CLOCK {
            vec![]
        } else {
            file.clocks()
        }
    });
    for bad in [
        "use std::time::Instant;",
        "use std::time::{self, Duration, SystemTime};",
        "std::time::Instant::now()",
        "let t = Zoned::now();",
        "clock_gettime(ClockId::Boottime)",
    ] {
        assert_ne!(
            File::new("act/x.rs", bad).clocks(),
            Vec::<String>::new(),
            "{bad}"
        );
    }
    let good = "use std::time::Duration; use tokio::time::Instant; Instant::now();";
    assert_eq!(File::new("act/x.rs", good).clocks(), Vec::<String>::new());
}

#[test]
fn the_agent_alone_spawns_tasks() {
    hold(|file| {
        if file.room() == "agent" || file.path.starts_with(STAGE) {
            return vec![];
        }
        file.spawns()
    });
    for bad in [
        "tokio::spawn(run());",
        "tokio::task::spawn(run());",
        "JoinSet::new()",
    ] {
        assert_ne!(
            File::new("act/x.rs", bad).spawns(),
            Vec::<String>::new(),
            "{bad}"
        );
    }
    let good = "command.spawn()?; tokio::task::spawn_blocking(swap);";
    assert_eq!(File::new("act/x.rs", good).spawns(), Vec::<String>::new());
}

#[test]
fn a_file_opens_with_what_it_is_and_holds_one_noun() {
    hold(|file| {
        let mut found = Vec::new();
        if !file.text.starts_with("//! ") {
            found.push("does not open with `//! ` and what it is".to_owned());
        }
        let lines = file
            .text
            .lines()
            .take_while(|line| *line != "#[cfg(test)]")
            .count();
        if lines > LONGEST {
            found.push(format!("{lines} lines, more than {LONGEST}"));
        }
        found
    });
}

#[test]
fn nothing_is_left_for_later() {
    hold_everywhere(File::unfinished);
    for bad in [
        "todo!()",
        "unimplemented!();",
        "#[ignore]",
        "#[ignore = \"slow\"]",
        "dbg!(x)",
    ] {
        assert_ne!(
            File::new("act/x.rs", bad).unfinished(),
            Vec::<String>::new(),
            "{bad}"
        );
    }
    assert_eq!(
        File::new("act/x.rs", "ignore(x); // todo!").unfinished(),
        Vec::<String>::new()
    );
}

/// Holds a law against every file of `src`.
fn hold(law: impl Fn(&File) -> Vec<String>) {
    report(&files(), law);
}

/// Holds a law against tests and benches too.
fn hold_everywhere(law: impl Fn(&File) -> Vec<String>) {
    let mut all = files();
    for dir in ["tests", "benches"] {
        read(dir, &mut all);
    }
    report(&all, law);
}

fn report(files: &[File], law: impl Fn(&File) -> Vec<String>) {
    let faults: Vec<String> = files
        .iter()
        .flat_map(|file| {
            law(file)
                .into_iter()
                .map(|fault| format!("{}: {fault}", file.path))
        })
        .collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn files() -> Vec<File> {
    let mut all = Vec::new();
    read("src", &mut all);
    assert!(all.len() > 20, "where is the source?");
    all.retain(|file| file.path.contains('/'));
    let tests: Vec<String> = all.iter().flat_map(File::test_modules).collect();
    for file in &mut all {
        let module = file.path.trim_end_matches(".rs");
        if tests
            .iter()
            .any(|test| module == test || module.starts_with(&format!("{test}/")))
        {
            file.code.clear();
        }
    }
    all
}

fn read(dir: &str, all: &mut Vec<File>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut open = vec![root.clone()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                all.push(File::new(name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
}

/// What stands before the name of a module of tests.
const TESTS: [&str; 8] = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];

/// A source file.
struct File {
    /// From `src` on.
    path: String,
    text: String,
    /// Its tokens up to its tests, and all of them.
    code: Vec<String>,
    all: Vec<String>,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        let all = tokens(text);
        let code = all
            .windows(TESTS.len() + 2)
            .position(|seen| seen[..TESTS.len()] == TESTS && seen[TESTS.len() + 1] == "{")
            .map_or(&all[..], |at| &all[..at])
            .to_vec();
        File {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            all,
        }
    }

    /// The modules of tests, in files of their own, that it declares: as paths.
    fn test_modules(&self) -> Vec<String> {
        let dir = self
            .path
            .trim_end_matches("mod.rs")
            .trim_end_matches(".rs")
            .trim_end_matches('/');
        self.all
            .windows(TESTS.len() + 2)
            .filter(|seen| seen[..TESTS.len()] == TESTS && seen[TESTS.len() + 1] == ";")
            .map(|seen| format!("{dir}/{}", seen[TESTS.len()]))
            .collect()
    }

    /// The room a file lies in.
    fn room(&self) -> String {
        let (room, _) = self.path.split_once('/').unwrap_or((&self.path, ""));
        room.trim_end_matches(".rs").to_owned()
    }

    /// The rooms that it names, tests included.
    fn imports(&self) -> Vec<String> {
        below(&self.all, &["crate"])
    }

    fn impure(&self, more: &[&str]) -> Vec<String> {
        let outside = ["fs", "net", "env", "process", "thread", "io", "os"];
        let mut found = self.clocks();
        for name in below(&self.code, &["std"]) {
            if outside.contains(&name.as_str()) {
                found.push(format!("uses `std::{name}`"));
            }
        }
        let banned = [
            "Instant",
            "axum",
            "getrandom",
            "rand",
            "reqwest",
            "rustix",
            "rustls",
            "tokio",
            "tracing",
        ];
        for token in &self.code {
            if banned.contains(&token.as_str()) || more.contains(&token.as_str()) {
                found.push(format!("uses `{token}`"));
            }
        }
        found
    }

    fn clocks(&self) -> Vec<String> {
        let mut found: Vec<String> = below(&self.code, &["std", "time"])
            .into_iter()
            .filter(|name| name == "Instant" || name == "SystemTime")
            .map(|name| format!("asks the time: `std::time::{name}`"))
            .collect();
        for seen in self.code.windows(4) {
            if (seen[0] == "Timestamp" || seen[0] == "Zoned") && seen[3] == "now" {
                found.push(format!("asks the time: `{}::now`", seen[0]));
            }
        }
        if self.code.iter().any(|token| token == "clock_gettime") {
            found.push("asks the time: `clock_gettime`".to_owned());
        }
        found
    }

    fn spawns(&self) -> Vec<String> {
        let mut found = below(&self.code, &["tokio"]);
        found.extend(below(&self.code, &["tokio", "task"]));
        found.retain(|name| name == "spawn");
        found.extend(
            self.code
                .iter()
                .filter(|token| *token == "JoinSet")
                .cloned(),
        );
        found
            .into_iter()
            .map(|name| format!("has a task of its own: `{name}`"))
            .collect()
    }

    fn unfinished(&self) -> Vec<String> {
        let mut found = Vec::new();
        for seen in self.all.windows(2) {
            match [seen[0].as_str(), seen[1].as_str()] {
                ["todo" | "unimplemented" | "dbg", "!"] => {
                    found.push(format!("has `{}!`", seen[0]));
                }
                ["[", "ignore"] => found.push("has a test that is never run".to_owned()),
                _ => {}
            }
        }
        found
    }
}

/// The names that follow a path, as in `crate::NAME` and `crate::{NAME, NAME::…}`.
fn below(tokens: &[String], path: &[&str]) -> Vec<String> {
    let mut prefix: Vec<&str> = Vec::new();
    for part in path {
        prefix.extend([*part, ":", ":"]);
    }
    let mut names = Vec::new();
    for at in 0..tokens.len() {
        // `other::std::` is not `std::`.
        if !tokens[at..]
            .iter()
            .map(String::as_str)
            .take(prefix.len())
            .eq(prefix.iter().copied())
            || (at > 0 && tokens[at - 1] == ":" && tokens[at..].len() > 1)
        {
            continue;
        }
        let rest = &tokens[at + prefix.len()..];
        let Some(first) = rest.first() else { continue };
        if first != "{" {
            names.push(first.clone());
            continue;
        }
        let mut depth = 0;
        let mut fresh = false;
        for token in rest {
            match token.as_str() {
                "{" => {
                    depth += 1;
                    fresh = depth == 1;
                }
                "}" => depth -= 1,
                "," if depth == 1 => fresh = true,
                name if fresh => {
                    names.push(name.to_owned());
                    fresh = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    names
}

/// Words and single signs of Rust text, without comments, strings and characters.
fn tokens(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut i = 0;
    while i < text.len() {
        let began = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < text.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                i += 2;
                while i < text.len() && !(at(i) == '*' && at(i + 1) == '/') {
                    i += 1;
                }
                i += 2;
            }
            '"' => i = past_string(&text, i),
            // A character; a lifetime has no second quote.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < text.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            'r' | 'b' | 'c' if raw_string(&text, i).is_some() => {
                i = raw_string(&text, i).unwrap();
            }
            c if word(c) => {
                while word(at(i)) {
                    i += 1;
                }
                found.push(text[began..i].iter().collect());
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                i += 1;
            }
        }
    }
    found
}

/// Past the quote that ends the string that begins at `i`.
fn past_string(text: &[char], i: usize) -> usize {
    let mut i = i + 1;
    while i < text.len() && text[i] != '"' {
        i += if text[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// Past the string that begins at `i` with `r"`, `br#"` and the like, if one does.
fn raw_string(text: &[char], i: usize) -> Option<usize> {
    let prefix = text[i..].iter().take_while(|c| "brc".contains(**c)).count();
    let hashes = text[i + prefix..].iter().take_while(|c| **c == '#').count();
    let open = i + prefix + hashes;
    if text.get(open) != Some(&'"') {
        return None;
    }
    if !text[i..i + prefix].contains(&'r') {
        return Some(past_string(text, open));
    }
    let mut end = open + 1;
    while end < text.len() {
        if text[end] == '"' && text[end + 1..].iter().take_while(|c| **c == '#').count() >= hashes {
            return Some(end + 1 + hashes);
        }
        end += 1;
    }
    Some(end)
}
