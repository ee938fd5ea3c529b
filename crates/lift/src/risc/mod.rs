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
    Return,
    /// A trap that is never left: `BRK`, `HLT`.
    Stop,
    Undefined,
    /// The first half of an address: `ADRP`.
    Page {
        to: u8,
        address: u64,
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

    /// Bit by bit the registers that a call may change.
    fn clobbered(&self) -> u32;

    /// The register that the value is kept of: all but those that are always 0.
    fn holds(&self, register: u8) -> bool {
        register != self.stack_pointer()
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
    fn number(&self, value: i64) -> String;

    /// A number or a name as an operand of its own.
    fn immediate(&self, text: &str) -> String {
        text.to_owned()
    }

    /// Whether an operand is a place in memory.
    fn is_memory(&self, operand: &str) -> bool;

    /// The place at a register and a number or a name.
    fn memory(&self, base: u8, inside: &str) -> String;

    /// The place at the second half of an address that has a name.
    fn memory_low(&self, base: u8, name: &str) -> String;

    /// The place where the base moves before the access, by the number `by`.
    fn memory_before(&self, base: u8, by: &str, inside: &str) -> String;

    /// The same where the base moves after the access: all operands from the
    /// place on.
    fn memory_after(&self, base: u8, by: &str, inside: &str) -> Vec<String>;

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
    fn separator(&self, before: &str, after: &str) -> &'static str;
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
    }
}

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
}

impl<'b> Codes<'b> {
    pub(crate) fn new(
        isa: &'static dyn Isa,
        image: &'b Image<'b>,
        bytes: &'b [u8],
        address: u64,
    ) -> Codes<'b> {
        Codes {
            isa,
            image,
            bytes,
            address,
            carried: 0,
            values: Values::default(),
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
    pub(crate) fn step(&mut self) -> Option<Step> {
        let (code, whole) = self.next()?;
        Some(step(self.isa, self.image, &code, whole))
    }
}

/// What discovery must know of an instruction that makes the address `whole`.
fn step(isa: &dyn Isa, image: &Image<'_>, code: &Code, whole: Option<u64>) -> Step {
    let op = code.op;
    // What is read or written there is data.
    let taken = whole.filter(|_| !matches!(op, Op::Memory { .. } | Op::SumMemory { .. }));
    let code_taken = taken.and_then(|address| isa.code_taken(image, address));
    let mut step = Step {
        address: code.address,
        length: code.length.into(),
        invalid: false,
        ends: false,
        traps: false,
        indirect: false,
        reference: code_taken.map(|target| (target, Reference::Address)),
        table: taken,
        reads: whole.filter(|_| matches!(op, Op::Memory { .. } | Op::SumMemory { .. })),
        restores: restores(isa, op),
        saves: isa.saves_return(code),
        compares: isa.compared(code),
        entry: isa.indexed_load(code),
        adds_signed: isa.adds_signed(code),
    };
    match op {
        Op::Branch(target) => {
            step.reference = Some((target, Reference::Jump));
            step.ends = true;
        }
        Op::Conditional(target) => step.reference = Some((target, Reference::Branch)),
        Op::Call(target) => step.reference = Some((target, Reference::Call)),
        Op::Jump(_) => (step.ends, step.indirect) = (true, true),
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

/// Which registers hold an address, the first half of one, or a number that may
/// become one.
#[derive(Debug, Clone, Copy, Default)]
struct Values([Option<Value>; 32]);

#[derive(Debug, Clone, Copy)]
struct Value {
    number: u64,
    /// It is an address, or most of one.
    address: bool,
}

impl Values {
    /// Follows one instruction. Returns the address that it makes whole.
    fn follow(&mut self, isa: &dyn Isa, image: &Image<'_>, code: &Code) -> Option<u64> {
        match code.op {
            Op::Page { to, address } => {
                self.set_address(isa, to, Some(address));
                None
            }
            Op::Address { to, address } => {
                let followed = isa.names_behind().then_some(address);
                self.set_address(isa, to, followed);
                Some(address)
            }
            Op::Add { to, from, value } => {
                let page = self.address(from);
                self.set(isa, to, None);
                page.map(|page| page.wrapping_add_signed(value))
            }
            Op::Memory { access } => {
                let page = self.address(access.base);
                for register in access.loads.into_iter().chain(access.loads_also) {
                    self.set(isa, register, None);
                }
                if access.moves.is_some() {
                    self.set(isa, access.base, None);
                    return None;
                }
                page.map(|page| page.wrapping_add_signed(access.offset))
            }
            Op::Number {
                to,
                value,
                keep,
                pool,
            } => {
                let low = self.0[usize::from(to & 31)].map_or(0, |low| low.number & 0xffff);
                let number = if keep { value | low } else { value };
                let field = pool.unwrap_or(code.address);
                let address = (keep || pool.is_some())
                    && match image.absolute {
                        true => number >= 0x1000 && image.region(number).is_some(),
                        false => image.address_fields.contains(&field),
                    };
                self.set(isa, to, Some(Value { number, address }));
                address.then_some(number)
            }
            Op::Sum { to, terms } => {
                let sum = self.sum(terms);
                self.set_address(isa, to, sum);
                sum
            }
            Op::SumMemory { loads, terms } => {
                let sum = self.sum(terms);
                if let Some(to) = loads {
                    self.set(isa, to, None);
                }
                sum
            }
            Op::Call(_) | Op::CallRegister(_) => {
                self.forget(isa.clobbered());
                None
            }
            Op::Others(registers) => {
                self.forget(registers);
                None
            }
            Op::Literal { to, .. } | Op::Move { to, .. } | Op::Other(Some(to)) => {
                self.set(isa, to, None);
                None
            }
            _ => None,
        }
    }

    /// What `register` holds is a number, and no address.
    fn make_number(&mut self, register: u8) {
        if let Some(value) = &mut self.0[usize::from(register & 31)] {
            value.address = false;
        }
    }

    /// An address and a number; 32-bit code is what adds registers.
    fn sum(&self, terms: [Term; 2]) -> Option<u64> {
        let value = |term| match term {
            Term::Register(register) => self.0[usize::from(register & 31)],
            Term::Here(number) => Some(Value {
                number,
                address: true,
            }),
        };
        let (left, right) = (value(terms[0])?, value(terms[1])?);
        (left.address != right.address)
            .then(|| left.number.wrapping_add(right.number) & 0xffff_ffff)
    }

    fn address(&self, register: u8) -> Option<u64> {
        let value = self.0[usize::from(register & 31)]?;
        value.address.then_some(value.number)
    }

    fn set_address(&mut self, isa: &dyn Isa, register: u8, address: Option<u64>) {
        let value = address.map(|number| Value {
            number,
            address: true,
        });
        self.set(isa, register, value);
    }

    fn set(&mut self, isa: &dyn Isa, register: u8, value: Option<Value>) {
        self.0[usize::from(register & 31)] = value.filter(|_| isa.holds(register));
    }

    fn forget(&mut self, registers: u32) {
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
