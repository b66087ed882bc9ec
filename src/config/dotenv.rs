//! Reads `.env` as the forum's own runtime does.
//!
//! The file belongs to the forum, so what Node's `dotenv` takes has to be taken here: values with blanks and without
//! quotes, three kinds of quotes, values over several lines, lines that mean nothing. The Rust crates for it refuse some
//! of these. Nothing is expanded: a `$` in a value is a dollar sign.

use std::collections::BTreeMap;

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DotEnv {
    /// Every assignment; of two with one name the later counts.
    pub values: BTreeMap<String, String>,
    /// The lines, counted from 1, that were passed over and are neither empty nor a comment. What they hold may be a secret.
    pub unread: Vec<usize>,
}

/// What is no assignment is passed over.
pub fn parse(text: &str) -> DotEnv {
    let DotEnv { mut values, mut unread } = DotEnv::default();
    let mut number = 1;
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        let behind = match assignment(line) {
            Some((name, value)) => {
                // A quoted value may run on behind this line.
                let from_value = &rest[line.len() - value.len()..];
                let (value, behind) = read_value(from_value);
                values.insert(name.to_owned(), value);
                behind
            }
            None => {
                if !matches!(line.trim().chars().next(), None | Some('#')) {
                    unread.push(number);
                }
                after
            }
        };
        number += rest[..rest.len() - behind.len()].matches('\n').count();
        rest = behind;
    }
    DotEnv { values, unread }
}

/// The line without its end, and what follows that.
fn split_line(text: &str) -> (&str, &str) {
    match text.find('\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, ""),
    }
}

/// `NAME=value` or `export NAME=value`; the value reaches to the end of the line.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let name = match name.strip_prefix("export") {
        Some(exported) if exported.starts_with([' ', '\t']) => exported.trim_start(),
        _ => name,
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    (!name.is_empty() && name.chars().all(fits)).then_some((name, value))
}

/// The value that begins here, and the text behind its last line.
fn read_value(text: &str) -> (String, &str) {
    let start = text.trim_start_matches([' ', '\t']);
    if let Some(quote) = start.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))
        && let Some(length) = closing(&start[1..], quote)
    {
        let inner = &start[1..=length];
        let (tail, after) = split_line(&start[length + 2..]);
        if tail.trim().is_empty() || tail.trim_start().starts_with('#') {
            let value = if quote == '"' { inner.replace("\\n", "\n").replace("\\r", "\r") } else { inner.to_owned() };
            return (value, after);
        }
    }
    let (line, after) = split_line(text);
    let value = line.split('#').next().unwrap_or_default();
    (value.trim().to_owned(), after)
}

/// Where the quote closes: a backslash before it keeps it open.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            c if c == quote && !escaped => return Some(at),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_as_the_forum_reads_them() {
        let file = concat!(
            "# the forum\n\nA=1\r\nexport B = two words # why\n  C='it # stays'   # but this goes\nD=\"a\\nb\"\nE=\n",
            "F=`x\"y'z`\nG=\"over\ntwo lines\"\nno assignment\n=x\nbad name=1\nH='left open\nI=a=b\nA=2\nJ=$A\nK=\"q\" r\nL=last",
        );
        let expected = [
            ("A", "2"),
            ("B", "two words"),
            ("C", "it # stays"),
            ("D", "a\nb"),
            ("E", ""),
            ("F", "x\"y'z"),
            ("G", "over\ntwo lines"),
            ("H", "'left open"),
            ("I", "a=b"),
            ("J", "$A"),
            ("K", "\"q\" r"),
            ("L", "last"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let DotEnv { values, unread } = parse(file);
        assert_eq!(values, expected);
        assert_eq!(unread, [11, 12, 13], "by the numbers that an editor shows");
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "([A-Z=\"'`#\\\\ \r\n]|\\PC){0,80}") {
            parse(&text);
        }

        #[test]
        fn a_quoted_value_comes_back(value in "[^'\\\\]{0,40}") {
            prop_assert_eq!(parse(&format!("NAME='{value}'\n")).values.remove("NAME"), Some(value));
        }
    }
}
