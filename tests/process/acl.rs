//! `duetmq acl test`: who may do what, and by which rule.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::run::duetmq_with;

const RULES: &str = r#"[[group]]
name = "staff"
users = ["sam"]

[[rule]]
allow = ["connect"]
anonymous = false

[[rule]]
deny = ["publish", "subscribe"]
topics = ["room/secret/#"]

[[rule]]
allow = ["publish", "subscribe"]
topics = ["room/#", "by/%c"]

[[rule]]
allow = ["publish", "retain", "subscribe", "consume", "configure"]
groups = ["staff"]
"#;

#[test]
fn acl_test_names_the_rule_that_decides() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (config, rules) = (folder.path().join("duetmq.toml"), folder.path().join("acl.toml"));
    std::fs::write(&rules, RULES)?;
    let config_text =
        format!("[acl]\nfile = {:?}\n\n[[access.deny]]\nfilter = \"never/#\"\n", rules.display().to_string());
    std::fs::write(&config, config_text)?;
    let config = config.display().to_string();
    for (question, decision, rule) in [
        (&["kim", "connect"][..], "allowed", "acl.toml:6"),
        (&["-", "connect"], "denied", "acl.default"),
        (&["kim", "publish", "room/1"], "allowed", "acl.toml:14"),
        (&["kim", "publish", "room/secret/x"], "denied", "acl.toml:10"),
        (&["kim", "publish", "by/phone"], "denied", "acl.default"),
        (&["kim", "publish", "by/phone", "--client", "phone"], "allowed", "acl.toml:14"),
        (&["kim", "retain", "room/1"], "denied", "acl.default"),
        (&["kim", "subscribe", "room/#"], "partly", "acl.toml:10"),
        (&["kim", "subscribe", "$share/g/room/#"], "denied", "acl.toml:10"),
        (&["kim", "subscribe", "room/open/#"], "allowed", "acl.toml:14"),
        (&["kim", "subscribe", "$events/#"], "denied", "acl.default"),
        (&["sam", "subscribe", "$events/#"], "allowed", "acl.toml:18"),
        (&["sam", "consume", "$queue/jobs"], "allowed", "acl.toml:18"),
        (&["sam", "publish", "$SYS/x"], "denied", "topics that begin with $ are the broker's own"),
        (&["sam", "publish", "never/x"], "denied", "access.deny \"never/#\""),
    ] {
        let told =
            duetmq_with(&[&["acl", "test", "--json", "--config", &config][..], question].concat(), &[], "")?;
        let said: Value = serde_json::from_str(&told.out)?;
        ensure!(said["decision"] == decision && said["rule"] == rule, "{question:?} {said}");
        ensure!(said["file"] == rules.display().to_string(), "{said}");
        ensure!(told.code == Some(if decision == "denied" { 5 } else { 0 }), "{told:?}");
    }
    let told = duetmq_with(&["acl", "test", "kim", "publish", "room/1", "--config", &config], &[], "")?;
    ensure!(told.out == "allowed  acl.toml:14\n", "{told:?}");
    for wrong in
        [&["kim", "read", "a"][..], &["kim", "publish"], &["kim", "publish", "a/#"], &["kim", "consume", "a"]]
    {
        let told = duetmq_with(&[&["acl", "test", "--config", &config][..], wrong].concat(), &[], "")?;
        ensure!(told.code == Some(2) && !told.error.is_empty(), "{wrong:?} {told:?}");
    }
    std::fs::write(&rules, "[[rule]]\nallow = [\"all\"]\n")?;
    let told = duetmq_with(&["acl", "test", "kim", "connect", "--config", &config], &[], "")?;
    ensure!(told.code == Some(2) && told.error.contains("acl.toml:2"), "{told:?}");
    Ok(())
}
