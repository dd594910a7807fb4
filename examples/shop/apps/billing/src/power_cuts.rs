//! Power cuts: whatever is acknowledged is there afterwards, once; whatever is repeated is not doubled.
//!
//! A failing seed is in the panic's message; `SEED=n cargo test -p shop-billing power_cut` replays it
//! alone.

use shop_storage::power::Disk;

use crate::{
    BillingConfig, BillingService, Cents, Currency, IdempotencyKey, Journal, JournalError, Kind,
    Money, Movement, Receipt, Sequence, Timestamp, UserId, app::tree, verify,
};
use linden::{CallError, Node, NodeOptions, Task};
use std::{collections::BTreeMap, error::Error as _, time::Duration};

/// A small random source: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..count).collect(),
    }
}

fn euros(cents: u64) -> Money {
    Cents(i64::try_from(cents).unwrap()).of(Currency::EUR)
}

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

/// The disk after the cut: nothing of what was not synced, all of it, or some sectors.
fn found(disk: &Disk, random: &mut Random) -> Vec<u8> {
    match random.below(3) {
        0 => disk.image(|| false),
        1 => disk.image(|| true),
        _ => disk.image(|| random.below(2) == 0),
    }
}

fn movement(number: u64, random: &mut Random, paid: &[Receipt]) -> Movement {
    let name = format!("k{number}");
    if !paid.is_empty() && random.below(4) == 0 {
        let of = &paid[usize::try_from(random.below(paid.len() as u64)).unwrap()];
        return Movement::refund(of.user_id, of.sequence, euros(1), key(&name));
    }
    Movement::payment(UserId(random.below(5)), euros(1 + random.below(9)), key(&name))
}

#[test]
fn a_power_cut_loses_nothing_that_the_journal_acknowledged() {
    let mut count = 0;
    for seed in seeds(150) {
        let mut random = Random(seed);
        let (mut image, mut now) = (Vec::new(), 0);
        let mut acknowledged: BTreeMap<Sequence, Receipt> = BTreeMap::new();
        let mut unknown: Vec<Movement> = Vec::new();
        for life in 0..4 {
            let is_new = image.is_empty();
            let disk = Disk::new(image, 1 + random.below(120));
            let journal = Journal::on(disk.clone()).ok();
            if is_new && journal.is_none() {
                // A file whose making was cut off never gets its name.
                image = Vec::new();
                continue;
            }
            while let Some(journal) = journal.as_ref().filter(|_| !disk.is_dead()) {
                now += 1;
                let paid: Vec<Receipt> = acknowledged
                    .values()
                    .filter(|line| line.kind == Kind::Payment)
                    .cloned()
                    .collect();
                let mut batch = std::mem::take(&mut unknown);
                batch.extend(
                    (0..random.below(6)).map(|i| movement(100 * now + i, &mut random, &paid)),
                );
                match journal.append(&batch, Timestamp(now)) {
                    Ok(posted) => acknowledged.extend(
                        posted
                            .into_iter()
                            .flat_map(|posted| posted.answer)
                            .map(|r| (r.sequence, r)),
                    ),
                    Err(_) => unknown = batch,
                }
            }
            drop(journal);
            image = found(&disk, &mut random);
            check(image.clone(), &acknowledged, &unknown, &format!("seed {seed}, life {life}"));
        }
        count += acknowledged.len();
    }
    assert!(count > 0, "something was acknowledged");
    println!("{count} movements acknowledged");
}

#[test]
fn a_disk_that_is_gone_is_an_error_with_its_cause() {
    let disk = Disk::new(Vec::new(), u64::MAX);
    let journal = Journal::on(disk.clone()).unwrap();
    disk.cut();
    let payment = Movement::payment(UserId(1), euros(1), key("a"));
    let error = journal.append(&[payment], Timestamp(1)).unwrap_err();
    assert!(matches!(error, JournalError::Database(_)));
    assert_eq!(error.to_string(), "the journal file failed");
    assert!(error.source().is_some_and(|cause| cause.to_string().contains("the power was cut")));
    assert!(matches!(Journal::on(disk), Err(JournalError::Open(_))));
}

/// Opens the image: the books are clean, and have what was acknowledged and at most what is unknown.
fn check(
    image: Vec<u8>,
    acknowledged: &BTreeMap<Sequence, Receipt>,
    unknown: &[Movement],
    when: &str,
) {
    let journal = Journal::on(Disk::new(image, u64::MAX)).unwrap_or_else(|e| panic!("{when}: {e}"));
    verify(&journal).unwrap_or_else(|error| panic!("{when}: {error}"));
    let mut found = BTreeMap::new();
    for transaction in journal.transactions_after(Sequence(0)).unwrap() {
        let transaction = transaction.unwrap();
        let is_known = acknowledged.contains_key(&transaction.sequence);
        assert!(is_known || unknown.contains(&transaction.movement), "{when}: {transaction:?}");
        found.insert(transaction.sequence, Receipt::from(transaction));
    }
    for (sequence, receipt) in acknowledged {
        assert_eq!(found.get(sequence), Some(receipt), "{when}");
    }
}

/// What became of a user's payments, numbered from 0.
type Paid = Vec<Receipt>;

/// Pays one after the other until the disk is dead: the receipts.
async fn pay_until_dead(user_id: UserId, disk: Disk, first: usize) -> Paid {
    let mut paid = Vec::new();
    while !disk.is_dead() {
        let name = format!("p{}", first + paid.len());
        match BillingService::named().process_payment(user_id, euros(3), key(&name)).await {
            Ok(answer) => paid.push(answer.unwrap()),
            // Unknown: to be sent again, after a breath, for nobody restarts a dead disk.
            Err(CallError::Exited(_) | CallError::NoProc) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    paid
}

#[test]
fn a_power_cut_under_the_running_service_loses_and_doubles_nothing() {
    const USERS: u64 = 8;
    let mut all = 0;
    // Three cuts each.
    for seed in seeds(17) {
        let mut random = Random(seed);
        let mut image = Vec::new();
        let mut acknowledged: Vec<Paid> = vec![Vec::new(); usize::try_from(USERS).unwrap()];
        for _ in 0..3 {
            let disk = Disk::new(image, 60 + random.below(200));
            if let Ok(journal) = Journal::on(disk.clone()) {
                run(journal, &disk, &mut acknowledged);
            }
            image = found(&disk, &mut random);
        }
        let journal = Journal::on(Disk::new(image, u64::MAX))
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let report = verify(&journal).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let receipts: Vec<&Receipt> = acknowledged.iter().flatten().collect();
        for receipt in &receipts {
            let found =
                journal.receipt(receipt.user_id, &receipt.key, receipt.recorded_at).unwrap();
            assert_eq!(found.as_ref(), Some(*receipt), "seed {seed}");
        }
        // Each user has one payment at most whose fate is unknown.
        let (count, paid) = (receipts.len() as u64, report.transactions);
        assert!((count..=count + USERS).contains(&paid), "seed {seed}: {count} of {paid}");
        assert_eq!(report.total(Currency::EUR), i128::from(3 * paid), "seed {seed}");
        all += count;
    }
    assert!(all > 0, "something was acknowledged");
    println!("{all} payments acknowledged");
}

/// One life of the node, until the cut.
fn run(journal: Journal, disk: &Disk, acknowledged: &mut [Paid]) {
    let node = Node::start(NodeOptions::default()).unwrap();
    node.block_on(async {
        let config = BillingConfig { restarts_max: 1_000_000, ..BillingConfig::default() };
        let supervisor = tree(journal, config).start().await.unwrap();
        let payers: Vec<_> = acknowledged
            .iter()
            .zip(0..)
            .map(|(paid, user)| {
                Task::spawn_unlinked(pay_until_dead(UserId(user), disk.clone(), paid.len()))
            })
            .collect();
        for (payer, paid) in payers.into_iter().zip(acknowledged.iter_mut()) {
            paid.extend(payer.await.unwrap());
        }
        supervisor.stop(linden::Reason::Shutdown).await.unwrap();
    });
    node.stop(Duration::from_secs(5));
}
