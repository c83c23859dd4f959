//! Backstop rolls a bad release back, proves that this cured it, and calls a
//! person when it did not. This page is how it is built; `README.md` is how it
//! is used.
//!
//! # The idea
//!
//! The decision is a pure machine: facts in, orders out. It has no clock, no
//! I/O, no randomness, and it cannot fail. Everything that can fail stands
//! around it and turns failure into facts.
//!
//! ```text
//! sense ──samples──▶ judge ──verdicts──▶ guard ──commands──▶ act, tell
//!   (I/O)             (pure)              (pure)               (I/O)
//!                  └──── Engine::step(at, Event) -> Vec<Command> ────┘
//! ```
//!
//! Every driver runs the very same [`guard::Engine`]: the live agent, replay,
//! the tests of policies and the simulation tests. A driver takes the next event
//! or the next [`guard::Engine::deadline`], whichever is first, calls
//! [`guard::Engine::step`], and hands the commands out. There is never a second
//! interpreter of policies: a backtest that runs other code is not evidence.
//!
//! # The rooms
//!
//! | room | what lives there | may import |
//! |---|---|---|
//! | [`model`] | the words everyone shares; no behaviour beyond construction | nothing |
//! | [`judge`] | samples → verdicts: counters, windows, statistics, conditions, holds | model |
//! | [`guard`] | verdicts → commands: phases, gates, runs, escalation | model, judge |
//! | [`policy`] | TOML → a checked policy, every fault at once; lints | model, judge |
//! | [`process`] | programs, and the end of all that they started; output within bounds | model |
//! | [`sense`] | one file per source type; a streaming exposition parser | model, process |
//! | [`secret`] | fetches secrets where they are used, and shows them nowhere | model |
//! | [`act`] | runs steps: programs, jobs of systemd, requests, links | model, process, secret |
//! | [`tell`] | a durable outbox and one file per notifier | model, process, secret, guard, view |
//! | [`journal`] | the durable record; writer, reader, recovery | model, guard |
//! | [`view`] | verdicts, phases and evidence in words, once for all readers | model, guard, judge |
//! | [`control`] | the API on the socket and over HTTP: protocol, server, client | model, guard, view |
//! | [`agent`] | the loop: clock, reload, dispatch, systemd; the only room that spawns tasks | all but the faces |
//! | [`replay`] | recorded samples through the engine | the pure rooms, policy, journal, sense's line parser |
//! | [`history`] | what was taken down: what there is, export, import | journal, guard, replay, view, sense's line parser |
//! | [`cli`] | one file per subcommand | everything |
//!
//! `model`, `judge`, `guard` and `view` are pure: a test bans clocks, files,
//! network, environment, randomness, hash maps, tokio and tracing from them,
//! and another holds the table above. `sense`, `act`, `tell`, `journal` and
//! `control` never import each other.
//!
//! # Invariants, mostly about what is absent
//!
//! - No rollback without fresh evidence. A verdict is clear, breach or *blind*,
//!   never a bool; blindness fires nothing and resolves nothing.
//! - No timer in the guard. Deadlines are derived from the phases, so none can
//!   leak, and a snapshot carries all of them over a restart.
//! - No second run. Tickets only rise, one run is open per service, and the
//!   intent of a step is durable before its program is started. A step whose
//!   end is unknown runs again only if it is idempotent.
//! - No silence. Each refusal is a [`guard::Note`] with its reason.
//! - No shadow that acts. The guard makes no order in shadow, and `act` refuses
//!   one that says so.
//! - No memory that grows with traffic: windows hold one slot per scrape, holds
//!   hold runs of ticks, tables of series are bounded.
//!
//! `tests/simulation` drives the engine with thousands of seeds of trouble and
//! checks these laws after every step.
//!
//! # One sample, from the wire to a rollback
//!
//! 1. [`sense`] reads the page as a stream, keeps the selected series, or gives
//!    a [`model::Gap`] with its reason.
//! 2. [`agent`] stamps it with its nominal tick, journals the event, and steps
//!    the engine.
//! 3. [`judge`] adds each series' increase to its windows. At the tick's end
//!    every trigger gets its verdict with its evidence.
//! 4. [`guard`] follows the holds, asks the gates, opens the incident, decides.
//! 5. Out come [`guard::Command::Run`] and [`guard::Command::Tell`]. The intent
//!    is made durable, [`act`] runs the step, [`tell`] queues the notices.
//! 6. [`guard::Event::Finished`] comes back. After the last step all evidence
//!    starts anew, and only fresh samples can show the cure.

pub mod act;
pub mod agent;
pub mod cli;
pub mod control;
pub mod guard;
pub mod history;
pub mod journal;
pub mod judge;
pub mod model;
pub mod policy;
pub mod process;
pub mod replay;
pub mod secret;
pub mod sense;
pub mod tell;
pub mod view;
