//! The line that `backstop run` hands to the agent's own program.
//!
//! What a person types, and all that reads, draws and sweeps what an agent wrote
//! down, is half of this program, and an agent would keep much of it resident
//! for as long as it runs. So `backstop run` reads its arguments, and the process
//! goes on as `backstop-agent`, which lies beside it and has the agent alone: the
//! same code, without the rest. Where it does not lie there, `backstop run` is
//! the agent itself, and costs more memory.
//!
//! The line has everything in a fixed form, so that nothing needs clap to read
//! it. It is handed only to a program of the very same build, which is asked
//! first: half an upgrade, or one program built anew, must neither leave a
//! service unguarded nor guard it with other code than what was started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::{Done, Error, out, run};
use crate::agent::Setup;

/// The agent's program, beside this one.
const AGENT: &str = "backstop-agent";
/// What it says of itself: its release, and a hash of the sources (`build.rs`).
const VERSION: &str = concat!(
    "backstop-agent ",
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("BACKSTOP_BUILD"),
    ")\n"
);
/// What the agent is told in any case, in this order, each with `=`.
const KEYS: [&str; 4] = ["--policies=", "--state=", "--socket=", "--log="];
/// What may follow, in this order.
const MORE: [&str; 2] = ["--config=", "--http="];

/// Goes on as the agent's program. Comes back if there is none of this build, or
/// none that may be executed.
pub(super) fn hand_over(setup: &Setup) {
    let Ok(this) = std::env::current_exe() else {
        return;
    };
    let agent = this.with_file_name(AGENT);
    let asked = Command::new(&agent)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    match asked {
        Ok(said) if said.stdout == VERSION.as_bytes() => {
            let _refused = Command::new(agent).args(spell(setup)).exec();
        }
        Ok(_) => out::warn(&format!(
            "{} is of another build, so that this program is the agent itself, and takes more memory: install both of one build",
            agent.display()
        )),
        Err(_) => {}
    }
}

/// Does what this process, the agent's program, was handed.
pub(super) fn follow() -> Result<Done, Error> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words == ["--version"] {
        out::say(VERSION)?;
        return Ok(Done::Well);
    }
    let setup = read(words.into_iter()).ok_or_else(|| {
        let what = format!("{AGENT} cannot read its line");
        Error::usage(what).hint("it is started by `backstop run`")
    })?;
    run::on(&setup)
}

fn spell(setup: &Setup) -> Vec<OsString> {
    let join = |(key, value): (&&str, &OsStr)| {
        let mut word = OsString::from(key);
        word.push(value);
        word
    };
    let values = [
        setup.policies.as_os_str(),
        setup.state.as_os_str(),
        setup.socket.as_os_str(),
        setup.log.as_ref(),
    ];
    let more = [
        setup.config.as_ref().map(|path| path.as_os_str()),
        setup.http.as_ref().map(OsStr::new),
    ];
    let more = MORE.iter().zip(more);
    let more = more.filter_map(|(key, value)| Some((key, value?)));
    KEYS.iter().zip(values).chain(more).map(join).collect()
}

fn read(words: impl Iterator<Item = OsString>) -> Option<Setup> {
    let mut words = words.peekable();
    let mut value = |key: &str| {
        let word = words.next_if(|word| word.as_bytes().starts_with(key.as_bytes()))?;
        Some(OsString::from_vec(word.as_bytes()[key.len()..].to_vec()))
    };
    let [policies, state, socket, log] = KEYS.map(&mut value);
    let [config, http] = MORE.map(&mut value);
    let setup = Setup {
        policies: policies?.into(),
        state: state?.into(),
        socket: socket?.into(),
        log: log?.into_string().ok()?,
        config: config.map(Into::into),
        http: http.map(OsString::into_string).transpose().ok()?,
    };
    words.next().is_none().then_some(setup)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> Setup {
        Setup {
            policies: "/etc/backstop/policies".into(),
            config: None,
            state: "/var/lib/backstop".into(),
            socket: OsString::from_vec(b"/run/\xff backstop/=socket".to_vec()).into(),
            http: None,
            log: "info".to_owned(),
        }
    }

    #[test]
    fn what_is_spelled_is_read_to_the_same() {
        let plain = setup();
        let config = Setup {
            config: Some("/etc/backstop/backstop.toml".into()),
            ..setup()
        };
        let all = Setup {
            http: Some("off".to_owned()),
            ..config.clone()
        };
        let http = Setup {
            http: Some("[::1]:9119".to_owned()),
            ..setup()
        };
        for setup in [plain, config, all, http] {
            assert_eq!(read(spell(&setup).into_iter()), Some(setup));
        }
    }

    #[test]
    fn no_other_line_is_read() {
        let whole = spell(&setup());
        for at in 0..whole.len() {
            let mut line = whole.clone();
            line.remove(at);
            assert_eq!(read(line.into_iter()), None, "without word {at}");
        }
        for word in ["--help", "--log=debug", "--http", "x"] {
            let mut line = whole.clone();
            line.push(word.into());
            assert_eq!(read(line.into_iter()), None, "with {word}");
        }
        let mut line = whole;
        line.swap(0, 1);
        assert_eq!(read(line.into_iter()), None);
    }
}
