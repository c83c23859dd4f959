//! The agent's own numbers, for `/metrics`.
//!
//! What happened is counted as it happens; what is, is read off the engine's
//! state when somebody asks. One table has every name with its help.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use super::scribe::Health;
use crate::control::{Diagnosis, Refusals};
use crate::guard::{Note, Ruling, Service, Snapshot, What};
use crate::model::{Gap, Value, Verdict};
use crate::sense::Sampled;
use crate::tell::Counts;

/// Every metric: its name as it is exposed, its type, its help.
pub const METRICS: [(&str, &str, &str); 34] = [
    (
        "backstop_build_info",
        "gauge",
        "Always 1; `version` is this program's.",
    ),
    (
        "backstop_samples_total",
        "counter",
        "Samples taken, by service, source and result: `ok`, or the kind of failure.",
    ),
    (
        "backstop_sample_bytes_total",
        "counter",
        "Bytes of body read, decompressed, by service and source.",
    ),
    (
        "backstop_sample_seconds",
        "histogram",
        "How long a sample took.",
    ),
    (
        "backstop_release_asked_total",
        "counter",
        "Runs of the command that says which release runs, by service and result.",
    ),
    (
        "backstop_tick_lateness_seconds",
        "histogram",
        "From a tick to its last sample being in.",
    ),
    (
        "backstop_ticks_total",
        "counter",
        "Ticks judged, by service.",
    ),
    (
        "backstop_signal_value",
        "gauge",
        "A signal's last reading; absent when there is none. A quantile above the top bound is +Inf.",
    ),
    (
        "backstop_source_up",
        "gauge",
        "1 when a source is up, 0 when it is down; absent while undecided.",
    ),
    (
        "backstop_trigger_state",
        "gauge",
        "0 clear, 1 breach, 2 blind, at the last tick.",
    ),
    (
        "backstop_trigger_held_seconds",
        "gauge",
        "How far a trigger is into its hold.",
    ),
    (
        "backstop_trigger_fired",
        "gauge",
        "1 while a trigger is fired.",
    ),
    (
        "backstop_held",
        "gauge",
        "1 for the gate that holds a service's rollback back.",
    ),
    (
        "backstop_phase",
        "gauge",
        "1 for the phase that a service is in.",
    ),
    (
        "backstop_incidents_open",
        "gauge",
        "Open incidents, by service.",
    ),
    (
        "backstop_notes_total",
        "counter",
        "What was decided, seen or refused, by service and what.",
    ),
    (
        "backstop_runs_total",
        "counter",
        "Rollbacks that ended, by service and outcome.",
    ),
    (
        "backstop_shadow_evaluations",
        "gauge",
        "Ticks at which a trigger in shadow had a verdict, since it is in shadow with this condition.",
    ),
    (
        "backstop_shadow_watched_seconds",
        "gauge",
        "How long a trigger in shadow has been judged since then.",
    ),
    (
        "backstop_shadow_fires",
        "gauge",
        "Fires of a trigger in shadow since then, by ruling: `open`, `confirmed` or `false`.",
    ),
    (
        "backstop_shadow_fit",
        "gauge",
        "1 if a trigger in shadow is fit to enforce by its policy's `promote`, else 0; absent without one.",
    ),
    (
        "backstop_drill_last_success",
        "gauge",
        "1 if all was as it should be at a service's last drill, else 0; absent before the first.",
    ),
    (
        "backstop_drill_last_timestamp_seconds",
        "gauge",
        "When that drill began, in Unix seconds.",
    ),
    (
        "backstop_drill_last_duration_seconds",
        "gauge",
        "How long that drill took.",
    ),
    (
        "backstop_policy_last_reload_successful",
        "gauge",
        "1 if every policy file and the agent's config were taken at the last reading, else 0.",
    ),
    (
        "backstop_policy_last_reload_timestamp_seconds",
        "gauge",
        "When the policies were last read, in Unix seconds.",
    ),
    (
        "backstop_preflight_problems",
        "gauge",
        "Steps of plans that could not be done as things are.",
    ),
    (
        "backstop_http_refused_total",
        "counter",
        "Callers over HTTP that were refused, by reason: `unknown_token`, `role`, `too_large`, `malformed`, `link`.",
    ),
    (
        "backstop_journal_broken",
        "gauge",
        "1 while nothing is kept: then nothing is rolled back.",
    ),
    (
        "backstop_journal_lost_total",
        "counter",
        "Records that could not be kept.",
    ),
    (
        "backstop_journal_waiting",
        "gauge",
        "Entries that wait for the disk.",
    ),
    (
        "backstop_outbox_waiting",
        "gauge",
        "Notices that wait, by notifier.",
    ),
    (
        "backstop_outbox_delivered_total",
        "counter",
        "Notices delivered, by notifier.",
    ),
    (
        "backstop_outbox_failed_total",
        "counter",
        "Attempts to deliver a notice that failed, by notifier.",
    ),
];

type Labels = Vec<(&'static str, String)>;
type Number = Gauge<f64, AtomicU64>;
type Numbers = Family<Labels, Number>;
type Counters = Family<Labels, Counter>;

/// The agent's numbers.
pub(super) struct Metrics {
    registry: Registry,
    samples: Counters,
    bytes: Counters,
    asked: Counters,
    seconds: Histogram,
    lateness: Histogram,
    ticks: Counters,
    notes: Counters,
    runs: Counters,
    signal: Numbers,
    source_up: Numbers,
    trigger_state: Numbers,
    trigger_held: Numbers,
    trigger_fired: Numbers,
    held: Numbers,
    phase: Numbers,
    incidents: Numbers,
    shadow_evaluations: Numbers,
    shadow_watched: Numbers,
    shadow_fires: Numbers,
    shadow_fit: Numbers,
    drill_success: Numbers,
    drill_timestamp: Numbers,
    drill_duration: Numbers,
    reload_successful: Number,
    reload_timestamp: Number,
    problems: Number,
    journal_broken: Number,
    journal_lost: Counter,
    journal_waiting: Number,
    outbox_waiting: Numbers,
    outbox_delivered: Counters,
    outbox_failed: Counters,
    http_refused: Counters,
}

/// What is asked for beside the engine's state.
pub(super) struct Rest<'a> {
    pub(super) diagnosis: &'a Diagnosis,
    pub(super) journal: &'a Health,
    pub(super) refusals: &'a Refusals,
    pub(super) journal_waiting: u64,
    pub(super) outbox: &'a std::collections::BTreeMap<String, Counts>,
}

fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, metric: M) -> M {
    let row = METRICS.iter().find(|(n, ..)| *n == name);
    let help = row.map_or("", |(_, _, help)| help.trim_end_matches('.'));
    // The encoder adds what a counter's name ends in, and the help's full stop.
    registry.register(name.trim_end_matches("_total"), help, metric.clone());
    metric
}

impl Metrics {
    pub(super) fn new() -> Self {
        // From a loopback's answer to the longest timeout.
        let seconds = || Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let mut registry = Registry::default();
        let r = &mut registry;
        let build: Numbers = register(r, "backstop_build_info", Numbers::default());
        build
            .get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())])
            .set(1.0);
        Self {
            samples: register(r, "backstop_samples_total", Counters::default()),
            asked: register(r, "backstop_release_asked_total", Counters::default()),
            bytes: register(r, "backstop_sample_bytes_total", Counters::default()),
            seconds: register(r, "backstop_sample_seconds", seconds()),
            lateness: register(r, "backstop_tick_lateness_seconds", seconds()),
            ticks: register(r, "backstop_ticks_total", Counters::default()),
            signal: register(r, "backstop_signal_value", Numbers::default()),
            source_up: register(r, "backstop_source_up", Numbers::default()),
            trigger_state: register(r, "backstop_trigger_state", Numbers::default()),
            trigger_held: register(r, "backstop_trigger_held_seconds", Numbers::default()),
            trigger_fired: register(r, "backstop_trigger_fired", Numbers::default()),
            held: register(r, "backstop_held", Numbers::default()),
            phase: register(r, "backstop_phase", Numbers::default()),
            incidents: register(r, "backstop_incidents_open", Numbers::default()),
            notes: register(r, "backstop_notes_total", Counters::default()),
            runs: register(r, "backstop_runs_total", Counters::default()),
            shadow_evaluations: register(r, "backstop_shadow_evaluations", Numbers::default()),
            shadow_watched: register(r, "backstop_shadow_watched_seconds", Numbers::default()),
            shadow_fires: register(r, "backstop_shadow_fires", Numbers::default()),
            shadow_fit: register(r, "backstop_shadow_fit", Numbers::default()),
            drill_success: register(r, "backstop_drill_last_success", Numbers::default()),
            drill_timestamp: register(
                r,
                "backstop_drill_last_timestamp_seconds",
                Numbers::default(),
            ),
            drill_duration: register(
                r,
                "backstop_drill_last_duration_seconds",
                Numbers::default(),
            ),
            reload_successful: register(
                r,
                "backstop_policy_last_reload_successful",
                Number::default(),
            ),
            reload_timestamp: register(
                r,
                "backstop_policy_last_reload_timestamp_seconds",
                Number::default(),
            ),
            problems: register(r, "backstop_preflight_problems", Number::default()),
            journal_broken: register(r, "backstop_journal_broken", Number::default()),
            journal_lost: register(r, "backstop_journal_lost_total", Counter::default()),
            journal_waiting: register(r, "backstop_journal_waiting", Number::default()),
            outbox_waiting: register(r, "backstop_outbox_waiting", Numbers::default()),
            outbox_delivered: register(r, "backstop_outbox_delivered_total", Counters::default()),
            outbox_failed: register(r, "backstop_outbox_failed_total", Counters::default()),
            http_refused: register(r, "backstop_http_refused_total", Counters::default()),
            registry,
        }
    }

    /// A sample came in.
    pub(super) fn sampled(&self, service: &str, source: &str, sampled: &Sampled) {
        let result = sampled.outcome.gap().map_or("ok", |gap| gap.kind.name());
        let of = vec![
            ("service", service.to_owned()),
            ("source", source.to_owned()),
        ];
        self.bytes.get_or_create(&of).inc_by(sampled.bytes);
        let mut with = of;
        with.push(("result", result.to_owned()));
        self.samples.get_or_create(&with).inc();
        self.seconds.observe(sampled.took.as_secs_f64());
    }

    /// The command that says which release runs was asked.
    pub(super) fn asked(&self, service: &str, gap: Option<&Gap>) {
        let mut of = one(service);
        let result = gap.map_or("ok", |gap| gap.kind.name());
        of.push(("result", result.to_owned()));
        self.asked.get_or_create(&of).inc();
    }

    /// A tick was judged.
    pub(super) fn ticked(&self, service: &str, late: std::time::Duration) {
        self.ticks.get_or_create(&one(service)).inc();
        self.lateness.observe(late.as_secs_f64());
    }

    /// The engine noted something.
    pub(super) fn noted(&self, note: &Note) {
        let of = vec![
            ("service", note.service.clone()),
            ("what", note.what.name().to_owned()),
        ];
        self.notes.get_or_create(&of).inc();
        let ends = matches!(
            note.what,
            What::Cured
                | What::NotCured
                | What::Failed
                | What::TimedOut
                | What::Aborted
                | What::LostTrack
        );
        if ends {
            let of = vec![
                ("service", note.service.clone()),
                ("outcome", note.what.name().to_owned()),
            ];
            self.runs.get_or_create(&of).inc();
        }
    }

    /// All of it, as an OpenMetrics page.
    pub(super) fn page(&self, state: &Snapshot, rest: &Rest<'_>) -> String {
        self.fill(state);
        let diagnosis = rest.diagnosis;
        self.reload_successful
            .set(f64::from(diagnosis.reloaded.successful));
        let read = diagnosis.reloaded_at.unix_millis(diagnosis.wall_ahead_ms);
        self.reload_timestamp.set(read as f64 / 1000.0);
        self.problems.set(diagnosis.reloaded.preflight.len() as f64);
        self.journal_broken
            .set(f64::from(rest.journal.broken.is_some()));
        self.journal_waiting.set(rest.journal_waiting as f64);
        upto(&self.journal_lost, rest.journal.lost);
        for (name, counts) in rest.outbox {
            let of = || vec![("notifier", name.clone())];
            self.outbox_waiting
                .get_or_create(&of())
                .set(counts.queued as f64);
            upto(
                &self.outbox_delivered.get_or_create(&of()),
                counts.delivered,
            );
            upto(&self.outbox_failed.get_or_create(&of()), counts.failed);
        }
        for (reason, count) in rest.refusals.counts() {
            let of = vec![("reason", reason.to_owned())];
            upto(&self.http_refused.get_or_create(&of), count);
        }
        let mut page = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut page, &self.registry);
        for family in self.numbers() {
            family.clear();
        }
        page
    }

    /// The families that are read off the engine's state.
    const fn numbers(&self) -> [&Numbers; 15] {
        [
            &self.signal,
            &self.source_up,
            &self.trigger_state,
            &self.trigger_held,
            &self.trigger_fired,
            &self.held,
            &self.phase,
            &self.incidents,
            &self.shadow_evaluations,
            &self.shadow_watched,
            &self.shadow_fires,
            &self.shadow_fit,
            &self.drill_success,
            &self.drill_timestamp,
            &self.drill_duration,
        ]
    }

    /// What is read off the engine's state, anew each time: what is no longer
    /// there must not stay on the page.
    fn fill(&self, state: &Snapshot) {
        for (name, service) in &state.services {
            let with = |key, value: &str| vec![("service", name.clone()), (key, value.to_owned())];
            for (signal, reading) in service.judge.signals() {
                let Ok(reading) = reading else { continue };
                let value = match reading.value {
                    Value::Exactly(value) => value,
                    Value::AboveTop(_) => f64::INFINITY,
                };
                self.signal
                    .get_or_create(&with("signal", signal))
                    .set(value);
            }
            for source in service.policy.sources.keys() {
                let up = match service.judge.source_up(source) {
                    crate::judge::SourceHealth::Up => 1.0,
                    crate::judge::SourceHealth::Down => 0.0,
                    crate::judge::SourceHealth::Undecided { .. }
                    | crate::judge::SourceHealth::Own => continue,
                };
                self.source_up
                    .get_or_create(&with("source", source))
                    .set(up);
            }
            for (trigger, judgement) in service.judge.triggers() {
                let of = with("trigger", trigger);
                let verdict = match judgement.verdict {
                    Verdict::Clear => 0.0,
                    Verdict::Breach => 1.0,
                    Verdict::Blind { .. } => 2.0,
                };
                self.trigger_state.get_or_create(&of).set(verdict);
                let held = judgement.held_ms as f64 / 1000.0;
                self.trigger_held.get_or_create(&of).set(held);
                let fired = f64::from(judgement.fired.is_some());
                self.trigger_fired.get_or_create(&of).set(fired);
            }
            if let Some(held) = service.incident.as_ref().and_then(|i| i.held.as_ref()) {
                let of = with("gate", held.gate.name());
                self.held.get_or_create(&of).set(1.0);
            }
            let of = with("phase", service.phase.name());
            self.phase.get_or_create(&of).set(1.0);
            let open = f64::from(service.incident.is_some());
            self.incidents.get_or_create(&one(name)).set(open);
            self.shadow(name, service);
            if let Some(drill) = &service.drill {
                let passed = f64::from(drill.passed());
                self.drill_success.get_or_create(&one(name)).set(passed);
                let began = drill.began.unix_millis(service.wall_ahead_ms) as f64;
                let began_s = began / 1000.0;
                self.drill_timestamp.get_or_create(&one(name)).set(began_s);
                let took = drill.took.as_secs_f64();
                self.drill_duration.get_or_create(&one(name)).set(took);
            }
        }
    }

    /// What triggers in shadow have shown.
    fn shadow(&self, name: &str, service: &Service) {
        for row in service.ledger.rows() {
            let of = || {
                vec![
                    ("service", name.to_owned()),
                    ("trigger", row.trigger.clone()),
                ]
            };
            let evaluations = row.evaluations as f64;
            self.shadow_evaluations
                .get_or_create(&of())
                .set(evaluations);
            let watched = row.watched().as_secs_f64();
            self.shadow_watched.get_or_create(&of()).set(watched);
            let counts = row.counts;
            let ruled = [
                (Ruling::Open, counts.open()),
                (Ruling::Confirmed, counts.confirmed),
                (Ruling::False, counts.refuted),
            ];
            for (ruling, fires) in ruled {
                let mut of = of();
                of.push(("ruling", ruling.name().to_owned()));
                self.shadow_fires.get_or_create(&of).set(fires as f64);
            }
            let mut triggers = service.policy.triggers.iter();
            let trigger = triggers.find(|t| t.name == row.trigger);
            if let Some(rule) = trigger.and_then(|t| t.promote) {
                let fit = f64::from(row.is_fit(&rule));
                self.shadow_fit.get_or_create(&of()).set(fit);
            }
        }
    }
}

fn one(service: &str) -> Labels {
    vec![("service", service.to_owned())]
}

/// Brings a counter up to what somebody else has counted.
fn upto(counter: &Counter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_metric_and_no_other() {
        let metrics = Metrics::new();
        // A family without members is not exposed.
        let none = Vec::new();
        for family in metrics.numbers() {
            family.get_or_create(&none).set(0.0);
        }
        metrics.outbox_waiting.get_or_create(&none).set(0.0);
        for family in [
            &metrics.samples,
            &metrics.asked,
            &metrics.bytes,
            &metrics.ticks,
            &metrics.notes,
            &metrics.runs,
            &metrics.outbox_delivered,
            &metrics.outbox_failed,
            &metrics.http_refused,
        ] {
            family.get_or_create(&none).inc();
        }
        let mut page = String::new();
        encode(&mut page, &metrics.registry).unwrap();
        let mut exposed: Vec<(String, String)> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => (format!("{name}_total"), kind.to_owned()),
                _ => (name.to_owned(), kind.to_owned()),
            })
            .collect();
        exposed.sort();
        let mut said: Vec<(String, String)> = METRICS
            .iter()
            .map(|(name, kind, _)| ((*name).to_owned(), (*kind).to_owned()))
            .collect();
        said.sort();
        assert_eq!(exposed, said);
        assert!(!page.contains(".."), "a full stop too many: {page}");
    }
}
