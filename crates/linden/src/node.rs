//! A node of applications: from `linden.toml` to the last process's end.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use linden_core::{
    Call, Named, Node, NodeOptions, NodeStartError, PanicOutput, Pid, Reason, reply_channel,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::application::controller::{self, BootFailure, Down, Order, Request};
use crate::application::order::{self, Declared, OrderError};
use crate::application::{AnyApplication, Application, StartFunction};
use crate::config::{Config, ConfigError, LogConfig, NodeConfig};
use crate::error::{BoxError, chain};
use crate::events::CrashReporter;
use crate::log;

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

/// What is known when all applications run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ready {
    /// The node.
    pub node: Node,
    /// The applications, in boot order.
    pub applications: Vec<&'static str>,
    /// How many processes live.
    pub processes: usize,
    /// From the builder's start to now.
    pub boot_time: Duration,
}

/// Why a node did not start, or stopped by itself. What had started was stopped again, in reverse order.
#[derive(Debug)]
#[non_exhaustive]
pub enum NodeError {
    /// The configuration is refused.
    Config(ConfigError),
    /// The applications' names or dependencies make no sense.
    Order(OrderError),
    /// The node itself did not start.
    Start(NodeStartError),
    /// An application did not start.
    Application {
        /// Its name.
        name: &'static str,
        /// Why.
        cause: BoxError,
    },
    /// A permanent application ended, and the node with it.
    ApplicationDown {
        /// Its name.
        name: &'static str,
        /// Why it ended.
        reason: Reason,
    },
    /// Processes did not end when the node stopped; their threads are stuck.
    Zombies(Vec<Pid>),
    /// The operating system refused to pass on its signals.
    Signals(std::io::Error),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(_) => f.write_str("the configuration is refused"),
            Self::Order(_) => f.write_str("the applications cannot be put in order"),
            Self::Start(_) => f.write_str("the node did not start"),
            Self::Application { name, .. } => write!(f, "the application {name} did not start"),
            Self::ApplicationDown { name, reason } => {
                write!(f, "the application {name} ended, and the node with it: {reason}")
            }
            Self::Zombies(pids) => write!(
                f,
                "{} processes did not end: they are stuck in code that never awaits",
                pids.len()
            ),
            Self::Signals(_) => f.write_str("the operating system's signals cannot be heard"),
        }
    }
}

impl Error for NodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Order(error) => Some(error),
            Self::Start(error) => Some(error),
            Self::Application { cause, .. } => Some(&**cause),
            Self::Signals(error) => Some(error),
            Self::ApplicationDown { .. } | Self::Zombies(_) => None,
        }
    }
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

    /// Leaves the log to the program, which has set up `tracing` itself.
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

    /// Runs the node: boots it, waits for SIGTERM, SIGINT or the end of a permanent application, and stops it. A second
    /// signal ends the OS process at once, with status 130.
    ///
    /// # Errors
    /// [`NodeError`]. A stop by a signal is none.
    pub async fn run(self) -> Result<(), NodeError> {
        // APP-12: heard from before the first application on: a signal while they boot stops the node when they have.
        let (mut booted, mut signals) =
            self.boot_with(|node| Signals::new(node).map_err(NodeError::Signals)).await?;
        let why = std::future::poll_fn(|cx| {
            if signals.poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            std::pin::Pin::new(&mut booted.down).poll(cx).map(Some)
        })
        .await;
        if why.is_none() {
            tracing::info!(target: "linden::node", "a signal asks the node to stop: draining");
            signals.exit_at_the_next(&booted.node);
        }
        let stopped = booted.stop().await;
        match why {
            Some(Ok(Down { application, reason })) => {
                Err(NodeError::ApplicationDown { name: application, reason })
            }
            Some(Err(error)) => Err(NodeError::ApplicationDown {
                name: controller::NAME,
                reason: Reason::error(&error),
            }),
            None => stopped,
        }
    }

    /// Boots the node: all its applications run when this returns.
    ///
    /// # Errors
    /// [`NodeError`]; what had started is stopped again.
    pub async fn boot(self) -> Result<Booted, NodeError> {
        let (booted, ()) = self.boot_with(|_| Ok(())).await?;
        Ok(booted)
    }

    /// Boots the node; `prepare` comes before the applications.
    async fn boot_with<T>(
        mut self,
        prepare: impl FnOnce(&Node) -> Result<T, NodeError>,
    ) -> Result<(Booted, T), NodeError> {
        let begun = Instant::now();
        let config = self.load_config().map_err(NodeError::Config)?;
        let node_config: NodeConfig = config.section("node").map_err(NodeError::Config)?;
        if self.logging == Logging::Configured {
            let log_config: LogConfig = config.section("log").map_err(NodeError::Config)?;
            log::init(&log_config);
        }
        let applications = self.in_order()?;
        let start_functions = configure(&applications, &config).map_err(NodeError::Config)?;
        let names: Vec<_> = applications.iter().map(|application| application.name()).collect();
        let node = self.start_node(&node_config)?;
        let grace = node_config.shutdown_grace;
        let prepared = prepare(&node).inspect_err(|_| drop(node.stop(grace)))?;
        let (booted, boots) = reply_channel();
        let (down, goes_down) = reply_channel();
        let applications = applications.into_iter().zip(start_functions).collect();
        let order = Order { applications, booted, down, grace };
        node.spawn(|cx| controller::control(cx, order));
        let failure = match boots.await {
            Ok(Ok(())) => {
                let ready = Ready {
                    node: node.clone(),
                    applications: names,
                    processes: node.process_count(),
                    boot_time: begun.elapsed(),
                };
                tracing::info!(
                    target: "linden::node",
                    node = node.name(),
                    workers = node.workers(),
                    processes = ready.processes,
                    "node ready"
                );
                if let Some(told) = self.on_ready.take() {
                    told(&ready);
                }
                let controller = node.named(controller::NAME);
                let booted = Booted { ready, controller, node, down: goes_down, grace };
                return Ok((booted, prepared));
            }
            Ok(Err(BootFailure { application, cause })) => {
                NodeError::Application { name: application, cause }
            }
            Err(error) => NodeError::Application { name: controller::NAME, cause: Box::new(error) },
        };
        node.stop(grace);
        Err(failure)
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
        Node::start(options).map_err(NodeError::Start)
    }
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

/// A node whose applications run.
#[derive(Debug)]
pub struct Booted {
    /// What was known when it was ready.
    pub ready: Ready,
    /// The node.
    pub node: Node,
    controller: Named<Request>,
    down: Call<'static, Down>,
    grace: Duration,
}

impl Booted {
    /// Stops the applications in reverse order, then the node. Blocks the thread for the last part.
    ///
    /// # Errors
    /// [`NodeError::Zombies`].
    pub async fn stop(self) -> Result<(), NodeError> {
        if let Err(error) = self.controller.call(Request::Stop).no_timeout().await {
            tracing::warn!(target: "linden::node", error = chain(&error), "the applications were not stopped in order");
        }
        let report = self.node.stop(self.grace);
        if report.zombies.is_empty() {
            tracing::info!(target: "linden::node", "node stopped");
            return Ok(());
        }
        Err(NodeError::Zombies(report.zombies))
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new(node: &Node) -> std::io::Result<Self> {
        let _inside = node.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        if self.terminate.poll_recv(cx).is_ready() || self.interrupt.poll_recv(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Whoever signals twice does not want to wait for the drain.
    fn exit_at_the_next(mut self, node: &Node) {
        node.runtime().spawn(async move {
            std::future::poll_fn(|cx| self.poll(cx)).await;
            eprintln!("a second signal: the node ends without draining");
            std::process::exit(130);
        });
    }
}
