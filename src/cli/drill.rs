//! `backstop drill`: would a rollback work?

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;

use super::socket::{Socket, explained, runtime};
use super::{Done, Error, out};
use crate::control::{Client, ClientError, Drill, MAX_DRILL, ScenarioText, Taken};
use crate::view::incidents::IncidentView;
use crate::view::{DrillPoint, DrillReport};

/// How often an executed drill is looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The service.
    service: String,
    /// The plan to rehearse, instead of `rollback`.
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// The release to go to, instead of the newest good one.
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Really run the plan.
    #[arg(long)]
    execute: bool,
    /// Why, in your words: others will read it.
    #[arg(long, requires = "execute", default_value = "a drill")]
    reason: String,
    /// Samples that never were, to rehearse the triggers too: a recording as
    /// of `backstop replay`, or a test file as of `backstop test`. They are
    /// played to a copy of the engine, from its live state.
    #[arg(long, value_name = "FILE", conflicts_with = "execute")]
    scenario: Option<PathBuf>,
    /// How to write the report.
    #[arg(long, value_enum, default_value_t)]
    format: DrillFormat,
}

/// The formats of a drill's report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum DrillFormat {
    /// For people.
    #[default]
    Text,
    /// For where people keep such pages.
    Markdown,
    /// One file, for a browser or a mail.
    Html,
    /// For programs, with stable names.
    Json,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let scenario = args.scenario.as_deref().map(read).transpose()?;
    let drill = Drill {
        plan: args.plan,
        to: args.to,
        execute: args.execute,
        reason: args.reason,
        scenario,
        follow: false,
    };
    if drill.execute {
        return execute(&args.service, &drill, args.format, socket);
    }
    let mut told = false;
    let report = socket.ask(async |client| {
        let tell = |point: &DrillPoint| {
            if args.format == DrillFormat::Text {
                // A reader that has gone changes nothing for the drill.
                let _ = out::say(&point.text(!told, out::style()));
                told = true;
            }
        };
        client.drill(&args.service, &drill, tell).await
    })?;
    say(&report, args.format)?;
    if let Some(why) = &report.not_durable {
        out::warn(&format!("a crash may make the agent forget this: {why}"));
    }
    Ok(if report.passed {
        Done::Well
    } else {
        Done::With(1)
    })
}

fn say(report: &DrillReport, format: DrillFormat) -> Result<(), Error> {
    match format {
        DrillFormat::Text => out::say(&format!("\n{}", report.text(out::style()))),
        DrillFormat::Markdown => out::say(&report.markdown()),
        DrillFormat::Html => out::say(&report.html()),
        DrillFormat::Json => out::say_json(report),
    }
}

/// A scenario. That it can be read as one, the agent says, by the policy that it
/// guards.
fn read(path: &Path) -> Result<ScenarioText, Error> {
    let cannot = || format!("cannot read {}", path.display());
    let size = std::fs::metadata(path).map(|found| found.len());
    let size = size.map_err(|e| Error::usage(cannot()).because_of(Some(&e)))?;
    // As JSON it is a little longer.
    let most = MAX_DRILL as u64 / 2;
    if size > most {
        let error = Error::usage(format!("{} is too large for a scenario", path.display()));
        return Err(error.hint(format!(
            "{most} bytes are the most: take a shorter time of it"
        )));
    }
    let text =
        std::fs::read_to_string(path).map_err(|e| Error::usage(cannot()).because_of(Some(&e)))?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok(ScenarioText {
        name: name.to_string_lossy().into_owned(),
        text,
    })
}

/// Orders the plan to be run, and follows it until it is known how it ended.
fn execute(
    service: &str,
    drill: &Drill,
    format: DrillFormat,
    socket: &Socket,
) -> Result<Done, Error> {
    let route = ["services", service, "drill"];
    let taken: Taken = socket.ask(async |client| client.order(&route, drill).await)?;
    if !taken.accepted {
        return Err(Error::failed(taken.said.join("; ")));
    }
    let number = taken.notes.iter().find_map(|note| note.incident);
    let number =
        number.ok_or_else(|| Error::failed("the agent has not said which incident it is"))?;
    if let Some(why) = &taken.not_durable {
        out::warn(&format!("a crash may make the agent forget this: {why}"));
    }
    let client = socket.client()?;
    let number = number.to_string();
    let view = runtime()?
        .block_on(follow(&client, &number, format))
        .map_err(|e| {
            explained(&e).hint(format!("`backstop incidents {number}` says how it goes on"))
        })?;
    match format {
        DrillFormat::Text => {}
        DrillFormat::Json => out::say_json(&view)?,
        DrillFormat::Markdown | DrillFormat::Html => {
            let mut route = vec!["incidents", number.as_str(), "report"];
            if format == DrillFormat::Html {
                route.push("html");
            }
            out::say(&socket.ask(async |client| client.text(&route).await)?)?;
        }
    }
    let outcome = view.line.outcome.as_deref();
    if format == DrillFormat::Text {
        let ended = outcome.unwrap_or("closed").replace('_', " ");
        out::say(&format!(
            "the drill ended as {ended}; `backstop report {number}` has all of it\n"
        ))?;
    }
    Ok(match outcome {
        Some("cured") => Done::Well,
        _ => Done::With(1),
    })
}

/// The incident, once it is known how it ended. What happens until then is
/// printed as it happens, for people.
async fn follow(
    client: &Client,
    number: &str,
    format: DrillFormat,
) -> Result<IncidentView, ClientError> {
    let mut told = 0;
    loop {
        let view: IncidentView = client.get(&["incidents", number]).await?;
        if format == DrillFormat::Text {
            for line in view.timeline.iter().skip(told) {
                // A reader that has gone changes nothing for the run.
                let _ = out::say(&format!("{}  {}\n", line.at, line.text));
            }
            told = view.timeline.len();
        }
        if view.line.outcome.is_some() || view.line.closed.is_some() {
            return Ok(view);
        }
        tokio::time::sleep(LOOK).await;
    }
}
