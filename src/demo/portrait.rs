//! Portraits drawn from a user id: four tiles of quarter circles, so that the demo needs no picture from anywhere.

/// Ground and two figures; pairs of them stay apart in light and dark surroundings.
const PALETTES: [[&str; 3]; 8] = [
    ["#1f4e5f", "#f2b84b", "#e9e4d4"],
    ["#7a2e3a", "#f0a58f", "#f6e7d8"],
    ["#2e5d43", "#b9d989", "#f3efdc"],
    ["#39406f", "#8fb7e8", "#f5d9c8"],
    ["#8a4b16", "#f3cf8b", "#dfe8e0"],
    ["#4d2f5e", "#d79ad0", "#f0e6c9"],
    ["#23565c", "#7fd0bd", "#f4c9a5"],
    ["#5a5626", "#dfd36b", "#e4ecef"],
];

const TILES: [&str; 6] = [
    "M0 0h50v50A50 50 0 0 1 0 0z",
    "M50 0v50H0A50 50 0 0 1 50 0z",
    "M50 50H0V0a50 50 0 0 1 50 50z",
    "M0 50V0h50A50 50 0 0 1 0 50z",
    "M25 4a21 21 0 1 1 0 42 21 21 0 0 1 0-42z",
    "M0 0h50L0 50z",
];

/// An SVG document; the same id always looks the same.
pub(super) fn svg(user_id: &str) -> String {
    let mut seed = hash(user_id);
    let mut pick = |choices: usize| {
        let choice = (seed % choices as u64) as usize;
        seed /= choices as u64;
        choice
    };
    let [ground, first, second] = PALETTES[pick(PALETTES.len())];
    let mut tiles = String::new();
    for (index, (x, y)) in [(0, 0), (50, 0), (0, 50), (50, 50)].into_iter().enumerate() {
        let tile = TILES[pick(TILES.len())];
        let fill = if (index + pick(2)) % 2 == 0 { first } else { second };
        tiles.push_str(&format!(r#"<path transform="translate({x} {y})" fill="{fill}" d="{tile}"/>"#));
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><rect width="100" height="100" fill="{ground}"/>{tiles}</svg>"#
    )
}

/// FNV-1a with a last stir, since short ids leave its low bits alike. Stable between builds, which the standard hasher
/// does not promise.
fn hash(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 39)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 39)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::people::everybody;

    #[test]
    fn nobody_looks_like_another() {
        let portraits: std::collections::HashSet<String> = everybody().map(|person| svg(person.user_id)).collect();
        assert_eq!(portraits.len(), everybody().count());
    }
}
