//! What a packet of ours says, in the words in which rumqttd's packets are printed.

use std::fmt::Debug;

use model::qos::Qos;
use mqtt::packet::{Ack, Connect, Filter, Packet, Properties, Publish, RetainHandling, Will};
use mqtt::version::Version;

/// The words that must stand in their packet.
pub(crate) fn by(packet: &Packet, version: Version) -> Vec<String> {
    let mut said = match packet {
        Packet::Connect(connect) => of_connect(connect),
        Packet::Publish(publish) => of_publish(publish),
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => of_ack(ack),
        Packet::Subscribe(subscribe) => {
            let filters = subscribe.filters.iter().map(of_filter);
            filters
                .chain([format!("pkid: {}", subscribe.id.get())])
                .chain(of(&subscribe.properties))
                .collect()
        }
        Packet::Suback(suback) => with_id(suback.id.get(), &suback.properties),
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<&str> = unsubscribe.filters.iter().map(|filter| &**filter).collect();
            let mut said = with_id(unsubscribe.id.get(), &unsubscribe.properties);
            said.push(format!("filters: {filters:?}"));
            said
        }
        Packet::Disconnect(disconnect) => of(&disconnect.properties),
        Packet::Pingreq => vec!["PingReq".to_owned()],
        Packet::Pingresp => vec!["PingResp".to_owned()],
        Packet::Connack(_) | Packet::Unsuback(_) | Packet::Auth(_) => Vec::new(),
    };
    if version != Version::V5 {
        // Options that 3.1.1 does not have are printed in another way, or not at all.
        said.retain(|word| !word.contains("nolocal"));
    }
    said
}

fn of_connect(connect: &Connect) -> Vec<String> {
    let mut said = vec![
        format!("keep_alive: {}", connect.keep_alive_s),
        format!("client_id: {:?}", &*connect.client_id),
        format!("clean_session: {}", connect.clean_start),
    ];
    said.extend(connect.user.as_ref().map(|user| format!("username: {:?}", &**user)));
    said.extend(
        connect.password.as_ref().map(|word| format!("password: {:?}", String::from_utf8_lossy(word))),
    );
    said.extend(connect.will.iter().flat_map(of_will));
    said.extend(of(&connect.properties));
    said
}

fn of_will(will: &Will) -> Vec<String> {
    let mut said = vec![
        format!("topic: {:?}", bytes::Bytes::copy_from_slice(will.topic.as_str().as_bytes())),
        format!("message: {:?}", will.payload),
        format!("qos: {}", of_qos(will.qos)),
        format!("retain: {}", will.retain),
    ];
    said.extend(of(&will.properties));
    said
}

fn of_publish(publish: &Publish) -> Vec<String> {
    let mut said = vec![
        format!("dup: {}", publish.dup),
        format!("qos: {}", of_qos(publish.delivery.qos())),
        format!("retain: {}", publish.retain),
        format!("payload: {:?}", publish.payload),
    ];
    said.extend(publish.delivery.id().map(|id| format!("pkid: {}", id.get())));
    let topic = publish.topic.as_ref().map(|topic| bytes::Bytes::copy_from_slice(topic.as_str().as_bytes()));
    said.extend(topic.map(|topic| format!("topic: {topic:?}")));
    said.extend(of(&publish.properties));
    said
}

fn of_ack(ack: &Ack) -> Vec<String> {
    with_id(ack.id.get(), &ack.properties)
}

fn with_id(id: u16, properties: &Option<Box<Properties>>) -> Vec<String> {
    let mut said = of(properties);
    said.push(format!("pkid: {id}"));
    said
}

fn of_filter(filter: &Filter) -> String {
    let retain = match filter.retain_handling {
        RetainHandling::Always => "OnEverySubscribe",
        RetainHandling::IfNew => "OnNewSubscribe",
        RetainHandling::Never => "Never",
    };
    format!(
        "path: {:?}, qos: {}, nolocal: {}, preserve_retain: {}, retain_forward_rule: {retain}",
        &*filter.text,
        of_qos(filter.qos),
        filter.no_local,
        filter.retain_as_published,
    )
}

/// Only what stands in the packet: the two sides call some of it by different names.
fn of(properties: &Option<Box<Properties>>) -> Vec<String> {
    let Some(properties) = properties else { return Vec::new() };
    let text = |value: &bytestring::ByteString| value.to_string();
    let ids: Vec<u32> = properties.subscription_ids.iter().map(|id| id.get()).collect();
    let users: Vec<(String, String)> =
        properties.user.iter().map(|(name, value)| (text(name), text(value))).collect();
    let mut said = Vec::new();
    said.extend(some("payload_format_indicator", properties.payload_is_text.map(u8::from)));
    said.extend(some("message_expiry_interval", properties.message_expiry_s));
    said.extend(some("content_type", properties.content_type.as_ref().map(text)));
    said.extend(some(
        "response_topic",
        properties.response_topic.as_ref().map(|topic| topic.as_str().to_owned()),
    ));
    said.extend(some("correlation_data", properties.correlation_data.clone()));
    said.extend(some("session_expiry_interval", properties.session_expiry_s));
    said.extend(some("delay_interval", properties.will_delay_s));
    said.extend(some("request_problem_info", properties.request_problem_information.map(u8::from)));
    said.extend(some("request_response_info", properties.request_response_information.map(u8::from)));
    said.extend(some("reason_string", properties.reason_string.as_ref().map(text)));
    said.extend(some("receive_maximum", properties.receive_maximum));
    said.extend(some("topic_alias_max", properties.topic_alias_maximum));
    said.extend(some("topic_alias", properties.topic_alias));
    said.extend(some("max_packet_size", properties.maximum_packet_size));
    said.extend((!users.is_empty()).then(|| format!("user_properties: {users:?}")));
    said.extend((ids.len() > 1).then(|| format!("subscription_identifiers: {ids:?}")));
    said
}

fn some(name: &str, value: Option<impl Debug>) -> Option<String> {
    value.map(|value| format!("{name}: Some({value:?})"))
}

const fn of_qos(qos: Qos) -> &'static str {
    match qos {
        Qos::AtMostOnce => "AtMostOnce",
        Qos::AtLeastOnce => "AtLeastOnce",
        Qos::ExactlyOnce => "ExactlyOnce",
    }
}
