//! What MQTT 3.1, 3.1.1 and 5.0 ask of a server, as cases.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else a server says than what was asked for is a failure"
)]

mod auth;
mod client;
mod connect;
mod delivery;
mod fields;
mod flow;
mod forward;
mod headers;
mod input;
mod lacking;
mod packet;
mod refused;
mod retained;
mod row;
mod scram;
mod session;
mod shared;
mod subscribe;
mod will;
mod write;

use ::mqtt::version::Version;

use crate::conform::case::Case;
use crate::conform::mqtt_cases::row::Row;

/// All cases for this version.
pub(crate) fn cases(version: Version) -> Vec<Case> {
    let cases = ROWS.iter().flat_map(|rows| rows.iter()).filter_map(|row| row.case(version));
    if version == Version::V31 { lacking::without(cases) } else { cases.collect() }
}

const ROWS: &[&[Row]] = &[
    input::ROWS,
    headers::ROWS,
    fields::ROWS,
    connect::ROWS,
    auth::ROWS,
    session::ROWS,
    subscribe::ROWS,
    delivery::ROWS,
    flow::ROWS,
    retained::ROWS,
    will::ROWS,
    forward::ROWS,
    shared::ROWS,
];
