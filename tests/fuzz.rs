//! The fuzz targets over their corpus, and over a few thousand mutations of it,
//! always the same ones: what `cargo fuzz` does for hours, in seconds, on the
//! stable compiler.
//!
//! A crash that `cargo fuzz` finds is kept by copying its artifact into the
//! target's folder in `fuzz/corpus`.

#[allow(unreachable_pub, reason = "it is public in the fuzz crate")]
#[path = "../fuzz/src/api.rs"]
mod api;
#[allow(unreachable_pub, reason = "it is public in the fuzz crate")]
#[path = "../fuzz/src/condition.rs"]
mod condition;
#[allow(unreachable_pub, reason = "it is public in the fuzz crate")]
#[path = "../fuzz/src/exposition.rs"]
mod exposition;
#[allow(unreachable_pub, reason = "it is public in the fuzz crate")]
#[path = "../fuzz/src/policy.rs"]
mod policy;
#[allow(unreachable_pub, reason = "it is public in the fuzz crate")]
#[path = "../fuzz/src/recording.rs"]
mod recording;
#[allow(unreachable_pub, reason = "it is public in the fuzz crate")]
#[path = "../fuzz/src/selector.rs"]
mod selector;

use std::panic::catch_unwind;
use std::path::Path;

/// What is inserted besides single bytes, so that grammars are reached.
const TOKENS: [&[u8]; 24] = [
    b"\n",
    b" ",
    b"{",
    b"}",
    b"\"",
    b"\\",
    b",",
    b"=",
    b"# EOF\n",
    b"a 1\n",
    b"a{x=\"1\"} 2\n",
    b"=~\"",
    b"1e5",
    b"NaN",
    b"\r\n",
    b"\xff",
    b" for ",
    b" and ",
    b"(",
    b"5%",
    b"10m",
    b"[triggers.a]\n",
    b"[[",
    b" = \"",
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a readable seed"))
        .collect()
}

/// Runs a target over its corpus and `mutations` of it; prints what failed.
fn fuzz(target: &str, run: fn(&[u8]), mutations: usize) {
    let corpus = corpus(target);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mutated = (0..mutations).map(|_| random.mutate(&corpus));
    for input in corpus.iter().cloned().chain(mutated) {
        let result = catch_unwind(|| run(&input));
        assert!(
            result.is_ok(),
            "{target} failed on {:?}",
            String::from_utf8_lossy(&input)
        );
    }
}

/// A xorshift generator: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).expect("it is below a usize")
    }

    fn mutate(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut out = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(out.len() + 1);
            match self.below(6) {
                0 => {
                    let byte = u8::try_from(self.below(256)).expect("a byte");
                    out.insert(at, byte);
                }
                1 => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    out.splice(at..at, token.iter().copied());
                }
                2 => {
                    let end = (at + self.below(8)).min(out.len());
                    out.drain(at..end);
                }
                3 => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len());
                    let to = from + self.below(other.len() - from + 1);
                    out.splice(at..at, other[from..to].iter().copied());
                }
                4 => {
                    let end = (at + self.below(40)).min(out.len());
                    let part = out[at..end].to_vec();
                    out.splice(at..at, part);
                }
                _ => {
                    if let Some(byte) = out.get_mut(at) {
                        *byte ^= 1 << (self.0 & 7);
                    }
                }
            }
        }
        out
    }
}

#[test]
fn any_bytes_into_the_exposition_parser_are_an_answer_or_an_error() {
    fuzz("exposition", exposition::run, 10_000);
}

#[test]
fn any_bytes_into_the_selector_parser_are_an_answer_or_an_error() {
    fuzz("selector", selector::run, 3_000);
}

#[test]
fn any_bytes_into_the_api_are_an_order_or_an_error() {
    fuzz("api", api::run, 10_000);
}

#[test]
fn any_text_is_a_condition_or_faults_at_their_places() {
    fuzz("condition", condition::run, 10_000);
}

#[test]
fn any_text_is_a_policy_that_can_be_judged_by_or_faults_at_their_places() {
    fuzz("policy", policy::run, 3_000);
}

#[test]
fn any_bytes_are_a_recording_that_can_be_replayed_or_an_error() {
    fuzz("recording", recording::run, 3_000);
}
