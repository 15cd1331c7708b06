//! What the program is asked for.

/// The arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Options {
    /// Count, and compare with the baseline.
    Compare {
        /// These alone; empty: all.
        only: Vec<String>,
        /// Write down what was counted.
        update: bool,
    },
    /// Show where the instructions of one scenario go.
    Functions(String),
    /// Let one scenario happen so many times: what runs under valgrind.
    Run(String, u64),
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// With what to print.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let arguments: Vec<String> = arguments.collect();
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["--functions", name] => Ok(Self::Functions((*name).to_owned())),
            ["--run", name, count] => {
                let count = count.parse().map_err(|_| format!("{count}: no number\n{USAGE}"))?;
                Ok(Self::Run((*name).to_owned(), count))
            }
            _ if words.iter().all(|word| *word == "--update" || !word.starts_with('-')) => {
                Ok(Self::Compare {
                    only: arguments.iter().filter(|word| *word != "--update").cloned().collect(),
                    update: words.contains(&"--update"),
                })
            }
            _ => Err(USAGE.to_owned()),
        }
    }
}

const USAGE: &str = "\
Counts the instructions that a message costs, in scenarios that go through the sessions and the engine of the broker,
without sockets, threads or a disk, and compares them with tests/benches/instructions/baseline.txt. Needs valgrind.

  instructions                    every scenario; ends with 1 if one takes over 5 % more than in the baseline
  instructions NAME…              these alone
  instructions --update [NAME…]   writes what was counted into the baseline
  instructions --functions NAME   where the instructions of a scenario go, function by function";

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn arguments_are_read_or_refused() {
        let read = |line: &str| Options::read(line.split_whitespace().map(ToOwned::to_owned));
        let compare = |only: &[&str], update| {
            Ok(Options::Compare { only: only.iter().map(|name| (*name).to_owned()).collect(), update })
        };
        assert_eq!(read(""), compare(&[], false));
        assert_eq!(read("--update connect"), compare(&["connect"], true));
        assert_eq!(read("--functions connect"), Ok(Options::Functions("connect".to_owned())));
        assert_eq!(read("--run connect 7"), Ok(Options::Run("connect".to_owned(), 7)));
        for bad in ["--help", "--run connect", "--run connect many", "--functions", "--what connect"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
