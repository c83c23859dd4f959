//! stub
#![allow(missing_docs, unused, clippy::all, clippy::pedantic)]
use crate::model::*;
use serde::{Deserialize, Serialize};
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judge {}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub verdict: Verdict,
    pub findings: Vec<Finding>,
    pub since: Option<Moment>,
    pub fired: Option<Moment>,
    pub hold_met: bool,
}
pub struct Turn {
    pub trigger: String,
    pub what: TurnKind,
}
#[derive(Clone, Copy, PartialEq)]
pub enum TurnKind {
    Suspecting,
    Fired,
    Cleared,
    Resolved,
    Blind,
    SeesAgain,
}
pub enum SourceHealth {
    Up,
    Down,
    Undecided { agree: u32, needed: u32 },
    Own,
}
impl Judge {
    pub fn new(p: &Policy) -> Judge {
        Judge {}
    }
    pub fn sampled(&mut self, policy: &Policy, source: &str, tick: Moment, outcome: &Outcome) {}
    pub fn judge(&mut self, policy: &Policy, tick: Moment, wall_ahead_ms: i64) -> Vec<Turn> {
        vec![]
    }
    pub fn trigger(&self, name: &str) -> Option<&Judgement> {
        None
    }
    pub fn source_up(&self, name: &str) -> SourceHealth {
        SourceHealth::Own
    }
    pub fn restart(&mut self, p: &Policy, at: Moment) {}
    pub fn revise(&mut self, old: &Policy, new: &Policy) {}
    pub fn watch(&mut self, p: &Policy, key: &str, c: &Condition, from: Moment) {}
    pub fn unwatch(&mut self, key: &str) {}
    pub fn watched(&self, key: &str) -> Option<&Judgement> {
        None
    }
    pub fn capture_baselines(&mut self) {}
}
