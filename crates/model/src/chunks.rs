//! One listing line to canonical chunks: the only place that normalises.
//!
//! A listing is lossless, so addresses that differ from build to build are
//! still in it (`sub_401A30`, `cs:dword_4010`, `aUsage`). They tell nothing
//! about what a function does and are reduced to their kind. What a person
//! wrote (names of imports, string literals) is split into words, so that a
//! model trained beside English text can use them: [`words`] are those of a
//! whole listing, which a model reads before the code, however long that is.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::text::STOP_WORDS;

/// Chunks of a name or of a string comment; more are dropped.
const MAX_WORDS: usize = 12;
/// Characters of one chunk: a hostile symbol must not make one long merge.
const MAX_CHUNK_CHARS: usize = 64;

/// Names that a disassembler makes up from an address.
const AUTOMATIC: [&str; 21] = [
    "sub_", "loc_", "locret_", "unk_", "byte_", "word_", "dword_", "qword_", "oword_", "xmmword_",
    "ymmword_", "zmmword_", "tbyte_", "off_", "stru_", "asc_", "jpt_", "def_", "flt_", "dbl_",
    "nullsub_",
];
const SEGMENTS: [&str; 6] = ["cs:", "ds:", "es:", "fs:", "gs:", "ss:"];

/// Splits one line of a listing into whitespace-free chunks.
///
/// Commas, the words `ptr`, `short` and `offset`, and the text of string
/// literals go ([`words`] has it). A memory operand stays one chunk, without the
/// frame's size: `[rsp+58h+var_10]` is `[rsp+var_10]`. Everything is lower case
/// but `INSTRk`. The other processors' ways to write numbers, memory and the
/// halves of an address become those of x86, so that a model of several need
/// learn them once.
///
/// ```
/// use binscribe_model::chunks;
/// assert_eq!(chunks("mov     eax, [rbp+var_18]"), ["mov", "eax", "[rbp+var_18]"]);
/// assert_eq!(chunks("call    _error_at_line"), ["call", "error", "at", "line"]);
/// assert_eq!(chunks("jz      short INSTR41"), ["jz", "INSTR41"]);
/// assert_eq!(chunks("mov     eax, cs:dword_4010"), ["mov", "eax", "cs:dword_"]);
/// assert_eq!(chunks("LDR             X0, [SP,#0x20+var_8]"), ["ldr", "x0", "[sp+var_8]"]);
/// assert_eq!(chunks("addi            a0, a0, %lo(aUsage)"), ["addi", "a0", "a0", "str_"]);
/// ```
pub fn chunks(line: &str) -> Vec<String> {
    let mut out = Vec::with_capacity(4);
    let code = line.split_once(';').map_or(line, |(code, _)| code);
    for token in tokens(&without_base(code)) {
        operand(&canonical(token).0, &mut out);
    }
    out
}

/// `(aUsage - 3FF4h)[ebx]` to `aUsage` and `=(aUsage - 0xB4F0)` to `=(aUsage)`:
/// how 32-bit code reaches what other code names at once.
fn without_base(code: &str) -> Cow<'_, str> {
    let parts = || {
        let (before, base) = code.split_once(" - ")?;
        let digits = |c: char| c.is_ascii_alphanumeric();
        let after = base.trim_start_matches(digits);
        let got = || {
            let (before, name) = before.rsplit_once('(')?;
            let (_, after) = after.strip_prefix(")[")?.split_once(']')?;
            Some(format!("{before}{name}{after}"))
        };
        Some(got().unwrap_or_else(|| format!("{before}{after}")))
    };
    parts().map_or(Cow::Borrowed(code), Cow::Owned)
}

/// The words that people wrote in a listing, each once, in the order in which
/// they first occur: of the names of imports and other symbols, and of string
/// literals. No [`STOP_WORDS`], no single letters, no bare numbers.
///
/// ```
/// let listing = "lea     rdi, aUsage; \"usage: %s FILE of the day\\n\"\ncall    _open_file";
/// assert_eq!(binscribe_model::words(listing), ["usage", "file", "day", "open"]);
/// ```
pub fn words(listing: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for line in listing.lines() {
        let (code, comment) = match line.split_once(';') {
            Some((code, comment)) => (code, Some(comment)),
            None => (line, None),
        };
        let mut some = Vec::new();
        // The first is the mnemonic.
        for token in tokens(&without_base(code)).skip(1) {
            let (token, named) = canonical(token);
            if let Some(name) = symbol(&token, named) {
                name_words(name, &mut some);
            }
        }
        let mut known = Vec::new();
        for note in comment.into_iter().flat_map(notes) {
            match note.strip_prefix('"') {
                Some(text) => comment_words(text, &mut some),
                // Of a table or a constant: `SHA-256 round constants`.
                None if note.contains(' ') => comment_words(note, &mut known),
                None => {
                    if let Some(name) = symbol(note, true) {
                        name_words(name, &mut some);
                    }
                }
            }
        }
        let some = some.into_iter().map(|word| (word, false));
        for (word, number) in some.chain(known.into_iter().map(|word| (word, true))) {
            let tells = word.chars().nth(1).is_some()
                && (number || !word.bytes().all(|b| b.is_ascii_digit()))
                && !STOP_WORDS.contains(&word.as_str());
            if tells && !seen.contains(&word) {
                seen.insert(word.clone());
                found.push(word);
            }
        }
    }
    found
}

/// What stands behind an instruction, `; ` between: a string between quotes, and
/// names.
fn notes(comment: &str) -> impl Iterator<Item = &str> {
    let mut rest = comment;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', ';']);
        let end = match rest.strip_prefix('"') {
            Some(text) => {
                let mut escaped = false;
                let quote = text.bytes().position(|byte| {
                    let ends = byte == b'"' && !escaped;
                    escaped = byte == b'\\' && !escaped;
                    ends
                });
                quote.map_or(rest.len(), |quote| quote + 2)
            }
            None => rest.find(';').unwrap_or(rest.len()),
        };
        let (note, after) = rest.split_at(end);
        rest = after;
        (!note.is_empty()).then(|| note.trim_end())
    })
}

/// The mnemonic and the operands. `[SP,#8]` and `{R4,LR}` are one each.
fn tokens(code: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    code.split(move |c: char| {
        match c {
            '[' | '{' => inside = true,
            ']' | '}' => inside = false,
            _ => {}
        }
        c.is_whitespace() || (c == ',' && !inside)
    })
    .filter(|token| !token.is_empty())
}

/// An operand as it would be written for x86, and whether the way in which it
/// was written says that it is a name: `%lo(counter)(a0)` is `counter[a0]`.
fn canonical(token: &str) -> (Cow<'_, str>, bool) {
    let bare = token.trim_start_matches(['#', '=']);
    if let Some(after) = bare.strip_prefix('%') {
        // `%lo(name)` or `%lo(name)(register)`.
        if let Some((_, rest)) = after.split_once('(') {
            let (name, rest) = rest.split_once(')').unwrap_or((rest, ""));
            let register = rest.trim_matches(['(', ')', '$']);
            return match register {
                "" => (Cow::Borrowed(name), true),
                _ => (Cow::Owned(format!("{name}[{register}]")), true),
            };
        }
    }
    if let Some(inner) = bare.strip_prefix('(') {
        // `#(:lower16:name)`, and what is left of `=(name - 0xB4F0)`.
        let inner = inner.trim_end_matches(')');
        let name = inner.rsplit(':').next().unwrap_or(inner);
        return (Cow::Borrowed(name), true);
    }
    if let Some(inner) = bare.strip_prefix('[')
        && (inner.contains(',') || inner.contains("0x"))
    {
        return (Cow::Owned(bracketed(inner)), false);
    }
    if let Some((head, rest)) = bare.split_once('(')
        && !head.is_empty()
        && let Some(register) = rest.strip_suffix(')')
    {
        let register = register.trim_start_matches('$');
        if let Some((name, _)) = head.split_once('@') {
            return (Cow::Owned(format!("{name}[{register}]")), true);
        }
        if head.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            || head.starts_with("var_")
            || head.starts_with("arg_")
        {
            let mut memory = format!("[{register}");
            push_term(head, &mut memory);
            memory.push(']');
            return (Cow::Owned(memory), false);
        }
    }
    if let Some((name, half)) = bare.split_once('@')
        && !name.is_empty()
        && (matches!(half, "PAGE" | "PAGEOFF" | "ha" | "l" | "h")
            || half.starts_with("toc")
            || half.starts_with("got"))
    {
        return (Cow::Borrowed(name), true);
    }
    match number(bare) {
        Some(number) => (Cow::Owned(number), false),
        None if bare.len() < token.len() => (Cow::Borrowed(bare), token.starts_with('=')),
        None => (Cow::Borrowed(token), false),
    }
}

/// `SP,#0x20+var_10]!` to `[sp+var_10]!`, `X0,X1,LSL#3]` to `[x0+x1*8]`.
fn bracketed(inner: &str) -> String {
    let (inside, after) = inner.split_once(']').unwrap_or((inner, ""));
    let mut memory = String::from("[");
    let end = inside.find([',', '+']).unwrap_or(inside.len());
    let (base, terms) = inside.split_at(end);
    memory.push_str(base);
    for term in terms.split(',').filter(|term| !term.is_empty()) {
        let shift = term.strip_prefix("LSL#").and_then(|by| by.parse().ok());
        match shift.and_then(|by: u32| 1u64.checked_shl(by)) {
            Some(scale) => memory.push_str(&format!("*{scale}")),
            None => {
                let term = term.trim_start_matches(['#', '+']);
                push_term(term.strip_suffix("@PAGEOFF").unwrap_or(term), &mut memory);
            }
        }
    }
    format!("{memory}]{after}")
}

/// Appends `+term` to a memory operand: nothing for zero, and of `0x20+var_8`
/// each part.
fn push_term(term: &str, memory: &mut String) {
    for part in term.split('+') {
        match number(part) {
            Some(zero) if zero == "0" => {}
            Some(negative) if negative.starts_with('-') => memory.push_str(&negative),
            Some(number) => {
                memory.push('+');
                memory.push_str(&number);
            }
            None => {
                memory.push('+');
                memory.push_str(part);
            }
        }
    }
}

/// A number of ARM or MIPS as MASM writes it: `0xB8` is `0B8h`. `None` for what
/// is none.
fn number(text: &str) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    if let Some(hex) = digits.strip_prefix("0x") {
        let all = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        let value = all.then(|| u64::from_str_radix(hex, 16).ok()).flatten()?;
        return Some(match value {
            0..10 => format!("{sign}{value}"),
            _ if hex.starts_with(|c: char| c.is_ascii_digit()) => format!("{sign}{hex}h"),
            _ => format!("{sign}0{hex}h"),
        });
    }
    let digit = |c: char| c.is_ascii_digit();
    let masm = digits.strip_suffix('h').unwrap_or(digits);
    (digits.starts_with(digit) && masm.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| text.to_owned())
}

/// The name of a symbol that an operand refers to, `named` where that is sure.
/// The dialect writes a C name with an underscore before it, and the slot that
/// holds an address with `_ptr` behind; a register has neither.
fn symbol(token: &str, named: bool) -> Option<&str> {
    let rest = SEGMENTS
        .iter()
        .find_map(|segment| token.strip_prefix(segment))
        .unwrap_or(token);
    let head = &rest[..rest.find('[').unwrap_or(rest.len())];
    let named = named || head.contains(['_', '@']) || rest.len() < token.len();
    let starts = head.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let name = head.strip_suffix("_ptr").unwrap_or(head);
    (named && starts && label_kind(head).is_none()).then_some(name)
}

/// The `k` of `INSTRk`.
pub(crate) fn instruction_number(chunk: &str) -> Option<usize> {
    let digits = chunk.strip_prefix("INSTR")?;
    // Not `parse` alone: it would take `INSTR+4`.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(usize::MAX))
}

fn operand(token: &str, out: &mut Vec<String>) {
    if matches!(token, "ptr" | "short" | "offset") {
        return;
    }
    if instruction_number(token).is_some() {
        out.push(token.to_owned());
        return;
    }
    let (segment, rest) = match SEGMENTS.iter().find(|s| token.starts_with(**s)) {
        Some(segment) => token.split_at(segment.len()),
        None => ("", token),
    };
    let (head, memory) = match rest.find('[') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if let Some(kind) = label_kind(head) {
        let mut chunk = format!("{segment}{kind}");
        push_memory(memory, &mut chunk);
        out.push(capped(chunk));
        return;
    }
    // Registers, size words and mnemonics are names too: without an underscore
    // or a capital they come out as the one word that they are.
    let is_name = head
        .chars()
        .next()
        .is_some_and(|c| !c.is_ascii_digit() && !matches!(c, '-' | '+'))
        && !head.starts_with("st(");
    if is_name {
        if !segment.is_empty() {
            out.push(segment.to_owned());
        }
        let before = out.len();
        name_words(head, out);
        if out.len() == before {
            out.push(capped(head.to_lowercase()));
        }
        if !memory.is_empty() {
            let mut chunk = String::new();
            push_memory(memory, &mut chunk);
            out.push(capped(chunk));
        }
    } else {
        let mut chunk = format!("{segment}{}", head.to_ascii_lowercase());
        push_memory(memory, &mut chunk);
        out.push(capped(chunk));
    }
}

/// `sub_` of `sub_401A30`, `str_` of `aUsage`, nothing for a real name.
fn label_kind(name: &str) -> Option<&'static str> {
    if let Some(prefix) = automatic_prefix(name) {
        return Some(prefix);
    }
    let rest = name.strip_prefix('a')?;
    let first = rest.bytes().next()?;
    // `a0` is an argument register of RISC-V and MIPS.
    let argument = rest.len() == 1 && first.is_ascii_digit();
    let is_label = !argument
        && (first.is_ascii_uppercase() || first.is_ascii_digit())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_label.then_some("str_")
}

/// A made-up prefix followed by an address in capitals; `byte_order` or
/// `sub_add` are names that a person gave.
fn automatic_prefix(name: &str) -> Option<&'static str> {
    let under = name.find('_')?;
    let prefix = AUTOMATIC.iter().find(|p| **p == &name[..=under])?;
    let address = &name[under + 1..];
    let digits = address
        .bytes()
        .take_while(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
        .count();
    let ends = address[digits..]
        .chars()
        .next()
        .is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
    (digits >= 3 && ends).then_some(*prefix)
}

/// Appends a memory operand, lower case, automatic names inside it reduced.
fn push_memory(memory: &str, chunk: &mut String) {
    let mut rest = memory;
    while !rest.is_empty() {
        let name = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        if name == 0 {
            let other = rest
                .find(|c: char| c.is_ascii_alphanumeric() || c == '_')
                .unwrap_or(rest.len());
            chunk.push_str(&rest[..other]);
            rest = &rest[other..];
        } else {
            if rest.starts_with("var_") || rest.starts_with("arg_") {
                drop_frame_size(chunk);
            }
            match label_kind(&rest[..name]) {
                Some(kind) => chunk.push_str(kind),
                None => chunk.extend(rest[..name].chars().map(|c| c.to_ascii_lowercase())),
            }
            rest = &rest[name..];
        }
    }
}

/// `[rsp+58h+` to `[rsp+`: the frame's size stands before a variable's name,
/// differs from build to build, and would make one variable many chunks.
fn drop_frame_size(chunk: &mut String) {
    let Some(size) = chunk.strip_suffix('+') else {
        return;
    };
    let start = size.rfind(['+', '-']).map_or(0, |at| at + 1);
    let number = &size[start..];
    let digits = number.strip_suffix('h').unwrap_or(number);
    if start > 0
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
    {
        chunk.truncate(start - 1);
        chunk.push('+');
    }
}

/// `_error_at_line` to `error at line`, `xmlParseURI@@V2` to `xml parse uri`.
fn name_words(name: &str, out: &mut Vec<String>) {
    // A symbol's version follows its name.
    let name = match name.find('@') {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    };
    let limit = out.len() + MAX_WORDS;
    let mut word = String::new();
    let mut previous = ' ';
    let mut letters = name.chars().peekable();
    while let Some(c) = letters.next() {
        let starts = c.is_uppercase()
            && (previous.is_lowercase()
                || previous.is_ascii_digit()
                // The P of `XMLParse`.
                || previous.is_uppercase() && letters.peek().is_some_and(|n| n.is_lowercase()));
        if !c.is_alphanumeric() || starts {
            push_word(&mut word, limit, out);
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        previous = c;
    }
    push_word(&mut word, limit, out);
}

/// The words of a string literal as the listing escaped it. Escapes and
/// printf conversions are not words.
fn comment_words(text: &str, out: &mut Vec<String>) {
    let limit = out.len() + MAX_WORDS;
    let mut word = String::new();
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
            continue;
        }
        push_word(&mut word, limit, out);
        if out.len() == limit {
            return;
        }
        if c == '\\' {
            if letters.next() == Some('x') {
                for _ in 0..2 {
                    letters.next_if(char::is_ascii_hexdigit);
                }
            }
        } else if c == '%' {
            let flags = |c: &char| {
                matches!(
                    c,
                    '-' | '+' | '#' | '*' | '.' | '0'
                        ..='9' | 'h' | 'l' | 'L' | 'q' | 'j' | 'z' | 't'
                )
            };
            while letters.next_if(flags).is_some() {}
            letters.next_if(|c| c.is_ascii_alphabetic() || *c == '%');
        }
    }
    push_word(&mut word, limit, out);
}

fn push_word(word: &mut String, limit: usize, out: &mut Vec<String>) {
    if !word.is_empty() {
        let word = std::mem::take(word);
        if out.len() < limit {
            out.push(capped(word));
        }
    }
}

fn capped(mut chunk: String) -> String {
    if chunk.len() > MAX_CHUNK_CHARS
        && let Some((at, _)) = chunk.char_indices().nth(MAX_CHUNK_CHARS)
    {
        chunk.truncate(at);
    }
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        assert_eq!(chunks(line), expected, "{line}");
    }

    #[test]
    fn plain_instructions() {
        check("endbr64", &["endbr64"]);
        check("mov     edx, 6", &["mov", "edx", "6"]);
        check("sub     rsp, 0B8h", &["sub", "rsp", "0b8h"]);
        check(
            "lea     ecx, [rax+rdx*4-1Ch]",
            &["lea", "ecx", "[rax+rdx*4-1ch]"],
        );
        check(
            "movzx   esi, byte ptr [rcx+rdx]",
            &["movzx", "esi", "byte", "[rcx+rdx]"],
        );
        check("mov     rax, fs:28h", &["mov", "rax", "fs:28h"]);
        check("fld     st(1)", &["fld", "st(1)"]);
        check("rep stosq", &["rep", "stosq"]);
        check("pxor    xmm0, xmm1", &["pxor", "xmm0", "xmm1"]);
        check("imul    eax, ebx, -10h", &["imul", "eax", "ebx", "-10h"]);
        check("", &[]);
    }

    #[test]
    fn jumps_keep_their_target() {
        check("jle     short INSTR14", &["jle", "INSTR14"]);
        check("jmp     INSTR999", &["jmp", "INSTR999"]);
    }

    #[test]
    fn addresses_do_not_survive() {
        check("call    sub_401A30", &["call", "sub_"]);
        check("call    cs:qword_3FE8", &["call", "cs:qword_"]);
        check("jmp     ds:jpt_4010[rax*4]", &["jmp", "ds:jpt_[rax*4]"]);
        check("lea     rdx, unk_5F00", &["lea", "rdx", "unk_"]);
        check("mov     edi, offset aUsage_0", &["mov", "edi", "str_"]);
        check(
            "mov     eax, [rbx+dword_4F20]",
            &["mov", "eax", "[rbx+dword_]"],
        );
        check("jmp     loc_401A30+1", &["jmp", "loc_"]);
        check(
            "lea     eax, (aUsage - 3FF4h)[ebx]",
            &["lea", "eax", "str_"],
        );
        check("fld     st(1)", &["fld", "st(1)"]);
    }

    #[test]
    fn names_become_words() {
        check("call    _memcpy", &["call", "memcpy"]);
        check("call    _sub_add", &["call", "sub", "add"]);
        check("call    sub_add", &["call", "sub", "add"]);
        check(
            "call    ds:GdiplusStartup",
            &["call", "ds:", "gdiplus", "startup"],
        );
        check(
            "mov     rdi, cs:stderr@@GLIBC_2.2.5",
            &["mov", "rdi", "cs:", "stderr"],
        );
        check(
            "call    _XMLParseURI2Node",
            &["call", "xml", "parse", "uri2", "node"],
        );
        check(
            "mov     eax, crc_table[rax*4]",
            &["mov", "eax", "crc", "table", "[rax*4]"],
        );
        check("call    __", &["call", "__"]);
    }

    #[test]
    fn string_comments_become_words() {
        let usage = r#"lea     rdi, aUsage; "usage: %s [-n] FILE of 3 files\n""#;
        check(usage, &["lea", "rdi", "str_"]);
        check("push    edx; lpRect", &["push", "edx"]);
        check("mov     eax, 28h ; '('", &["mov", "eax", "28h"]);
        assert_eq!(words(usage), ["usage", "file", "files"]);
        assert!(words(r#"lea     rdi, asc_4010; "\x1b\t%-10.3ld%%""#).is_empty());
        assert!(words("mov     eax, 28h ; '('").is_empty());
        let quote = r#"lea     rdi, aA; "a \"quote\"; here"; Base64 alphabet"#;
        assert_eq!(words(quote), ["quote", "here", "base64", "alphabet"]);
    }

    #[test]
    fn what_is_named_behind_becomes_words() {
        let listing = "mov     eax, 428A2F98h; SHA-256 round constant\n\
            jalr    $t9; memset\nLDR             R0, [R0]; stderr_ptr\n\
            bal     sub_401A30; sub_401A30\ncall    edi ; DeleteDC";
        let expected = [
            "sha", "256", "round", "constant", "memset", "stderr", "delete", "dc",
        ];
        assert_eq!(words(listing), expected);
    }

    #[test]
    fn other_processors_are_written_like_x86() {
        let aarch64 = [
            (
                "STP             X30, X25, [SP,#-0x40+var_40]!",
                "stp x30 x25 [sp+var_40]!",
            ),
            (
                "LDP             X20, X19, [SP+0x40+var_40],#0x40",
                "ldp x20 x19 [sp+var_40] 40h",
            ),
            ("LDR             X1, [X0,X2,LSL#3]", "ldr x1 [x0+x2*8]"),
            ("LDRB            W9, [X2,#1]", "ldrb w9 [x2+1]"),
            ("LDUR            W9, [X2,#-0x1C]", "ldur w9 [x2-1ch]"),
            ("MOV             W20, #0xFFFFFFFF", "mov w20 0ffffffffh"),
            ("ADRP            X0, #aOutOfMemory@PAGE", "adrp x0 str_"),
            (
                "LDR             X0, [X0,#qword_10F40@PAGEOFF]",
                "ldr x0 [x0+qword_]",
            ),
            (
                "ADD             X0, X0, #sub_401A30@PAGEOFF",
                "add x0 x0 sub_",
            ),
            ("B.LO            INSTR25", "b lo INSTR25"),
        ];
        let arm = [
            (
                "LDR             R0, =(aErrorClosingS - 0xB4F0)",
                "ldr r0 str_",
            ),
            ("DCD             aErrorClosingS - 0xB4F0", "dcd str_"),
            ("LDR             R0, =0x428A2F98", "ldr r0 428a2f98h"),
            ("MOVW            R1, #(:lower16:counter)", "movw r1 counter"),
            ("PUSH            {R4-R7,LR}", "push r4 r7 lr"),
        ];
        let others = [
            ("lw      $t9, %call16(sub_30A0)($gp)", "lw t9 sub_[gp]"),
            ("lw      $a0, %got(aUnableToAlloca)($gp)", "lw a0 str_[gp]"),
            ("sw      $ra, 0x20+var_4($sp)", "sw ra [sp+var_4]"),
            ("sw      $a0, -4($v0)", "sw a0 [v0-4]"),
            ("sb              zero, 0(s1)", "sb zero [s1]"),
            ("ld              ra, 20h+var_8(sp)", "ld ra [sp+var_8]"),
            ("auipc           a0, %hi(aOutOfMemory)", "auipc a0 str_"),
            ("addi            sp, sp, -20h", "addi sp sp -20h"),
            ("addi      r3, r3, aUsageSNumber@l", "addi r3 r3 str_"),
            ("lwz       r3, dword_10A0@l(r9)", "lwz r3 dword_[r9]"),
            ("stw       r0, 0x10+arg_4(r1)", "stw r0 [r1+arg_4]"),
        ];
        for (line, expected) in aarch64.into_iter().chain(arm).chain(others) {
            let expected: Vec<&str> = expected.split(' ').collect();
            check(line, &expected);
        }
        let names = "ADRP            X0, #stderr_ptr@PAGE\nlw      $t9, %lo(malloc_ptr)($v0)\n\
            MOVW            R1, #(:lower16:counter)\nlw      $t9, %call16(read_line)($gp)\n\
            LDR             R0, =(aErrorClosingS - 0xB4F0)\naddi            a0, a0, %lo(x_table)";
        let expected = ["stderr", "malloc", "counter", "read", "line", "table"];
        assert_eq!(words(names), expected);
    }

    #[test]
    fn names_of_symbols_are_words_and_registers_are_not() {
        let listing = "mov     eax, [rbp+var_18]\ncall    _memcpy\ncall    sub_401A30\n\
            mov     rdi, cs:stderr@@GLIBC_2.2.5\nmov     rax, fs:28h\n\
            call    __errno_location\ncall    _memcpy\njmp     short INSTR4\n\
            mov     eax, _crc_table[rax*4]\nmov     eax, cs:dword_4010\nrep stosq";
        let expected = ["memcpy", "stderr", "errno", "location", "crc", "table"];
        assert_eq!(words(listing), expected);
    }

    #[test]
    fn a_variable_is_the_same_in_every_frame() {
        check(
            "mov     rax, [rsp+0A08h+var_9E0]",
            &["mov", "rax", "[rsp+var_9e0]"],
        );
        check(
            "mov     [rsp+rax*4+58h+arg_8], eax",
            &["mov", "[rsp+rax*4+arg_8]", "eax"],
        );
        check("lea     rcx, [rsp+58h]", &["lea", "rcx", "[rsp+58h]"]);
        check("mov     rax, [rbp+var_8]", &["mov", "rax", "[rbp+var_8]"]);
        check(
            "mov     rax, [rbp+rbx+var_8]",
            &["mov", "rax", "[rbp+rbx+var_8]"],
        );
    }

    #[test]
    fn hostile_text_is_bounded() {
        let text: String = (0..900).map(|i| format!("w{i} ")).collect();
        let long = format!("call    _{}; \"{text}\"", "a".repeat(10_000));
        let chunks = chunks(&long);
        assert_eq!(chunks.len(), 2);
        let words = words(&long);
        assert_eq!(words.len(), 1 + MAX_WORDS);
        for chunk in chunks.iter().chain(&words) {
            assert!(chunk.chars().count() <= MAX_CHUNK_CHARS);
        }
        check("call    é[ß]", &["call", "é", "[ß]"]);
    }
}
