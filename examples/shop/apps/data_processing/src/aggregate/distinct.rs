//! About how many different values there are, in bounded memory.
//!
//! A HyperLogLog sketch: exact to a hair for some hundred values, then with a standard error of
//! [`DISTINCT_ERROR`]. What it says depends on the set of values alone, neither on their order nor on
//! how they were merged; hence the estimate that does without the history of the sketch.

use std::fmt;

use datasketches::hll::{HllType, HllUnion};

/// The standard error of a large count, as a part of it: 1.04 divided by the root of the registers.
pub const DISTINCT_ERROR: f64 = 0.016_25;
/// 4,096 registers of a byte each.
const REGISTERS_LOG2: u8 = 12;

/// The set of values seen.
#[derive(Clone)]
pub(super) struct Distinct(HllUnion);

impl Distinct {
    pub(super) fn new() -> Distinct {
        Distinct(HllUnion::new(REGISTERS_LOG2).expect("the number of registers is allowed"))
    }

    pub(super) fn add(&mut self, value: &[u8]) {
        self.0.update_value(value);
    }

    pub(super) fn merge(&mut self, other: &Distinct) {
        self.0.update(&other.0.to_sketch(HllType::Hll8));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.composite_estimate().round() as u64
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.estimated_size()
    }
}

impl fmt::Debug for Distinct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Distinct(about {})", self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: impl IntoIterator<Item = u32>) -> Distinct {
        let mut distinct = Distinct::new();
        values.into_iter().for_each(|value| distinct.add(value.to_string().as_bytes()));
        distinct
    }

    #[test]
    fn few_values_are_counted_exactly() {
        assert_eq!(of([]).count(), 0);
        for count in [1, 2, 9, 100, 300] {
            assert_eq!(of((0..count).chain(0..count)).count(), u64::from(count));
        }
    }

    #[test]
    fn many_values_are_counted_within_four_standard_errors() {
        for count in [1_000, 10_000, 100_000, 1_000_000] {
            let found = of(0..count).count() as f64;
            let error = (found - f64::from(count)).abs() / f64::from(count);
            assert!(error <= 4.0 * DISTINCT_ERROR, "{count} are counted as {found}");
        }
    }

    #[test]
    fn a_count_takes_a_few_kilobytes_at_most() {
        assert!(of(0..5).heap_bytes() < 500);
        assert!(of(0..1_000_000).heap_bytes() < 5_000);
    }

    proptest! {
        #[test]
        fn any_split_and_order_gives_the_same(
            mut values in prop::collection::vec(0..20_000_u32, 0..3_000),
            at in any::<prop::sample::Index>(),
        ) {
            let whole = of(values.iter().copied());
            let at = at.index(values.len() + 1);
            values.reverse();
            let mut merged = of(values[at..].iter().copied());
            merged.merge(&of(values[..at].iter().copied()));
            prop_assert_eq!(merged.count(), whole.count());
        }
    }
}
