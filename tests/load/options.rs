//! What the program is asked for.

/// The arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Clients that poll over SockJS.
    pub(crate) pollers: usize,
    /// Clients of WebSocket.
    pub(crate) websockets: usize,
    /// How many topics they share, evenly.
    pub(crate) rooms: usize,
    /// How long somebody talks.
    pub(crate) seconds: u64,
    /// How many messages a second, over all rooms.
    pub(crate) rate: u64,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// With what to print.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { pollers: 2000, websockets: 5000, rooms: 100, seconds: 20, rate: 100 };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| USAGE.to_owned())?;
            let number: u64 = value.parse().map_err(|_| format!("{name} {value}: no number\n{USAGE}"))?;
            let count = usize::try_from(number).map_err(|_| USAGE.to_owned())?;
            match name.as_str() {
                "--pollers" => options.pollers = count,
                "--websockets" => options.websockets = count,
                "--rooms" => options.rooms = count,
                "--seconds" => options.seconds = number,
                "--rate" => options.rate = number.max(1),
                _ => return Err(USAGE.to_owned()),
            }
        }
        let is_even = |clients: usize| options.rooms > 0 && clients.is_multiple_of(options.rooms);
        if !is_even(options.pollers) || !is_even(options.websockets) {
            return Err(format!("every room has as many clients as any other\n{USAGE}"));
        }
        Ok(options)
    }
}

const USAGE: &str = "\
Lets clients that poll over SockJS and clients of WebSocket into one broker, talks to all of them, and stops it.

  --pollers N      clients that poll (2000)
  --websockets N   clients of WebSocket (5000)
  --rooms N        topics that they share, evenly (100)
  --seconds S      how long somebody talks (20)
  --rate N         messages a second, over all rooms (100)

The broker is what DUETMQ_BIN names, or what `cargo build -p server` makes.";

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn arguments_are_read_or_refused() {
        let read = |line: &str| Options::read(line.split_whitespace().map(ToOwned::to_owned));
        let expected = Options { pollers: 20, websockets: 40, rooms: 10, seconds: 3, rate: 5 };
        assert_eq!(read("--pollers 20 --websockets 40 --rooms 10 --seconds 3 --rate 5"), Ok(expected));
        for bad in ["--pollers", "--pollers many", "--help", "--rooms 0", "--pollers 7 --rooms 3"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
