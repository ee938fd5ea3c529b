//! Opaque predicates: conditions with one outcome that a compiler cannot know.
//!
//! They are facts of modular arithmetic about a variable that is read anew each
//! time, which no optimiser may assume to stay what it was. Collberg, Thomborson
//! and Low, "Manufacturing Cheap, Resilient, and Stealthy Opaque Constructs"
//! (1998).

use super::dice::Dice;
use super::ir::{Context, Function, Instruction};

/// The definitions of those variables that a module's new text uses. None is
/// ever written but `sink`, which is never read; their values are of no
/// consequence.
pub(super) fn variables(context: &Context, seed: u64, text: &str) -> Vec<String> {
    let mut dice = Dice::new(seed, "variables", "");
    let (x, y) = (dice.word() as i32, dice.word() as i32);
    let key = (u64::from(dice.word()) << 32 | u64::from(dice.word())) as i64;
    let prefix = &context.prefix;
    [
        ("x", format!("i32 {x}, align 4")),
        ("y", format!("i32 {y}, align 4")),
        ("sink", "i32 0, align 4".to_owned()),
        ("key", format!("i64 {key}, align 8")),
        ("key32", format!("i32 {}, align 4", key as i32)),
    ]
    .into_iter()
    .filter(|(name, _)| uses(text, &format!("@{prefix}.{name}")))
    .map(|(name, value)| format!("@{prefix}.{name} = internal global {value}"))
    .collect()
}

/// Whether a global is named in a text; a longer name does not count.
fn uses(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let next = text.as_bytes().get(at + name.len());
        !next.is_some_and(u8::is_ascii_alphanumeric)
    })
}

/// Builds a run of instructions with fresh names.
pub(super) struct Builder<'a> {
    pub(super) function: &'a mut Function,
    pub(super) context: &'a Context,
    /// Goes behind each.
    pub(super) location: &'a str,
    pub(super) out: Vec<Instruction>,
}

impl<'a> Builder<'a> {
    /// An empty run, whose instructions have no place in the source.
    pub(super) fn new(function: &'a mut Function, context: &'a Context) -> Builder<'a> {
        Builder {
            function,
            context,
            location: "",
            out: Vec::new(),
        }
    }

    /// Adds an instruction and gives its result.
    pub(super) fn value(&mut self, text: &str) -> String {
        let name = self.function.fresh(self.context, "t");
        self.out.push(Instruction::parse(&format!(
            "%{name} = {text}{}",
            self.location
        )));
        format!("%{name}")
    }

    /// Adds an instruction without a result.
    pub(super) fn plain(&mut self, text: &str) {
        self.out
            .push(Instruction::parse(&format!("{text}{}", self.location)));
    }

    /// Reads a variable of the module.
    pub(super) fn read(&mut self, of: &str, variable: &str) -> String {
        let pointer = self.context.types.pointer(of);
        let prefix = &self.context.prefix;
        let load = format!("load volatile {of}, {pointer} @{prefix}.{variable}");
        self.value(&load)
    }

    /// Writes to the variable that nobody reads.
    pub(super) fn sink(&mut self, value: &str) {
        let pointer = self.context.types.pointer("i32");
        let prefix = &self.context.prefix;
        let store = format!("store volatile i32 {value}, {pointer} @{prefix}.sink");
        self.plain(&store);
    }

    /// A condition that always holds.
    pub(super) fn always(&mut self, dice: &mut Dice) -> String {
        match dice.below(4) {
            // Of two numbers in a row one is even.
            0 => {
                let x = self.read("i32", "x");
                let again = self.read("i32", "x");
                let next = self.value(&format!("add i32 {again}, 1"));
                let product = self.value(&format!("mul i32 {x}, {next}"));
                let bit = self.value(&format!("and i32 {product}, 1"));
                self.value(&format!("icmp eq i32 {bit}, 0"))
            }
            // 7x^2 - 1 is no square modulo 8, so neither modulo 2^32.
            1 => {
                let (x, again) = (self.read("i32", "x"), self.read("i32", "x"));
                let square = self.value(&format!("mul i32 {x}, {again}"));
                let seven = self.value(&format!("mul i32 {square}, 7"));
                let left = self.value(&format!("add i32 {seven}, -1"));
                let (y, again) = (self.read("i32", "y"), self.read("i32", "y"));
                let right = self.value(&format!("mul i32 {y}, {again}"));
                self.value(&format!("icmp ne i32 {left}, {right}"))
            }
            // The square of an odd number is 1 modulo 8.
            2 => {
                let (y, again) = (self.read("i32", "y"), self.read("i32", "y"));
                let left = self.value(&format!("or i32 {y}, 1"));
                let right = self.value(&format!("or i32 {again}, 1"));
                let square = self.value(&format!("mul i32 {left}, {right}"));
                let rest = self.value(&format!("and i32 {square}, 7"));
                self.value(&format!("icmp eq i32 {rest}, 1"))
            }
            // No square ends in the bits 10.
            _ => {
                let (x, again) = (self.read("i32", "x"), self.read("i32", "x"));
                let square = self.value(&format!("mul i32 {x}, {again}"));
                let rest = self.value(&format!("and i32 {square}, 3"));
                self.value(&format!("icmp ult i32 {rest}, 2"))
            }
        }
    }
}
