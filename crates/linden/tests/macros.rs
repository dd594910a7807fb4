//! The macros over the real crate: what they write fits what it stands on. Their own crate tests the rest over a model.

use linden::CallError;
use linden::prelude::*;

mod vault {
    //! A server as a service's crate has it: public, with public calls.
    #![allow(unreachable_pub, reason = "as in a crate of its own")]

    use linden::prelude::*;

    /// Keeps secrets.
    #[derive(Default)]
    pub struct Vault {
        secrets: Vec<String>,
    }

    #[gen_server(name = "vault", msg = VaultRequest, client = Vaults)]
    impl Vault {
        /// Keeps a secret and says how many there are.
        #[call]
        pub fn keep(&mut self, secret: String) -> usize {
            self.secrets.push(secret);
            self.helper()
        }

        /// Says how many secrets there are, and by which process.
        #[call]
        pub async fn count(&self, cx: &mut Context<Self>) -> (usize, Pid) {
            (self.helper(), cx.pid())
        }

        #[cast]
        fn forget(&mut self) {
            self.secrets.clear();
        }

        fn helper(&self) -> usize {
            self.secrets.len()
        }
    }
}

#[linden::test]
async fn a_public_server_is_called_by_the_names_that_it_was_given() -> Result<(), CallError> {
    use vault::{Vault, VaultRequest, Vaults};
    let vaults: Vaults = Vault::start(Vault::default).await.expect("it starts");
    assert_eq!(vaults.keep("a".to_owned()).await?, 1);
    assert_eq!(Some(vaults.count().await?.1), Vault::named().pid());
    vaults.cast(VaultRequest::Forget {});
    assert_eq!(Vault::named().count().await?.0, 0);
    Ok(())
}

#[linden::test]
async fn a_test_may_take_its_node(node: Node) {
    assert_eq!(node.workers(), 2);
    assert_eq!(Node::current().map(|node| node.id()), Some(node.id()));
    assert_eq!(node.process_count(), 0);
}

#[linden::test]
#[should_panic(expected = "as it must")]
async fn a_test_that_panics_fails() {
    panic!("as it must");
}

#[linden::test]
async fn every_callback_has_a_mark() {
    #[derive(Default)]
    struct Marked {
        history: Vec<&'static str>,
        asked: Option<Reply<Vec<&'static str>>>,
    }

    #[gen_server]
    impl Marked {
        #[init]
        async fn begin(&mut self, cx: &mut Context<Self>) -> Result<(), Stop> {
            self.history.push("init");
            cx.continue_();
            Ok(())
        }

        #[continues]
        async fn go_on(&mut self) {
            self.history.push("continue");
        }

        #[call]
        fn history(&mut self, reply: Reply<Vec<&'static str>>, cx: &mut Context<Self>) {
            self.asked = Some(reply);
            cx.start_timer(1.ms());
        }

        #[info]
        fn hear(&mut self, cx: &mut Context<Self>, _info: Info) {
            self.history.push("info");
            cx.set_timeout(1.ms());
        }

        #[timeout]
        fn idle(&mut self, cx: &mut Context<Self>) {
            self.history.push("timeout");
            cx.stop(Reason::Shutdown);
        }

        #[terminate]
        async fn end(&mut self, reason: &Reason) {
            self.history.push(if *reason == Reason::Shutdown { "terminate" } else { "lost" });
            let asked = self.asked.take().expect("the call starts what ends here");
            asked.send(std::mem::take(&mut self.history));
        }
    }

    let marked = Marked::start(Marked::default).await.expect("it starts");
    let history = marked.history().await.expect("it answers at its end");
    assert_eq!(history, ["init", "continue", "info", "timeout", "terminate"]);
}
