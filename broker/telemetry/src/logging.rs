//! Logging: levels, formats, redaction.
//!
//! An event's message is its name (`conn.open`), its fields are the rest. Give fields as plain values or with `%`; with
//! `?` a text gets Rust's quotes besides ours. Spans are not written: a line says all there is to say.

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry, reload};

pub use crate::logging::line::Format;
use crate::logging::line::Line;

mod line;
mod timestamp;

/// Which events are written: a level for all, and others for targets (`info,engine=debug,gateway::listener=off`).
#[derive(Debug, Clone)]
pub struct Levels(Targets);

impl Default for Levels {
    /// Everything from INFO on.
    fn default() -> Self {
        Self(Targets::new().with_default(LevelFilter::INFO))
    }
}

/// Why a text is no [`Levels`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LevelsError {
    /// Not a word for a level.
    #[error("{0:?} is no log level; use error, warn, info, debug, trace or off")]
    UnknownLevel(String),
    /// `=debug`.
    #[error("a log target is missing before {0:?}; write target=level")]
    NoTarget(String),
}

impl FromStr for Levels {
    type Err = LevelsError;

    fn from_str(text: &str) -> Result<Self, LevelsError> {
        let mut targets = Self::default().0;
        for part in text.split(',').map(str::trim) {
            targets = match part.split_once('=') {
                None => targets.with_default(level(part)?),
                Some(("", _)) => return Err(LevelsError::NoTarget(part.to_owned())),
                Some((target, word)) => targets.with_target(target.trim(), level(word.trim())?),
            };
        }
        Ok(Self(targets))
    }
}

/// `LevelFilter` itself would also take numbers, and anything unknown would be taken for a target.
fn level(word: &str) -> Result<LevelFilter, LevelsError> {
    match word.to_ascii_lowercase().as_str() {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(LevelsError::UnknownLevel(word.to_owned())),
    }
}

/// By which it is changed which events are written, while the process runs.
#[derive(Debug, Clone)]
pub struct Dial(reload::Handle<Targets, Registry>);

impl Dial {
    /// From now on, these.
    pub fn turn(&self, levels: Levels) {
        // It fails only once there is nothing that writes any more.
        let _ = self.0.reload(levels.0);
    }
}

/// Writes the events of this process to stderr from now on.
///
/// # Errors
///
/// If that was set up before; the first set-up stays.
pub fn start(levels: Levels, format: Format) -> Result<Dial, tracing::subscriber::SetGlobalDefaultError> {
    let (subscriber, dial) = subscriber(levels, format, std::io::stderr());
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(dial)
}

/// What [`start`] sets up, for any place to write to; for tests and for programs that have their own.
pub fn subscriber(
    levels: Levels,
    format: Format,
    output: impl Write + Send + 'static,
) -> (impl Subscriber + Send + Sync + 'static, Dial) {
    let lines = Lines { format, output: Mutex::new(output) };
    // What a level leaves out costs as little as before: whether an event is written at all is found out once for each place
    // in the code, and again when the dial is turned.
    let (filter, handle) = reload::Layer::new(levels.0);
    (tracing_subscriber::registry().with(lines.with_filter(filter)), Dial(handle))
}

struct Lines<W> {
    format: Format,
    output: Mutex<W>,
}

impl<S: Subscriber, W: Write + Send + 'static> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut fields = Fields(Line::new(self.format, now, *event.metadata().level()));
        event.record(&mut fields);
        let line = fields.0.finish();
        // There is nowhere to tell that the log cannot be written; the broker's work goes on.
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        drop(output.write_all(line.as_bytes()));
    }
}

struct Fields(Line);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.0.event(value),
            name if is_secret(name) => self.0.text(name, "***"),
            name => self.0.text(name, value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.plain(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.plain(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for the others.
        if value.is_finite() {
            self.0.plain(field.name(), value);
        } else {
            self.0.text(field.name(), &value.to_string());
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.plain(field.name(), value);
    }
}

/// Never written, whoever passes it by mistake.
fn is_secret(name: &str) -> bool {
    matches!(name, "password" | "passcode" | "token" | "secret" | "authorization" | "payload" | "body")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_text_line_is_time_level_event_and_pairs() {
        let log = written(Format::Text, "info", || {
            tracing::info!(id = 42, proto = "mqtt5", peer = %"10.0.0.5:50122", clean = true, "conn.open");
        });
        let (time, rest) = log.split_once(' ').expect("a time");
        assert_eq!(time.len(), "2026-01-31T10:00:00.123Z".len());
        assert!(time.ends_with('Z'));
        assert_eq!(rest, "INFO  conn.open id=42 proto=mqtt5 peer=10.0.0.5:50122 clean=true\n");
    }

    #[test]
    fn a_json_line_has_the_same_keys() {
        let log = written(Format::Json, "info", || {
            tracing::warn!(
                id = 42,
                proto = "mqtt5",
                clean = true,
                offset = -3,
                s = 0.5,
                t = f64::NAN,
                "conn.open"
            );
        });
        let rest = log.split_once(r#","level""#).expect("a level").1;
        assert_eq!(
            rest,
            ":\"WARN\",\"event\":\"conn.open\",\"id\":42,\"proto\":\"mqtt5\",\"clean\":true,\"offset\":-3,\"s\":0.5,\"t\":\"NaN\"}\n"
        );
    }

    #[test]
    fn a_client_cannot_write_lines_pairs_or_terminal_codes() {
        let id = "x\n2026-01-31T10:00:00.000Z INFO  conn.open user=admin\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\"\\ y=1";
        let log = written(Format::Text, "info", || tracing::info!(client = id, by = %id, "conn.open"));
        assert_eq!(log.matches('\n').count(), 1, "{log}");
        assert!(log.chars().all(|c| c == '\n' || !c.is_control()), "{log:?}");
        assert!(!log.contains(['\u{202e}', '\u{2028}']), "{log:?}");
        let value = r#""x\n2026-01-31T10:00:00.000Z INFO  conn.open user=admin\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\"\\ y=1""#;
        assert!(log.ends_with(&format!("conn.open client={value} by={value}\n")), "{log}");
    }

    #[test]
    fn json_is_escaped_too() {
        let id = "a\"b\\c\n\u{1b}\u{2028}안녕";
        let log = written(Format::Json, "info", || tracing::info!(client = id, "conn.open"));
        assert!(log.ends_with("\"client\":\"a\\\"b\\\\c\\n\\u001b\\u2028안녕\"}\n"), "{log}");
        assert_eq!(log.matches('\n').count(), 1);
    }

    #[test]
    fn an_empty_value_and_one_that_looks_like_two_are_quoted() {
        let log = written(Format::Text, "info", || tracing::info!(a = "", b = "x y=z", c = "안녕", "e"));
        assert!(log.ends_with("e a=\"\" b=\"x y=z\" c=안녕\n"), "{log}");
    }

    #[test]
    fn an_event_name_stays_on_its_line() {
        let log = written(Format::Text, "info", || tracing::info!("two\nlines"));
        assert!(log.ends_with("INFO  two\\nlines\n"), "{log}");
    }

    #[test]
    fn secrets_are_not_written() {
        let log = written(
            Format::Json,
            "info",
            || tracing::info!(token = "eyJ", passcode = %"guest", "auth.refused"),
        );
        assert!(log.ends_with("\"token\":\"***\",\"passcode\":\"***\"}\n"), "{log}");
    }

    #[test]
    fn levels_hold_for_all_or_for_a_target() {
        let log = written(Format::Text, "warn,engine=debug,engine::link=off", || {
            tracing::info!("quiet");
            tracing::warn!("heard");
            tracing::debug!(target: "engine::publish", "heard.too");
            tracing::error!(target: "engine::link", "silenced");
        });
        let events: Vec<&str> = log.lines().filter_map(|line| line.split(' ').next_back()).collect();
        assert_eq!(events, ["heard", "heard.too"]);
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        let error = "inof".parse::<Levels>().map(drop).expect_err("no such level");
        assert_eq!(error, LevelsError::UnknownLevel("inof".to_owned()));
        let error = "info,engine=loud".parse::<Levels>().map(drop).expect_err("no such level");
        assert_eq!(error.to_string(), "\"loud\" is no log level; use error, warn, info, debug, trace or off");
        assert!("=debug".parse::<Levels>().is_err());
        assert!("".parse::<Levels>().is_err());
        assert!("INFO, engine = trace".parse::<Levels>().is_ok());
    }

    #[test]
    fn other_levels_hold_from_then_on() {
        let buffer = Buffer::default();
        let (subscriber, dial) = subscriber("info".parse().expect("levels"), Format::Text, buffer.clone());
        tracing::subscriber::with_default(subscriber, || {
            for level in ["info", "debug,x=off", "warn"] {
                dial.turn(level.parse().expect("levels"));
                tracing::debug!(level, "quiet");
                tracing::info!(level, "plain");
                tracing::info!(target: "x", level, "other");
            }
        });
        let bytes = buffer.0.lock().expect("one thread").clone();
        let text = String::from_utf8(bytes).expect("UTF-8");
        let said: Vec<&str> =
            text.lines().filter_map(|line| line.split_once("Z ").map(|(_, rest)| rest)).collect();
        let expected = [
            "INFO  plain level=info",
            "INFO  other level=info",
            r#"DEBUG quiet level="debug,x=off""#,
            r#"INFO  plain level="debug,x=off""#,
        ];
        assert_eq!(said, expected);
    }

    fn written(format: Format, levels: &str, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let levels = levels.parse().expect("levels");
        tracing::subscriber::with_default(subscriber(levels, format, buffer.clone()).0, log);
        let bytes = buffer.0.lock().expect("one thread").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one thread").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
