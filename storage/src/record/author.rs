//! Authors as bytes

use model::author::{Author, Footing};
use model::name::{ClientId, UserName};

use crate::record::wire::{Reader, RecordError, put_option, put_str};

pub(crate) fn put_author(out: &mut Vec<u8>, author: &Author) {
    let Author { user, client, footing } = author;
    put_option(out, user.as_ref(), |out, user| put_str(out, user.as_str()));
    put_option(out, client.as_ref(), |out, client| put_str(out, client.as_str()));
    out.push(match footing {
        None => 0,
        Some(Footing::Password) => 1,
        Some(Footing::Token) => 2,
        Some(Footing::TokenWithRules) => 3,
        Some(Footing::Unlisted) => 4,
    });
}

pub(crate) fn read_author(from: &mut Reader<'_>) -> Result<Author, RecordError> {
    Ok(Author {
        user: from.option(|from| from.str().map(UserName::new))?,
        client: from.option(|from| from.str().map(ClientId::new))?,
        footing: match from.u8()? {
            0 => None,
            1 => Some(Footing::Password),
            2 => Some(Footing::Token),
            3 => Some(Footing::TokenWithRules),
            4 => Some(Footing::Unlisted),
            _ => return Err(RecordError::Tag),
        },
    })
}
