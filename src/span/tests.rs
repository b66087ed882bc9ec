//! Facts that are kept elsewhere, against what really was: nothing that is taken was changed meanwhile, whatever happens on the way.

use std::collections::BTreeMap;

use proptest::{prelude::*, strategy::ValueTree};

use super::*;

/// What changes, by number.
type Thing = u8;
const THINGS: u8 = 3;
const NODES: usize = 3;

/// What happens.
#[derive(Clone, Debug)]
enum Act {
    /// A tick in which this one changes.
    Change(Thing),
    /// A tick in which nothing of it does.
    Harmless,
    /// A tick behind which nothing that was known counts.
    Reset,
    /// The stream begins anew.
    Epoch,
    /// A node begins to apply its next tick, and has applied it.
    Begin(usize),
    Finish(usize),
    /// It starts again, behind the last tick.
    Restart(usize),
    /// It asks the database.
    Ask(usize, Thing),
    /// The question is answered, as of any tick from what was known of then to now (`percent`), and what is to be kept is on its way.
    Answer(usize, u8),
    /// It comes to where it is kept, in any order and however late.
    Arrive(usize),
    /// What is kept is lost, copied, or comes back from that copy.
    Lose,
    Dump,
    Restore,
    /// A node would like to take what is kept.
    Take(usize, Thing),
}

/// Which change made it as it is: the epoch and the tick.
type State = (i64, i64);

/// The truth: what each tick of each epoch changed; `None` is everything.
#[derive(Debug)]
struct Stream(Vec<Vec<Option<Vec<Thing>>>>);

impl Stream {
    fn last(&self) -> (usize, usize) {
        (self.0.len() - 1, self.0[self.0.len() - 1].len() - 1)
    }

    /// The state behind a tick, from the whole history. A reset does not say that it changed: here it always does.
    fn state(&self, thing: Thing, epoch: usize, tick: usize) -> State {
        let changes = |changed: &Option<Vec<Thing>>| changed.as_ref().is_none_or(|things| things.contains(&thing));
        let changed = self.0[epoch][..=tick].iter().rposition(changes).unwrap_or_default();
        (number(epoch), number(changed))
    }
}

fn number(place: usize) -> i64 {
    i64::try_from(place).unwrap()
}

/// As the dispatcher knows it: the last changes since it began.
#[derive(Debug)]
struct Node {
    epoch: usize,
    began: usize,
    told: usize,
    applying: bool,
    changed: BTreeMap<Thing, usize>,
    everything: usize,
    asked: Vec<(Thing, Span)>,
}

impl Node {
    fn beginning((epoch, tick): (usize, usize)) -> Self {
        let changed = BTreeMap::new();
        Self { epoch, began: tick, told: tick, applying: false, changed, everything: tick, asked: Vec::new() }
    }

    fn span(&self, thing: Thing) -> Span {
        let since = self.changed.get(&thing).copied().unwrap_or(self.began).max(self.everything);
        let upto = number(self.told.max(since));
        Span { epoch: Epoch(number(self.epoch)), since: Tick(number(since)), upto: Tick(upto) }
    }

    /// Where its answers have to be right: what is bumped already counts as applied.
    fn place(&self) -> usize {
        self.told + usize::from(self.applying)
    }

    fn begin(&mut self, stream: &Stream) {
        let next = self.told + 1;
        if self.applying || next >= stream.0[self.epoch].len() {
            return;
        }
        self.applying = true;
        match &stream.0[self.epoch][next] {
            None => self.everything = next,
            Some(things) => self.changed.extend(things.iter().map(|thing| (*thing, next))),
        }
    }

    fn finish(&mut self, stream: &Stream) {
        if self.applying {
            (self.applying, self.told) = (false, self.told + 1);
        } else if self.told + 1 == stream.0[self.epoch].len() && self.epoch + 1 < stream.0.len() {
            *self = Self::beginning((self.epoch + 1, 0));
        }
    }
}

/// As `keep.lua` has it: never an older one instead of a newer. Epochs have no order; a span of one counts for nobody who has left it.
fn replaces(span: &Span, there: &Span) -> bool {
    span.epoch != there.epoch || span.upto >= there.upto
}

type Kept = BTreeMap<Thing, (Span, State)>;

#[derive(Debug, Default)]
struct Counted {
    taken: usize,
    refused: usize,
}

/// Plays it; an error names what was taken and wrong, or could have been taken and was not.
fn play(acts: &[Act], meets: impl Fn(&Span, &Span) -> bool) -> Result<Counted, String> {
    let mut stream = Stream(vec![vec![Some(Vec::new())]]);
    let mut nodes: Vec<Node> = (0..NODES).map(|_| Node::beginning((0, 0))).collect();
    let (mut kept, mut dump) = (Kept::new(), Kept::new());
    let mut under_way: Vec<(Thing, Span, State)> = Vec::new();
    let mut counted = Counted::default();
    for act in acts {
        let epoch = stream.last().0;
        match act {
            Act::Change(thing) => stream.0[epoch].push(Some(vec![*thing])),
            Act::Harmless => stream.0[epoch].push(Some(Vec::new())),
            Act::Reset => stream.0[epoch].push(None),
            Act::Epoch => stream.0.push(vec![Some(Vec::new())]),
            Act::Begin(node) => nodes[*node].begin(&stream),
            Act::Finish(node) => nodes[*node].finish(&stream),
            Act::Restart(node) => nodes[*node] = Node::beginning(stream.last()),
            Act::Ask(node, thing) => {
                let span = nodes[*node].span(*thing);
                nodes[*node].asked.push((*thing, span));
            }
            Act::Answer(node, percent) => {
                let node = &mut nodes[*node];
                let Some((thing, before)) = node.asked.pop() else { continue };
                let after = node.span(thing);
                let from = usize::try_from(before.upto.0).unwrap();
                let as_of = from + node.told.saturating_sub(from) * usize::from(*percent) / 100;
                if let Some(span) = Span::of_reading(&before, &after) {
                    under_way.push((thing, span, stream.state(thing, node.epoch, as_of)));
                }
            }
            Act::Arrive(nth) if !under_way.is_empty() => {
                let (thing, span, state) = under_way.remove(nth % under_way.len());
                if kept.get(&thing).is_none_or(|(there, _)| replaces(&span, there)) {
                    kept.insert(thing, (span, state));
                }
            }
            Act::Arrive(_) => {}
            Act::Lose => kept.clear(),
            Act::Dump => dump.clone_from(&kept),
            Act::Restore => kept.clone_from(&dump),
            Act::Take(node, thing) => {
                let node = &nodes[*node];
                let Some((span, state)) = kept.get(thing) else { continue };
                let (here, right) = (node.span(*thing), stream.state(*thing, node.epoch, node.place()));
                if meets(span, &here) {
                    counted.taken += 1;
                    if *state != right {
                        return Err(format!("{node:?} takes {state:?} of {span:?} where it is {right:?}: {stream:?}"));
                    }
                    continue;
                }
                counted.refused += 1;
                // Naively: it was read since this node began, and nothing changed from then on.
                let upto = usize::try_from(span.upto.0).unwrap();
                let known = span.epoch.0 == number(node.epoch) && (node.began..=node.told).contains(&upto);
                if known && !node.applying && stream.state(*thing, node.epoch, upto) == right {
                    return Err(format!("{node:?} does not take {span:?}, which is right: {stream:?}"));
                }
            }
        }
    }
    Ok(counted)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let (node, thing) = (|| 0..NODES, || 0..THINGS);
    let act = prop_oneof![
        4 => thing().prop_map(Act::Change),
        3 => Just(Act::Harmless),
        1 => Just(Act::Reset),
        1 => Just(Act::Epoch),
        8 => node().prop_map(Act::Begin),
        8 => node().prop_map(Act::Finish),
        1 => node().prop_map(Act::Restart),
        8 => (node(), thing()).prop_map(|(node, thing)| Act::Ask(node, thing)),
        8 => (node(), 0_u8..=100).prop_map(|(node, percent)| Act::Answer(node, percent)),
        6 => (0_usize..8).prop_map(Act::Arrive),
        1 => Just(Act::Lose),
        1 => Just(Act::Dump),
        1 => Just(Act::Restore),
        12 => (node(), thing()).prop_map(|(node, thing)| Act::Take(node, thing)),
    ];
    proptest::collection::vec(act, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_fact_is_taken_only_where_it_is_still_true_and_wherever_that_is_known(acts in acts()) {
        if let Err(wrong) = play(&acts, Span::meets) {
            prop_assert!(false, "{wrong}");
        }
    }
}

/// Whether any of so many histories shows that the rule is wrong, and how often it took and refused.
fn tried(histories: usize, meets: impl Fn(&Span, &Span) -> bool) -> (bool, Counted) {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut all = Counted::default();
    for _ in 0..histories {
        let acts = acts().new_tree(&mut runner).unwrap().current();
        match play(&acts, &meets) {
            Ok(Counted { taken, refused }) => (all.taken, all.refused) = (all.taken + taken, all.refused + refused),
            Err(_) => return (true, all),
        }
    }
    (false, all)
}

#[test]
fn every_weaker_rule_is_found_out() {
    let (wrong, Counted { taken, refused }) = tried(250, Span::meets);
    assert!(!wrong && taken > 100 && refused > 100, "taken {taken}, refused {refused}");
    let without_position = |fact: &Span, here: &Span| fact.epoch == here.epoch;
    let without_epoch = |fact: &Span, here: &Span| fact.since <= here.upto && here.since <= fact.upto;
    let of_the_past = |fact: &Span, here: &Span| fact.epoch == here.epoch && fact.since <= here.upto;
    let of_the_future = |fact: &Span, here: &Span| fact.epoch == here.epoch && here.since <= fact.upto;
    assert!(tried(3_000, without_position).0);
    assert!(tried(3_000, without_epoch).0);
    assert!(tried(3_000, of_the_past).0);
    assert!(tried(3_000, of_the_future).0);
}

#[test]
fn what_changed_while_it_was_asked_for_is_kept_for_nobody() {
    let at = |since, upto| Span { epoch: Epoch(1), since: Tick(since), upto: Tick(upto) };
    assert_eq!(Span::of_reading(&at(3, 7), &at(3, 9)), Some(at(3, 9)));
    for (before, after) in [(at(3, 7), at(8, 9)), (at(3, 7), Span { epoch: Epoch(2), ..at(3, 7) })] {
        assert_eq!(Span::of_reading(&before, &after), None);
    }
}
