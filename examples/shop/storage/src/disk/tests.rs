//! A disk under a small service. Whoever holds the file's write lock decides when a visit ends, so
//! nothing here depends on time.

use std::{
    future::{Future as _, poll_fn},
    io,
    path::Path,
    pin::pin,
    sync::{Mutex, OnceLock},
    task::Poll,
};

use linden::{Cx, prelude::*};
use redb::{ReadableTable as _, StorageBackend, TableDefinition, backends::InMemoryBackend};

use super::*;
use crate::{Medium, Schema};

const PENS: TableDefinition<u64, u64> = TableDefinition::new("pens");

/// Counts pens by color.
#[derive(Debug)]
struct Pens(Disk);

#[gen_server(name = "pens")]
impl Pens {
    #[call]
    fn add(&mut self, color: u64, reply: Reply<Result<u64, Overload>>, cx: &mut Context<Self>) {
        self.0.write(reply, move |transaction| {
            let mut table = transaction.open_table(PENS)?;
            let count = table.get(color)?.map_or(0, |count| count.value()) + 1;
            table.insert(color, count)?;
            Ok(Ok(count))
        });
        self.visit(cx);
    }

    #[call]
    fn count(&mut self, color: u64, reply: Reply<Result<u64, Overload>>, cx: &mut Context<Self>) {
        self.0.read(reply, move |transaction| {
            let table = transaction.open_table(PENS)?;
            let count = table.get(color)?.map_or(0, |count| count.value());
            Ok(Ok(count))
        });
        self.visit(cx);
    }

    #[call]
    fn break_off(&mut self, reply: Reply<Result<u64, Overload>>, cx: &mut Context<Self>) {
        self.0.write(reply, |transaction| {
            transaction.open_table(PENS)?.insert(1, 1_000)?;
            Err(Fault::corrupt("the pen"))
        });
        self.visit(cx);
    }

    #[call]
    fn panic(&mut self, reply: Reply<Result<u64, Overload>>, cx: &mut Context<Self>) {
        self.0.write(reply, |_| panic!("no ink"));
        self.visit(cx);
    }

    #[call]
    fn add_loudly(
        &mut self,
        told: Arc<OnceLock<u64>>,
        reply: Reply<Result<u64, Overload>>,
        cx: &mut Context<Self>,
    ) {
        let work = |_: &WriteTransaction| Ok(Ok(7));
        self.0.write_then(reply, work, move |answer| {
            told.set(answer.unwrap()).unwrap();
        });
        self.visit(cx);
    }

    #[cast]
    fn returned(&mut self, visit: Returned, cx: &mut Context<Self>) {
        self.0.returned(visit);
        self.visit(cx);
    }

    fn visit(&mut self, cx: &mut Context<Self>) {
        while let Some(visit) = self.0.depart() {
            let own = cx.client();
            cx.spawn_link(|_: Cx<()>| async move {
                own.returned(visit.run().await?);
                Ok::<(), Fault>(())
            });
        }
    }
}

fn open(directory: &Path) -> Arc<Database> {
    let path = directory.join("pens.redb");
    let database = crate::create(&path, Schema { name: "pens", format: 1 }, Medium::Disk).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(PENS).unwrap();
    transaction.commit().unwrap();
    database
}

/// Adds from a process of its own.
fn add(color: u64) -> Task<Result<Result<u64, Overload>, CallError>> {
    Task::spawn_unlinked(async move { Pens::named().add(color).await })
}

async fn until_state(words: &str) {
    while !Pens::named().state().await.unwrap().unwrap().contains(words) {}
}

#[linden::test]
async fn writes_gather_while_one_is_under_way_and_reads_do_not_wait_for_them() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let of_disk = database.clone();
    let pens = Pens::start(move || Pens(Disk::new(of_disk, 2))).await.unwrap();
    assert_eq!(pens.add(1).await, Ok(Ok(1)));

    until_state("writes: waiting: 0, under way: false").await;
    let lock = database.begin_write().unwrap();
    let first = add(1);
    until_state("writes: waiting: 0, under way: true").await;
    let others = [add(1), add(1)];
    until_state("writes: waiting: 2, under way: true").await;
    assert_eq!(pens.add(1).await, Ok(Err(Overload { waiting_max: 2 })));
    assert_eq!(pens.count(1).await, Ok(Ok(1)));
    drop(lock);

    assert_eq!(first.await, Ok(Ok(Ok(2))));
    let mut counts: Vec<_> = Task::await_many(others).await;
    counts.sort_by_key(|count| count.as_ref().unwrap().clone().unwrap().unwrap());
    assert_eq!(counts, [Ok(Ok(Ok(3))), Ok(Ok(Ok(4)))]);
    assert_eq!(pens.count(1).await, Ok(Ok(4)), "a read sees what was answered");
}

#[linden::test]
async fn a_fault_fails_the_whole_batch_and_the_service(node: Node) {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    for is_panic in [false, true] {
        let of_disk = database.clone();
        let pens = Pens::start(move || Pens(Disk::new(of_disk, 10))).await.unwrap();
        let mut ends = pin!(node.wait_exit(pens.pid().unwrap()));
        let lives = poll_fn(|cx| Poll::Ready(ends.as_mut().poll(cx).is_pending())).await;
        assert!(lives);
        let answer = if is_panic { pens.panic().await } else { pens.break_off().await };
        assert!(matches!(answer, Err(CallError::Exited(_))), "{answer:?}");
        let reason = ends.await.to_string();
        assert!(
            reason.contains(if is_panic { "aborted" } else { "the pen is corrupt" }),
            "{reason}"
        );
    }
    let pens = Pens::start(move || Pens(Disk::new(database, 10))).await.unwrap();
    assert_eq!(pens.count(1).await, Ok(Ok(0)), "nothing was written");
}

#[linden::test]
async fn what_comes_after_a_write_is_told_of_its_answer() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let pens = Pens::start(move || Pens(Disk::new(database, 10))).await.unwrap();
    let told = Arc::new(OnceLock::new());
    assert_eq!(pens.add_loudly(told.clone()).await, Ok(Ok(7)));
    assert_eq!(told.get(), Some(&7));
}

/// Storage in memory that knows what a power cut would leave.
#[derive(Debug, Default)]
struct Volatile {
    memory: InMemoryBackend,
    synced: Arc<Mutex<Vec<u8>>>,
}

impl StorageBackend for Volatile {
    fn len(&self) -> Result<u64, io::Error> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut image = vec![0; usize::try_from(self.memory.len()?).unwrap()];
        self.memory.read(0, &mut image)?;
        *self.synced.lock().unwrap() = image;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.memory.write(offset, data)
    }
}

/// How many pens of color 1 there are after a power cut that leaves `image`.
fn pens_in(image: &[u8]) -> u64 {
    let memory = InMemoryBackend::new();
    memory.set_len(image.len() as u64).unwrap();
    memory.write(0, image).unwrap();
    let database = Database::builder().create_with_backend(memory).unwrap();
    let table = database.begin_read().unwrap().open_table(PENS).unwrap();
    table.get(1).unwrap().map_or(0, |count| count.value())
}

#[linden::test]
async fn what_was_answered_survives_a_power_cut() {
    let volatile = Volatile::default();
    let synced = volatile.synced.clone();
    let database = Arc::new(Database::builder().create_with_backend(volatile).unwrap());
    let transaction = database.begin_write().unwrap();
    transaction.open_table(PENS).unwrap();
    transaction.commit().unwrap();
    let pens = Pens::start(move || Pens(Disk::new(database, 10))).await.unwrap();
    for expected in 1..=20 {
        let others = [add(2), add(2)];
        assert_eq!(pens.add(1).await, Ok(Ok(expected)));
        let image = synced.lock().unwrap().clone();
        assert_eq!(pens_in(&image), expected);
        Task::await_many(others).await;
    }
}
