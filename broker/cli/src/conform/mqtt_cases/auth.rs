//! AUTH: who a client is, shown in steps; by SCRAM-SHA-256, where a server has it.

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Short, Target};
use crate::conform::mqtt_cases::client::{Client, expect, unexpected};
use crate::conform::mqtt_cases::packet::{Connack, Packet, Properties};
use crate::conform::mqtt_cases::refused::turned_away;
use crate::conform::mqtt_cases::row::{Row, about, row};
use crate::conform::mqtt_cases::scram::{METHOD, Scram};
use crate::conform::mqtt_cases::write::{Connect, Message, PINGREQ, framed, prop, variable};
use crate::conform::peer::Next;

pub(crate) const ROWS: &[Row] = &[
    row("who_one_is_can_be_shown_in_steps", "3.15.2-1 4.12.0-2 4.12.0-5", "", steps),
    row("a_wrong_proof_ends_the_connection", "4.12.0-4", "", wrong),
    row("until_connack_there_is_auth_and_disconnect", "3.1.2-30 4.12.0-4", "", early),
    row("who_one_is_can_be_shown_again_while_all_goes_on", "3.15.2-1 4.12.0-5", "", again),
    row("a_renewal_that_fails_ends_the_connection", "4.12.1-2", "", wrong_again),
    row("a_renewal_keeps_to_its_method_and_its_turn", "4.12.1-1 4.12.1-2", "", out_of_turn),
    row("auth_keeps_to_the_maximum_packet_size", "3.15.2-2 3.15.2-3", "", small),
];

fn steps(target: &Target, version: Version) -> Outcome {
    let (mut client, _) = enter(target, version)?;
    client.quiet()
}

fn wrong(target: &Target, version: Version) -> Outcome {
    let (mut client, scram, challenge) = challenged(target, version, &[])?;
    let other = Scram::new("nobody", "wrong", &target.fresh());
    let last = scram.last(&challenge)?;
    client.send(&auth(0x18, Some(METHOD), &spoiled(&last.message)));
    turned_away(&mut client, REFUSED)?;
    // Somebody who does not exist is refused, now or after a challenge that means nothing.
    let mut client = knock(target, version, &other, &[])?;
    match client.packet("AUTH or CONNACK")? {
        Packet::Auth { code: 0x18, .. } => {
            client.send(&auth(0x18, Some(METHOD), "c=biws,r=x,p=AAAA"));
            turned_away(&mut client, REFUSED)
        }
        Packet::Connack(connack) if REFUSED.contains(&connack.code) => client.closed().map(drop),
        other => Err(unexpected("AUTH 0x18 or a refusal", &other)),
    }
}

fn early(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut reader = Client::clean(target, version)?;
    reader.subscribe(&topic, 0)?;
    let packets = [
        ("PUBLISH", Message::new(&topic, b"early", 0, 0).bytes(version)),
        ("PINGREQ", PINGREQ.to_vec()),
        ("AUTH 0x19", auth(0x19, Some(METHOD), "x")),
        ("AUTH 0x00", auth(0, Some(METHOD), "x")),
        ("AUTH of another method", auth(0x18, Some("conform-nobody-knows-this"), "x")),
        ("AUTH without a method", auth(0x18, None, "")),
    ];
    for (what, bytes) in packets {
        let (mut client, ..) = challenged(target, version, &[])?;
        client.send(&bytes);
        turned_away(&mut client, REFUSED).map_err(|short| about(what, short))?;
    }
    reader.quiet()
}

fn again(target: &Target, version: Version) -> Outcome {
    let (mut client, scram) = enter(target, version)?;
    let topic = target.fresh();
    client.subscribe(&topic, 1)?;
    for _ in 0..2 {
        client.send(&auth(0x19, Some(METHOD), &scram.first()));
        let challenge = said(&client.packet("AUTH 0x18")?, 0x18)?;
        // Nothing stands still meanwhile.
        client.tell(&topic, b"meanwhile", 1)?;
        client.take(b"meanwhile")?;
        let last = scram.last(&challenge)?;
        client.send(&auth(0x18, Some(METHOD), &last.message));
        let answer = said(&client.packet("AUTH 0x00")?, 0)?;
        expect(answer == last.answer.as_bytes(), || "the server does not know the password".to_owned())?;
    }
    client.quiet()
}

fn wrong_again(target: &Target, version: Version) -> Outcome {
    let (mut client, scram) = enter(target, version)?;
    client.send(&auth(0x19, Some(METHOD), &scram.first()));
    let challenge = said(&client.packet("AUTH 0x18")?, 0x18)?;
    let last = scram.last(&challenge)?;
    client.send(&auth(0x18, Some(METHOD), &spoiled(&last.message)));
    client.refused(REFUSED)
}

fn out_of_turn(target: &Target, version: Version) -> Outcome {
    let packets = [
        ("AUTH of another method", auth(0x19, Some("conform-nobody-knows-this"), "x")),
        ("AUTH without a method", auth(0x19, None, "")),
        ("AUTH 0x18 where nothing was asked", auth(0x18, Some(METHOD), "x")),
        ("AUTH 0x00", auth(0, Some(METHOD), "x")),
    ];
    for (what, bytes) in packets {
        let (mut client, _) = enter(target, version)?;
        client.send(&bytes);
        client.refused(REFUSED).map_err(|short| about(what, short))?;
    }
    let (mut client, scram) = enter(target, version)?;
    let first = auth(0x19, Some(METHOD), &scram.first());
    client.send(&first);
    said(&client.packet("AUTH 0x18")?, 0x18)?;
    client.send(&first);
    client.refused(REFUSED).map_err(|short| about("AUTH 0x19 in the middle", short))
}

fn small(target: &Target, version: Version) -> Outcome {
    const MAXIMUM: u32 = 192;
    let scram = someone(target);
    let mut client = knock(target, version, &scram, &prop::u32(prop::MAXIMUM_PACKET, MAXIMUM))?;
    let (packet, size) = match client.sized(target.patience)? {
        Next::Some(sized) => sized,
        Next::Silence | Next::End => return Err(Short::failed("no AUTH came")),
    };
    is_offered(&packet)?;
    said(&packet, 0x18)?;
    expect(size <= MAXIMUM as usize, || format!("AUTH has {size} bytes, of {MAXIMUM}"))
}

/// A client that is in by SCRAM, and an exchange as the same user for another time.
fn enter(target: &Target, version: Version) -> Result<(Client, Scram), Short> {
    let (mut client, scram, challenge) = challenged(target, version, &[])?;
    let last = scram.last(&challenge)?;
    client.send(&auth(0x18, Some(METHOD), &last.message));
    match client.packet("CONNACK")? {
        Packet::Connack(Connack { code: 0, properties, .. }) => {
            names_method(&properties)?;
            let answer = properties.bytes(prop::AUTH_DATA).unwrap_or_default();
            expect(answer == last.answer.as_bytes(), || "the server does not know the password".to_owned())?;
            Ok((client, someone(target)))
        }
        Packet::Connack(_) if target.user.is_none() => {
            Err(Short::NotApplicable("guest is no user there; name one with --user".to_owned()))
        }
        other => Err(unexpected("CONNACK with success", &other)),
    }
}

/// A client that was asked to show who it is, with the challenge.
fn challenged(target: &Target, version: Version, block: &[u8]) -> Result<(Client, Scram, Vec<u8>), Short> {
    let scram = someone(target);
    let mut client = knock(target, version, &scram, block)?;
    let packet = client.packet("AUTH or CONNACK")?;
    is_offered(&packet)?;
    let challenge = said(&packet, 0x18)?;
    Ok((client, scram, challenge))
}

fn someone(target: &Target) -> Scram {
    let user = target.user.as_deref().unwrap_or("guest");
    let password = target.password.as_deref().unwrap_or("guest");
    Scram::new(user, password, &target.fresh())
}

/// A connection on which CONNECT was said, by this exchange.
fn knock(target: &Target, version: Version, scram: &Scram, block: &[u8]) -> Result<Client, Short> {
    let mut client = Client::dial(target, version)?;
    let connect = Connect::new(version, &target.fresh())
        .with(&prop::text(prop::AUTH_METHOD, METHOD))
        .with(&prop::text(prop::AUTH_DATA, scram.first()))
        .with(block);
    client.send(&connect.bytes());
    Ok(client)
}

/// Enhanced authentication is optional, and so is each method of it.
fn is_offered(packet: &Packet) -> Outcome {
    match packet {
        Packet::Connack(connack) if connack.code >= 0x80 => {
            Err(Short::NotApplicable(format!("the server has no {METHOD}: CONNACK {:#04x}", connack.code)))
        }
        _ => Ok(()),
    }
}

/// The data of an AUTH with this code, which names its method.
fn said(packet: &Packet, code: u8) -> Result<Vec<u8>, Short> {
    match packet {
        Packet::Auth { code: found, properties } if *found == code => {
            names_method(properties)?;
            Ok(properties.bytes(prop::AUTH_DATA).unwrap_or_default().to_vec())
        }
        other => Err(unexpected(&format!("AUTH {code:#04x}"), other)),
    }
}

fn names_method(properties: &Properties) -> Outcome {
    let method = properties.bytes(prop::AUTH_METHOD).unwrap_or_default();
    expect(method == METHOD.as_bytes(), || {
        format!("the method is {:?}, not {METHOD}", String::from_utf8_lossy(method))
    })
}

/// The message with another proof, as long as the right one.
fn spoiled(message: &str) -> String {
    let (start, proof) = message.split_once(",p=").unwrap_or_default();
    let other = if proof.starts_with('A') { 'B' } else { 'A' };
    format!("{start},p={other}{}", proof.get(1..).unwrap_or_default())
}

fn auth(code: u8, method: Option<&str>, data: &str) -> Vec<u8> {
    let block = match method {
        Some(method) => [prop::text(prop::AUTH_METHOD, method), prop::text(prop::AUTH_DATA, data)].concat(),
        None => Vec::new(),
    };
    framed(0xf0, &[&[code], &variable(block.len()), &block])
}

/// What a server may say to somebody who does not show who he is, or does it in another way than it must be done.
const REFUSED: &[u8] = &[0x80, 0x81, 0x82, 0x83, 0x86, 0x87, 0x8c];
