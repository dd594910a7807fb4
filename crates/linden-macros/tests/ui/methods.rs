//! Methods that are no handlers.
#![allow(unused_variables)]

use std::io::Read;

use linden_macros::gen_server;

struct Billing;
struct Reply<T>(T);
struct Context<T>(T);
struct Reason;

#[gen_server(name = "billing_service", remote)]
impl Billing {
    #[call]
    fn borrowed(&self, account: &str, lines: Option<&[u8]>) {}

    #[call]
    fn nameless(&self, file: impl Read) {}

    #[call]
    fn pattern(&self, (user, amount): (u32, u64), _: u8) {}

    #[call]
    fn lent(&self) -> &u64 {
        &1
    }

    #[call]
    fn twice(&self, reply: Reply<u8>) -> u8 {
        reply.0
    }

    #[cast]
    fn answered(&self) -> u8 {
        1
    }

    #[call]
    #[cast]
    fn both(&self) {}

    #[call]
    fn consumed(self) {}

    #[cast]
    fn associated() {}

    #[call]
    fn generic<T>(&self, item: T) {}

    #[call]
    fn owned_context(&self, cx: Context<Self>) {}

    #[call]
    fn named(&self, label: &'static str) {}

    #[init]
    fn first(&mut self) {}

    #[init]
    fn second(&mut self) {}

    #[terminate]
    fn end(&mut self, reason: Reason) {}

    #[info(all)]
    fn on_info(&mut self) -> u8 {
        1
    }
}

fn main() {}
