//! What the program is asked for.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use harness::faults::Fault;

/// The arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// How often the broker is killed.
    pub(crate) kills: u32,
    /// How long messages are published, at least; half a second for each kill if nothing is said.
    pub(crate) seconds: u64,
    /// What all random choices follow from.
    pub(crate) seed: u64,
    /// Where the broker stores; a folder that is removed in the end if none is named.
    pub(crate) data: Option<PathBuf>,
    /// What else goes wrong at each kill.
    pub(crate) fault: Option<Fault>,
    /// One call to the disk after the other fails, in place of all that.
    pub(crate) sweep: bool,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// With what to print.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let seed = u64::try_from(now).unwrap_or(0);
        let mut options = Self { kills: 50, seconds: 0, seed, ..Self::default() };
        while let Some(name) = arguments.next() {
            if name == "--sweep" {
                options.sweep = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| USAGE.to_owned());
            let number = |value: Result<String, String>| {
                value.and_then(|value| {
                    value.parse().map_err(|_| format!("{name} {value}: no number\n{USAGE}"))
                })
            };
            match name.as_str() {
                "--kills" => options.kills = u32::try_from(number(value)?).map_err(|_| USAGE.to_owned())?,
                "--seconds" => options.seconds = number(value)?,
                "--seed" => options.seed = number(value)?,
                "--data" => options.data = Some(value?.into()),
                "--fault" => options.fault = Some(known(&value?, &Fault::ALL)?),
                _ => return Err(USAGE.to_owned()),
            }
        }
        if options.seconds == 0 {
            options.seconds = u64::from(options.kills).div_ceil(2);
        }
        Ok(options)
    }
}

fn known<T: Copy>(value: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == value);
    found.map(|(_, value)| *value).ok_or_else(|| format!("{value} is not known\n{USAGE}"))
}

const USAGE: &str = "\
Kills a broker again and again while thirty clients use it, and checks what it promised.

  --kills N      how often (50)
  --seconds S    how long messages are published, at least (half a second for each kill)
  --seed N       what random choices follow from (the time)
  --data DIR     where the broker stores (a temporary folder)
  --fault NAME   what the disk does beside: power (what was not synced is gone at each kill), full (nothing can grow, or
                 nothing be written, for three seconds), write or sync (one fails, and the broker ends), slow (each fsync takes half a second longer),
                 read (nothing can be read, for three seconds or at the start), state (sled cannot be written, for three seconds),
                 removal (no journal file can be given up, for three seconds)
  --sweep        one scripted session again and again, in which the first call to the disk fails, then the second, to the last

The broker is what DUETMQ_BIN names, or what `cargo build -p server` makes.";

#[cfg(test)]
mod tests {
    use super::{Fault, Options};

    #[test]
    fn arguments_are_read_or_refused() {
        let read = |line: &str| Options::read(line.split_whitespace().map(ToOwned::to_owned));
        let expected =
            Options { kills: 3, seconds: 9, seed: 7, data: Some("x".into()), ..Options::default() };
        assert_eq!(read("--kills 3 --seconds 9 --seed 7 --data x"), Ok(expected));
        assert_eq!(read("--kills 1000").map(|options| options.seconds), Ok(500));
        assert_eq!(read("--fault sync").map(|options| options.fault), Ok(Some(Fault::Sync)));
        assert!(read("--fault fire").is_err());
        assert!(read("--kills").is_err());
        assert!(read("--kills many").is_err());
        assert!(read("--help").is_err());
    }
}
