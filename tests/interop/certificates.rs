//! Certificates to try TLS with.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use anyhow::{Result, ensure};
use harness::broker::{Setup, duetmq_command};
use harness::certificates::Files;
use harness::door::Door;
use harness::wait::SOON;

#[test]
fn an_authority_of_ones_own_is_made_once_and_what_it_signs_is_believed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join("tls").join(name);
    let make = |more: &[&str]| -> Result<String> {
        let mut command = duetmq_command()?;
        let output = command.args(["cert", "dev"]).arg(folder.path().join("tls")).args(more).output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let said = make(&[])?;
    ensure!(said.contains("[tls.default]\ncert = ") && said.contains("--cafile"), "{said}");
    let authority = std::fs::read(path("ca.pem"))?;
    let server = std::fs::read(path("server.pem"))?;
    // Later, for a client: what is there stays.
    make(&["--client", "device-7"])?;
    ensure!(std::fs::read(path("ca.pem"))? == authority && std::fs::read(path("server.pem"))? == server);
    make(&["--host", "broker.example.org"])?;
    ensure!(std::fs::read(path("ca.pem"))? == authority && std::fs::read(path("server.pem"))? != server);
    for key in ["ca.key", "server.key", "client-device-7.key"] {
        let mode = std::fs::metadata(path(key))?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{key} has mode {mode:o}");
    }
    let mut show = duetmq_command()?;
    let shown = String::from_utf8(show.args(["cert", "show"]).arg(path("server.pem")).output()?.stdout)?;
    ensure!(shown.contains("names    localhost, 127.0.0.1, ::1, broker.example.org"), "{shown}");
    ensure!(shown.contains("397 days left") && shown.contains("DuetMQ authority for development"), "{shown}");

    let broker = Setup::new()
        .secure(&Files { certificate: path("server.pem"), key: path("server.key") })
        .argument("--set=tls.default.client_auth=required")
        .argument(&format!("--set=tls.default.client_ca={}", path("ca.pem").display()))
        .start()?;
    let mut command = duetmq_command()?;
    command.args([
        "pub",
        "-u",
        &format!("mqtts://localhost:{}", broker.at(Door::Mqtt).port()),
        "-t",
        "a",
        "-m",
        "x",
    ]);
    command.arg("--cafile").arg(path("ca.pem"));
    command
        .arg("--tls-cert")
        .arg(path("client-device-7.pem"))
        .arg("--tls-key")
        .arg(path("client-device-7.key"));
    ensure!(command.status()?.success());
    broker.journal().wait_for(&["conn.open", "user=device-7"], SOON)?;
    Ok(())
}

#[test]
fn what_cannot_be_made_is_refused_with_a_reason() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (arguments, code, why) in [
        (&["dev", "x", "--client", "../evil"][..], 2, "--client"),
        (&["dev", "x", "--host", "näme"], 2, "--host"),
        (&["show", "missing.pem"], 1, "missing.pem: No such file"),
    ] {
        let mut command = duetmq_command()?;
        command.current_dir(folder.path()).arg("cert").args(arguments).stdout(Stdio::piped());
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(code) && said.contains(why), "{arguments:?}: {said}");
    }
    Ok(())
}
