//! The panic hook: remembers what a process's panic said, for its exit reason.
//!
//! Installed once per OS process, by the first node, in front of the hook that was there. A panic outside of processes goes on
//! to that hook untouched; a panic inside a process goes on to it as well unless the node was told that its crash reports
//! say enough ([`crate::PanicOutput`]).

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Once};
use std::task::Waker;

use crate::options::PanicOutput;
use crate::reason::{PanicInfo, Reason};
use crate::worker;

thread_local! {
    /// Where the newest panic of this thread began, until its reason is made.
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(
            move |info: &PanicHookInfo<'_>| match worker::panic_output_here() {
                Some(output) => {
                    let location = info.location().map(ToString::to_string);
                    LOCATION.with_borrow_mut(|place| *place = location);
                    if output == PanicOutput::Chain {
                        previous(info);
                    }
                }
                None => previous(info),
            },
        ));
    });
}

/// The exit reason of a panic that was just caught on this thread.
///
/// Never unwinds: a payload whose own drop panics is leaked.
#[must_use]
pub fn panic_reason(payload: Box<dyn Any + Send>) -> Reason {
    let message = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(the panic's payload is no text)".to_owned()
    };
    if let Err(nested) = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(nested);
    }
    let location = LOCATION.with_borrow_mut(Option::take).unwrap_or_default();
    Reason::Panic(Arc::new(PanicInfo { message, location }))
}

/// Drops what is a user's, on a thread that must go on: a panic ends here.
pub(crate) fn drop_guarded<T>(theirs: T) {
    if let Err(payload) = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(theirs))) {
        let _ = panic_reason(payload);
    }
}

/// Wakes by a waker of somebody else's executor, whose code may panic: the panic ends here.
pub(crate) fn wake_guarded(waker: Waker) {
    if let Err(payload) = panic::catch_unwind(panic::AssertUnwindSafe(|| waker.wake())) {
        let _ = panic_reason(payload);
    }
}
