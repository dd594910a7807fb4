//! Servers that are written without the macro, or generic.

use linden::Message;
use linden::prelude::*;

use crate::stage::{SEEDS, check};

enum ByHandMsg {
    Get(Reply<u32>),
    Set(u32),
}

impl Message for ByHandMsg {
    fn name(&self) -> &'static str {
        match self {
            Self::Get(_) => "get",
            Self::Set(_) => "set",
        }
    }
}

struct ByHand(u32);

impl GenServer for ByHand {
    type Msg = ByHandMsg;
    type Client = ServerRef<Self>;
    const NAME: Option<&'static str> = Some("by_hand");

    fn handle<'a>(&'a mut self, msg: ByHandMsg, _: &'a mut Context<Self>) -> Handled<'a> {
        match msg {
            ByHandMsg::Get(reply) => {
                reply.send(self.0);
                Handled::done()
            }
            ByHandMsg::Set(value) => Handled::future(async move {
                tokio::time::sleep(1.ms()).await;
                self.0 = value;
            }),
        }
    }
}

#[test]
fn a_server_is_written_without_the_macro() {
    check(SEEDS, |_| async {
        let server = ByHand::start(|| ByHand(1)).await.expect("it starts");
        server.cast(ByHandMsg::Set(2));
        assert_eq!(server.call(ByHandMsg::Get).await, Ok(2));
        assert_eq!(linden::named::<ByHand>().call(ByHandMsg::Get).await, Ok(2));
        server.stop(Reason::Normal, 1.secs()).await.expect("it stops");
    });
}

#[test]
fn a_server_may_be_generic() {
    struct Store<T>(Vec<T>);
    #[gen_server]
    impl<T: Clone + Send + Sync + 'static> Store<T> {
        #[call]
        fn push(&mut self, value: T) -> usize {
            self.0.push(value);
            self.0.len()
        }
        #[call]
        async fn get(&mut self, at: usize) -> Option<T> {
            self.0.get(at).cloned()
        }
    }
    check(0..4, |_| async {
        let texts = Store::start(|| Store(vec!["a".to_owned()])).await.expect("it starts");
        let numbers = Store::start(|| Store(Vec::<u8>::new())).await.expect("it starts");
        assert_eq!(texts.push("b".to_owned()).await, Ok(2));
        assert_eq!(numbers.push(7).await, Ok(1));
        assert_eq!(texts.get(1).await, Ok(Some("b".to_owned())));
        assert_eq!(numbers.get(1).await, Ok(None));
    });
}
