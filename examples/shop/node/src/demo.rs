//! `shop demo`: visitors that use a running shop, each a process, and what they measured.
//!
//! The visitors know the shop by its HTTP interface alone, so it may run anywhere. What they pay, for orders too, they add up,
//! and at the end they hold it against their balances: a demonstration that loses money fails.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use linden::prelude::*;

use self::{
    scoreboard::{Scoreboard, Summary},
    shop::Shop,
    visitor::{Books, Orders, Visit},
};

mod client;
mod scoreboard;
mod shop;
mod visitor;

/// Tables of the configuration that are the shop's own.
const OTHER_TABLES: [&str; 7] =
    ["auth", "billing", "catalog", "data_processing", "notifications", "orders", "web"];

/// Flags of `shop demo`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct DemoArgs {
    /// Where the shop listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4000", value_parser = crate::cli::listen_address)]
    pub(crate) shop: SocketAddr,

    /// Speak TLS with the shop, and trust these certificates: a file of PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,

    /// What the shop is called in requests and in its certificate [default: its address]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,

    /// Visitors at the same time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) visitors: u16,

    /// How long they stay, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
}

/// Lets visitors in, shows how they do, and sums up.
pub(crate) async fn demo(node: NodeBuilder, args: DemoArgs) -> Result<(), BoxError> {
    let booted = node
        .name("shop-demo@127.0.0.1")
        .other_tables(&OTHER_TABLES)
        .set("log", "level", "warn")
        .boot()
        .await?;
    let visit = {
        let _inside = booted.node.enter();
        Task::spawn_unlinked(visit(args.clone()))
    };
    let outcome = visit.await;
    booted.stop().await?;
    let (summary, books) = outcome??;
    show(&summary, &books, &args)?;
    if books.iter().all(Books::balance) { Ok(()) } else { Err("money was lost or made".into()) }
}

/// A process: the one that lets the visitors in.
async fn visit(args: DemoArgs) -> Result<(Summary, Vec<Books>), BoxError> {
    let shop = Shop::new(&args)?;
    shop.reach().await?;
    let scoreboard = Scoreboard::start(Scoreboard::default).await?;
    let length = Duration::from_secs(args.seconds);
    let visits = (0..args.visitors).map(|number| {
        let visit = Visit {
            shop: shop.clone(),
            number,
            until: Instant::now() + length,
            scoreboard: scoreboard.clone(),
        };
        Task::spawn_unlinked(visit.go())
    });
    let visits: Vec<_> = visits.collect();
    let ticks = Task::spawn_unlinked(tell_progress(scoreboard.clone()));
    let mut books = Vec::new();
    for ended in Task::await_many(visits).await {
        books.extend(ended.map_err(|error| format!("a visitor crashed: {error}"))?);
    }
    ticks.shutdown(1.secs()).await;
    Ok((scoreboard.summary().await?, books))
}

/// A line a second on standard error.
async fn tell_progress(scoreboard: scoreboard::ScoreboardClient) {
    let mut before = 0;
    loop {
        tokio::time::sleep(1.secs()).await;
        let Ok(summary) = scoreboard.summary().await else { return };
        let requests = summary.requests();
        eprintln!(
            "{:>8} requests/s, {requests} in all, {} refused or failed",
            requests - before,
            summary.failures()
        );
        before = requests;
    }
}

fn show(summary: &Summary, books: &[Books], args: &DemoArgs) -> io::Result<()> {
    let mut text = summary.table(Duration::from_secs(args.seconds));
    let (visitors, paid) = (books.len(), books.iter().filter_map(|books| books.paid).sum::<i64>());
    let count = |of: fn(&Orders) -> u64| books.iter().map(|books| of(&books.orders)).sum::<u64>();
    let [completed, rejected, unknown] = [
        count(|orders| orders.completed),
        count(|orders| orders.rejected),
        count(|orders| orders.unknown),
    ];
    let verdict = if books.iter().all(Books::balance) { "agree" } else { "DO NOT AGREE" };
    text.push_str(&format!(
        "\n{completed} orders were completed, {rejected} given up or sold out, {unknown} are unknown\n\
         {visitors} visitors hold {}.{:02} EUR; their receipts and balances {verdict}\n",
        paid / 100,
        paid % 100
    ));
    for books in books.iter().filter(|books| !books.balance()) {
        text.push_str(&format!(
            "  {}: receipts {:?}, balance {:?}\n",
            books.name, books.paid, books.balance
        ));
    }
    io::stdout().write_all(text.as_bytes())
}
