//! One visitor: registers, logs in, and then looks around, orders, pays, takes back and uploads in a realistic mix until its
//! time is over.

use std::time::{Duration, Instant, SystemTime};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    client::{Answer, Asked, Client},
    scoreboard::ScoreboardClient,
    shop::Shop,
};

/// Rows of an upload.
const UPLOAD_ROWS: u64 = 2_000;
/// The pause after a request that broke off.
const BREAK_PAUSE: Duration = Duration::from_millis(50);
/// The longest that a visitor waits because it is told to.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests of one mix, in this order again and again: how often each appears is how often it is made.
const MIX: [Step; 26] = {
    use Step::{Balance, Browse, ChangeMind, Inbox, Jobs, Order, Pay, Refund, Statement, Upload};
    [
        Browse, Order, Pay, Balance, Pay, Statement, Pay, Pay, Balance, Pay, Refund, Pay, Browse,
        Upload, Pay, Balance, Pay, Statement, Pay, Order, Jobs, Pay, Inbox, ChangeMind, Pay, Pay,
    ]
};
/// Between two looks at an order that is on its way.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

#[derive(Clone, Copy)]
enum Step {
    Browse,
    Order,
    /// Orders, and gives the order up at once.
    ChangeMind,
    Inbox,
    Pay,
    Refund,
    Balance,
    Statement,
    Upload,
    Jobs,
}

/// What a visitor is told.
pub(super) struct Visit {
    pub(super) shop: Shop,
    pub(super) number: u16,
    pub(super) until: Instant,
    pub(super) scoreboard: ScoreboardClient,
}

/// What a visitor knows at its end, in cents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Books {
    pub(super) name: String,
    /// By its receipts and by what became of its orders; `None` when it does not know that of one.
    pub(super) paid: Option<i64>,
    pub(super) orders: Orders,
    /// By its balance; `None` when it could not ask any more.
    pub(super) balance: Option<i64>,
}

impl Books {
    /// Whether the two agree.
    pub(super) fn balance(&self) -> bool {
        match (self.balance, self.paid) {
            (Some(balance), Some(paid)) => balance == paid,
            _ => true,
        }
    }
}

/// What became of a visitor's orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) completed: u64,
    /// Given up, or of something that was sold out.
    pub(super) rejected: u64,
    /// Nobody could say any more.
    pub(super) unknown: u64,
}

struct Visitor {
    visit: Visit,
    client: Client,
    name: String,
    paid: i64,
    keys: u64,
    /// The last payment that nothing was taken back of: its sequence and cents.
    last_payment: Option<(Value, i64)>,
    /// What there was when it looked last.
    items: Vec<Value>,
    orders: Orders,
}

impl Visit {
    /// The whole visit; nothing to say of one that did not get in.
    pub(super) async fn go(self) -> Option<Books> {
        let client = Client::new(self.shop.clone());
        let born = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("demo-{:x}-{}", born.as_micros(), self.number);
        let mut visitor = Visitor {
            visit: self,
            client,
            name,
            paid: 0,
            keys: 0,
            last_payment: None,
            items: Vec::new(),
            orders: Orders::default(),
        };
        if !visitor.enter().await {
            return None;
        }
        for step in MIX.into_iter().cycle() {
            if Instant::now() >= visitor.visit.until {
                break;
            }
            visitor.take(step).await;
        }
        Some(visitor.leave().await)
    }
}

impl Visitor {
    async fn enter(&mut self) -> bool {
        let user = json!({ "name": self.name, "password": format!("{}, to be let in", self.name) });
        if self.insist("POST /register", &Asked::post("/register", &user)).await.is_none() {
            return false;
        }
        let Some(session) = self.insist("POST /login", &Asked::post("/login", &user)).await else {
            return false;
        };
        let Some(token) = session["token"].as_str() else { return false };
        self.client.log_in(token);
        true
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Browse => self.browse().await,
            Step::Order => self.order().await,
            Step::ChangeMind => self.change_mind().await,
            Step::Inbox => drop(self.ask("GET /inbox", &Asked::get("/inbox?limit=20")).await),
            Step::Pay => self.pay().await,
            Step::Refund => self.refund().await,
            Step::Balance => drop(self.ask("GET /balance", &Asked::get("/balance")).await),
            Step::Statement => {
                drop(self.ask("GET /statement", &Asked::get("/statement?limit=20")).await);
            }
            Step::Jobs => drop(self.ask("GET /jobs", &Asked::get("/jobs")).await),
            Step::Upload => {
                let rows = (0..UPLOAD_ROWS).map(|row| format!("shelf-{},{}.25\n", row % 40, row));
                let rows = "shelf,price\n".to_owned() + &rows.collect::<String>();
                let asked = Asked::csv("/ingest?key=shelf&value=price", rows);
                drop(self.ask("POST /ingest", &asked).await);
            }
        }
    }

    async fn pay(&mut self) {
        let cents = 100 + i64::try_from(self.keys % 900).unwrap_or(0);
        let asked = Asked::post("/payments", &json!({ "amount": cents })).named(self.new_key());
        if let Some(receipt) = self.insist("POST /payments", &asked).await {
            self.paid += cents;
            self.last_payment = Some((receipt["sequence"].clone(), cents));
        }
    }

    async fn refund(&mut self) {
        let Some((sequence, cents)) = self.last_payment.take() else { return };
        let cents = cents / 2;
        let path = format!("/payments/{sequence}/refunds");
        let asked = Asked::post(&path, &json!({ "amount": cents })).named(self.new_key());
        if self.insist("POST /payments/ID/refunds", &asked).await.is_some() {
            self.paid -= cents;
        }
    }

    async fn browse(&mut self) {
        let answer = self.ask("GET /items", &Asked::get("/items")).await;
        if let Some(Value::Array(items)) = answer.map(|mut answer| answer.json["items"].take()) {
            self.items = items;
        }
    }

    /// Orders a piece of something, and waits until that is done.
    async fn order(&mut self) {
        if let Some(id) = self.place().await {
            self.follow(&id).await;
        }
    }

    async fn change_mind(&mut self) {
        let Some(id) = self.place().await else { return };
        // Mostly it is too late.
        drop(self.ask("DELETE /orders/ID", &Asked::delete(&format!("/orders/{id}"))).await);
        self.follow(&id).await;
    }

    async fn place(&mut self) -> Option<Value> {
        let turn = usize::try_from(self.keys).unwrap_or(0);
        let sku = self.items.get(turn % self.items.len().max(1))?["sku"].clone();
        let lines = json!({ "lines": [{ "sku": sku, "quantity": 1 }] });
        let asked = Asked::post("/orders", &lines).named(self.new_key());
        let order = self.insist("POST /orders", &asked).await;
        if order.is_none() {
            self.orders.unknown += 1;
        }
        order.map(|mut order| order["id"].take())
    }

    /// Looks after an order until nothing more happens to it.
    async fn follow(&mut self, id: &Value) {
        let asked = Asked::get(&format!("/orders/{id}"));
        while let Some(order) = self.insist("GET /orders/ID", &asked).await {
            let stage = &order["stage"];
            if let Some(cents) = stage["Completed"]["total"]["cents"].as_i64() {
                self.orders.completed += 1;
                self.paid += cents;
                return;
            }
            if stage.get("Rejected").is_some() {
                self.orders.rejected += 1;
                return;
            }
            if Instant::now() >= self.visit.until + PATIENCE {
                break;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        self.orders.unknown += 1;
    }

    fn new_key(&mut self) -> String {
        self.keys += 1;
        format!("{}-{}", self.name, self.keys)
    }

    async fn leave(mut self) -> Books {
        let balance = self.insist("GET /balance", &Asked::get("/balance")).await;
        let balance = balance.and_then(|json| {
            json["balances"]
                .as_object()
                .map(|all| all.get("EUR").and_then(Value::as_i64).unwrap_or(0))
        });
        let paid = (self.orders.unknown == 0).then_some(self.paid);
        Books { name: self.name, paid, orders: self.orders, balance }
    }

    /// Asks until it knows the outcome: what has a key is not done twice. `None`: it was refused.
    ///
    /// Goes on beyond the visit's end, for [`PATIENCE`]: a payment whose outcome is not known is nobody's.
    async fn insist(&mut self, route: &'static str, asked: &Asked) -> Option<Value> {
        loop {
            match self.ask(route, asked).await {
                Some(answer) if answer.status.is_success() => return Some(answer.json),
                Some(answer) if is_for_now(answer.status) => {
                    tokio::time::sleep(answer.retry_after.clamp(BREAK_PAUSE, PATIENCE)).await;
                }
                Some(_) => return None,
                None => tokio::time::sleep(BREAK_PAUSE).await,
            }
            if Instant::now() >= self.visit.until + PATIENCE {
                return None;
            }
        }
    }

    /// One request, measured. `None`: the connection broke.
    async fn ask(&mut self, route: &'static str, asked: &Asked) -> Option<Answer> {
        let began = Instant::now();
        let answer = self.client.ask(asked).await;
        let failure = match &answer {
            Ok(answer) if answer.status.is_success() => None,
            // Too late to give it up: that is an answer.
            Ok(answer)
                if asked.method == Method::DELETE && answer.status == StatusCode::CONFLICT =>
            {
                None
            }
            Ok(answer) => Some(answer.status.to_string()),
            Err(_) => Some("the connection broke".to_owned()),
        };
        self.visit.scoreboard.note(route, began.elapsed(), failure);
        answer.ok()
    }
}

fn is_for_now(status: StatusCode) -> bool {
    [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}
