//! What `#[linden::main]` and `#[linden::test]` write compiles and runs, over a model of `linden`.

#![allow(unreachable_pub, reason = "a program in one file")]
extern crate self as linden;

#[path = "model/linden.rs"]
mod model;
pub use model::*;

use std::process::ExitCode;

mod works {
    use super::*;

    #[linden_macros::main]
    pub async fn main(_node: NodeBuilder) -> Result<(), NodeError> {
        std::future::ready(Ok(())).await
    }
}

mod fails {
    use super::*;

    /// Ends with an error.
    #[linden_macros::main]
    #[allow(unused_mut)]
    async fn main(mut node: NodeBuilder) -> Result<(), NodeError> {
        let NodeBuilder = &mut node;
        Err(NodeError)?;
        Ok(())
    }

    pub fn run() -> ExitCode {
        main()
    }
}

#[test]
fn the_exit_code_is_what_linden_makes_of_the_result() {
    assert_eq!(works::main(), ExitCode::SUCCESS);
    assert_eq!(fails::run(), ExitCode::FAILURE);
}

#[linden_macros::test]
async fn a_test_without_a_node_runs_in_linden() {
    assert_eq!(TESTS_RUN.get(), 1);
}

#[linden_macros::test]
async fn a_test_with_a_node_gets_it(node: Node) {
    assert_eq!(node.0, "test");
}

#[linden_macros::test]
async fn a_test_may_give_a_result(node: Node) -> Result<(), NodeError> {
    std::future::ready(()).await;
    if node.0 == "test" { Ok(()) } else { Err(NodeError) }
}

#[linden_macros::test]
#[should_panic(expected = "on purpose")]
async fn attributes_of_a_test_are_kept() {
    panic!("on purpose");
}
