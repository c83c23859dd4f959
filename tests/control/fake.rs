//! An agent without a shell: what the API asks is answered by a real engine,
//! whose time stands still but for what the test feeds it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backstop::control::{Agent, Api, Diagnosis, Door, NoDrill, Reloaded, Request, Stepped};
use backstop::guard::{Engine, Event};
use backstop::model::{Config, Gap, GapKind, Moment, Outcome, Role};
use backstop::view::{DrillPoint, DrillReport, DrillVerdict};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Asks for approval as soon as its probe is down.
const CHECKOUT: &str = r#"
service  = "checkout"
mode     = "enforce"
interval = "1s"

[sources.web]
type = "probe"
url  = "http://127.0.0.1:8080/health"

[triggers.service-down]
when     = "web is down"
severity = "high"
approve  = { roles = ["technical-lead"], quorum = 2, within = "15m" }

[[plans.rollback.steps]]
name = "restart"
run  = ["systemctl", "restart", "checkout.service"]

[[escalation]]
notify = ["slack"]
"#;

/// In shadow, with releases that are reported.
const CART: &str = r#"
service  = "cart"
interval = "1s"

[sources.web]
type = "probe"
url  = "http://127.0.0.1:8081/health"

[triggers.service-down]
when     = "web is down"
severity = "critical"

[release]
good_after = "1m"

[[plans.rollback.steps]]
name = "restart"
run  = ["systemctl", "restart", "cart@{target}.service"]

[[escalation]]
notify = ["slack"]
"#;

/// Everything lasts as long as this.
pub(crate) struct Fake {
    pub(crate) socket: PathBuf,
    pub(crate) tcp: SocketAddr,
    /// Who runs this test, as the system calls them.
    pub(crate) me: String,
    tasks: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Fake {
    /// An agent that has just asked whether `checkout` is to be rolled back: that
    /// is incident 1.
    pub(crate) async fn asking() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        let me = me();
        let (agent, requests) = Agent::new();
        let api = Api::new(agent, roles(&me));
        let door = Door::open(&socket).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let reading = api.reading();
        tasks.spawn(async move {
            api.serve(door, std::future::pending()).await.unwrap();
        });
        tasks.spawn(async move {
            let served = Api::serve_http(listener, reading, std::future::pending());
            served.await.unwrap();
        });
        tasks.spawn(answer(engine(), requests));
        Self {
            socket,
            tcp,
            me,
            tasks,
            _dir: dir,
        }
    }

    /// The agent ends; its socket goes with it.
    pub(crate) async fn end(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// An engine in which incident 1 asks.
fn engine() -> Engine {
    let mut engine = Engine::new();
    let mut at = Moment::from_millis(1_000_000);
    for text in [CHECKOUT, CART] {
        let loaded = backstop::policy::load("policy.toml", text);
        let policy = Arc::new(loaded.policy.expect("a good policy"));
        engine.step(
            at,
            Event::Revised {
                policy,
                hash: "0123456789ab".into(),
            },
        );
    }
    for _ in 0..5 {
        at = at + Duration::from_secs(1);
        let service = "checkout".to_owned();
        engine.step(
            at,
            Event::Sampled {
                service: service.clone(),
                source: "web".into(),
                tick: at,
                outcome: Outcome::Failed(Gap::new(GapKind::Refused, "connection refused")),
            },
        );
        engine.step(
            at,
            Event::Ticked {
                service,
                tick: at,
                wall_ahead_ms: 0,
            },
        );
    }
    engine
}

async fn answer(mut engine: Engine, mut requests: mpsc::Receiver<Request>) {
    let reloaded = Reloaded {
        successful: false,
        revised: vec!["checkout".into()],
        refused: vec!["error: unknown key `intervall`\n --> cart.toml:3:1\n".into()],
        ..Reloaded::default()
    };
    let mut drills = JoinSet::new();
    while let Some(request) = requests.recv().await {
        // Whoever asked may have gone.
        match request {
            Request::Snapshot(answer) => drop(answer.send(Arc::new(engine.snapshot()))),
            Request::Step { event, answer } => {
                let at = engine.state().now;
                let commands = engine.step(at, *event);
                drop(answer.send(Stepped {
                    at,
                    commands,
                    not_durable: None,
                }));
            }
            Request::Reload(answer) => drop(answer.send(reloaded.clone())),
            Request::Diagnosis(answer) => drop(answer.send(Diagnosis {
                version: "0.1.0".into(),
                now: engine.state().now,
                wall_ahead_ms: 0,
                started: Moment::from_millis(1_000_000),
                reloaded: Reloaded::default(),
                reloaded_at: Moment::from_millis(1_000_000),
                journal_broken: None,
                ailing: None,
            })),
            Request::Drill {
                order,
                points,
                answer,
            } => {
                if order.service == "cart" {
                    drills.spawn(rehearse(points, answer));
                } else {
                    let why = format!("a drill of {} goes on already", order.service);
                    drop(answer.send(Err(NoDrill::Refused(why))));
                }
            }
            Request::Chronicle { answer, .. } => drop(answer.send(None)),
            Request::Past { answer, .. } => drop(answer.send(Vec::new())),
        }
    }
}

/// How long the cure takes in a drill of `cart`.
pub(crate) const CURE: Duration = Duration::from_mins(5);

/// A drill that knows one point at once, and the other after a long time.
async fn rehearse(
    points: mpsc::UnboundedSender<DrillPoint>,
    answer: oneshot::Sender<Result<Box<DrillReport>, NoDrill>>,
) {
    let point = |part: &str| DrillPoint {
        part: part.to_owned(),
        name: "web is up for 5m".to_owned(),
        verdict: DrillVerdict::Passed,
        said: "holds".to_owned(),
        took: None,
        took_ms: None,
    };
    drop(points.send(point("check")));
    tokio::time::sleep(CURE).await;
    drop(points.send(point("verify")));
    let report = DrillReport {
        service: "cart".to_owned(),
        host: "web-1".to_owned(),
        mode: "shadow".to_owned(),
        plan: "rollback".to_owned(),
        at: "2026-11-21T08:50:20Z".to_owned(),
        by: "ann".to_owned(),
        current: None,
        target: None,
        passed: true,
        took: "5m".to_owned(),
        took_ms: 300_000,
        points: vec![point("check"), point("verify")],
        times: Vec::new(),
        scenarios: Vec::new(),
        not_durable: None,
    };
    drop(answer.send(Ok(Box::new(report))));
}

/// Whoever runs this test is a technical lead.
fn roles(me: &str) -> watch::Receiver<Arc<Config>> {
    let lead = Role {
        users: vec![me.to_owned()],
        ..Role::default()
    };
    let nobody = Role {
        users: vec!["nobody-of-this-name".into()],
        ..Role::default()
    };
    let config = Config {
        roles: BTreeMap::from([
            ("technical-lead".to_owned(), lead),
            ("release-manager".to_owned(), nobody),
        ]),
        ..Config::default()
    };
    watch::channel(Arc::new(config)).1
}

/// The user's name, or its number where it has none.
fn me() -> String {
    let name = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    let number = std::process::Command::new("id").arg("-u").output().unwrap();
    let said = if name.status.success() { name } else { number };
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}
