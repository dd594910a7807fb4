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
use super::context::{Context, Next};
use super::message::{ServerMsg, System};
use super::start::Init;
use crate::error::{StartError, Stop};

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
    fn of_panic(panic: Panic, during: Option<&'static str>) -> Turn {
        Turn::End(Box::new(Self { reason: panic_reason(panic), during, asked_by: None }))
    }

    fn of_reason(reason: Reason) -> Turn {
        Turn::End(Box::new(Self { reason, during: None, asked_by: None }))
    }
}

/// The future of a server's process.
pub(crate) async fn serve<S, I, K>(cx: Cx<ServerMsg<S::Msg>>, init: I, birth: Birth) -> Reason
where
    S: GenServer,
    I: Init<S, K>,
{
    let mut cx = Context::<S> { cx, next: None };
    let mut state = match Box::pin(begin(&mut cx, init, birth)).await {
        Ok(state) => state,
        Err(reason) => return reason,
    };
    let mut turn = Box::pin(after(&mut state, &mut cx)).await;
    loop {
        if let Turn::End(ending) = turn {
            break Box::pin(end(state, cx, *ending)).await;
        }
        if let Some(next) = &cx.next
            && next.timeout.is_some()
        {
            let mail = Box::pin(receive_in_time(&mut cx)).await;
            turn = Box::pin(any(&mut state, &mut cx, mail)).await;
            continue;
        }
        // No mail stands in this future: it goes from its envelope to the handler within one poll of the step.
        let outcome = {
            let step = Step { server: Some((&mut state, &mut cx)) };
            match step.await {
                Handling::Done => Outcome::Handled,
                Handling::Rare(mail) => Outcome::Rare(mail),
                Handling::Panicked(panic, during) => Outcome::Panicked(panic, during),
                Handling::Future(future, during) => match guard(future).await {
                    Ok(()) => Outcome::Handled,
                    Err(panic) => Outcome::Panicked(panic, during),
                },
            }
        };
        turn = match outcome {
            Outcome::Handled if cx.next.is_none() => Turn::GoOn,
            Outcome::Handled => Box::pin(after(&mut state, &mut cx)).await,
            Outcome::Rare(mail) => Box::pin(any(&mut state, &mut cx, Some(*mail))).await,
            Outcome::Panicked(panic, during) => Ending::of_panic(panic, Some(during)),
        };
    }
}

/// Receives one piece of mail, and handles it if it is a call or a cast.
struct Step<'a, S: GenServer> {
    /// `Some` until it is through.
    server: Option<(&'a mut S, &'a mut Context<S>)>,
}

/// What a step did.
enum Handling<'a, M> {
    Done,
    /// The handler gave a future, of the message with this name.
    Future(Pin<Box<dyn Future<Output = ()> + Send + 'a>>, &'static str),
    /// The handler of the message with this name panicked.
    Panicked(Panic, &'static str),
    /// It was no call or cast.
    Rare(Box<Mail<ServerMsg<M>>>),
}

/// What is left of it when the handler's future is through.
enum Outcome<M> {
    Handled,
    Panicked(Panic, &'static str),
    Rare(Box<Mail<ServerMsg<M>>>),
}

impl<'a, S: GenServer> Future for Step<'a, S> {
    type Output = Handling<'a, S::Msg>;

    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let (_, cx) = self.server.as_mut().expect("a step is polled until it is through");
        let mail = match Pin::new(&mut cx.cx.recv()).poll(task) {
            Poll::Ready(mail) => mail,
            Poll::Pending => return Poll::Pending,
        };
        let (state, cx) = self.server.take().expect("a step is through once");
        match mail {
            Mail::Msg(ServerMsg::User(message)) => Poll::Ready(handle(state, cx, message)),
            other => Poll::Ready(Handling::Rare(Box::new(other))),
        }
    }
}

#[inline]
fn handle<'a, S: GenServer>(
    state: &'a mut S,
    cx: &'a mut Context<S>,
    message: S::Msg,
) -> Handling<'a, S::Msg> {
    let during = message.name();
    match catch_unwind(AssertUnwindSafe(move || state.handle(message, cx).0)) {
        Ok(None) => Handling::Done,
        Ok(Some(future)) => Handling::Future(future, during),
        Err(panic) => Handling::Panicked(panic, during),
    }
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
    let outcome = match handle(state, cx, message) {
        Handling::Future(future, during) => guard(future).await.map_err(|panic| (panic, during)),
        Handling::Panicked(panic, during) => Err((panic, during)),
        Handling::Done | Handling::Rare(_) => Ok(()),
    };
    match outcome {
        Ok(()) => after(state, cx).await,
        Err((panic, during)) => Ending::of_panic(panic, Some(during)),
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
            leave_detail(cx, Some("init"), None);
            Err(refuse(cx, birth.name.as_deref(), birth.started, Stop::Because(reason)))
        }
    }
}

/// The start fails: the name is free before the starter hears of it, so that it may try again at once.
fn refuse<S: GenServer>(
    cx: &Context<S>,
    name: Option<&str>,
    started: Reply<Result<(), StartError>>,
    stop: Stop,
) -> Reason {
    if let Some(name) = name {
        cx.node().unregister(name);
    }
    let reason = match &stop {
        Stop::Because(reason) => reason.clone(),
        Stop::Ignore => Reason::Normal,
    };
    started.send(Err(stop.into()));
    reason
}

async fn receive_in_time<S: GenServer>(cx: &mut Context<S>) -> Option<Mail<ServerMsg<S::Msg>>> {
    let timeout = cx.next().timeout.unwrap_or_default();
    cx.cx.recv_timeout(timeout).await
}

/// What is no call or cast: news, system requests, a timeout.
async fn rare<S: GenServer>(
    state: &mut S,
    cx: &mut Context<S>,
    mail: Option<Mail<ServerMsg<S::Msg>>>,
) -> Turn {
    let (during, ran) = match mail {
        None => ("timeout", guard(Box::pin(state.handle_timeout(cx))).await),
        // A server that traps exits ends with its parent, through terminate, as OTP's does.
        Some(Mail::Info(Info::Exit { from, reason })) if cx.cx.is_told_by(from) => {
            return Ending::of_reason(reason);
        }
        Some(Mail::Info(info)) => ("info", guard(Box::pin(state.handle_info(info, cx))).await),
        Some(Mail::Msg(ServerMsg::System(system))) => match *system {
            System::Stop { reason, done } => {
                return Turn::End(Box::new(Ending { reason, during: None, asked_by: Some(done) }));
            }
            System::State(reply) => {
                let shown = catch_unwind(AssertUnwindSafe(|| state.format_state()));
                reply.send(shown.unwrap_or_else(|panic| {
                    Some(format!("(Debug of the state {})", panic_reason(panic)))
                }));
                return Turn::GoOn;
            }
        },
        Some(Mail::Msg(ServerMsg::User(_))) => {
            unreachable!("calls and casts are handled by the loop")
        }
    };
    match ran {
        Ok(()) => after(state, cx).await,
        Err(panic) => Ending::of_panic(panic, Some(during)),
    }
}

/// Does what a callback announced.
async fn after<S: GenServer>(state: &mut S, cx: &mut Context<S>) -> Turn {
    loop {
        let Some(next) = &mut cx.next else {
            return Turn::GoOn;
        };
        if let Some(reason) = next.stop.take() {
            return Ending::of_reason(reason);
        }
        if !std::mem::take(&mut next.continues) {
            return Turn::GoOn;
        }
        if let Err(panic) = guard(Box::pin(state.handle_continue(cx))).await {
            return Ending::of_panic(panic, Some("continue"));
        }
    }
}

/// Runs terminate, leaves what the crash report shows, and gives the exit reason.
async fn end<S: GenServer>(mut state: S, mut cx: Context<S>, ending: Ending) -> Reason {
    let Ending { mut reason, mut during, asked_by } = ending;
    // Replies that a panic dropped are answered before terminate, which may take long.
    cx.cx.set_exit_reason(&reason);
    if let Err(panic) = guard(Box::pin(state.terminate(&reason, &mut cx))).await {
        reason = panic_reason(panic);
        during = Some("terminate");
        cx.cx.set_exit_reason(&reason);
    }
    if !reason.is_orderly() {
        let shown = catch_unwind(AssertUnwindSafe(|| state.format_state()));
        let shown = shown
            .unwrap_or_else(|panic| Some(format!("(Debug of the state {})", panic_reason(panic))));
        leave_detail(&cx, during, shown);
    }
    if let Some(done) = asked_by {
        cx.cx.answer_at_exit(done);
    }
    reason
}

fn leave_detail<S: GenServer>(
    cx: &Context<S>,
    during: Option<&'static str>,
    state: Option<String>,
) {
    cx.cx.set_crash_detail(CrashDetail {
        last_message: during,
        state,
        restarts: cx.next.as_deref().map_or(0, |next: &Next| next.restarts),
    });
}

/// Polls a future of the user's under `catch_unwind`.
pub(crate) async fn guard<F: Future + Unpin>(mut future: F) -> Result<F::Output, Panic> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
