//! Filling the placeholders of a step: `{target}` becomes `v41`.
//!
//! What is filled in was said by others: a version is a link's target, a
//! metric's label or a word on a command line. It ends up as part of a path that
//! is linked or of an argument that a program obeys, at the moment in which
//! nobody looks. So a value is data and stays what the author of the policy
//! meant: never a second argument (there is no shell, and each argument is
//! filled by itself), never an option, never a way out of a directory. What
//! might be one is refused and not mended: a rollback to a target that was
//! mended is one to another target.

use std::collections::BTreeMap;

use crate::model::{Action, HttpRequest, StepAction, placeholders_in};

/// What the placeholders stand for, by name.
pub type Values = BTreeMap<String, String>;

/// Why a template could not be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// Nothing stands for this placeholder: it is none of those there are, or
    /// the run has no such value (a policy without a release has no target).
    #[error("nothing is known for `{{{name}}}` in `{template}`")]
    Unknown {
        /// The placeholder.
        name: String,
        /// Where it was.
        template: String,
    },
    /// The value could be more than a value.
    #[error("`{{{name}}}` is {value:?}, which cannot be put into `{template}`: {fault}")]
    Unsafe {
        /// The placeholder.
        name: String,
        /// What stands for it.
        value: String,
        /// Where it was.
        template: String,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// `releases/{current}` would be all releases.
    #[error("it is empty")]
    Empty,
    /// NUL ends an argument, a newline a line of a file.
    #[error("it has a control character")]
    Control,
    /// In a version; nothing that names one has others.
    #[error("only letters, digits and . _ : + @ ~ - / go")]
    Foreign,
    /// `-rf` as an argument of its own is an option, `@name` often a file.
    #[error("it begins with a sign that programs may obey")]
    Sign,
    /// `.`, `..`, or a path that has them in it.
    #[error("it leads to another directory")]
    Dots,
    /// It begins with `/`, or has one where a path is made of it.
    #[error("it is a path, where a name is wanted")]
    Slash,
    /// systemd would escape it, or take it for another unit: systemd.unit(5).
    #[error("the instance of a unit has only letters, digits and . _ : -")]
    Instance,
}

/// Whether the text is a path, whatever it looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Argument,
    Path,
    Unit,
    /// Of a URL: percent-encoded there, so that it stays what it was.
    Address,
    /// Of a header or a body: nothing that ends a string, a field or a line.
    Text,
}

/// Fills an argument. In one that has a `/` of its own a value has none.
///
/// # Errors
///
/// When nothing stands for a placeholder, or what does might be more than a
/// value.
pub fn fill(template: &str, values: &Values) -> Result<String, Unfilled> {
    fill_as(template, values, Use::Argument)
}

/// Fills each argument by itself.
///
/// # Errors
///
/// As [`fill`].
pub fn fill_all(argv: &[String], values: &Values) -> Result<Vec<String>, Unfilled> {
    argv.iter().map(|argument| fill(argument, values)).collect()
}

/// What `act` is told to do for a step; `None` for a step that the engine does
/// itself, a check or a wait.
///
/// # Errors
///
/// As [`fill`].
pub fn render(step: &StepAction, values: &Values) -> Result<Option<Action>, Unfilled> {
    Ok(match step {
        StepAction::Run(argv) => Some(Action::Run {
            argv: fill_all(argv, values)?,
            env: environment(values),
        }),
        StepAction::Systemd { unit, action } => Some(Action::Systemd {
            unit: fill_as(unit, values, Use::Unit)?,
            action: *action,
        }),
        StepAction::Http(request) => {
            let text = |template: &String| fill_as(template, values, Use::Text);
            let headers = request.headers.iter();
            Some(Action::Http(Box::new(HttpRequest {
                url: fill_as(&request.url, values, Use::Address)?,
                headers: headers
                    .map(|(name, value)| Ok((name.clone(), text(value)?)))
                    .collect::<Result<_, _>>()?,
                body: request.body.as_ref().map(text).transpose()?,
                ..(**request).clone()
            })))
        }
        StepAction::Symlink { link, to } => Some(Action::Symlink {
            link: fill_as(link, values, Use::Path)?,
            to: fill_as(to, values, Use::Path)?,
        }),
        StepAction::Check(_) | StepAction::Wait(_) => None,
    })
}

/// The values as a program finds them: `BACKSTOP_TARGET` and its siblings. They
/// are handed on as they are, because an environment is only data; a value with
/// a NUL cannot be, and is left out.
#[must_use]
pub fn environment(values: &Values) -> BTreeMap<String, String> {
    values
        .iter()
        .filter(|(_, value)| !value.contains('\0'))
        .map(|(name, value)| {
            let name = format!("BACKSTOP_{}", name.to_ascii_uppercase());
            (name, value.clone())
        })
        .collect()
}

fn fill_as(template: &str, values: &Values, used: Use) -> Result<String, Unfilled> {
    // No placeholder has a `/` in its name.
    let in_path = match used {
        Use::Argument => template.contains('/'),
        Use::Path | Use::Unit | Use::Address => true,
        Use::Text => false,
    };
    let mut filled = String::with_capacity(template.len());
    let mut from = 0;
    for (name, at) in placeholders_in(template) {
        let Some(value) = values.get(name) else {
            return Err(Unfilled::Unknown {
                name: name.to_owned(),
                template: template.to_owned(),
            });
        };
        let fault = fault(name, value, in_path).or_else(|| misplaced(value, used));
        if let Some(fault) = fault {
            return Err(Unfilled::Unsafe {
                name: name.to_owned(),
                value: value.clone(),
                template: template.to_owned(),
                fault,
            });
        }
        filled.push_str(&template[from..at.start]);
        match used {
            Use::Address => filled.extend(value.bytes().map(encoded)),
            Use::Argument | Use::Path | Use::Unit | Use::Text => filled.push_str(value),
        }
        from = at.end;
    }
    filled.push_str(&template[from..]);
    Ok(filled)
}

/// What keeps a value, good elsewhere, from this use.
fn misplaced(value: &str, used: Use) -> Option<Fault> {
    let only = |marks: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
        value.chars().all(known)
    };
    match used {
        Use::Unit => (!only("._:-")).then_some(Fault::Instance),
        Use::Text => (!only("._:+@~-/")).then_some(Fault::Foreign),
        Use::Argument | Use::Path | Use::Address => None,
    }
}

/// RFC 3986, 2.3: what is not unreserved is encoded.
fn encoded(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    }
}

/// What keeps `value` from standing for `name`.
fn fault(name: &str, value: &str, in_path: bool) -> Option<Fault> {
    let names_version = matches!(name, "current" | "target");
    let in_version = |c: char| c.is_ascii_alphanumeric() || "._:+@~-/".contains(c);
    let first = value.chars().next();
    match first {
        // What a person ordered had no trigger; nothing is made of its name.
        None => (in_path || name != "trigger").then_some(Fault::Empty),
        _ if value.contains(char::is_control) => Some(Fault::Control),
        _ if names_version && !value.chars().all(in_version) => Some(Fault::Foreign),
        Some('/') => Some(Fault::Slash),
        _ if value.split('/').any(|part| matches!(part, "." | "..")) => Some(Fault::Dots),
        _ if in_path && value.contains('/') => Some(Fault::Slash),
        Some(c) if !(c.is_alphanumeric() || matches!(c, '_' | '.')) => Some(Fault::Sign),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::UnitAction;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn refused(template: &str, target: &str) -> Option<Fault> {
        match fill(template, &values(&[("target", target)])) {
            Ok(_) => None,
            Err(Unfilled::Unsafe { fault, .. }) => Some(fault),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn each_placeholder_is_filled_once_and_nothing_else_is_touched() {
        let values = values(&[("service", "checkout"), ("target", "v41")]);
        for (template, filled) in [
            (
                "/srv/{service}/releases/{target}",
                "/srv/checkout/releases/v41",
            ),
            ("{target}{target}", "v41v41"),
            (
                "--format={{.State.Status}} {\"a\": 1}",
                "--format={{.State.Status}} {\"a\": 1}",
            ),
            ("{{service}}", "{checkout}"),
            ("no braces", "no braces"),
            ("", ""),
        ] {
            assert_eq!(fill(template, &values).as_deref(), Ok(filled), "{template}");
        }
    }

    #[test]
    fn what_a_value_brings_in_is_not_filled_again() {
        let values = values(&[("trigger", "x{target}"), ("target", "v41")]);
        assert_eq!(fill("{trigger}", &values).as_deref(), Ok("x{target}"));
    }

    #[test]
    fn what_is_not_known_is_an_error_and_never_empty() {
        for template in ["{target}", "{taget}", "a {host} b"] {
            let err = fill(template, &Values::new()).unwrap_err();
            assert!(matches!(err, Unfilled::Unknown { .. }), "{err}");
        }
        assert_eq!(
            fill("x{taget}", &Values::new()).unwrap_err().to_string(),
            "nothing is known for `{taget}` in `x{taget}`"
        );
    }

    #[test]
    fn versions_as_people_name_them_are_taken() {
        for version in [
            "v1.2.3",
            "1.2.3-rc.1+build.5",
            "2024-05-01T12:00:00",
            "0a1b2c3",
            "sha256:abc",
            "app@1.2",
            "1.2~deb12",
            "_x",
            ".5",
            "a..b",
        ] {
            assert_eq!(refused("{target}", version), None, "{version}");
            assert_eq!(
                refused("/srv/releases/{target}", version),
                None,
                "{version}"
            );
        }
        // A branch is a version too, as long as no path is made of it.
        assert_eq!(refused("{target}", "release/1.2"), None);
    }

    #[test]
    fn a_value_that_might_be_more_than_a_value_is_refused() {
        use Fault::*;
        for (template, value, fault) in [
            ("{target}", "", Empty),
            ("/srv/{target}", "", Empty),
            ("{target}", "-rf", Sign),
            ("{target}", "--help", Sign),
            ("--data={target}", "@shadow", Sign),
            ("{target}", "~root", Sign),
            ("{target}", "a b", Foreign),
            ("{target}", "a;b", Foreign),
            ("{target}", "$(id)", Foreign),
            ("{target}", "{host}", Foreign),
            ("{target}", "é", Foreign),
            ("{target}", "a\0", Control),
            ("{target}", "a\nb", Control),
            ("{target}", "/etc/passwd", Slash),
            ("{target}", "..", Dots),
            ("{target}", ".", Dots),
            ("{target}", "a/../../b", Dots),
            ("/srv/{target}", "..", Dots),
            ("/srv/x-{target}", "a/b", Slash),
            ("{target}/bin", "a/b", Slash),
        ] {
            assert_eq!(
                refused(template, value),
                Some(fault),
                "{template} {value:?}"
            );
        }
    }

    #[test]
    fn what_a_person_ordered_has_no_trigger_and_can_still_say_so() {
        let values = values(&[("trigger", "")]);
        assert_eq!(fill("--why={trigger}", &values).as_deref(), Ok("--why="));
        assert!(fill("/var/log/{trigger}", &values).is_err());
    }

    #[test]
    fn what_a_link_is_made_of_is_a_path_even_without_a_slash() {
        let step = StepAction::Symlink {
            link: "/srv/current".into(),
            to: "{target}".into(),
        };
        let err = render(&step, &values(&[("target", "a/b")])).unwrap_err();
        assert_eq!(
            err.to_string(),
            "`{target}` is \"a/b\", which cannot be put into `{target}`: \
             it is a path, where a name is wanted"
        );
    }

    #[test]
    fn a_value_stays_the_instance_of_its_unit() {
        let step = StepAction::Systemd {
            unit: "app@{target}.service".into(),
            action: UnitAction::Restart,
        };
        let filled = |target: &str| match render(&step, &values(&[("target", target)])) {
            Ok(Some(Action::Systemd { unit, .. })) => Ok(unit),
            Ok(other) => panic!("{other:?}"),
            Err(Unfilled::Unsafe { fault, .. }) => Err(fault),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(filled("v1.2.3").as_deref(), Ok("app@v1.2.3.service"));
        for (target, fault) in [
            ("1.2~deb12", Fault::Instance),
            ("x@y", Fault::Instance),
            ("a+b", Fault::Instance),
            ("release/1.2", Fault::Slash),
            ("*", Fault::Foreign),
            ("-x", Fault::Sign),
            ("", Fault::Empty),
        ] {
            assert_eq!(filled(target), Err(fault), "{target}");
        }
    }

    #[test]
    fn a_value_stays_where_it_was_put_in_a_request() {
        let step = StepAction::Http(Box::new(HttpRequest {
            method: "POST".into(),
            url: "https://cdn/{target}?by={service}".into(),
            headers: BTreeMap::from([("x-to".into(), "{target} {secret:t}".into())]),
            body: Some(r#"{"to": "{target}"}"#.into()),
            expect: crate::model::Expect::default(),
            tls: crate::model::Tls::default(),
            secrets: BTreeMap::new(),
        }));
        let filled = |target: &str, service: &str| {
            let values = values(&[("target", target), ("service", service)]);
            match render(&step, &values) {
                Ok(Some(Action::Http(request))) => Ok(*request),
                Ok(other) => panic!("{other:?}"),
                Err(Unfilled::Unsafe { fault, .. }) => Err(fault),
                Err(other) => panic!("{other}"),
            }
        };
        let request = filled("1.2+3", "a&b=c d").unwrap();
        assert_eq!(request.url, "https://cdn/1.2%2B3?by=a%26b%3Dc%20d");
        assert_eq!(request.headers["x-to"], "1.2+3 {secret:t}");
        assert_eq!(request.body.unwrap(), r#"{"to": "1.2+3"}"#);
        for (target, fault) in [
            ("a/b", Fault::Slash),
            ("..", Fault::Dots),
            ("\"", Fault::Foreign),
        ] {
            assert_eq!(filled(target, "x").err(), Some(fault), "{target}");
        }
    }

    #[test]
    fn a_program_finds_the_values_in_its_environment() {
        let step = StepAction::Run(vec!["deploy".into(), "{target}".into()]);
        let values = values(&[("target", "v41"), ("current", "odd one"), ("host", "a\0b")]);
        let Ok(Some(Action::Run { argv, env })) = render(&step, &values) else {
            panic!("not rendered");
        };
        assert_eq!(argv, ["deploy", "v41"]);
        let env: Vec<_> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            env,
            [("BACKSTOP_CURRENT", "odd one"), ("BACKSTOP_TARGET", "v41")]
        );
    }

    proptest! {
        /// Whatever a version is, an argument it goes into is still that
        /// argument: no option, and below the directory it was below.
        #[test]
        fn no_version_leaves_its_place(version in "\\PC*|[./-]{0,5}[a-z./-]{0,8}") {
            let values = values(&[("target", &version)]);
            if let Ok(filled) = fill("{target}", &values) {
                prop_assert!(!filled.starts_with(['-', '/']));
            }
            if let Ok(filled) = fill("/srv/releases/{target}/bin", &values) {
                let parts: Vec<_> = filled.split('/').collect();
                prop_assert_eq!(parts.len(), 5);
                prop_assert!(!matches!(parts[3], "" | "." | ".."));
            }
        }
    }
}
