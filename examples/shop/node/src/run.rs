//! `shop run`: the node with all applications, until a signal stops it.

use std::{
    io::{self, Write as _},
    path::Path,
};

use linden::{Ready, prelude::*};
use shop_auth::AuthApp;
use shop_billing::BillingApp;
use shop_catalog::CatalogApp;
use shop_data_processing::DataProcessingApp;
use shop_notifications::NotificationsApp;
use shop_orders::OrdersApp;
use shop_web::WebApp;

use crate::cli::RunArgs;

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(node: NodeBuilder, args: RunArgs) -> Result<(), BoxError> {
    let web = WebApp::default();
    let node = with_flags(node.name("shop@127.0.0.1"), &args)
        .application(AuthApp)
        .application(BillingApp)
        .application(CatalogApp)
        .application(NotificationsApp)
        .application(OrdersApp)
        .application(DataProcessingApp)
        .application(web.clone())
        .on_ready(move |ready| announce(ready, &web));
    Ok(node.run().await?)
}

/// A flag wins over the file and the environment.
fn with_flags(mut node: NodeBuilder, args: &RunArgs) -> NodeBuilder {
    if let Some(file) = &args.config {
        node = node.config_file(file);
    }
    if let Some(listen) = args.listen {
        node = node.set("web", "listen", listen);
    }
    if let Some(data) = &args.data {
        for application in ["auth", "billing", "catalog", "notifications", "orders"] {
            let file = Path::new(data).join(application).with_extension("redb");
            node = node.set(application, "path", file.display());
        }
    }
    node
}

/// The only thing on standard output; the log goes to standard error.
fn announce(ready: &Ready, web: &WebApp) {
    let url = web.url().unwrap_or_default();
    let text = format!(
        "{} is ready after {:.0?}\n  \
         workers       {}\n  \
         applications  {}\n  \
         processes     {}\n  \
         serving       {url}\n",
        ready.node.name(),
        ready.boot_time,
        ready.node.workers(),
        ready.applications.join(", "),
        ready.processes,
    );
    let mut stdout = io::stdout().lock();
    // Nobody may read it: the node serves all the same.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
