//! Cuts an SQL script into its statements, as psql does before it sends them one by one.
//!
//! Sent as a whole, the statements of a script would be one implicit transaction, in which a `COMMIT` inside a `DO` block or a
//! `CREATE INDEX CONCURRENTLY` fails. Client-side commands (`\i` and the like) are psql's own and not known here.

/// The statements of `script`, without the semicolons between them, without those that are only comments.
pub(crate) fn statements(script: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut begin = 0;
    let mut at = 0;
    let mut substance = false;
    while at < script.len() {
        let rest = &script[at..];
        if rest.starts_with(';') {
            if substance {
                found.push(script[begin..at].trim());
            }
            at += 1;
            (begin, substance) = (at, false);
            continue;
        }
        let comment = comment_length(rest);
        if comment > 0 {
            at += comment;
            continue;
        }
        let character = rest.chars().next().map_or(1, char::len_utf8);
        substance |= !rest.starts_with(char::is_whitespace);
        at += quoted_length(&script[..at], rest).unwrap_or(character);
    }
    if substance {
        found.push(script[begin..].trim());
    }
    found
}

/// How much of `text` is a comment at its very beginning. Block comments nest.
fn comment_length(text: &str) -> usize {
    if text.starts_with("--") {
        return text.find('\n').unwrap_or(text.len());
    }
    if !text.starts_with("/*") {
        return 0;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// How much of `text` is one quoted piece at its very beginning: a string, an identifier or a dollar-quoted body.
fn quoted_length(before: &str, text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'\'' => {
            let word = before.bytes().rev().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            let escapes = word == 1 && before.ends_with(['e', 'E']);
            Some(delimited_length(text, b'\'', escapes))
        }
        b'"' => Some(delimited_length(text, b'"', false)),
        b'$' if !before.ends_with(|c: char| c.is_alphanumeric() || c == '_') => dollar_length(text),
        _ => None,
    }
}

fn delimited_length(text: &str, mark: u8, backslash_escapes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        // A doubled mark closes and opens again at once, so it needs no case of its own.
        match bytes[at] {
            byte if byte == mark => return at + 1,
            b'\\' if backslash_escapes => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

fn dollar_length(text: &str) -> Option<usize> {
    let tag_end = 1 + text[1..].find('$')?;
    let tag = &text[..=tag_end];
    let name = &tag[1..tag_end];
    // `$1` is a parameter, not a tag.
    if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    Some(text[tag.len()..].find(tag).map_or(text.len(), |body| tag.len() + body + tag.len()))
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn statements_are_cut_at_semicolons_outside_quotes() {
        let script = "-- head; of file\nSELECT 'a;b''c;', \"x;y\";\n/* one; /* nested; */ */ SELECT 2;;\n  \nSELECT E'it\\'s;' ; -- end;";
        assert_eq!(
            statements(script),
            ["-- head; of file\nSELECT 'a;b''c;', \"x;y\"", "/* one; /* nested; */ */ SELECT 2", "SELECT E'it\\'s;'",]
        );
    }

    #[test]
    fn a_function_body_is_one_statement() {
        let script = "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $body$ BEGIN PERFORM $$;$$; RETURN 1; END $body$; SELECT $1;";
        assert_eq!(statements(script).len(), 2);
        assert_eq!(statements("DO $$ BEGIN COMMIT; END $$").len(), 1);
    }

    #[test]
    fn what_is_cut_short_or_not_ascii_still_ends() {
        assert_eq!(statements("SELECT 'ä;ö', 'offen;"), ["SELECT 'ä;ö', 'offen;"]);
        assert_eq!(statements("é; $ü$ ; $ü$ ; /* open ;"), ["é", "$ü$ ; $ü$"]);
        assert_eq!(statements("E'\\"), ["E'\\"]);
    }
}
