//! How ids stand in keys.

/// Bytes of an id that stand in a key.
const LONGEST_ID: usize = 128;

/// In which of so many parts something of this name belongs: always in the same.
pub(super) fn part_of(name: &str, parts: usize) -> usize {
    usize::try_from(hash(name) % parts.max(1) as u64).unwrap_or_default()
}

/// FNV-1a, the same on every node.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The id, or of a long one its beginning and a number that tells it from others.
pub(super) fn short(id: &str) -> String {
    if id.len() <= LONGEST_ID {
        return id.to_owned();
    }
    let hash = hash(id);
    let beginning: String = id.char_indices().take_while(|(at, _)| *at < LONGEST_ID / 2).map(|(_, c)| c).collect();
    format!("{beginning}~{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ids_make_short_keys_of_their_own() {
        let long = |end: &str| format!("{}{end}", "ä".repeat(5_000));
        assert_eq!(short("ada"), "ada");
        let (one, other) = (short(&long("1")), short(&long("2")));
        assert!(one != other && one.len() <= LONGEST_ID && one == short(&long("1")), "{one}");
    }
}
