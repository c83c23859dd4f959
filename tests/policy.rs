//! Policies as data: what loads, what is refused, and what a person reads then.

use std::fs;

use backstop::policy::load;

#[test]
fn the_policy_of_the_contract_loads() {
    let text = fs::read_to_string("tests/policy/good/checkout.toml").unwrap();
    let loaded = load("checkout.toml", &text);
    assert_eq!(loaded.faults, []);
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.policy.unwrap().triggers.len(), 4);
}
