//! Routers by host and path, from configuration: which of the program's routers is where.

use std::collections::BTreeMap;

use axum::Router;
use serde::Deserialize;

use crate::hosts::{Hosts, RouteError};
use crate::static_files::is_plain_path;

/// One entry of `[[web.routes]]` in `linden.toml`:
/// `host = "shop.example"`, `path = "/api"`, `to = "api"`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The host, as [`Hosts`] takes it. Default: all that have no entry of their own.
    #[serde(default)]
    pub host: Option<String>,
    /// The path under which the router is; it sees what stands behind. Default `/`: all that no other entry of the host has.
    #[serde(default = "root")]
    pub path: String,
    /// The router's name in the program.
    pub to: String,
}

fn root() -> String {
    "/".to_owned()
}

/// The routers of a program by their names, for configuration to put in their places.
///
/// # Examples
/// ```
/// use linden_gateway::axum::{Router, routing::get};
/// use linden_gateway::{NamedRouters, RouteConfig};
///
/// let api = Router::new().route("/items", get(async || "[]"));
/// let pages = Router::new().route("/", get(async || "<h1>shop</h1>"));
/// let routers = NamedRouters::new().add("api", api).add("pages", pages);
///
/// // As read from `linden.toml`.
/// let route = |path: &str, to: &str| RouteConfig {
///     host: Some("shop.example".to_owned()),
///     path: path.to_owned(),
///     to: to.to_owned(),
/// };
/// let router = routers.place(&[route("/", "pages"), route("/api", "api")])?;
/// # let _: Router = router;
/// # Ok::<(), linden_gateway::RouteError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct NamedRouters {
    routers: BTreeMap<String, Router>,
}

impl NamedRouters {
    /// No router yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A router under a name. A second one of the same name takes its place.
    #[must_use]
    pub fn add(mut self, name: &str, router: Router) -> Self {
        self.routers.insert(name.to_owned(), router);
        self
    }

    /// The router that a gateway takes: each entry's router in its place. One router may be in several.
    ///
    /// # Errors
    /// [`RouteError`], which names the entry's value and the mend.
    pub fn place(&self, routes: &[RouteConfig]) -> Result<Router, RouteError> {
        let mut hosts = Hosts::new();
        for (host, routes) in by_host(routes) {
            let router = self.host_router(host, &routes)?;
            hosts = match host {
                Some(host) => hosts.host(host, router)?,
                None => hosts.default_host(router),
            };
        }
        Ok(hosts.into_router())
    }

    /// The router of one host.
    fn host_router(
        &self,
        host: Option<&str>,
        routes: &[&RouteConfig],
    ) -> Result<Router, RouteError> {
        let mut places: BTreeMap<&str, &Router> = BTreeMap::new();
        for route in routes {
            if route.path != "/" && !is_plain_path(&route.path) {
                return Err(RouteError::Path { path: route.path.clone() });
            }
            if places.insert(&route.path, self.router(&route.to)?).is_some() {
                let host = host.unwrap_or("*").to_owned();
                return Err(RouteError::Taken { host, path: route.path.clone() });
            }
        }
        let put = |router: Router, (path, placed): (&str, &Router)| match path {
            "/" => router.fallback_service(placed.clone()),
            path => router.nest(path, placed.clone()),
        };
        Ok(places.into_iter().fold(Router::new(), put))
    }

    fn router(&self, name: &str) -> Result<&Router, RouteError> {
        self.routers.get(name).ok_or_else(|| RouteError::UnknownRouter {
            name: name.to_owned(),
            known: self.routers.keys().cloned().collect(),
        })
    }
}

fn by_host(routes: &[RouteConfig]) -> BTreeMap<Option<&str>, Vec<&RouteConfig>> {
    let mut hosts: BTreeMap<Option<&str>, Vec<&RouteConfig>> = BTreeMap::new();
    for route in routes {
        hosts.entry(route.host.as_deref()).or_default().push(route);
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: Option<&str>, path: &str, to: &str) -> RouteConfig {
        RouteConfig { host: host.map(str::to_owned), path: path.to_owned(), to: to.to_owned() }
    }

    // proves: GATE-50
    #[test]
    fn each_wrong_entry_is_named_with_the_mend() {
        let routers = NamedRouters::new().add("api", Router::new()).add("pages", Router::new());
        let host = Some("a.example");
        let table = [
            (vec![route(host, "/", "apo")], "no router \"apo\"; there is api, pages"),
            (vec![route(Some("a:1"), "/", "api")], "\"a:1\" is no host"),
            (vec![route(None, "/{x}", "api")], "\"/{x}\" is no path"),
            (vec![route(None, "api", "api")], "\"api\" is no path"),
            (
                vec![route(host, "/v", "api"), route(host, "/v", "pages")],
                "at /v of the host a.example",
            ),
            (vec![route(None, "/", "api"), route(None, "/", "api")], "at / of the host *"),
            (
                vec![route(host, "/", "api"), route(Some("A.example"), "/", "api")],
                "of the host a.example",
            ),
        ];
        for (routes, part) in table {
            let error = routers.place(&routes).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn entries_are_read_from_configuration() {
        let read = |json: &str| serde_json::from_str::<RouteConfig>(json);
        assert_eq!(read(r#"{"to":"api"}"#).ok(), Some(route(None, "/", "api")));
        let full = r#"{"host":"a.example","path":"/api","to":"api"}"#;
        assert_eq!(read(full).ok(), Some(route(Some("a.example"), "/api", "api")));
        assert!(read(r#"{"to":"api","prefix":"/x"}"#).is_err());
        assert!(read(r#"{"path":"/api"}"#).is_err());
    }
}
