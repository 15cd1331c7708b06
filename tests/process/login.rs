//! Who may come in at the admin listener, and who may do how much there.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::admin::Admin;
use harness::broker::{Broker, Setup};
use harness::token::{config, token};

const SESSIONS: &str = "/api/v1/sessions";

const USERS: &str = "\
[[admin.user]]
name = \"watcher\"
tag = \"monitoring\"
[[admin.user]]
name = \"keeper\"
tag = \"management\"
[[admin.user]]
name = \"boss\"
tag = \"administrator\"
";

#[test]
fn beyond_the_socket_a_password_or_a_token_of_a_user_with_a_tag_is_asked_for() -> Result<()> {
    let setup = Setup::new().config(&format!("{USERS}{}", config("")));
    let broker = ["watcher", "keeper", "plain"].into_iter().fold(setup, Setup::user).start()?;
    ensure!(Admin::owner(&broker).get(SESSIONS)?.status == 200);
    let nobody = Admin::nobody(&broker);
    let asked = nobody.get(SESSIONS)?;
    ensure!(asked.status == 401 && asked.json()?["error"] == "not_authorised", "{asked:?}");
    ensure!(asked.header("www-authenticate").is_some_and(|it| it.starts_with("Basic realm=")), "{asked:?}");
    ensure!(asked.header("set-cookie").is_none());
    // Whether it lives is no secret.
    ensure!(nobody.get("/healthz")?.body == "ok");
    for user in ["watcher", "keeper"] {
        ensure!(Admin::user(&broker, user, user).get(SESSIONS)?.status == 200, "{user}");
        let wrong = Admin::user(&broker, user, "wrong").get(SESSIONS)?;
        ensure!(wrong.status == 401 && wrong.reason().contains("wrong user name or password"), "{wrong:?}");
    }
    let untagged = Admin::user(&broker, "plain", "plain").get(SESSIONS)?;
    ensure!(untagged.status == 403 && untagged.reason().contains("[[admin.user]]"), "{untagged:?}");
    let bearer = |token: &str| nobody.clone().with("authorization", &format!("Bearer {token}")).get(SESSIONS);
    ensure!(bearer(&token("boss", 600))?.status == 200 && bearer(&token("plain", 600))?.status == 403);
    for wrong in [token("boss", -600), format!("{}x", token("boss", 600)), "nonsense".to_owned()] {
        ensure!(bearer(&wrong)?.status == 401, "{wrong}");
    }
    // In Basic it may stand for the password.
    ensure!(Admin::user(&broker, "any", &token("boss", 600)).get(SESSIONS)?.status == 200);
    for odd in ["Basic", "Basic !", "Basic d2F0Y2hlcg==", "Negotiate abc"] {
        ensure!(nobody.clone().with("authorization", odd).get(SESSIONS)?.status == 401, "{odd}");
    }
    Ok(())
}

#[test]
fn whoever_looks_changes_nothing() -> Result<()> {
    let setup = Setup::new().config(USERS);
    let broker = ["watcher", "keeper", "boss"].into_iter().fold(setup, Setup::user).start()?;
    let status = |user: &str, method: &str, path: &str| -> Result<u16> {
        Ok(Admin::user(&broker, user, user).ask(method, path, None)?.status)
    };
    // Where nothing can be changed the answer is that the method is none there, if one may ask at all.
    ensure!(status("watcher", "DELETE", SESSIONS)? == 403);
    ensure!(status("keeper", "DELETE", SESSIONS)? == 405);
    ensure!(status("boss", "DELETE", SESSIONS)? == 405);
    let form = Admin::user(&broker, "boss", "boss").with("content-type", "text/plain");
    ensure!(form.ask("POST", SESSIONS, None)?.status == 415);
    let page = Admin::user(&broker, "boss", "boss").with("origin", "http://evil.example");
    ensure!(page.ask("DELETE", SESSIONS, None)?.status == 403);
    Ok(())
}

#[test]
fn guest_is_for_development_on_this_machine_under_its_own_name() -> Result<()> {
    let guest = |broker: &Broker| Admin::user(broker, "guest", "guest");
    let plain = Broker::new()?;
    let refused = guest(&plain).get(SESSIONS)?;
    ensure!(refused.status == 403 && refused.reason().contains("no tag"), "{refused:?}");
    drop(plain);

    let dev = Setup::new().argument("--dev").start()?;
    ensure!(guest(&dev).get(SESSIONS)?.status == 200);
    // The page of another site, under a name of its own that leads here.
    for host in ["rebound.example:15672", "localhost.evil.example"] {
        ensure!(guest(&dev).with("host", host).get(SESSIONS)?.status == 403, "{host}");
        ensure!(Admin::nobody(&dev).with("host", host).get("/healthz")?.status == 200);
    }
    ensure!(Admin::user(&dev, "guest", "wrong").get(SESSIONS)?.status == 401);
    drop(dev);

    let closed =
        Setup::new().argument("--dev").argument("--set").argument("auth.guest_loopback=false").start()?;
    ensure!(guest(&closed).get(SESSIONS)?.status == 401);
    drop(closed);

    // As soon as somebody has a tag, guest needs one, too.
    let named = Setup::new().argument("--dev").config(USERS).start()?;
    ensure!(guest(&named).get(SESSIONS)?.status == 403);
    Ok(())
}

#[test]
fn wrong_logins_are_slowed_down_and_logged_without_what_was_shown() -> Result<()> {
    let broker = Setup::new().config(USERS).user("watcher").start()?;
    let start = Instant::now();
    for number in 0..4 {
        let wrong = Admin::user(&broker, "watcher", &format!("s3cret-{number}")).get(SESSIONS)?;
        ensure!(wrong.status == 401);
    }
    ensure!(start.elapsed() >= Duration::from_millis(2000), "{:?}", start.elapsed());
    // Who is right waits for his turn, and gets in.
    ensure!(Admin::user(&broker, "watcher", "watcher").get(SESSIONS)?.status == 200);
    let log = broker.journal().wait_for(&["admin.refused", "watcher"], Duration::from_secs(10))?;
    ensure!(log.contains("admin.refused"));
    let all = std::fs::read_to_string(broker.journal().path())?;
    ensure!(!all.contains("s3cret") && !all.contains("d2F0Y2hlcjpz"), "{all}");
    Ok(())
}

#[test]
fn tags_that_cannot_be_are_told_at_start() -> Result<()> {
    use crate::run::duetmq;
    for (set, expected) in [
        (&["admin.user.0.name=kim", "admin.user.0.tag=king"][..], "monitoring"),
        (&["admin.user.0.name=kim"], "tag"),
        (&["admin.user.0.tag=management"], "name"),
        (
            &[
                "admin.user.0.name=kim",
                "admin.user.0.tag=management",
                "admin.user.1.name=kim",
                "admin.user.1.tag=monitoring",
            ],
            "twice",
        ),
    ] {
        let arguments: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        let done = duetmq(&[&["check"][..], &arguments].concat())?;
        ensure!(done.code == Some(2) && done.error.contains(expected), "{set:?}: {done:?}");
    }
    Ok(())
}
