//! What a panic prints: the hook that was there before the first node runs, but for processes whose node says that its crash
//! reports are enough. The only test of this binary, for the hook belongs to the whole OS process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use linden_core::{Cx, Node, NodeOptions, PanicOutput, Reason};
use stage::{Running, end_of};

#[path = "support/stage.rs"]
mod stage;

/// What the previous hook heard.
static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn heard() -> Vec<String> {
    std::mem::take(&mut HEARD.lock().expect("the hook does not panic"))
}

fn listen() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("no text").to_owned();
        HEARD.lock().expect("the hook does not panic").push(text);
    }));
}

fn crash_of(node: &Node, text: &'static str) -> Reason {
    node.block_on(end_of(node, move |_: Cx<()>| async move {
        std::panic::panic_any(text);
        #[expect(unreachable_code, reason = "tells the type")]
        Reason::Normal
    }))
}

fn says_where(reason: &Reason, text: &str) -> bool {
    matches!(reason, Reason::Panic(info) if info.message == text
        && info.location.contains("tests/crash_output.rs:"))
}

// proves: EXIT-04
#[test]
fn a_panic_reaches_the_previous_hook_unless_the_crash_report_is_enough() {
    listen();
    let start = |panic_output| {
        Running::with_options(NodeOptions { workers: 1, panic_output, ..NodeOptions::default() })
    };
    let (loud, silent) = (start(PanicOutput::Chain), start(PanicOutput::CrashReportOnly));
    assert!(says_where(&crash_of(&loud, "loud"), "loud"));
    assert_eq!(heard(), ["loud"]);
    assert!(says_where(&crash_of(&silent, "silent"), "silent"), "the reason knows it all the same");
    assert_eq!(heard(), [""; 0]);
    let thread = std::thread::spawn(|| panic!("a thread")).join();
    let task = silent.block_on(silent.runtime().spawn(async { panic!("a task") }));
    let blocking = silent.block_on(silent.runtime().spawn_blocking(|| panic!("blocking")));
    assert!(thread.is_err() && task.is_err() && blocking.is_err());
    assert_eq!(heard(), ["a thread", "a task", "blocking"]);
    let entered = catch_unwind(AssertUnwindSafe(|| silent.block_on(async { panic!("block_on") })));
    assert!(entered.is_err());
    assert_eq!(heard(), ["block_on"]);
}
