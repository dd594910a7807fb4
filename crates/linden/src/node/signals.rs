//! SIGTERM and SIGINT while a node runs.
//!
//! The first of them is heard by a thread of its own; the next ends the OS process within the signal handler itself. So neither
//! needs a worker of the node, nor a lock that a stuck thread may hold.
//!
//! Absent on purpose: giving the signals back. Once a program has heard of them, their default is gone, as with any Unix
//! signal library.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use linden_core::{Call, reply_channel};
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Handle;
use signal_hook::{flag, iterator, low_level};

/// What asks a program to end.
const ENDING: [i32; 2] = [SIGTERM, SIGINT];

/// The exit status of a program that was signalled twice: 128 and the number of SIGINT, as shells show it.
const TWICE: i32 = 130;

/// The signals that end a program, heard until this value goes.
pub(super) struct Signals {
    first: Call<'static, ()>,
    thread: Handle,
    _actions: Actions,
}

/// What is done within the signal handlers, until this value goes.
#[derive(Default)]
struct Actions(Vec<SigId>);

impl Signals {
    pub(super) fn hear() -> io::Result<Self> {
        let mut signals = iterator::Signals::new(ENDING)?;
        let actions = Actions::set_up()?;
        let thread = signals.handle();
        let (told, first) = reply_channel();
        std::thread::Builder::new().name("linden-signals".to_owned()).spawn(move || {
            if signals.forever().next().is_some() {
                told.send(());
            }
        })?;
        Ok(Self { first, thread, _actions: actions })
    }

    /// Waits for the first signal.
    pub(super) async fn first(&mut self) {
        // The thread tells before it ends, unless this value has gone.
        let _ = (&mut self.first).await;
    }
}

impl Actions {
    fn set_up() -> io::Result<Self> {
        let mut actions = Self::default();
        let asked = Arc::new(AtomicBool::new(false));
        // APP-12: in the order of registration, so that the first signal finds the flag down, and any later one finds it up.
        for signal in ENDING {
            actions.0.push(flag::register_conditional_shutdown(signal, TWICE, asked.clone())?);
        }
        for signal in ENDING {
            actions.0.push(flag::register(signal, asked.clone())?);
        }
        Ok(actions)
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        for action in self.0.drain(..) {
            low_level::unregister(action);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.thread.close();
    }
}
