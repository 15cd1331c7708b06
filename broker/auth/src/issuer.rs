//! Issuer: signs tokens that this process alone takes, for those who try it out.

use std::fmt::{self, Write};
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use model::refusal::Refusal;
use serde_json::json;

use crate::clock::wall_now;
use crate::jwt::JwtOptions;
use crate::jwt::claims::ClaimRules;
use crate::jwt::key::{Encoding, JwtKey, KeySource};
use crate::jwt::secret::Secret;

/// A key that was made now, and that nobody else will ever see: it is gone with the process.
#[derive(Clone)]
pub struct Issuer {
    secret: Secret,
    key: EncodingKey,
}

impl Issuer {
    /// With a new key.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub fn new() -> Result<Self, Refusal> {
        let mut bytes = [0; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| NO_SECRET)?;
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Self { key: EncodingKey::from_secret(text.as_bytes()), secret: Secret::new(&text) })
    }

    /// With what a broker takes these tokens, and no others. They end when they say so: it is the same clock.
    pub fn options(&self) -> JwtOptions {
        let source = KeySource::Secret(self.secret.clone(), Encoding::Text);
        JwtOptions {
            keys: vec![JwtKey { id: None, algorithm: Algorithm::HS256, source }],
            lists: Vec::new(),
            claims: ClaimRules {
                issuers: vec![NAME.to_owned()],
                audiences: vec![NAME.to_owned()],
                required: Vec::new(),
                user: "sub".to_owned(),
                rules: None,
                vhosts: None,
                leeway: Duration::ZERO,
            },
            cookie: None,
        }
    }

    /// A token that says it is `user` who shows it, for so long; `None` if the clock or the signature failed.
    pub fn sign(&self, user: &str, term: Duration) -> Option<String> {
        let now = Duration::from_millis(wall_now().0);
        let end = now.checked_add(term)?;
        // Not whole seconds: a token of one second is to be good for a second.
        let claims = json!({
            "iss": NAME, "aud": NAME, "sub": user,
            "iat": now.as_secs_f64(), "exp": end.as_secs_f64(),
        });
        encode(&Header::new(Algorithm::HS256), &claims, &self.key).ok()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issuer(***)")
    }
}

/// Who signs, and whom it is for.
const NAME: &str = "duetmq-demo";

/// As long as the hash (RFC 7518, 3.2).
const SECRET_BYTES: usize = 32;

const NO_SECRET: Refusal = Refusal::BadToken("the operating system has no random bytes for a key");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::Tokens;

    #[test]
    fn an_issuer_is_believed_by_those_who_were_given_its_key_and_by_no_others() {
        let (issuer, other) = (Issuer::new().expect("random"), Issuer::new().expect("random"));
        let tokens = |issuer: &Issuer| Tokens::new(issuer.options()).map_err(|(_, why)| why).expect("a key");
        let token = issuer.sign("kim", Duration::from_secs(60)).expect("a token");
        let now = wall_now();
        assert_eq!(tokens(&issuer).check(&token, now).map(|shown| shown.user.to_string()), Ok("kim".into()));
        let later = now.plus(Duration::from_secs(61));
        assert!(matches!(tokens(&issuer).check(&token, later), Err(Refusal::Expired { .. })));
        assert!(matches!(tokens(&other).check(&token, now), Err(Refusal::BadToken(_))));
        assert!(!format!("{issuer:?}{:?}", issuer.options()).contains(issuer.secret.reveal()));
    }
}
