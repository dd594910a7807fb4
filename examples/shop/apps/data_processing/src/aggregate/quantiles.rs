//! Quantiles of one group, in bounded memory.
//!
//! Exact up to [`EXACT_MAX`] values; beyond, a DDSketch, whose bins are counters: what it says depends
//! on the values alone and neither on their order nor on how they were merged. Its memory is bounded
//! by the number of bins, which covers every value that a file may hold.

use std::fmt;

use sketches_ddsketch::{Config, DDSketch};

use crate::Decimal;

/// A quantile of more than [`EXACT_MAX`] values is off by at most this part of itself.
pub const QUANTILE_ERROR_MAX: f64 = 0.01;
/// So few values are kept as they are.
pub const EXACT_MAX: usize = 16;
/// From a billionth to 10^18 by steps of two percent.
const BINS_MAX: u32 = 4_096;
/// Less than the least positive value.
const ZERO_BELOW: f64 = 1e-10;
const ONE: f64 = 1e9;

/// The distribution of at least one value.
#[derive(Clone)]
pub(super) enum Quantiles {
    /// In no order.
    Exact(Vec<Decimal>),
    Sketch(Box<DDSketch>),
}

impl Quantiles {
    pub(super) fn of(value: Decimal) -> Quantiles {
        Quantiles::Exact(vec![value])
    }

    pub(super) fn add(&mut self, value: Decimal) {
        match self {
            Quantiles::Exact(values) if values.len() < EXACT_MAX => values.push(value),
            Quantiles::Exact(_) => self.sketch().add(float(value)),
            Quantiles::Sketch(sketch) => sketch.add(float(value)),
        }
    }

    pub(super) fn merge(&mut self, other: Quantiles) {
        match other {
            Quantiles::Exact(values) => values.into_iter().for_each(|value| self.add(value)),
            Quantiles::Sketch(other) => {
                self.sketch().merge(&other).expect("all sketches have one configuration");
            }
        }
    }

    /// The value below or at which so many percent of the values are: of `n` sorted values the one at
    /// `percent * (n - 1) / 100`, rounded down.
    pub(super) fn percentile(&self, percent: u8) -> Decimal {
        match self {
            Quantiles::Exact(values) => {
                let mut sorted = values.clone();
                sorted.sort_unstable();
                sorted[usize::from(percent) * (sorted.len() - 1) / 100]
            }
            Quantiles::Sketch(sketch) => {
                let quantile = sketch.quantile(f64::from(percent) / 100.0);
                let value = quantile.ok().flatten().expect("a sketch is not empty");
                Decimal::from_billionths((value * ONE).round() as i128)
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Quantiles::Exact(values) => values.capacity() * size_of::<Decimal>(),
            Quantiles::Sketch(sketch) => size_of::<DDSketch>() + sketch.length() * size_of::<u64>(),
        }
    }

    fn sketch(&mut self) -> &mut DDSketch {
        if let Quantiles::Exact(values) = self {
            let mut sketch = DDSketch::new(Config::new(QUANTILE_ERROR_MAX, BINS_MAX, ZERO_BELOW));
            values.iter().for_each(|&value| sketch.add(float(value)));
            *self = Quantiles::Sketch(Box::new(sketch));
        }
        match self {
            Quantiles::Sketch(sketch) => sketch,
            Quantiles::Exact(_) => unreachable!("it was made a sketch"),
        }
    }
}

impl fmt::Debug for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantiles::Exact(values) => f.debug_tuple("Exact").field(values).finish(),
            Quantiles::Sketch(sketch) => write!(f, "Sketch({} values)", sketch.count()),
        }
    }
}

fn float(value: Decimal) -> f64 {
    value.billionths() as f64 / ONE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[i128]) -> Quantiles {
        let mut values = values.iter().copied().map(Decimal::from_billionths);
        let mut quantiles = Quantiles::of(values.next().unwrap());
        values.for_each(|value| quantiles.add(value));
        quantiles
    }

    fn shown(quantiles: &Quantiles) -> Vec<Decimal> {
        [0, 1, 10, 50, 90, 99, 100].map(|percent| quantiles.percentile(percent)).to_vec()
    }

    #[test]
    fn few_values_have_exact_quantiles() {
        let quantiles = of(&[5, 1, 3, 2, 4]);
        let found = [0, 49, 50, 75, 99, 100].map(|p| quantiles.percentile(p).billionths());
        assert_eq!(found, [1, 2, 3, 4, 4, 5]);
    }

    #[test]
    fn the_extremes_of_the_range_share_one_sketch() {
        let (least, greatest) = (1, 1_000_000_000_000_000_000_i128 * 1_000_000_000);
        let values: Vec<i128> = [least, -least, 0, greatest, -greatest].repeat(20);
        let quantiles = of(&values);
        for (percent, exact) in [(5, -greatest), (30, -least), (50, 0), (70, least), (95, greatest)]
        {
            let found = quantiles.percentile(percent).billionths();
            assert!((found - exact).abs() as f64 <= QUANTILE_ERROR_MAX * exact.abs() as f64 + 1.0);
        }
        assert!(quantiles.heap_bytes() < 80 * 1024, "{}", quantiles.heap_bytes());
    }

    /// Values of all magnitudes and both signs.
    fn any_values() -> impl Strategy<Value = Vec<i128>> {
        let value =
            (any::<bool>(), 0..28_u32, 1..1_000_i128).prop_map(|(negative, zeros, digits)| {
                let magnitude = (digits * 10_i128.pow(zeros)).min(10_i128.pow(27));
                if negative { -magnitude } else { magnitude }
            });
        prop::collection::vec(prop_oneof![9 => value, 1 => Just(0)], 1..200)
    }

    proptest! {
        #[test]
        fn a_quantile_is_near_an_exact_one_of_the_same_rank(values in any_values()) {
            let quantiles = of(&values);
            let mut sorted = values.clone();
            sorted.sort_unstable();
            for percent in [1_u8, 10, 50, 90, 99] {
                let found = quantiles.percentile(percent).billionths();
                let rank = usize::from(percent) * (sorted.len() - 1) / 100;
                // A rank may be one less where a float falls short of a whole number.
                let near = [rank.saturating_sub(1), rank].iter().any(|&rank| {
                    let (exact, error) = (sorted[rank], found - sorted[rank]);
                    // A rounding of the root of two bins and of a billionth.
                    error.abs() as f64 <= exact.abs() as f64 * (QUANTILE_ERROR_MAX + 1e-9) + 1.0
                });
                prop_assert!(near, "{}% is {}, not {}", percent, found, sorted[rank]);
            }
        }

        #[test]
        fn any_split_and_order_gives_the_same(
            mut values in any_values(),
            at in any::<prop::sample::Index>(),
        ) {
            let whole = of(&values);
            values.reverse();
            let at = at.index(values.len());
            let (left, right) = values.split_at(at);
            let mut merged = of(right);
            if !left.is_empty() {
                merged.merge(of(left));
            }
            prop_assert_eq!(shown(&merged), shown(&whole));
        }
    }
}
