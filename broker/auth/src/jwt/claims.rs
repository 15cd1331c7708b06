//! What a token says, once it is known who signed it (RFC 7519, 4.1).

use std::sync::Arc;
use std::time::Duration;

use model::name::{ExchangeName, UserName, VhostName};
use model::principal::{Permissions, Term};
use model::refusal::Refusal;
use model::time::WallMs;
use serde_json::{Map, Value};

use crate::claimed;
use crate::rules::{How, Rule};
use crate::users::prepared;

/// What tokens must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRules {
    /// Whose tokens are taken; empty: everybody's who has a key.
    pub issuers: Vec<String>,
    /// Whom they are for; empty: those that are for nobody in particular.
    pub audiences: Vec<String>,
    /// Claims that must be there.
    pub required: Vec<String>,
    /// The claim that names the user.
    pub user: String,
    /// The claim that has rules for whoever shows it, and what plain topics there are about; `None`: tokens bring none.
    pub rules: Option<(String, ExchangeName)>,
    /// The claim that names the vhosts that whoever shows it may be in; `None`: tokens say nothing of that.
    pub vhosts: Option<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// Who showed a token, and for how long it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Whom it names.
    pub user: UserName,
    /// Until when.
    pub term: Term,
    /// The rules that it brings along.
    pub rules: Arc<[Rule]>,
    /// In which vhosts alone it is good, of which the first is for whoever asks for none; `None`: it does not say.
    pub vhosts: Option<Arc<[VhostName]>>,
}

impl Shown {
    /// What whoever shows it may do, of what `permissions` say.
    pub fn limit(&self, permissions: Permissions) -> Permissions {
        let permissions = permissions.because(Arc::new(How::Token(Arc::clone(&self.rules))));
        let permissions = permissions.for_term(self.term);
        match &self.vhosts {
            Some(vhosts) => permissions.in_vhosts(Arc::clone(vhosts)),
            None => permissions,
        }
    }
}

impl ClaimRules {
    /// Whether these claims are what they must be, and those of a token that is good now.
    ///
    /// # Errors
    ///
    /// [`Refusal::Expired`], if they are all right but for the time; else why the token is refused.
    pub(crate) fn check(&self, claims: &Map<String, Value>, now: WallMs) -> Result<Shown, Refusal> {
        let expires_at = date(claims, "exp")?.ok_or(NO_EXP)?;
        let not_before = date(claims, "nbf")?;
        // Nothing depends on it, but what is no date shows that the issuer is not who we think.
        date(claims, "iat")?;
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        if self.required.iter().any(|name| claims.get(name).is_none_or(Value::is_null)) {
            return Err(MISSING);
        }
        let user = self.user(claims)?;
        if not_before.is_some_and(|from| now.plus(self.leeway) < from) {
            return Err(TOO_EARLY);
        }
        let until = expires_at.plus(self.leeway);
        if until <= now {
            return Err(Refusal::Expired { at: expires_at });
        }
        let (rules, vhosts) = (self.rules(claims)?, self.vhosts(claims)?);
        Ok(Shown { user, term: Term { expires_at, until }, rules, vhosts })
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let is_ours = |issuer: &str| self.issuers.iter().any(|ours| ours == issuer);
        match claims.get("iss") {
            _ if self.issuers.is_empty() => Ok(()),
            Some(Value::String(issuer)) if is_ours(issuer) => Ok(()),
            Some(_) | None => Err(ISSUER),
        }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let is_us = |one: &Value| one.as_str().is_some_and(|one| self.audiences.iter().any(|us| us == one));
        match claims.get("aud") {
            None if self.audiences.is_empty() => Ok(()),
            Some(Value::Array(list)) if list.iter().any(is_us) => Ok(()),
            Some(one) if is_us(one) => Ok(()),
            Some(_) | None => Err(AUDIENCE),
        }
    }

    /// The rules of a claim, as a token would bring it along.
    ///
    /// # Errors
    ///
    /// It is none, or tokens bring none.
    pub fn claimed(&self, text: &str) -> Result<Arc<[Rule]>, String> {
        let (claim, plain) =
            self.rules.as_ref().ok_or("auth.jwt.acl_claim is not set: tokens bring no rules")?;
        let value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
        claimed::read(claim, Some(&value), plain).map(Into::into).ok_or_else(|| RULES.to_string())
    }

    fn rules(&self, claims: &Map<String, Value>) -> Result<Arc<[Rule]>, Refusal> {
        match &self.rules {
            Some((claim, plain)) => {
                claimed::read(claim, claims.get(claim), plain).map(Into::into).ok_or(RULES)
            }
            None => Ok(Arc::default()),
        }
    }

    fn vhosts(&self, claims: &Map<String, Value>) -> Result<Option<Arc<[VhostName]>>, Refusal> {
        let Some(claim) = self.vhosts.as_ref().and_then(|name| claims.get(name)) else { return Ok(None) };
        let named = match claim {
            Value::String(_) => std::slice::from_ref(claim),
            Value::Array(list) if (1..=VHOSTS_MAX).contains(&list.len()) => list.as_slice(),
            Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                return Err(VHOSTS);
            }
        };
        // Rules call all of them so, and a token that is for all does not say it.
        let names =
            named.iter().map(|one| one.as_str().filter(|name| *name != "*").and_then(VhostName::parse));
        names.collect::<Option<Arc<[_]>>>().map(Some).ok_or(VHOSTS)
    }

    fn user(&self, claims: &Map<String, Value>) -> Result<UserName, Refusal> {
        let name = match claims.get(&self.user) {
            Some(Value::String(name)) if name.len() <= USER_BYTES_MAX => prepared(name),
            Some(Value::Number(number)) if number.is_u64() => Some(number.to_string()),
            Some(_) | None => None,
        };
        name.map(|name| UserName::new(&name)).ok_or(NO_USER)
    }
}

/// A date: seconds since 1970, which need not be whole.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<WallMs>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..SECONDS_MAX).contains(seconds)).ok_or(NO_DATE)?;
    let since = Duration::from_secs_f64(seconds);
    Ok(Some(WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))))
}

const NO_EXP: Refusal = Refusal::BadToken("it has no exp: it would never end");
const NO_DATE: Refusal = Refusal::BadToken("its exp, nbf or iat is no number of seconds since 1970");
const ISSUER: Refusal = Refusal::BadToken("its iss is none of auth.jwt.issuer");
const AUDIENCE: Refusal = Refusal::BadToken("its aud is none of auth.jwt.audience: it is for somebody else");
const MISSING: Refusal = Refusal::BadToken("a claim of auth.jwt.required is missing");
const RULES: Refusal = Refusal::BadToken(
    "its auth.jwt.acl_claim is no list of rules such as {\"allow\": [\"publish\"], \"topics\": [\"a/#\"]}",
);
const VHOSTS: Refusal = Refusal::BadToken(
    "its auth.jwt.vhost_claim is neither the name of a virtual host nor a list of 1 to 64 of them",
);
const NO_USER: Refusal = Refusal::BadToken("its auth.jwt.user_claim names no user");
const TOO_EARLY: Refusal = Refusal::BadToken("its nbf has not come yet");

/// The most vhosts that a token names.
const VHOSTS_MAX: usize = 64;

/// The longest name of a user, in bytes.
const USER_BYTES_MAX: usize = 1024;

/// The year 9999 ends before.
const SECONDS_MAX: f64 = 253_402_300_800.0;
