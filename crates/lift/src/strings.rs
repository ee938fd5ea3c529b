//! Text that a file brings: found, cut, cleaned and named.

use crate::pen::{Sink, Word};

/// Characters of a string literal that a listing shows.
const MAX_SHOWN: usize = 96;
/// Bytes of a string literal that are looked at: a longer run of printable
/// bytes is text whether or not it ends.
const MAX_SCANNED: usize = 1024;
/// Bytes of a symbol name that are kept. Mangled C++ names reach kilobytes and
/// say nothing more to a reader by then.
pub(crate) const MAX_NAME: usize = 512;

/// The literal at the start of `bytes`, if they look like a NUL-terminated
/// string of at least `min` characters.
pub(crate) fn literal(bytes: &[u8], min: usize) -> Option<String> {
    let window = &bytes[..bytes.len().min(MAX_SCANNED)];
    // Most are short and of plain letters.
    let letters = window.iter().take(MAX_SHOWN + 1);
    let plain = letters.take_while(|b| b.is_ascii_graphic() || **b == b' ');
    let (plain, rest) = window.split_at(plain.count());
    if rest.first() == Some(&0)
        && (min.max(1)..=MAX_SHOWN).contains(&plain.len())
        && plain.iter().any(u8::is_ascii_graphic)
    {
        return str::from_utf8(plain).ok().map(str::to_owned);
    }
    let end = window.iter().position(|&b| b == 0);
    // Without a terminator in sight it is text only if it fills the window.
    if end.is_none() && window.len() < MAX_SCANNED {
        return None;
    }
    let raw = &window[..end.unwrap_or(window.len())];
    if raw.len() < min {
        return None;
    }
    let text = match std::str::from_utf8(raw) {
        Ok(text) => text,
        // The window may have cut a character in two.
        Err(e) if end.is_none() && e.valid_up_to() + 4 > raw.len() => {
            std::str::from_utf8(&raw[..e.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    shown(text, min)
}

/// All of `bytes` as a literal, whatever lies behind them.
pub(crate) fn counted(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?;
    shown(text, 2)
}

/// As much of a text as a listing shows, if it is one of at least `min`
/// characters.
fn shown(text: &str, min: usize) -> Option<String> {
    let printable = |c: char| match c {
        '\u{7}'..='\r' | '\u{1b}' => true,
        c => !c.is_control(),
    };
    if !text.chars().all(printable) || !text.bytes().any(|b| b.is_ascii_graphic() || b > 127) {
        // Whitespace alone is text when it is a separator such as "\n" or " ".
        let separator = text.len() <= 4 && text.bytes().all(|b| b" \n\t\r".contains(&b));
        if !(separator && min <= 1) {
            return None;
        }
    }
    let mut shown: String = match text.len() {
        0..=MAX_SHOWN => text.to_owned(),
        _ => text.chars().take(MAX_SHOWN).collect(),
    };
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    Some(shown)
}

/// The same for UTF-16, the wide strings of Windows. Almost any two bytes are a
/// character, so that only letters, digits and what a keyboard has are believed.
pub(crate) fn wide_literal(bytes: &[u8], min: usize) -> Option<String> {
    let window = &bytes[..bytes.len().min(2 * MAX_SCANNED)];
    let units = window
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let raw: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
    let ends = 2 * raw.len() + 1 < window.len();
    if raw.len() < min || !(ends || window.len() == 2 * MAX_SCANNED) {
        return None;
    }
    let mut shown = String::new();
    for (at, c) in char::decode_utf16(raw).enumerate() {
        let c = c.ok()?;
        let plain = matches!(c, ' '..='~' | '\t'..='\r');
        if !plain && (c.is_ascii() || !c.is_alphanumeric()) {
            return None;
        }
        match at {
            0..MAX_SHOWN => shown.push(c),
            MAX_SHOWN => shown.push_str("..."),
            _ => {}
        }
    }
    shown.chars().any(|c| !c.is_whitespace()).then_some(shown)
}

/// `text` between double quotes, with everything escaped that could move a
/// cursor, end the quotes or hide other text.
pub(crate) fn quote(out: &mut impl Sink, text: &str) {
    out.push_str("\"");
    // Most are of plain letters all through.
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    let count = text.bytes().take_while(plain).count();
    let (first, mut rest) = text.split_at(count);
    out.push_str(first);
    while let Some(c) = rest.chars().next() {
        let plain = |c: char| match c {
            '"' | '\\' => false,
            ' '..='~' => true,
            c => !c.is_ascii() && c.is_alphanumeric(),
        };
        let run = rest.find(|c| !plain(c)).unwrap_or(rest.len());
        let size = if run > 0 { run } else { c.len_utf8() };
        let (part, behind) = rest.split_at(size);
        match part {
            "\n" => out.push_str("\\n"),
            "\t" => out.push_str("\\t"),
            "\"" => out.push_str("\\\""),
            "\\" => out.push_str("\\\\"),
            _ if run > 0 => out.push_str(part),
            _ => part
                .bytes()
                .for_each(|byte| out.push_str(&format!("\\x{byte:02X}"))),
        }
        rest = behind;
    }
    out.push_str("\"");
}

/// IDA's automatic name for a string: `a` and the words of the string with
/// their first letters raised, 15 characters at most. `None` when nothing of
/// the string can stand in an identifier.
pub(crate) fn auto_name(text: &str) -> Option<Word> {
    let mut name = [0; 15];
    name[0] = b'a';
    let (mut length, mut raise) = (1, true);
    for b in text.bytes() {
        let Some(next) = name.get_mut(length) else {
            break;
        };
        if b.is_ascii_alphanumeric() {
            *next = if raise { b.to_ascii_uppercase() } else { b };
            length += 1;
        }
        raise = !b.is_ascii_alphanumeric();
    }
    let name = str::from_utf8(&name[..length]).ok()?;
    (length > 1).then(|| Word::of(name))
}

/// The name at `offset` of a table of NUL-terminated names. A table without
/// terminators would make each search as long as itself, so a name ends after
/// [`MAX_NAME`] bytes.
pub(crate) fn terminated(table: &[u8], offset: usize) -> &[u8] {
    let rest = table.get(offset..).unwrap_or(&[]);
    let window = &rest[..rest.len().min(MAX_NAME)];
    let end = window.iter().position(|&b| b == 0).unwrap_or(window.len());
    &window[..end]
}

/// A symbol name made fit to print: version cut off, cut to length, and
/// anything but graphic characters replaced. `None` if nothing is left.
pub(crate) fn symbol_name(raw: &[u8]) -> Option<String> {
    let end = raw.iter().skip(1).position(|&b| b == b'@');
    plain_name(&raw[..end.map_or(raw.len(), |at| at + 1)])
}

/// The same for names without versions: Microsoft's C++ names are full of `@`.
pub(crate) fn plain_name(raw: &[u8]) -> Option<String> {
    let name = clean(raw);
    (!name.is_empty()).then_some(name)
}

/// A name cut to length, with anything but graphic characters replaced.
pub(crate) fn clean(raw: &[u8]) -> String {
    let raw = &raw[..raw.len().min(MAX_NAME)];
    if raw.iter().all(u8::is_ascii_graphic)
        && let Ok(name) = str::from_utf8(raw)
    {
        return name.to_owned();
    }
    String::from_utf8_lossy(raw)
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || (!c.is_ascii() && c.is_alphanumeric()) {
                c
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_text_with_an_end() {
        assert_eq!(
            literal(b"usage: %s\n\0rest", 4).as_deref(),
            Some("usage: %s\n")
        );
        assert_eq!(literal(b"abc\0", 4), None);
        assert_eq!(literal(b"no end", 4), None);
        assert_eq!(literal(b"\x01\x02\x03\x04\0", 4), None);
        assert_eq!(
            literal("gr\u{fc}n\0".as_bytes(), 4).as_deref(),
            Some("gr\u{fc}n")
        );
        assert_eq!(literal(b"\n\0", 1).as_deref(), Some("\n"));
        let long = [b'x'; 3000];
        assert_eq!(literal(&long, 4).map(|s| s.len()), Some(MAX_SHOWN + 3));
    }

    #[test]
    fn wide_literals_are_letters_with_an_end() {
        let wide =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        assert_eq!(
            wide_literal(&wide("usage: %s\n\0rest"), 4).as_deref(),
            Some("usage: %s\n")
        );
        assert_eq!(
            wide_literal(&wide("\u{444}\u{430}\u{439}\u{43b}\0"), 4).as_deref(),
            Some("\u{444}\u{430}\u{439}\u{43b}")
        );
        assert_eq!(wide_literal(&wide("abc\0"), 4), None);
        assert_eq!(wide_literal(&wide("no end"), 4), None);
        assert_eq!(wide_literal(&wide("\u{1}\u{2}\u{3}\u{4}\0"), 4), None);
        assert_eq!(
            wide_literal(&[0x00, 0xd8, 0x41, 0, 0x41, 0, 0x41, 0, 0, 0], 4),
            None
        );
        let long = wide(&"x".repeat(5000));
        assert_eq!(wide_literal(&long, 4).map(|s| s.len()), Some(MAX_SHOWN + 3));
    }

    #[test]
    fn quotes_hide_nothing() {
        let mut out = String::new();
        quote(&mut out, "a\"b\\c\n\u{1b}[31m\u{202e}\u{fc}");
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\x1B[31m\\xE2\\x80\\xAE\u{fc}\"");
    }

    #[test]
    fn names_look_like_those_of_ida() {
        assert_eq!(
            auto_name("usage: %s [option]").map(|name| name.as_str().to_owned()),
            Some("aUsageSOption".to_owned())
        );
        assert_eq!(
            auto_name("cannot open file for writing").map(|name| name.as_str().to_owned()),
            Some("aCannotOpenFile".to_owned())
        );
        assert!(auto_name("%\n").is_none());
        assert_eq!(
            symbol_name(b"stderr@GLIBC_2.2.5").as_deref(),
            Some("stderr")
        );
        assert_eq!(symbol_name(b"a\x1b[0m b").as_deref(), Some("a_[0m_b"));
    }
}
