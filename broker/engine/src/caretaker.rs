//! Caretaker: does what is due in a vhost, and says how it is

use std::sync::Arc;

use crate::clock;
use crate::core::Core;
use crate::timers::{Due, Once};
use crate::{due, govern, overdue, plan, system_topics};

/// From now on, until the vhost is gone. To be called within a tokio runtime.
pub(crate) fn employ(core: &Arc<Core>) {
    tokio::spawn(look_after(Arc::clone(core)));
    tokio::spawn(due::look_after(Arc::clone(core)));
    let every = core.parts.vhost.options.sys_interval;
    if !every.is_zero() {
        tokio::spawn(system_topics::report(Arc::downgrade(core), every));
    }
}

/// Does what is due, until the vhost stops.
async fn look_after(core: Arc<Core>) {
    let timers = &core.parts.vhost.timers;
    while !core.is_stopping() {
        let all = timers.take(clock::instant(), AT_ONCE);
        if all.is_empty() {
            timers.wait().await;
            continue;
        }
        for due in all {
            act(&core, due);
        }
        tokio::task::yield_now().await;
    }
}

/// Each kind of thing that can be due is done here, and nowhere else.
fn act(core: &Core, due: Due) {
    let (parts, registry) = (&core.parts, &core.registry);
    match due {
        Due::Expire { client, life } => registry.expire(parts, &client, life, true),
        Due::Will { client, life } => registry.expire(parts, &client, life, false),
        Due::Once(Once::Messages(queue)) => overdue::expire_messages(parts, &queue),
        Due::Once(Once::Retained(exchange)) => overdue::expire_retained(parts, &exchange),
        Due::Once(Once::Unused(queue)) => overdue::expire_queue(parts, &queue),
        Due::Once(Once::Absent(queue)) => plan::fetch_again(parts, &queue),
        Due::Once(Once::Excess(queue)) => govern::drop_excess(parts, &queue),
        Due::Once(Once::Retime(queue)) => govern::retime(parts, &queue),
        Due::Once(Once::Publications) => overdue::forget_publications(parts),
    }
}

/// How much that is due is done before others on the same worker have their turn.
const AT_ONCE: usize = 64;
