//! Limits in child specs: a child's mailbox is bounded from its start on, and again after each restart.

use kid::{Cradle, How, KidClient};
use linden::prelude::*;
use linden::{Cx, DeadLetterReason, MailboxLimit, MailboxPolicy, Task};
use stage::{Journal, check_inside, settle};

#[path = "support/kid.rs"]
mod kid;
#[path = "support/stage.rs"]
mod stage;

const LIMIT: MailboxLimit = MailboxLimit { messages_max: 3, policy: MailboxPolicy::Reject };

async fn limit_of(cx: &Cx<()>, pid: Pid) -> Option<MailboxLimit> {
    cx.node().process_info(pid).await.expect("it lives").mailbox_limit
}

// proves: LIMIT-05
#[test]
fn a_childs_mailbox_is_limited_after_each_start() {
    check_inside(0..4, |cx| async move {
        let journal = Journal::new();
        let kid = Cradle::new("a", &journal).child().max_mailbox(3, LIMIT.policy);
        let tree = Supervisor::one_for_one().intensity(5, 5.secs()).child(kid);
        let tree = tree.start().await.expect("it starts");
        for _ in 0..3 {
            settle().await;
            let pid = cx.node().whereis("a").expect("it was started");
            assert_eq!(limit_of(&cx, pid).await, Some(LIMIT));
            cx.exit(pid, Reason::Kill);
        }
        tree.stop(Reason::Shutdown).await.expect("it stops");
    });
}

// proves: LIMIT-05
#[test]
fn a_dynamic_childs_mailbox_is_limited_after_each_start() {
    check_inside(0..4, |cx| async move {
        let journal = Journal::new();
        let nursery = DynamicSupervisor::new(|cradle: &Cradle| cradle.clone().build())
            .max_mailbox(3, LIMIT.policy);
        let nursery = nursery.intensity(5, 5.secs()).start().await.expect("it starts");
        let first = nursery.start_child(Cradle::new("a", &journal)).await.expect("it starts");
        assert_eq!(limit_of(&cx, first).await, Some(LIMIT));
        let first: KidClient = ServerRef::by_pid(cx.node(), first).expect("a kid").into();
        first.end(How::Panic);
        settle().await;
        let rows = nursery.which_children().await.expect("it lives");
        let [row] = &rows[..] else { panic!("{rows:?}") };
        let linden::supervisor::decision::ChildState::Running(second) = row.state else {
            panic!("{rows:?}")
        };
        assert_eq!(limit_of(&cx, second).await, Some(LIMIT));
    });
}

struct Slow;

#[gen_server(name = "slow")]
impl Slow {
    #[cast]
    async fn work(&mut self) {
        std::future::pending::<()>().await;
    }

    #[call]
    fn ask(&mut self) -> u64 {
        7
    }
}

// proves: LIMIT-05
#[test]
fn casts_to_a_full_server_are_dead_letters_and_calls_overloaded() {
    check_inside(0..4, |cx| async move {
        let slow = child("slow", || Slow).max_mailbox(3, MailboxPolicy::Reject);
        let tree = Supervisor::one_for_one().child(slow).start().await.expect("it starts");
        let slow = Slow::named();
        slow.work();
        settle().await;
        (0..5).for_each(|_| slow.work());
        assert_eq!(slow.ask().await, Err(CallError::Overloaded));
        let asks = Task::spawn(async { Slow::named().ask().await });
        assert_eq!(asks.await.expect("it ends well"), Err(CallError::Overloaded));
        let report = cx.node().dead_letter_report();
        let lost = &report.targets[0].1;
        assert_eq!(lost.of(DeadLetterReason::MailboxFull), 2);
        tree.stop(Reason::Kill).await.expect("it stops");
    });
}
