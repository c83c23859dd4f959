//! One look at what a policy is about, before it guards anything: what its
//! sources answer, and whether its steps could be done.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::AgentError;
use super::reload::problems;
use super::sampler::{Question, selectors};
use crate::model::{Outcome, Policy};
use crate::sense::{Client, Sensor};

/// What a look at a policy's surroundings found.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// What each source answered, by name.
    pub outcomes: BTreeMap<String, Outcome>,
    /// What stands in the way of its steps, for the user who asks, in words.
    pub problems: Vec<String>,
}

/// Samples every source of a policy once, all at the same time, and preflights
/// its programs. A command of a source is run once, no step is. Takes as long as the
/// slowest source may.
///
/// # Errors
///
/// When nothing can be sampled at all, or a source cannot be.
pub fn look(policy: &Policy) -> Result<Look, AgentError> {
    let client = Client::new();
    let mut sensors = Vec::new();
    for (name, source) in policy.sources.iter().filter(|(_, s)| !s.kind.is_told()) {
        let selectors = selectors(policy, name);
        sensors.push(Sensor::new(name.clone(), source, selectors, &client)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| AgentError::system("start the runtime", e))?;
    let mut problems = problems(policy);
    if let Some(question) = Question::of(policy) {
        let mut command = question.command();
        let read = runtime.block_on(async {
            let read = command.read().await;
            command.settle().await;
            read
        });
        if let Err(gap) = read {
            problems.push(format!(
                "{}: the running release cannot be asked for: {gap}",
                policy.service
            ));
        }
    }
    let outcomes = runtime.block_on(join_all(sensors.iter_mut().map(async |sensor| {
        let outcome = sensor.sample().await.outcome;
        sensor.settle().await;
        (sensor.name().to_owned(), outcome)
    })));
    Ok(Look {
        outcomes: outcomes.into_iter().collect(),
        problems,
    })
}
