//! `duetmq check`: every value that holds, and where it comes from.

use anyhow::{Result, ensure};

use crate::run::duetmq_with;

#[test]
fn check_prints_every_value_with_its_origin() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("duetmq.toml");
    std::fs::write(&path, "[log]\nlevel = \"warn\"\n\n[limits]\nretained = 7\nsubscriptions = 8\n")?;
    let path = path.display().to_string();
    let arguments = ["check", "--config", &path, "--set", "limits.subscriptions=9"];
    let done = duetmq_with(
        &arguments,
        &[("DUETMQ_AUTH__ANONYMOUS", "never"), ("DUETMQ_LIMITS__SUBSCRIPTIONS", "10")],
        "",
    )?;
    ensure!(done.code == Some(0), "{done:?}");
    for (key, value, origin) in [
        ("level", "\"warn\"", format!("{path}:2")),
        ("retained", "7", format!("{path}:5")),
        ("anonymous", "\"never\"", "env DUETMQ_AUTH__ANONYMOUS".to_owned()),
        ("guest_loopback", "true", "default".to_owned()),
        // An argument is stronger than the environment, and that than the file.
        ("subscriptions", "9", "flag --set limits.subscriptions=9".to_owned()),
    ] {
        let line = done.out.lines().find(|line| line.starts_with(&format!("{key} =")));
        let line = line.unwrap_or_default();
        ensure!(
            line.contains(value) && line.ends_with(&origin),
            "{key}: {line:?} instead of {value} {origin}"
        );
    }
    Ok(())
}

#[test]
fn what_check_prints_is_a_configuration() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = duetmq_with(&["check", "--dev", "--set", "limits.retained=7"], &[], "")?;
    let path = folder.path().join("printed.toml");
    std::fs::write(&path, &first.out)?;
    let second = duetmq_with(&["check", "--config", &path.display().to_string()], &[], "")?;
    ensure!(second.code == Some(0), "{second:?}");
    let values = |text: &str| {
        let lines = text.lines().filter(|line| line.contains('=') && !line.starts_with('#'));
        let values = lines.map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
        values.collect::<Vec<String>>()
    };
    ensure!(values(&first.out) == values(&second.out), "{}\n---\n{}", first.out, second.out);
    Ok(())
}
