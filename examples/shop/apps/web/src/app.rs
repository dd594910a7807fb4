//! The application `web`: its configuration, its supervision tree, its drain.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use linden::prelude::*;
use linden_gateway::{EdgeConfig, Gateway, Limits, RouteConfig, Tls, TlsConfig};
use serde::Deserialize;

use crate::{
    pages::SessionRenewals,
    routes::{self, Chaos},
};

/// The HTTP edge. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct WebApp {
    running: Arc<OnceLock<Running>>,
}

#[derive(Debug)]
struct Running {
    gateway: Gateway,
    scheme: &'static str,
    drain_grace: Duration,
}

impl WebApp {
    /// Where it listens; `None` before it is started. The port is a real one also when 0 was asked
    /// for.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.running.get().map(|running| running.gateway.local_addr())
    }

    /// Where its first page is; `None` before it is started.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let running = self.running.get()?;
        Some(format!("{}://{}/", running.scheme, running.gateway.local_addr()))
    }
}

impl Application for WebApp {
    const NAME: &'static str = "web";
    const DEPENDS_ON: &'static [&'static str] =
        &["auth", "billing", "catalog", "data_processing", "notifications", "orders"];
    type Config = WebConfig;

    /// The socket is opened here: a port that is taken is an error of the start, and requests that
    /// come during a restart of the gateway wait in the socket.
    fn start(&self, config: WebConfig) -> Result<Supervisor, BoxError> {
        let chaos = if config.chaos { Chaos::On } else { Chaos::Off };
        let router = config.edge.wrap(routes::router(chaos, &config.routes)?)?;
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let mut gateway = Gateway::builder(config.listen, router).limits(config.limits);
        if let Some(tls) = config.tls {
            gateway = gateway.tls(Tls::load(tls)?);
        }
        let gateway = gateway.bind()?;
        let child = gateway.child();
        let running = Running { gateway, scheme, drain_grace: config.drain_grace };
        self.running.set(running).map_err(|_| "the application web is started twice")?;
        Ok(Supervisor::one_for_one()
            .name("web_sup")
            .intensity(10, 10.secs())
            .child(linden::child("session_renewals", SessionRenewals::default))
            .child(child))
    }

    /// Requests that were begun are answered while the services still run; new ones are refused.
    async fn prepare_stop(&self) {
        if let Some(running) = self.running.get() {
            running.gateway.drain(running.drain_grace).await;
        }
    }
}

/// `[web]` in `linden.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct WebConfig {
    /// Where to listen; `127.0.0.1:4000`. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long requests that were begun may take when the node stops; `10s`.
    #[serde(with = "linden::config::duration")]
    pub drain_grace: Duration,
    /// Certificates; without them, all is in cleartext.
    pub tls: Option<TlsConfig>,
    /// What one connection may use.
    pub limits: Limits,
    /// What stands around the routes: proxies that are trusted, the access log, limits on load, and so on.
    pub edge: EdgeConfig,
    /// Which part of the shop (`shop`, `api` or `pages`) is at which host and path; by default all of it at `/` of all hosts.
    pub routes: Vec<RouteConfig>,
    /// Whether anybody may make services suffer, by `POST /chaos/SERVICE`; for tests and demonstrations.
    pub chaos: bool,
}

impl Default for WebConfig {
    fn default() -> WebConfig {
        WebConfig {
            listen: (Ipv4Addr::LOCALHOST, 4000).into(),
            drain_grace: 10.secs(),
            tls: None,
            limits: Limits::default(),
            edge: EdgeConfig::default(),
            routes: Vec::new(),
            chaos: false,
        }
    }
}
