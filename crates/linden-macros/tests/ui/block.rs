//! Blocks that are no server.

use linden_macros::gen_server;

#[gen_server]
struct Billing;

#[gen_server(named = "billing_service")]
impl Billing {
    fn helper(&self) {}
}

#[gen_server(name = "")]
impl Billing {}

#[gen_server]
impl Clone for Billing {
    fn clone(&self) -> Self {
        Billing
    }
}

struct Borrowed<'a>(&'a str);

#[gen_server]
impl<'a> Borrowed<'a> {}

fn main() {
    Billing.helper();
}
