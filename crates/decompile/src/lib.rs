//! A function of a program as C.
//!
//! [`decompile`] follows the data of a function's instructions, puts values where
//! they are used, makes conditions and loops of jumps, and prints the rest as C that
//! a compiler takes: numbers without a sign and as wide as the registers, memory by
//! address. It asks no model: it says what the machine code does, in another
//! language.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // mov eax, edi; imul eax, edi; retn
//! let code = [0x89, 0xf8, 0x0f, 0xaf, 0xc7, 0xc3];
//! let program = binscribe_lift::Program::parse_raw(&code, binscribe_lift::Arch::X86_64, 0)?;
//! let function = &program.functions()[0];
//! let c = binscribe_decompile::decompile(&program, function)?;
//! assert_eq!(c.code, "u32 sub_0(u32 a1)\n{\n    return a1 * a1;\n}\n");
//! # Ok(())
//! # }
//! ```
//!
//! # Design constraints
//!
//! The code is hostile. Functions beyond [`MAX_INSTRUCTIONS`] are refused, every pass
//! is bounded, and nothing here panics. The crate knows no file system, network or
//! model.

#![forbid(unsafe_code)]

mod calls;
mod data;
mod ir;
mod lift;
mod print;
mod shape;
mod simplify;
mod switch;
mod text;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use binscribe_lift::{Arch, Function, Program};

use crate::lift::Lifter;
use crate::print::Printer;

/// Instructions of a function that is not refused.
pub const MAX_INSTRUCTIONS: usize = 8_000;

/// Instructions of other functions that are read for what those take.
const MAX_READ: usize = 100_000;

/// Functions that go on to each other, one after another.
const MAX_CHAIN: usize = 4;

/// What functions of the program take, by what their code reads.
struct Known<'p, 'd> {
    program: &'p Program<'d>,
    found: RefCell<HashMap<u64, Option<calls::Signature>>>,
    /// Instructions that may still be read.
    left: Cell<usize>,
}

impl Known<'_, '_> {
    fn signature(&self, address: u64, chain: usize) -> Option<calls::Signature> {
        if let Some(held) = self.found.borrow().get(&address) {
            return *held;
        }
        if self.left.get() == 0 || chain > MAX_CHAIN {
            return None;
        }
        let functions = self.program.functions();
        let at = functions
            .binary_search_by_key(&address, |f| f.address)
            .ok()?;
        let listing = self.program.listing(&functions[at]);
        self.left.set(self.left.get().saturating_sub(listing.len()));
        let signature = match listing.len() {
            1..=MAX_INSTRUCTIONS => {
                let other = |address: u64| self.signature(address, chain + 1);
                lift::signature(self.program, &listing, other)
            }
            _ => None,
        };
        self.found.borrow_mut().insert(address, signature);
        signature
    }
}

/// Why a function is not decompiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Only one processor's instructions are understood so far.
    #[error("only code of x86-64 can be decompiled, and this is {0}")]
    Arch(&'static str),
    /// The function is too long to be read as C.
    #[error(
        "the function has {0} instructions, and more than {MAX_INSTRUCTIONS} are not decompiled"
    )]
    TooLong(usize),
    /// There is nothing in the file where the function should be.
    #[error("the file has no code of this function")]
    Empty,
}

/// A function as C.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decompiled {
    /// The function.
    pub code: String,
    /// The data that it names.
    pub globals: Vec<Global>,
    /// Functions that it calls besides itself, by their names in `code`.
    pub calls: Vec<String>,
}

/// Data that a function names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Its name in the code.
    pub name: String,
    /// Where it is, unless it is outside of the file.
    pub address: Option<u64>,
    /// As it must be declared for the code to be compiled.
    pub declaration: String,
}

/// What `code` is written with: types, and functions for what C has no operator for.
pub const PRELUDE: &str = include_str!("prelude.h");

/// Decompiles a function.
///
/// # Errors
///
/// Where the processor is another one than x86-64, or the function is empty or too
/// long.
pub fn decompile(program: &Program<'_>, function: &Function) -> Result<Decompiled, Error> {
    let arch = program.info().arch;
    if arch != Arch::X86_64 {
        return Err(Error::Arch(arch.id()));
    }
    let listing = program.listing(function);
    match listing.len() {
        0 => return Err(Error::Empty),
        long if long > MAX_INSTRUCTIONS => return Err(Error::TooLong(long)),
        _ => {}
    }
    let known = Known {
        program,
        found: RefCell::default(),
        left: Cell::new(MAX_READ),
    };
    let signatures = |address: u64| known.signature(address, 0);
    let mut body = Lifter::new(program, &listing, &signatures).lift(&listing);
    data::clean(&mut body);
    let starts: Vec<Option<u64>> = {
        let addresses: Vec<u64> = listing.lines().map(|line| line.address).collect();
        let starts = listing.blocks().map(|block| block.lines.start);
        let starts = starts.map(|line| addresses.get(line).copied());
        // The first takes in the arguments.
        std::iter::once(None).chain(starts).collect()
    };
    if switch::resolve(program, &mut body, &starts) {
        data::clean(&mut body);
    }
    let nodes = shape::shape(&body);
    let mut printer = Printer::new(&body);
    let name = text::identifier(&function.display_name());
    let code = printer.print(&name, &nodes);
    // What is called and named is declared once.
    let calls = printer.functions.into_iter();
    let calls: Vec<String> = calls.filter(|called| *called != name).collect();
    let globals = printer.globals.into_values();
    let globals = globals.filter(|global| global.name != name && !calls.contains(&global.name));
    Ok(Decompiled {
        code,
        globals: globals.collect(),
        calls,
    })
}
