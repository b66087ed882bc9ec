//! Whether two samples show that they are not of one distribution, by the ranks of their values: the test of Mann and Whitney. It asks
//! for no shape of the distribution, and outliers count for no more than their place. What was measured at one time is ranked among itself,
//! and the outcomes are summed as van Elteren has it: so what is measured while the machine has nothing else to do counts for all that
//! it shows, and where the order of measuring was random the test holds whatever the machine had to do meanwhile.

/// How many standard deviations the sum of ranks may be off: more are left to chance twice in a million.
const LIMIT: f64 = 4.75;

/// So many are ranked together, as they follow each other.
const AT_ONE_TIME: usize = 20;

/// Times, each of one kind or the other.
#[derive(Default)]
pub struct Ranks(Vec<(f64, bool)>);

impl Ranks {
    pub fn add(&mut self, kind: bool, time: f64) {
        self.0.push((time, kind));
    }

    /// By how many standard deviations those of the kind `true` rank higher than they would in one distribution.
    fn difference(&self) -> f64 {
        let (mut higher, mut variance) = (0.0, 0.0);
        for times in self.0.chunks(AT_ONE_TIME) {
            let (off, of_one_distribution) = ranked(times);
            let weight = 1.0 / (times.len() as f64 + 1.0);
            higher += weight * off;
            variance += weight.powi(2) * of_one_distribution;
        }
        if variance > 0.0 { higher / variance.sqrt() } else { 0.0 }
    }

    /// Those of the kind `true` taking longer by so many milliseconds, each of them.
    fn slower(&self, by: f64) -> Self {
        Self(self.0.iter().map(|(time, kind)| (if *kind { time + by } else { *time }, *kind)).collect())
    }

    /// Whether it would have been seen that those of the kind `true` take longer by so many milliseconds, or are done sooner.
    pub fn would_show(&self, by: f64) -> bool {
        self.slower(by).difference() > LIMIT && self.slower(-by).difference() < -LIMIT
    }

    /// From how many milliseconds on it would; of powers of two.
    fn shows(&self) -> f64 {
        let mut steps = (-10..20).map(|power| 2.0_f64.powi(power));
        steps.find(|by| self.would_show(*by)).unwrap_or(f64::INFINITY)
    }

    /// By how many milliseconds the median of those of the kind `true` is later.
    pub fn shift(&self) -> f64 {
        self.median(true) - self.median(false)
    }

    pub fn shortest(&self) -> f64 {
        self.0.iter().map(|(time, _)| *time).fold(f64::INFINITY, f64::min)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn are_told_apart(&self) -> bool {
        self.difference() > LIMIT
    }

    fn median(&self, of: bool) -> f64 {
        let mut times: Vec<f64> = self.0.iter().filter(|(_, kind)| *kind == of).map(|(time, _)| *time).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }

    pub fn report(&self, what: &str) -> String {
        let (one, other, difference) = (self.median(true), self.median(false), self.difference());
        let (times, shows) = (self.0.len(), self.shows());
        format!(
            "{what}: {one:.3} and {other:.3} ms, {difference:.1} deviations of {times} times; {shows:.3} ms more are seen"
        )
    }

    pub fn are_of_one_kind(&self, what: &str) {
        println!("{}", self.report(what));
        assert!(self.difference().abs() < LIMIT, "told apart by how long they take: {}", self.report(what));
    }

    pub fn are_of_two_kinds(&self, what: &str) {
        println!("{}", self.report(what));
        assert!(self.are_told_apart(), "not told apart: {}", self.report(what));
    }
}

/// How much higher the sum of the ranks of the kind `true` is than it would be in one distribution, and its variance there.
fn ranked(times: &[(f64, bool)]) -> (f64, f64) {
    let mut all = times.to_vec();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut sum, mut ties, mut before) = (0.0, 0.0, 0.0);
    for equal in all.chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq()) {
        let count = equal.len() as f64;
        let of_kind = equal.iter().filter(|(_, kind)| *kind).count() as f64;
        sum += of_kind * (before + (count + 1.0) / 2.0);
        ties += count.powi(3) - count;
        before += count;
    }
    let (all, some) = (before, times.iter().filter(|(_, kind)| *kind).count() as f64);
    let others = all - some;
    if some == 0.0 || others == 0.0 {
        return (0.0, 0.0);
    }
    (sum - some * (all + 1.0) / 2.0, some * others / 12.0 * (all + 1.0 - ties / (all * (all - 1.0))))
}

#[test]
fn ranks_tell_a_shift_and_nothing_else() {
    let ranks = |shift: f64| {
        let mut ranks = Ranks::default();
        // An outlier of each kind, and a spread of a hundred.
        ranks.add(true, 1e9);
        ranks.add(false, -1e9);
        for number in 0..400 {
            let time = f64::from(number * 37 % 101);
            ranks.add(number % 2 == 0, time + if number % 2 == 0 { shift } else { 0.0 });
        }
        ranks
    };
    let difference = |shift: f64| ranks(shift).difference();
    assert!(difference(0.0).abs() < 1.0, "{}", difference(0.0));
    assert!(difference(30.0) > LIMIT && difference(-30.0) < -LIMIT, "{} {}", difference(30.0), difference(-30.0));
    let shows = ranks(0.0).shows();
    assert!(ranks(0.0).would_show(shows) && !ranks(0.0).would_show(shows / 2.0), "{shows}");
    assert!(ranks(shows).are_told_apart() && ranks(-shows).difference() < -LIMIT, "{shows}");
    // As far as it lies off already it needs more.
    assert!(!ranks(shows / 2.0).would_show(shows), "{shows}");
    assert!((ranks(30.0).shift() - ranks(0.0).shift() - 30.0).abs() < 1e-9);
    // What is slower at one time for both kinds tells nothing, and hides nothing.
    let unsteady = |shift: f64| {
        let slower = |nth: usize| if (nth / AT_ONE_TIME).is_multiple_of(2) { 0.0 } else { 1e3 * (nth % 7) as f64 };
        let times = ranks(shift).0.into_iter().enumerate().map(|(nth, (time, kind))| (time + slower(nth), kind));
        Ranks(times.collect()).difference()
    };
    assert!(unsteady(0.0).abs() < 1.0 && unsteady(40.0) > LIMIT, "{} {}", unsteady(0.0), unsteady(40.0));
    // By hand: ranks 1, 2.5 and 4 against 2.5 and 5, of 3 and 2.
    let by_hand = Ranks(vec![(1.0, true), (2.0, true), (2.0, false), (3.0, true), (4.0, false)]);
    assert!((by_hand.difference() - (7.5 - 9.0) / (6.0_f64 / 12.0 * (6.0 - 6.0 / 20.0)).sqrt()).abs() < 1e-9);
}
