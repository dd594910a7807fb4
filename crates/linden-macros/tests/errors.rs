//! Every mistake is reported at the tokens to change. (What each text says is tested in
//! `src/*/tests.rs`.)

#[test]
fn mistakes_are_reported_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
