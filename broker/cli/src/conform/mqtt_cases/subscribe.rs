//! SUBSCRIBE and UNSUBSCRIBE: what they are answered with, and what comes of them.

use ::mqtt::version::Version;

use crate::conform::case::{Outcome, Short, Target};
use crate::conform::mqtt_cases::client::{Client, expect, unexpected};
use crate::conform::mqtt_cases::packet::Packet;
use crate::conform::mqtt_cases::row::{Row, about, row};
use crate::conform::mqtt_cases::write::{
    Connect, Message, PUBACK, PUBCOMP, PUBREC, PUBREL, ack, prop, subscribe, unsubscribe,
};

pub(crate) const ROWS: &[Row] = &[
    row(
        "subscribe_is_answered_filter_by_filter",
        "2.2.1-6 3.8.4-1 3.8.4-2 3.8.4-5 3.8.4-6 3.8.4-7 3.9.3-1 3.9.3-2 3.2.2-9 3.2.2-10",
        "2.3.1-7 3.8.4-1 3.8.4-2 3.8.4-4 3.8.4-5 3.9.3-1 3.9.3-2",
        suback,
    ),
    row("one_bad_filter_does_not_harm_the_others", "3.8.4-5 3.8.4-6 3.9.3-1", "", bad_among_good),
    row(
        "unsubscribe_is_answered_filter_by_filter",
        "2.2.1-6 3.10.4-4 3.10.4-5 3.10.4-6 3.11.3-1 3.11.3-2",
        "2.3.1-7 3.10.4-4 3.10.4-5 3.10.4-6",
        unsuback,
    ),
    row("what_is_unsubscribed_ends", "3.10.4-1 3.10.4-2", "3.10.4-1 3.10.4-2", unsubscribed),
    row("what_has_begun_is_finished_after_unsubscribe", "3.10.4-3", "3.10.4-3", in_flight),
    row("a_filter_again_replaces_its_subscription", "3.8.4-3", "3.8.4-3", replaced),
    row("a_filter_again_brings_retained_messages_again", "3.8.4-4", "3.8.4-3", retained_again),
    row("messages_come_with_the_lower_qos", "3.8.4-8", "3.8.4-6", lower_qos),
    row("overlapping_filters_give_the_highest_qos", "3.3.4-2", "3.3.5-1", overlapping),
    row("subscription_identifiers_come_with_their_messages", "3.3.4-3 3.3.4-4 3.3.4-5", "", identifiers),
    row("a_filter_again_without_identifier_has_none", "3.8.4-3 3.3.4-3", "", identifier_gone),
    row("no_local_keeps_a_client_from_hearing_itself", "3.8.3-3", "", no_local),
    row("retain_handling_is_as_asked", "3.3.1-9 3.3.1-10 3.3.1-11", "", retain_handling),
    row("retain_as_published_is_as_asked", "3.3.1-12 3.3.1-13", "", retain_as_published),
];

fn suback(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let mut client = Client::clean(target, version)?;
    let filters = ["a", "b", "c/#", "+/d"].map(|end| format!("{name}/{end}"));
    let entries: Vec<(&[u8], u8)> = filters.iter().map(String::as_bytes).zip([2, 0, 1, 0]).collect();
    for id in [1, 0x1234, 0xffff] {
        client.send(&subscribe(version, id, &[], &entries));
        match client.packet("SUBACK")? {
            // A server may grant less than it is asked for.
            Packet::Suback(suback)
                if suback.id == id
                    && suback.codes.len() == entries.len()
                    && suback.codes.iter().zip(&entries).all(|(granted, (_, asked))| granted <= asked) => {}
            other => return Err(unexpected(&format!("SUBACK {id} with 2, 0, 1, 0"), &other)),
        }
    }
    for end in ["a", "b", "c/x", "y/d"] {
        client.tell(&format!("{name}/{end}"), end.as_bytes(), 0)?;
        client.expect_message(end.as_bytes())?;
    }
    Ok(())
}

fn bad_among_good(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let mut client = Client::clean(target, version)?;
    let (good, bad, last) = (format!("{name}/a"), format!("{name}/#/b"), format!("{name}/c"));
    client.send(&subscribe(
        version,
        7,
        &[],
        &[(good.as_bytes(), 1), (bad.as_bytes(), 1), (last.as_bytes(), 0)],
    ));
    match client.packet("SUBACK")? {
        Packet::Suback(suback) => {
            expect(matches!(suback.codes.as_slice(), [1, 0x80..=0xff, 0]), || {
                format!("{:02x?}", suback.codes)
            })?;
            client.tell(&last, b"x", 0)?;
            client.expect_message(b"x").map(drop)
        }
        // The whole packet may be malformed to a server.
        Packet::Disconnect { .. } => Err(Short::NotApplicable("the server refuses the packet".to_owned())),
        other => Err(unexpected("SUBACK", &other)),
    }
}

fn unsuback(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let mut client = Client::clean(target, version)?;
    let (known, unknown, other) = (format!("{name}/a"), format!("{name}/b"), format!("{name}/c"));
    client.ask(&[(&known, 0), (&other, 1)], &[])?;
    let filters: Vec<&[u8]> = [&known, &unknown, &other].map(|filter| filter.as_bytes()).to_vec();
    for (id, codes) in [(0x4321, [0, 0x11, 0]), (2, [0x11, 0x11, 0x11])] {
        client.send(&unsubscribe(version, id, &filters));
        let wanted = if version.has_properties() { codes.to_vec() } else { Vec::new() };
        match client.packet("UNSUBACK")? {
            Packet::Unsuback(unsuback) if unsuback.id == id && unsuback.codes == wanted => {}
            other => return Err(unexpected(&format!("UNSUBACK {id} with {wanted:02x?}"), &other)),
        }
    }
    client.quiet()
}

fn unsubscribed(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let mut client = Client::clean(target, version)?;
    let (below, single) = (format!("{name}/+/x"), format!("{name}/a"));
    client.subscribe(&below, 1)?;
    client.subscribe(&single, 1)?;
    // Filters are compared, not matched: these are nobody's.
    client.unsubscribe(&[&format!("{name}/#"), &format!("{name}/A"), &format!("{name}/b/x")])?;
    client.tell(&single, b"one", 0)?;
    client.expect_message(b"one")?;
    client.tell(&format!("{name}/b/x"), b"two", 0)?;
    client.expect_message(b"two")?;
    client.unsubscribe(&[&below])?;
    client.tell(&format!("{name}/b/x"), b"nobody", 0)?;
    client.tell(&single, b"three", 0)?;
    client.expect_message(b"three")?;
    client.unsubscribe(&[&single])?;
    client.tell(&single, b"nobody", 1)?;
    client.quiet()
}

fn in_flight(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut client = Client::clean(target, version)?;
    client.subscribe(&topic, 2)?;
    let mut writer = Client::clean(target, version)?;
    writer.tell(&topic, b"one", 1)?;
    writer.tell(&topic, b"two", 2)?;
    let one = client.expect_message(b"one")?;
    let two = client.expect_message(b"two")?;
    client.unsubscribe(&[&topic])?;
    client.send(&ack(PUBACK, one.id));
    client.send(&ack(PUBREC, two.id));
    client.expect_ack(PUBREL, two.id)?;
    client.send(&ack(PUBCOMP, two.id));
    client.quiet()
}

fn replaced(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut client = Client::clean(target, version)?;
    for (qos, payload) in [(0, &b"a"[..]), (2, b"b"), (1, b"c")] {
        client.subscribe(&topic, qos)?;
        let mut writer = Client::clean(target, version)?;
        writer.tell(&topic, payload, 2)?;
        let message = client.take(payload)?;
        expect(message.qos == qos, || format!("QoS {} with a subscription of QoS {qos}", message.qos))?;
        client.quiet()?;
    }
    Ok(())
}

fn retained_again(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut client = Client::clean(target, version)?;
    client.publish(Message::new(&topic, b"kept", 1, 0).retained())?;
    for _ in 0..2 {
        client.subscribe(&topic, 0)?;
        let message = client.expect_message(b"kept")?;
        expect(message.retain, || "RETAIN 0".to_owned())?;
        client.quiet()?;
    }
    client.publish(Message::new(&topic, b"", 1, 0).retained())
}

fn lower_qos(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut writer = Client::clean(target, version)?;
    for granted in 0..=2 {
        let mut reader = Client::clean(target, version)?;
        reader.subscribe(&topic, granted)?;
        for published in 0..=2 {
            writer.tell(&topic, b"x", published)?;
            let message = reader.take(b"x")?;
            expect(message.qos == granted.min(published), || {
                format!("published with {published}, granted {granted}, came with {}", message.qos)
            })?;
        }
        reader.quiet()?;
    }
    Ok(())
}

fn overlapping(target: &Target, version: Version) -> Outcome {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let name = target.fresh();
        let mut client = Client::clean(target, version)?;
        for qos in order {
            let filter = match qos {
                0 => format!("{name}/a"),
                1 => format!("{name}/+"),
                _ => format!("{name}/#"),
            };
            client.subscribe(&filter, qos)?;
        }
        let mut writer = Client::clean(target, version)?;
        writer.tell(&format!("{name}/a"), b"x", 2)?;
        writer.tell(&format!("{name}/end/of/it"), b"end", 2)?;
        // One message, or one for each filter: the best of them has QoS 2.
        let mut best = 0;
        loop {
            let message = client.message()?;
            match message.qos {
                0 => {}
                1 => client.send(&ack(PUBACK, message.id)),
                _ => client.send(&ack(PUBREC, message.id)),
            }
            if message.payload == b"end" {
                break;
            }
            best = best.max(message.qos);
            if message.qos == 2 {
                break;
            }
        }
        expect(best == 2, || format!("subscribed in the order {order:?}, it came with QoS {best}"))?;
    }
    Ok(())
}

fn identifiers(target: &Target, version: Version) -> Outcome {
    let name = target.fresh();
    let (mut client, connack) = Client::join(target, version, &Connect::new(version, &target.fresh()))?;
    if connack.properties.number(prop::SUBSCRIPTION_ID_AVAILABLE) == Some(0) {
        return Err(Short::NotApplicable("the server has no subscription identifiers".to_owned()));
    }
    client.publish(Message::new(&format!("{name}/a"), b"kept", 1, 0).retained())?;
    let identifier = |number| prop::number(prop::SUBSCRIPTION_ID, number);
    client.subscribe_with(&format!("{name}/a"), 0, &identifier(1))?;
    let kept = client.expect_message(b"kept")?;
    expect(kept.properties.numbers(prop::SUBSCRIPTION_ID) == [1], || format!("retained: {kept:?}"))?;
    client.subscribe_with(&format!("{name}/+"), 0x20, &identifier(268_435_455))?;
    client.subscribe_with(&format!("{name}/#"), 0x20, &[])?;
    client.tell(&format!("{name}/a"), b"x", 0)?;
    client.tell(&format!("{name}/end"), b"end", 0)?;
    let mut seen = Vec::new();
    loop {
        let message = client.message()?;
        if message.payload == b"end" {
            break;
        }
        seen.extend(message.properties.numbers(prop::SUBSCRIPTION_ID));
    }
    seen.sort_unstable();
    expect(seen == [1, 268_435_455], || format!("the identifiers that came are {seen:?}"))?;
    client.publish(Message::new(&format!("{name}/a"), b"", 1, 0).retained())
}

fn identifier_gone(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut client = Client::clean(target, version)?;
    let steps = [(prop::number(prop::SUBSCRIPTION_ID, 7), vec![7]), (Vec::new(), vec![])];
    for (block, wanted) in steps {
        client.subscribe_with(&topic, 0, &block)?;
        client.tell(&topic, b"x", 0)?;
        let message = client.expect_message(b"x")?;
        let found = message.properties.numbers(prop::SUBSCRIPTION_ID);
        expect(found == wanted, || format!("identifiers {found:?}, not {wanted:?}"))?;
    }
    Ok(())
}

fn no_local(target: &Target, version: Version) -> Outcome {
    let (id, topic) = (target.fresh(), target.fresh());
    let mut client = Client::lasting(target, version, &id, false)?;
    client.subscribe(&topic, 0x04 | 1)?;
    let mut other = Client::clean(target, version)?;
    client.tell(&topic, b"mine", 1)?;
    client.quiet()?;
    other.tell(&topic, b"theirs", 1)?;
    client.take(b"theirs")?;
    // So that the acknowledgement was read before the connection goes.
    client.quiet()?;
    client.vanish();
    // It is a matter of the client, not of the connection.
    let mut client = Client::lasting(target, version, &id, true)?;
    client.tell(&topic, b"mine", 1)?;
    client.quiet()?;
    client.leave()?;
    crate::conform::mqtt_cases::session::forget(target, version, &id)
}

fn retain_handling(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut writer = Client::clean(target, version)?;
    writer.publish(Message::new(&topic, b"kept", 1, 0).retained())?;
    for (handling, first, again) in [(0, true, true), (1, true, false), (2, false, false)] {
        let mut client = Client::clean(target, version)?;
        for (round, comes) in [("first", first), ("again", again)] {
            client.subscribe(&topic, handling << 4)?;
            let came = if comes { client.expect_message(b"kept").map(drop) } else { Ok(()) };
            came.and_then(|()| client.quiet())
                .map_err(|short| about(&format!("Retain Handling {handling}, {round}"), short))?;
        }
    }
    writer.publish(Message::new(&topic, b"", 1, 0).retained())
}

fn retain_as_published(target: &Target, version: Version) -> Outcome {
    let topic = target.fresh();
    let mut writer = Client::clean(target, version)?;
    for (options, published) in [(0, true), (0, false), (8, true), (8, false)] {
        let mut client = Client::clean(target, version)?;
        client.subscribe(&topic, options | 0x20)?;
        let message = Message::new(&topic, b"x", 0, 0);
        writer.publish(if published { message.retained() } else { message })?;
        let came = client.expect_message(b"x")?;
        expect(came.retain == (options == 8 && published), || {
            format!("published with RETAIN {published}, options {options:#04x}: came with {}", came.retain)
        })?;
        writer.publish(Message::new(&topic, b"", 1, 0).retained())?;
    }
    Ok(())
}
