//! The loop of a server's process: init, then one message after the other, then terminate.
//!
//! Everything of the user's runs under `catch_unwind` here, so that a crash still reaches `terminate` and the crash report.
//! What is rare (init, news, continue, terminate) is boxed, so that an idle server is its state and a few words.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use linden_core::{CrashDetail, Cx, Info, Mail, Message, Reason, Reply, panic_reason};

use super::GenServer;
use super::context::Context;
use super::message::{ServerMsg, System};
use super::start::Init;
use crate::error::{StartError, Stop};
use crate::events;

/// How a server is started.
pub(crate) struct Birth {
    /// The name to register, if any.
    pub(crate) name: Option<Box<str>>,
    /// How often its supervisor has restarted it.
    pub(crate) restarts: u32,
    /// Told when init is through, or why it is not.
    pub(crate) started: Reply<Result<(), StartError>>,
}

/// A panic of the user's code.
type Panic = Box<dyn Any + Send>;

/// Whether the server goes on.
enum Turn {
    GoOn,
    End(Box<Ending>),
}

/// Why the server ends.
struct Ending {
    reason: Reason,
    /// What it was handling.
    during: Option<&'static str>,
    /// Who asked for it, and hears when it is done.
    asked_by: Option<Reply<Reason>>,
}

impl Ending {
    fn of_panic(panic: Panic, during: Option<&'static str>) -> Self {
        Self { reason: panic_reason(panic), during, asked_by: None }
    }

    fn of_reason(reason: Reason) -> Self {
        Self { reason, during: None, asked_by: None }
    }
}

impl From<Ending> for Turn {
    fn from(ending: Ending) -> Self {
        Self::End(Box::new(ending))
    }
}

/// A start on its way: the state and the context, or the exit reason of a start that failed.
type Beginning<S> = Pin<Box<dyn Future<Output = Result<(S, Context<S>), Reason>> + Send>>;

/// The future of a server's process.
pub(crate) fn serve<S, I, K>(
    cx: Cx<ServerMsg<S::Msg>>,
    init: I,
    birth: Birth,
) -> impl Future<Output = Reason> + Send
where
    S: GenServer,
    I: Init<S, K>,
{
    // Boxed as a whole, so that an idle server does not keep the room of what its start took.
    let begun: Beginning<S> = Box::pin(async move {
        let mut cx = Context::<S> { cx, next: None };
        let mut state = begin(&mut cx, init, birth).await?;
        match after(&mut state, &mut cx).await {
            Turn::GoOn => Ok((state, cx)),
            Turn::End(ending) => Err(end(state, cx, *ending).await),
        }
    });
    run(begun)
}

async fn run<S: GenServer>(begun: Beginning<S>) -> Reason {
    let (mut state, mut cx) = match begun.await {
        Ok(server) => server,
        Err(reason) => return reason,
    };
    let ending = loop {
        let turn = if cx.next.as_ref().is_some_and(|next| next.timeout.is_some()) {
            Box::pin(in_time(&mut state, &mut cx)).await
        } else {
            // In two parts, so that what the step gave has no place of its own beside what is done about it.
            let handling = Step::Receiving(&mut state, &mut cx).await;
            match what_next(&mut state, &mut cx, handling) {
                Ok(turn) => turn,
                Err(rest) => rest.await,
            }
        };
        if let Turn::End(ending) = turn {
            break ending;
        }
    };
    Box::pin(end(state, cx, *ending)).await
}

/// What comes after a step: at once in the usual case, otherwise by a future.
fn what_next<'a, S: GenServer>(
    state: &'a mut S,
    cx: &'a mut Context<S>,
    handling: Handling<S::Msg>,
) -> Result<Turn, Pin<Box<dyn Future<Output = Turn> + Send + 'a>>> {
    match handling {
        Handling::Done if !cx.is_due() => Ok(Turn::GoOn),
        Handling::Done => Err(Box::pin(after(state, cx))),
        Handling::Rare(mail) => Err(Box::pin(any(state, cx, Some(*mail)))),
        Handling::Panicked(crash) => Ok(Turn::End(crash)),
    }
}

/// Receives one piece of mail, and handles it if it is a call or a cast.
///
/// A future written by hand, so that no mail stands in the server's own future: a message goes from its envelope to the
/// handler within one poll, and an idle server has no room for one.
enum Step<'a, S: GenServer> {
    /// There is no mail yet.
    Receiving(&'a mut S, &'a mut Context<S>),
    /// The handler gave a future; `None` while the handler itself runs.
    Handling(Option<Box<InHand<'a>>>),
}

/// A message that is being handled. Boxed, for most handlers are through at once and leave no future.
struct InHand<'a> {
    future: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
    /// The message's name.
    during: &'static str,
}

/// What a step did.
enum Handling<M> {
    Done,
    Panicked(Box<Ending>),
    /// It was no call or cast.
    Rare(Box<Mail<ServerMsg<M>>>),
}

impl<S: GenServer> Future for Step<'_, S> {
    type Output = Handling<S::Msg>;

    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        if let Self::Receiving(_, cx) = &mut *self {
            let mail = match Pin::new(&mut cx.cx.recv()).poll(task) {
                Poll::Ready(mail) => mail,
                Poll::Pending => return Poll::Pending,
            };
            let Self::Receiving(state, cx) = std::mem::replace(&mut *self, Self::Handling(None))
            else {
                unreachable!("it was receiving above");
            };
            let message = match mail {
                Mail::Msg(ServerMsg::User(message)) => message,
                other => return Poll::Ready(Handling::Rare(Box::new(other))),
            };
            let during = message.name();
            match catch_unwind(AssertUnwindSafe(move || state.handle(message, cx).0)) {
                Ok(None) => return Poll::Ready(Handling::Done),
                Ok(Some(future)) => {
                    *self = Self::Handling(Some(Box::new(InHand { future, during })));
                }
                Err(panic) => return Poll::Ready(Handling::of_panic(panic, during)),
            }
        }
        let Self::Handling(Some(in_hand)) = &mut *self else {
            unreachable!("a step is polled until it is through");
        };
        match catch_unwind(AssertUnwindSafe(|| in_hand.future.as_mut().poll(task))) {
            Ok(poll) => poll.map(|()| Handling::Done),
            Err(panic) => Poll::Ready(Handling::of_panic(panic, in_hand.during)),
        }
    }
}

impl<M> Handling<M> {
    fn of_panic(panic: Panic, during: &'static str) -> Self {
        Self::Panicked(Box::new(Ending::of_panic(panic, Some(during))))
    }
}

/// Receives and handles one piece of mail with a time limit.
async fn in_time<S: GenServer>(state: &mut S, cx: &mut Context<S>) -> Turn {
    let timeout = cx.next().timeout.unwrap_or_default();
    let mail = cx.cx.recv_timeout(timeout).await;
    any(state, cx, mail).await
}

/// Handles any mail, or the lack of it: the way for what is rare.
async fn any<S: GenServer>(
    state: &mut S,
    cx: &mut Context<S>,
    mail: Option<Mail<ServerMsg<S::Msg>>>,
) -> Turn {
    let Some(Mail::Msg(ServerMsg::User(message))) = mail else {
        return rare(state, cx, mail).await;
    };
    let during = message.name();
    let outcome = {
        let handled = catch_unwind(AssertUnwindSafe(|| state.handle(message, cx).0));
        match handled {
            Ok(None) => Ok(()),
            Ok(Some(future)) => guard(future).await,
            Err(panic) => Err(panic),
        }
    };
    match outcome {
        Ok(()) => after(state, cx).await,
        Err(panic) => Ending::of_panic(panic, Some(during)).into(),
    }
}

/// Registers, builds the state, and runs its init.
async fn begin<S, I, K>(cx: &mut Context<S>, init: I, birth: Birth) -> Result<S, Reason>
where
    S: GenServer,
    I: Init<S, K>,
{
    if birth.restarts > 0 {
        cx.next().restarts = birth.restarts;
    }
    if let Some(name) = &birth.name
        && let Err(error) = cx.cx.register(name)
    {
        birth.started.send(Err(error.into()));
        return Err(Reason::Normal);
    }
    let built = guard(Box::pin(async {
        let mut state = init.build().await?;
        state.init(cx).await?;
        Ok::<S, Stop>(state)
    }))
    .await;
    match built {
        Ok(Ok(state)) => {
            birth.started.send(Ok(()));
            Ok(state)
        }
        Ok(Err(stop)) => Err(refuse(cx, birth.name.as_deref(), birth.started, stop)),
        Err(panic) => {
            let reason = panic_reason(panic);
            cx.cx.set_exit_reason(&reason);
            Err(refuse(cx, birth.name.as_deref(), birth.started, Stop::Because(reason)))
        }
    }
}

/// The start fails. SRV-03: the name is free before the starter hears of it, so that it may try again at once.
fn refuse<S: GenServer>(
    cx: &Context<S>,
    name: Option<&str>,
    started: Reply<Result<(), StartError>>,
    stop: Stop,
) -> Reason {
    if let Some(name) = name {
        cx.node().unregister(name);
    }
    leave_detail(cx, Some("init"), None);
    let reason = match &stop {
        Stop::Because(reason) => reason.clone(),
        Stop::Ignore => Reason::Normal,
    };
    started.send(Err(stop.into()));
    reason
}

/// What is no call or cast: news, system requests, a timeout.
async fn rare<S: GenServer>(
    state: &mut S,
    cx: &mut Context<S>,
    mail: Option<Mail<ServerMsg<S::Msg>>>,
) -> Turn {
    let (during, ran) = match mail {
        None => ("timeout", guard(Box::pin(state.handle_timeout(cx))).await),
        // SRV-16: a server that traps exits ends with its parent, through terminate, as OTP's does.
        Some(Mail::Info(Info::Exit { from, reason })) if cx.cx.is_told_by(from) => {
            return Ending::of_reason(reason).into();
        }
        Some(Mail::Info(info)) => ("info", guard(Box::pin(state.handle_info(info, cx))).await),
        Some(Mail::Msg(ServerMsg::System(system))) => match *system {
            System::Stop { reason, done } => {
                return Turn::End(Box::new(Ending { reason, during: None, asked_by: Some(done) }));
            }
            System::State(reply) => {
                reply.send(shown(state));
                return Turn::GoOn;
            }
        },
        Some(Mail::Msg(ServerMsg::User(_))) => {
            unreachable!("calls and casts are handled by the loop")
        }
    };
    match ran {
        Ok(()) => after(state, cx).await,
        Err(panic) => Ending::of_panic(panic, Some(during)).into(),
    }
}

/// Does what a callback announced.
async fn after<S: GenServer>(state: &mut S, cx: &mut Context<S>) -> Turn {
    loop {
        let Some(next) = &mut cx.next else {
            return Turn::GoOn;
        };
        if let Some(reason) = next.stop.take() {
            return Ending::of_reason(reason).into();
        }
        if !std::mem::take(&mut next.continues) {
            return Turn::GoOn;
        }
        if let Err(panic) = guard(Box::pin(state.handle_continue(cx))).await {
            return Ending::of_panic(panic, Some("continue")).into();
        }
    }
}

/// Runs terminate, drops the state, leaves what the crash report shows, and gives the exit reason.
async fn end<S: GenServer>(mut state: S, mut cx: Context<S>, ending: Ending) -> Reason {
    let Ending { mut reason, mut during, asked_by } = ending;
    // SRV-13: whoever asked for the end hears when it has come, also when a kill interrupts what follows.
    if let Some(done) = asked_by {
        cx.cx.answer_at_exit(done);
    }
    // Replies that a panic dropped are answered before terminate, which may take long.
    cx.cx.set_exit_reason(&reason);
    if let Err(panic) = guard(Box::pin(state.terminate(&reason, &mut cx))).await {
        reason = panic_reason(panic);
        during = Some("terminate");
        cx.cx.set_exit_reason(&reason);
    }
    let is_reported = !reason.is_orderly() && cx.cx.wants_crash_detail();
    let mut state_shown = is_reported.then(|| shown(&state)).flatten();
    // SRV-12: the state goes now; SRV-07: replies that it has kept are answered with the exit reason.
    let dropped = cx.cx.end_with(&reason, || catch_unwind(AssertUnwindSafe(|| drop(state))));
    if let Err(panic) = dropped {
        let panicked = panic_reason(panic);
        cx.cx.set_exit_reason(&panicked);
        if reason.is_orderly() {
            (reason, during, state_shown) = (panicked, Some("drop"), None);
        } else {
            events::drop_panicked(&panicked);
        }
    }
    if !reason.is_orderly() {
        leave_detail(&cx, during, state_shown);
    }
    reason
}

/// The state as text. A `Debug` that panics says so in its place.
fn shown<S: GenServer>(state: &S) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| state.format_state()))
        .unwrap_or_else(|panic| Some(format!("(Debug of the state {})", panic_reason(panic))))
}

fn leave_detail<S: GenServer>(
    cx: &Context<S>,
    during: Option<&'static str>,
    state: Option<String>,
) {
    cx.cx.set_crash_detail(CrashDetail { last_message: during, state, restarts: cx.restarts() });
}

/// Polls a future of the user's under `catch_unwind`.
pub(crate) async fn guard<F: Future + Unpin>(mut future: F) -> Result<F::Output, Panic> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
