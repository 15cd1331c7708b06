//! `duetmq acl test`: who may do what, and by which rule.

use anyhow::{Result, ensure};
use harness::token::{SECRET, now_s, signed};
use serde_json::{Value, json};

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

#[test]
fn acl_test_asks_in_the_vhost_that_is_named_or_that_a_token_is_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("duetmq.toml");
    let acl = folder.path().join("acl.toml");
    std::fs::write(
        &acl,
        "[[rule]]\nallow = [\"connect\"]\nvhosts = [\"*\"]\n\
         [[rule]]\nallow = [\"publish\"]\ntopics = [\"a/#\"]\nvhosts = [\"shop\"]\n\
         [[rule]]\nallow = [\"publish\"]\ntopics = [\"home/#\"]\n",
    )?;
    let vhosts = "[[vhost]]\nname = \"shop\"\n[[vhost]]\nname = \"own\"\nusers = [\"ann\"]\n";
    let file = format!("[acl]\nfile = \"{}\"\n", acl.display());
    let tokens = harness::token::config("vhost_claim = \"vhost\"\n");
    std::fs::write(&config, format!("{vhosts}{file}{tokens}"))?;
    let config = config.display().to_string();
    let ask = |question: &[&str], stdin: &str| {
        duetmq_with(&[&["acl", "test", "--config", &config][..], question].concat(), &[], stdin)
    };
    for (question, code, part) in [
        (&["kim", "publish", "a/x"][..], 5, "acl.default"),
        (&["kim", "publish", "a/x", "-V", "shop"], 0, "acl.toml:"),
        (&["kim", "publish", "home/x"], 0, "acl.toml:"),
        (&["kim", "publish", "home/x", "-V", "shop"], 5, "acl.default"),
        (&["kim", "connect", "-V", "own"], 5, "vhost.users of \"own\""),
        (&["ann", "connect", "-V", "own"], 0, "acl.toml:"),
    ] {
        let told = ask(question, "")?;
        ensure!(told.code == Some(code) && told.out.contains(part), "{question:?}: {told:?}");
    }
    let of_shop = json!({"sub": "kim", "exp": now_s() + 600, "vhost": ["shop", "own"]});
    let of_shop = signed(&of_shop, SECRET);
    for (question, code, part) in [
        (&["-", "publish", "a/x", "--json"][..], 0, "\"vhost\":\"shop\""),
        (&["-", "publish", "home/x"], 5, "acl.default"),
        (&["-", "connect", "-V", "own"], 5, "vhost.users of \"own\""),
        (&["-", "publish", "home/x", "-V", "/"], 5, "the token is for \"shop\", \"own\""),
    ] {
        let told = ask(&[question, &["--token", "-"]].concat(), &of_shop)?;
        ensure!(told.code == Some(code) && told.out.contains(part), "{question:?}: {told:?}");
    }
    Ok(())
}

#[test]
fn acl_test_knows_the_rules_of_a_token() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (config, file) = (folder.path().join("duetmq.toml"), folder.path().join("kim.jwt"));
    std::fs::write(&config, harness::token::config("acl_claim = \"acl\"\n"))?;
    let config = config.display().to_string();
    let acl = json!([{"allow": ["connect", "publish"], "topics": ["a/%u/#"]}]);
    let claims =
        |ends_in_s: i64| json!({"sub": "kim", "exp": now_s().saturating_add_signed(ends_in_s), "acl": acl});
    let ask = |question: &[&str], stdin: &str| {
        duetmq_with(&[&["acl", "test", "--config", &config][..], question].concat(), &[], stdin)
    };
    let good = signed(&claims(600), SECRET);
    std::fs::write(&file, format!("{good}\n"))?;
    let file = file.display().to_string();
    let rule = "rule 1 of the token's acl";
    for user in ["-", "kim"] {
        let told = ask(&[user, "publish", "a/kim/x", "--token", &file], "")?;
        ensure!(told.code == Some(0) && told.out == format!("allowed  {rule}\n"), "{told:?}");
        let told = ask(&[user, "publish", "a/lee/x", "--token", "-", "--json"], &good)?;
        let said: Value = serde_json::from_str(&told.out)?;
        ensure!(told.code == Some(5) && said["user"] == "kim" && said["rule"] == "acl.default", "{told:?}");
    }
    let told = ask(&["lee", "publish", "a/kim/x", "--token", &file], "")?;
    ensure!(told.code == Some(2) && told.error.contains("names kim"), "{told:?}");
    // Who would not be let in may do nothing, whatever his token says.
    for (token, why) in [
        (signed(&claims(-600), SECRET), "expired"),
        (signed(&claims(600), "another secret that is as long as it has to be"), "its signature is wrong"),
        ("no token".to_owned(), "no signed token"),
    ] {
        let told = ask(&["-", "publish", "a/kim/x", "--token", "-"], &token)?;
        ensure!(
            told.code == Some(5) && told.out.starts_with("denied  ") && told.out.contains(why),
            "{told:?}"
        );
    }
    let claim = acl.to_string();
    let told = ask(&["lee", "publish", "a/lee/x", "--claim", &claim], "")?;
    ensure!(told.code == Some(0) && told.out == format!("allowed  {rule}\n"), "{told:?}");
    for wrong in ["{", "[\"all\"]"] {
        let told = ask(&["lee", "publish", "a/lee/x", "--claim", wrong], "")?;
        ensure!(told.code == Some(2) && told.error.contains("--claim"), "{told:?}");
    }
    Ok(())
}
