//! Debug.
use linden_core::*;
use puppet::{Order, Puppet};
use stage::*;
use std::sync::Arc;
use std::sync::atomic::*;
use std::time::Duration;
#[path = "support/puppet.rs"]
mod puppet;
#[path = "support/stage.rs"]
mod stage;
#[test]
fn zz() {
    on_node(2, |node| async move {
        let start = Arc::new(AtomicUsize::new(0));
        for round in 0..400000 {
            let (a, b) = (Puppet::spawn(&node), Puppet::spawn(&node));
            for p in [&a, &b] {
                let start = start.clone();
                let other = if p.pid() == a.pid() { b.pid() } else { a.pid() };
                let is_a = p.pid() == a.pid();
                p.cast(move |cx| {
                    start.fetch_add(1, Ordering::AcqRel);
                    let t = std::time::Instant::now();
                    while start.load(Ordering::Acquire) % 2 != 0 {
                        if t.elapsed() > Duration::from_secs(60) {
                            break;
                        }
                        std::hint::spin_loop();
                    }
                    cx.trap_exit(true);
                    cx.link(other);
                    if is_a {
                        cx.unlink(other);
                    }
                });
            }
            for p in [&a, &b] {
                let r = p.0.call(Order::Heard).timeout(Duration::from_millis(500)).await;
                if r.is_err() {
                    eprintln!("HANG {}", std::process::id());
                    std::thread::sleep(Duration::from_secs(100));
                }
            }

            let other = b.pid();
            a.run(move |cx| cx.link(other)).await;
            b.end(Reason::custom("x"));
            let r = a.0.call(Order::Hear).timeout(Duration::from_millis(500)).await;
            if r.is_err() {
                eprintln!("B round {round} {:#?}", node.processes());
                panic!();
            }
            a.end(Reason::Normal);
        }
    });
}
