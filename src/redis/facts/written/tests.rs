use super::*;
use crate::ids::{Epoch, Tick};

fn begun() -> (Arc<Versions>, Written) {
    let versions = Arc::new(Versions::default());
    versions.begin(Epoch(7), Tick(40));
    (Arc::clone(&versions), Written::new(versions))
}

fn feed(versions: &Versions, socket: u64, community: &str) -> Feed {
    let community = CommunityId::from(community);
    let span = versions.span(Subject::Community(&community)).expect("a node that has begun");
    Feed { socket: SocketKey(socket), community, span }
}

fn wrong(written: &mut Written) -> Vec<(String, String)> {
    written.wrong(10).map(|list| (list.key.clone(), list.seal.clone())).collect()
}

fn listed(key: &str, seal: &str) -> (String, String) {
    (key.to_owned(), seal.to_owned())
}

#[test]
fn a_list_is_withdrawn_once_when_rights_of_its_community_change() {
    let (versions, mut written) = begun();
    assert!(written.note(&feed(&versions, 1, "c1"), "ada", "a"));
    assert!(written.note(&feed(&versions, 2, "c2"), "bo", "b"));
    versions.told(Tick(41));
    assert!(wrong(&mut written).is_empty());
    versions.bump(Subject::Community(&"c1".into()), Tick(42));
    assert_eq!(wrong(&mut written), [listed("ada", "a")]);
    assert_eq!(wrong(&mut written), [listed("ada", "a")], "until Redis has answered");
    written.withdrew(1);
    assert!(wrong(&mut written).is_empty() && !written.is_left());
    versions.begin(Epoch(8), Tick(0));
    assert_eq!(wrong(&mut written), [listed("bo", "b")], "ticks of another epoch say nothing of it");
}

#[test]
fn a_list_of_before_the_tick_that_comes_behind_it_is_not_written() {
    let (versions, mut written) = begun();
    let late = feed(&versions, 1, "c1");
    versions.bump(Subject::Community(&"c1".into()), Tick(41));
    assert!(!written.note(&late, "ada", "a"));
    assert!(written.note(&feed(&versions, 1, "c1"), "ada", "b"), "what is of the tick is");
    versions.is_ahead(true);
    assert!(!written.note(&late, "ada", "a"), "nor where rights of later ticks are applied");
}

#[test]
fn what_is_found_ahead_of_its_tick_is_withdrawn_behind_it() {
    let (versions, mut written) = begun();
    assert!(written.note(&feed(&versions, 1, "c1"), "ada", "a"));
    versions.is_ahead(true);
    versions.bump_all(Tick(41));
    assert!(wrong(&mut written).is_empty());
    versions.is_ahead(false);
    assert_eq!(wrong(&mut written), [listed("ada", "a")]);
}

#[test]
fn a_list_goes_with_its_socket_and_with_the_next() {
    let (versions, mut written) = begun();
    let of = feed(&versions, 1, "c1");
    assert!(written.note(&of, "ada", "a") && written.note(&of, "ada", "a"));
    assert!(wrong(&mut written).is_empty(), "the same again");
    assert!(written.note(&of, "ada", "b"));
    assert_eq!(wrong(&mut written), [listed("ada", "a")]);
    written.withdraw(SocketKey(1));
    written.withdraw(SocketKey(1));
    written.withdraw(SocketKey(2));
    assert_eq!(wrong(&mut written), [listed("ada", "a"), listed("ada", "b")]);
}

#[test]
fn one_more_than_may_be_noted_is_not_written() {
    let (versions, mut written) = begun();
    for socket in 0..MOST as u64 {
        assert!(written.note(&feed(&versions, socket, "c1"), "k", "s"));
    }
    let one_more = feed(&versions, MOST as u64, "c1");
    assert!(!written.note(&one_more, "k", "s"));
    written.withdraw(SocketKey(0));
    assert!(!written.note(&one_more, "k", "s"), "before Redis has answered");
    assert_eq!(wrong(&mut written).len(), 1);
    written.withdrew(1);
    assert!(written.note(&one_more, "k", "s"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_noted_for_longer_than_it_stands_there() {
    let (versions, mut written) = begun();
    for socket in [1, 2] {
        assert!(written.note(&feed(&versions, socket, "c1"), "ada", "a"));
    }
    written.withdraw(SocketKey(2));
    tokio::time::advance(KEPT_FOR).await;
    assert!(written.note(&feed(&versions, 3, "c1"), "bo", "b"));
    assert_eq!(written.lists.len(), 1);
    assert!(wrong(&mut written).is_empty());
}
