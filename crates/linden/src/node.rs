//! A node of applications: from `linden.toml` to the last process's end.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use linden_core::{Node, NodeOptions, PanicOutput, reply_channel};

use self::booted::{Booting, Controlled};
use self::signals::Signals;
use crate::application::controller::{self, Order};
use crate::application::order::{self, Declared};
use crate::application::{AnyApplication, Application, StartFunction};
use crate::config::{Config, ConfigError, LogConfig, NodeConfig};
use crate::events::{CrashReporter, DeadLetterReporter, MailboxReporter, StallReporter};
use crate::log;

mod booted;
mod error;
mod signals;

pub use booted::{Booted, Ready};
pub use error::NodeError;

/// The file that is read when the program names none, if it exists.
const CONFIG_FILE: &str = "linden.toml";

/// A node in the making: its applications and where its configuration comes from.
///
/// `run` is what a program's main ends in; [`NodeBuilder::boot`] is for tests and for programs with a main loop of their own.
///
/// # Examples
/// ```
/// use linden::prelude::*;
///
/// struct Greeting;
///
/// #[derive(serde::Deserialize)]
/// struct GreetingConfig {
///     word: String,
/// }
///
/// impl Application for Greeting {
///     const NAME: &'static str = "greeting";
///     type Config = GreetingConfig;
///
///     fn start(&self, config: GreetingConfig) -> Result<Supervisor, BoxError> {
///         println!("{}!", config.word);
///         Ok(Supervisor::one_for_one())
///     }
/// }
///
/// #[linden::main]
/// async fn main(node: NodeBuilder) -> Result<(), NodeError> {
///     // From `[greeting]` of linden.toml, LINDEN__GREETING__WORD, or here.
///     let node = node.name("hello").application(Greeting).set("greeting", "word", "hello");
///     // `node.run().await` would wait for SIGTERM, SIGINT or the application's end.
///     let booted = node.boot().await?;
///     assert_eq!(booted.ready.applications, ["greeting"]);
///     booted.stop().await
/// }
/// ```
///
/// # When not to use this
/// When Linden is one part of a program, or in a test of one server: start a [`Node`] and what you need on it.
pub struct NodeBuilder {
    applications: Vec<Arc<dyn AnyApplication>>,
    config_file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    other_tables: Vec<String>,
    name: String,
    on_ready: Option<OnReady>,
    logging: Logging,
}

/// What to do once all applications run.
type OnReady = Box<dyn FnOnce(&Ready) + Send>;

/// Whether the node writes the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Logging {
    /// As `[log]` says.
    Configured,
    /// The program has set up `tracing` itself.
    Foreign,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl NodeBuilder {
    /// A node without applications, whose configuration comes from `linden.toml`, if there is one, and the environment.
    #[must_use]
    pub fn new() -> Self {
        Self {
            applications: Vec::new(),
            config_file: None,
            environment: std::env::vars_os()
                .filter_map(|(key, value)| {
                    Some((key.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            other_tables: Vec::new(),
            name: "linden".to_owned(),
            on_ready: None,
            logging: Logging::Configured,
        }
    }

    /// Adds an application. The order of boot follows from what they depend on.
    #[must_use]
    pub fn application(mut self, application: impl Application) -> Self {
        self.applications.push(Arc::new(application));
        self
    }

    /// The node's name, unless `[node]` has one.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Reads this file, which must exist, in place of `linden.toml`.
    #[must_use]
    pub fn config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.config_file = Some(file.into());
        self
    }

    /// Passes over these tables of the configuration: they belong to applications that other nodes run.
    #[must_use]
    pub fn other_tables(mut self, names: &[&str]) -> Self {
        self.other_tables.extend(names.iter().map(|&name| name.to_owned()));
        self
    }

    /// Sets one key, over the file and the environment: what a command-line flag is for. `value` is a TOML value, or a text.
    #[must_use]
    pub fn set(mut self, table: &str, key: &str, value: impl fmt::Display) -> Self {
        let name = format!("LINDEN__{}__{}", table.to_uppercase(), key.to_uppercase());
        self.environment.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        self.environment.push((name, value.to_string()));
        self
    }

    /// Leaves the log to the program, which has set up `tracing` itself. With [`crate::log::Lines`] in its subscriber the events of
    /// processes say which process they are of.
    #[must_use]
    pub fn foreign_logging(mut self) -> Self {
        self.logging = Logging::Foreign;
        self
    }

    /// Calls `told` once all applications run.
    #[must_use]
    pub fn on_ready(mut self, told: impl FnOnce(&Ready) + Send + 'static) -> Self {
        self.on_ready = Some(Box::new(told));
        self
    }

    /// Runs the node: boots it, waits for SIGTERM, SIGINT or the end of a permanent application, and stops it. While the
    /// applications start a signal stops those that run, and the one that starts. A second signal ends the OS process at once,
    /// with status 130, also while every worker is stuck.
    ///
    /// When it has returned, the two signals do nothing: a program that goes on sets up what it wants of them.
    ///
    /// # Errors
    /// [`NodeError`]. A stop by a signal is none.
    pub async fn run(self) -> Result<(), NodeError> {
        // APP-12: heard from before the first application on.
        let mut signals = Signals::hear().map_err(NodeError::Signals)?;
        let mut booting = self.launch()?;
        tokio::select! {
            biased;
            () = signals.first() => return stop_as_asked(booting.controlled).await,
            boots = booting.boots() => boots.inspect_err(|_| booting.controlled.abandon())?,
        }
        let mut booted = booting.ready();
        tokio::select! {
            biased;
            () = signals.first() => stop_as_asked(booted.into_controlled()).await,
            down = booted.down() => {
                // What it ended for says more than what is stuck.
                let _ = booted.stop().await;
                Err(down)
            }
        }
    }

    /// Boots the node: all its applications run when this returns. The end of a permanent application stops the others;
    /// [`Booted::down`] hears of it, and [`Booted::stop`] ends the node.
    ///
    /// # Errors
    /// [`NodeError`]; what had started is stopped again.
    pub async fn boot(self) -> Result<Booted, NodeError> {
        let mut booting = self.launch()?;
        booting.boots().await.inspect_err(|_| booting.controlled.abandon())?;
        Ok(booting.ready())
    }

    /// Starts the node and its controller, which starts the applications.
    fn launch(mut self) -> Result<Booting, NodeError> {
        let begun = Instant::now();
        let config = self.load_config().map_err(NodeError::Config)?;
        let node_config: NodeConfig = config.section("node").map_err(NodeError::Config)?;
        if self.logging == Logging::Configured {
            let log_config: LogConfig = config.section("log").map_err(NodeError::Config)?;
            log::init(&log_config);
        }
        let applications = self.in_order()?;
        let start_functions = configure(&applications, &config).map_err(NodeError::Config)?;
        let names = applications.iter().map(|application| application.name()).collect();
        let node = self.start_node(&node_config)?;
        let grace = node_config.shutdown_grace;
        let (booted, boots) = reply_channel();
        let (goes_down, down) = reply_channel();
        let applications = applications.into_iter().zip(start_functions).collect();
        let order = Order { applications, booted, down: goes_down, grace };
        let controller = node.spawn(|cx| controller::control(cx, order));
        let controlled = Controlled { node, controller, grace, applications: names };
        Ok(Booting { controlled, boots, down, begun, on_ready: self.on_ready.take() })
    }

    fn load_config(&self) -> Result<Config, ConfigError> {
        let default = PathBuf::from(CONFIG_FILE);
        let file = match &self.config_file {
            Some(file) => Some(file.as_path()),
            None => default.exists().then_some(default.as_path()),
        };
        let config = Config::load(file, self.environment.iter().cloned())?;
        let mut known = vec!["node", "log"];
        known.extend(self.applications.iter().map(|application| application.name()));
        known.extend(self.other_tables.iter().map(String::as_str));
        config.check_tables(&known)?;
        Ok(config)
    }

    fn in_order(&mut self) -> Result<Vec<Arc<dyn AnyApplication>>, NodeError> {
        let applications = std::mem::take(&mut self.applications);
        let wanted: Vec<_> = applications
            .iter()
            .map(|application| Declared {
                name: application.name(),
                depends_on: application.depends_on(),
            })
            .collect();
        let places = order::boot_order(&wanted).map_err(NodeError::Order)?;
        Ok(places.into_iter().map(|place| applications[place].clone()).collect())
    }

    fn start_node(&self, config: &NodeConfig) -> Result<Node, NodeError> {
        let mut options = NodeOptions {
            name: config.name.clone().unwrap_or_else(|| self.name.clone()),
            panic_output: PanicOutput::CrashReportOnly,
            exit_listener: Some(Arc::new(CrashReporter)),
            dead_letter_listener: Some(Arc::new(DeadLetterReporter)),
            stall_listener: Some(Arc::new(StallReporter::default())),
            mailbox_listener: Some(Arc::new(MailboxReporter)),
            ..NodeOptions::default()
        };
        if !options.name.contains('@') {
            options.name.push_str("@localhost");
        }
        if let Some(workers) = config.workers {
            options.workers = workers.get();
        }
        if let Some(most) = config.blocking_threads_max {
            options.blocking_threads_max = most.get();
        }
        if let Some(watermark) = config.mailbox_watermark {
            options.mailbox_watermark = Some(watermark.get());
        }
        Node::start(options).map_err(NodeError::Start)
    }
}

/// A signal asks for the end.
async fn stop_as_asked(controlled: Controlled) -> Result<(), NodeError> {
    tracing::info!(
        target: "linden::node",
        "a signal asks the node to stop: draining; a second one ends it at once"
    );
    controlled.stop().await
}

/// Each application's start function with its section. APP-06: what is wrong with any of them is found before anything starts.
fn configure(
    applications: &[Arc<dyn AnyApplication>],
    config: &Config,
) -> Result<Vec<StartFunction>, ConfigError> {
    let mut all_problems = Vec::new();
    let mut start_functions = Vec::new();
    for application in applications {
        match application.clone().configure(config) {
            Ok(start_function) => start_functions.push(start_function),
            Err(ConfigError::Invalid { problems }) => all_problems.extend(problems),
            Err(other) => return Err(other),
        }
    }
    match all_problems.is_empty() {
        true => Ok(start_functions),
        false => Err(ConfigError::Invalid { problems: all_problems }),
    }
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            self.applications.iter().map(|application| application.name()).collect();
        f.debug_struct("NodeBuilder").field("applications", &names).finish_non_exhaustive()
    }
}
