//! The shell around the engine: everything that can fail, or asks what time it
//! is, and the only room that spawns tasks.
//!
//! One loop (`keeper`) owns the engine. Around it stand a task for each
//! service that samples its sources (`sampler`), a thread that writes the
//! journal (`scribe`), a task that notices when policies change (`watch`),
//! one that hands notices on (`courier`), and one for each step of a plan that
//! runs (`dispatch`). All of them send the loop facts; none waits for another.
//!
//! A panic in any of them ends the process with an error: what restarts it is
//! the service manager, and what the agent goes on from is its journal. A part
//! that is silently missing would guard nothing.

mod answer;
mod chronicle;
mod clock;
mod courier;
mod curves;
mod dispatch;
mod drill;
mod error;
mod http;
mod input;
mod keeper;
mod log;
mod look;
mod metrics;
mod past;
mod recalled;
mod recovery;
mod rehearsal;
mod release;
mod reload;
mod roster;
mod sampler;
mod schedule;
mod scribe;
mod settings;
mod setup;
mod stop;
mod systemd;
mod trial;
mod watch;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use error::AgentError;
pub use look::{Look, look};
pub use metrics::METRICS;
pub use past::{Kept, Listener, LookBack, Missing, Progress, look_back, unix_now};
pub use setup::Setup;
pub use trial::try_notifier;

use self::clock::Clock;
use self::keeper::{Keeper, Parts, Sources};
use self::recovery::Recovered;
use self::reload::Shelf;
use self::roster::Roster;
use self::scribe::Scribe;
use self::settings::Settings;
use self::stop::Stop;
use self::systemd::Manager;
use self::watch::Watch;
use crate::control::{self, Api, Door, Links};
use crate::guard::{Notice, Snapshot};
use crate::journal::{Journal, Options};
use crate::model::Config;
use crate::policy::files::{Writable, read_config};
use crate::policy::{load_config, render};
use crate::sense::Client;
use crate::tell::{Linker, Outbox, Pace};

/// Facts that may wait for the loop before whoever brings them has to.
const INPUTS: usize = 256;

/// Reloads that may be asked for while one goes on.
const RELOADS: usize = 16;

/// Runs the agent until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
///
/// Why it could not start, or had to end.
pub fn run(setup: &Setup) -> Result<(), AgentError> {
    log::start(&setup.log)?;
    let config = config(setup)?;
    let options = Options {
        started_unix_ms: clock::unix_ms(),
        ..Options::keeping(config.history)
    };
    let (journal, recovery) = Journal::open::<Snapshot>(&setup.state, options)?;
    let anchor = recovery.last_anchor.clone();
    let recovered = recovery::recover(recovery);
    let clock = Clock::carry(anchor.as_ref(), recovered.last);
    // One thread judges and does all that waits: two would only cost memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .build()
        .map_err(|e| AgentError::system("start the runtime", e))?;
    let ended = runtime.block_on(guard(setup, &config, journal, recovered, clock));
    // Whatever is still under way is left, as in a crash.
    runtime.shutdown_background();
    ended
}

async fn guard(
    setup: &Setup,
    config: &Config,
    mut journal: Journal,
    recovered: Recovered,
    clock: Clock,
) -> Result<(), AgentError> {
    // Before anything else is: it comes right behind its fact.
    if let Some((cause, commands)) = &recovered.unwritten {
        journal.commands(*cause, commands);
    }
    let stop = Stop::listen()?;
    let http = match setup.http.as_deref().or(config.http.as_deref()) {
        None | Some("off") => None,
        Some(address) => Some(http::listen(address).await?),
    };
    // Before any other thread makes files: the socket's mode is set by the umask.
    let door = Door::open(&setup.socket).await?;
    let (inputs, incoming) = mpsc::channel(INPUTS);
    let (letters, to_carry) = mpsc::unbounded_channel();
    let (reloads, orders) = mpsc::channel(RELOADS);
    let (pages, asked) = mpsc::channel(RELOADS);
    let (agent, requests) = control::Agent::new();

    let settings = Settings::new(config.clone());
    let roles = settings.follow();
    let config = Arc::new(config.clone());
    let links = links(setup, &config, http.is_some(), &roles);
    let outbox = {
        let clock = clock.clone();
        let time = Arc::new(move || (clock.now(), clock.wall_ahead_ms()));
        let linker = links.clone().map(|links| -> Linker {
            Arc::new(move |notice: &Notice, who: &str| links.of(notice, who))
        });
        Outbox::open(&setup.state, &config.notifiers, Pace::default(), time)?.with_links(linker)
    };
    let outbox = Arc::new(outbox);
    // Watched before they are read: what changes meanwhile is read again.
    let watched = (setup.policies.clone(), setup.config.clone());
    let watch = Watch::new(watched, inputs.clone(), orders)?;
    let shelf = Shelf::read(&setup.policies);
    if let Some(why) = shelf.refused()
        && recovered.engine.state().services.is_empty()
    {
        return Err(AgentError::Usage(format!(
            "there is nothing to guard\n{}",
            why.trim_end()
        )));
    }

    let mut tasks = JoinSet::new();
    let client = Client::new();
    let api = Api::new(agent.clone(), roles).with_links(links);
    let mut keeper = Keeper::new(Parts {
        refusals: Arc::clone(api.refusals()),
        settings,
        engine: recovered.engine,
        scribe: Scribe::start(journal)?,
        roster: Roster::new(client, clock.clone(), inputs.clone()),
        manager: Manager::new(),
        outbox: Arc::clone(&outbox),
        letters,
        reloads,
        inputs,
        state: setup.state.clone(),
        config,
        clock,
    });
    tracing::info!(
        state = %setup.state.display(),
        policies = %setup.policies.display(),
        stepped = recovered.stepped,
        "backstop {} starts", env!("CARGO_PKG_VERSION")
    );
    keeper.tell_again(recovered.notices);
    keeper.resume(clock::host(), recovered.damage);
    keeper.read(shelf, None);
    keeper.distrust_damage();
    keeper.follow(&mut tasks);
    keeper.roll();
    Manager::ready();

    tasks.spawn(courier::carry(Arc::clone(&outbox), to_carry));
    tasks.spawn(async move {
        outbox.deliver().await;
    });
    tasks.spawn(watch.run());
    if let Some(listener) = http {
        tasks.spawn(http::serve(listener, pages, agent, api.reading()));
    }
    tasks.spawn(async move {
        if let Err(error) = api.serve(door, std::future::pending()).await {
            tracing::error!(%error, "the socket is no longer served");
        }
    });
    let sources = Sources {
        inputs: incoming,
        requests,
        pages: asked,
        stop,
        tasks,
    };
    keeper.run(sources).await
}

/// Links by which people answer, where the config has notifiers that carry them.
/// Without their key the agent guards all the same, and people answer on the
/// socket.
fn links(
    setup: &Setup,
    config: &Config,
    listens: bool,
    roles: &tokio::sync::watch::Receiver<Arc<Config>>,
) -> Option<Arc<Links>> {
    if config.notifiers.values().all(|n| n.answers_as.is_none()) {
        return None;
    }
    if !listens {
        tracing::warn!("nothing listens for HTTP: notices have no links to answer by");
        return None;
    }
    match Links::open(&setup.state, roles.clone()) {
        Ok(links) => Some(Arc::new(links)),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "notices have no links to answer by");
            None
        }
    }
}

/// The agent's config; without a file the default one.
fn config(setup: &Setup) -> Result<Config, AgentError> {
    let (text, loaded) = match &setup.config {
        Some(path) => read_config(path, Writable::Refuse),
        None => (String::new(), load_config("the default config", "")),
    };
    for fault in &loaded.warnings {
        tracing::warn!(
            "{}",
            render(std::slice::from_ref(fault), &text, false).trim_end()
        );
    }
    loaded.config.ok_or_else(|| {
        AgentError::Usage(format!(
            "the agent's config is refused\n{}",
            render(&loaded.faults, &text, false).trim_end()
        ))
    })
}
