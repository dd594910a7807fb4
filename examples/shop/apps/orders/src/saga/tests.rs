//! The saga in a world that is a few words: what is held, what is paid. Whatever fails or crashes,
//! in the end an order has both or neither.

use proptest::prelude::*;
use shop_billing::{Cents, Currency};

use super::*;

const POLICY: RetryPolicy = RetryPolicy {
    tries_max: 3,
    pause_min: Duration::from_millis(20),
    pause_max: Duration::from_millis(50),
};

fn total() -> Money {
    Cents(250).of(Currency::EUR)
}

fn bill() -> Bill {
    Bill { total: total(), payment: PaymentRef(7) }
}

fn failed() -> Event {
    Event::Failed { step: "do it".to_owned() }
}

fn unavailable() -> Cause {
    Cause::Unavailable { step: "do it".to_owned() }
}

/// Takes the events in, each at the stage that the one before led to.
fn stages(events: impl IntoIterator<Item = Event>) -> Vec<&'static str> {
    let mut saga = Saga::new(Stage::Placed, Begun::No, POLICY);
    let mut names = Vec::new();
    for event in events {
        if let Next::Record(stage) = saga.on(event) {
            assert!(saga.stage.may_become(&stage), "{:?} to {stage:?}", saga.stage);
            names.push(stage.name());
            saga.recorded(stage);
        }
    }
    assert_eq!(saga.action().is_none(), saga.stage.is_final());
    names
}

#[test]
fn an_order_is_reserved_paid_sold_and_told() {
    let events = [
        Event::Reserved { total: total() },
        Event::Paid(PaymentRef(7)),
        Event::Confirmed,
        Event::Told,
    ];
    assert_eq!(stages(events), ["reserved", "paid", "sold", "completed"]);
}

#[test]
fn what_is_refused_is_undone() {
    let refused = Event::NotReserved(Cause::Expired);
    assert_eq!(stages([refused, Event::Told]), ["rejecting", "rejected"]);
    let events = [
        Event::Reserved { total: total() },
        Event::NotPaid { reason: "no".to_owned() },
        Event::Released,
        Event::Told,
    ];
    assert_eq!(stages(events), ["reserved", "releasing", "rejecting", "rejected"]);
    let events = [
        Event::Reserved { total: total() },
        Event::Paid(PaymentRef(7)),
        Event::Lost,
        Event::Refunded,
        Event::Released,
        Event::Told,
    ];
    let expected = ["reserved", "paid", "refunding", "releasing", "rejecting", "rejected"];
    assert_eq!(stages(events), expected);
}

#[test]
fn a_step_is_tried_a_bounded_number_of_times_with_longer_pauses() {
    for (stage, given_up) in [
        (Stage::Placed, Stage::Releasing { refunded: None, cause: unavailable() }),
        (
            Stage::Reserved { total: total() },
            Stage::Settling { total: total(), cause: unavailable() },
        ),
        (Stage::Paid(bill()), Stage::Refunding { bill: bill(), cause: unavailable() }),
    ] {
        let mut saga = Saga::new(stage, Begun::No, POLICY);
        assert_eq!(saga.on(failed()), Next::Again(Duration::from_millis(20)));
        assert_eq!(saga.on(failed()), Next::Again(Duration::from_millis(40)));
        assert_eq!(saga.on(failed()), Next::Record(given_up));
    }
    assert_eq!(POLICY.pause(3), Duration::from_millis(50));
    assert_eq!(POLICY.pause(u32::MAX), Duration::from_millis(50));
}

#[test]
fn what_undoes_is_tried_without_end() {
    let cause = Cause::Cancelled;
    for stage in [
        Stage::Sold(bill()),
        Stage::Settling { total: total(), cause: cause.clone() },
        Stage::Refunding { bill: bill(), cause: cause.clone() },
        Stage::Releasing { refunded: None, cause: cause.clone() },
        Stage::Rejecting { refunded: None, cause },
    ] {
        let mut saga = Saga::new(stage, Begun::No, POLICY);
        for _ in 0..100 {
            assert!(matches!(saga.on(failed()), Next::Again(_)));
        }
        let refused = Event::NotRefunded { reason: "the ledger is closed".to_owned() };
        assert_eq!(saga.on(refused), Next::Again(POLICY.pause_max));
    }
}

#[test]
fn a_cancelled_order_undoes_what_may_have_been_done() {
    let cancelled = |stage, begun| match Saga::new(stage, begun, POLICY).on(Event::Cancelled) {
        Next::Record(stage) => stage.name(),
        _ => "too late",
    };
    let reserved = Stage::Reserved { total: total() };
    let rejected = Stage::Rejected { refunded: None, cause: Cause::Expired };
    for (stage, begun, expected) in [
        (Stage::Placed, Begun::No, "rejecting"),
        (Stage::Placed, Begun::Perhaps, "releasing"),
        (reserved.clone(), Begun::No, "releasing"),
        (reserved, Begun::Perhaps, "settling"),
        (Stage::Paid(bill()), Begun::No, "refunding"),
        (Stage::Paid(bill()), Begun::Perhaps, "refunding"),
        (Stage::Sold(bill()), Begun::No, "too late"),
        (Stage::Completed(bill()), Begun::No, "too late"),
        (Stage::Refunding { bill: bill(), cause: Cause::Expired }, Begun::No, "too late"),
        (rejected, Begun::No, "too late"),
    ] {
        assert_eq!(cancelled(stage.clone(), begun), expected, "{stage:?} {begun:?}");
    }
}

#[test]
fn news_of_another_stage_change_nothing() {
    let mut saga = Saga::new(Stage::Placed, Begun::No, POLICY);
    for event in [Event::Told, Event::Confirmed, Event::Refunded, Event::Paid(PaymentRef(1))] {
        assert_eq!(saga.on(event), Next::Ignore);
    }
}

/// What the services know of the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct World {
    stock: Stock,
    is_paid: bool,
    is_refunded: bool,
    told: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stock {
    #[default]
    Free,
    Held,
    Sold,
    Released,
    Expired,
}

/// Whether the payment is refused, always.
#[derive(Clone, Copy, Debug)]
struct Fate {
    has_stock: bool,
    can_pay: bool,
}

impl World {
    /// Does it, as often as it is asked for.
    fn perform(&mut self, action: &Action, fate: Fate) -> Event {
        match action {
            Action::Reserve => match self.stock {
                Stock::Free if !fate.has_stock => Event::NotReserved(Cause::Expired),
                Stock::Free | Stock::Held | Stock::Sold => {
                    if self.stock == Stock::Free {
                        self.stock = Stock::Held;
                    }
                    Event::Reserved { total: total() }
                }
                Stock::Released | Stock::Expired => Event::NotReserved(Cause::Expired),
            },
            Action::Pay { .. } if !fate.can_pay => Event::NotPaid { reason: "no".to_owned() },
            Action::Pay { .. } => {
                self.is_paid = true;
                Event::Paid(PaymentRef(7))
            }
            Action::Confirm => match self.stock {
                Stock::Held | Stock::Sold => {
                    self.stock = Stock::Sold;
                    Event::Confirmed
                }
                _ => Event::Lost,
            },
            Action::Refund(_) => {
                assert!(self.is_paid, "what was not paid is not refunded");
                self.is_refunded = true;
                Event::Refunded
            }
            Action::Release => {
                self.stock = Stock::Released;
                Event::Released
            }
            Action::TellCompleted(_) => self.tell("completed"),
            Action::TellRejected(_) => self.tell("rejected"),
        }
    }

    fn tell(&mut self, what: &'static str) -> Event {
        assert!(self.told.is_none_or(|told| told == what), "a user is told one end");
        self.told = Some(what);
        Event::Told
    }
}

/// What goes wrong with a step.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Nothing,
    /// It was not done, and nobody knows.
    LostRequest,
    /// It was done, and nobody knows.
    LostAnswer,
    /// It was done, and the process crashed before it wrote that down.
    Crash,
    /// It was done and written down, and the process crashed before it knew that.
    CrashAfterRecord,
    /// The reservation expires before it.
    Expiry,
    /// The user cancels before it.
    Cancel,
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        3 => Just(Mishap::Nothing),
        2 => Just(Mishap::LostRequest),
        2 => Just(Mishap::LostAnswer),
        2 => Just(Mishap::Crash),
        1 => Just(Mishap::CrashAfterRecord),
        1 => Just(Mishap::Expiry),
        1 => Just(Mishap::Cancel),
    ]
}

proptest! {
    #[test]
    fn an_order_ends_with_stock_and_payment_or_with_neither(
        mishaps in prop::collection::vec(mishap(), 0..30),
        has_stock in prop::bool::weighted(0.9),
        can_pay in prop::bool::weighted(0.9),
    ) {
        let fate = Fate { has_stock, can_pay };
        let (mut world, mut durable) = (World::default(), Stage::Placed);
        let mut saga = Saga::new(durable.clone(), Begun::No, POLICY);
        let mut mishaps = mishaps.into_iter();
        let mut steps = 0;
        while let Some(action) = saga.action() {
            steps += 1;
            prop_assert!(steps < 100, "it ends");
            let mishap = mishaps.next().unwrap_or(Mishap::Nothing);
            let event = match mishap {
                Mishap::LostRequest => failed(),
                Mishap::LostAnswer => {
                    world.perform(&action, fate);
                    failed()
                }
                Mishap::Cancel => Event::Cancelled,
                Mishap::Expiry => {
                    if world.stock == Stock::Held {
                        world.stock = Stock::Expired;
                    }
                    world.perform(&action, fate)
                }
                Mishap::Nothing | Mishap::Crash | Mishap::CrashAfterRecord => {
                    world.perform(&action, fate)
                }
            };
            if !matches!(mishap, Mishap::Crash) && let Next::Record(stage) = saga.on(event) {
                prop_assert!(durable.may_become(&stage), "{:?} to {:?}", durable, stage);
                durable = stage.clone();
                saga.recorded(stage);
            }
            if matches!(mishap, Mishap::Crash | Mishap::CrashAfterRecord) {
                saga = Saga::new(durable.clone(), Begun::Perhaps, POLICY);
            }
        }
        let World { stock, is_paid, is_refunded, told } = world;
        if matches!(durable, Stage::Completed(_)) {
            prop_assert_eq!((stock, is_paid, is_refunded), (Stock::Sold, true, false));
            prop_assert_eq!(told, Some("completed"));
        } else {
            prop_assert!(!matches!(stock, Stock::Held | Stock::Sold), "{:?}", stock);
            prop_assert_eq!(is_paid, is_refunded);
            prop_assert_eq!(told, Some("rejected"));
        }
    }
}
