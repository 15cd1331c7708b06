//! Lists of public keys (JWKS, RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::Value;

use crate::jwt::key::{Key, check_size};

/// The keys of a list that are for one of `algorithms`. All else that may stand there is passed over, shared secrets too: a list
/// is public.
///
/// # Errors
///
/// It is no such list, or has no key for us.
pub(crate) fn parse(text: &str, algorithms: &[Algorithm]) -> Result<Vec<Key>, String> {
    let list: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let list = list.get("keys").and_then(Value::as_array).ok_or("no JWKS: {\"keys\": […]} is expected")?;
    if list.len() > KEYS_MAX {
        return Err(format!("{} keys; {KEYS_MAX} are read at most", list.len()));
    }
    let keys: Vec<Key> = list.iter().filter_map(|one| key(one, algorithms)).collect();
    if keys.is_empty() {
        return Err(format!("none of its {} keys is for {algorithms:?}", list.len()));
    }
    Ok(keys)
}

fn key(value: &Value, algorithms: &[Algorithm]) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let fits = |algorithm: &&Algorithm| fits(&jwk.algorithm, **algorithm);
    let algorithm = match &jwk.common.key_algorithm {
        Some(named) => *algorithms.iter().filter(fits).find(|algorithm| is(named, **algorithm))?,
        None => {
            // Of several it is not known for which it was made: none is guessed.
            let mut fitting = algorithms.iter().filter(fits);
            let only = fitting.next()?;
            if fitting.next().is_some() {
                return None;
            }
            *only
        }
    };
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    check_size(&decoding, algorithm).ok()?;
    Some(Key { id: jwk.common.key_id, algorithm, decoding })
}

fn fits(parameters: &AlgorithmParameters, algorithm: Algorithm) -> bool {
    match (parameters, algorithm.family()) {
        (AlgorithmParameters::RSA(_), AlgorithmFamily::Rsa) => true,
        (AlgorithmParameters::EllipticCurve(point), AlgorithmFamily::Ec) => {
            (algorithm == Algorithm::ES256 && point.curve == EllipticCurve::P256)
                || (algorithm == Algorithm::ES384 && point.curve == EllipticCurve::P384)
        }
        (AlgorithmParameters::OctetKeyPair(pair), AlgorithmFamily::Ed) => {
            pair.curve == EllipticCurve::Ed25519
        }
        _ => false,
    }
}

fn is(named: &KeyAlgorithm, algorithm: Algorithm) -> bool {
    named.to_string().parse::<Algorithm>().is_ok_and(|named| named == algorithm)
}

/// No issuer signs with more.
const KEYS_MAX: usize = 100;

/// The longest list, in bytes.
pub(crate) const BYTES_MAX: usize = 1 << 20;
