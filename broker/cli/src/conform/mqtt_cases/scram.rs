//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256};

use crate::conform::case::Short;

/// As the method is called.
pub(crate) const METHOD: &str = "SCRAM-SHA-256";

/// One exchange.
#[derive(Debug)]
pub(crate) struct Scram {
    bare: String,
    nonce: String,
    password: String,
}

/// The last message, and what a server says to it that knows the password too.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) message: String,
    pub(crate) answer: String,
}

impl Scram {
    /// As this user; `nonce`: never used before.
    pub(crate) fn new(user: &str, password: &str, nonce: &str) -> Self {
        let name = user.replace('=', "=3D").replace(',', "=2C");
        Self { bare: format!("n={name},r={nonce}"), nonce: nonce.to_owned(), password: password.to_owned() }
    }

    /// What is said first.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// What is said to the challenge.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(crate) fn last(&self, challenge: &[u8]) -> Result<Last, Short> {
        let shown = String::from_utf8_lossy(challenge).into_owned();
        let wrong = || Short::failed(format!("{shown:?} is no challenge of SCRAM-SHA-256"));
        let value = |name: &str| shown.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = value("r=").filter(|nonce| nonce.starts_with(&self.nonce) && *nonce != self.nonce);
        let nonce = nonce.ok_or_else(wrong)?;
        let salt = value("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or_else(wrong)?;
        let iterations: u32 = value("i=").and_then(|count| count.parse().ok()).ok_or_else(wrong)?;
        if !(4096..=10_000_000).contains(&iterations) {
            return Err(Short::failed(format!("{iterations} iterations are too few, or too many to do")));
        }
        let mut salted = [0; 32];
        pbkdf2_hmac::<Sha256>(self.password.as_bytes(), &salt, iterations, &mut salted);
        let without_proof = format!("c=biws,r={nonce}");
        let said = format!("{},{shown},{without_proof}", self.bare);
        let client_key = mac(&salted, "Client Key");
        let signature = mac(&Sha256::digest(client_key), &said);
        let proof: Vec<u8> =
            client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
        let answer = mac(&mac(&salted, "Server Key"), &said);
        Ok(Last {
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
            answer: format!("v={}", STANDARD.encode(answer)),
        })
    }
}

fn mac(key: &[u8], text: &str) -> [u8; 32] {
    // A key of any length is one: there is no error to be had.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7677_comes_out() {
        let scram = Scram::new("user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge =
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let expected = Last {
            message: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".to_owned(),
            answer: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned(),
        };
        assert_eq!(scram.last(challenge).unwrap(), expected);
    }

    #[test]
    fn a_challenge_that_is_none_is_a_failure() {
        let scram = Scram::new("a,b=c", "x", "nonce");
        assert_eq!(scram.first(), "n,,n=a=2Cb=3Dc,r=nonce");
        for text in [
            "",
            "r=nonce,s=AAAA,i=4096",
            "r=other1,s=AAAA,i=4096",
            "r=nonce1,s=#,i=4096",
            "r=nonce1,s=AAAA,i=1",
        ] {
            assert!(scram.last(text.as_bytes()).is_err(), "{text}");
        }
    }
}
