//! The loop of a process that does one thing and keeps a client to its pace: the end of the one thing, mail, and deadlines
//! as events.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use linden::{Cx, Mail, Message};

use crate::pace::Moment;
use crate::watch::Watch;

/// One future under one watch.
pub(crate) struct Pacing<'a, F> {
    future: Pin<&'a mut F>,
    watch: &'a Watch,
    poll_first: PollFirst,
}

/// What the process has to act on.
pub(crate) enum Event<T, M> {
    /// The future is done.
    Done(T),
    Mail(Mail<M>),
    /// There is an earlier deadline, or another route.
    PaceChanged,
    /// The deadline may have passed.
    Alarm,
}

/// What the next poll begins with: the future is not polled again when it just was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PollFirst {
    Future,
    Mail,
}

impl<'a, F: Future> Pacing<'a, F> {
    pub(crate) fn new(future: Pin<&'a mut F>, watch: &'a Watch) -> Self {
        Self { future, watch, poll_first: PollFirst::Future }
    }

    /// The future, between two events.
    pub(crate) fn future(&mut self) -> Pin<&mut F> {
        self.future.as_mut()
    }

    /// The next event. Not to be called again when the future is done.
    pub(crate) async fn next<M: Message>(&mut self, cx: &mut Cx<M>) -> Event<F::Output, M> {
        let alarm = self.watch.deadline();
        let limit = alarm.map(|at| at.saturating_sub(self.watch.now()));
        let mut mail = pin!(receive(cx, limit));
        poll_fn(|task| {
            if std::mem::replace(&mut self.poll_first, PollFirst::Future) == PollFirst::Future {
                if let Poll::Ready(output) = self.future.as_mut().poll(task) {
                    return Poll::Ready(Event::Done(output));
                }
                // A deadline that is later now is looked for when the alarm has gone off: most requests are over before.
                if is_earlier(self.watch.deadline(), alarm) || self.watch.has_new_route() {
                    self.poll_first = PollFirst::Mail;
                    return Poll::Ready(Event::PaceChanged);
                }
            }
            mail.as_mut().poll(task).map(|mail| mail.map_or(Event::Alarm, Event::Mail))
        })
        .await
    }
}

/// Whether the deadline passes before the alarm goes off.
fn is_earlier(deadline: Option<Moment>, alarm: Option<Moment>) -> bool {
    deadline.is_some_and(|deadline| alarm.is_none_or(|alarm| deadline < alarm))
}

/// Mail, or nothing after `limit`.
async fn receive<M: Message>(cx: &mut Cx<M>, limit: Option<Duration>) -> Option<Mail<M>> {
    match limit {
        Some(limit) => cx.recv_timeout(limit).await,
        None => Some(cx.recv().await),
    }
}
