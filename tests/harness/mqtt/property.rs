//! Properties of MQTT 5.0.

use std::io::{self, Error};

use crate::mqtt::bytes::{Reader, put_binary, put_variable};

/// One property, by what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// One, two or four bytes, or a variable byte integer.
    Number(u8, u32),
    /// Text.
    Text(u8, String),
    /// Bytes.
    Binary(u8, Vec<u8>),
    /// A name and a value: only User Property is one.
    Pair(String, String),
}

/// Payload Format Indicator.
pub const PAYLOAD_FORMAT: u8 = 0x01;
/// Message Expiry Interval, in seconds.
pub const MESSAGE_EXPIRY: u8 = 0x02;
/// Content Type.
pub const CONTENT_TYPE: u8 = 0x03;
/// Response Topic.
pub const RESPONSE_TOPIC: u8 = 0x08;
/// Correlation Data.
pub const CORRELATION_DATA: u8 = 0x09;
/// Subscription Identifier.
pub const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
/// Session Expiry Interval, in seconds.
pub const SESSION_EXPIRY: u8 = 0x11;
/// Assigned Client Identifier.
pub const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
/// Will Delay Interval, in seconds.
pub const WILL_DELAY: u8 = 0x18;
/// Server Reference.
pub const SERVER_REFERENCE: u8 = 0x1c;
/// Reason String.
pub const REASON_STRING: u8 = 0x1f;
/// Receive Maximum.
pub const RECEIVE_MAXIMUM: u8 = 0x21;
/// User Property.
pub const USER_PROPERTY: u8 = 0x26;
/// Maximum Packet Size, in bytes.
pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;

/// Appends a block of properties with its length in front.
pub fn put(out: &mut Vec<u8>, properties: &[Property]) {
    let mut block = Vec::new();
    for property in properties {
        put_one(&mut block, property);
    }
    put_variable(out, block.len());
    out.extend_from_slice(&block);
}

fn put_one(out: &mut Vec<u8>, property: &Property) {
    match property {
        Property::Number(id, value) => {
            out.push(*id);
            match width(*id) {
                Width::Variable => put_variable(out, usize::try_from(*value).unwrap_or(0)),
                Width::Bytes(count) => out.extend(value.to_be_bytes().iter().skip(4 - count)),
                Width::Text | Width::Binary | Width::Pair => {}
            }
        }
        Property::Text(id, value) => {
            out.push(*id);
            put_binary(out, value.as_bytes());
        }
        Property::Binary(id, value) => {
            out.push(*id);
            put_binary(out, value);
        }
        Property::Pair(name, value) => {
            out.push(USER_PROPERTY);
            put_binary(out, name.as_bytes());
            put_binary(out, value.as_bytes());
        }
    }
}

/// Reads a block of properties with its length in front.
///
/// # Errors
///
/// If it is none.
pub fn read(reader: &mut Reader<'_>) -> io::Result<Vec<Property>> {
    let size = reader.variable()?;
    let mut block = Reader::new(reader.take(size)?);
    let mut properties = Vec::new();
    while !block.is_empty() {
        let id = block.u8()?;
        properties.push(match width(id) {
            Width::Bytes(1) => Property::Number(id, block.u8()?.into()),
            Width::Bytes(2) => Property::Number(id, block.u16()?.into()),
            Width::Bytes(4) => Property::Number(id, block.u32()?),
            Width::Bytes(_) => return Err(Error::other(format!("property {id:#04x} is not known"))),
            Width::Variable => Property::Number(id, u32::try_from(block.variable()?).map_err(Error::other)?),
            Width::Text => Property::Text(id, block.text()?),
            Width::Binary => Property::Binary(id, block.binary()?.to_vec()),
            Width::Pair => Property::Pair(block.text()?, block.text()?),
        });
    }
    Ok(properties)
}

/// The number of that property, if it is there.
pub fn number(properties: &[Property], wanted: u8) -> Option<u32> {
    properties.iter().find_map(|property| match property {
        Property::Number(id, value) if *id == wanted => Some(*value),
        Property::Number(..) | Property::Text(..) | Property::Binary(..) | Property::Pair(..) => None,
    })
}

/// The text of that property, if it is there.
pub fn text(properties: &[Property], wanted: u8) -> Option<&str> {
    properties.iter().find_map(|property| match property {
        Property::Text(id, value) if *id == wanted => Some(value.as_str()),
        Property::Number(..) | Property::Text(..) | Property::Binary(..) | Property::Pair(..) => None,
    })
}

enum Width {
    Bytes(usize),
    Variable,
    Text,
    Binary,
    Pair,
}

/// MQTT 5.0, 2.2.2.2.
fn width(id: u8) -> Width {
    match id {
        PAYLOAD_FORMAT | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => Width::Bytes(1),
        0x13 | RECEIVE_MAXIMUM | 0x22 | 0x23 => Width::Bytes(2),
        MESSAGE_EXPIRY | SESSION_EXPIRY | WILL_DELAY | MAXIMUM_PACKET_SIZE => Width::Bytes(4),
        SUBSCRIPTION_IDENTIFIER => Width::Variable,
        CONTENT_TYPE
        | RESPONSE_TOPIC
        | ASSIGNED_CLIENT_IDENTIFIER
        | 0x15
        | 0x1a
        | SERVER_REFERENCE
        | REASON_STRING => Width::Text,
        CORRELATION_DATA | 0x16 => Width::Binary,
        USER_PROPERTY => Width::Pair,
        _ => Width::Bytes(0),
    }
}
