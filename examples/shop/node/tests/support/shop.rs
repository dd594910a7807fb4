//! The whole shop inside of the test: a node with all applications, on a free port, with data of
//! its own.

use std::error::Error;
use std::net::SocketAddr;

use linden::{Booted, Node, NodeBuilder, NodeError};
use shop_auth::{AuthApp, UserId};
use shop_billing::BillingApp;
use shop_catalog::CatalogApp;
use shop_data_processing::DataProcessingApp;
use shop_notifications::NotificationsApp;
use shop_orders::OrdersApp;
use shop_web::WebApp;
use tempfile::TempDir;

use crate::http::Client;

pub(crate) struct Shop {
    pub(crate) node: Node,
    pub(crate) address: SocketAddr,
    booted: Booted,
    directory: TempDir,
}

impl Shop {
    /// Boots with these keys of the configuration set: table, key, value.
    pub(crate) fn boot(config: &[(&str, &str, &str)]) -> Shop {
        let directory = tempfile::tempdir().expect("a directory");
        let web = WebApp::default();
        let booted = boot(&directory, &web, config).expect("the shop boots");
        let address = web.local_addr().expect("it listens");
        Shop { node: booted.node.clone(), address, booted, directory }
    }

    /// Stops the node and gives the directory of its data.
    pub(crate) fn stop(self) -> TempDir {
        linden::block_on(self.booted.stop()).expect("the shop stops");
        self.directory
    }
}

/// Why the shop does not boot with this configuration, with all causes.
#[allow(dead_code, reason = "most tests want it to boot")]
pub(crate) fn refused(config: &[(&str, &str, &str)]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let error = boot(&directory, &WebApp::default(), config).expect_err("it does not boot");
    let causes = std::iter::successors(Some(&error as &dyn Error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn boot(
    directory: &TempDir,
    web: &WebApp,
    config: &[(&str, &str, &str)],
) -> Result<Booted, NodeError> {
    let mut node = NodeBuilder::new()
        .application(AuthApp)
        .application(BillingApp)
        .application(CatalogApp)
        .application(NotificationsApp)
        .application(OrdersApp)
        .application(DataProcessingApp)
        .application(web.clone())
        .foreign_logging()
        .set("web", "listen", "127.0.0.1:0")
        .set("auth", "hash_cost", "{ memory_kib = 8, passes = 1, lanes = 1 }");
    for application in ["auth", "billing", "catalog", "notifications", "orders"] {
        let file = directory.path().join(application).with_extension("redb");
        node = node.set(application, "path", file.display());
    }
    for (table, key, value) in config {
        node = node.set(table, key, value);
    }
    linden::block_on(node.boot())
}

/// Registers a user and logs in: the id, and the value of `Authorization`.
#[allow(dead_code, reason = "visitors of the pages log in by a form")]
pub(crate) fn log_in(client: &mut Client, name: &str) -> (UserId, String) {
    let credentials = format!("{{\"name\":\"{name}\",\"password\":\"correct horse\"}}");
    let registered = client.post("/register", &[], &credentials);
    assert_eq!(registered.status, 201, "{registered:?}");
    let logged_in = client.post("/login", &[], &credentials);
    assert_eq!(logged_in.status, 200, "{logged_in:?}");
    let user_id = registered.json()["user_id"].as_u64().expect("an id");
    let token = logged_in.json()["token"].as_str().expect("a token").to_owned();
    (UserId(user_id), format!("Bearer {token}"))
}
