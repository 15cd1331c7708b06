//! What STOMP asks of a broker, case by case.
//!
//! A case names the statements that it shows as docs/protocols/stomp.md numbers them: `12-3:012` is statement 3 of section
//! 12 in 1.0, 1.1 and 1.2.

mod acks;
mod answers;
mod client;
mod connect;
mod frame;
mod framing;
mod heart_beat;
mod messages;
mod place;
mod transactions;

use stomp::version::Version;

use crate::conform::case::{Case, Outcome};
use crate::conform::stomp::place::Place;

/// A case in the list: its name, what it shows, and how.
type Row = (&'static str, &'static str, fn(Place<'_>) -> Outcome);

/// The cases that show something about `version`.
pub(crate) fn cases(version: Version) -> Vec<Case> {
    let of_version = ROWS.iter().filter_map(|(name, shows, run)| {
        let statements = statements(shows, version);
        let run = move |target: &_| run(Place { target, version });
        (!statements.is_empty()).then(|| Case { name, statements, run: Box::new(run) })
    });
    of_version.collect()
}

fn statements(shows: &str, version: Version) -> Vec<String> {
    let digit = match version {
        Version::V1_0 => '0',
        Version::V1_1 => '1',
        Version::V1_2 => '2',
    };
    let numbers = shows.split(' ').filter_map(|one| {
        let (number, versions) = one.split_once(':')?;
        versions.contains(digit).then(|| format!("STOMP-{version}-{number}"))
    });
    numbers.collect()
}

const ROWS: &[Row] = &[
    // Frames.
    ("lines-may-end-in-crlf", "1-1:2", framing::crlf),
    ("line-ends-after-a-frame-are-nothing", "1-2:012", framing::line_ends_between),
    ("commands-and-header-names-are-case-sensitive", "1-3:12", framing::case_sensitive),
    ("a-frame-may-come-byte-by-byte", "1-4:012", framing::pieces),
    ("a-header-line-has-a-colon", "1-5:012", framing::no_colon),
    ("a-blank-before-a-value-is-no-part-of-it", "2-8:0", framing::padded),
    ("headers-and-bodies-are-utf-8", "2-1:12 5-5:12", framing::utf8),
    ("escapes-are-resolved-and-written-again", "2-2:12 2-4:12", framing::escapes),
    ("an-undefined-escape-is-fatal", "2-3:12", framing::undefined_escape),
    ("values-pass-as-they-are-without-escapes", "2-7:0", framing::no_escapes),
    ("connect-has-no-escapes", "2-5:12", connect::unescaped),
    ("values-are-neither-trimmed-nor-padded", "2-6:12", framing::untrimmed),
    ("connected-and-receipt-have-no-body", "3-1:12 22-4:01", framing::no_body),
    ("content-length-governs-and-nul-is-data", "4-1:012 4-4:12", framing::nul_in_body),
    ("without-content-length-the-first-nul-ends-the-body", "4-5:012", framing::nul_ends),
    ("a-body-ends-in-nul-where-content-length-says", "4-2:012", framing::no_nul),
    ("content-type-passes-and-a-body-without-one-is-bytes", "5-1:12 5-3:12", framing::content_type),
    ("the-first-of-repeated-headers-counts", "7-1:2", framing::first_counts),
    ("a-frame-that-is-too-large-gets-an-error-and-the-end", "8-1:12", framing::limits),
    // Connecting.
    ("connected-says-what-was-agreed", "9-6:12 9-9:0", connect::connected),
    ("stomp-does-what-connect-does", "9-2:12", connect::stomp),
    ("who-is-not-let-in-is-told-why", "9-1:12", connect::rejected),
    ("server-begins-with-a-name", "9-7:12", connect::server),
    ("clients-may-come-and-go-rapidly", "9-8:12", connect::rapid),
    ("without-accept-version-it-is-1.0", "10-3:12", connect::no_version),
    ("the-highest-common-version-is-chosen", "10-4:12", connect::highest),
    ("no-common-version-is-an-error-and-the-end", "10-5:12", connect::no_common_version),
    ("heart-beat-is-two-numbers", "11-1:12", heart_beat::two_numbers),
    ("nobody-who-asked-for-none-gets-beats", "11-2:12", heart_beat::none_asked),
    ("the-broker-beats-as-it-agreed", "11-3:12", heart_beat::server_beats),
    ("a-beat-of-the-broker-is-a-line-end", "11-4:12", heart_beat::line_end),
    ("a-beat-that-is-a-little-late-is-tolerated", "11-5:12 11-6:12", heart_beat::client_beats),
    // Sending and subscribing.
    ("headers-of-the-application-pass", "12-3:12 21-7:12 24-1:2", messages::user_headers),
    ("a-frame-without-destination-is-refused", "12-1:012 13-1:012", messages::without_destination),
    ("a-send-without-destination-is-an-error-and-the-end", "12-4:12", messages::send_without_destination),
    (
        "a-subscribe-without-destination-is-an-error-and-the-end",
        "13-2:12",
        messages::subscribe_without_destination,
    ),
    ("without-ack-a-message-is-consumed-when-it-is-sent", "13-5:012", messages::auto_is_the_default),
    ("the-ack-modes-are-taken", "13-6:012", messages::ack_modes),
    ("the-body-of-subscribe-is-ignored", "13-12:0", messages::body_of_subscribe),
    ("after-unsubscribe-nothing-comes", "14-1:012", messages::unsubscribed),
    ("a-subscription-without-id-ends-by-its-destination", "14-4:0", messages::unsubscribed_by_destination),
    ("an-unsubscribe-that-names-nothing-is-refused", "14-2:12 14-4:0", messages::unsubscribe_without_name),
    (
        "a-message-names-destination-subscription-and-itself",
        "13-13:0 21-1:012 21-2:2 21-3:012 21-4:12",
        messages::names_itself,
    ),
    ("a-message-that-waits-for-its-ack-says-so", "21-5:2", messages::ack_header),
    ("a-message-says-how-long-it-is", "4-3:012 21-6:012", messages::message_length),
    // Acknowledging.
    ("what-was-not-acknowledged-comes-again", "13-11:12 15-1:012", acks::lost_connection),
    ("what-was-acknowledged-does-not-come-again", "15-1:012", acks::consumed),
    ("in-client-mode-an-ack-covers-what-came-before", "13-8:12", acks::cumulative),
    ("an-ack-covers-only-its-own-subscription", "13-8:12", acks::within_its_subscription),
    ("in-client-individual-mode-an-ack-means-one-message", "13-10:12", acks::individual),
    ("in-client-individual-mode-a-nack-means-one-message", "13-10:12 16-2:12", acks::individual_nack),
    ("in-client-mode-a-nack-covers-what-came-before", "16-2:12", acks::cumulative_nack),
    ("an-ack-in-a-transaction-counts-at-commit", "15-3:012", acks::ack_in_transaction),
    ("an-ack-that-names-nothing-is-refused", "15-2:012", acks::ack_without_name),
    ("a-nack-that-names-nothing-is-refused", "16-1:12", acks::nack_without_name),
    // Transactions.
    ("a-begin-without-name-is-refused", "17-1:012", transactions::begin_without_name),
    ("what-is-sent-in-a-transaction-comes-at-commit", "12-5:012 17-3:012 18-2:012", transactions::commit),
    ("two-transactions-do-not-mix", "17-3:012", transactions::two),
    ("an-abandoned-transaction-leaves-nothing", "17-4:12", transactions::abandoned),
    ("a-commit-of-nothing-is-refused", "18-1:012", transactions::commit_without_name),
    ("an-aborted-transaction-leaves-nothing", "19-2:012", transactions::abort),
    ("an-abort-of-nothing-is-refused", "19-1:012", transactions::abort_without_name),
    // Answers.
    ("a-receipt-comes-for-every-frame-that-asks", "6-1:012 22-1:012", answers::receipts),
    ("the-receipt-of-disconnect-comes-before-the-end", "20-1:12", answers::disconnect),
    ("a-receipt-comes-when-the-work-is-done", "22-2:12", answers::after_the_work),
    ("received-frames-are-carried-out-without-their-client", "22-3:2", answers::after_the_client),
    ("after-an-error-comes-the-end", "23-1:2", answers::error_then_end),
    ("an-error-has-a-message", "23-2:012", answers::error_message),
    ("an-error-names-the-receipt-of-its-frame", "23-3:12 24-2:2", answers::error_names_receipt),
    ("an-error-says-how-long-its-body-is", "4-3:012 23-4:012", answers::error_length),
    ("an-error-says-what-its-body-is", "5-1:12 5-2:12 5-4:12 5-6:12 23-4:12", answers::error_type),
];
