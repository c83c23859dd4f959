//! The README says what there is: every command, every metric, every policy. And
//! what it has people type is taken: each command line, and the policies of the
//! chapter that begins on an empty host.

use std::fs;
use std::path::Path;
use std::process::Command;

use backstop::policy::{load, render};

const README: &str = include_str!("../README.md");

/// The blocks of this language in a text, without their fences.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    let after = text.split(&fence).skip(1);
    after
        .map(|block| block.split_once("\n```\n").expect("a closing fence").0)
        .collect()
}

/// The chapter with this heading.
fn chapter(heading: &str) -> &'static str {
    let begin = format!("\n## {heading}\n");
    let (_, rest) = README.split_once(&begin).expect(heading);
    rest.split_once("\n## ")
        .map_or(rest, |(chapter, _)| chapter)
}

/// The words of a command line: quotes keep words together, `#` begins a remark.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        let last = words.last_mut().expect("there is one");
        match (c, quote) {
            ('#', None) if last.is_empty() => break,
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            (' ', None) => words.push(String::new()),
            (c, _) => last.push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_line_of_the_readme_is_taken() {
    let mut lines = 0;
    for block in blocks(README, "console") {
        let typed = block.lines().filter_map(|line| {
            let prompt = line.strip_prefix("$ ").or(line.strip_prefix("# "))?;
            Some(prompt.split(" && ").flat_map(|part| part.split(" | ")))
        });
        let typed = typed
            .flatten()
            .filter_map(|part| part.strip_prefix("backstop "));
        for line in typed {
            lines += 1;
            let taken = Command::new(env!("CARGO_BIN_EXE_backstop"))
                .args(words(line))
                .arg("--help")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&taken.stderr);
            assert!(taken.status.success(), "backstop {line}\n{said}");
        }
    }
    assert!(lines > 15, "{lines}");
}

/// As GitHub makes an anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .replace(|c: char| !c.is_alphanumeric() && !" -_".contains(c), "");
    kept.replace(' ', "-")
}

#[test]
fn every_reference_within_the_readme_leads_to_a_heading() {
    let headings: Vec<String> = README
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect();
    let references: Vec<&str> = README
        .split("](#")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(anchor, _)| anchor))
        .collect();
    assert!(references.len() >= 2, "{references:?}");
    for reference in references {
        assert!(headings.iter().any(|h| h == reference), "{reference}");
    }
}

#[test]
fn the_policy_of_an_empty_host_is_well_its_typos_are_told_and_its_tests_pass() {
    let file = "/etc/backstop/policies/checkout.toml";
    let chapter = chapter("From an empty host to an enforced policy");
    let parts = blocks(chapter, "toml");
    let part = |begin: &str| {
        let part = parts.iter().find(|part| part.contains(begin));
        format!("{}\n", part.expect(begin))
    };
    let policy = part("service  = \"checkout\"");
    let loaded = load(file, &policy);
    assert!(
        loaded.faults.is_empty(),
        "{}",
        render(&loaded.faults, &policy, false)
    );
    let typos = policy
        .replace("interval = ", "intervall = ")
        .replace("5% for", "5 for");
    let told = render(&load(file, &typos).faults, &typos, false);
    assert!(chapter.contains(told.trim_end()), "it lacks\n{told}");

    // The line that the tuning gives is the one that the tests are of.
    let (_, paste) = chapter.rsplit_once("[triggers.errors]\nwhen = ").unwrap();
    let paste = paste.lines().next().unwrap();
    let (before, after) = policy.split_once("when     = ").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let edited = format!("{before}when = {paste}\n{after}");
    let tests = part("[[test]]");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("checkout.toml"), &edited).unwrap();
    fs::write(dir.join("checkout.test.toml"), tests).unwrap();
    let tested = Command::new(env!("CARGO_BIN_EXE_backstop"))
        .current_dir(&dir)
        .args(["test", "checkout.test.toml"])
        .output()
        .unwrap();
    let said = String::from_utf8(tested.stdout).unwrap();
    assert!(tested.status.success(), "{said}");
    let last = said.lines().last().unwrap();
    assert!(chapter.contains(last), "it lacks {last}");
}

#[test]
fn the_readme_names_every_command() {
    let help = Command::new(env!("CARGO_BIN_EXE_backstop"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 10, "{help}");
    for command in commands {
        let named = format!("`backstop {command}`");
        assert!(README.contains(&named), "the README lacks {named}");
    }
}

#[test]
fn the_readme_has_every_metric_with_its_help() {
    for (name, kind, help) in backstop::agent::METRICS {
        let row = format!("| `{name}` | {kind} | {help} |");
        assert!(README.contains(&row), "the README lacks {row}");
    }
}

#[test]
fn the_readme_links_every_shipped_policy() {
    for dir in ["policies", "policies/recipes"] {
        let mut policies = 0;
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_str().unwrap();
            if path.is_dir() || name.ends_with(".test.toml") {
                continue;
            }
            policies += 1;
            assert!(README.contains(&format!("({name})")), "it lacks {name}");
        }
        assert!(policies >= 11, "{dir}");
    }
}
