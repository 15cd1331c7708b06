//! Guarantees: what is safe when, line by line, each with the test that shows it.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde_json::json;

use crate::arguments::GuaranteesArgs;

/// One line of the promise.
#[derive(Debug)]
struct Line {
    /// What is promised, or is not.
    text: &'static str,
    /// File and name of the tests that show it, from the root of the repository.
    tests: &'static [(&'static str, &'static str)],
}

/// Lines that belong together.
#[derive(Debug)]
struct Chapter {
    name: &'static str,
    title: &'static str,
    lines: &'static [Line],
}

/// Prints them.
pub fn run(arguments: &GuaranteesArgs) {
    let text = if arguments.json { as_json() } else { as_text() };
    // Whoever reads it may have seen enough before the end.
    let _ = io::stdout().write_all(text.as_bytes());
}

fn as_text() -> String {
    let mut out = String::new();
    for Chapter { title, lines, .. } in CHAPTERS {
        let _ = writeln!(out, "{title}\n");
        for Line { text, tests } in *lines {
            let _ = writeln!(out, "  - {text}");
            for (file, test) in *tests {
                let _ = writeln!(out, "      {file}: {test}");
            }
        }
        out.push('\n');
    }
    out
}

fn as_json() -> String {
    let mut out = String::new();
    for Chapter { name, lines, .. } in CHAPTERS {
        for Line { text, tests } in *lines {
            let tests: Vec<String> = tests.iter().map(|(file, test)| format!("{file}: {test}")).collect();
            let _ = writeln!(out, "{}", json!({ "chapter": name, "text": text, "tests": tests }));
        }
    }
    out
}

#[cfg(test)]
fn as_page() -> String {
    let mut out = String::from(HEAD);
    for Chapter { title, lines, .. } in CHAPTERS {
        let _ = write!(out, "\n## {title}\n\n| | shown by |\n| --- | --- |\n");
        for Line { text, tests } in *lines {
            let tests: Vec<String> = tests.iter().map(|(file, test)| format!("`{file}`: `{test}`")).collect();
            let _ = writeln!(out, "| {text} | {} |", tests.join("<br>"));
        }
    }
    out
}

#[cfg(test)]
const HEAD: &str = "\
# Guarantees

What is safe when. `duetmq guarantees` prints the same, `--json` a line each. Every line names the tests that show it; a test
keeps this page, the command and those names together (`UPDATE_DOCS=1 cargo test -p server guarantees` writes the page).
";

const CHAPTERS: &[Chapter] = &[
    Chapter { name: "acknowledged", title: "What an acknowledgement means", lines: ACKNOWLEDGED },
    Chapter { name: "levels", title: "Levels", lines: LEVELS },
    Chapter { name: "restart", title: "What a restart brings back", lines: RESTART },
    Chapter { name: "once", title: "Exactly once, and in order", lines: ONCE },
    Chapter { name: "faults", title: "What happens when something breaks", lines: FAULTS },
    Chapter { name: "not", title: "What is not promised", lines: NOT },
];

const CAMPAIGN: &str = "tests/durability/main.rs";
const KILLED: (&str, &str) =
    (CAMPAIGN, "nothing_acknowledged_is_lost_and_nothing_exactly_once_is_doubled_when_the_broker_is_killed");
const CLOCK: &str = "tests/interop/clock.rs";
const DELAYED: &str = "tests/interop/delayed_restart.rs";
const FAILING: &str = "tests/pressure/failing_disk.rs";
const LEVELS_TESTS: &str = "tests/interop/levels.rs";
const POWER: (&str, &str) = (CAMPAIGN, "nothing_acknowledged_is_lost_when_the_power_fails");

const ACKNOWLEDGED: &[Line] = &[
    Line {
        text: "MQTT PUBACK (QoS 1): the message, and its place in every durable queue and session that it was routed to, is on disk \
               (`fdatasync` done). It survives kill -9 and power loss.",
        tests: &[KILLED, POWER],
    },
    Line {
        text: "MQTT PUBREC (QoS 2): the same, and the packet id with it; PUBCOMP: the id's release is on disk, too.",
        tests: &[
            KILLED,
            ("tests/interop/sessions.rs", "a_qos_2_message_sent_again_after_a_restart_is_known"),
        ],
    },
    Line {
        text: "STOMP RECEIPT of a SEND with `persistent:true`, or of a COMMIT: all of it is on disk, where its queues are durable.",
        tests: &[
            KILLED,
            (
                "tests/interop/crossing_promises.rs",
                "what_stomp_sends_waits_for_an_mqtt_session_and_outlives_the_broker_if_it_is_persistent",
            ),
        ],
    },
    Line {
        text: "SUBACK, UNSUBACK and CONNACK of a session that outlives its connection: what they say is on disk.",
        tests: &[
            ("tests/interop/lasting.rs", "the_options_of_a_subscription_survive_kill_minus_nine"),
            KILLED,
        ],
    },
    Line {
        text: "Acknowledgements leave in the order of what they acknowledge, and nobody sees a message before it is on disk, where it is to \
               last.",
        tests: &[("storage/tests/store/order.rs", "completions_run_in_the_order_of_the_commits")],
    },
    Line {
        text: "What a client settles without an answer (PUBACK, PUBCOMP, most of STOMP's ACK) is on disk within a second; once a later request of \
               the same client is answered, it does not come again; after a loss of power, once one is that was at the level `disk`.",
        tests: &[
            ("storage/tests/store/order.rs", "what_nobody_waits_for_is_written_soon_all_the_same"),
            KILLED,
        ],
    },
];

const LEVELS: &[Line] = &[
    Line {
        text: "All this holds at the level `disk`, which is the default. A place that a message takes in a queue has the lowest level of what is \
               said by the queue, by the most specific rule for the key, by the subscription and by the message (both `x-durability`); where neither \
               queue nor rule says anything, that of `durability.level`.",
        tests: &[
            (
                LEVELS_TESTS,
                "what_is_acknowledged_below_disk_outlives_kill_minus_nine_if_it_is_os_and_is_never_written_if_it_is_memory",
            ),
            (LEVELS_TESTS, "a_subscription_may_ask_for_less_and_at_qos_2_it_gets_disk_all_the_same"),
        ],
    },
    Line {
        text: "`os`: acknowledged means written. It outlives kill -9. By a loss of power the last second may be lost, always the last messages.",
        tests: &[
            (
                LEVELS_TESTS,
                "what_is_acknowledged_below_disk_outlives_kill_minus_nine_if_it_is_os_and_is_never_written_if_it_is_memory",
            ),
            ("storage/tests/store/order.rs", "who_waits_for_the_write_alone_does_not_wait_for_a_sync"),
        ],
    },
    Line {
        text: "`memory`: nothing of the message is written, nor the id that it came under. It outlives no end of the broker, an orderly one either.",
        tests: &[
            (
                LEVELS_TESTS,
                "messages_of_memory_do_not_outlive_an_orderly_stop_either_and_what_else_there_is_does",
            ),
            (LEVELS_TESTS, "an_id_outlives_what_its_message_outlives"),
        ],
    },
    Line {
        text: "An acknowledgement waits for the strictest level of all places that the message went to; that of a transaction, of all its messages.",
        tests: &[(LEVELS_TESTS, "a_message_that_goes_to_several_places_outlives_in_each_what_that_one_says")],
    },
    Line {
        text: "Sessions, subscriptions, exchanges, queues and bindings are on disk, whatever the level; so is what a session that outlives its \
               connection gets at QoS 2. What is retained is written at least.",
        tests: &[
            (LEVELS_TESTS, "a_subscription_may_ask_for_less_and_at_qos_2_it_gets_disk_all_the_same"),
            (LEVELS_TESTS, "what_is_retained_is_written_whatever_its_level"),
        ],
    },
];

const RESTART: &[Line] = &[
    Line {
        text: "Every acknowledged message that its consumer has not settled, in order.",
        tests: &[KILLED, ("storage/tests/store/random.rs", "a_store_is_what_was_committed_to_it")],
    },
    Line {
        text: "Sessions and their subscriptions with all options; durable exchanges, queues and bindings with all arguments.",
        tests: &[
            ("tests/interop/lasting.rs", "the_options_of_a_subscription_survive_kill_minus_nine"),
            ("tests/interop/queues.rs", "what_was_asked_of_a_queue_holds_after_kill_minus_nine"),
        ],
    },
    Line {
        text: "Streams: each acknowledged message is at one offset, for whoever reads it and however often, and what was read there stays there, \
               in the order of its publisher, until retention lets it go.",
        tests: &[
            KILLED,
            (
                "tests/interop/streams.rs",
                "what_is_in_a_stream_and_its_offsets_survive_kill_minus_nine_at_whatever_qos_it_came",
            ),
        ],
    },
    Line {
        text: "Retained messages.",
        tests: &[("tests/interop/retained.rs", "retained_messages_survive_kill_minus_nine")],
    },
    Line {
        text: "Wills: those of clients that the crash cut off are published, each once.",
        tests: &[(
            "tests/interop/wills_restart.rs",
            "a_broker_that_is_killed_publishes_the_wills_of_those_that_were_connected",
        )],
    },
    Line {
        text: "Ids that publishers gave their messages (`x-dedup-id`), within `durability.dedup_window`.",
        tests: &[("tests/interop/once.rs", "ids_outlive_kill_minus_nine_and_an_orderly_restart")],
    },
    Line {
        text: "Expiry of messages and will delays go on while the broker is down.",
        tests: &[
            ("tests/interop/lasting.rs", "the_time_of_a_message_runs_while_the_broker_is_down"),
            ("tests/interop/wills_restart.rs", "time_goes_on_while_the_broker_is_down"),
        ],
    },
    Line {
        text: "A message that waits for its time (`x-delay`, `$delayed/…`): it waits, or it is where it was to go; what became due while the broker \
               was down comes at once.",
        tests: &[
            (DELAYED, "what_is_due_while_the_broker_is_down_comes_at_once_in_its_order_and_none_comes_twice"),
            (DELAYED, "a_broker_that_is_killed_while_messages_become_due_loses_none_and_doubles_none"),
        ],
    },
    Line {
        text: "Somebody sets the clock while the broker runs: nothing expires, is due or is forgotten by that, and nobody is cut off; tokens alone go by \
               the new time. Set back while it is down, all lasts longer by that; set on, it counts as time that went by.",
        tests: &[
            (CLOCK, "a_clock_that_is_set_an_hour_on_or_back_drops_nothing_doubles_nothing_and_cuts_nobody"),
            (CLOCK, "a_clock_that_is_set_back_while_the_broker_is_down_drops_nothing_and_doubles_nothing"),
            (CLOCK, "a_clock_that_is_set_on_while_the_broker_is_down_counts_as_time_that_went_by"),
        ],
    },
    Line {
        text: "After SIGTERM: the same, within ten seconds, with exit code 0.",
        tests: &[(
            "tests/process/stop.rs",
            "what_was_acknowledged_before_sigterm_is_there_after_it_and_qos_2_only_once",
        )],
    },
];

const ONCE: &[Line] = &[
    Line {
        text: "At QoS 2, and under an id of the publisher's own, a message reaches each matching session exactly once, across crashes of the \
               broker and of clients that keep to the protocol.",
        tests: &[
            KILLED,
            ("tests/interop/sessions.rs", "after_pubrec_comes_pubrel_and_never_publish"),
            ("tests/interop/once.rs", "ids_outlive_kill_minus_nine_and_an_orderly_restart"),
        ],
    },
    Line {
        text: "A transaction of STOMP takes effect as a whole or not at all.",
        tests: &[
            ("tests/interop/transactions.rs", "an_aborted_or_abandoned_transaction_leaves_nothing"),
            KILLED,
        ],
    },
    Line {
        text: "What one publisher sends to one destination comes in its order; what comes again is marked (DUP, `redelivered:true`) and keeps \
               its place.",
        tests: &[
            (
                "tests/interop/delivery.rs",
                "messages_of_one_publisher_come_in_order_whatever_their_qos_is_on_the_way_out",
            ),
            KILLED,
        ],
    },
];

const FAULTS: &[Line] = &[
    Line {
        text: "A client crashes: what it had not settled comes again, to it or to the next consumer of the queue.",
        tests: &[(
            "tests/interop/sessions.rs",
            "what_was_not_acknowledged_comes_again_with_dup_and_the_same_id",
        )],
    },
    Line {
        text: "The disk is full: publishers are held, consumers go on, and all resumes by itself; the process does not end.",
        tests: &[
            (
                "tests/pressure/full_disk.rs",
                "a_full_disk_holds_publishers_while_consumers_drain_and_lets_them_go_on",
            ),
            (
                "tests/pressure/full_disk.rs",
                "a_broker_starts_on_a_disk_that_is_full_and_what_waits_is_drained",
            ),
        ],
    },
    Line {
        text: "Memory is short: publishers are held and logins refused until consumers have drained it.",
        tests: &[(
            "tests/pressure/memory.rs",
            "memory_beyond_its_watermark_holds_publishers_until_consumers_have_drained_it",
        )],
    },
    Line {
        text: "A write or `fdatasync` fails: nothing that it covers is acknowledged, the process ends with 74, and the next start has all that \
               was acknowledged.",
        tests: &[
            ("storage/tests/store/failure.rs", "after_a_failed_sync_no_completion_runs"),
            (CAMPAIGN, "nothing_acknowledged_is_lost_when_an_fsync_fails"),
            (
                "tests/pressure/machine.rs",
                "a_write_beyond_the_limit_of_a_file_ends_the_broker_as_any_failed_write_and_loses_nothing",
            ),
        ],
    },
    Line {
        text: "The disk cannot be read for a while: that is logged and tried again; whoever waits for a message waits on, nothing is left out, \
               and nothing else handed out. A store that cannot be read at the start is not served: exit code 74.",
        tests: &[
            (
                "storage/tests/store/failure.rs",
                "a_journal_that_cannot_be_read_for_a_while_is_read_then_and_nothing_is_left_out",
            ),
            (FAILING, "what_waits_on_a_disk_that_cannot_be_read_comes_in_order_when_it_can"),
            (FAILING, "a_store_that_cannot_be_read_is_not_served_but_named_with_code_74"),
        ],
    },
    Line {
        text: "Behind the acknowledgements something fails: the journal cannot be read to be compacted, sled not be written, a file not be given \
               up. That is logged and tried again after 1 s, later every 30 s; publishers are held before the directory outgrows its \
               bound, and all goes on by itself.",
        tests: &[
            (FAILING, "a_journal_that_cannot_be_read_is_compacted_when_it_can_and_nothing_is_lost"),
            (FAILING, "a_state_that_cannot_be_written_is_filled_again_when_it_can_and_nothing_is_lost"),
            (FAILING, "journal_files_that_cannot_be_given_up_are_when_they_can_and_nothing_is_lost"),
            (
                "storage/tests/store/failure.rs",
                "while_no_file_can_be_given_up_no_more_is_written_than_the_bound_allows",
            ),
        ],
    },
    Line {
        text: "The process is stopped for a while, or its machine is moved: every client gets one fresh keep-alive or heart-beat interval.",
        tests: &[(
            "tests/pressure/machine.rs",
            "a_broker_that_was_stopped_for_longer_than_a_keep_alive_cuts_off_nobody_who_is_there",
        )],
    },
    Line {
        text: "A write was torn by a crash: it is cut off; nobody was told of it.",
        tests: &[("storage/tests/store/damage.rs", "an_unfinished_group_is_cut_off_wherever_it_ends")],
    },
    Line {
        text: "The journal is damaged (a flipped bit, a file cut short or gone): the broker does not start, exit code 65, and names the command \
               that repairs what can be repaired. Wrong bytes are never served.",
        tests: &[
            ("tests/process/fsck.rs", "a_damaged_store_is_refused_with_the_command_that_repairs_it"),
            ("storage/tests/store/check.rs", "damage_of_each_kind_is_named_and_a_repair_keeps_the_rest"),
        ],
    },
    Line {
        text: "A backup, taken while all goes on, is a moment of the store: all that was acknowledged before it began, and no half of anything.",
        tests: &[
            (
                "storage/tests/store/backup.rs",
                "a_backup_under_load_is_a_moment_with_all_that_was_acknowledged_before_it",
            ),
            ("tests/process/keep.rs", "a_backup_of_a_broker_that_runs_is_restored_with_its_messages"),
        ],
    },
    Line {
        text: "sled is damaged or gone: it is filled again from the journal.",
        tests: &[
            ("storage/tests/store/recovery.rs", "a_sled_full_of_garbage_is_set_aside"),
            ("storage/tests/store/recovery.rs", "without_sled_the_journal_says_the_same"),
        ],
    },
];

const NOT: &[Line] = &[
    Line {
        text: "QoS 0, and STOMP's SEND without `persistent:true`, across the end of the broker.",
        tests: &[(
            "tests/interop/crossing_promises.rs",
            "what_mqtt_publishes_at_qos_1_and_2_is_persistent_in_stomp_and_at_qos_0_it_is_not",
        )],
    },
    Line {
        text: "Queues that are not durable, and sessions that end with their connection, across the end of the broker.",
        tests: &[(
            "tests/interop/queues.rs",
            "a_queue_that_is_not_durable_goes_with_the_connection_that_made_it_by_sending",
        )],
    },
    Line {
        text: "Messages beyond the limits of a queue: they are dropped, dead-lettered or refused, as the queue says, and counted.",
        tests: &[
            ("tests/interop/limits.rs", "a_session_that_is_away_keeps_what_its_limits_allow"),
            ("tests/interop/queues.rs", "a_full_queue_that_rejects_tells_the_publisher"),
        ],
    },
    Line {
        text: "Order among the members of a shared subscription, or among competing consumers.",
        tests: &[(
            "tests/interop/crossing_promises.rs",
            "a_group_of_mqtt_shares_what_stomp_sends_and_a_queue_of_stomp_what_mqtt_publishes",
        )],
    },
    Line {
        text: "Anything, with `--memory`: the banner says so.",
        tests: &[("tests/process/start.rs", "a_broker_without_a_store_says_that_nothing_survives")],
    },
    Line { text: "Survival of a lost disk: there is one node, and one copy.", tests: &[] },
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_of_guarantees_says_what_the_command_says() {
        let file = root().join("docs/guarantees.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&file, as_page()).expect("written");
        }
        let text = fs::read_to_string(&file).expect("docs/guarantees.md");
        assert!(text == as_page(), "docs/guarantees.md is another; run this test with UPDATE_DOCS=1");
    }

    #[test]
    fn every_test_that_guarantees_name_exists() {
        for (file, test) in CHAPTERS.iter().flat_map(|chapter| chapter.lines).flat_map(|line| line.tests) {
            let text = fs::read_to_string(root().join(file)).unwrap_or_default();
            let name = format!("fn {test}(");
            let place = text.find(&name).unwrap_or_else(|| panic!("{file} has no {test}"));
            let before = text.get(..place).unwrap_or_default().trim_end();
            assert!(before.ends_with("#[test]"), "{test} in {file} is no test");
        }
    }

    #[test]
    fn what_is_promised_names_a_test_and_every_line_is_one_object() {
        let named = |chapter: &&Chapter| chapter.name != "not";
        assert!(
            CHAPTERS
                .iter()
                .filter(named)
                .flat_map(|chapter| chapter.lines)
                .all(|line| !line.tests.is_empty())
        );
        let lines = CHAPTERS.iter().map(|chapter| chapter.lines.len()).sum::<usize>();
        let objects: Vec<serde_json::Value> =
            as_json().lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        assert_eq!(objects.len(), lines);
    }

    fn root() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }
}
