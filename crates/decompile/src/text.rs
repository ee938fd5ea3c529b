//! What the lines of a listing call things.
//!
//! Instructions say how wide and of which kind their operands are; what those are
//! called stands in the listing alone.

/// A line, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Words<'l> {
    /// The operands, in the order of the line.
    pub(crate) operands: Vec<&'l str>,
    /// The string literal behind the line, with its quotes.
    pub(crate) literal: Option<&'l str>,
}

/// Takes apart a line such as `lea     rdi, aUsage; "usage: %s\n"`.
pub(crate) fn words(line: &str) -> Words<'_> {
    let (code, remark) = match line.find(';') {
        Some(at) => (&line[..at], line[at + 1..].trim()),
        None => (line, ""),
    };
    let literal = remark.strip_prefix('"').and_then(|rest| {
        let mut escaped = false;
        let end = rest.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        end.map(|(end, _)| &remark[..end + 2])
    });
    let rest = code.trim().split_once(' ').map_or("", |(_, rest)| rest);
    Words {
        operands: rest
            .split(", ")
            .map(str::trim)
            .filter(|operand| !operand.is_empty())
            .collect(),
        literal,
    }
}

/// The place on the stack that an operand names, in bytes from the return address:
/// `[rsp+28h+var_18]` is 18h below it.
pub(crate) fn place(operand: &str) -> Option<i64> {
    let inside = operand.split_once('[')?.1.split_once(']')?.0;
    inside.split('+').find_map(|part| {
        let number = |digits: &str| i64::from_str_radix(digits, 16).ok();
        match part.split_once('_')? {
            ("var", digits) => Some(-number(digits)?),
            ("arg", digits) => Some(number(digits)? + ARGUMENTS),
            _ => None,
        }
    })
}

/// How far below the return address the stack pointer is, by an operand that counts
/// from it: 28h in `[rsp+28h+var_18]`.
pub(crate) fn depth(operand: &str) -> Option<i64> {
    let inside = operand.split_once("[rsp+")?.1.split_once(']')?.0;
    let (_, name) = inside.rsplit_once('+').unwrap_or(("", inside));
    let is_place = name.starts_with("var_") || name.starts_with("arg_");
    let counted = inside.split('+').find_map(|part| {
        let digits = part.strip_suffix('h').unwrap_or(part);
        i64::from_str_radix(digits, 16)
            .ok()
            .filter(|_| !part.contains('*'))
    });
    is_place.then(|| counted.unwrap_or(0))
}

/// Where the arguments on the stack begin.
pub(crate) const ARGUMENTS: i64 = 8;

/// What an operand names, without how wide it is and the segment before it, and
/// without the register behind it: `dword ptr cs:table[rax*4]` is of `table`.
pub(crate) fn name(operand: &str) -> Option<&str> {
    let operand = operand.strip_prefix("short ").unwrap_or(operand);
    let operand = operand.strip_prefix("offset ").unwrap_or(operand);
    let operand = operand
        .split_once(" ptr ")
        .map_or(operand, |(_, rest)| rest);
    let named = ["cs:", "ds:"].iter().find_map(|s| operand.strip_prefix(s));
    let operand = named.unwrap_or(operand);
    let operand = operand.split_once('[').map_or(operand, |(name, _)| name);
    let is_name = operand.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '?' | '.'));
    is_name.then_some(operand)
}

/// A name that C can have: other signs become underscores.
pub(crate) fn identifier(name: &str) -> String {
    let mut out: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        out.insert(0, '_');
    }
    // Files may have any names.
    if KEYWORDS.contains(&out.as_str()) {
        out.push('_');
    }
    out
}

/// Words that C has a meaning for.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
    "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register",
    "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef",
    "union", "unsigned", "void", "volatile", "while", "asm", "typeof", "stack",
    "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64",
];

/// A string literal of a listing as C has it: there any number of hexadecimal digits
/// may follow `\x`, so that bytes are written in octal.
pub(crate) fn literal(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let byte = escape
            .strip_prefix("\\x")
            .and_then(|digits| digits.get(..2));
        let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let length = match byte {
            Some(byte) => {
                out.push_str(&format!("\\{byte:03o}"));
                4
            }
            None => {
                // The sign behind it is another's beginning otherwise.
                let length = escape.chars().take(2).map(char::len_utf8).sum();
                out.push_str(&escape[..length]);
                length
            }
        };
        rest = &escape[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let line = words(r#"lea     rdi, aUsage; "a \"b\", c; d\\" ; more"#);
        assert_eq!(line.operands, ["rdi", "aUsage"]);
        assert_eq!(line.literal, Some(r#""a \"b\", c; d\\""#));
        assert!(words("retn").operands.is_empty());
        assert_eq!(words("jmp     short INSTR4").operands, ["short INSTR4"]);
    }

    #[test]
    fn operands_say_what_they_name() {
        assert_eq!(place("[rsp+28h+var_18]"), Some(-0x18));
        assert_eq!(place("dword ptr [rbp+rax*4+var_A0]"), Some(-0xa0));
        assert_eq!(place("[rbp+arg_8]"), Some(ARGUMENTS + 8));
        assert_eq!(place("[rax+8]"), None);
        assert_eq!(place("[var_"), None);
        assert_eq!(depth("[rsp+28h+var_18]"), Some(0x28));
        assert_eq!(depth("qword ptr [rsp+rax*8+9+var_8]"), Some(9));
        assert_eq!(depth("[rsp+8]"), None);
        assert_eq!(name("dword ptr cs:table[rax*4]"), Some("table"));
        assert_eq!(name("short sub_10"), Some("sub_10"));
        assert_eq!(name("offset aText"), Some("aText"));
        assert_eq!(name("[rax]"), None);
        assert_eq!(name("28h"), None);
        assert_eq!(identifier("a.b@1"), "a_b_1");
        assert_eq!(identifier("1"), "_1");
        assert_eq!(identifier("int"), "int_");
        assert_eq!(literal(r#""a\\x41\x1Bb\n""#), r#""a\\x41\033b\n""#);
    }
}
