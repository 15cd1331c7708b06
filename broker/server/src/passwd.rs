//! Passwd: the users of a password file, one command at a time.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

use auth::{FileError, Users, Verifier, listed};
use transport::files;

use crate::arguments::{PasswdAction, PasswdArgs, ServeArgs};
use crate::config::{Config, Surroundings};
use crate::failure::{Code, Failure};

/// Does what `arguments` say.
///
/// # Errors
///
/// Why it is not done; or that the password is wrong, or the user not there.
pub fn run(arguments: &PasswdArgs, around: &Surroundings) -> Result<(), Failure> {
    let path = file(arguments, around)?;
    match &arguments.action {
        PasswdAction::Add { user, iterations } => {
            let name = name(user)?;
            let verifier = Verifier::salted(new_password(&name)?.as_bytes(), *iterations)
                .map_err(|error| Failure::new(Code::Other, format!("no random bytes: {error}")))?;
            Users::replace(&path, &name, Some(&verifier)).map_err(|error| cannot(&error))?;
            Ok(())
        }
        PasswdAction::Rm { user } => {
            let name = name(user)?;
            if Users::replace(&path, &name, None).map_err(|error| cannot(&error))? {
                return Ok(());
            }
            Err(unknown(&name, &path))
        }
        PasswdAction::Verify { user } => {
            let name = name(user)?;
            let users = Users::read(&path).map_err(|error| cannot(&error))?;
            if !users.has(&name) {
                return Err(unknown(&name, &path));
            }
            if users.knows(&name, password(&format!("Password of {name}: "))?.as_bytes()) {
                return Ok(());
            }
            Err(Failure::new(Code::Refused, format!("that is not the password of {name:?}")))
        }
        PasswdAction::List => {
            let users = Users::read(&path).map_err(|error| cannot(&error))?;
            let names: String = users.names().flat_map(|name| [name, "\n"]).collect();
            // Whoever reads it may have seen enough before the end.
            let _ = io::stdout().write_all(names.as_bytes());
            Ok(())
        }
    }
}

fn file(arguments: &PasswdArgs, around: &Surroundings) -> Result<PathBuf, Failure> {
    if let Some(path) = &arguments.file {
        return Ok(path.clone());
    }
    let config = Config::load(&ServeArgs::default(), around).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::new(Code::Usage, lines.join("\n"))
    })?;
    crate::options::auth(&config).file.ok_or_else(|| {
        Failure::new(
            Code::Usage,
            "no password file: name it with --file, or set auth.file.path in the configuration",
        )
    })
}

fn name(user: &str) -> Result<String, Failure> {
    listed(user).map_err(|fault| Failure::new(Code::Usage, fault.to_string()))
}

fn unknown(name: &str, path: &std::path::Path) -> Failure {
    Failure::new(Code::NotFound, format!("{}: no user {name:?}", path.display()))
}

fn cannot(error: &FileError) -> Failure {
    let code = match error {
        FileError::File(files::FileError::Io { .. }) | FileError::Busy(_) => Code::Other,
        FileError::File(files::FileError::Open { .. } | files::FileError::Large { .. })
        | FileError::NotText(_)
        | FileError::Line { .. } => Code::Usage,
    };
    Failure::new(code, error.to_string())
}

/// A terminal is asked twice, since what is typed is not seen.
fn new_password(name: &str) -> Result<String, Failure> {
    let first = password(&format!("New password of {name}: "))?;
    if first.is_empty() {
        return Err(Failure::new(Code::Usage, "a password has at least one character"));
    }
    if io::stdin().is_terminal() && password("The same again: ")? != first {
        return Err(Failure::new(Code::Usage, "these are two different passwords; nothing was changed"));
    }
    Ok(first)
}

/// From the terminal, unseen; or a line of stdin. Never from an argument, which everybody on this machine can see.
fn password(prompt: &str) -> Result<String, Failure> {
    let other = |error: io::Error| Failure::new(Code::Other, format!("no password could be read: {error}"));
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt).map_err(other);
    }
    let mut line = String::new();
    io::stdin().lock().take(PASSWORD_BYTES_MAX + 1).read_line(&mut line).map_err(other)?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.len() as u64 > PASSWORD_BYTES_MAX {
        return Err(Failure::new(Code::Usage, "a password has at most 65535 bytes"));
    }
    Ok(line.to_owned())
}

/// What MQTT can carry.
const PASSWORD_BYTES_MAX: u64 = 65_535;
