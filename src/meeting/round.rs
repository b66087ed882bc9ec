//! Which words are said together, in one round trip.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::{
    circle::{Said, Word},
    ids::{NodeId, UserId},
    presence::Scope,
};

/// Users of whom is spoken in one round.
const AT_ONCE: usize = 800;

/// What is said of each scope, by which node.
pub(super) type Round = BTreeMap<(Scope, NodeId), Vec<Said>>;

/// Takes what can be said at once of the first words that say something: of each user the first, so that what is said of him stays in
/// order, in whatever scopes. What else is said of him stays where it was.
pub(super) fn next(words: &mut VecDeque<Word>) -> Round {
    let (mut round, mut spoken, mut held) = (Round::new(), HashSet::<UserId>::new(), Vec::new());
    let mut left = AT_ONCE;
    while left > 0
        && let Some(word) = words.pop_front()
    {
        let Word::Say { scope, node, mut said } = word else {
            words.push_front(word);
            break;
        };
        let rest = said.split_off(said.len().min(left));
        left -= said.len();
        if !rest.is_empty() {
            words.push_front(Word::Say { scope: scope.clone(), node, said: rest });
        }
        let (now, later): (Vec<_>, Vec<_>) = said.into_iter().partition(|said| spoken.insert(said.user.clone()));
        if !later.is_empty() {
            held.push(Word::Say { scope: scope.clone(), node, said: later });
        }
        if !now.is_empty() {
            round.entry((scope, node)).or_default().extend(now);
        }
    }
    held.into_iter().rev().for_each(|word| words.push_front(word));
    round
}

/// Takes those of the first words that are of the kind of this one, as `of` knows it: at most so many with it.
pub(super) fn alike<T>(
    first: T,
    words: &mut VecDeque<Word>,
    at_most: usize,
    of: impl Fn(&Word) -> Option<T>,
) -> Vec<T> {
    let mut taken = vec![first];
    while taken.len() < at_most
        && let Some(next) = words.front().and_then(&of)
    {
        taken.push(next);
        words.pop_front();
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BoardId;

    const ME: NodeId = NodeId(1);

    fn board(id: i32) -> Scope {
        Scope::Board(BoardId(id))
    }

    fn says(scope: Scope, of: &[(&str, u64)]) -> Word {
        let said = of.iter().map(|(user, nth)| Said { user: UserId::from(*user), stay: None, nth: *nth }).collect();
        Word::Say { scope, node: ME, said }
    }

    /// The scopes of the round, with the numbers of what is said of each.
    fn numbers(round: Round) -> Vec<(Scope, Vec<u64>)> {
        let of = |said: Vec<Said>| said.into_iter().map(|said| said.nth).collect();
        round.into_iter().map(|((scope, _), said)| (scope, of(said))).collect()
    }

    #[test]
    fn a_crowd_that_joins_a_board_is_said_in_two_rounds() {
        let community = Scope::Community("c1".into());
        let users: Vec<String> = (0..300).map(|user| format!("user {user}")).collect();
        let steps = (0..).zip(&users).flat_map(|(nth, user)| {
            [says(board(1), &[(user, 2 * nth)]), says(community.clone(), &[(user, 2 * nth + 1)])]
        });
        let mut words: VecDeque<Word> = steps.collect();
        let mut rounds = Vec::new();
        while !words.is_empty() {
            rounds.extend(numbers(next(&mut words)));
        }
        let sorted = |of: usize| (0..600).filter(|nth| nth % 2 == of as u64).collect::<Vec<_>>();
        assert_eq!(rounds.iter().map(|(scope, _)| scope).collect::<Vec<_>>(), [&board(1), &community]);
        assert_eq!((&rounds[0].1, &rounds[1].1), (&sorted(0), &sorted(1)));
    }

    #[test]
    fn of_one_user_everything_is_said_in_order_and_once() {
        let mut words: VecDeque<Word> = [
            says(board(1), &[("ada", 1), ("bo", 2), ("ada", 3)]),
            says(board(2), &[("cy", 4), ("bo", 5)]),
            says(board(1), &[("di", 6), ("bo", 7)]),
            Word::Unwatch(board(2)),
            says(board(1), &[("eve", 8)]),
        ]
        .into();
        assert_eq!(numbers(next(&mut words)), [(board(1), vec![1, 2, 6]), (board(2), vec![4])]);
        assert_eq!(numbers(next(&mut words)), [(board(1), vec![3]), (board(2), vec![5])]);
        assert_eq!(numbers(next(&mut words)), [(board(1), vec![7])]);
        assert_eq!(words, [Word::Unwatch(board(2)), says(board(1), &[("eve", 8)])]);
    }

    #[test]
    fn a_round_speaks_of_a_bounded_number_of_users() {
        let users: Vec<String> = (0..2_000).map(|user| format!("user {user}")).collect();
        let all: Vec<(&str, u64)> = users.iter().map(String::as_str).zip(0..).collect();
        let mut words: VecDeque<Word> = [says(board(1), &all)].into();
        let mut said = Vec::new();
        while !words.is_empty() {
            let round = numbers(next(&mut words));
            assert!(round[0].1.len() <= AT_ONCE);
            said.extend(round.into_iter().flat_map(|(_, numbers)| numbers));
        }
        assert_eq!(said, (0..2_000).collect::<Vec<_>>());
    }
}
