//! The simulation: the engine driven with seeded random policies, samples, gaps,
//! clock steps, restarts, reloads, answers, freezes and step outcomes, the laws
//! of the house checked after every step.
//!
//! `BACKSTOP_SEEDS=20000` runs more seeds, `BACKSTOP_SEED=17` one of them again.

#![expect(clippy::unwrap_used, reason = "a simulation that cannot go on stops")]

mod laws;
mod policies;
mod rng;
mod shadow;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backstop::guard::{Command, Engine, Event, Phase, Snapshot};
use backstop::model::{Current, HowEnded, Moment};

use laws::Laws;
use policies::SERVICE;
use rng::Rng;
use shadow::Shadow;
use world::World;

/// Ticks of trouble, and of quiet after it.
const CHAOS: u64 = 240;
const QUIET: u64 = 500;

struct Simulation {
    rng: Rng,
    world: World,
    laws: Laws,
    engine: Engine,
    /// What a power cut would leave: the state after the last decision.
    durable: Snapshot,
    /// What was seen of the shadow ledger up to there.
    durable_shadow: Shadow,
    /// Goes on from a snapshot beside the engine: law 10.
    twin: Option<Engine>,
    /// Plays what never was, beside the engine: law 16.
    understudy: Option<Engine>,
    /// Everything that happened: law 11.
    journal: Vec<(Moment, Event)>,
    commands: Vec<Vec<Command>>,
    /// Since when the journal is that of this very engine.
    from: Option<Snapshot>,
    at: Moment,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut simulation = Self {
            rng: Rng::new(seed),
            world: World::new(),
            laws: Laws::default(),
            engine: Engine::new(),
            durable: Snapshot::default(),
            durable_shadow: Shadow::default(),
            twin: None,
            understudy: None,
            journal: Vec::new(),
            commands: Vec::new(),
            from: None,
            at: Moment::ZERO,
        };
        simulation.at = simulation.world.at();
        simulation.step(Event::Restarted {
            host: "host-1".to_owned(),
        });
        simulation.revise();
        simulation
    }

    fn revise(&mut self) {
        let policy = policies::policy(&mut self.rng);
        let hash = format!("{:012x}", self.rng.next() >> 16);
        self.step(Event::Revised { policy, hash });
    }

    /// One step of the engine, its laws, and what the world does with the
    /// orders.
    fn step(&mut self, event: Event) {
        let minor = matches!(event, Event::Sampled { .. } | Event::Ticked { .. });
        // A clock that goes back must not matter.
        let at = if self.world.chaos && self.rng.one_in(50) {
            Moment::from_millis(self.rng.below(self.at.as_millis() + 1))
        } else {
            self.at
        };
        let before = self.engine.state().now;
        let guarded = self.engine.state().services.contains_key(SERVICE);
        self.laws.hear(at.max(before), guarded, &event);
        self.journal.push((at, event.clone()));
        let commands = self.engine.step(at, event.clone());
        if self.rng.one_in(400) {
            let whole = self.engine.snapshot();
            // A drill is refused in an incident; whatever it says, it only looks.
            let _ = self.engine.rehearse(SERVICE, None, None);
            self.understudy = self.engine.understudy(SERVICE);
            assert_eq!(
                self.engine.snapshot(),
                whole,
                "law 16: a drill changes something"
            );
        }
        if let Some(understudy) = &mut self.understudy
            && minor
        {
            Laws::law_16(&understudy.step(at, event.clone()));
        }
        if let Some(twin) = &mut self.twin {
            let same = twin.step(at, event);
            assert_eq!(commands, same, "law 10: a restored engine goes another way");
        }
        self.laws.check(&mut self.engine, Some(before), &commands);
        if !minor || !commands.is_empty() {
            self.durable = self.engine.snapshot();
            self.durable_shadow = self.laws.shadow.clone();
        }
        self.commands.push(commands.clone());
        for command in commands {
            match command {
                Command::Run(order) => {
                    assert!(
                        self.world.working.is_none(),
                        "two programs at once: {order:#?}"
                    );
                    self.world.work(order, &mut self.rng);
                    self.start();
                }
                Command::Cancel { ticket, step, .. } => {
                    if let Some(working) = self.world.working.take() {
                        assert_eq!((working.order.ticket, working.order.step), (ticket, step));
                        self.step(world::finished(&working.order, HowEnded::Cancelled));
                    }
                }
                Command::Tell(_) | Command::Note(_) => {}
            }
        }
    }

    /// The program that was ordered starts, unless the agent dies first.
    fn start(&mut self) {
        if self.world.chaos && self.rng.one_in(30) {
            self.restart();
            return;
        }
        let Some(working) = &mut self.world.working else {
            return;
        };
        working.started = true;
        let order = working.order.clone();
        self.laws.starts(order.ticket, order.step, order.attempt);
        self.step(Event::Starting {
            service: order.service,
            ticket: order.ticket,
            step: order.step,
        });
    }

    /// The agent dies and starts again, some time later.
    fn restart(&mut self) {
        let state = if self.rng.one_in(2) {
            self.laws.shadow = self.durable_shadow.clone();
            self.durable.clone()
        } else {
            self.engine.snapshot()
        };
        let text = serde_json::to_string(&state).unwrap();
        let back: Snapshot = serde_json::from_str(&text).unwrap();
        assert_eq!(
            back, state,
            "law 10: the state does not survive being written"
        );
        self.engine = Engine::restore(back.clone());
        self.twin = None;
        self.journal.clear();
        self.commands.clear();
        self.from = Some(back);
        self.world.working = None;
        self.world.tick += self.rng.below(8);
        self.at = self.world.at();
        self.step(Event::Restarted {
            host: "host-1".to_owned(),
        });
    }

    fn tick(&mut self) {
        self.world.go_on(&mut self.rng);
        let chaos = self.world.chaos;
        if chaos && self.rng.one_in(60) {
            // Time stopped.
            self.world.tick += self.rng.below(40);
        }
        let tick = self.world.at();
        self.at = tick + std::time::Duration::from_millis(self.rng.below(2000));
        let service = self.engine.state().services.get(SERVICE);
        let policy = service.map(|s| Arc::clone(&s.policy));
        let policy = policy.as_ref();
        let rule = policy.and_then(|p| p.release.as_ref());
        let on_pages = rule.is_some_and(|rule| matches!(rule.current, Current::Metric { .. }));
        let asks = policy.is_some_and(|p| p.sources.contains_key("prom"));
        if self.world.running != self.world.told && !on_pages {
            self.world.told = self.world.running;
            let version = format!("v{}", self.world.running);
            let service = SERVICE.to_owned();
            self.step(Event::Released { service, version });
        }
        for source in ["app", "web", "prom"] {
            if source == "prom" && !asks {
                continue;
            }
            if chaos && self.rng.one_in(50) {
                continue;
            }
            let outcome = match source {
                "app" => self.world.scrape(on_pages, &mut self.rng),
                "prom" => self.world.answers(&mut self.rng),
                _ => self.world.probe(&mut self.rng),
            };
            self.step(Event::Sampled {
                service: SERVICE.to_owned(),
                source: source.to_owned(),
                tick,
                outcome,
            });
        }
        let wall = match self.rng.below(100) {
            0 if chaos => 3_600_000,
            _ => 0,
        };
        let judged = if chaos && self.rng.one_in(80) {
            Moment::from_millis(self.rng.next()).min(tick)
        } else {
            tick
        };
        self.step(Event::Ticked {
            service: SERVICE.to_owned(),
            tick: judged,
            wall_ahead_ms: wall,
        });
        if let Some(event) = self.world.worked(&mut self.rng) {
            self.step(event);
        }
        if let Some(deadline) = self.engine.deadline()
            && deadline <= tick + std::time::Duration::from_secs(5)
        {
            self.at = deadline;
            self.step(Event::Woke);
        }
        if !chaos {
            return;
        }
        if self.rng.one_in(25) || (self.rng.one_in(6) && self.is_asking()) {
            let incident = self.engine.state().last_incident;
            let event = world::meddle(&self.world, incident, self.at, &mut self.rng);
            self.step(event);
        }
        match self.rng.below(400) {
            0..=2 => self.revise(),
            3..=6 => self.restart(),
            7..=12 => self.twin = Some(Engine::restore(roundtrip(&self.engine))),
            13 => self.step(Event::Removed {
                service: SERVICE.to_owned(),
            }),
            14 => self.step(Event::Distrusted {
                reason: "a hole in the journal".to_owned(),
            }),
            _ => {}
        }
    }

    fn is_asking(&self) -> bool {
        let services = &self.engine.state().services;
        services
            .get(SERVICE)
            .is_some_and(|s| s.phase.question().is_some())
    }

    /// Law 11: the journal since the last restart gives the same commands.
    fn replay(&self) {
        let mut engine = self.from.clone().map_or_else(Engine::new, Engine::restore);
        for ((at, event), commands) in self.journal.iter().zip(&self.commands) {
            let again = engine.step(*at, event.clone());
            let (a, b) = (
                serde_json::to_string(&again).unwrap(),
                serde_json::to_string(commands).unwrap(),
            );
            assert_eq!(a, b, "law 11: replayed otherwise");
        }
    }
}

fn roundtrip(engine: &Engine) -> Snapshot {
    let text = serde_json::to_string(engine.state()).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What was seen: runs, those of them that cured, fires in shadow, and triggers
/// that became fit to enforce.
type Seen = [u64; 4];

/// One seed.
fn simulate(seed: u64) -> Seen {
    let mut simulation = Simulation::new(seed);
    for _ in 0..CHAOS {
        simulation.tick();
    }
    if seed.is_multiple_of(8) {
        simulation.replay();
    }
    if seed.is_multiple_of(16) {
        settle(&mut simulation);
    }
    let laws = &simulation.laws;
    [laws.runs, laws.cured, laws.shadow.fires, laws.shadow.fit]
}

/// Law 13: with healthy samples and no person, everything settles.
fn settle(simulation: &mut Simulation) {
    simulation.world.chaos = false;
    simulation.revise();
    // A flag without an end is a person that goes on saying so.
    for event in world::taken_back() {
        simulation.step(event);
    }
    for _ in 0..QUIET {
        simulation.tick();
    }
    let service = &simulation.engine.state().services[SERVICE];
    assert!(
        matches!(service.phase, Phase::Watching | Phase::Escalated { .. }),
        "law 13: {:?} {:?}",
        service.phase,
        service.incident.as_ref().map(|i| (&i.trigger, &i.held))
    );
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn the_laws_hold_for_every_seed() {
    if let Some(seed) = number("BACKSTOP_SEED") {
        let [runs, cured, fires, fit] = simulate(seed);
        println!("seed {seed}: {runs} runs, {cured} cured, {fires} in shadow, {fit} fit");
        return;
    }
    let seeds = number("BACKSTOP_SEEDS").unwrap_or(2000);
    let next = AtomicU64::new(0);
    let seen: [AtomicU64; 4] = Default::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| simulate(seed))) {
                        Ok(more) => {
                            for (all, more) in seen.iter().zip(more) {
                                all.fetch_add(more, Ordering::Relaxed);
                            }
                        }
                        Err(fault) => {
                            next.store(seeds, Ordering::Relaxed);
                            eprintln!("seed {seed} failed: BACKSTOP_SEED={seed} replays it");
                            std::panic::resume_unwind(fault);
                        }
                    }
                }
            });
        }
    });
    let [runs, cured, fires, fit] = seen.map(AtomicU64::into_inner);
    println!("{seeds} seeds: {runs} runs, {cured} cured, {fires} in shadow, {fit} fit");
    // A simulation in which nothing happens proves nothing.
    assert!(runs > seeds / 10, "only {runs} runs in {seeds} seeds");
    assert!(cured > seeds / 50, "only {cured} cures in {seeds} seeds");
    assert!(fires > seeds / 10, "only {fires} fires in shadow");
    assert!(fit > seeds / 10, "only {fit} triggers were fit");
}
