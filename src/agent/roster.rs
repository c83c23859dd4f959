//! Which services are sampled, and whether each makes progress.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::input::Input;
use super::sampler::Sampler;
use crate::guard::Service;
use crate::model::{Moment, Policy};
use crate::sense::Client;

/// Intervals without a judged tick after which a service does not make progress.
const PATIENCE: u32 = 3;

/// The samplers, one task for each service.
pub(super) struct Roster {
    posts: BTreeMap<String, Post>,
    client: Client,
    clock: Clock,
    inputs: mpsc::Sender<Input>,
}

struct Post {
    policy: watch::Sender<Arc<Policy>>,
    /// Its last judged tick, or when it was set up.
    ticked: Moment,
}

impl Roster {
    pub(super) fn new(client: Client, clock: Clock, inputs: mpsc::Sender<Input>) -> Self {
        Self {
            posts: BTreeMap::new(),
            client,
            clock,
            inputs,
        }
    }

    /// Samples these services with these policies from now on, and no others.
    /// One whose policy is the same is not disturbed.
    pub(super) fn follow(&mut self, services: &BTreeMap<String, Service>, tasks: &mut JoinSet<()>) {
        self.posts.retain(|name, _| services.contains_key(name));
        for (name, service) in services {
            if let Some(post) = self.posts.get(name) {
                post.policy.send_if_modified(|policy| {
                    let changed = !Arc::ptr_eq(policy, &service.policy);
                    *policy = Arc::clone(&service.policy);
                    changed
                });
                continue;
            }
            let (policy, policies) = watch::channel(Arc::clone(&service.policy));
            let sampler = Sampler::new(
                policies,
                self.client.clone(),
                self.clock.clone(),
                self.inputs.clone(),
            );
            tasks.spawn(sampler.run());
            let ticked = self.clock.now();
            self.posts.insert(name.clone(), Post { policy, ticked });
        }
    }

    /// How many services are sampled.
    pub(super) fn len(&self) -> usize {
        self.posts.len()
    }

    /// Nothing is sampled any more.
    pub(super) fn dismiss(&mut self) {
        self.posts.clear();
    }

    /// A tick of this service was judged.
    pub(super) fn ticked(&mut self, service: &str, now: Moment) {
        if let Some(post) = self.posts.get_mut(service) {
            post.ticked = now;
        }
    }

    /// A service that is not judged as it should be, and for how long it has not
    /// been.
    pub(super) fn stalled(&self, now: Moment) -> Option<(&str, Duration)> {
        self.posts.iter().find_map(|(name, post)| {
            let policy = post.policy.borrow();
            // A tick is judged when its last sample is in.
            let timeout = policy.sources.values().map(|s| s.timeout).max();
            let patience = policy.interval * PATIENCE + timeout.unwrap_or_default();
            let since = now.since(post.ticked);
            (since > patience).then_some((name.as_str(), since))
        })
    }
}
