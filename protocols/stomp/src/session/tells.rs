//! What is refused, told where the client listens for it: a MESSAGE of the broker's own, and the connection goes on.

use model::key::{KeyPattern, RoutingKey};
use model::name::ExchangeName;
use model::outbox::Outbox;

use crate::ack::AckMode;
use crate::destination::Wanted;
use crate::encode::{END, header, plain_header};
use crate::error_frame::Fault;
use crate::options::Options;
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
    let escapes = online.escapes();
    let heard = online.subscriptions.hears_errors();
    let Some((number, subscription)) = heard.and_then(|id| online.subscriptions.deliver_ours(id)) else {
        return false;
    };
    let options = &online.options;
    let buf = out.wire.buf();
    buf.extend_from_slice(&subscription.start);
    buf.extend_from_slice(b"destination:");
    // Whose it is comes first in a key, and is not shown.
    let key = RoutingKey::new(format!("-/{}", options.error_queue).into());
    let shown_by = subscription.shape.shown_by;
    options.destinations.write(&ExchangeName::SESSION, &key, shown_by, escapes, buf);
    buf.extend_from_slice(b"\n");
    subscription.write_id("message-id", number, &online.connection, escapes, buf);
    if online.version == Version::V1_2 && subscription.mode != AckMode::Auto {
        subscription.write_id("ack", number, &online.connection, escapes, buf);
    }
    if let Some(code) = fault.code {
        header(buf, escapes, "error-code", code);
    }
    header(buf, escapes, "error", &fault.message);
    if let Some(at) = fault.expired_at {
        header(buf, escapes, "expired-at", &at.to_string());
    }
    for (name, value) in fault.correlation() {
        header(buf, escapes, name, value);
    }
    if let Some(receipt) = fault.receipt() {
        header(buf, escapes, "receipt", receipt);
    }
    let text = fault.text();
    header(buf, escapes, "content-type", "text/plain");
    plain_header(buf, "content-length", text.len());
    buf.extend_from_slice(b"\n");
    buf.extend_from_slice(text.as_bytes());
    buf.extend_from_slice(END);
    out.wire.count_packet();
    true
}
