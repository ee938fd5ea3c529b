//! Obfuscation of a compile, by passes of our own over LLVM IR.
//!
//! Analysts meet obfuscated programs, so models have to be trained and judged on
//! them. The passes here are the classic ones that obfuscating compilers offer,
//! written anew from their published descriptions; they are no port of O-LLVM
//! or of one of its descendants, and what they emit differs from theirs.
//!
//! ## Where they run
//!
//! Between `clang -S -emit-llvm` at the level that is asked for and code
//! generation at the same level with LLVM's own IR passes switched off. The
//! optimiser has done its work by then and does not get to undo ours, and
//! inlining has merged what it would have merged in the plain build, so that a
//! function of the one has its twin in the other. Code generation still cleans
//! up after its fashion (it joins blocks and folds arithmetic), and the passes
//! are made to outlast that: their predicates and keys are read from memory.
//! As no IR pass runs any more, the attributes `optnone` and `noinline` that
//! `-O0` puts on functions need no care.
//!
//! ## What they keep
//!
//! The behaviour of the program, and the debug information that ties functions
//! to source lines: instructions keep their `!dbg`, functions their
//! `DISubprogram`. Descriptions of where variables live are dropped where
//! values move to memory. A function that holds something that the passes do
//! not understand is left as it was and told in the [`ObfuscationReport`].
//!
//! The text of LLVM 13 to 19 is read, with typed and with opaque pointers, for
//! any target: the width of a pointer comes from the module's data layout.

mod bogus;
mod compile;
mod demote;
mod dice;
mod flatten;
mod indirect;
mod ir;
mod opaque;
mod split;
mod strings;
mod substitution;
mod text;
mod types;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use self::dice::Dice;
use self::ir::{Item, LeftFunction, Module};

pub use self::compile::ObfuscatedCompile;

/// A pass. The order here is the order in which several are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Obfuscation {
    /// Constant strings are stored encrypted; a constructor of ours decrypts
    /// them when the program starts. Writable data, no `ifunc`s, and nothing
    /// that runs without a C library.
    Strings,
    /// Blocks are cut into pieces, joined by branches on a variable in memory.
    Split,
    /// Blocks are entered through opaque predicates, whose other way leads
    /// through an altered copy that never runs.
    Bogus,
    /// Blocks become the cases of a `switch` over a state variable, in a loop.
    Flatten,
    /// Additions, subtractions and bit operations become longer mixed
    /// Boolean-arithmetic expressions.
    Substitution,
    /// Jumps read their targets from a table of block addresses.
    Indirect,
}

/// The combinations that a corpus is built with: each pass alone, then pairs
/// and all together.
pub const OBFUSCATIONS: [&[Obfuscation]; 11] = {
    use Obfuscation::{Bogus, Flatten, Indirect, Split, Strings, Substitution};
    [
        &[Substitution],
        &[Bogus],
        &[Flatten],
        &[Split],
        &[Indirect],
        &[Strings],
        &[Flatten, Substitution],
        &[Bogus, Substitution],
        &[Split, Flatten],
        &[Bogus, Flatten, Substitution],
        &[Strings, Split, Bogus, Flatten, Substitution, Indirect],
    ]
};

impl Obfuscation {
    /// Every pass, in the order in which they are applied.
    pub const ALL: [Obfuscation; 6] = [
        Obfuscation::Strings,
        Obfuscation::Split,
        Obfuscation::Bogus,
        Obfuscation::Flatten,
        Obfuscation::Substitution,
        Obfuscation::Indirect,
    ];

    /// The name in toolchains and rows. Names do not change.
    pub fn name(self) -> &'static str {
        match self {
            Obfuscation::Strings => "strings",
            Obfuscation::Split => "split",
            Obfuscation::Bogus => "bogus",
            Obfuscation::Flatten => "flatten",
            Obfuscation::Substitution => "substitution",
            Obfuscation::Indirect => "indirect",
        }
    }

    /// The name of several passes together, such as `flatten+substitution`: in
    /// the order in which they are applied, each once.
    pub fn join(passes: &[Obfuscation]) -> String {
        let names: Vec<&str> = in_order(passes)
            .into_iter()
            .map(Obfuscation::name)
            .collect();
        names.join("+")
    }

    /// Reads what [`join`](Obfuscation::join) writes, in any order.
    pub fn split_names(names: &str) -> Result<Vec<Obfuscation>, UnknownObfuscation> {
        let passes: Result<Vec<_>, _> = names.split('+').map(str::parse).collect();
        Ok(in_order(&passes?))
    }
}

impl fmt::Display for Obfuscation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Obfuscation {
    type Err = UnknownObfuscation;

    fn from_str(name: &str) -> Result<Obfuscation, UnknownObfuscation> {
        Obfuscation::ALL
            .into_iter()
            .find(|o| o.name() == name)
            .ok_or_else(|| UnknownObfuscation(name.to_owned()))
    }
}

/// A name that is no pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no obfuscation; there are strings, split, bogus, flatten, substitution and indirect, \
     several joined by \"+\""
)]
pub struct UnknownObfuscation(pub String);

/// A text that is not LLVM IR as clang writes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the IR is not usable: {0}; it must be what `clang -S -emit-llvm` writes")]
pub struct InvalidIr(pub String);

/// A module after the passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obfuscated {
    /// The new text.
    pub ir: String,
    /// What was done.
    pub report: ObfuscationReport,
}

/// What the passes did to a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObfuscationReport {
    /// Functions that the module defines.
    pub functions: usize,
    /// Those that a pass changed. Others had nothing to change, such as a
    /// single block when control flow is flattened, or were left.
    pub changed: usize,
    /// Those that were left as they were by a pass, and why.
    pub left: Vec<Unobfuscated>,
    /// Basic blocks of the functions that were understood.
    pub blocks_before: usize,
    /// The same afterwards.
    pub blocks_after: usize,
    /// Strings that were encrypted.
    pub strings: usize,
}

/// A function that was left as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unobfuscated {
    /// Its name in the IR, without `@`.
    pub function: String,
    /// The pass that left it, or none if all did.
    pub pass: Option<Obfuscation>,
    /// What in it was not understood.
    pub reason: String,
}

/// Applies passes to the text of a module, in the order of [`Obfuscation`],
/// whatever the order here. The same text, passes and seed give the same
/// result on every machine.
pub fn obfuscate(ir: &str, passes: &[Obfuscation], seed: u64) -> Result<Obfuscated, InvalidIr> {
    let mut module = Module::parse(ir).map_err(InvalidIr)?;
    let mut report = ObfuscationReport {
        blocks_before: blocks(&module),
        ..ObfuscationReport::default()
    };
    for item in &module.items {
        match item {
            Item::Function(_) => report.functions += 1,
            Item::Left(LeftFunction {
                name,
                reason: Some(reason),
                ..
            }) => {
                report.functions += 1;
                report.left.push(Unobfuscated {
                    function: name.trim_start_matches('@').to_owned(),
                    pass: None,
                    reason: reason.clone(),
                });
            }
            _ => {}
        }
    }
    let mut changed = HashSet::new();
    for pass in in_order(passes) {
        if pass == Obfuscation::Strings {
            report.strings = strings::apply(&mut module, seed);
            continue;
        }
        apply(pass, &mut module, seed, &mut changed, &mut report);
    }
    report.changed = changed.len();
    report.blocks_after = blocks(&module);
    let text = module.print();
    let mut ir = text;
    for line in opaque::variables(&module.context, seed, &ir) {
        ir.push_str(&line);
        ir.push('\n');
    }
    Ok(Obfuscated { ir, report })
}

/// Applies a pass to every function that is understood.
fn apply(
    pass: Obfuscation,
    module: &mut Module,
    seed: u64,
    changed: &mut HashSet<String>,
    report: &mut ObfuscationReport,
) {
    let context = &mut module.context;
    for item in &mut module.items {
        let Item::Function(function) = item else {
            continue;
        };
        let mut dice = Dice::new(seed, pass.name(), &function.name);
        let result = match pass {
            Obfuscation::Split => split::apply(function, context, &mut dice),
            Obfuscation::Bogus => bogus::apply(function, context, &mut dice),
            Obfuscation::Flatten => flatten::apply(function, context, &mut dice),
            Obfuscation::Substitution => substitution::apply(function, context, &mut dice),
            Obfuscation::Indirect => indirect::apply(function, context, &mut dice),
            Obfuscation::Strings => Ok(false),
        };
        match result {
            Ok(true) => {
                changed.insert(function.name.clone());
            }
            Ok(false) => {}
            Err(reason) => report.left.push(Unobfuscated {
                function: function.name.trim_start_matches('@').to_owned(),
                pass: Some(pass),
                reason,
            }),
        }
    }
}

fn blocks(module: &Module) -> usize {
    module.functions().map(|f| f.blocks.len()).sum()
}

fn in_order(passes: &[Obfuscation]) -> Vec<Obfuscation> {
    let mut passes = passes.to_vec();
    passes.sort_unstable();
    passes.dedup();
    passes
}
