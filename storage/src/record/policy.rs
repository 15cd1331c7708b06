//! Policies as bytes

use model::name::PolicyName;
use model::policy::{AppliesTo, Policy, PolicyDefinition};

use crate::record::message::{put_exchange_name, read_exchange_name};
use crate::record::object::{put_durability, put_overflow, read_durability, read_overflow};
use crate::record::wire::{Reader, RecordError, put_option, put_str, put_u64};

/// All of a policy but how long entries of streams stay, which older records do not know.
pub(crate) fn put_policy(out: &mut Vec<u8>, policy: &Policy) {
    let Policy { name, pattern, applies_to, priority, definition } = policy;
    let PolicyDefinition {
        ready_max,
        ready_bytes_max,
        age_max_ms: _,
        overflow,
        message_ttl_ms,
        expires_ms,
        dead_letter_exchange,
        dead_letter_key,
        delivery_limit,
        durability,
        alternate,
    } = definition;
    put_str(out, name.as_str());
    put_str(out, pattern);
    out.push(match applies_to {
        AppliesTo::Queues => 0,
        AppliesTo::Exchanges => 1,
        AppliesTo::All => 2,
    });
    put_u64(out, priority.cast_unsigned().into());
    put_option(out, *ready_max, put_u64);
    put_option(out, *ready_bytes_max, put_u64);
    put_option(out, *overflow, put_overflow);
    put_option(out, *message_ttl_ms, put_u64);
    put_option(out, *expires_ms, put_u64);
    put_option(out, dead_letter_exchange.as_ref(), put_exchange_name);
    put_option(out, dead_letter_key.as_deref(), put_str);
    put_option(out, *delivery_limit, |out, limit| put_u64(out, limit.into()));
    put_option(out, *durability, put_durability);
    put_option(out, alternate.as_ref(), put_exchange_name);
}

pub(crate) fn read_policy(from: &mut Reader<'_>) -> Result<Policy, RecordError> {
    Ok(Policy {
        name: PolicyName::new(from.str()?),
        pattern: from.str()?.into(),
        applies_to: match from.u8()? {
            0 => AppliesTo::Queues,
            1 => AppliesTo::Exchanges,
            2 => AppliesTo::All,
            _ => return Err(RecordError::Tag),
        },
        priority: from.u32()?.cast_signed(),
        definition: PolicyDefinition {
            ready_max: from.option(Reader::u64)?,
            ready_bytes_max: from.option(Reader::u64)?,
            age_max_ms: None,
            overflow: from.option(read_overflow)?,
            message_ttl_ms: from.option(Reader::u64)?,
            expires_ms: from.option(Reader::u64)?,
            dead_letter_exchange: from.option(read_exchange_name)?,
            dead_letter_key: from.option(|from| from.str().map(Into::into))?,
            delivery_limit: from.option(Reader::u32)?,
            durability: from.option(read_durability)?,
            alternate: from.option(read_exchange_name)?,
        },
    })
}
