//! What crosses between MQTT and STOMP: docs/protocols/crossing.md names tests that exist, in both directions.

use std::fs;

use anyhow::{Context, Result, ensure};
use harness::binary::root;

#[test]
fn every_row_that_crosses_names_its_tests() -> Result<()> {
    let page = fs::read_to_string(root().join("docs/protocols/crossing.md"))?;
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, _, to_mqtt, to_stomp] = cells[..] else { anyhow::bail!("no row: {line}") };
        ensure!(to_mqtt.contains('`') || to_stomp.contains('`'), "nothing shows {line}");
        for shown in [to_mqtt, to_stomp].into_iter().filter(|shown| !matches!(*shown, "the same" | "—")) {
            let mut quoted = shown.split('`').skip(1).step_by(2);
            let (file, test) =
                quoted.next().zip(quoted.next()).with_context(|| format!("no test: {shown}"))?;
            let text = fs::read_to_string(root().join("tests/interop").join(file))
                .with_context(|| format!("{file}, of {line}"))?;
            ensure!(text.contains(&format!("#[test]\nfn {test}(")), "{file} has no test {test}");
        }
        rows += 1;
    }
    ensure!(rows > 25, "only {rows} rows were read");
    Ok(())
}
