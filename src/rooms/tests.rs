use super::*;
use crate::{
    access::{RoleRule, decide},
    contract::{Features, PostCount, ServerEvent},
    ids::Tick,
};

fn start() -> Place {
    Place::before(Tick(0))
}

fn actor(user: &str, community: &str) -> Actor {
    Actor {
        user: user.into(),
        community: community.into(),
        roles: BTreeSet::new(),
        admin: user == "root",
        name: None,
        picture: None,
        device: None,
        expires_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn community(id: &str, features: Features) -> CommunityFacts {
    CommunityFacts { community: id.into(), rule: RoleRule::Open, features }
}

fn permit(board: i32) -> Permit {
    let facts = BoardFacts {
        board: BoardId(board),
        community: Some("a".into()),
        rule: RoleRule::Open,
        importers: BTreeSet::new(),
    };
    decide(&actor("ada", "a"), Some(&facts), Some(&community("a", Features::ALL_ON))).unwrap()
}

fn seated(users: &[&str]) -> Rooms {
    let mut rooms = Rooms::new(3);
    for (key, user) in users.iter().enumerate() {
        let facts = community("a", Features::ALL_ON);
        rooms.connect(SocketKey(u64::try_from(key).unwrap()), actor(user, "a"), Some(facts), start());
    }
    rooms
}

fn vote() -> ServerEvent {
    ServerEvent::PostVoteAdded(PostCount { post_id: PostId(1), board_id: BoardId(1), new_count: 1 })
}

#[test]
fn a_socket_in_board_and_post_is_addressed_once() {
    let mut rooms = seated(&["ada", "bo"]);
    rooms.join_board(SocketKey(0), &permit(1), false, start()).unwrap();
    rooms.join_post(SocketKey(0), &permit(1), PostId(9), start()).unwrap();
    rooms.join_post(SocketKey(1), &permit(1), PostId(9), start()).unwrap();
    let audience = Audience::BoardAndPost(BoardId(1), PostId(9));
    assert_eq!(
        rooms.sockets(&audience, Topic::of(&vote()), None, &Rows::default(), &Outlook::default()),
        [SocketKey(0), SocketKey(1)]
    );
}

#[test]
fn an_admin_is_shown_more_of_what_his_own_community_owns_and_of_nothing_else() {
    let mut rooms = seated(&["root", "ada"]);
    rooms.connect(SocketKey(2), actor("root", "b"), None, start());
    let all = vec![SocketKey(0), SocketKey(1), SocketKey(2)];
    assert_eq!(rooms.split_admins(all.clone(), &"a".into()).0, [SocketKey(0)]);
    assert_eq!(rooms.split_admins(all.clone(), &"b".into()).0, [SocketKey(2)]);
    assert_eq!(rooms.split_admins(all, &"c".into()).0, []);
}

#[test]
fn leaving_the_board_keeps_what_the_feed_shows() {
    let mut rooms = seated(&["ada"]);
    let (ada, board) = (SocketKey(0), Room::Board(BoardId(1)));
    rooms.join_feed(ada, &[permit(1), permit(2)], start()).unwrap();
    rooms.join_board(ada, &permit(1), true, start()).unwrap();
    rooms.leave_board(ada, BoardId(1));
    assert_eq!(rooms.members(&board), [ada]);
    assert!(!rooms.is_watched(&Room::Typing(BoardId(1))));
    rooms.leave_feed(ada);
    assert!(!rooms.is_watched(&board));
}

#[test]
fn rooms_are_bounded_and_a_feed_counts_as_one() {
    let mut rooms = seated(&["ada"]);
    let ada = SocketKey(0);
    rooms.join_feed(ada, &[permit(1), permit(2), permit(3), permit(4)], start()).unwrap();
    rooms.join_board(ada, &permit(5), false, start()).unwrap();
    rooms.join_post(ada, &permit(5), PostId(1), start()).unwrap();
    assert_eq!(rooms.join_board(ada, &permit(6), false, start()), Err(NotSeated::TooManyRooms));
    assert_eq!(rooms.join_board(ada, &permit(5), false, start()), Ok(()), "again is no further room");
    rooms.leave_feed(ada);
    assert_eq!(rooms.join_board(ada, &permit(6), false, start()), Ok(()));
}

#[test]
fn whoever_left_is_never_seated_again() {
    let mut rooms = seated(&["ada"]);
    rooms.join_board(SocketKey(0), &permit(1), true, start()).unwrap();
    rooms.join_post(SocketKey(0), &permit(1), PostId(1), start()).unwrap();
    rooms.disconnect(SocketKey(0));
    assert!(rooms.sitting.is_empty() && rooms.communities.is_empty());
    assert_eq!(rooms.join_board(SocketKey(0), &permit(1), false, start()), Err(NotSeated::Gone));
    assert!(rooms.sitting.is_empty());
}

#[test]
fn a_flag_of_the_viewers_own_community_silences_its_events() {
    let mut rooms = seated(&["ada"]);
    let quiet = Features { votes: false, ..Features::ALL_ON };
    rooms.connect(SocketKey(7), actor("bo", "b"), Some(community("b", quiet)), start());
    for key in [SocketKey(0), SocketKey(7)] {
        rooms.join_board(key, &permit(1), false, start()).unwrap();
    }
    assert_eq!(
        rooms.sockets(&Audience::Board(BoardId(1)), Topic::of(&vote()), None, &Rows::default(), &Outlook::default()),
        [SocketKey(0)]
    );
}

#[test]
fn eviction_takes_the_posts_of_the_board_along_and_leaves_the_rest() {
    let mut rooms = seated(&["ada"]);
    let ada = SocketKey(0);
    rooms.join_feed(ada, &[permit(1), permit(2)], start()).unwrap();
    rooms.join_post(ada, &permit(1), PostId(1), start()).unwrap();
    rooms.join_post(ada, &permit(2), PostId(2), start()).unwrap();
    rooms.evict(ada, BoardId(1));
    assert!(!rooms.is_watched(&Room::Board(BoardId(1))) && !rooms.is_watched(&Room::Post(PostId(1))));
    assert!(rooms.is_watched(&Room::Board(BoardId(2))) && rooms.is_watched(&Room::Post(PostId(2))));
    rooms.evict(ada, BoardId(2));
    assert!(!rooms.is_watched(&Room::Board(BoardId(2))) && !rooms.is_watched(&Room::Post(PostId(2))));
    assert!(rooms.is_watched(&Room::User("ada".into())));
}
