//! How far values are spread: exactly, whatever their order.
//!
//! A plain value. Squares are summed up as 256-bit integers and the root is taken once, at the end,
//! so no rounding depends on the order or on who added what. Invariant: the sum of the squares times
//! the count fits into 256 bits.

use std::num::NonZeroU64;

use ethnum::U256;

use crate::Decimal;

/// The sum of the squares of some values, in billionths times billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Squares(U256);

impl Squares {
    /// The square of one value.
    pub(super) fn of(value: Decimal) -> Squares {
        let magnitude = U256::from(value.billionths().unsigned_abs());
        Squares(magnitude * magnitude)
    }

    /// The sum of both, which then is of `count` values, or `None` when it does not fit.
    pub(super) fn checked_add(self, other: Squares, count: NonZeroU64) -> Option<Squares> {
        let sum = self.0.checked_add(other.0)?;
        // So many leading zeros leave room for the product.
        (sum.leading_zeros() + count.leading_zeros() >= u64::BITS).then_some(Squares(sum))
    }

    /// The sample standard deviation of `count` values with this sum: the root of the squared
    /// distances from the mean divided by one less than the count, rounded to nine digits, half to
    /// even. `None` for a single value.
    pub(super) fn stddev(self, sum: Decimal, count: NonZeroU64) -> Option<Decimal> {
        let less_one = count.get().checked_sub(1).filter(|&less_one| less_one > 0)?;
        let magnitude = U256::from(sum.billionths().unsigned_abs());
        let squares = self.0 * U256::from(count.get());
        // The distances are at least 0, by the inequality of Cauchy and Schwarz.
        let distances = squares - magnitude * magnitude;
        let divisor = U256::from(u128::from(count.get()) * u128::from(less_one));
        Some(Decimal::from_billionths(rounded_root(distances, divisor)))
    }
}

/// The root of a quotient, rounded half to even.
fn rounded_root(dividend: U256, divisor: U256) -> i128 {
    let (quotient, rest) = (dividend / divisor, dividend % divisor);
    let root = floor_root(quotient);
    // (root + 1/2)^2 is root^2 + root + 1/4.
    let above = quotient - root * root;
    let quarters = rest * U256::new(4);
    let up = above > root
        || (above == root
            && (quarters > divisor || (quarters == divisor && root & U256::ONE == U256::ONE)));
    let root = root.as_i128();
    root + i128::from(up)
}

/// Newton's method from above: each step is nearer, until one is not.
fn floor_root(value: U256) -> U256 {
    if value == U256::ZERO {
        return value;
    }
    let bits = U256::BITS - value.leading_zeros();
    let mut root = U256::ONE << bits.div_ceil(2);
    loop {
        let next = (root + value / root) >> 1_u32;
        if next >= root {
            return root;
        }
        root = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stddev(billionths: &[i128]) -> Option<i128> {
        let values: Vec<_> = billionths.iter().copied().map(Decimal::from_billionths).collect();
        let mut squares = Squares::of(values[0]);
        let mut sum = values[0];
        for (n, value) in values.iter().enumerate().skip(1) {
            let count = NonZeroU64::new(n as u64 + 1).unwrap();
            squares = squares.checked_add(Squares::of(*value), count).unwrap();
            sum = sum.checked_add(*value).unwrap();
        }
        let count = NonZeroU64::new(values.len() as u64).unwrap();
        squares.stddev(sum, count).map(Decimal::billionths)
    }

    #[test]
    fn known_spreads_are_exact() {
        for (values, expected) in [
            (&[5][..], None),
            (&[5, 5, 5], Some(0)),
            (&[2, 4, 4, 4, 5, 5, 7, 9], Some(2)), // the root of 32/7 is 2.138
            (&[0, 2], Some(1)),                   // the root of 2 is 1.414
            (&[-10, 10], Some(14)),               // of 200: 14.142
            (&[0, 3], Some(2)),                   // of 4.5: 2.121
            (&[0, 0, 3], Some(2)),                // of 3: 1.732
            (
                &[i128::MAX / 2, -(i128::MAX / 2)],
                Some(120_307_984_584_002_255_772_516_886_238_812_528_462),
            ),
        ] {
            assert_eq!(stddev(values), expected, "{values:?}");
        }
    }

    #[test]
    fn halves_are_rounded_to_even() {
        for (dividend, divisor, expected) in
            [(1, 4, 0), (9, 4, 2), (25, 4, 2), (26, 4, 3), (24, 4, 2)]
        {
            assert_eq!(rounded_root(U256::new(dividend), U256::new(divisor)), expected);
        }
    }

    #[test]
    fn squares_that_do_not_fit_are_refused() {
        let large = Decimal::from_billionths(1 << 125);
        let mut squares = Squares::of(large);
        let refused = (2..20_u64).find(|&count| {
            let count = NonZeroU64::new(count).unwrap();
            match squares.checked_add(Squares::of(large), count) {
                Some(sum) => squares = sum,
                None => return true,
            }
            false
        });
        assert_eq!(refused, Some(8));
    }

    proptest! {
        #[test]
        fn a_root_is_the_greatest_whose_square_is_not_above(hi: u128, lo: u128, shift in 0..256_u32) {
            let value = U256::from_words(hi, lo) >> shift;
            let root = floor_root(value);
            prop_assert!(root * root <= value);
            let next = root + U256::ONE;
            prop_assert!(next.checked_mul(next).is_none_or(|square| square > value));
        }

        #[test]
        fn a_spread_agrees_with_floats(values in prop::collection::vec(-1_000_000_i64..1_000_000, 2..40)) {
            let whole: Vec<i128> = values.iter().map(|&v| i128::from(v) * 1_000_000_000).collect();
            let found = stddev(&whole).unwrap() as f64 / 1e9;
            let mean = values.iter().sum::<i64>() as f64 / values.len() as f64;
            let squares: f64 = values.iter().map(|&v| (v as f64 - mean).powi(2)).sum();
            let expected = (squares / (values.len() - 1) as f64).sqrt();
            prop_assert!((found - expected).abs() <= 1e-6 * expected.max(1.0), "{} {}", found, expected);
        }
    }
}
