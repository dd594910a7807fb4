//! One visitor: registers, logs in, and then pays, takes back, looks and uploads in a realistic mix until its time is over.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{
    client::{Answer, Asked, Client},
    scoreboard::ScoreboardClient,
};

/// Rows of an upload.
const UPLOAD_ROWS: u64 = 2_000;
/// The pause after a request that broke off.
const BREAK_PAUSE: Duration = Duration::from_millis(50);
/// The longest that a visitor waits because it is told to.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests of one mix, in this order again and again: how often each appears is how often it is made.
const MIX: [Step; 20] = {
    use Step::{Balance, Jobs, Pay, Refund, Statement, Upload};
    [
        Pay, Balance, Pay, Statement, Pay, Pay, Balance, Pay, Refund, Pay, Upload, Pay, Balance,
        Pay, Statement, Pay, Jobs, Pay, Balance, Pay,
    ]
};

#[derive(Clone, Copy)]
enum Step {
    Pay,
    Refund,
    Balance,
    Statement,
    Upload,
    Jobs,
}

/// What a visitor is told.
pub(super) struct Visit {
    pub(super) shop: SocketAddr,
    pub(super) number: u16,
    pub(super) until: Instant,
    pub(super) scoreboard: ScoreboardClient,
}

/// What a visitor knows at its end, in cents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Books {
    pub(super) name: String,
    /// By its receipts.
    pub(super) paid: i64,
    /// By its balance; `None` when it could not ask any more.
    pub(super) balance: Option<i64>,
}

impl Books {
    /// Whether the two agree.
    pub(super) fn balance(&self) -> bool {
        self.balance.is_none_or(|balance| balance == self.paid)
    }
}

struct Visitor {
    visit: Visit,
    client: Client,
    name: String,
    paid: i64,
    keys: u64,
    /// The last payment that nothing was taken back of: its sequence and cents.
    last_payment: Option<(Value, i64)>,
}

impl Visit {
    /// The whole visit; nothing to say of one that did not get in.
    pub(super) async fn go(self) -> Option<Books> {
        let client = Client::new(self.shop);
        let born = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("demo-{:x}-{}", born.as_micros(), self.number);
        let mut visitor =
            Visitor { visit: self, client, name, paid: 0, keys: 0, last_payment: None };
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
        Books { name: self.name, paid: self.paid, balance }
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
