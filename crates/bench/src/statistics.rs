//! Medians, quartiles and percentiles, and what may be concluded from them.

use std::fmt;

/// Measurements, in ascending order and at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// `None` of nothing.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value below which this share of them lies, between two neighbours in proportion.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.0.len() - 1; // Never empty: see `new`.
        let place = share.clamp(0.0, 1.0) * last as f64;
        let below = place.floor() as usize;
        let (low, high) = (self.0[below], self.0[(below + 1).min(last)]);
        low + (high - low) * (place - place.floor())
    }

    /// The one in the middle.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Between these lies the middle half.
    pub fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }
}

/// Whether a ratio keeps a target, as far as its spread lets one say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Kept,
    Missed,
    Inconclusive,
}

/// With fewer rounds the quartiles are nearly the extremes of two or three runs.
const FEWEST_ROUNDS: usize = 5;

impl Verdict {
    /// Inconclusive when the middle half of the rounds lies on both sides of the target, or there are too few of them.
    pub fn of(ratios: &Sample, target: f64) -> Self {
        let (low, high) = ratios.quartiles();
        match () {
            () if ratios.count() < FEWEST_ROUNDS => Self::Inconclusive,
            () if low >= target => Self::Kept,
            () if high < target => Self::Missed,
            () => Self::Inconclusive,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Missed => "missed",
            Self::Inconclusive => "inconclusive: too few rounds, or their spread lies on both sides",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        Sample::new(values.iter().copied()).unwrap()
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        let five = sample(&[5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((five.median(), five.quartiles()), (3.0, (2.0, 4.0)));
        assert_eq!((five.quantile(0.0), five.quantile(1.0), five.quantile(0.875)), (1.0, 5.0, 4.5));
        assert_eq!(sample(&[7.0]).quartiles(), (7.0, 7.0));
        assert_eq!(Sample::new([]), None);
    }

    #[test]
    fn spread_around_the_target_proves_nothing() {
        assert_eq!(Verdict::of(&sample(&[0.81, 0.82, 0.83, 0.84, 0.70]), 0.80), Verdict::Kept);
        assert_eq!(Verdict::of(&sample(&[0.71, 0.72, 0.73, 0.74, 0.90]), 0.80), Verdict::Missed);
        assert_eq!(Verdict::of(&sample(&[0.70, 0.75, 0.81, 0.85, 0.90]), 0.80), Verdict::Inconclusive);
        assert_eq!(Verdict::of(&sample(&[0.90, 0.91]), 0.80), Verdict::Inconclusive);
    }
}
