//! Signed tokens, made as their specification says (RFC 7519, HS256).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// What the tests' issuer signs with; as long as it has to be.
pub const SECRET: &str = "not a secret, for everybody can read it";

/// A configuration that takes such tokens at once until they end, with this line more in `[auth.jwt]`.
pub fn config(more: &str) -> String {
    format!(
        "[auth.jwt]\nleeway = \"0s\"\n{more}\n[[auth.jwt.key]]\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n"
    )
}

/// A token of that user, which ends so many seconds from now.
pub fn token(user: &str, ends_in_s: i64) -> String {
    signed(&json!({"sub": user, "exp": now_s().saturating_add_signed(ends_in_s)}), SECRET)
}

/// A token that says this, signed with that secret.
pub fn signed(claims: &Value, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let said = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("keys of any length are keys");
    mac.update(said.as_bytes());
    format!("{said}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
