//! The loop of a server's process: init, then one message after the other, then terminate.
//!
//! Everything of the user's runs under `catch_unwind` here, so that a crash still reaches `terminate` and the crash report.
//! What is rare (init, news, continue, terminate) is boxed, so that an idle server is its state and a few words.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

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
        let mail = match &cx.next {
            Some(next) if next.timeout.is_some() => Box::pin(receive_in_time(&mut cx)).await,
            _ => Some(cx.cx.recv().await),
        };
        turn = match mail {
            Some(Mail::Msg(ServerMsg::User(message))) => {
                let during = message.name();
                let outcome = {
                    let handled =
                        catch_unwind(AssertUnwindSafe(|| state.handle(message, &mut cx).0));
                    match handled {
                        Ok(None) => Ok(()),
                        Ok(Some(future)) => guard(future).await,
                        Err(panic) => Err(panic),
                    }
                };
                match outcome {
                    Ok(()) if cx.next.is_none() => Turn::GoOn,
                    Ok(()) => Box::pin(after(&mut state, &mut cx)).await,
                    Err(panic) => Ending::of_panic(panic, Some(during)),
                }
            }
            other => Box::pin(rare(&mut state, &mut cx, other)).await,
        };
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
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    })
    .await
}
