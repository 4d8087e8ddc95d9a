//! Whether two lists of times could come from the same thing: the test of Mann and Whitney, which asks how often a time of
//! the one is longer than one of the other, and no more of how times are spread.

use std::time::Duration;

/// Above this, once in a thousand pairs of lists of the same thing, they are not taken for the same (both sides; the statistic
/// is normal for lists of more than 20).
pub const Z_MAX: f64 = 3.29;

/// How many standard deviations the rank sum of the one list is from where it would be expected. Ties share their ranks.
pub fn z(one: &[Duration], other: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> = one.iter().map(|time| (*time, true)).collect();
    all.extend(other.iter().map(|time| (*time, false)));
    all.sort_unstable();
    let (mut ranks, mut at) = (0.0, 0);
    while let Some((time, _)) = all.get(at) {
        let same = all.iter().skip(at).take_while(|(other, _)| other == time).count();
        let own = all.iter().skip(at).take(same).filter(|(_, is_one)| *is_one).count();
        ranks += own as f64 * (at as f64 + (same as f64 + 1.0) / 2.0);
        at += same;
    }
    let (n, m) = (one.len() as f64, other.len() as f64);
    let u = ranks - n * (n + 1.0) / 2.0;
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    if deviation > 0.0 { (u - n * m / 2.0).abs() / deviation } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(all: impl Iterator<Item = u64>) -> Vec<Duration> {
        all.map(Duration::from_micros).collect()
    }

    #[test]
    fn lists_of_the_same_are_near_and_others_are_far() {
        let (even, odd) = (times((0..80).map(|n| 2 * n)), times((0..80).map(|n| 2 * n + 1)));
        assert!(z(&even, &odd) < 0.5, "{}", z(&even, &odd));
        let later = times((0..80).map(|n| 2 * n + 45));
        assert!(z(&even, &later) > Z_MAX, "{}", z(&even, &later));
        assert_eq!(z(&even, &even), 0.0, "ties are shared");
        // By hand: ranks 1, 2, 4 of three and two; U is 1 of 6, expected 3, deviation sqrt(3).
        let known = z(&times([1, 2, 4].into_iter()), &times([3, 5].into_iter()));
        assert!((known - 2.0 / 3.0_f64.sqrt()).abs() < 1e-9, "{known}");
        assert!(z(&[], &even).is_nan());
    }
}
