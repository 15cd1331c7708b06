//! What is refused, told where the client listens for it: a MESSAGE of the broker's own, and the connection goes on.

use model::key::{KeyPattern, RoutingKey};
use model::name::ExchangeName;
use model::outbox::Outbox;

use crate::ack::AckMode;
use crate::convert::is_ours;
use crate::destination::Wanted;
use crate::encode::{END, header, number_header, own_header};
use crate::error_frame::Fault;
use crate::frame::Command;
use crate::headers::is_secret;
use crate::options::Options;
use crate::receipt::Mandatory;
use crate::session::online::Online;
use crate::version::Version;

/// Whether that is where a client hears what is refused to it.
pub(super) fn is_for_errors(wanted: &Wanted, options: &Options) -> bool {
    let Wanted::Keys { exchange, pattern, .. } = wanted else { return false };
    *exchange == ExchangeName::SESSION
        && *pattern == KeyPattern::exact(&RoutingKey::from(options.error_queue.as_str()))
}

/// Tells it; `false`: the client does not listen for that. Like every other MESSAGE, but that it comes from nobody and
/// carries what else is never part of one: the `receipt` that will not come.
pub(super) fn tell(online: &mut Online, fault: &Fault, out: &mut Outbox) -> bool {
    if !begin(online, out) {
        return false;
    }
    let escapes = online.escapes();
    let buf = out.wire.buf();
    if let Some(code) = fault.code {
        own_header(buf, escapes, "error-code", code);
    }
    own_header(buf, escapes, "error", &fault.message);
    if let Some(at) = fault.expired_at {
        own_header(buf, escapes, "expired-at", &at.to_string());
    }
    for (name, value) in fault.correlation() {
        header(buf, escapes, name, value);
    }
    if let Some(receipt) = fault.receipt() {
        own_header(buf, escapes, "receipt", receipt);
    }
    let text = fault.text();
    own_header(buf, escapes, "content-type", "text/plain");
    number_header(buf, "content-length", text.len() as u64);
    buf.extend_from_slice(b"\n");
    buf.extend_from_slice(text.as_bytes());
    buf.extend_from_slice(END);
    out.wire.count_packet();
    true
}

/// A message that no queue took goes back to whoever sent it with `mandatory:true`; `false`: it does not listen for that. Its
/// headers and its body are those of the SEND, and `original-destination` says where it was sent.
pub(super) fn give_back(online: &mut Online, one: &Mandatory, out: &mut Outbox) -> bool {
    if !begin(online, out) {
        return false;
    }
    let escapes = online.escapes();
    let buf = out.wire.buf();
    own_header(buf, escapes, "error-code", NO_ROUTE);
    own_header(buf, escapes, "error", "no queue takes it");
    if let Some(destination) = one.headers.get("destination") {
        own_header(buf, escapes, "original-destination", destination);
    }
    if let Some(receipt) = one.headers.get("receipt") {
        own_header(buf, escapes, "receipt", receipt);
    }
    for (name, value) in &one.headers {
        if !is_ours(name) && !is_secret(name) && !OF_TELLS.contains(&&**name) {
            header(buf, escapes, name, value);
        }
    }
    number_header(buf, "content-length", one.body.len() as u64);
    buf.extend_from_slice(b"\n");
    buf.extend_from_slice(&one.body);
    buf.extend_from_slice(END);
    out.wire.count_packet();
    true
}

/// The same for a client that neither listens for it nor asked for a receipt.
pub(super) fn unroutable(one: &Mandatory) -> Fault {
    let detail = "No queue took the message, and it asked to hear of that (mandatory:true). A client that subscribes to the \
                  destination for errors, or asks for a receipt, is told without losing its connection.";
    let mut fault = Fault::new("no queue takes it", detail);
    fault.code = Some(NO_ROUTE);
    fault.about(Command::Send, &one.headers, &one.body)
}

/// Begins the MESSAGE that a client is told something by; `false`: it does not listen for that.
fn begin(online: &mut Online, out: &mut Outbox) -> bool {
    let escapes = online.escapes();
    let heard = online.subscriptions.hears_errors();
    let Some((number, subscription)) = heard.and_then(|id| online.subscriptions.deliver_ours(id)) else {
        return false;
    };
    let options = &online.options;
    let buf = out.wire.buf();
    buf.extend_from_slice(subscription.start());
    // Whose it is comes first in a key, and is not shown.
    let key = RoutingKey::new(format!("-/{}", options.error_queue).into());
    let shown_by = subscription.shape.shown_by;
    options.destinations.write(&ExchangeName::SESSION, &key, shown_by, escapes, buf);
    let is_for_ack = online.version == Version::V1_2 && subscription.mode != AckMode::Auto;
    subscription.write_ids(number, is_for_ack, buf);
    buf.extend_from_slice(b"\n");
    true
}

/// As AMQP calls it.
const NO_ROUTE: &str = "no_route";
/// What these messages say of themselves, and what has done its work.
const OF_TELLS: [&str; 5] = ["error-code", "error", "original-destination", "mandatory", "login"];
