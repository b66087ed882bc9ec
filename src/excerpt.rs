//! What a person reads of a comment's content: who is mentioned, and how it begins. Content is outside input of any shape.

use serde::Deserialize;
use serde_json::Value;

use crate::ids::UserId;

/// More mentions than this in one comment notify nobody further.
const MAX_MENTIONS: usize = 50;
/// A longer text between the braces is no mention.
const MAX_MENTION_BYTES: usize = 1_000;
/// The length of an excerpt in characters.
const EXCERPT_CHARS: usize = 140;
/// Rich text nested deeper than this is not read further.
const MAX_DEPTH: usize = 32;

#[derive(Deserialize)]
struct Mention {
    id: String,
    #[serde(default)]
    label: Option<String>,
}

/// A piece of content: text, or a mention as the forum writes it, `@{"id":"..","label":".."}`.
enum Piece<'a> {
    Text(&'a str),
    Mention(Mention),
}

/// The users mentioned, each once, in order.
pub fn mentions(content: &str) -> Vec<UserId> {
    let mut users: Vec<UserId> = Vec::new();
    for text in texts(content) {
        for piece in pieces(&text) {
            if let Piece::Mention(mention) = piece {
                let user = UserId::from(mention.id);
                if users.len() < MAX_MENTIONS && !users.contains(&user) {
                    users.push(user);
                }
            }
        }
    }
    users
}

/// The beginning as plain text on one line, mentions by their label.
pub fn excerpt(content: &str) -> String {
    let mut plain = String::new();
    for text in texts(content) {
        for piece in pieces(&text) {
            match piece {
                Piece::Text(text) => plain.push_str(text),
                Piece::Mention(mention) => {
                    plain.push('@');
                    plain.push_str(mention.label.as_deref().unwrap_or(&mention.id));
                }
            }
        }
        plain.push(' ');
    }
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(EXCERPT_CHARS) {
        None => words,
        Some((end, _)) => format!("{}\u{2026}", words[..end].trim_end()),
    }
}

/// The texts of rich text (JSON whose leaves are `"text"`), else the content itself (Markdown).
fn texts(content: &str) -> Vec<String> {
    match serde_json::from_str::<Value>(content) {
        Ok(document @ (Value::Object(_) | Value::Array(_))) => {
            let mut found = Vec::new();
            collect_texts(&document, MAX_DEPTH, &mut found);
            found
        }
        _ => vec![content.to_owned()],
    }
}

fn collect_texts(node: &Value, depth: usize, found: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| collect_texts(node, depth - 1, found)),
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get("text") {
                found.push(text.clone());
            }
            fields.values().filter(|value| !value.is_string()).for_each(|value| collect_texts(value, depth - 1, found));
        }
        _ => {}
    }
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("@{") {
        let (before, candidate) = rest.split_at(at);
        match mention(&candidate[1..]) {
            Some((mention, length)) => {
                found.push(Piece::Text(before));
                found.push(Piece::Mention(mention));
                rest = &candidate[1 + length..];
            }
            None => {
                found.push(Piece::Text(&rest[..at + 2]));
                rest = &rest[at + 2..];
            }
        }
    }
    found.push(Piece::Text(rest));
    found
}

/// Reads the JSON object at the start of `text` and says how long it was.
fn mention(text: &str) -> Option<(Mention, usize)> {
    let end = text.floor_char_boundary(MAX_MENTION_BYTES);
    let mut stream = serde_json::Deserializer::from_str(&text[..end]).into_iter::<Mention>();
    let mention = stream.next()?.ok()?;
    let length = stream.byte_offset();
    (!mention.id.is_empty()).then_some((mention, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mentions_are_found_once_each_and_in_order() {
        let content = r#"Hi @{"id":"bo","label":"Bo"} and @{"id":"cy"} and @{"id":"bo","label":"Bo"}, not @{broken or @{"id":""}"#;
        assert_eq!(mentions(content), [UserId::from("bo"), UserId::from("cy")]);
        assert_eq!(excerpt(content), r#"Hi @Bo and @cy and @Bo, not @{broken or @{"id":""}"#);
    }

    #[test]
    fn rich_text_is_read_leaf_by_leaf() {
        let content = r#"{"type":"doc","content":[{"text":"One @{\"id\":\"bo\"}"},{"content":[{"text":"two"}]}]}"#;
        assert_eq!(mentions(content), [UserId::from("bo")]);
        assert_eq!(excerpt(content), "One @bo two");
    }

    #[test]
    fn a_long_text_is_cut_with_an_ellipsis() {
        let cut = excerpt(&"ab ".repeat(100));
        assert!(cut.chars().count() <= EXCERPT_CHARS + 1 && cut.ends_with('\u{2026}'), "{cut}");
    }

    proptest! {
        #[test]
        fn no_content_makes_it_panic(content in r#"(@\{("id"|:|"x"|,|\}|é|"){0,9}|[a-z@{}"é ]{0,9}){0,12}"#) {
            prop_assert!(mentions(&content).len() <= MAX_MENTIONS);
            prop_assert!(excerpt(&content).chars().count() <= EXCERPT_CHARS + 1);
        }
    }
}
