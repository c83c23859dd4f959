//! The README says what there is: every command, every metric, every policy.

use std::process::Command;

const README: &str = include_str!("../README.md");

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
        for entry in std::fs::read_dir(dir).unwrap() {
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
