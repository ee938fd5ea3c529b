//! What an analysed file says is hostile: it may hold escape sequences that
//! drive the terminal, characters that reorder the line, or formulas that a
//! spreadsheet would run. Everything that is printed goes through here.

use std::fmt::Write as _;

/// Whether a character may do more than be seen.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// `text` on one line, with every character that could act written out:
/// `\n`, `\x1b`, `\u{202e}`.
pub(crate) fn clean(text: &str) -> String {
    if !text.chars().any(is_unsafe) {
        return text.to_owned();
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        // Writing to a string cannot fail.
        let _ = match c {
            '\n' => write!(cleaned, "\\n"),
            '\r' => write!(cleaned, "\\r"),
            '\t' => write!(cleaned, "\\t"),
            c if !is_unsafe(c) => write!(cleaned, "{c}"),
            c if (c as u32) < 0x100 => write!(cleaned, "\\x{:02x}", c as u32),
            c => write!(cleaned, "\\u{{{:x}}}", c as u32),
        };
    }
    cleaned
}

/// `clean`, but the line feeds of our own messages stay.
pub(crate) fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// `text` as a CSV field that no spreadsheet takes for a formula: where it
/// begins as one, an apostrophe is put before it.
pub(crate) fn csv_safe(text: &str) -> String {
    let cleaned = clean(text);
    if cleaned
        .trim_start()
        .starts_with(['=', '+', '-', '@', '|', '%'])
    {
        format!("'{cleaned}")
    } else {
        cleaned
    }
}

/// JSON text in which the characters that could act on a terminal are written
/// as `\u` escapes, which mean the same to every reader of JSON. Such characters
/// can only occur inside strings, so a replacement of the text is enough.
pub(crate) fn json_safe(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) && c != '\n' {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_act_is_written_out() {
        let check = |text: &str, expected: &str| assert_eq!(clean(text), expected);
        check("plain ünïcode", "plain ünïcode");
        check("a\x1b[31mred\x07", "a\\x1b[31mred\\x07");
        check("\u{9b}2J", "\\x9b2J");
        check("evil\u{202e}txt", "evil\\u{202e}txt");
        check("line\nfeed\ttab\r", "line\\nfeed\\ttab\\r");
        assert_eq!(clean_lines("one\ntwo\x1b"), "one\ntwo\\x1b");
    }

    #[test]
    fn no_formulas() {
        let check = |text: &str, expected: &str| assert_eq!(csv_safe(text), expected);
        check("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0");
        check("@SUM(1)", "'@SUM(1)");
        check("  -1", "'  -1");
        check("main", "main");
    }

    #[test]
    fn json_stays_json() {
        let text = "\u{202e}\u{9b}\u{e0041}ok";
        let json = serde_json::to_string_pretty(&[text]).expect("JSON");
        let safe = json_safe(&json);
        assert!(!safe.chars().any(|c| is_unsafe(c) && c != '\n'), "{safe:?}");
        let read: Vec<String> = serde_json::from_str(&safe).expect("JSON");
        assert_eq!(read, [text]);
    }
}
