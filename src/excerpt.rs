//! What a person reads of a comment's content: who is mentioned, and how it begins. Content is outside input of any shape.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::ids::UserId;

/// More mentions than this in one comment notify nobody further.
const MAX_MENTIONS: usize = 50;
/// A longer text between the braces is no mention.
const MAX_MENTION_BYTES: usize = 1_000;
/// The length of an excerpt in characters.
const EXCERPT_CHARS: usize = 140;
/// Rich text nested deeper than this is not read further.
const MAX_DEPTH: usize = 32;
/// Of what may be missing an end in a JSON string: a character by two escapes, but for its last digit.
const LONGEST_ESCAPE: usize = "\\ud83d\\ude0".len();

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

/// What is read of a content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gist {
    /// The users mentioned, each once, in order.
    pub mentions: Vec<UserId>,
    /// The beginning as plain text on one line, mentions by their label.
    pub excerpt: String,
}

/// How much of a content is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// It may be cut anywhere; what is mentioned behind the cut notifies nobody.
    Beginning,
}

/// Reads a content, or the beginning of one.
pub fn read(content: &str, extent: Extent) -> Gist {
    let mut mentions: Vec<UserId> = Vec::new();
    let mut plain = String::new();
    for text in texts(content, extent) {
        for piece in pieces(&text) {
            match piece {
                Piece::Text(text) => plain.push_str(text),
                Piece::Mention(Mention { id, label }) => {
                    plain.push('@');
                    plain.push_str(label.as_deref().unwrap_or(&id));
                    let user = UserId::from(id);
                    if mentions.len() < MAX_MENTIONS && !mentions.contains(&user) {
                        mentions.push(user);
                    }
                }
            }
        }
        plain.push(' ');
    }
    Gist { mentions, excerpt: beginning(&plain) }
}

fn beginning(plain: &str) -> String {
    let mut words = String::new();
    for word in plain.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
        if let Some((end, _)) = words.char_indices().nth(EXCERPT_CHARS) {
            return format!("{}\u{2026}", words[..end].trim_end());
        }
    }
    words
}

/// The texts of rich text (JSON whose leaves are `"text"`), those that stand beside each other in one; else the content itself (Markdown).
fn texts(content: &str, extent: Extent) -> Vec<String> {
    let mut found = Found::default();
    let is_rich = content.trim_start().starts_with(['{', '[']) && {
        let content = match extent {
            Extent::Whole => Cow::Borrowed(content),
            Extent::Beginning => closed(content),
        };
        let mut document = serde_json::Deserializer::from_str(&content);
        let read = Node { found: &mut found, depth: MAX_DEPTH, is_text: false }.deserialize(&mut document);
        match read.and_then(|()| document.end()) {
            Ok(()) => found.is_rich,
            Err(error) => extent == Extent::Beginning && error.is_eof(),
        }
    };
    if is_rich { found.joined() } else { vec![content.to_owned()] }
}

/// What was found in JSON.
#[derive(Default)]
struct Found {
    /// In their order; `None` stands where something else than text begins or ends.
    texts: Vec<Option<String>>,
    /// Somebody who writes Markdown may write JSON as well.
    is_rich: bool,
}

impl Found {
    /// A leaf stands beside its neighbours, whatever it holds besides its text; anything else stands by itself.
    fn end(&mut self, began: usize, is_leaf: bool) {
        if is_leaf {
            let own = self.texts.split_off(began);
            self.texts.extend(own.into_iter().filter(Option::is_some));
        } else {
            self.texts.insert(began, None);
            self.texts.push(None);
        }
    }

    fn joined(self) -> Vec<String> {
        let joined =
            self.texts.split(Option::is_none).map(|texts| texts.iter().flatten().map(String::as_str).collect());
        joined.filter(|text: &String| !text.is_empty()).collect()
    }
}

/// The beginning of a JSON text, its last string closed where the cut went through it.
fn closed(beginning: &str) -> Cow<'_, str> {
    let (mut open, mut escaped) = (None, false);
    for (at, byte) in beginning.bytes().enumerate() {
        match (open, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(_), b'"') => open = None,
            (None, b'"') => open = Some(at),
            _ => {}
        }
    }
    let Some(open) = open else { return Cow::Borrowed(beginning) };
    let ends = (0..=LONGEST_ESCAPE).filter_map(|cut| beginning.len().checked_sub(cut));
    let mut strings = ends.filter_map(|end| Some((end, format!("{}\"", beginning.get(open..end)?))));
    let whole = strings.find(|(_, string)| serde_json::from_str::<String>(string).is_ok());
    whole.map_or(Cow::Borrowed(beginning), |(end, _)| Cow::Owned(format!("{}\"", &beginning[..end])))
}

/// A place in rich text, whose texts are gathered as they are read: an error behind them takes none away.
struct Node<'a> {
    found: &'a mut Found,
    depth: usize,
    /// It is what a field `text` holds.
    is_text: bool,
}

impl Node<'_> {
    fn below(&mut self, is_text: bool) -> Node<'_> {
        Node { found: self.found, depth: self.depth.saturating_sub(1), is_text }
    }

    fn fields<'de, A: MapAccess<'de>>(&mut self, fields: &mut A, is_leaf: &mut bool) -> Result<(), A::Error> {
        while let Some(field) = fields.next_key::<Cow<'_, str>>()? {
            *is_leaf |= field == "text";
            self.found.is_rich |= matches!(&*field, "text" | "type");
            fields.next_value_seed(self.below(field == "text"))?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rich text")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        if self.depth == 0 {
            self.found.is_rich = true;
            while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let (began, mut is_leaf) = (self.found.texts.len(), false);
        let read = self.fields(&mut fields, &mut is_leaf);
        self.found.end(began, is_leaf);
        read
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut nodes: A) -> Result<(), A::Error> {
        if self.depth == 0 {
            self.found.is_rich = true;
            while nodes.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        while nodes.next_element_seed(self.below(false))?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.is_text {
            self.found.texts.push(Some(text.to_owned()));
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
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
    use serde_json::json;

    use super::*;

    fn whole(content: &str) -> Gist {
        read(content, Extent::Whole)
    }

    #[test]
    fn mentions_are_found_once_each_and_in_order() {
        let content = r#"Hi @{"id":"bo","label":"Bo"} and @{"id":"cy"} and @{"id":"bo","label":"Bo"}, not @{broken or @{"id":""}"#;
        let Gist { mentions, excerpt } = whole(content);
        assert_eq!(mentions, [UserId::from("bo"), UserId::from("cy")]);
        assert_eq!(excerpt, r#"Hi @Bo and @cy and @Bo, not @{broken or @{"id":""}"#);
    }

    #[test]
    fn rich_text_is_read_leaf_by_leaf() {
        let content = r#"{"type":"doc","content":[{"text":"One @{\"id\":\"bo\"}"},{"content":[{"text":"two"}]}]}"#;
        let Gist { mentions, excerpt } = whole(content);
        assert_eq!(mentions, [UserId::from("bo")]);
        assert_eq!(excerpt, "One @bo two");
    }

    #[test]
    fn what_stands_beside_each_other_in_a_paragraph_is_one_text_and_paragraphs_are_not() {
        let leaf = |text: &str| json!({"type": "text", "text": text, "marks": [{"type": "bold"}]});
        let paragraph = |texts: &[&str]| {
            let leaves: Vec<_> = texts.iter().map(|text| leaf(text)).collect();
            json!({"type": "paragraph", "content": leaves})
        };
        let broken = json!([leaf("one"), {"type": "hardBreak"}, leaf("two")]);
        for (content, expected) in [
            (
                json!([paragraph(&["See ", "this", "."]), paragraph(&["un", "believ", "able"])]),
                "See this. unbelievable",
            ),
            (json!({"type": "paragraph", "content": broken}), "one two"),
            (
                json!([{"type": "paragraph", "children": [{"text": "a"}, {"text": "b", "bold": true}]}, {"text": "c"}]),
                "ab c",
            ),
        ] {
            assert_eq!(whole(&content.to_string()).excerpt, expected);
        }
        let split = paragraph(&[r#"Hi @{"id":"b"#, r#"o","label":"Bo"}!"#]).to_string();
        assert_eq!(whole(&split), Gist { mentions: vec!["bo".into()], excerpt: "Hi @Bo!".to_owned() });
    }

    #[test]
    fn what_is_no_rich_text_is_read_as_it_stands() {
        for content in ["[1] one", "[a](b)", "{\"text\": \"x\"", "\"text\"", "7", "null", "{\"a\": }"] {
            assert_eq!(whole(content).excerpt, content);
        }
        for content in ["[1]", "{}", "[]", r#"["a", "b"]"#, r#"{"a": {"b": 1}}"#] {
            assert_eq!(whole(content).excerpt, content);
            assert_eq!(read(content, Extent::Beginning).excerpt, content);
        }
        for content in ["[1] one", "[a](b)", "\"text\"", "7", "{\"a\": }", r#"{"text": "\x and a dozen more"#] {
            assert_eq!(read(content, Extent::Beginning).excerpt, content);
        }
        let deep = format!("{}{{\"text\":\"x\"}}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert_eq!(whole(&deep), Gist::default());
        assert_eq!(whole(&deep[1..deep.len() - 1]).excerpt, "x");
    }

    #[test]
    fn a_long_text_is_cut_with_an_ellipsis() {
        let cut = whole(&"ab ".repeat(100)).excerpt;
        assert!(cut.chars().count() <= EXCERPT_CHARS + 1 && cut.ends_with('\u{2026}'), "{cut}");
    }

    /// Rich text as the editor writes it, and as any other might: with every character that can be written by its number so written.
    fn rich(texts: &[String], escapes: bool) -> String {
        let leaf = |text: &String| json!({"type": "text", "text": text, "marks": [{"type": "bold"}]});
        let content: Vec<_> = texts.iter().map(leaf).collect();
        let json = json!({"type": "doc", "content": content}).to_string();
        if !escapes {
            return json;
        }
        let units = |character: char| character.encode_utf16(&mut [0; 2]).to_vec();
        let escape = |character: char| match character {
            ' '..='~' => character.to_string(),
            other => units(other).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        };
        json.chars().map(escape).collect()
    }

    proptest! {
        #[test]
        fn no_content_makes_it_panic(content in r#"(@\{("id"|:|"x"|,|\}|é|"){0,9}|[a-z@{}\[\]\\"é ]{0,9}){0,12}"#) {
            for extent in [Extent::Whole, Extent::Beginning] {
                let Gist { mentions, excerpt } = read(&content, extent);
                prop_assert!(mentions.len() <= MAX_MENTIONS);
                prop_assert!(excerpt.chars().count() <= EXCERPT_CHARS + 1);
            }
        }

        #[test]
        fn of_rich_text_that_is_cut_anywhere_the_beginning_is_read_as_it_is_of_the_whole(
            texts in prop::collection::vec(r#"([a-c\n"\\😀é ]|@\{"id":"[a-c]{1,3}"\} ){0,40}"#, 0..4), escapes: bool, at: prop::sample::Index,
        ) {
            let content = rich(&texts, escapes);
            let all = whole(&content);
            let cut = &content[..content.floor_char_boundary(at.index(content.len() + 1))];
            // It has to be seen to be rich.
            prop_assume!(!cut.is_empty());
            let some = read(cut, Extent::Beginning);
            prop_assert!(all.mentions.starts_with(&some.mentions), "{:?}", some.mentions);
            let mut before = 0;
            for mention in &all.mentions {
                let text = format!(r#"@{{\"id\":\"{}\"}}"#, mention.as_str());
                before += usize::from(content.find(&text).is_some_and(|start| start + text.len() <= cut.len()));
            }
            prop_assert_eq!(some.mentions.len(), before);
            // All that is quoted of the whole was in it, but for a mention that was cut.
            let quoted = some.excerpt.trim_end_matches('\u{2026}');
            let alike = quoted.chars().zip(all.excerpt.chars()).take_while(|(one, other)| one == other).count();
            let other = quoted.chars().nth(alike);
            prop_assert!(matches!(other, None | Some('{')), "{quoted:?} of {:?}", all.excerpt);
        }
    }
}
