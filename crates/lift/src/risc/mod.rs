//! Processors of load and store instructions, which are alike in what matters
//! here: an address takes two instructions, a call leaves its return address in
//! a register, and the stack pointer is moved by one number at a time.
//!
//! Each is an [`Isa`] that reads one instruction into an [`Op`] and writes one
//! as text; flow, addresses, stack frames and names are followed here for all.

use std::fmt;

use crate::image::Image;
use crate::program::Arch;
use crate::step::{Reference, Step};

pub(crate) mod aarch64;
mod arm;
pub(crate) mod listing;
mod mips;
mod powerpc;
mod riscv;

pub(crate) use arm::Modes;

/// Instructions that may lie between the two halves of an address.
const APART: usize = 24;

/// The part of an instruction that matters here. Registers are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Branch(u64),
    Conditional(u64),
    Call(u64),
    /// To the address in a register.
    Jump(u8),
    CallRegister(u8),
    /// To a register and a number: the second half of an address.
    JumpAt {
        base: u8,
        offset: i64,
    },
    CallAt {
        base: u8,
        offset: i64,
    },
    Return,
    /// A trap that is never left: `BRK`, `HLT`.
    Stop,
    Undefined,
    /// The first half of an address: `ADRP`.
    Page {
        to: u8,
        address: u64,
    },
    /// The upper half of a number, which is an address only in code that is
    /// loaded where it says: `LUI`.
    Upper {
        to: u8,
        value: u64,
    },
    /// The first half of an address is counted from a register: `ADDIS`.
    AddUpper {
        to: u8,
        from: u8,
        value: i64,
    },
    /// Two registers are added: the place of a table's entry.
    Index {
        to: u8,
        a: u8,
        b: u8,
    },
    Copy {
        to: u8,
        from: u8,
    },
    /// A whole address: `ADR`.
    Address {
        to: u8,
        address: u64,
    },
    /// A load from the code itself.
    Literal {
        to: u8,
        address: u64,
    },
    /// A number is added, or taken away, on the width of an address.
    Add {
        to: u8,
        from: u8,
        value: i64,
    },
    /// The lower half of a number, no address, joins the upper one: `ORI`.
    Join {
        to: u8,
        from: u8,
        value: u64,
    },
    /// A load or a store at a register and a number.
    Memory {
        access: Access,
    },
    /// A number is moved (`keep` is false: `MOVZ`, `MOVN`) or set into some bits
    /// of a register (`MOVK`).
    Move {
        to: u8,
        value: u64,
        keep: bool,
    },
    /// A number that may be an address or a part of one: moved, set into the
    /// upper bits of a register (`keep`), or loaded from `pool`.
    Number {
        to: u8,
        value: u64,
        keep: bool,
        pool: Option<u64>,
    },
    /// Two registers are added, or one and the place of the code.
    Sum {
        to: u8,
        terms: [Term; 2],
    },
    /// A load or a store at such a sum.
    SumMemory {
        loads: Option<u8>,
        terms: [Term; 2],
    },
    /// To where a table in the code says.
    Switch {
        falls: bool,
    },
    /// Data among the code.
    Data,
    /// Anything else: the register that it changes, if any.
    Other(Option<u8>),
    /// The same for several registers, bit by bit.
    Others(u32),
}

/// What is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Term {
    Register(u8),
    Here(u64),
}

impl Op {
    /// The register that it changes: the first one, where there are two.
    pub(crate) fn changes(self) -> Option<u8> {
        match self {
            Op::Page { to, .. }
            | Op::Upper { to, .. }
            | Op::AddUpper { to, .. }
            | Op::Index { to, .. }
            | Op::Copy { to, .. }
            | Op::Address { to, .. }
            | Op::Literal { to, .. }
            | Op::Add { to, .. }
            | Op::Join { to, .. }
            | Op::Move { to, .. } => Some(to),
            Op::Memory { access } => access.loads,
            Op::Other(to) => to,
            _ => None,
        }
    }
}

/// A load or a store at a register and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// The first register that is loaded; none for vectors and stores.
    pub(crate) loads: Option<u8>,
    /// The second one of a pair.
    pub(crate) loads_also: Option<u8>,
    pub(crate) base: u8,
    pub(crate) offset: i64,
    /// How far the base moves: before the access, or after it.
    pub(crate) moves: Option<Moves>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moves {
    Before,
    After,
}

/// One instruction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code {
    pub(crate) address: u64,
    /// Bytes.
    pub(crate) length: u8,
    /// The bytes as a number, in the processor's order.
    pub(crate) word: u32,
    /// The state of a processor that has several.
    pub(crate) state: u8,
    pub(crate) op: Op,
}

/// An instruction in IDA's writing.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) mnemonic: String,
    pub(crate) operands: Vec<String>,
}

/// A processor.
pub(crate) trait Isa: Sync {
    /// The instruction at the start of `bytes`, which lie at `address`; none
    /// where fewer bytes are left than it has.
    fn decode(&self, image: &Image<'_>, bytes: &[u8], address: u64) -> Option<Code>;

    /// The code at an address that an instruction makes, where it may be code.
    fn code_taken(&self, image: &Image<'_>, address: u64) -> Option<u64> {
        let _ = image;
        Some(address)
    }

    /// `code` as those before it make it; `carried` is what they leave behind,
    /// at first 0.
    fn carry(&self, code: Code, carried: &mut u32) -> Code {
        let _ = carried;
        code
    }

    /// The instruction as text; none for what is no instruction.
    fn text(&self, code: &Code) -> Option<Text>;

    /// The number of the stack pointer.
    fn stack_pointer(&self) -> u8;

    /// The number of the frame pointer, where there is a customary one.
    fn frame_pointer(&self) -> Option<u8>;

    /// The same for code like this.
    fn frame_pointer_of(&self, code: &Code) -> Option<u8> {
        let _ = code;
        self.frame_pointer()
    }

    /// The register of the first argument of a function.
    fn argument(&self) -> u8;

    /// The register in which `_start` hands on a table, whose second entry is
    /// `main`.
    fn main_table(&self) -> Option<u8> {
        None
    }

    /// Bit by bit the registers that a call may change.
    fn clobbered(&self) -> u32;

    /// The register that the value is kept of: all but those that are always 0.
    fn holds(&self, register: u8) -> bool {
        register != self.stack_pointer()
    }

    /// Whether a register keeps the address that it was given, to reach more
    /// from there, to call it, or to load what is called.
    fn keeps(&self) -> bool {
        false
    }

    /// The register that holds the same address everywhere, which data is
    /// counted from.
    fn global(&self) -> Option<u8> {
        None
    }

    /// The register that each function makes a global register of its own, out
    /// of where it is.
    fn local_global(&self) -> Option<u8> {
        None
    }

    /// Whether slots at the global register may hold the first halves of
    /// addresses.
    fn has_halves(&self) -> bool {
        false
    }

    /// What it holds.
    fn global_value(&self, _: &Image<'_>) -> Option<u64> {
        None
    }

    /// Whether the jump or the call takes place behind the next instruction.
    fn delays(&self, _: &Code) -> bool {
        false
    }

    /// The register that a register is compared with.
    fn compared_register(&self, _: &Code) -> Option<u8> {
        None
    }

    /// Whether stubs may lie between functions, not in a section of their own.
    fn has_loose_stubs(&self) -> bool {
        false
    }

    /// Code begins at multiples of this.
    fn alignment(&self) -> u64 {
        4
    }

    /// The number that a register is compared with, or cut down to.
    fn compared(&self, code: &Code) -> Option<u64>;

    /// Bytes that a load reads at a register and a register, 0 if it is none.
    fn indexed_load(&self, code: &Code) -> u64;

    /// Whether it adds a number of one or two bytes with a sign.
    fn adds_signed(&self, code: &Code) -> bool {
        let _ = code;
        false
    }

    /// Whether it does nothing, or marks where jumps may land.
    fn is_nop(&self, code: &Code) -> bool;

    /// Whether it fills the space between functions.
    fn is_padding(&self, code: &Code) -> bool;

    /// Whether it saves the return address, as no code does after a call.
    fn saves_return(&self, code: &Code) -> bool {
        let _ = code;
        false
    }

    /// Whether a function begins like this.
    fn is_prologue(&self, code: &Code) -> bool;

    /// Stubs of the procedure linkage table by their shape: where each begins,
    /// and its slot.
    fn stubs(&self, image: &Image<'_>, code: &[u8], start: u64) -> Vec<(u64, u64)>;

    // ---- how IDA writes it -----------------------------------------------

    /// Columns that a mnemonic takes.
    fn column(&self) -> usize;

    /// What stands for bytes that are no instruction.
    fn data(&self, code: &Code) -> String;

    /// A number in an operand.
    fn number(&self, value: i64) -> String {
        number(value)
    }

    /// A number or a name as an operand of its own.
    fn immediate(&self, text: &str) -> String {
        text.to_owned()
    }

    /// Whether an operand is a place in memory.
    fn is_memory(&self, operand: &str) -> bool {
        operand.ends_with(')')
    }

    /// The place at a register and a number or a name.
    fn memory(&self, base: u8, inside: &str) -> String;

    /// The place at the second half of an address that has a name.
    fn memory_low(&self, base: u8, name: &str) -> String {
        self.memory(base, &self.low(name))
    }

    /// The place where the base moves before the access, by the number `by`.
    fn memory_before(&self, base: u8, by: &str, inside: &str) -> String {
        let _ = by;
        self.memory(base, inside)
    }

    /// The same where the base moves after the access: all operands from the
    /// place on.
    fn memory_after(&self, base: u8, by: &str, inside: &str) -> Vec<String> {
        let _ = by;
        vec![self.memory(base, inside)]
    }

    /// The place at the global register that `access` reads or writes.
    fn memory_global(&self, access: Access, name: &str) -> String {
        self.memory_low(access.base, name)
    }

    /// The first half of an address that has a name.
    fn high(&self, name: &str) -> String;

    /// The second half.
    fn low(&self, name: &str) -> String;

    /// Whether what a register leads to is named behind the instruction, and its
    /// operands stay as they are.
    fn names_behind(&self) -> bool {
        false
    }

    /// What stands between an operand and the next.
    fn separator(&self, before: &str, after: &str) -> &'static str {
        let _ = (before, after);
        ", "
    }
}

/// `0x10`, `8`, `-0x20`: small numbers are decimal.
fn number(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    match value.unsigned_abs() {
        small @ 0..10 => format!("{sign}{small}"),
        large => format!("{sign}0x{large:X}"),
    }
}

/// The name of a number, where it has one.
fn one_of<'a>(names: &[&'a str], number: u32) -> Option<&'a str> {
    names
        .get(number as usize)
        .copied()
        .filter(|name| !name.is_empty())
}

/// An access at a register and a distance.
fn memory(loads: Option<u8>, base: u8, offset: i64) -> Op {
    let access = Access {
        loads,
        loads_also: None,
        base,
        offset,
        moves: None,
    };
    Op::Memory { access }
}

impl fmt::Debug for dyn Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Isa")
    }
}

/// The processor, unless it is an x86.
pub(crate) fn isa(arch: Arch) -> Option<&'static dyn Isa> {
    match arch {
        Arch::X86_64 | Arch::X86 => None,
        Arch::Aarch64 => Some(&aarch64::Aarch64),
        Arch::Arm => Some(&arm::Arm),
        Arch::Riscv64 => Some(&riscv::Riscv),
        Arch::Mips | Arch::Mipsel => Some(&mips::Mips),
        Arch::PowerPc => Some(&powerpc::NARROW),
        Arch::PowerPc64 | Arch::PowerPc64Le => Some(&powerpc::WIDE),
    }
}

/// Instructions in which a function copies the global register.
const BEGINNING: usize = 24;

/// The instructions of `bytes`, which lie at `address`, each with the address
/// that it makes whole.
#[derive(Debug)]
pub(crate) struct Codes<'b> {
    isa: &'static dyn Isa,
    image: &'b Image<'b>,
    bytes: &'b [u8],
    address: u64,
    carried: u32,
    values: Values,
    /// The instruction before was a call that has yet to take place.
    called: bool,
    /// What the last instruction counted from another address.
    further: Option<u64>,
}

impl<'b> Codes<'b> {
    pub(crate) fn new(
        isa: &'static dyn Isa,
        image: &'b Image<'b>,
        bytes: &'b [u8],
        address: u64,
    ) -> Codes<'b> {
        let mut values = Values::default();
        if let (Some(register), Some(value)) = (isa.global(), image.global) {
            values.0[usize::from(register & 63)] = Some(Held::Global(value));
        }
        Codes {
            isa,
            image,
            bytes,
            address,
            carried: 0,
            values,
            called: false,
            further: None,
        }
    }

    /// The registers that hold what the global register does when the code has
    /// begun, and through all calls: bit by bit.
    pub(crate) fn copies(self) -> u32 {
        let (clobbered, mut codes) = (self.isa.clobbered(), self);
        let mut copies = 0;
        for _ in 0..BEGINNING {
            if codes.next().is_none() {
                break;
            }
            for (register, held) in codes.values.0.iter().take(32).enumerate() {
                if matches!(held, Some(Held::Global(_))) {
                    copies |= 1 << register;
                }
            }
        }
        copies & !clobbered
    }

    /// Has it known that the registers of a set are such copies.
    pub(crate) fn with_copies(mut self, copies: u32) -> Codes<'b> {
        let global = self.image.global.map(Held::Global);
        for (register, held) in self.values.0.iter_mut().take(32).enumerate() {
            if copies >> register & 1 == 1 {
                *held = global;
            }
        }
        self
    }

    /// The address that the last instruction counted from another: a string from
    /// the start of a pool, the entry of a table.
    pub(crate) fn further(&self) -> Option<u64> {
        self.further
    }

    /// The number that `code`, the last instruction, compares a register with.
    fn compared(&self, code: &Code) -> Option<u64> {
        let register = self.isa.compared_register(code)?;
        match self.values.held(register) {
            Some(Held::Number(number)) => Some(number),
            _ => None,
        }
    }
}

impl Iterator for Codes<'_> {
    type Item = (Code, Option<u64>);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.isa.decode(self.image, self.bytes, self.address)?;
        self.bytes = self.bytes.get(usize::from(code.length)..)?;
        self.address = self.address.wrapping_add(code.length.into());
        let code = self.isa.carry(code, &mut self.carried);
        self.further = match code.op {
            Op::Add { from, value, .. } => match self.values.held(from) {
                Some(Held::Whole(at)) => Some(at.wrapping_add_signed(value)),
                _ => None,
            },
            Op::Memory { access } => match self.values.held(access.base) {
                Some(Held::Indexed(at)) => Some(at.wrapping_add_signed(access.offset)),
                _ => None,
            },
            _ => None,
        };
        let mut whole = self.values.follow(self.isa, self.image, &code);
        if let Op::Number {
            to, pool: Some(_), ..
        } = code.op
            && whole.is_some()
            && self.is_distance(to)
        {
            whole = None;
            self.values.make_number(to);
        }
        let calls = matches!(
            code.op,
            Op::Call(_) | Op::CallRegister(_) | Op::CallAt { .. }
        );
        let delays = self.isa.delays(&code);
        if std::mem::replace(&mut self.called, calls && delays) || (calls && !delays) {
            // No call keeps the registers that have no bit.
            self.values
                .forget(u64::from(self.isa.clobbered()) | !0 << 32);
        }
        Some((code, whole))
    }
}

impl<'b> Codes<'b> {
    /// Whether the number in `register` is added to the place of the code. It
    /// may look like an address by chance.
    fn is_distance(&self, register: u8) -> bool {
        let mut address = self.address;
        let mut bytes = self.bytes;
        for _ in 0..APART {
            let Some(code) = self.isa.decode(self.image, bytes, address) else {
                return false;
            };
            match code.op {
                Op::Sum { terms, .. } | Op::SumMemory { terms, .. }
                    if terms.contains(&Term::Register(register)) =>
                {
                    return terms.iter().any(|term| matches!(term, Term::Here(_)));
                }
                Op::Number { to, .. } | Op::Other(Some(to)) if to == register => return false,
                Op::Return | Op::Data | Op::Undefined => return false,
                _ => {}
            }
            address = address.wrapping_add(code.length.into());
            bytes = bytes.get(usize::from(code.length)..).unwrap_or(&[]);
        }
        false
    }

    /// The next instruction as discovery needs it.
    /// It comes with whether it jumps only behind the one after it.
    pub(crate) fn step(&mut self) -> Option<(Step, bool)> {
        let (code, whole) = self.next()?;
        let mut step = step(self.isa, self.image, &code, whole);
        step.compares = step.compares.or_else(|| self.compared(&code));
        // A table that code adds its index to before it loads.
        if matches!(code.op, Op::Memory { .. }) && step.entry > 0 {
            step.table = self.further;
        }
        Some((step, self.isa.delays(&code)))
    }
}

/// What discovery must know of an instruction that makes the address `whole`.
fn step(isa: &dyn Isa, image: &Image<'_>, code: &Code, whole: Option<u64>) -> Step {
    let op = code.op;
    // What is read or written there is data.
    let taken = whole.filter(|_| !matches!(op, Op::Memory { .. } | Op::SumMemory { .. }));
    let code_taken = taken.and_then(|address| isa.code_taken(image, address));
    let named = |how| {
        let target = code_taken?;
        let how = match image.slots.contains_key(&target) {
            true => Reference::Through,
            false => how,
        };
        Some((target, how))
    };
    let mut step = Step {
        address: code.address,
        length: code.length.into(),
        invalid: false,
        ends: false,
        traps: false,
        calls: matches!(op, Op::Call(_) | Op::CallRegister(_) | Op::CallAt { .. }),
        indirect: false,
        reference: code_taken.map(|target| (target, Reference::Address)),
        table: taken,
        reads: whole.filter(|_| matches!(op, Op::Memory { .. } | Op::SumMemory { .. })),
        restores: restores(isa, op),
        saves: isa.saves_return(code),
        compares: isa.compared(code),
        entry: isa.indexed_load(code),
        offset: match op {
            Op::Memory { access } => access.offset,
            _ => 0,
        },
        adds_signed: isa.adds_signed(code),
    };
    match op {
        Op::Branch(target) => {
            step.reference = Some((target, Reference::Jump));
            step.ends = true;
        }
        Op::Conditional(target) => step.reference = Some((target, Reference::Branch)),
        Op::Call(target) => step.reference = Some((target, Reference::Call)),
        Op::CallRegister(_) | Op::CallAt { .. } => {
            (step.reference, step.table) = (named(Reference::Call), None);
        }
        Op::Jump(_) | Op::JumpAt { .. } => {
            (step.reference, step.table) = (named(Reference::Jump), None);
            (step.ends, step.indirect) = (true, taken.is_none());
        }
        Op::Return => step.ends = true,
        Op::Stop => (step.ends, step.traps) = (true, true),
        Op::Switch { falls } => (step.ends, step.indirect) = (!falls, true),
        Op::Undefined | Op::Data => (step.ends, step.invalid) = (true, true),
        _ => {}
    }
    step
}

/// Whether an instruction takes down the frame, or a part of it.
fn restores(isa: &dyn Isa, op: Op) -> bool {
    let sp = isa.stack_pointer();
    match op {
        Op::Add { to, value: 1.., .. } => to == sp,
        Op::Memory { access } => access.base == sp && access.moves == Some(Moves::After),
        _ => false,
    }
}

/// What is known of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// What data is counted from everywhere.
    Global(u64),
    /// The first half of an address.
    Part(u64),
    /// The first half of what is an address if something lies there.
    Upper(u64),
    /// An address, to which something unknown was added.
    Indexed(u64),
    Whole(u64),
    /// What the loader puts into this slot.
    Slot(u64),
    Number(u64),
}

#[derive(Debug, Clone, Copy)]
struct Values([Option<Held>; 64]);

impl Default for Values {
    fn default() -> Values {
        Values([None; 64])
    }
}

impl Values {
    fn held(&self, register: u8) -> Option<Held> {
        self.0[usize::from(register & 63)]
    }

    /// Follows one instruction. Returns the address that it makes whole.
    fn follow(&mut self, isa: &dyn Isa, image: &Image<'_>, code: &Code) -> Option<u64> {
        match code.op {
            Op::Page { to, address } => {
                self.set(isa, image, to, Some(Held::Part(address)));
                None
            }
            Op::Upper { to, value } => {
                let address = image.absolute || image.address_fields.contains(&code.address);
                let held = if address { Held::Upper } else { Held::Number };
                self.set(isa, image, to, Some(held(value)));
                None
            }
            Op::AddUpper { to, from, value } => {
                let held = match self.held(from) {
                    Some(Held::Part(part) | Held::Global(part)) => {
                        Some(Held::Part(part.wrapping_add_signed(value)))
                    }
                    Some(Held::Upper(part)) => Some(Held::Upper(part.wrapping_add_signed(value))),
                    _ => None,
                };
                self.set(isa, image, to, held);
                None
            }
            Op::Index { to, a, b } => {
                let held = [a, b].into_iter().find_map(|register| {
                    let (Held::Part(at) | Held::Upper(at)) = self.held(register)? else {
                        return None;
                    };
                    Some(Held::Indexed(at))
                });
                self.set(isa, image, to, held);
                None
            }
            Op::Copy { to, from } => {
                self.set(isa, image, to, self.held(from));
                None
            }
            Op::Address { to, address } => {
                let followed = match isa.names_behind() {
                    true => Some(Held::Part(address)),
                    false => isa.keeps().then_some(Held::Whole(address)),
                };
                self.set(isa, image, to, followed);
                Some(address)
            }
            Op::Add { to, from, value } => {
                let whole = self.second_half(image, from, value);
                let kept = whole.filter(|_| isa.keeps());
                if isa.local_global() == Some(to) {
                    self.set(isa, image, to, kept.map(Held::Global));
                    return None;
                }
                self.set(isa, image, to, kept.map(Held::Whole));
                whole.filter(|_| isa.global() != Some(to))
            }
            Op::Memory { access } => self.load(isa, image, access),
            Op::CallAt { base, offset } | Op::JumpAt { base, offset } => {
                self.second_half(image, base, offset)
            }
            Op::CallRegister(register) | Op::Jump(register) if isa.keeps() => {
                match self.held(register)? {
                    Held::Whole(at) | Held::Part(at) | Held::Slot(at) => Some(at),
                    _ => None,
                }
            }
            Op::Number {
                to,
                value,
                keep,
                pool,
            } => {
                let low = self.value(to).map_or(0, |low| low.0 & 0xffff);
                let number = if keep { value | low } else { value };
                let field = pool.unwrap_or(code.address);
                let address = (keep || pool.is_some())
                    && match image.absolute {
                        true => number >= 0x1000 && image.region(number).is_some(),
                        false => image.address_fields.contains(&field),
                    };
                let held = if address { Held::Part } else { Held::Number };
                self.set(isa, image, to, Some(held(number)));
                address.then_some(number)
            }
            Op::Sum { to, terms } => {
                let sum = self.sum(terms);
                self.set(isa, image, to, sum.map(Held::Part));
                sum
            }
            Op::SumMemory { loads, terms } => {
                let sum = self.sum(terms);
                if let Some(to) = loads {
                    self.set(isa, image, to, None);
                }
                sum
            }
            Op::Others(registers) => {
                self.forget(registers.into());
                None
            }
            Op::Move {
                to,
                value,
                keep: false,
            } => {
                self.set(isa, image, to, Some(Held::Number(value)));
                None
            }
            Op::Literal { to, .. }
            | Op::Join { to, .. }
            | Op::Move { to, .. }
            | Op::Other(Some(to)) => {
                self.set(isa, image, to, None);
                None
            }
            _ => None,
        }
    }

    /// The address whose first half is in a register.
    fn second_half(&self, image: &Image<'_>, from: u8, value: i64) -> Option<u64> {
        match self.held(from)? {
            Held::Part(part) | Held::Global(part) => Some(part.wrapping_add_signed(value)),
            Held::Upper(part) => {
                Some(part.wrapping_add_signed(value)).filter(|&at| image.is_known(at))
            }
            _ => None,
        }
    }

    fn load(&mut self, isa: &dyn Isa, image: &Image<'_>, access: Access) -> Option<u64> {
        let base = self.held(access.base);
        for register in access.loads.into_iter().chain(access.loads_also) {
            self.set(isa, image, register, None);
        }
        if access.moves.is_some() {
            self.set(isa, image, access.base, None);
            return None;
        }
        let at = |base: u64| base.wrapping_add_signed(access.offset);
        let whole = match base? {
            Held::Part(part) | Held::Global(part) => Some(at(part)),
            Held::Upper(part) => Some(at(part)).filter(|&at| image.is_known(at)),
            Held::Indexed(table) => return Some(at(table)).filter(|&at| image.is_known(at)),
            Held::Whole(base) => Some(at(base)).filter(|at| image.slots.contains_key(at)),
            Held::Slot(_) | Held::Number(_) => None,
        };
        if let (Some(slot), Some(to), true) = (whole, access.loads, isa.keeps()) {
            let held = if image.slots.contains_key(&slot) {
                Some(Held::Slot(slot))
            } else if let Some(Held::Global(_)) = base {
                // The upper half of an address alone need not lie anywhere.
                let width = image.arch.pointer_size();
                let raw = image.bytes_in(slot, slot.saturating_add(width));
                let whole = image.pointer(slot);
                let half = || (raw.len() as u64 == width).then(|| image.arch.number(raw));
                match isa.has_halves() {
                    true => whole.or_else(half).map(Held::Part),
                    false => whole.map(Held::Whole),
                }
            } else {
                None
            };
            self.set(isa, image, to, held);
        }
        whole
    }

    /// The number in `register`, and whether it is an address or most of one.
    fn value(&self, register: u8) -> Option<(u64, bool)> {
        match self.held(register)? {
            Held::Part(address) => Some((address, true)),
            Held::Number(number) => Some((number, false)),
            _ => None,
        }
    }

    /// What `register` holds is a number, and no address.
    fn make_number(&mut self, register: u8) {
        if let Some((number, _)) = self.value(register) {
            self.0[usize::from(register & 63)] = Some(Held::Number(number));
        }
    }

    /// An address and a number; 32-bit code is what adds registers.
    fn sum(&self, terms: [Term; 2]) -> Option<u64> {
        let value = |term| match term {
            Term::Register(register) => self.value(register),
            Term::Here(number) => Some((number, true)),
        };
        let (left, right) = (value(terms[0])?, value(terms[1])?);
        (left.1 != right.1).then(|| left.0.wrapping_add(right.0) & 0xffff_ffff)
    }

    fn set(&mut self, isa: &dyn Isa, image: &Image<'_>, register: u8, value: Option<Held>) {
        if image.global.is_some() && isa.global() == Some(register) {
            return;
        }
        self.0[usize::from(register & 63)] = value.filter(|_| isa.holds(register));
    }

    /// Forgets what is in a set of registers, bit by bit.
    fn forget(&mut self, registers: u64) {
        for (register, value) in self.0.iter_mut().enumerate() {
            if registers >> register & 1 == 1 {
                *value = None;
            }
        }
    }
}

/// `bits` of `word` from `low` on.
fn field(word: u32, low: u32, bits: u32) -> u32 {
    (word >> low) & ((1 << bits) - 1)
}

/// The same as a signed number.
fn signed(word: u32, low: u32, bits: u32) -> i64 {
    let value = i64::from(field(word, low, bits));
    (value << (64 - bits)) >> (64 - bits)
}
