//! Shared subscriptions: one of many gets each message.

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Target};
use crate::conform::mqtt_cases::client::{Client, expect};
use crate::conform::mqtt_cases::packet::Packet;
use crate::conform::mqtt_cases::row::{Row, row};
use crate::conform::mqtt_cases::session::forget;
use crate::conform::mqtt_cases::write::{Message, PUBACK, PUBCOMP, PUBREC, PUBREL, ack, ack_with};
use crate::conform::peer::Next;

pub(crate) const ROWS: &[Row] = &[
    row("each_message_goes_to_one_of_a_group", "4.8.2-1 4.8.2-2", "", one_of_all),
    row("a_member_gets_messages_with_its_own_qos", "4.8.2-3", "", granted),
    row("what_a_member_had_begun_stays_with_it", "4.8.2-4", "", begun),
    row("what_a_member_had_begun_ends_with_its_session", "4.8.2-5", "", begun_and_gone),
    row("what_a_member_refused_goes_to_nobody", "4.8.2-6", "", refused),
];

fn one_of_all(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let group = format!("$share/g/{topic}");
    let mut members = [Client::clean(target, version)?, Client::clean(target, version)?];
    for member in &mut members {
        member.subscribe(&group, 0)?;
    }
    let mut other_group = Client::clean(target, version)?;
    other_group.subscribe(&format!("$share/h/{topic}"), 0)?;
    let mut alone = Client::clean(target, version)?;
    alone.subscribe(&topic, 0)?;
    let mut writer = Client::clean(target, version)?;
    for number in 0..20u8 {
        writer.tell(&topic, &[number], 0)?;
    }
    for number in 0..20u8 {
        other_group.expect_message(&[number])?;
        alone.expect_message(&[number])?;
    }
    let mut found = Vec::new();
    for member in &mut members {
        member.send(crate::conform::mqtt_cases::write::PINGREQ);
        while let Packet::Publish(message) = member.packet("PUBLISH or PINGRESP")? {
            found.extend(message.payload);
        }
    }
    found.sort_unstable();
    let all: Vec<u8> = (0..20).collect();
    expect(found == all, || format!("the members got {found:?}"))
}

fn granted(target: &Target, version: Version) -> Outcome {
    for qos in 0..=2 {
        let topic = target.fresh();
        let mut member = Client::clean(target, version)?;
        member.subscribe(&format!("$share/g/{topic}"), qos)?;
        let mut writer = Client::clean(target, version)?;
        writer.tell(&topic, b"x", 2)?;
        let message = member.take(b"x")?;
        expect(message.qos == qos, || format!("QoS {}, granted was {qos}", message.qos))?;
    }
    Ok(())
}

fn begun(target: &Target, version: Version) -> Outcome {
    let (topic, id) = (target.fresh(), target.fresh());
    let group = format!("$share/g/{topic}");
    let mut member = Client::lasting(target, version, &id, false)?;
    member.subscribe(&group, 2)?;
    let mut writer = Client::clean(target, version)?;
    writer.tell(&topic, b"mine", 2)?;
    let message = member.expect_message(b"mine")?;
    member.send(&ack(PUBREC, message.id));
    member.expect_ack(PUBREL, message.id)?;
    let mut other = Client::clean(target, version)?;
    other.subscribe(&group, 2)?;
    member.vanish();
    let mut member = Client::lasting(target, version, &id, true)?;
    member.expect_ack(PUBREL, message.id)?;
    member.send(&ack(PUBCOMP, message.id));
    member.quiet()?;
    other.quiet()?;
    member.leave()?;
    forget(target, version, &id)
}

fn begun_and_gone(target: &Target, version: Version) -> Outcome {
    let (topic, id) = (target.fresh(), target.fresh());
    let group = format!("$share/g/{topic}");
    let mut member = Client::lasting(target, version, &id, false)?;
    member.subscribe(&group, 2)?;
    let mut writer = Client::clean(target, version)?;
    writer.tell(&topic, b"begun", 2)?;
    member.expect_message(b"begun")?;
    let mut other = Client::clean(target, version)?;
    other.subscribe(&group, 2)?;
    member.vanish();
    forget(target, version, &id)?;
    // What comes later is the other's; what had begun is nobody's.
    writer.tell(&topic, b"later", 2)?;
    other.take(b"later")?;
    other.quiet()
}

fn refused(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let group = format!("$share/g/{topic}");
    let mut members = [Client::clean(target, version)?, Client::clean(target, version)?];
    for member in &mut members {
        member.subscribe(&group, 2)?;
    }
    let mut writer = Client::clean(target, version)?;
    for qos in [1, 2] {
        writer.publish(Message::new(&topic, b"unwanted", qos, 0))?;
        let mut came = 0;
        for _ in 0..2 {
            for member in &mut members {
                if let Next::Some(Packet::Publish(message)) = member.next(SHORT)? {
                    came += 1;
                    let first = if message.qos == 1 { PUBACK } else { PUBREC };
                    member.send(&ack_with(first, message.id, 0x80));
                }
            }
        }
        expect(came == 1, || format!("with QoS {qos}, it came {came} times"))?;
    }
    members.iter_mut().try_for_each(Client::quiet)
}

/// For one of two that gets nothing: PINGREQ cannot tell, since the message may go to either.
const SHORT: std::time::Duration = std::time::Duration::from_millis(500);
