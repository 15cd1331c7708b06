//! Bans as bytes

use model::ban::{Author, Ban, Subject};
use model::name::{ClientId, UserName};
use model::time::WallMs;

use crate::record::wire::{Reader, RecordError, put_option, put_str, put_u64};

pub(crate) fn put_ban(out: &mut Vec<u8>, ban: &Ban) {
    let Ban { subject, until, since, by, reason } = ban;
    put_subject(out, subject);
    put_option(out, *until, |out, until| put_u64(out, until.0));
    put_u64(out, since.0);
    out.push(match by {
        Author::Hand => 0,
        Author::Failures => 1,
        Author::Flapping => 2,
    });
    put_str(out, reason);
}

pub(crate) fn read_ban(from: &mut Reader<'_>) -> Result<Ban, RecordError> {
    Ok(Ban {
        subject: read_subject(from)?,
        until: from.option(|from| from.u64().map(WallMs))?,
        since: WallMs(from.u64()?),
        by: match from.u8()? {
            0 => Author::Hand,
            1 => Author::Failures,
            2 => Author::Flapping,
            _ => return Err(RecordError::Tag),
        },
        reason: from.str()?.into(),
    })
}

pub(crate) fn put_subject(out: &mut Vec<u8>, subject: &Subject) {
    out.push(match subject {
        Subject::Client(_) => 0,
        Subject::User(_) => 1,
        Subject::Ip(_) => 2,
    });
    put_str(out, &subject.name());
}

pub(crate) fn read_subject(from: &mut Reader<'_>) -> Result<Subject, RecordError> {
    let kind = from.u8()?;
    let name = from.str()?;
    match kind {
        0 => Ok(Subject::Client(ClientId::new(name))),
        1 => Ok(Subject::User(UserName::new(name))),
        2 => name.parse().map(Subject::ip).map_err(|_| RecordError::Range),
        _ => Err(RecordError::Tag),
    }
}
