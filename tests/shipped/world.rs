//! A shipped policy in an engine of its own: its sources say what they are told
//! to, its steps are really run, against fakes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use backstop::act::{Order, act};
use backstop::guard::{
    Command, Engine, Event, Notice, NoticeKind, Person, Phase, Push, RunRecord, Statement,
};
use backstop::model::{
    Action, Current, Gap, GapKind, HttpRequest, Moment, Outcome, Policy, Sample, Secret, Series,
    SourceKind, StepEnd, Word, asked_as,
};
use tokio::sync::mpsc;

use crate::fakes::{Interface, Programs};

/// How long a step has here; what is slow takes longer.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct World {
    pub(crate) programs: Programs,
    pub(crate) notices: Vec<Notice>,
    /// What a source that is asked says no to.
    pub(crate) down: BTreeSet<&'static str>,
    /// Who answers what is asked, each for a role, in this order.
    pub(crate) people: Vec<(&'static str, &'static str)>,
    /// Whether they say yes.
    pub(crate) yes: bool,
    interface: Option<Interface>,
    policy: Arc<Policy>,
    engine: Engine,
    at: Moment,
    running: String,
    orders: Vec<backstop::guard::Order>,
    requests: f64,
}

impl World {
    /// v1 and v2 are good, v3 runs; the policy enforces.
    pub(crate) fn new(name: &str, programs: Programs, interface: Option<Interface>) -> Self {
        let file = format!("policies/{name}.toml");
        let text = fs::read_to_string(&file).unwrap();
        let enforcing = text.replacen("\"shadow\"", "\"enforce\"", 1);
        assert_ne!(text, enforcing, "{file} is not in shadow");
        let loaded = backstop::policy::load(&file, &enforcing);
        let policy = loaded
            .policy
            .unwrap_or_else(|| panic!("{file}: {:#?}", loaded.faults));
        let mut world = Self {
            programs,
            notices: Vec::new(),
            down: BTreeSet::new(),
            people: Vec::new(),
            yes: true,
            interface,
            policy: Arc::new(policy),
            engine: Engine::new(),
            at: Moment::from_millis(1_000_000),
            running: String::new(),
            orders: Vec::new(),
            requests: 0.0,
        };
        world.step(Event::Restarted { host: "h".into() });
        let policy = Arc::clone(&world.policy);
        let hash = "9f2c41d0".into();
        world.step(Event::Revised { policy, hash });
        for version in ["v1", "v2", "v3"] {
            version.clone_into(&mut world.running);
            let service = world.service();
            let version = version.to_owned();
            world.step(Event::Released { service, version });
            world.wait(Duration::from_mins(3));
        }
        for version in ["v1", "v2"] {
            let event = Event::Declared {
                service: world.service(),
                version: version.to_owned(),
                word: Word::Good,
                by: person("ann", &[]),
                reason: "it ran for a week".to_owned(),
            };
            world.step(event);
        }
        world
    }

    fn service(&self) -> String {
        self.policy.service.clone()
    }

    fn step(&mut self, event: Event) {
        for command in self.engine.step(self.at, event) {
            match command {
                Command::Tell(notice) => self.notices.push(notice),
                Command::Run(order) => self.orders.push(order),
                Command::Cancel { .. } | Command::Note(_) => {}
            }
        }
    }

    /// A tick at which every source is sampled.
    fn tick(&mut self) {
        self.at = self.at + self.policy.interval;
        self.requests += 100.0;
        let policy = Arc::clone(&self.policy);
        for (name, source) in policy.sources.iter().filter(|(_, s)| !s.kind.is_told()) {
            let outcome = if self.down.contains(name.as_str()) {
                Outcome::Failed(Gap::new(GapKind::Refused, "connection refused"))
            } else {
                self.said(&source.kind)
            };
            self.step(Event::Sampled {
                service: policy.service.clone(),
                source: name.clone(),
                tick: self.at,
                outcome,
            });
        }
        self.step(Event::Ticked {
            service: policy.service.clone(),
            tick: self.at,
            wall_ahead_ms: 0,
        });
    }

    /// What a healthy source says.
    fn said(&self, kind: &SourceKind) -> Outcome {
        let sample = |series: Series, value| Sample {
            series: Arc::new(series),
            value,
        };
        let labels = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        match kind {
            SourceKind::Prometheus { queries, .. } => {
                let answers = queries.keys();
                let answers = answers.map(|signal| sample(asked_as(signal), 0.0));
                Outcome::Answered {
                    samples: answers.collect(),
                    faults: BTreeMap::default(),
                }
            }
            SourceKind::Scrape { .. } => {
                let page = ["http_requests_total", "api_requests_total"];
                let page = page.map(|name| {
                    let code = labels("code", "200");
                    sample(Series::new(name, code), self.requests)
                });
                let info = Series::new("app_build_info", labels("version", &self.running));
                let page = page.into_iter().chain([sample(info, 1.0)]);
                Outcome::Scraped(page.collect())
            }
            SourceKind::Run { .. } | SourceKind::Log { .. } => Outcome::Scraped(Vec::new()),
            _ => Outcome::Probed {
                latency: Duration::from_millis(20),
                fault: None,
            },
        }
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.at + time;
        while self.at < until {
            self.tick();
        }
    }

    /// A person orders a plan.
    pub(crate) fn order(&mut self, plan: &str) {
        let event = Event::Ordered {
            service: self.service(),
            by: person("ann", &[]),
            reason: "a rehearsal".to_owned(),
            to: None,
            plan: Some(plan.to_owned()),
            drill: false,
        };
        self.step(event);
    }

    pub(crate) fn push(&mut self, source: &str, name: &str, what: Statement) {
        let event = Event::Pushed {
            service: self.service(),
            source: source.to_owned(),
            by: person("ann", &["on-call", "validation", "technical-lead"]),
            push: Push::Said {
                name: name.to_owned(),
                what,
                reason: String::new(),
            },
        };
        self.step(event);
        self.tick();
    }

    /// Does what is ordered, answers what is asked and lets time pass, until the
    /// run is over and its cure shown, or a person is called.
    pub(crate) async fn go_on(&mut self) {
        self.go_on_until(|_| false).await;
    }

    /// As [`Self::go_on`], but only until its steps are done.
    pub(crate) async fn go_on_until_verifying(&mut self) {
        let verifying = |phase: &Phase| matches!(phase, Phase::Verifying(_));
        self.go_on_until(verifying).await;
    }

    async fn go_on_until(&mut self, over: impl Fn(&Phase) -> bool) {
        for _ in 0..1000 {
            if let Some(order) = self.orders.pop() {
                self.run(order).await;
                continue;
            }
            let service = &self.engine.state().services[&self.policy.service];
            match &service.phase {
                phase if over(phase) => return,
                Phase::Acting(_) | Phase::Asking(_) if service.phase.question().is_some() => {
                    let (name, role) = self.people.remove(0);
                    let incident = service.incident.as_ref().unwrap().number;
                    let approve = self.yes;
                    self.step(Event::Answered {
                        incident,
                        by: person(name, &[role]),
                        role: None,
                        approve,
                        reason: String::new(),
                        link: None,
                    });
                }
                Phase::Verifying(verification) => {
                    // The release that was gone back to is there.
                    if let (Some(to), false) = (&verification.target, self.is_reported()) {
                        self.running.clone_from(to);
                        let (service, version) = (self.service(), self.running.clone());
                        self.step(Event::Released { service, version });
                    }
                    self.tick();
                }
                Phase::Acting(_) => self.tick(),
                _ => return,
            }
        }
        panic!("it does not end");
    }

    fn is_reported(&self) -> bool {
        let rule = self.policy.release.as_ref();
        rule.is_some_and(|rule| matches!(rule.current, Current::Reported))
    }

    async fn run(&mut self, order: backstop::guard::Order) {
        let (service, ticket, step) = (order.service.clone(), order.ticket, order.step);
        self.step(Event::Starting {
            service: service.clone(),
            ticket,
            step,
        });
        let (lines, mut printed) = mpsc::channel(100);
        let order = Order {
            id: format!("{ticket}.{step}.{}", order.attempt),
            action: self.faked(order.action),
            timeout: order.timeout.min(PATIENCE),
            grace: Duration::from_millis(200),
            shadow: false,
        };
        let ended = act(&order, lines, std::future::pending()).await;
        while printed.try_recv().is_ok() {}
        let StepEnd { how, output, .. } = ended.end;
        let end = StepEnd {
            how,
            output,
            took: Duration::from_secs(1),
        };
        self.step(Event::Finished {
            service,
            ticket,
            step,
            end,
        });
    }

    /// The same, of what is on this machine.
    fn faked(&self, action: Action) -> Action {
        let below = |path: &str| self.programs.path().join(&path[1..]).display().to_string();
        match action {
            Action::Run { mut argv, env } => {
                argv[0] = self.programs.of(&argv[0]).display().to_string();
                Action::Run { argv, env }
            }
            Action::Systemd { unit, action } => Action::Run {
                argv: vec![
                    self.programs.of("systemctl").display().to_string(),
                    action.verb().to_owned(),
                    unit,
                ],
                env: BTreeMap::default(),
            },
            Action::Symlink { link, to } => {
                let (link, to) = (below(&link), below(&to));
                fs::create_dir_all(&to).unwrap();
                Action::Symlink { link, to }
            }
            Action::Http(request) => Action::Http(Box::new(self.redirected(*request))),
        }
    }

    /// A request to the fake interface, its host in a header of its own.
    fn redirected(&self, mut request: HttpRequest) -> HttpRequest {
        let (_, rest) = request.url.split_once("://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let address = &self.interface.as_ref().expect("an interface").address;
        request.headers.insert("X-Meant".into(), host.into());
        request.url = format!("http://{address}/{path}");
        for secret in request.secrets.values_mut() {
            let path = self.programs.path().join("secret");
            fs::write(&path, "hunter2\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            *secret = Secret::File(path.display().to_string());
        }
        request
    }

    /// What the interface was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.interface
            .as_ref()
            .map_or_else(Vec::new, Interface::asked)
    }

    /// The last run.
    pub(crate) fn record(&self) -> &RunRecord {
        let service = &self.engine.state().services[&self.policy.service];
        let incident = service.incident.as_ref().or(service.closed.last());
        incident
            .and_then(|incident| incident.runs.last())
            .expect("something was run")
    }

    /// How it ended, in a word.
    pub(crate) fn outcome(&self) -> Option<backstop::guard::Outcome> {
        self.record().outcome
    }

    /// What people were told when it failed: why, and what they must do.
    pub(crate) fn told(&self) -> (&str, &str) {
        let told = self.notices.iter().rfind(|n| n.kind == NoticeKind::Failed);
        let told = told.expect("people were told");
        assert!(!told.notify.is_empty());
        (&told.reason, &told.next)
    }

    /// What was counted as lost, in words.
    pub(crate) fn lost(&self) -> Vec<String> {
        let service = &self.engine.state().services[&self.policy.service];
        let incident = service.incident.as_ref().or(service.closed.last());
        let losses = incident.map(|incident| incident.losses.as_slice());
        losses
            .unwrap_or_default()
            .iter()
            .map(backstop::guard::Loss::in_words)
            .collect()
    }
}

fn person(name: &str, roles: &[&str]) -> Person {
    Person {
        name: name.to_owned(),
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
    }
}
