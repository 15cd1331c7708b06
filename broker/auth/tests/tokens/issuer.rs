//! Issuer: somebody who signs tokens, with a key that he has just made.

use auth::{Algorithm, Encoding, JwtKey, KeySource, Secret};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

/// Somebody who signs.
pub(crate) struct Issuer {
    pub(crate) algorithm: Algorithm,
    /// The secret as text, or the private key as PKCS 8.
    private: Vec<u8>,
    /// As X.509 has it; empty for a secret.
    public: Vec<u8>,
}

impl Issuer {
    /// With a new key.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let (private, public) = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => (secret(), Vec::new()),
            Algorithm::ES256 | Algorithm::ES384 => {
                let kind = if algorithm == Algorithm::ES256 {
                    &ECDSA_P256_SHA256_FIXED_SIGNING
                } else {
                    &ECDSA_P384_SHA384_FIXED_SIGNING
                };
                let private = EcdsaKeyPair::generate_pkcs8(kind, &SystemRandom::new()).unwrap();
                let pair = EcdsaKeyPair::from_pkcs8(kind, private.as_ref()).unwrap();
                (private.as_ref().to_vec(), der(pair.public_key()))
            }
            Algorithm::EdDSA => {
                let private = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
                let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
                (private.as_ref().to_vec(), der(pair.public_key()))
            }
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512
            | _ => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
                (private.as_ref().to_vec(), der(pair.public_key()))
            }
        };
        Self { algorithm, private, public }
    }

    /// As the configuration names it.
    pub(crate) fn key(&self, id: Option<&str>) -> JwtKey {
        let source = if self.public.is_empty() {
            let text = String::from_utf8(self.private.clone()).unwrap();
            KeySource::Secret(Secret::new(&text), Encoding::Text)
        } else {
            KeySource::Public(pem("PUBLIC KEY", &self.public))
        };
        JwtKey { id: id.map(str::to_owned), algorithm: self.algorithm, source }
    }

    /// As a list has it.
    pub(crate) fn jwk(&self, id: Option<&str>) -> Value {
        let mut jwk = if self.public.is_empty() {
            json!({"kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(&self.private)})
        } else {
            serde_json::to_value(Jwk::from_encoding_key(&self.encoding(), self.algorithm).unwrap()).unwrap()
        };
        if let Some(id) = id {
            jwk["kid"] = json!(id);
        }
        jwk
    }

    pub(crate) fn private_pem(&self) -> String {
        pem("PRIVATE KEY", &self.private)
    }

    pub(crate) fn public_der(&self) -> Vec<u8> {
        self.public.clone()
    }

    /// A token that says this.
    pub(crate) fn token(&self, claims: &Value, kid: Option<&str>) -> String {
        self.signed(claims, Header { kid: kid.map(str::to_owned), ..Header::new(self.algorithm) })
    }

    /// The same with more in its header.
    pub(crate) fn token_with(&self, claims: &Value, more: Value) -> String {
        let mut header = serde_json::to_value(Header::new(self.algorithm)).unwrap();
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.signed(claims, serde_json::from_value(header).unwrap())
    }

    fn signed(&self, claims: &Value, header: Header) -> String {
        encode(&header, claims, &self.encoding()).unwrap()
    }

    fn encoding(&self) -> EncodingKey {
        let pem = self.private_pem();
        match self.algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => EncodingKey::from_secret(&self.private),
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()).unwrap(),
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512
            | _ => EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        }
    }
}

/// A token that is signed with these bytes as a shared secret.
pub(crate) fn sign_with_secret(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn secret() -> Vec<u8> {
    let mut bytes = [0; 48];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    STANDARD.encode(bytes).into_bytes()
}

fn der<'a, K: AsDer<PublicKeyX509Der<'a>>>(key: &K) -> Vec<u8> {
    key.as_der().unwrap().as_ref().to_vec()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A public key that does not say for which algorithm it is.
pub(crate) fn without_algorithm(mut jwk: Value) -> Value {
    jwk.as_object_mut().unwrap().remove("alg");
    jwk
}
