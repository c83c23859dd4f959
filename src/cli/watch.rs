//! `backstop watch`: for pipelines. It waits through the bake time of a release
//! and ends with what became of it.
//!
//! It only looks: each second at the service's status and at its incidents, as
//! anybody may over the socket. What it sees is judged in [`bake`], and how it
//! is said in [`told`]. An agent that goes away, for an upgrade say, is waited
//! for; that time counts as time in which nothing was judged.

mod bake;
mod told;

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use self::bake::{Bake, End, Look, Said};
use self::told::{Teller, WatchFormat};
use super::socket::{Socket, explained, runtime};
use super::{Done, Error, out};
use crate::control::{Client, ClientError, parse_lease};
use crate::view::Status;
use crate::view::incidents::{IncidentLine, IncidentView};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// How much longer than its bake time it waits for an incident to end, or for a
/// suspicion to become one or clear.
const LONGER: Duration = Duration::from_hours(1);

/// What the pipeline goes by.
const EXIT_CODES: &str = "Exit codes: 0 the release stayed healthy; 10 rolled back; 11 a person was \
     called; 12 could not judge: blind for more than a fifth of the time, a rule in shadow fired, \
     another release was deployed, or the release never ran; 3 no agent answers.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Args {
    /// The service.
    service: String,
    /// The bake time: how long the release has to stay healthy.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_lease)]
    bake: Duration,
    /// Wait until this release runs; the bake time begins then.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// The longest time in which the release has to appear.
    #[arg(long, value_name = "TIME", value_parser = parse_lease, default_value = "10m", requires = "version")]
    appear: Duration,
    /// How long an agent that has gone away is waited for.
    #[arg(long, value_name = "TIME", value_parser = parse_lease, default_value = "2m")]
    patience: Duration,
    /// How to write it; without this, lines for people on a terminal, commands
    /// for GitHub Actions where that runs it, and JSON lines elsewhere.
    #[arg(long, value_enum)]
    format: Option<WatchFormat>,
}

pub(super) fn run(args: Args, socket: &Socket) -> Result<Done, Error> {
    let teller = Teller::new(&args.service, args.format);
    runtime()?.block_on(async {
        let client = socket.client()?;
        let watch = Watch {
            bake: Bake::new(args.bake, args.version.clone(), args.appear),
            args,
            client,
            teller,
            read: 0,
        };
        watch.run().await
    })
}

struct Watch {
    args: Args,
    client: Client,
    bake: Bake,
    teller: Teller,
    /// Lines of the followed incident's timeline that have been told.
    read: usize,
}

impl Watch {
    async fn run(mut self) -> Result<Done, Error> {
        let mut next = interval(EVERY);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        let mut away = None;
        let began = Instant::now();
        loop {
            next.tick().await;
            let now = Instant::now();
            match self.look().await {
                Ok(look) => {
                    if away.take().is_some() {
                        self.say(&Said::info("back", "the agent is back".into()))?;
                    }
                    let lapse = last.replace(now).map_or(Duration::ZERO, |l| now - l);
                    if let Some(done) = self.see(&look, lapse).await? {
                        return Ok(done);
                    }
                }
                Err(error) if last.is_none() => return Err(explained(&error)),
                Err(error) => {
                    let since = *away.get_or_insert(now);
                    if since == now {
                        self.say(&Said::warning("away", error.to_string()))?;
                    }
                    if now - since >= self.args.patience {
                        return Err(explained(&error));
                    }
                }
            }
            if began.elapsed() > self.args.appear + self.args.bake + LONGER {
                let end = End::not_judged("it was not over after all that time".into());
                return self.end(&end).await;
            }
        }
    }

    /// The service and its incidents as they are now.
    async fn look(&self) -> Result<Look, ClientError> {
        let name = self.args.service.as_str();
        let status: Status = self.client.get(&["services", name]).await?;
        let mut incidents: Vec<IncidentLine> = self.client.get(&["incidents"]).await?;
        incidents.retain(|line| line.service == name);
        let service = status.services.into_iter().next();
        Ok(Look {
            at: status.at,
            service: service.map(Box::new),
            incidents,
        })
    }

    async fn see(&mut self, look: &Look, lapse: Duration) -> Result<Option<Done>, Error> {
        self.teller.at(&look.at);
        let before = self.bake.follows();
        let (said, end) = self.bake.see(look, lapse);
        for said in &said {
            self.say(said)?;
        }
        if self.bake.follows() != before {
            self.read = 0;
        }
        self.read_on().await?;
        match end {
            Some(end) => self.end(&end).await.map(Some),
            None => Ok(None),
        }
    }

    /// Tells what is new in the followed incident. A timeline that cannot be had
    /// now is told at the next look.
    async fn read_on(&mut self) -> Result<(), Error> {
        let Some(number) = self.bake.follows() else {
            return Ok(());
        };
        let number = number.to_string();
        let found: Result<IncidentView, _> = self.client.get(&["incidents", &number]).await;
        let Ok(incident) = found else {
            return Ok(());
        };
        for line in incident.timeline.iter().skip(self.read) {
            out::say(&self.teller.line(line))?;
        }
        self.read = incident.timeline.len().max(self.read);
        Ok(())
    }

    fn say(&self, said: &Said) -> Result<(), Error> {
        out::say(&self.teller.said(said))
    }

    async fn end(&self, end: &End) -> Result<Done, Error> {
        let report = match end.incident {
            Some(number) if self.teller.wants_report() => {
                let number = number.to_string();
                let route = ["incidents", &number, "report"];
                self.client.text(&route).await.ok()
            }
            _ => None,
        };
        out::say(&self.teller.end(end))?;
        self.teller.summarise(end, report.as_deref())?;
        Ok(match end.code {
            0 => Done::Well,
            code => Done::With(code),
        })
    }
}
