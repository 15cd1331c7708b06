//! Which vhost a client is in: chosen once, before anybody asks who it is, and for life

use std::sync::Arc;

use bytestring::ByteString;
use model::event::{Event, Farewell};
use model::name::{ClientId, VhostName};
use model::principal::{Permissions, Principal};
use model::refusal::Refusal;
use model::request::{Identity, Open};

use super::Link;
use crate::core::Core;
use crate::mailbox::Note;

impl Link {
    /// Moves into the vhost that those who run the broker have for this listener, or for this certificate; else into the one that
    /// the client asks for; else it stays in the default one. What cannot be had stays in `open`: a name that is none, and one
    /// that is not what the listener or the certificate is for.
    pub(super) fn choose(
        &mut self,
        open: &mut Open,
        listener: Option<&VhostName>,
        certificate: Option<&str>,
    ) {
        let Some(cores) = self.core.cores() else { return };
        let options = &self.core.parts.vhost.options;
        open.vhost.take_if(|name| name == VhostName::DEFAULT.as_str() || options.host_names.contains(name));
        let certified = certificate.and_then(|name| options.vhosts_by_certificate.get(name));
        let fixed = listener.or(certified);
        if options.vhost_in_user && (fixed.is_some() || cores.are_several()) {
            split_user(open);
        }
        if let (Some(fixed), Some(certified)) = (fixed, certified)
            && fixed != certified
        {
            open.vhost = Some(certified.to_string());
        }
        let asked = open.vhost.as_deref();
        self.is_placed = fixed.is_some() || asked.is_some();
        let wanted = match (fixed, asked) {
            (Some(fixed), Some(asked)) if fixed.as_str() != asked => return,
            (Some(fixed), _) => fixed.clone(),
            (None, Some(asked)) => VhostName::new(asked),
            (None, None) => return,
        };
        match cores.get(&wanted) {
            Some(core) => {
                open.vhost = None;
                self.move_to(core);
            }
            None => open.vhost = Some(wanted.to_string()),
        }
    }

    /// Whoever has shown that he may be in some vhosts alone is in one of them: in the first, where nobody chose another one. Of
    /// what could not be had he hears only if he might have been there.
    pub(super) fn confine(
        &mut self,
        asked: Option<&str>,
        client: Option<&ClientId>,
        principal: &Principal,
        permissions: &mut Permissions,
    ) -> Result<(), Refusal> {
        let Some(first) = permissions.vhosts().and_then(<[_]>::first) else { return Ok(()) };
        if self.is_placed {
            let asked = asked.map_or_else(|| self.core.name.clone(), VhostName::new);
            return Refusal::unless_elsewhere(permissions, &asked);
        }
        if *first == self.core.name {
            return Ok(());
        }
        let core = self.core.cores().and_then(|cores| cores.get(first));
        self.move_to(core.ok_or_else(|| Refusal::NoVhost(first.to_string()))?);
        // There it is other rules that say what he may.
        if let Some(there) = self.core.access.revise(principal, client, Some(&*permissions))? {
            *permissions = there;
        }
        Ok(())
    }

    fn move_to(&mut self, core: Arc<Core>) {
        if Arc::ptr_eq(&core, &self.core) {
            return;
        }
        // It stands in one list at any time: whoever goes through all of them must not miss it.
        core.links().insert(self.id, Arc::clone(&self.client));
        self.core.links().remove(&self.id);
        if core.is_stopping() {
            self.mailbox.post(Note::News(Event::Closing(Farewell::ShuttingDown)));
        }
        self.core = core;
    }
}

/// MQTT has no place for the name of a vhost: it may stand before the user's, the last colon between them.
fn split_user(open: &mut Open) {
    let is_mqtt = matches!(open.identity, Identity::Session { .. });
    let user = open.credentials.user.as_deref().filter(|_| is_mqtt && open.vhost.is_none());
    let Some((name, user)) = user.and_then(|user| user.rsplit_once(':')) else { return };
    let (name, user) = (name.to_owned(), ByteString::from(user));
    open.vhost = Some(name);
    open.credentials.user = Some(user);
}
