//! Any bytes are an order or malformed, and what was taken reads the same again.

use backstop::control::{
    Answer, LONGEST_FREEZE, parse_answer, parse_declare, parse_deploy, parse_freeze, parse_lease,
    parse_number, parse_push, parse_rollback, parse_unfreeze, parse_webhook,
};

/// The bytes as every body that the API takes, and as what stands in its paths.
pub fn run(data: &[u8]) {
    if let Ok(answer) = parse_answer(data) {
        let again = serde_json::to_vec::<Answer>(&answer).expect("an answer is JSON");
        assert_eq!(parse_answer(&again).as_ref(), Ok(&answer));
        assert!(!answer.reason.contains(char::is_control));
    }
    if let Ok(rollback) = parse_rollback(data) {
        assert!(!rollback.reason.is_empty());
    }
    if let Ok((lease, reason, _)) = parse_freeze(data) {
        assert!(!reason.is_empty() && !lease.is_zero() && lease <= LONGEST_FREEZE);
    }
    if let Ok(unfreeze) = parse_unfreeze(data) {
        assert!(!unfreeze.reason.contains(char::is_control));
    }
    if let Ok(declared) = parse_declare(data) {
        assert!(!declared.reason.is_empty() && !declared.version.is_empty());
    }
    if let Ok((name, _, reason)) = parse_push(data) {
        assert!(!name.is_empty() && !reason.contains(char::is_control));
    }
    if let Ok(webhook) = parse_webhook(data) {
        assert!(webhook.alerts.iter().all(|a| !a.fingerprint.is_empty()));
    }
    if let Ok(deploy) = parse_deploy(data) {
        assert!(!deploy.version.is_empty() && !deploy.version.contains(char::is_whitespace));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(parse_number(text) != Ok(0));
        if let Ok(lease) = parse_lease(text) {
            assert!(lease <= LONGEST_FREEZE);
        }
    }
}
