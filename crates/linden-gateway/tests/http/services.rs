//! Services behind the routes of the tests.

use linden::prelude::*;
use linden_gateway::ServiceError;

/// A service that answers, crashes, or keeps its caller waiting.
#[derive(Default)]
pub(crate) struct Clerk {
    kept: Vec<Reply<String>>,
}

#[gen_server]
impl Clerk {
    #[call]
    pub(crate) fn greet(&self, name: String) -> String {
        format!("hello {name}")
    }

    #[call]
    pub(crate) fn crash(&mut self) -> String {
        panic!("a secret of the clerk")
    }

    #[call]
    pub(crate) fn keep_waiting(&mut self, reply: Reply<String>) {
        self.kept.push(reply);
    }
}

/// What a handler makes of a call.
pub(crate) type Answer = Result<String, ServiceError>;

/// The clerk's client around any reference to it.
pub(crate) fn client(clerk: ServerRef<Clerk>) -> ClerkClient {
    clerk.into()
}
