//! The story, told from outside: what was done, and what the agent says on its
//! socket.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Done, Error};
use super::stage::{BAD, GOOD, SERVICE, Stage};
use super::supervisor::{Supervised, spawn};
use super::traffic::Traffic;
use crate::control::Client;
use crate::view::Status;
use crate::view::incidents::IncidentView;
use crate::view::status::ServiceStatus;

/// How often the agent is asked.
const LOOK: Duration = Duration::from_millis(250);
/// A chapter that takes longer has gone wrong.
const PATIENCE: Duration = Duration::from_secs(90);

struct Story {
    stage: Stage,
    client: Client,
    traffic: Traffic,
    started: Instant,
    /// Lines of the incident's timeline told so far.
    told: usize,
    /// Whether the line on the screen is to be written over.
    open: bool,
    terminal: bool,
}

/// Tells the whole story. Well only if it ends as it should.
pub(super) async fn tell(dir: Option<PathBuf>, shadow: bool) -> Result<Done, Error> {
    let stage = Stage::set(dir, shadow)
        .map_err(|e| Error::failed("cannot lay out the demo").because_of(Some(&e)))?;
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let dir = text(stage.dir.clone());
    let service = ["demo-service", "serve", "--dir", &dir, "--port"]
        .map(str::to_owned)
        .into_iter()
        .chain([stage.port.to_string()])
        .collect();
    let _service = Supervised::start(&stage.dir, "service.log", service)
        .map_err(|e| Error::failed("cannot start the service").because_of(Some(&e)))?;
    let agent: Vec<String> = [
        ("run", String::new()),
        ("--policies", text(stage.dir.join("policies"))),
        ("--state", text(stage.dir.join("state"))),
        ("--socket", text(stage.socket())),
        ("--http", "off".to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .filter(|arg| !arg.is_empty())
    .collect();
    let agent = spawn(&stage.dir, "agent.log", &agent)
        .map_err(|e| Error::failed("cannot start the agent").because_of(Some(&e)))?;
    let traffic = Traffic::start(stage.port)
        .map_err(|e| Error::failed("cannot send traffic").because_of(Some(&e)))?;
    let client = Client::new(&stage.socket()).map_err(|e| Error::of(&e))?;
    let mut story = Story {
        stage,
        client,
        traffic,
        started: Instant::now(),
        told: 0,
        open: false,
        terminal: std::io::stdout().is_terminal(),
    };
    let ended = story.run(shadow).await;
    let left = story.stage.dir.display().to_string();
    end(agent).await;
    let (sent, failed) = story.traffic.counts();
    story.say(
        "traffic",
        &format!("{sent} checkouts were sent, {failed} failed"),
    );
    match ended {
        Ok(()) => Ok(Done::Well),
        Err(why) => Err(Error::failed(why).hint(format!(
            "the agent's log is {left}/agent.log, the service's {left}/service.log"
        ))),
    }
}

/// Stops the agent as systemd would, and waits for it.
async fn end(mut agent: tokio::process::Child) {
    let pid = agent
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let _ = tokio::time::timeout(Duration::from_secs(10), agent.wait()).await;
}

impl Story {
    async fn run(&mut self, shadow: bool) -> Result<(), String> {
        let dir = self.stage.dir.display().to_string();
        self.say("demo", &format!("everything is kept in {dir}"));
        self.say(
            "service",
            &format!(
                "{SERVICE} listens on 127.0.0.1:{}, release {GOOD}",
                self.stage.port
            ),
        );
        self.say("traffic", "50 checkouts a second");
        let mode = if shadow { "shadow" } else { "enforce" };
        self.say(
            "agent",
            &format!("watches in {mode} mode; its policy: error_rate > 5% for 15s"),
        );

        self.until("release v1 is found good", |s| {
            s.release
                .as_ref()
                .is_some_and(|r| r.good.iter().any(|v| v == GOOD))
        })
        .await?;
        self.say("agent", "release v1 ran without a breach: it is good");

        self.stage
            .point_at(BAD)
            .map_err(|e| format!("cannot deploy: {e}"))?;
        let restart = ["demo-service", "restart", "--dir", &dir].map(str::to_owned);
        let mut restarted = spawn(&self.stage.dir, "service.log", &restart)
            .map_err(|e| format!("cannot restart the service: {e}"))?;
        let _ = restarted.wait().await;
        let deployed = Instant::now();
        self.say(
            "deploy",
            "release v2 is deployed: one checkout in eight fails in it",
        );

        let number = self.suspect().await?;
        let outcome = self.follow(number, shadow).await?;
        self.report(number).await?;
        let current = self.stage.current().unwrap_or_default();
        if shadow {
            if current != BAD {
                return Err(format!(
                    "shadow mode must touch nothing, but {current} runs"
                ));
            }
            self.say("shadow", "nothing was touched: release v2 still runs");
            self.say(
                "next",
                &format!(
                    "set `mode = \"enforce\"` in {} when you trust it",
                    self.stage.policy_file().display()
                ),
            );
            return Ok(());
        }
        if outcome != "cured" || current != GOOD {
            return Err(format!(
                "the rollback was not verified: {outcome}, release {current} runs"
            ));
        }
        let took = deployed.elapsed().as_secs();
        self.say(
            "done",
            &format!("recovered {took} s after the bad release was deployed; release {GOOD} runs"),
        );
        Ok(())
    }

    /// Follows the hold until an incident opens; its number.
    async fn suspect(&mut self) -> Result<u64, String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.status().await {
                if let Some(incident) = &status.incident {
                    return Ok(incident.number);
                }
                let suspected = status.triggers.iter().find(|t| t.state == "suspecting");
                if let Some(trigger) = suspected {
                    let value = trigger.finding.as_ref().and_then(|f| f.value.as_deref());
                    let held = trigger.hold.as_deref().unwrap_or_default();
                    let line = format!(
                        "suspecting {}: error rate {}, {held}",
                        trigger.trigger,
                        value.unwrap_or("unknown")
                    );
                    self.say_over("agent", &line);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        Err("the agent did not find the fault".to_owned())
    }

    /// Tells the incident's timeline until it is decided; its outcome.
    async fn follow(&mut self, number: u64, shadow: bool) -> Result<String, String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let route = ["incidents", &number.to_string()];
            if let Ok(incident) = self.client.get::<IncidentView>(&route).await {
                for line in incident.timeline.iter().skip(self.told) {
                    if !matches!(line.event.as_str(), "revised" | "told") {
                        let text = line.text.clone();
                        self.say("agent", &text);
                    }
                }
                self.told = incident.timeline.len();
                let over = if shadow { "would_roll_back" } else { "cured" };
                for line in &incident.timeline {
                    if line.event == over || line.event == "escalated" {
                        return Ok(line.event.clone());
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        Err("the agent did not come to an end".to_owned())
    }

    /// Keeps the incident report.
    async fn report(&mut self, number: u64) -> Result<(), String> {
        let number = number.to_string();
        let route = ["incidents", &number, "report", "html"];
        for (name, route) in [("report.md", &route[..3]), ("report.html", &route[..])] {
            let report = self
                .client
                .text(route)
                .await
                .map_err(|e| format!("there is no report: {e}"))?;
            let path = self.stage.dir.join(name);
            std::fs::write(&path, report).map_err(|e| format!("cannot keep the report: {e}"))?;
        }
        let path = self.stage.dir.join("report.html");
        self.say("report", &path.display().to_string());
        Ok(())
    }

    async fn until(
        &mut self,
        what: &str,
        is_so: impl Fn(&ServiceStatus) -> bool,
    ) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.status().await.is_some_and(|status| is_so(&status)) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(format!("waited in vain until {what}"))
    }

    /// What the agent says of the service, once it answers.
    async fn status(&self) -> Option<ServiceStatus> {
        let status: Status = self.client.get(&["services", SERVICE]).await.ok()?;
        status.services.into_iter().next()
    }

    /// One line of the story, with the time since it began.
    #[expect(clippy::print_stdout, reason = "this is the face")]
    fn say(&mut self, who: &str, what: &str) {
        if std::mem::take(&mut self.open) {
            println!();
        }
        println!(
            "{:>6.1}s  {who:<8} {what}",
            self.started.elapsed().as_secs_f64()
        );
    }

    /// A line that the next one of its kind replaces; off a terminal there is
    /// one every few seconds instead.
    #[expect(clippy::print_stdout, reason = "this is the face")]
    fn say_over(&mut self, who: &str, what: &str) {
        let at = self.started.elapsed();
        if self.terminal {
            print!("\r\x1b[K{:>6.1}s  {who:<8} {what}", at.as_secs_f64());
            let _ = std::io::stdout().flush();
            self.open = true;
        } else if at.as_millis() % 3000 < LOOK.as_millis() {
            self.say(who, what);
        }
    }
}
