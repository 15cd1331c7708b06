//! Verifier: what is kept of a password, enough to check it and not enough to show it (RFC 5802, RFC 7677).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A SHA-256, or a key as long as one.
pub(crate) type Key = [u8; 32];

/// What SCRAM-SHA-256 keeps of a password. Written as `SCRAM-SHA-256$iterations:salt$stored_key:server_key`, salt and keys
/// in base64: the form that others use as well, so that a verifier can come from elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub(crate) iterations: u32,
    pub(crate) salt: Box<[u8]>,
    pub(crate) stored_key: Key,
    pub(crate) server_key: Key,
}

/// Why a text is no verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// It starts with another word.
    #[error("the verifier is not of the form SCRAM-SHA-256$iterations:salt$stored_key:server_key")]
    Form,
    /// The work is too little to protect a password, or too much to be done.
    #[error("the iterations are not a number from {ITERATIONS_MIN} to {ITERATIONS_MAX}")]
    Iterations,
    /// No base64, or of the wrong length.
    #[error("{0} is not base64 of {1} bytes")]
    Base64(&'static str, &'static str),
}

impl Verifier {
    /// Of this password. `iterations`: how often it is hashed, from [`ITERATIONS_MIN`] to [`ITERATIONS_MAX`].
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = salted(password, salt, iterations);
        let stored_key = Sha256::digest(mac(&salted, &[b"Client Key"])).into();
        let server_key = mac(&salted, &[b"Server Key"]);
        Self { iterations, salt: salt.into(), stored_key, server_key }
    }

    /// With a salt of its own.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub fn salted(password: &[u8], iterations: u32) -> Result<Self, getrandom::Error> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        Ok(Self::new(password, &salt, iterations))
    }

    /// Whether it is this password's. Takes its time, the same for every password.
    pub fn is_of(&self, password: &[u8]) -> bool {
        Self::new(password, &self.salt, self.iterations).stored_key.ct_eq(&self.stored_key).into()
    }
}

/// HMAC-SHA-256 of the parts, one after the other.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> Key {
    // A key of any length is one: there is no error to be had.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Key::default() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn salted(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let mut salted = Key::default();
    pbkdf2_hmac::<Sha256>(&prepared(password), salt, iterations, &mut salted);
    salted
}

/// SASLprep (RFC 4013), as clients do it before they hash. What it does not allow is taken as it is: MQTT passwords are any
/// bytes.
fn prepared(password: &[u8]) -> Cow<'_, [u8]> {
    let text = std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
    match text {
        Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        None => Cow::Borrowed(password),
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&*self.salt, &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{NAME}${}:{salt}${stored}:{server}", self.iterations)
    }
}

/// Shows nothing that would help to guess.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, VerifierError> {
        let mut parts = text.split('$');
        let (Some(NAME), Some(cost), Some(keys), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifierError::Form);
        };
        let (iterations, salt) = cost.split_once(':').ok_or(VerifierError::Form)?;
        let (stored, server) = keys.split_once(':').ok_or(VerifierError::Form)?;
        let iterations = iterations
            .parse()
            .ok()
            .filter(|iterations| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(iterations))
            .ok_or(VerifierError::Iterations)?;
        let salt = STANDARD.decode(salt).ok().filter(|salt| (8..=64).contains(&salt.len()));
        let salt = salt.ok_or(VerifierError::Base64("the salt", "8 to 64"))?;
        let key = |text: &str, name| {
            let bytes = STANDARD.decode(text).ok();
            bytes.and_then(|bytes| Key::try_from(bytes).ok()).ok_or(VerifierError::Base64(name, "32"))
        };
        Ok(Self {
            iterations,
            salt: salt.into(),
            stored_key: key(stored, "the stored key")?,
            server_key: key(server, "the server key")?,
        })
    }
}

/// As the method is called in MQTT and everywhere.
pub(crate) const NAME: &str = "SCRAM-SHA-256";

/// The least that RFC 7677 (section 4) allows.
pub const ITERATIONS_MIN: u32 = 4096;

/// More would let one login hold up a core for seconds.
pub const ITERATIONS_MAX: u32 = 4_000_000;

/// What a new password gets. A client that uses SCRAM does the same work at each login.
pub const ITERATIONS: u32 = 100_000;

pub(crate) const SALT_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3: user `user`, password `pencil`.
    const RFC: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn a_password_becomes_the_verifier_that_others_make_of_it() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(Verifier::new(b"pencil", &salt, 4096).to_string(), RFC);
    }

    #[test]
    fn what_is_written_is_read_again_and_knows_its_password() {
        let verifier: Verifier = RFC.parse().unwrap();
        assert_eq!(verifier.to_string(), RFC);
        assert!(verifier.is_of(b"pencil"));
        for wrong in [&b"pencil "[..], b"", b"Pencil", b"pencilpencil", b"\xFF\xFE"] {
            assert!(!verifier.is_of(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_password_is_prepared_as_clients_do_it() {
        // RFC 4013: U+00AD is nothing, U+2168 is "IX"; what is not allowed, and what is no text, is taken as it is.
        let is = |a: &[u8], b: &[u8]| Verifier::new(a, b"12345678", 4096).is_of(b);
        assert!(is("I\u{AD}X".as_bytes(), b"IX"));
        assert!(is("\u{2168}".as_bytes(), b"IX"));
        assert!(is(b"a\x07", b"a\x07") && !is(b"a\x07", b"a"));
        assert!(is(b"\xFF\x01", b"\xFF\x01") && !is(b"\xFF\x01", b"\xFF"));
    }

    #[test]
    fn a_text_that_is_no_verifier_says_why() {
        let check = |text: &str, expected: VerifierError| {
            assert_eq!(text.parse::<Verifier>(), Err(expected), "{text}");
        };
        check("", VerifierError::Form);
        check("SCRAM-SHA-1$4096:AAAA$AAAA:AAAA", VerifierError::Form);
        check(&format!("{RFC}$"), VerifierError::Form);
        check(&RFC.replace("4096:", ""), VerifierError::Form);
        check(&RFC.replace("$4096", "$4095"), VerifierError::Iterations);
        check(&RFC.replace("$4096", "$4000001"), VerifierError::Iterations);
        check(&RFC.replace("$4096", "$+"), VerifierError::Iterations);
        check(&RFC.replace("W22Z", "W2-Z"), VerifierError::Base64("the salt", "8 to 64"));
        check(&RFC.replace("WG5d", ""), VerifierError::Base64("the stored key", "32"));
        check(&RFC.replace("dU=", ""), VerifierError::Base64("the server key", "32"));
    }
}
