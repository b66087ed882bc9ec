use proptest::prelude::*;

use super::*;

#[test]
fn slots_are_those_of_the_specification() {
    // Its own example, and what `CLUSTER KEYSLOT` says.
    assert_eq!(State::<XMODEM>::calculate(b"123456789"), 0x31c3);
    assert_eq!([slot(b"foo"), slot(b"bar"), slot(b"")], [12_182, 5_061, 0]);
    assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
    assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
    assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    for whole in [b"foo{}{bar}".as_slice(), b"foo{bar", b"foo}bar{"] {
        assert_eq!(slot(whole), State::<XMODEM>::calculate(whole) % SLOTS);
    }
}

#[test]
fn the_key_is_the_first_argument_and_of_a_script_its_own() {
    let key = |command: &Cmd| key(command).map(<[u8]>::to_vec);
    assert_eq!(key(cmd("HSET").arg("key").arg("field").arg(1)), Some(b"key".to_vec()));
    assert_eq!(key(cmd("EVALSHA").arg("digest").arg(1).arg("key").arg(7)), Some(b"key".to_vec()));
    assert_eq!(key(&cmd("PING")), None);
}

#[test]
fn a_layout_names_each_primary_once() {
    let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    let server = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
    let range = |first, last, host, port| {
        Value::Array(vec![Value::Int(first), Value::Int(last), server(host, port), server(text("replica"), 9)])
    };
    let told = Value::Array(vec![
        range(0, 99, text("one"), 7000),
        range(100, 16_383, text("two"), 7001),
        range(200, 299, text("one"), 7000),
        range(300, 399, Value::Nil, 7002),
        Value::Nil,
        range(70_000, 80_000, text("one"), 7000),
        range(1, 2, text("one"), 70_000),
    ]);
    let (ranges, places) = layout(&told, &ConnectionAddr::Tcp("asked".to_owned(), 1));
    let range = |first, last, server| Range { first, last, server };
    assert_eq!(ranges, [range(0, 99, 0), range(100, 16_383, 1), range(200, 299, 0), range(300, 399, 2)]);
    let tcp = |host: &str, port| ConnectionAddr::Tcp(host.to_owned(), port);
    assert!(places == [tcp("one", 7000), tcp("two", 7001), tcp("asked", 7002)], "{places:?}");
}

proptest! {
    #[test]
    fn every_key_has_a_slot(key in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(slot(&key) < SLOTS);
    }
}
