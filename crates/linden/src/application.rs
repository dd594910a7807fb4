//! Applications: the services of a node, each a supervision tree with a name, dependencies and configuration.
//!
//! OTP source: `application`. [`order`] decides the boot order; `controller` starts, watches and stops.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::{Config, ConfigError};
use crate::error::BoxError;
use crate::supervisor::Supervisor;

pub(crate) mod controller;
pub mod order;

/// What an application's end means for the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ApplicationKind {
    /// The node stops. What a service that the others need wants, and the default.
    #[default]
    Permanent,
    /// The node stops unless the application ended with [`linden_core::Reason::Normal`]. As in OTP a supervisor that gave
    /// up ends with `shutdown`, which is not normal here.
    Transient,
    /// Nothing but a report.
    Temporary,
}

/// One service of an umbrella: a crate with a supervision tree.
///
/// # Examples
/// ```
/// use linden::prelude::*;
///
/// struct BillingApp;
///
/// #[derive(serde::Deserialize)]
/// struct BillingConfig {
///     currency: String,
/// }
///
/// impl Application for BillingApp {
///     const NAME: &'static str = "billing";
///     const DEPENDS_ON: &'static [&'static str] = &["auth"];
///     type Config = BillingConfig;
///
///     fn start(&self, config: BillingConfig) -> Result<Supervisor, BoxError> {
///         println!("billing in {}", config.currency);
///         Ok(Supervisor::one_for_one().intensity(3, 5.secs()))
///     }
/// }
/// # use linden::BoxError;
/// ```
pub trait Application: Send + Sync + 'static {
    /// The application's name, and that of its table in `linden.toml`.
    const NAME: &'static str;
    /// The applications that must run before this one starts, and until it has stopped.
    const DEPENDS_ON: &'static [&'static str] = &[];
    /// What its end means for the node.
    const KIND: ApplicationKind = ApplicationKind::Permanent;
    /// Its table in `linden.toml`. Keys that the type does not know are refused; an absent table counts as an empty one.
    type Config: DeserializeOwned + Send + 'static;

    /// Gives the supervision tree. Runs on a thread where blocking is allowed: open files and databases here. When the node is told
    /// to stop meanwhile, it does not wait for this, and the tree that it gives is not started.
    ///
    /// # Errors
    /// The node does not start, and says why.
    fn start(&self, config: Self::Config) -> Result<Supervisor, BoxError>;

    /// Runs before the supervision tree is stopped, while everything still works, as a process of its own: drain connections here.
    /// Bounded by the node's shutdown grace: killed then.
    fn prepare_stop(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Runs after the supervision tree has ended, on a thread where blocking is allowed: close files and databases here.
    /// Also after a tree that ended by itself; not after one that did not start. Bounded by the node's shutdown grace: left behind
    /// on its thread then.
    fn stop(&self) {}
}

/// An application's start function with its configuration.
pub(crate) type StartFunction = Box<dyn FnOnce() -> Result<Supervisor, BoxError> + Send>;

/// An application whose types are forgotten.
pub(crate) trait AnyApplication: Send + Sync {
    fn name(&self) -> &'static str;
    fn depends_on(&self) -> &'static [&'static str];
    fn kind(&self) -> ApplicationKind;
    fn configure(self: Arc<Self>, config: &Config) -> Result<StartFunction, ConfigError>;
    fn prepare_stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    fn stop(&self);
}

impl<A: Application> AnyApplication for A {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn depends_on(&self) -> &'static [&'static str] {
        A::DEPENDS_ON
    }

    fn kind(&self) -> ApplicationKind {
        A::KIND
    }

    fn configure(self: Arc<Self>, config: &Config) -> Result<StartFunction, ConfigError> {
        let config = config.section(A::NAME)?;
        Ok(Box::new(move || Application::start(&*self, config)))
    }

    fn prepare_stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Application::prepare_stop(self))
    }

    fn stop(&self) {
        Application::stop(self);
    }
}

/// The configuration of an application that has none: an empty table, or no table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize)]
pub struct NoConfig {}
