//! The requests of one service to its file: gathered while the disk is busy, sent off together.
//!
//! Belongs to the service's state and touches no file itself: [`Disk::depart`] gives a [`Visit`], and
//! a process of its own, linked to the service, runs that on the blocking pool. At most one visit
//! that writes and one that reads are under way. Each request answers its caller itself: a write when
//! its batch is on disk. A visit that fails crashes its process and, by the link, the service; whoever
//! waits hears `Exited` and does not know whether the request was carried out.
//!
//! Invariant, kept by those who write the requests: a request that refuses has written nothing, since
//! it shares its transaction with others. A batch of nothing but refusals costs no sync.

use std::{error::Error, fmt, mem, sync::Arc};

use linden::Reply;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase as _, WriteTransaction};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::Fault;

/// Work within a transaction; it gives what is to be done once the transaction is through.
type Work<T> = Box<dyn FnOnce(&T) -> Result<Answer, Fault> + Send>;

/// What became of one request.
struct Answer {
    /// A request that was refused has written nothing.
    is_refusal: bool,
    send: Box<dyn FnOnce() + Send>,
}

/// The requests of one service to its file.
///
/// # Examples
/// A service that counts; each count is on disk when its caller hears of it:
/// ```
/// use linden::{Cx, prelude::*};
/// use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
/// use shop_storage::{Disk, Fault, Medium, Overload, Returned, Schema};
///
/// const COUNT: TableDefinition<(), u64> = TableDefinition::new("count");
///
/// struct Counter(Disk);
///
/// #[gen_server(name = "counter")]
/// impl Counter {
///     #[call]
///     fn count(&mut self, reply: Reply<Result<u64, Overload>>, cx: &mut Context<Self>) {
///         self.0.write(reply, |transaction| count(transaction).map(Ok));
///         self.visit(cx);
///     }
///
///     #[cast]
///     fn returned(&mut self, visit: Returned, cx: &mut Context<Self>) {
///         self.0.returned(visit);
///         self.visit(cx);
///     }
///
///     fn visit(&mut self, cx: &mut Context<Self>) {
///         while let Some(visit) = self.0.depart() {
///             let own = cx.client();
///             cx.spawn_link(|_: Cx<()>| async move {
///                 own.returned(visit.run().await?);
///                 Ok::<(), Fault>(())
///             });
///         }
///     }
/// }
///
/// fn count(transaction: &WriteTransaction) -> Result<u64, Fault> {
///     let mut table = transaction.open_table(COUNT)?;
///     let count = table.get(())?.map_or(0, |count| count.value()) + 1;
///     table.insert((), count)?;
///     Ok(count)
/// }
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("counter.redb");
/// # let node = Node::start(linden::NodeOptions::default())?;
/// # node.block_on(async {
/// let database = shop_storage::create(&path, Schema { name: "counter", format: 1 }, Medium::Disk)?;
/// let counter = Counter::start(move || Counter(Disk::new(database, 100))).await?;
/// assert_eq!(counter.count().await??, 1);
/// assert_eq!(counter.count().await??, 2);
/// # Ok::<(), linden::BoxError>(())
/// # })?;
/// # node.stop(5.secs());
/// # Ok::<(), linden::BoxError>(())
/// ```
pub struct Disk {
    database: Arc<Database>,
    writes: Lane<WriteTransaction>,
    reads: Lane<ReadTransaction>,
    waiting_max: usize,
}

impl Disk {
    /// For a file whose requests, at most `waiting_max` that write and as many that read, may wait
    /// for the next visit. More are refused as [`Overload`].
    #[must_use]
    pub fn new(database: Arc<Database>, waiting_max: usize) -> Disk {
        Disk { database, writes: Lane::default(), reads: Lane::default(), waiting_max }
    }

    /// Asks for `work` in the next transaction that writes. `reply` gets its result when that is on
    /// disk. Work that gives an inner error must have written nothing.
    pub fn write<A, E>(
        &mut self,
        reply: Reply<Result<A, E>>,
        work: impl FnOnce(&WriteTransaction) -> Result<Result<A, E>, Fault> + Send + 'static,
    ) where
        A: Send + 'static,
        E: From<Overload> + Send + 'static,
    {
        self.writes.push(self.waiting_max, reply, work);
    }

    /// As [`Disk::write`], for the caller who also wants to know when it is on disk: `then` runs with
    /// what was answered, in the process of the visit, before the answer is sent.
    pub fn write_then<A, E>(
        &mut self,
        reply: Reply<Result<A, E>>,
        work: impl FnOnce(&WriteTransaction) -> Result<Result<A, E>, Fault> + Send + 'static,
        then: impl FnOnce(&Result<A, E>) + Send + 'static,
    ) where
        A: Send + 'static,
        E: From<Overload> + Send + 'static,
    {
        self.writes.push_then(self.waiting_max, reply, work, then);
    }

    /// Asks for `work` in the next transaction that reads. It sees every write that was answered.
    pub fn read<A, E>(
        &mut self,
        reply: Reply<Result<A, E>>,
        work: impl FnOnce(&ReadTransaction) -> Result<Result<A, E>, Fault> + Send + 'static,
    ) where
        A: Send + 'static,
        E: From<Overload> + Send + 'static,
    {
        self.reads.push(self.waiting_max, reply, work);
    }

    /// The next visit, if somebody waits for one and none of its kind is under way.
    pub fn depart(&mut self) -> Option<Visit> {
        let requests = match self.writes.depart() {
            Some(batch) => Requests::Write(batch),
            None => Requests::Read(self.reads.depart()?),
        };
        Some(Visit { database: self.database.clone(), requests })
    }

    /// A visit is through: the next one of its kind may depart.
    pub fn returned(&mut self, visit: Returned) {
        match visit.0 {
            Kind::Write => self.writes.is_under_way = false,
            Kind::Read => self.reads.is_under_way = false,
        }
    }

    /// How many requests wait, for people.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.writes.waiting.len() + self.reads.waiting.len()
    }
}

/// For crash reports: how much there is, not what.
impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("writes", &self.writes)
            .field("reads", &self.reads)
            .finish_non_exhaustive()
    }
}

/// Requests of one kind.
struct Lane<T> {
    waiting: Vec<Work<T>>,
    is_under_way: bool,
}

impl<T> Default for Lane<T> {
    fn default() -> Lane<T> {
        Lane { waiting: Vec::new(), is_under_way: false }
    }
}

impl<T> Lane<T> {
    fn push<A, E>(
        &mut self,
        waiting_max: usize,
        reply: Reply<Result<A, E>>,
        work: impl FnOnce(&T) -> Result<Result<A, E>, Fault> + Send + 'static,
    ) where
        A: Send + 'static,
        E: From<Overload> + Send + 'static,
    {
        self.push_then(waiting_max, reply, work, |_| {});
    }

    fn push_then<A, E>(
        &mut self,
        waiting_max: usize,
        reply: Reply<Result<A, E>>,
        work: impl FnOnce(&T) -> Result<Result<A, E>, Fault> + Send + 'static,
        then: impl FnOnce(&Result<A, E>) + Send + 'static,
    ) where
        A: Send + 'static,
        E: From<Overload> + Send + 'static,
    {
        if self.waiting.len() >= waiting_max {
            reply.send(Err(Overload { waiting_max }.into()));
            return;
        }
        self.waiting.push(Box::new(move |transaction| {
            let answer = work(transaction)?;
            let is_refusal = answer.is_err();
            let send = move || {
                then(&answer);
                reply.send(answer);
            };
            Ok(Answer { is_refusal, send: Box::new(send) })
        }));
    }

    fn depart(&mut self) -> Option<Vec<Work<T>>> {
        if self.waiting.is_empty() || self.is_under_way {
            return None;
        }
        self.is_under_way = true;
        Some(mem::take(&mut self.waiting))
    }
}

impl<T> fmt::Debug for Lane<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waiting: {}, under way: {}", self.waiting.len(), self.is_under_way)
    }
}

/// Requests on their way to the file.
#[must_use = "its callers wait until it is run"]
pub struct Visit {
    database: Arc<Database>,
    requests: Requests,
}

enum Requests {
    Write(Vec<Work<WriteTransaction>>),
    Read(Vec<Work<ReadTransaction>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Write,
    Read,
}

impl Visit {
    /// Carries the requests out, in their order, on the blocking pool, and answers them.
    ///
    /// # Errors
    /// [`Fault`]; nobody was answered.
    pub async fn run(self) -> Result<Returned, Fault> {
        let kind = match self.requests {
            Requests::Write(_) => Kind::Write,
            Requests::Read(_) => Kind::Read,
        };
        let visited = spawn_blocking(move || self.block()).await;
        let answers = visited.map_err(|error| Fault::Aborted { cause: error.to_string() })??;
        for answer in answers {
            (answer.send)();
        }
        Ok(Returned(kind))
    }

    fn block(self) -> Result<Vec<Answer>, Fault> {
        match self.requests {
            Requests::Write(batch) => {
                let mut transaction = self.database.begin_write()?;
                transaction.set_durability(Durability::Immediate)?;
                let answers = carry_out(batch, &transaction)?;
                if answers.iter().all(|answer| answer.is_refusal) {
                    transaction.abort()?;
                } else {
                    transaction.commit()?;
                }
                Ok(answers)
            }
            Requests::Read(batch) => carry_out(batch, &self.database.begin_read()?),
        }
    }
}

fn carry_out<T>(batch: Vec<Work<T>>, transaction: &T) -> Result<Vec<Answer>, Fault> {
    batch.into_iter().map(|work| work(transaction)).collect()
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.requests {
            Requests::Write(batch) => write!(f, "Visit(write {})", batch.len()),
            Requests::Read(batch) => write!(f, "Visit(read {})", batch.len()),
        }
    }
}

/// A visit that is through.
#[derive(Debug)]
pub struct Returned(Kind);

/// As many requests as may wait for the disk do so already. Nothing was done; try again in a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overload {
    /// So many.
    pub waiting_max: usize,
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests wait already; try again in a moment", self.waiting_max)
    }
}

impl Error for Overload {}

#[cfg(test)]
mod tests;
