//! The laws of the configuration.

use super::*;

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one_at_any_depth() {
    refused(
        "[[listner]]\nprotocol = \"mqtt\"",
        r#"f.toml:1: unknown key "listner" - did you mean "listener"?"#,
    );
    refused("\n\n[nod]\nname = \"x\"", r#"f.toml:3: unknown key "nod" - did you mean "node"?"#);
    refused(
        "[auth]\nanonymus = \"never\"",
        r#"f.toml:2: unknown key "anonymus" - did you mean "anonymous"?"#,
    );
    refused(
        "[[listener]]\nprotocol = \"web\"\nbind = \":1\"\n[listener.paths]\nwss = \"/x\"",
        r#"f.toml:5: unknown key "wss" - did you mean "ws"?"#,
    );
    refused("[log]\ncolour = true", r#"f.toml:2: unknown key "colour"; in log there are level, format"#);
    refused("x.y = 1", "f.toml:1: unknown key \"x\"; at the top there are node, log");
}

#[test]
fn a_wrong_value_is_refused_with_its_line_and_what_was_expected() {
    refused("[node]\nmemory = \"yes\"", r#"f.toml:2: node.memory is "yes"; expected true or false"#);
    refused("[node]\nname = 7", "f.toml:2: node.name is 7; expected a name");
    refused(
        "[limits]\nqueue_bytes = \"1 GiBi\"",
        r#"f.toml:2: limits.queue_bytes is "1 GiBi"; expected a size such as "#,
    );
    refused(
        "[limits]\nsubscriptions = 0",
        "f.toml:2: limits.subscriptions is 0; expected a whole number from 1",
    );
    refused(
        "[limits]\nsubscriptions = -1",
        "f.toml:2: limits.subscriptions is -1; expected a whole number from 1",
    );
    refused(
        "[limits]\nsubscriptions = 2.5",
        "f.toml:2: limits.subscriptions is 2.5; expected a whole number from 1",
    );
    refused(
        "[auth]\nanonymous = true",
        "f.toml:2: auth.anonymous is true; expected \"loopback\", \"always\" or \"never\"",
    );
    refused(
        "[auth]\nanonymous = \"nevr\"",
        "f.toml:2: auth.anonymous: \"nevr\" is unknown - did you mean \"never\"?",
    );
    refused("[log]\nlevel = \"inof\"", "f.toml:2: log.level: \"inof\" is no log level");
    refused("auth = 5", "f.toml:1: auth is 5; expected a table: [auth]");
    refused(
        "[listener]\nbind = \":1\"",
        "f.toml:1: listener is a table; expected tables, each under its own [[listener]]",
    );
    refused("[[listener]]\nbind = \":1883\"", "f.toml:1: listener.0.protocol is missing; expected \"mqtt\"");
    refused(
        "[[listener]]\nprotocol = \"mqtt\"\nbind = \"0.0.0.0\"",
        "f.toml:3: listener.0.bind is \"0.0.0.0\"; expected an address such as",
    );
    refused("[node\n", "f.toml:1: ");
}

#[test]
fn every_fault_is_told_at_once_in_the_order_of_the_file() {
    let errors = load("[auth]\nanonymous = 1\n[node]\nx = 1\n", &[], &arguments(&["--set", "y=1"]))
        .expect_err("three");
    let starts: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
    assert_eq!(starts.len(), 3, "{starts:?}");
    assert!(starts[0].starts_with("f.toml:2: ") && starts[1].starts_with("f.toml:4: "), "{starts:?}");
    assert!(starts[2].starts_with("--set y=1: unknown key \"y\""), "{starts:?}");
}

#[test]
fn a_flag_is_stronger_than_the_environment_and_that_than_the_file_and_that_than_the_default() {
    let file = "[log]\nlevel = \"warn\"\n";
    let env = [("DUETMQ_LOG__LEVEL", "error")];
    let flag = arguments(&["--log-level", "debug"]);
    let none = ServeArgs::default();
    shows("", &[], &none, "log", "level = \"info\"", "default");
    shows(file, &[], &none, "log", "level = \"warn\"", "f.toml:2");
    shows(file, &env, &none, "log", "level = \"error\"", "env DUETMQ_LOG__LEVEL");
    shows(
        file,
        &env,
        &arguments(&["--set", "log.level=trace"]),
        "log",
        "level = \"trace\"",
        "flag --set log.level=trace",
    );
    shows(file, &env, &flag, "log", "level = \"debug\"", "flag --log-level");
}

#[test]
fn every_key_can_be_given_by_the_environment() {
    let none = ServeArgs::default();
    let bind = [("DUETMQ_LISTENER__0__BIND", "0.0.0.0:1884")];
    shows("", &bind, &none, "[listener]", "bind = \"0.0.0.0:1884\"", "env DUETMQ_LISTENER__0__BIND");
    shows(
        "",
        &[("DUETMQ_AUTH__ANONYMOUS", "never")],
        &none,
        "auth",
        "anonymous = \"never\"",
        "env DUETMQ_AUTH__ANONYMOUS",
    );
    shows("", &[("DUETMQ_DATA_DIR", "/d")], &none, "node", "data_dir = \"/d\"", "env DUETMQ_DATA_DIR");
    shows("", &[("DUETMQ_LOG", "debug")], &none, "log", "level = \"debug\"", "env DUETMQ_LOG");
    let sizes = [("DUETMQ_LIMITS__QUEUE_BYTES", "2GiB")];
    shows("", &sizes, &none, "limits", "queue_bytes = \"2GiB\"", "env DUETMQ_LIMITS__QUEUE_BYTES");
    let lists = [("DUETMQ_NODE__HOST_NAMES", "a, b")];
    shows("", &lists, &none, "node", "host_names = [\"a\", \"b\"]", "env DUETMQ_NODE__HOST_NAMES");
    // An eleventh listener comes after the tenth, whatever the letters say.
    let many: Vec<(String, String)> = (4..12)
        .flat_map(|n| {
            [
                (format!("DUETMQ_LISTENER__{n}__PROTOCOL"), "mqtt"),
                (format!("DUETMQ_LISTENER__{n}__BIND"), ":0"),
            ]
        })
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let config = load("", &many, &none).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(config.settings.sections("listener").len(), 12);
}

#[test]
fn a_variable_that_means_nothing_is_refused_unless_it_is_not_ours() {
    let none = ServeArgs::default();
    let refuse = |name: &str, text: &str| {
        let errors = load("", &[(name, "x")], &none).expect_err(name);
        assert_eq!(errors[0].to_string(), format!("environment {name}: {text}"));
    };
    refuse("DUETMQ_LISTNER__0__BIND", "unknown variable - did you mean DUETMQ_LISTENER__0__BIND?");
    refuse("DUETMQ_AUTH_ANONYMOUS", "unknown variable - did you mean DUETMQ_AUTH__ANONYMOUS?");
    refuse("DUETMQ_DATADIR", "unknown variable - did you mean DUETMQ_DATA_DIR?");
    refuse(
        "DUETMQ_COMPLETELY__DIFFERENT",
        "unknown variable; keys are written as DUETMQ_LISTENER__0__BIND, and `duetmq check` lists them",
    );
    let ignored = [
        ("DUETMQ_URL", "mqtt://x"),
        ("DUETMQ_USER", "u"),
        ("DUETMQ_PASSWORD", "p"),
        ("DUETMQ_PORT_1883_TCP_ADDR", "10.0.0.1"),
        ("DUETMQ_SERVICE_HOST", "10.0.0.1"),
        ("DUETMQ_AUTH__ANONYMOUS", ""),
        ("PATH", "/bin"),
    ];
    assert!(load("", &ignored, &none).is_ok());
    let gap = load("", &[("DUETMQ_LISTENER__9__BIND", ":1")], &none).expect_err("a gap");
    assert!(gap[0].to_string().contains("there is no listener.9; the next one is listener.5"), "{gap:?}");
}

#[test]
fn set_reaches_every_key_and_no_other() {
    shows(
        "",
        &[],
        &arguments(&["--set", "listener.1.bind=:7"]),
        "[listener]",
        "bind = \"127.0.0.1:7\"",
        "flag --set listener.1.bind=:7",
    );
    for (argument, text) in [
        ("auth", "no \"=\"; write --set key=value"),
        ("auth=1", "auth is a table; name a key of it"),
        ("auth.anonymos=1", "unknown key \"auth.anonymos\" - did you mean \"auth.anonymous\"?"),
        ("auth.anonymous=x", "auth.anonymous is \"x\"; expected \"loopback\""),
        ("auth.anonymous.x=1", "auth.anonymous is a value; there is nothing below it"),
        ("listener.bind=:1", "listener is a list; write listener.0 for its first element"),
    ] {
        let errors = load("", &[], &arguments(&["--set", argument])).expect_err(argument);
        let error = errors[0].to_string();
        assert!(error.starts_with(&format!("--set {argument}: {text}")), "{error}");
    }
}

#[test]
fn listeners_that_are_given_replace_the_default_ones() {
    let binds = |file: &str, list: &[&str]| {
        let config = load(file, &[], &arguments(list)).unwrap_or_else(|errors| panic!("{errors:?}"));
        let listeners = config.settings.sections("listener").iter();
        listeners.map(|one| format!("{} {}", one.word("name"), one.word("bind"))).collect::<Vec<_>>()
    };
    let defaults = [
        "mqtt-1 127.0.0.1:1883",
        "stomp-1 127.0.0.1:61613",
        "web-1 127.0.0.1:15674",
        "web-2 127.0.0.1:15675",
        "admin-1 127.0.0.1:15672",
    ];
    assert_eq!(binds("", &[]), defaults);
    assert_eq!(binds("", &["--dev"]), defaults);
    let file = "[[listener]]\nprotocol = \"mqtt\"\nbind = \":1\"\nname = \"inside\"\n";
    assert_eq!(binds(file, &["--dev"]), ["inside 127.0.0.1:1"]);
    assert_eq!(
        binds(file, &["--listen", "stomp://:2", "--listen", "mqtt://:3"]),
        ["stomp-1 127.0.0.1:2", "mqtt-1 127.0.0.1:3"]
    );
    refused(
        "[[listener]]\nprotocol = \"mqtt\"\nbind = \":1\"\norigins = []",
        "f.toml:4: listener.0.origins means nothing here; it is for protocol = \"web\" or \"auto\"",
    );
}

#[test]
fn systemd_says_where_state_is_kept_unless_the_file_does() {
    let none = ServeArgs::default();
    let env = [("STATE_DIRECTORY", "/var/lib/duetmq:/other")];
    shows("", &env, &none, "node", "data_dir = \"/var/lib/duetmq\"", "env STATE_DIRECTORY");
    shows("[node]\ndata_dir = \"x\"", &env, &none, "node", "data_dir = \"x\"", "f.toml:2");
    shows("", &env, &arguments(&["-d", "y"]), "node", "data_dir = \"y\"", "flag --data-dir");
}

#[test]
fn what_is_printed_says_the_same_when_it_is_read() {
    let file = r##"
        [node]
        name = "a \"b\" \\ 안녕 $${HOME} # no comment"
        [auth]
        anonymous = "never"
        [[listener]]
        protocol = "web"
        bind = "[::1]:7"
        paths = { ws = "/chat" }
        origins = ["http://localhost:3000", "http://x"]
        [[exchange]]
        name = "docs"
        type = "headers"
        [[queue]]
        name = "pdf"
        max_length = 5
        [[binding]]
        exchange = "docs"
        queue = "pdf"
        arguments = { x-match = "any", "a b" = "1", n = 7 }
        [[policy]]
        name = "short"
        pattern = '^jobs\.'
        vhost = "/"
        definition = { max_length = 5, message_ttl = "1h" }
    "##;
    let none = ServeArgs::default();
    let first = load(file, &[], &none).unwrap_or_else(|errors| panic!("{errors:?}")).print();
    let second = load(&first, &[], &none).unwrap_or_else(|errors| panic!("{errors:?}\n{first}")).print();
    let values = |text: &str| {
        // The first line names the file.
        text.lines()
            .skip(1)
            .map(|line| line.rsplit_once("  # ").map_or(line, |(value, _)| value).trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&second));
    assert!(first.contains("arguments.\"x-match\" = \"any\""), "{first}");
    assert!(first.contains("paths.mqtt = \"/mqtt\""), "{first}");
}

#[test]
fn every_key_is_printed() {
    let file = "[[listener]]\nprotocol = \"web\"\nbind = \":1\"\n[[vhost]]\nname = \"x\"\n[[exchange]]\nname = \"x\"\n[[queue]]\nname = \"q\"\n[[binding]]\nexchange = \"x\"\nqueue = \"q\"\n[[stomp.prefix]]\nprefix = \"/sub/\"\n[[access.deny]]\nfilter = \"x\"\n[[durability.rule]]\npattern = \"x\"\nlevel = \"os\"\n[[policy]]\nname = \"p\"\npattern = \"x\"\ndefinition.expires = \"1h\"\n[[admin.user]]\nname = \"x\"\ntag = \"monitoring\"\n[[hook]]\nurl = \"http://a/\"\nevents = [\"connect\"]\n[auth.jwt]\nissuer = [\"x\"]\naudience = [\"x\"]\n[[auth.jwt.key]]\nalgorithm = \"HS256\"\nsecret = \"x\"\n[[auth.jwt.jwks]]\nfile = \"x\"\nalgorithms = [\"ES256\"]\n[mqtt]\nredirect = \"temporary\"\nserver_reference = \"x\"\n[tls.x]\ncert = \"x\"\nkey = \"x\"\nclient_auth = \"optional\"\nclient_ca = \"x\"\n";
    let text = load(file, &[], &ServeArgs::default()).unwrap_or_else(|errors| panic!("{errors:?}")).print();
    let mut names = Vec::new();
    collect_keys(KEYS, &mut names);
    for name in names {
        let shown = text.lines().any(|line| {
            let line = line.trim_start_matches("# ");
            line.split([' ', '=']).next().is_some_and(|path| path.rsplit('.').next() == Some(name))
        });
        assert!(shown, "{name} in\n{text}");
    }
}

#[test]
fn a_level_of_durability_that_cannot_hold_is_refused() {
    let rule = |pattern: &str| format!("[[durability.rule]]\npattern = \"{pattern}\"\nlevel = \"os\"\n");
    refused(&rule("a/#/b"), "f.toml:2: durability.rule.pattern \"a/#/b\"");
    refused(
        &format!("{}{}", rule("a/+"), rule("a/+")),
        "f.toml:5: durability.rule.pattern \"a/+\" is there twice",
    );
    refused("[durability]\nlevel = \"tape\"\n", "f.toml:2: durability.level");
}

#[test]
fn a_policy_that_cannot_hold_is_refused() {
    let policy = |more: &str| format!("[[policy]]\nname = \"p\"\n{more}");
    let limit = "definition.max_length = 5\n";
    for (more, why) in [
        ("pattern = \"(\"\ndefinition.max_length = 5\n", "the pattern \"(\" is no regular expression"),
        ("pattern = \"x\"\n", "it says nothing"),
        (
            "pattern = \"x\"\napply_to = \"exchanges\"\ndefinition.max_length = 5\n",
            "max-length is said of queues",
        ),
    ] {
        refused(&policy(more), &format!("f.toml:2: policy \"p\": {why}"));
    }
    let whole = policy(&format!("pattern = \"x\"\n{limit}"));
    refused(&format!("{whole}{whole}"), "f.toml:6: the policy \"p\" is declared twice, first at f.toml:2");
    let of = |vhost: &str| policy(&format!("pattern = \"x\"\nvhost = \"{vhost}\"\n{limit}"));
    let vhosts = "[[vhost]]\nname = \"a\"\n[[vhost]]\nname = \"b\"\n";
    for (one, other, line) in
        [(of("a"), of("a"), 7), (of("a"), whole.clone(), 7), (whole.clone(), of("a"), 6)]
    {
        let twice = "the policy \"p\" is declared twice for the virtual host \"a\", first at f.toml:2";
        refused(&format!("{one}{other}{vhosts}"), &format!("f.toml:{line}: {twice}"));
    }
    let apart = format!("{}{}{}{vhosts}", of("a"), of("b"), of("/"));
    assert!(load(&apart, &[], &ServeArgs::default()).is_ok());
    refused(&of("a"), "f.toml:4: policy.vhost: there is no [[vhost]] with name = \"a\"");
    let mistyped = policy("pattern = \"x\"\ndefinition.max_lenght = 5\n");
    refused(&mistyped, "f.toml:4: unknown key \"max_lenght\" - did you mean");
}

#[test]
fn a_rule_that_cannot_hold_is_refused() {
    let rule = |more: &str| format!("[[access.deny]]\n{more}");
    refused(&rule("filter = \"a/#/b\""), "f.toml:2: access.deny.filter \"a/#/b\"");
    refused(
        &rule("filter = \"a\"\ncode = 0x8F"),
        "f.toml:3: access.deny.code is 0x8f, which PUBACK does not have",
    );
    let reading = "filter = \"a\"\nactions = [\"subscribe\"]\ncode = ";
    refused(
        &rule(&format!("{reading}0x90")),
        "f.toml:4: access.deny.code is 0x90, which SUBACK does not have",
    );
    assert!(load(&rule(&format!("{reading}0x8F")), &[], &ServeArgs::default()).is_ok());
}

#[test]
fn a_hook_that_cannot_be_asked_is_refused() {
    let hook = |url: &str, more: &str| format!("[[hook]]\nurl = \"{url}\"\n{more}");
    let events = "events = [\"publish\"]\n";
    for (url, why) in [
        (
            "https://a:b@app/hook?key=1",
            "f.toml:2: hook.url \"https://a:b@app/hook\": it must not name a user",
        ),
        ("app:9000", "f.toml:2: hook.url \"app:9000\": it must begin with http://"),
        ("http://", "f.toml:2: hook.url \"http://\": it is no address"),
    ] {
        refused(&hook(url, events), why);
    }
    let good = |more: &str| hook("http://127.0.0.1:9000/hook", more);
    refused(&good(""), "f.toml:1: hook.0.events is missing");
    refused(&good("events = []"), "f.toml:3: hook.events is empty");
    refused(&good("events = [\"send\"]"), "f.toml:3: hook.0.events");
    let with = |more: &str| good(&format!("{events}{more}"));
    refused(&with("destinations = [\"a/#/b\"]"), "f.toml:4: hook.destinations \"a/#/b\"");
    refused(&with("secret = \"too short\""), "f.toml:4: hook.secret is shorter than 16 bytes");
    refused(&with("timeout = \"61s\""), "f.toml:4: hook.0.timeout");
    let config = load(&with("secret = \"0123456789abcdef\""), &[], &ServeArgs::default());
    let printed = config.unwrap_or_else(|errors| panic!("{errors:?}")).print();
    assert!(!printed.contains("0123456789abcdef"), "{printed}");
}

#[test]
fn who_is_sent_away_is_told_where_to() {
    refused("[mqtt]\nredirect = \"temporary\"", "f.toml:2: mqtt.redirect sends clients away");
    refused("[mqtt]\nserver_reference = \"there:1\"", "f.toml:2: mqtt.server_reference means nothing here");
}

#[test]
fn definitions_that_contradict_themselves_are_refused() {
    refused(
        "[[queue]]\nname = \"q\"\n[[queue]]\nname = \"q\"",
        "f.toml:4: the queue \"q\" is declared twice, first at f.toml:2",
    );
    refused(
        "[[exchange]]\nname = \"amq.mine\"",
        "f.toml:2: exchange.name is \"amq.mine\"; names that start with amq.",
    );
    refused(
        "[[exchange]]\nname = \"x\"\nkind = \"topic\"",
        "f.toml:3: unknown key \"kind\"; in exchange.0 there are name, type",
    );
    let binding = "[[binding]]\nexchange = \"amq.topic\"\nqueue = \"q\"\narguments = { a = \"1\" }";
    refused(
        binding,
        "f.toml:4: binding.arguments mean nothing on \"amq.topic\", which is no headers exchange",
    );
    let binding =
        "[[binding]]\nexchange = \"amq.headers\"\nqueue = \"q\"\narguments = { x-match = \"some\" }";
    refused(binding, "f.toml:4: x-match is \"some\"; expected all, any");
    refused("[[queue]]\nname = \"\"", "f.toml:2: queue.0.name is \"\"; expected a name");
}

#[test]
fn a_vhost_that_cannot_be_or_is_not_there_is_refused() {
    let shop = "[[vhost]]\nname = \"shop\"\n";
    refused(&format!("{shop}{shop}"), "f.toml:4: the vhost \"shop\" is there twice");
    let long = "x".repeat(65);
    refused(&format!("[[vhost]]\nname = \"{long}\""), "f.toml:2: vhost.name is ");
    refused("[[vhost]]\nname = \"/\"\nmax_queues = 5", "f.toml:3: the limits of \"/\" are");
    refused(
        &format!("{shop}certificates = [\"c\"]\n[[vhost]]\nname = \"b\"\ncertificates = [\"c\"]"),
        "f.toml:6: vhost.certificates: \"c\" is in \"shop\" already",
    );
    for table in ["exchange", "queue"] {
        let text = format!("{shop}[[{table}]]\nname = \"q\"\nvhost = \"hop\"");
        refused(&text, &format!("f.toml:5: {table}.vhost: there is no [[vhost]] with name = \"hop\""));
    }
    let listener = "[[listener]]\nprotocol = \"mqtt\"\nbind = \":1\"\nvhost = \"shop\"";
    refused(listener, "f.toml:4: listener.vhost: there is no [[vhost]] with name = \"shop\"");
    // The same name in two of them is two things.
    let both = format!("{shop}[[queue]]\nname = \"q\"\n[[queue]]\nname = \"q\"\nvhost = \"shop\"");
    assert_eq!(load(&both, &[], &ServeArgs::default()).expect("right").definitions().len(), 2);
}

#[test]
fn a_prefix_that_is_none_is_refused() {
    refused(
        "[[stomp.prefix]]\nprefix = \"sub\"",
        "f.toml:2: the prefix \"sub\" must start and end with a slash",
    );
    refused("[[stomp.prefix]]\nprefix = \"/queue/\"", "f.toml:2: the prefix \"/queue/\" is always there");
    refused(
        "[[stomp.prefix]]\nprefix = \"/a/\"\n[[stomp.prefix]]\nprefix = \"/a/\"",
        "f.toml:4: the prefix \"/a/\" is there twice, first at f.toml:2",
    );
    refused(
        "[[stomp.prefix]]\nprefix = \"/a/\"\nkind = \"queue\"\nkeep = true",
        "f.toml:4: stomp.prefix.0.keep means nothing here; it is for kind = \"topic\" or \"exchange\"",
    );
    refused(
        "[[stomp.prefix]]\nprefix = \"/a/\"\nkind = \"exchange\"",
        "f.toml:2: the prefix \"/a/\" is of kind \"exchange\" and needs exchange",
    );
    refused(
        "[[stomp.prefix]]\nprefix = \"/a/\"\nkind = \"application\"\nexchange = \"x\"",
        "f.toml:4: stomp.prefix.0.exchange means nothing here; it is for kind = \"exchange\"",
    );
}

#[test]
fn a_file_cut_anywhere_is_read_or_refused() {
    let text = "[node]\nname = \"${X}$${안녕\"\n[[listener]]\nprotocol = \"web\"\nbind = \":1\"\npaths = { ws = '/x' }\n\
                [limits]\nqueue_bytes = 0x10\n[mqtt]\nkeep_alive_max = \"1h\"\nversions = [\"5\",\n\"3.1\"]\n\
                [[binding]]\nexchange = \"amq.headers\"\nqueue = 'q'\narguments = { a = 1, b.c = 2 }\n";
    let variable = |name: &str| (name == "X").then(|| "x".to_owned());
    for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
        for start in [0, end / 2].into_iter().filter(|start| text.is_char_boundary(*start)) {
            let told = tree::read("f.toml", &text[start..end], &variable)
                .and_then(|table| check::check(&table, KEYS))
                .and_then(|settings| definitions::definitions(&settings).map(drop));
            for error in told.err().into_iter().flatten() {
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
}

#[test]
fn two_things_at_one_path_of_a_listener_are_refused() {
    let listener = "[[listener]]\nprotocol = \"web\"\nbind = \":1\"\n[listener.paths]\n";
    for (paths, expected) in [
        ("ws = \"/mqtt\"", "f.toml:5: listener.paths.mqtt is \"/mqtt\", which is listener.paths.ws as well"),
        (
            "mqtt = \"/stomp\"",
            "f.toml:5: listener.paths.sockjs is \"/stomp\", which is listener.paths.mqtt as well",
        ),
        ("sockjs = [\"/a\", \"/b\", \"/a\"]", "f.toml:5: listener.paths.sockjs is \"/a\""),
        (
            "sockjs_mqtt = \"/stomp\"",
            "f.toml:5: listener.paths.sockjs_mqtt is \"/stomp\", which is listener.paths.sockjs as well",
        ),
    ] {
        refused(&format!("{listener}{paths}"), expected);
    }
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let missing = ServeArgs { config: Some("/nowhere/x.toml".into()), ..ServeArgs::default() };
    let errors = Config::load(&missing, &Surroundings::default()).expect_err("no such file");
    assert!(
        errors[0].to_string().starts_with("cannot read the configuration /nowhere/x.toml: "),
        "{errors:?}"
    );
}

fn collect_keys(keys: &[schema::Key], names: &mut Vec<&'static str>) {
    for key in keys {
        match key.kind {
            schema::Kind::Table(inner) | schema::Kind::Tables(inner) | schema::Kind::Named(inner) => {
                collect_keys(inner, names)
            }
            schema::Kind::Names => {}
            schema::Kind::Value(..) => names.push(key.name),
        }
    }
}

/// `file`: the text of `f.toml`.
fn load(file: &str, variables: &[(&str, &str)], arguments: &ServeArgs) -> Result<Config, Vec<ConfigError>> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("f.toml");
    std::fs::write(&path, file).expect("written");
    let name = path.display().to_string();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let around = Surroundings { variables, search: vec![path] };
    // What is told names the file as it was found; the tests call it f.toml.
    Config::load(arguments, &around).map_err(|errors| {
        let rename = |error: ConfigError| match error.origin {
            Origin::File { line, .. } => ConfigError {
                origin: Origin::File { file: "f.toml".into(), line },
                text: error.text.replace(&name, "f.toml"),
            },
            Origin::Default | Origin::Env(_) | Origin::Flag(_) => error,
        };
        errors.into_iter().map(rename).collect()
    })
}

fn arguments(list: &[&str]) -> ServeArgs {
    use clap::Parser;
    let list = ["duetmq", "serve"].iter().chain(list);
    match crate::arguments::Arguments::try_parse_from(list).expect("arguments").command {
        Some(crate::arguments::Command::Serve(arguments)) => arguments,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(file: &str, start: &str) {
    let errors = load(file, &[], &ServeArgs::default()).expect_err(file);
    let first = errors[0].to_string();
    assert!(first.starts_with(start), "{first}\ndoes not start with\n{start}");
    assert!(errors.iter().all(|error| !error.to_string().contains('\n')), "{errors:?}");
}

/// In the table `[table]`, there is a line of this text and this origin.
#[track_caller]
fn shows(
    file: &str,
    variables: &[(&str, &str)],
    arguments: &ServeArgs,
    table: &str,
    text: &str,
    origin: &str,
) {
    let config = load(file, variables, arguments).unwrap_or_else(|errors| panic!("{errors:?}"));
    let printed = config.print();
    let part = printed.split("\n[").filter(|part| part.starts_with(&format!("{table}]"))).collect::<String>();
    let found = part.lines().any(|line| {
        let (value, from) = line.split_once("  # ").unwrap_or((line, ""));
        value.trim_end() == text && (from == origin || from.ends_with(&format!("/{origin}")))
    });
    assert!(found, "no line\n{text}  # {origin}\nin\n{part}");
}
