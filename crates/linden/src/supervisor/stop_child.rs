//! Stopping one child: asked, waited for, killed when its time is up.

use std::time::Duration;

use linden_core::{Cx, Flush, Info, Mail, MailRef, Message, Pid, Reason, Ref};

use super::decision::{ExitKind, Shutdown};

/// As much of an exit reason as a supervisor's decision depends on.
#[must_use]
pub fn exit_kind(reason: &Reason) -> ExitKind {
    match reason {
        Reason::Normal => ExitKind::Normal,
        Reason::Shutdown => ExitKind::Shutdown,
        Reason::ShutdownWith(_) => ExitKind::ShutdownWith,
        Reason::Killed => ExitKind::Killed,
        _ => ExitKind::Abnormal,
    }
}

/// Stops a child by its terms and waits for its end. The child may have died already: then its own reason is returned.
///
/// SUP-21: the child is monitored for it, so that one that took its link down ends as well; what its link still says is not heard as
/// news by the supervisor, for it forgets the child.
pub(crate) async fn stop_child<M: Message>(cx: &mut Cx<M>, pid: Pid, shutdown: Shutdown) -> Reason {
    let reference = cx.monitor(pid);
    let down = match shutdown {
        Shutdown::Brutal => None,
        Shutdown::Timeout(timeout) => asked(cx, pid, reference, timeout).await,
        Shutdown::Infinity => {
            cx.exit(pid, Reason::Shutdown);
            Some(cx.recv_match(|mail| is_down(&mail, reference)).await)
        }
    };
    let down = match down {
        Some(down) => down,
        None => {
            cx.exit(pid, Reason::Kill);
            cx.recv_match(|mail| is_down(&mail, reference)).await
        }
    };
    own_reason(cx, pid, down).await
}

/// As [`stop_child`] with a timeout, for who must go on whatever happens: a process that has not ended `patience` after it was
/// killed, for it never lets go of its thread, is left behind: `None`.
pub(crate) async fn stop_or_leave<M: Message>(
    cx: &mut Cx<M>,
    pid: Pid,
    timeout: Duration,
    patience: Duration,
) -> Option<Reason> {
    let reference = cx.monitor(pid);
    let mut down = asked(cx, pid, reference, timeout).await;
    if down.is_none() {
        cx.exit(pid, Reason::Kill);
        down = cx.recv_match_timeout(patience, |mail| is_down(&mail, reference)).await;
    }
    match down {
        Some(down) => Some(own_reason(cx, pid, down).await),
        None => {
            cx.demonitor(reference, Flush::Yes);
            None
        }
    }
}

/// Tells a process to shut down; its end, if it comes in time.
async fn asked<M: Message>(
    cx: &mut Cx<M>,
    pid: Pid,
    reference: Ref,
    timeout: Duration,
) -> Option<Mail<M>> {
    cx.exit(pid, Reason::Shutdown);
    cx.recv_match_timeout(timeout, |mail| is_down(&mail, reference)).await
}

fn is_down<M>(mail: &MailRef<'_, M>, wanted: Ref) -> bool {
    matches!(mail, MailRef::Info(Info::Down { reference, .. }) if *reference == wanted)
}

/// The reason in a `Down`; for a child that was dead before, the one that its link brought.
async fn own_reason<M: Message>(cx: &mut Cx<M>, pid: Pid, down: Mail<M>) -> Reason {
    let Mail::Info(Info::Down { reason, .. }) = down else {
        unreachable!("a Down was selected");
    };
    if reason != Reason::NoProc {
        return reason;
    }
    let earlier = cx
        .recv_match_timeout(
            Duration::ZERO,
            |mail| matches!(mail, MailRef::Info(Info::Exit { from, .. }) if *from == pid),
        )
        .await;
    match earlier {
        Some(Mail::Info(Info::Exit { reason, .. })) => reason,
        _ => Reason::NoProc,
    }
}
