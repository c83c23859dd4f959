//! The protocol's words, written and read.

use super::*;

#[test]
fn an_empty_body_is_an_answer_without_a_word() {
    for body in [&b""[..], b" \n", b"{}"] {
        assert_eq!(parse_answer(body), Ok(Answer::default()));
        assert_eq!(parse_unfreeze(body), Ok(Unfreeze::default()));
    }
    for body in [&b""[..], b"{}", b"null", b"[]", b"\xff", b"{\"reason\":"] {
        assert!(parse_rollback(body).is_err(), "{body:?}");
        assert!(parse_freeze(body).is_err(), "{body:?}");
        assert!(parse_deploy(body).is_err(), "{body:?}");
        assert!(parse_declare(body).is_err(), "{body:?}");
    }
}

#[test]
fn what_is_unknown_is_refused_by_name() {
    let fault = parse_answer(br#"{"as": "technical-lead"}"#).unwrap_err();
    assert!(fault.to_string().contains("unknown field `as`"), "{fault}");
    // Nobody says who they are: the socket does.
    assert!(parse_answer(br#"{"by": "root"}"#).is_err());
}

#[test]
fn a_reason_is_one_line_and_never_empty_where_it_is_asked_for() {
    let said = parse_answer(br#"{"reason": "  looks\n\tgood  to me "}"#).unwrap();
    assert_eq!(said.reason, "looks good to me");
    assert!(parse_rollback(br#"{"reason": " \n "}"#).is_err());
    assert!(parse_answer(br#"{"reason": "\u0007"}"#).is_err());
    let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(LONGEST_REASON + 1));
    assert!(parse_answer(long.as_bytes()).is_err());
}

#[test]
fn what_was_lost_is_a_number_with_a_reason() {
    let body = br#"{"name": "orders", "value": 12, "reason": "audit"}"#;
    assert_eq!(parse_loss(body).unwrap().value.to_string(), "12");
    for body in [
        r#"{"name": "orders", "value": -1, "reason": "x"}"#,
        r#"{"name": "orders", "value": "many", "reason": "x"}"#,
        r#"{"name": "orders", "value": 1e999, "reason": "x"}"#,
        r#"{"name": "orders", "value": 1, "reason": ""}"#,
        r#"{"name": "lost orders", "value": 1, "reason": "x"}"#,
    ] {
        assert!(parse_loss(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_release_is_good_or_bad_for_a_reason() {
    let body = br#"{"version": "v42", "word": "bad", "reason": "loses orders"}"#;
    assert_eq!(parse_declare(body).unwrap().word, Word::Bad);
    for body in [
        r#"{"version": "v42", "word": "bad", "reason": " "}"#,
        r#"{"version": "v42", "word": "broken", "reason": "x"}"#,
        r#"{"version": "", "word": "good", "reason": "x"}"#,
        r#"{"version": "v42", "word": "good", "reason": "x", "by": "root"}"#,
    ] {
        assert!(parse_declare(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn names_have_neither_white_space_nor_control_characters() {
    for version in ["", "v 1", "v\\n1", "v\\u00001", "v\\u00a01"] {
        let body = format!(r#"{{"version": "{version}"}}"#);
        assert!(parse_deploy(body.as_bytes()).is_err(), "{body}");
    }
    let body = br#"{"version": "2026.11.21-3+b.7"}"#;
    assert_eq!(parse_deploy(body).unwrap().version, "2026.11.21-3+b.7");
}

#[test]
fn an_override_is_on_record_whole_or_refused() {
    let body =
        |parts: &str| format!(r#"{{"for": "1h", "reason": "fix", "override": {{{parts}}}}}"#);
    let whole = r#""authorised_by": "carol", "risk": "none known", "plan": "run the checks""#;
    let (_, _, emergency) = parse_freeze(body(whole).as_bytes()).unwrap();
    assert_eq!(emergency.unwrap().authorised_by, "carol");
    for parts in [
        "",
        r#""authorised_by": "carol", "risk": "none known""#,
        r#""authorised_by": " ", "risk": "none known", "plan": "x""#,
        r#""authorised_by": "carol", "risk": "", "plan": "x""#,
    ] {
        assert!(parse_freeze(body(parts).as_bytes()).is_err(), "{parts}");
    }
}

#[test]
fn a_freeze_ends_within_thirty_days() {
    for (text, seconds) in [
        ("90s", 90),
        ("1h 30m", 5400),
        (" 2d ", 172_800),
        ("30d", 2_592_000),
    ] {
        assert_eq!(
            parse_lease(text),
            Ok(Duration::from_secs(seconds)),
            "{text}"
        );
    }
    for text in [
        "",
        "1h x",
        "90",
        "-5m",
        "0s",
        "999ms",
        "1M",
        "1month",
        "2 years",
        "30d 1s",
        "99999999999999999999s",
        "18446744073709551615s 18446744073709551615s",
        "1\u{0}h",
    ] {
        assert!(parse_lease(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_said_is_a_flag_some_more_events_or_a_number_and_nothing_else() {
    let body = |value: &str| format!(r#"{{"name": "tickets", "value": {value}}}"#);
    for (value, said) in [
        (r#""set""#, Statement::Set),
        (r#""clear""#, Statement::Clear),
        (r#""+3""#, Statement::Events(3)),
        (r#""-1.5e3""#, Statement::Is(-1500.0)),
        ("17.5", Statement::Is(17.5)),
    ] {
        let parsed = parse_push(body(value).as_bytes()).unwrap();
        assert_eq!(
            parsed,
            ("tickets".to_owned(), said, String::new()),
            "{value}"
        );
    }
    for value in [
        "\"\"",
        r#""SET""#,
        r#""+""#,
        r#""+0""#,
        r#""++1""#,
        r#""+-1""#,
        r#""+1.5""#,
        r#""+1000001""#,
        r#""NaN""#,
        r#""inf""#,
        r#""1e999""#,
        "true",
        "null",
        "[]",
        "{}",
    ] {
        assert!(parse_push(body(value).as_bytes()).is_err(), "{value}");
    }
}

#[test]
fn incidents_are_numbered_from_one() {
    assert_eq!(parse_number("12"), Ok(12));
    for text in ["", "0", "-1", "1.0", "x", "99999999999999999999", "\u{7}"] {
        assert!(parse_number(text).is_err(), "{text}");
    }
}
