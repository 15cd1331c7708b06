//! Config: read, check, explain.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use admin::Tag;
use auth::{HookOptions, Issuer, JwtOptions, Rules};
use engine::{ConfiguredPolicy, Definitions, Levels};
use model::name::{ExchangeName, VhostName};
use stomp::destination::Destinations;

use crate::arguments::ServeArgs;
use crate::config::keys::KEYS;
use crate::config::overrides::Override;
use crate::config::settings::Section;
use crate::config::tree::{Node, Table, Value};
use crate::config::vhosts::Vhosts;

pub use crate::config::origin::{ConfigError, Origin};

pub(crate) mod acl;
mod admins;
mod check;
mod definitions;
mod destinations;
pub(crate) mod difference;
mod hooks;
pub(crate) mod keys;
mod levels;
mod listen;
mod nearest;
pub(crate) mod origin;
mod overrides;
mod paths;
mod policies;
mod print;
pub(crate) mod quantity;
mod rules;
pub(crate) mod schema;
pub(crate) mod settings;
mod tls;
mod tokens;
mod tree;
pub(crate) mod vhosts;

/// Every key with its value: from the arguments, else the environment, else the file, else the default.
#[derive(Debug, Clone)]
pub struct Config {
    settings: Section,
    definitions: BTreeMap<VhostName, Definitions>,
    destinations: Destinations,
    rules: Rules,
    levels: Levels,
    policies: Vec<ConfiguredPolicy>,
    admins: HashMap<String, Tag>,
    tokens: Option<JwtOptions>,
    issuer: Option<Issuer>,
    hooks: Vec<HookOptions>,
    vhosts: Vhosts,
    tls: Vec<gateway::tls::Options>,
    file: Option<PathBuf>,
}

/// What is around the process when it reads its configuration.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The environment.
    pub variables: Vec<(String, String)>,
    /// Where a file is looked for if none is named; the first that exists.
    pub search: Vec<PathBuf>,
}

impl Surroundings {
    /// Of this process.
    pub fn here() -> Self {
        // A variable that is no text can be none of ours.
        let texts = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self {
            variables: texts.collect(),
            search: vec![PathBuf::from("duetmq.toml"), PathBuf::from("/etc/duetmq/duetmq.toml")],
        }
    }

    /// The file that is taken where no argument names one.
    pub fn file(&self) -> Option<&Path> {
        let named = self.variables.iter().find(|(name, value)| name == "DUETMQ_CONFIG" && !value.is_empty());
        let named = named.map(|(_, value)| Path::new(value));
        named.or_else(|| self.search.iter().find(|file| file.exists()).map(PathBuf::as_path))
    }
}

impl Config {
    /// Reads the file, the environment and the arguments.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with its place.
    pub fn load(arguments: &ServeArgs, around: &Surroundings) -> Result<Self, Vec<ConfigError>> {
        let file = arguments.config.as_deref().or_else(|| around.file());
        let mut table = match file {
            Some(file) => read(file, around)?,
            None => Table::default(),
        };
        let mut errors = Vec::new();
        let variables = overrides::from_environment(&around.variables, KEYS).unwrap_or_else(|several| {
            errors.extend(several);
            Vec::new()
        });
        let set = set(arguments, &mut errors);
        let directory = state_directory(&table, around);
        lay_over(&mut table, directory.iter(), &mut errors);
        let is_listener = |one: &&Override| one.is_about("listener");
        lay_over(&mut table, variables.iter().chain(&set).filter(|one| !is_listener(one)), &mut errors);
        if table.get("listener").is_none() {
            table.put("listener", listen::defaults());
        }
        lay_over(&mut table, variables.iter().filter(is_listener), &mut errors);
        listen(&mut table, &arguments.listen, &mut errors);
        lay_over(&mut table, set.iter().filter(is_listener), &mut errors);
        if let Some(listeners) = table.get_mut("listener") {
            listen::name_all(listeners);
        }
        let checked = check::check(&table, KEYS).and_then(|settings| {
            let definitions = definitions::definitions(&settings)?;
            let destinations = destinations::destinations(&settings)?;
            let rules = rules::rules(&settings)?;
            let levels = levels::levels(&settings)?;
            let policies = policies::policies(&settings)?;
            let admins = admins::users(&settings)?;
            let tokens = tokens::tokens(&settings, &rules::plain(&settings))?;
            // Developers get tokens from the demo, unless the configuration says who else gives them.
            let dev = settings.section("node").truth("dev") && tokens.is_none();
            let issuer = dev
                .then(Issuer::new)
                .transpose()
                .map_err(|error| vec![ConfigError::new(&Origin::Default, error.to_string())])?;
            let tokens = tokens.or_else(|| issuer.as_ref().map(Issuer::options));
            let hooks = hooks::hooks(&settings)?;
            let vhosts = vhosts::vhosts(&settings)?;
            let tls = tls::tls(&settings)?;
            paths::paths(&settings)?;
            let mqtt = settings.section("mqtt");
            if mqtt.word("redirect") != "never" && mqtt.text("server_reference").is_none() {
                return Err(vec![ConfigError::new(&mqtt.given("redirect").origin, NOWHERE)]);
            }
            let file = file.map(Path::to_path_buf);
            Ok(Self {
                settings,
                definitions,
                destinations,
                rules,
                levels,
                policies,
                admins,
                tokens,
                issuer,
                hooks,
                vhosts,
                tls,
                file,
            })
        });
        match checked {
            Ok(config) if errors.is_empty() => return Ok(config),
            Ok(_) => {}
            Err(several) => errors.extend(several),
        }
        errors.sort_by_key(place);
        Err(errors)
    }

    /// Every value that holds, as TOML, with its origin behind it.
    pub fn print(&self) -> String {
        let file =
            self.file.as_deref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
        format!("# {file}\n{}", print::print(&self.settings, KEYS))
    }

    /// The file it was read from.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The exchange behind plain MQTT topics.
    pub(crate) fn plain(&self) -> ExchangeName {
        rules::plain(&self.settings)
    }

    /// What is to be declared at start, in each vhost.
    pub const fn definitions(&self) -> &BTreeMap<VhostName, Definitions> {
        &self.definitions
    }

    pub(crate) const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What holds by name.
    pub(crate) fn policies(&self) -> &[ConfiguredPolicy] {
        &self.policies
    }

    /// What messages outlive.
    pub(crate) const fn levels(&self) -> &Levels {
        &self.levels
    }

    /// The file of rules, where there is one.
    pub(crate) fn acl(&self) -> Option<PathBuf> {
        self.settings.section("acl").text("file").map(PathBuf::from)
    }

    /// Who may look after the broker, and how much each may do.
    pub(crate) const fn admins(&self) -> &HashMap<String, Tag> {
        &self.admins
    }

    pub(crate) const fn tokens(&self) -> Option<&JwtOptions> {
        self.tokens.as_ref()
    }

    /// Who signs the tokens of the demo, if it is we.
    pub(crate) const fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref()
    }

    pub(crate) fn hooks(&self) -> &[HookOptions] {
        &self.hooks
    }

    pub(crate) const fn vhosts(&self) -> &Vhosts {
        &self.vhosts
    }

    /// The certificates that listeners show, by their names.
    pub(crate) fn tls(&self) -> &[gateway::tls::Options] {
        &self.tls
    }

    pub(crate) const fn destinations(&self) -> &Destinations {
        &self.destinations
    }

    /// Where everything that lasts is kept.
    pub fn data_dir(&self) -> &Path {
        Path::new(self.settings.section("node").word("data_dir"))
    }

    pub(crate) const fn settings(&self) -> &Section {
        &self.settings
    }
}

fn read(file: &Path, around: &Surroundings) -> Result<Table, Vec<ConfigError>> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        vec![ConfigError {
            origin: Origin::Default,
            text: format!("cannot read the configuration {name}: {error}"),
        }]
    })?;
    let variable = |wanted: &str| {
        around.variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    tree::read(&name, &text, &variable)
}

/// What the arguments say, the plain ones and `--set`.
fn set(arguments: &ServeArgs, errors: &mut Vec<ConfigError>) -> Vec<Override> {
    let flag = |flag: &str, path: &str, text: &str| Override {
        path: path.split('.').map(str::to_owned).collect(),
        origin: Origin::Flag(flag.to_owned()),
        text: text.to_owned(),
    };
    let mut list = Vec::new();
    for argument in &arguments.set {
        match overrides::from_set(argument) {
            Ok(one) => list.push(one),
            Err(error) => errors.push(error),
        }
    }
    // Behind them, so that a flag of its own is stronger than --set.
    if arguments.dev {
        list.push(flag("--dev", "node.dev", "true"));
    }
    if arguments.memory {
        list.push(flag("--memory", "node.memory", "true"));
    }
    list.extend(arguments.data_dir.iter().map(|text| flag("--data-dir", "node.data_dir", text)));
    list.extend(arguments.log_level.iter().map(|text| flag("--log-level", "log.level", text)));
    list.extend(arguments.log_format.iter().map(|text| flag("--log-format", "log.format", text)));
    list
}

/// Where systemd wants a service to keep its state. Weaker than the file: it is a default.
fn state_directory(table: &Table, around: &Surroundings) -> Option<Override> {
    if let Some(Node { value: Value::Table(node), .. }) = table.get("node")
        && node.get("data_dir").is_some()
    {
        return None;
    }
    let (name, value) = around.variables.iter().find(|(name, _)| name == "STATE_DIRECTORY")?;
    let first = value.split(':').next().filter(|first| !first.is_empty())?;
    Some(Override {
        path: vec!["node".to_owned(), "data_dir".to_owned()],
        origin: Origin::Env(name.clone()),
        text: first.to_owned(),
    })
}

fn lay_over<'a>(
    table: &mut Table,
    overrides: impl Iterator<Item = &'a Override>,
    errors: &mut Vec<ConfigError>,
) {
    for one in overrides {
        if let Err(error) = one.apply(table, KEYS) {
            errors.push(error);
        }
    }
}

fn listen(table: &mut Table, urls: &[String], errors: &mut Vec<ConfigError>) {
    let mut listeners = Vec::new();
    for url in urls {
        match listen::from_url(url) {
            Ok(listener) => listeners.push(listener),
            Err(error) => errors.push(error),
        }
    }
    if let Some(Node { origin, .. }) = listeners.first() {
        let origin = origin.clone();
        table.put("listener", Node { value: Value::List(listeners), origin });
    }
}

/// By file and line; what comes from elsewhere stays in its order, behind.
fn place(error: &ConfigError) -> (u8, String, usize) {
    match &error.origin {
        Origin::File { file, line } => (0, file.to_string(), *line),
        Origin::Env(_) => (1, String::new(), 0),
        Origin::Flag(_) => (2, String::new(), 0),
        Origin::Default => (3, String::new(), 0),
    }
}

const NOWHERE: &str = "mqtt.redirect sends clients away, and mqtt.server_reference does not say where to";

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
