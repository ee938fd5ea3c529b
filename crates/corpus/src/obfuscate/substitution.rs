//! Instruction substitution.
//!
//! Additions, subtractions and bit operations become longer sums of the same
//! value that mix arithmetic with bit logic: Zhou, Main, Gu and Johnson,
//! "Information Hiding in Software with Mixed Boolean-Arithmetic Transforms"
//! (2007). Some pass through a key that is read from memory, which no peephole
//! optimisation can see through.

use super::dice::Dice;
use super::ir::{Context, Function, Instruction};
use super::opaque::Builder;
use super::types::first_type;

/// How many of a hundred operations are substituted.
const PERCENT: usize = 75;

/// Substitutes operations of a function and says whether there was one.
pub(super) fn apply(
    function: &mut Function,
    context: &Context,
    dice: &mut Dice,
) -> Result<bool, String> {
    let mut changed = false;
    for index in 0..function.blocks.len() {
        let old = std::mem::take(&mut function.blocks[index].instructions);
        let mut new = Vec::with_capacity(old.len());
        for instruction in old {
            let operation = Operation::of(&instruction).filter(|_| dice.percent(PERCENT));
            let Some(operation) = operation else {
                new.push(instruction);
                continue;
            };
            let location = instruction.debug_location();
            let mut build = Builder {
                function,
                context,
                location: &location,
                out: Vec::new(),
            };
            operation.substitute(&mut build, dice);
            // The last of them is the result.
            if let Some(last) = build.out.last_mut() {
                last.result = instruction.result.clone();
            }
            new.append(&mut build.out);
            changed = true;
        }
        function.blocks[index].instructions = new;
    }
    Ok(changed)
}

/// An operation on two integers.
struct Operation {
    op: String,
    of: String,
    bits: u32,
    a: String,
    b: String,
}

impl Operation {
    fn of(instruction: &Instruction) -> Option<Operation> {
        let op = instruction.op.as_str();
        if !["add", "sub", "and", "or", "xor"].contains(&op) {
            return None;
        }
        let (of, _) = first_type(instruction.text.strip_prefix(op)?)?;
        let bits = of.integer_bits().filter(|bits| *bits >= 8)?;
        let parts = instruction.parts();
        let [first, b] = parts.as_slice() else {
            return None;
        };
        let of = of.to_string();
        let (_, a) = first.split_once(&format!("{of} "))?;
        // Two readings of what is undefined need not agree.
        if ["undef", "poison"]
            .iter()
            .any(|w| a.contains(w) || b.contains(w))
        {
            return None;
        }
        Some(Operation {
            op: op.to_owned(),
            of,
            bits,
            a: a.to_owned(),
            b: (*b).to_owned(),
        })
    }

    /// Builds the same value; its last instruction gives it.
    fn substitute(&self, build: &mut Builder<'_>, dice: &mut Dice) {
        let (a, b) = (self.a.as_str(), self.b.as_str());
        let mut go =
            |op: &str, a: &str, b: &str| build.value(&format!("{op} {} {a}, {b}", self.of));
        match (self.op.as_str(), dice.below(4)) {
            // a + b = (a ^ b) + 2 (a & b)
            ("add", 0) => {
                let (x, n) = (go("xor", a, b), go("and", a, b));
                let twice = go("shl", &n, "1");
                go("add", &x, &twice);
            }
            // a + b = (a | b) + (a & b)
            ("add", 1) => {
                let (o, n) = (go("or", a, b), go("and", a, b));
                go("add", &o, &n);
            }
            // a + b = (a - ~b) - 1
            ("add", 2) => {
                let not = go("xor", b, "-1");
                let d = go("sub", a, &not);
                go("add", &d, "-1");
            }
            // a - b = (a ^ b) - 2 (~a & b)
            ("sub", 0) => {
                let (x, not) = (go("xor", a, b), go("xor", a, "-1"));
                let n = go("and", &not, b);
                let twice = go("shl", &n, "1");
                go("sub", &x, &twice);
            }
            // a - b = (a & ~b) - (~a & b)
            ("sub", 1) => {
                let (not_a, not_b) = (go("xor", a, "-1"), go("xor", b, "-1"));
                let (left, right) = (go("and", a, &not_b), go("and", &not_a, b));
                go("sub", &left, &right);
            }
            // a - b = ~(~a + b)
            ("sub", 2) => {
                let not = go("xor", a, "-1");
                let sum = go("add", &not, b);
                go("xor", &sum, "-1");
            }
            // a & b = (a + b) - (a | b)
            ("and", 0) => {
                let (sum, o) = (go("add", a, b), go("or", a, b));
                go("sub", &sum, &o);
            }
            // a & b = (~a | b) - ~a
            ("and", 1) => {
                let not = go("xor", a, "-1");
                let o = go("or", &not, b);
                go("sub", &o, &not);
            }
            // a & b = (a ^ ~b) & a
            ("and", 2) => {
                let not = go("xor", b, "-1");
                let x = go("xor", a, &not);
                go("and", &x, a);
            }
            // a | b = (a & ~b) + b
            ("or", 0) => {
                let not = go("xor", b, "-1");
                let n = go("and", a, &not);
                go("add", &n, b);
            }
            // a | b = (a + b) - (a & b)
            ("or", 1) => {
                let (sum, n) = (go("add", a, b), go("and", a, b));
                go("sub", &sum, &n);
            }
            // a | b = (a & b) | (a ^ b)
            ("or", 2) => {
                let (n, x) = (go("and", a, b), go("xor", a, b));
                go("or", &n, &x);
            }
            // a ^ b = (a | b) - (a & b)
            ("xor", 0) => {
                let (o, n) = (go("or", a, b), go("and", a, b));
                go("sub", &o, &n);
            }
            // a ^ b = (a + b) - 2 (a & b)
            ("xor", 1) => {
                let (sum, n) = (go("add", a, b), go("and", a, b));
                let twice = go("shl", &n, "1");
                go("sub", &sum, &twice);
            }
            // a ^ b = (~a & b) | (a & ~b)
            ("xor", 2) => {
                let (not_a, not_b) = (go("xor", a, "-1"), go("xor", b, "-1"));
                let (left, right) = (go("and", &not_a, b), go("and", a, &not_b));
                go("or", &left, &right);
            }
            _ => self.keyed(build),
        }
    }

    /// The operation carried out on values that a key has changed.
    fn keyed(&self, build: &mut Builder<'_>) {
        let (a, b) = (self.a.as_str(), self.b.as_str());
        let key = self.key(build);
        let mut go =
            |op: &str, a: &str, b: &str| build.value(&format!("{op} {} {a}, {b}", self.of));
        match self.op.as_str() {
            // (a + k) + (b - k)
            "add" => {
                let (left, right) = (go("add", a, &key), go("sub", b, &key));
                go("add", &left, &right);
            }
            // (a + k) - (b + k)
            "sub" => {
                let (left, right) = (go("add", a, &key), go("add", b, &key));
                go("sub", &left, &right);
            }
            // The bits that the key has, and those that it lacks.
            op @ ("and" | "or") => {
                let not = go("xor", &key, "-1");
                let whole = go(op, a, b);
                let (left, right) = (go("and", &whole, &key), go("and", &whole, &not));
                go("or", &left, &right);
            }
            // (a ^ k) ^ (b ^ k)
            _ => {
                let (left, right) = (go("xor", a, &key), go("xor", b, &key));
                go("xor", &left, &right);
            }
        }
    }

    /// A key of the operation's width, read from memory.
    fn key(&self, build: &mut Builder<'_>) -> String {
        match self.bits {
            32 => build.read("i32", "key32"),
            64 => build.read("i64", "key"),
            bits if bits < 32 => {
                let key = build.read("i32", "key32");
                build.value(&format!("trunc i32 {key} to {}", self.of))
            }
            bits if bits < 64 => {
                let key = build.read("i64", "key");
                build.value(&format!("trunc i64 {key} to {}", self.of))
            }
            _ => {
                let key = build.read("i64", "key");
                build.value(&format!("zext i64 {key} to {}", self.of))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::obfuscate::ir::{Item, Module};

    /// Evaluates the straight-line code that the pass makes, on 8 bits, for
    /// every pair of operands.
    fn check(op: &str) {
        let expected: fn(u8, u8) -> u8 = match op {
            "add" => u8::wrapping_add,
            "sub" => u8::wrapping_sub,
            "and" => |a, b| a & b,
            "or" => |a, b| a | b,
            _ => |a, b| a ^ b,
        };
        let ir = format!("define i8 @f(i8 %a, i8 %b) {{\n  %r = {op} i8 %a, %b\n  ret i8 %r\n}}\n");
        let mut forms = std::collections::HashSet::new();
        for seed in 0..40 {
            let mut module = Module::parse(&ir).expect("IR");
            let Item::Function(function) = &mut module.items[0] else {
                panic!("the function is not understood");
            };
            apply(function, &module.context, &mut Dice::new(seed, "", "")).expect("pass");
            let block = &function.blocks[0].instructions;
            let code = &block[..block.len() - 1];
            let form: Vec<&str> = code.iter().map(|i| i.op.as_str()).collect();
            if !forms.insert(form.join(" ")) {
                continue;
            }
            for pair in 0..=u16::MAX {
                let [a, b] = pair.to_le_bytes();
                assert_eq!(run(code, a, b), expected(a, b), "{op} {a} {b}: {code:?}");
            }
        }
        // Three without a key, one with it, and the operation left alone.
        assert_eq!(forms.len(), 5, "{op} has other forms: {forms:?}");
    }

    fn run(code: &[Instruction], a: u8, b: u8) -> u8 {
        let mut values = vec![("a", a), ("b", b)];
        for instruction in code {
            let parts = instruction.parts();
            let read = |text: &str| match text.rsplit([' ', '%']).next() {
                Some("-1") => 255,
                Some("1") => 1,
                name => values
                    .iter()
                    .rev()
                    .find(|v| Some(v.0) == name)
                    .map_or(0, |v| v.1),
            };
            let value = match instruction.op.as_str() {
                "load" => 0,
                "trunc" => 0x5a,
                op => {
                    let (x, y) = (read(parts[0]), read(parts[1]));
                    match op {
                        "add" => x.wrapping_add(y),
                        "sub" => x.wrapping_sub(y),
                        "and" => x & y,
                        "or" => x | y,
                        "xor" => x ^ y,
                        _ => x << y,
                    }
                }
            };
            values.push((instruction.result.as_deref().unwrap_or_default(), value));
        }
        values.last().map_or(0, |v| v.1)
    }

    #[test]
    fn every_substitution_gives_the_same_value() {
        for op in ["add", "sub", "and", "or", "xor"] {
            check(op);
        }
    }
}
