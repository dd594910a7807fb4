//! Functions that are no entry points.

struct NodeBuilder;

#[linden_macros::test]
fn a_test_that_cannot_await() {}

#[linden_macros::test]
#[test]
async fn a_test_twice() {}

#[linden_macros::main(workers = 2)]
async fn start(node: NodeBuilder) -> Result<(), ()> {
    Ok(())
}

mod inner {
    #[linden_macros::main]
    async fn main() {}
}

fn main() {}
