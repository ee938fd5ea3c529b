//! Reading pieces of LLVM's textual form: local names and nested lists.

use std::ops::Range;

/// Where local names (`%x`, `%12`, `%"a b"`) stand in a text, without the
/// percent sign. Strings are passed over: an assembly template may hold one.
pub(super) fn locals(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b'%' => {
                let start = at + 1;
                let end = if bytes.get(start) == Some(&b'"') {
                    end_of_string(bytes, start)
                } else {
                    let len = bytes[start..].iter().take_while(|b| is_name(**b)).count();
                    start + len
                };
                if end > start {
                    found.push(start..end);
                }
                at = end.max(start);
            }
            _ => at += 1,
        }
    }
    found
}

/// Whether a byte may stand in a name that is not quoted.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-$._".contains(&byte)
}

/// Just behind the string that begins at `at`. LLVM writes a quote inside a
/// string as `\22`, so the next quote ends it.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let body = &bytes[at + 1..];
    match body.iter().position(|b| *b == b'"') {
        Some(len) => at + len + 2,
        None => bytes.len(),
    }
}

/// The text with every local name for which `to` has another one replaced.
pub(super) fn rename(text: &str, mut to: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for range in locals(text) {
        if let Some(name) = to(&text[range.clone()]) {
            out.push_str(&text[copied..range.start]);
            out.push_str(&name);
            copied = range.end;
        }
    }
    out.push_str(&text[copied..]);
    out
}

/// The text without its comment.
pub(super) fn without_comment(line: &str) -> &str {
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at),
            b';' => return line[..at].trim_end(),
            _ => at += 1,
        }
    }
    line.trim_end()
}

/// Offsets that are outside of brackets and strings; those at which one begins
/// are among them.
fn outside(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let (mut depth, mut next) = (0_usize, 0);
    std::iter::from_fn(move || {
        while next < bytes.len() {
            let (at, here) = (next, depth == 0);
            next += 1;
            match bytes[at] {
                b'"' => next = end_of_string(bytes, at),
                b'(' | b'[' | b'{' | b'<' => depth += 1,
                b')' | b']' | b'}' | b'>' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if here {
                return Some(at);
            }
        }
        None
    })
}

/// The parts between commas that no bracket encloses, trimmed.
pub(super) fn parts(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut start = 0;
    let mut found = Vec::new();
    for at in outside(bytes).filter(|&at| bytes[at] == b',') {
        found.push(text[start..at].trim());
        start = at + 1;
    }
    found.push(text[start..].trim());
    found
}

/// Where `needle` stands outside of brackets and strings.
pub(super) fn find_outside(text: &str, needle: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    outside(bytes).find(|&at| bytes[at..].starts_with(needle.as_bytes()))
}

/// The `!dbg` attachment of an instruction with the comma before it, or
/// nothing: what takes an instruction's place keeps its line.
pub(super) fn debug_location(text: &str) -> String {
    parts(text)
        .into_iter()
        .find(|p| p.starts_with("!dbg "))
        .map(|p| format!(", {p}"))
        .unwrap_or_default()
}

/// The next word and what follows it.
pub(super) fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(' ').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&str> {
        locals(text).into_iter().map(|r| &text[r]).collect()
    }

    #[test]
    fn local_names_are_found_outside_of_strings() {
        assert_eq!(
            names(r#"call void asm "mov %0, %eax", "r"(i32 %x.1, ptr %"a b"), !dbg !3"#),
            ["x.1", "\"a b\""]
        );
        assert_eq!(names("store i32 %0, i32* @\"%x\""), ["0"]);
    }

    #[test]
    fn names_are_replaced_whole() {
        let to = |n: &str| (n == "1").then(|| "one".to_owned());
        assert_eq!(rename("add i32 %1, %11", to), "add i32 %one, %11");
    }

    #[test]
    fn parts_respect_brackets_and_strings() {
        assert_eq!(
            parts("i8* bitcast ({ i8, i8 }* @a to i8*), i32 1, !dbg !2"),
            ["i8* bitcast ({ i8, i8 }* @a to i8*)", "i32 1", "!dbg !2"]
        );
        assert_eq!(parts("asm \"a, b\", \"r\""), ["asm \"a, b\"", "\"r\""]);
    }

    #[test]
    fn a_debug_location_is_kept() {
        assert_eq!(
            debug_location("br label %7, !dbg !48, !llvm.loop !5"),
            ", !dbg !48"
        );
        assert_eq!(debug_location("br label %7"), "");
    }
}
