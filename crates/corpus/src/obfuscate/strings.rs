//! String encryption.
//!
//! Constant strings of the module are stored encrypted, in writable data, and a
//! constructor of ours decrypts them all before `main` runs. So a program whose
//! own constructors or `ifunc` resolvers run earlier, or that runs without a C
//! library to call constructors, must not be built with this pass. Strings that
//! the optimiser has turned into numbers within instructions stay readable.

use super::dice::Dice;
use super::ir::{Context, Item, Module};
use super::text;

/// Encrypts the strings of a module and says how many.
pub(super) fn apply(module: &mut Module, seed: u64) -> usize {
    let mut calls = Vec::new();
    let (pointer, word) = (module.context.types.pointer("i8"), module.context.word);
    let reveal = format!("@{}.reveal", module.context.prefix);
    for item in &mut module.items {
        let Item::Line(line) = item else { continue };
        let Some(string) = StringConstant::parse(line) else {
            continue;
        };
        let key = Dice::new(seed, "strings", string.name).word() as u8;
        let size = string.bytes.len();
        let address = if module.context.types.opaque {
            string.name.to_owned()
        } else {
            let of = format!("[{size} x i8]");
            format!(
                "getelementptr inbounds ({of}, {of}* {}, {word} 0, {word} 0)",
                string.name
            )
        };
        calls.push(format!(
            "  call void {reveal}({pointer} {address}, {word} {size}, i8 {key})"
        ));
        *line = string.encrypted(key);
    }
    if !calls.is_empty() {
        add_constructor(module, &calls);
    }
    calls.len()
}

/// A line such as `@.str = private unnamed_addr constant [3 x i8] c"ab\00"`.
struct StringConstant<'a> {
    name: &'a str,
    linkage: &'a str,
    bytes: Vec<u8>,
    /// Alignment and whatever else follows, with the comma.
    rest: &'a str,
}

impl StringConstant<'_> {
    fn parse(line: &str) -> Option<StringConstant<'_>> {
        if !line.starts_with('@') {
            return None;
        }
        let (name, definition) = line.split_once(" = ")?;
        let (head, body) = definition.split_once(" constant [")?;
        let mut words = head.split_whitespace();
        let linkage = words
            .next()
            .filter(|l| ["private", "internal"].contains(l))?;
        // Thread-local strings and those of other address spaces stay.
        let plain = ["unnamed_addr", "local_unnamed_addr", "dso_local"];
        if !words.all(|w| plain.contains(&w)) {
            return None;
        }
        let (_, literal) = body.split_once(" x i8] c\"")?;
        let (literal, rest) = literal.split_once('"')?;
        // A section is read by somebody who knows nothing of the key.
        if ["section", "comdat", "partition"]
            .iter()
            .any(|w| rest.contains(w))
        {
            return None;
        }
        let bytes = unescape(literal)?;
        // An empty string has nothing to hide.
        (bytes.len() > 1).then_some(StringConstant {
            name,
            linkage,
            bytes,
            rest,
        })
    }

    /// The line with the string encrypted, and no longer constant.
    fn encrypted(&self, key: u8) -> String {
        let mut state = key;
        let bytes: String = self
            .bytes
            .iter()
            .map(|byte| {
                let out = format!("\\{:02X}", byte ^ state);
                state = next(state);
                out
            })
            .collect();
        let (name, linkage, size) = (self.name, self.linkage, self.bytes.len());
        format!(
            "{name} = {linkage} global [{size} x i8] c\"{bytes}\"{}",
            self.rest
        )
    }
}

/// The next state of the key stream: a full-period congruential generator, as
/// the factor is 1 modulo 4 and the summand is odd.
fn next(state: u8) -> u8 {
    state.wrapping_mul(73).wrapping_add(41)
}

/// `a\0Ab` as bytes.
fn unescape(literal: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(literal.len());
    let mut rest = literal.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match rest {
            [b'\\', behind @ ..] => {
                bytes.push(b'\\');
                rest = behind;
            }
            [high, low, behind @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = behind;
            }
            _ => return None,
        }
    }
    Some(bytes)
}

/// Adds the code that decrypts, run before other constructors.
fn add_constructor(module: &mut Module, calls: &[String]) {
    let Context {
        prefix,
        types,
        word,
        added,
    } = &mut module.context;
    let pointer = types.pointer("i8");
    added.push(format!(
        "define internal void @{prefix}.reveal({pointer} %at, {word} %size, i8 %key) noinline nounwind uwtable {{
begin:
  br label %byte

byte:
  %index = phi {word} [ 0, %begin ], [ %following, %byte ]
  %state = phi i8 [ %key, %begin ], [ %changed, %byte ]
  %place = getelementptr i8, {pointer} %at, {word} %index
  %secret = load i8, {pointer} %place
  %plain = xor i8 %secret, %state
  store i8 %plain, {pointer} %place
  %scaled = mul i8 %state, 73
  %changed = add i8 %scaled, 41
  %following = add {word} %index, 1
  %done = icmp eq {word} %following, %size
  br i1 %done, label %end, label %byte

end:
  ret void
}}"
    ));
    added.push(format!(
        "define internal void @{prefix}.strings() noinline nounwind uwtable {{\n{}\n  ret void\n}}",
        calls.join("\n")
    ));
    let function = types.pointer("void ()");
    let entry = format!("{{ i32, {function}, {pointer} }}");
    // Priorities up to 100 come before any that a program may ask for.
    let ours = format!("{entry} {{ i32 1, {function} @{prefix}.strings, {pointer} null }}");
    for item in &mut module.items {
        let Item::Line(line) = item else { continue };
        if !line.starts_with("@llvm.global_ctors = ") {
            continue;
        }
        if let Some(open) = line.find("] [")
            && let Some(close) = line.rfind(']')
        {
            let mut entries = text::parts(&line[open + 3..close]);
            entries.insert(0, &ours);
            *line = constructors(&entry, &entries);
            return;
        }
    }
    added.push(constructors(&entry, &[&ours]));
}

fn constructors(entry: &str, entries: &[&str]) -> String {
    format!(
        "@llvm.global_ctors = appending global [{} x {entry}] [{}]",
        entries.len(),
        entries.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_read_and_hidden() {
        let line =
            r#"@.str.1 = private unnamed_addr constant [7 x i8] c"a\\\22b\0A\FF\00", align 1"#;
        let string = StringConstant::parse(line).expect("a string");
        assert_eq!(string.bytes, b"a\\\"b\n\xff\0");
        let hidden = string.encrypted(9);
        let again = hidden.replace(" global ", " constant ");
        let mut state = 9;
        let secret = StringConstant::parse(&again).expect("a string").bytes;
        let plain: Vec<u8> = secret
            .iter()
            .map(|byte| {
                let out = byte ^ state;
                state = next(state);
                out
            })
            .collect();
        assert_eq!(plain, string.bytes);
        assert!(hidden.ends_with(", align 1"));
    }

    #[test]
    fn what_others_read_stays() {
        for line in [
            r#"@a = constant [3 x i8] c"ab\00""#,
            r#"@a = private unnamed_addr constant [3 x i8] c"ab\00", section "llvm.metadata""#,
            r#"@a = internal thread_local constant [3 x i8] c"ab\00""#,
            r#"@a = private constant [3 x i32] zeroinitializer"#,
        ] {
            assert!(StringConstant::parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn the_key_stream_does_not_repeat_early() {
        let mut state = 0;
        let seen: std::collections::HashSet<u8> = (0..256)
            .map(|_| {
                state = next(state);
                state
            })
            .collect();
        assert_eq!(seen.len(), 256);
    }
}
