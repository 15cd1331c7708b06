//! Lacking: what 3.1 does not have of what 3.1.1 asks. The rest of 3.1.1 is asked of a server that speaks 3.1 as well.

use crate::conform::case::{Case, Run, Short};

/// Statements of 3.1.1 about something that 3.1 does not have: what holds in their place, their ids, and what is missing.
const STATEMENTS: &[(&str, &str, &str)] = &[
    (
        "connack_says_nothing_of_a_session",
        "3.2.2-1 3.2.2-2 3.2.2-3 3.2.2-4",
        "CONNACK of 3.1 has no Session Present flag",
    ),
    (
        "a_field_at_the_end_of_connect_may_be_missing",
        "3.1.2-19 3.1.2-21",
        "in 3.1 the length of CONNECT stands above its flags: user name and password may be missing",
    ),
    (
        "a_client_names_itself",
        "3.1.3-6 3.1.3-7",
        "in 3.1 a client id has at least one character, and a server gives none",
    ),
];

/// Cases for 3.1.1 that 3.1 does not ask for.
const CASES: &[(&str, &str)] = &[
    ("flags_of_the_fixed_header_are_as_written", UNUSED),
    ("flags_of_pubrel_are_as_written", UNUSED),
    ("flags_of_subscribe_are_as_written", UNUSED),
    ("flags_of_unsubscribe_are_as_written", UNUSED),
    ("flags_of_disconnect_are_as_written", UNUSED),
    ("dup_with_qos_0_ends_the_connection", UNUSED),
    ("the_reserved_flag_of_connect_is_0", UNUSED),
    ("will_qos_stands_for_a_will", WILL),
    ("will_retain_stands_for_a_will", WILL),
    ("a_list_of_filters_is_not_empty", "3.1 does not say how many filters there are"),
    ("ill_formed_text_ends_the_connection", TEXT),
    ("an_ill_formed_user_name_lets_nobody_in", TEXT),
    ("a_null_character_in_a_string_ends_the_connection", TEXT),
    ("a_packet_that_only_servers_send_ends_the_connection", VIOLATION),
    ("a_packet_with_bytes_left_over_or_missing_ends_the_connection", VIOLATION),
];

const UNUSED: &str = "3.1 calls these flags not used, and does not say what they must be";
const WILL: &str = "in 3.1 Will QoS and Will Retain mean nothing without Will Flag";
const TEXT: &str = "3.1 does not say what becomes of text that is no good";
const VIOLATION: &str = "3.1 does not say what becomes of a client that breaks its rules";

/// The cases for 3.1: those for 3.1.1, each with the statements that hold there, and what 3.1 lacks as not applicable.
pub(crate) fn without(cases: impl Iterator<Item = Case>) -> Vec<Case> {
    let named = |ids: &'static str| ids.split_whitespace().map(|id| format!("MQTT-{id}"));
    let is_lacking =
        |wanted: &String| STATEMENTS.iter().any(|(_, ids, _)| named(ids).any(|id| id == *wanted));
    let asked = cases.filter_map(|mut case| {
        case.statements.retain(|id| !is_lacking(id));
        if let Some((_, why)) = CASES.iter().find(|(name, _)| *name == case.name) {
            case.run = not_asked(why);
        }
        (!case.statements.is_empty()).then_some(case)
    });
    let lacking = STATEMENTS.iter().map(|(name, ids, why)| Case {
        name,
        statements: named(ids).collect(),
        run: not_asked(why),
    });
    asked.chain(lacking).collect()
}

fn not_asked(why: &'static str) -> Run {
    Box::new(|_| Err(Short::NotApplicable(why.to_owned())))
}
