//! Certificates: what listeners show by TLS, read before anything is opened, and again whenever its files change

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway::tls::Tls;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::config::settings::Section;
use crate::failure::{Code, Failure};

/// All certificates of a configuration, by their names.
#[derive(Debug, Default)]
pub(crate) struct Certificates(HashMap<String, Arc<Tls>>);

impl Certificates {
    /// Reads their files.
    ///
    /// # Errors
    ///
    /// One cannot be used: a listener without it would not be the one that is meant.
    pub(crate) fn read(config: &Config) -> Result<Self, Failure> {
        let read = config.tls().iter().map(|options| {
            let name = options.name.clone();
            let tls = Tls::load(options.clone());
            let tls = tls.map_err(|error| Failure::new(Code::Usage, format!("tls.{name}: {error}")))?;
            Ok((name, Arc::new(tls)))
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// The one that a listener shows, if it shows one.
    pub(crate) fn of(&self, listener: &Section) -> Option<Arc<Tls>> {
        self.0.get(listener.text("tls")?).map(Arc::clone)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Tls>> {
        self.0.values().map(Arc::clone)
    }

    /// Reads files again when they change, and all of them when somebody has `asked`; and says in time when a certificate is over.
    /// Files that cannot be used change nothing.
    pub(crate) async fn keep<T>(self, mut asked: watch::Receiver<T>) {
        let mut is_asked = false;
        let mut kept: Vec<(Arc<Tls>, Age)> = self.all().map(|tls| (tls, Age::Young)).collect();
        while !kept.is_empty() {
            let looked = spawn_blocking(move || {
                kept.iter_mut().for_each(|(tls, age)| look(tls, age, is_asked));
                kept
            });
            match looked.await {
                Ok(same) => kept = same,
                Err(panic) => {
                    tracing::error!(%panic, "tls.not_read: what was read before holds, until the next start");
                    return;
                }
            }
            is_asked = tokio::select! {
                () = tokio::time::sleep(EVERY) => false,
                // Once nobody can ask any more, the broker ends.
                asked = asked.changed() => asked.is_ok(),
            };
        }
    }
}

fn look(tls: &Tls, age: &mut Age, is_asked: bool) {
    let name = tls.name();
    match if is_asked { tls.reread() } else { tls.refresh() } {
        None => {}
        Some(Ok(())) => {
            *age = Age::Young;
            tracing::info!(name, "tls.read");
        }
        Some(Err(error)) => tracing::error!(name, %error, "tls.not_read: what was read before holds"),
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left_s = tls.expires_at().saturating_sub(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    let found = Age::of(left_s);
    if found > *age {
        *age = found;
        let days = left_s.div_euclid(DAY_S);
        match found {
            Age::Young => {}
            Age::Month | Age::Week => tracing::warn!(name, days, "tls.expires: replace the certificate"),
            Age::Over => {
                tracing::error!(name, days, "tls.expired: clients refuse the certificate; replace it");
            }
        }
    }
}

/// How near the end of a certificate is: each is said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// More than thirty days away.
    Young,
    /// Within thirty days.
    Month,
    /// Within seven days.
    Week,
    /// Past.
    Over,
}

impl Age {
    const fn of(left_s: i64) -> Self {
        match left_s {
            ..=0 => Self::Over,
            _ if left_s <= 7 * DAY_S => Self::Week,
            _ if left_s <= 30 * DAY_S => Self::Month,
            _ => Self::Young,
        }
    }
}

const DAY_S: i64 = 86_400;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_said_thirty_days_before_and_seven_and_when_it_is_over() {
        for (left_s, age) in [
            (31 * DAY_S, Age::Young),
            (30 * DAY_S + 1, Age::Young),
            (30 * DAY_S, Age::Month),
            (7 * DAY_S + 1, Age::Month),
            (7 * DAY_S, Age::Week),
            (1, Age::Week),
            (0, Age::Over),
            (-DAY_S, Age::Over),
        ] {
            assert_eq!(Age::of(left_s), age, "{left_s}");
        }
    }
}
