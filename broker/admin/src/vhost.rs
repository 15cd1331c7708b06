//! The virtual host of a path

use axum::http::StatusCode;

use crate::answer::Refused;

/// That it is the one there is.
///
/// # Errors
///
/// There is none of that name.
pub(crate) fn known(name: &str) -> Result<(), Refused> {
    if name == "/" {
        return Ok(());
    }
    let why = format!("there is no virtual host {name:?}; there is one, \"/\", in paths %2F");
    Err(Refused::new(StatusCode::NOT_FOUND, why))
}
