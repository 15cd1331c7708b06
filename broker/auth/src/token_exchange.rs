//! A token in AUTH: an exchange of one step, by which an open connection can show a newer one (MQTT 5.0, 4.12).

use std::sync::Arc;

use model::access::{Exchange, Step, Stepping};
use model::name::ClientId;
use model::principal::{Credentials, Principal};
use model::refusal::Refusal;

use crate::jwt::Tokens;
use crate::rules::Scoped;

/// What the method is called; the other name is that of Azure's brokers.
pub(crate) const NAMES: [&str; 2] = ["JWT", "OAUTH2-JWT"];

/// The server's side of it.
pub(crate) struct TokenExchange {
    tokens: Arc<Tokens>,
    rules: Scoped,
    client: Option<ClientId>,
}

impl TokenExchange {
    /// With one who came with `credentials`.
    pub(crate) fn new(tokens: Arc<Tokens>, rules: Scoped, credentials: &Credentials) -> Self {
        Self { tokens, rules, client: credentials.client.clone() }
    }
}

impl Exchange for TokenExchange {
    fn step<'a>(&'a mut self, data: Option<&'a [u8]>) -> Stepping<'a> {
        Box::pin(async move {
            let token = data.and_then(|data| std::str::from_utf8(data).ok()).ok_or(NO_DATA)?;
            let shown = self.tokens.judge(token).await?;
            let permissions = self.rules.permissions(Some(&shown.user), self.client.as_ref(), &shown.rules);
            let permissions = shown.limit(permissions);
            Ok(Step::Proven { principal: Principal { user: Some(shown.user) }, permissions, data: None })
        })
    }
}

const NO_DATA: Refusal = Refusal::BadToken("the authentication data of method JWT are the token, as text");
