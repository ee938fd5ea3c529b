//! AArch64: what an instruction does to the program's flow, to addresses and to
//! the stack. Only the forms that compilers use for these are told apart; the
//! text of all others is the disassembler's. Encodings: Arm Architecture
//! Reference Manual (DDI 0487), C4.1.

pub(crate) mod listing;

/// The stack pointer, or the zero register where that is meant.
pub(crate) const SP: u8 = 31;
/// The frame pointer.
pub(crate) const FP: u8 = 29;

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
    /// `BRK`, `HLT`.
    Stop,
    Undefined,
    /// `ADRP`: the address of a page.
    Page {
        to: u8,
        address: u64,
    },
    /// `ADR`.
    Address {
        to: u8,
        address: u64,
    },
    /// `LDR` from the code itself.
    Literal {
        to: u8,
        address: u64,
    },
    /// `ADD` or `SUB` of a number, on 64 bits.
    Add {
        to: u8,
        from: u8,
        value: i64,
    },
    /// A load or a store at a register and a number.
    Memory {
        access: Access,
    },
    /// `MOVZ` and `MOVN` (`keep` is false), `MOVK`.
    Move {
        to: u8,
        value: u64,
        keep: bool,
    },
    Other,
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

/// `bits` of `word` from `low` on.
fn field(word: u32, low: u32, bits: u32) -> u32 {
    (word >> low) & ((1 << bits) - 1)
}

/// The same as a signed number.
fn signed(word: u32, low: u32, bits: u32) -> i64 {
    let value = i64::from(field(word, low, bits));
    (value << (64 - bits)) >> (64 - bits)
}

pub(crate) fn decode(word: u32, address: u64) -> Op {
    let is = |mask: u32, value: u32| word & mask == value;
    let to = field(word, 0, 5) as u8;
    let from = field(word, 5, 5) as u8;
    let jump = |low, bits| address.wrapping_add_signed(signed(word, low, bits) * 4);
    if is(0xfc00_0000, 0x1400_0000) {
        return Op::Branch(jump(0, 26));
    }
    if is(0xfc00_0000, 0x9400_0000) {
        return Op::Call(jump(0, 26));
    }
    if is(0xff00_0000, 0x5400_0000) || is(0x7e00_0000, 0x3400_0000) {
        return Op::Conditional(jump(5, 19));
    }
    if is(0x7e00_0000, 0x3600_0000) {
        return Op::Conditional(jump(5, 14));
    }
    // With or without a check of the pointer.
    if is(0xfe00_0000, 0xd600_0000) {
        return match field(word, 21, 3) {
            0 => Op::Jump(from),
            1 => Op::CallRegister(from),
            2 | 4 => Op::Return,
            _ => Op::Other,
        };
    }
    if is(0xffe0_001f, 0xd420_0000) || is(0xffe0_001f, 0xd440_0000) {
        return Op::Stop;
    }
    if is(0xffff_0000, 0) {
        return Op::Undefined;
    }
    if is(0x1f00_0000, 0x1000_0000) {
        let distance = signed(word, 5, 19) * 4 + i64::from(field(word, 29, 2));
        return if word >> 31 == 0 {
            let address = address.wrapping_add_signed(distance);
            Op::Address { to, address }
        } else {
            let address = (address & !0xfff).wrapping_add_signed(distance * 0x1000);
            Op::Page { to, address }
        };
    }
    if is(0xff80_0000, 0x9100_0000) || is(0xff80_0000, 0xd100_0000) {
        let value = i64::from(field(word, 10, 12)) << (12 * field(word, 22, 1));
        let value = if word >> 30 == 3 { -value } else { value };
        return Op::Add { to, from, value };
    }
    if is(0x7f80_0000, 0x5280_0000) || is(0x7f80_0000, 0x7280_0000) {
        let value = u64::from(field(word, 5, 16)) << (16 * field(word, 21, 2));
        let keep = field(word, 29, 1) == 1;
        return Op::Move { to, value, keep };
    }
    if is(0x3b00_0000, 0x1800_0000) {
        let address = jump(5, 19);
        return Op::Literal { to, address };
    }
    memory(word, to, from).map_or(Op::Other, |access| Op::Memory { access })
}

fn memory(word: u32, to: u8, base: u8) -> Option<Access> {
    let is = |mask: u32, value: u32| word & mask == value;
    let vector = field(word, 26, 1) == 1;
    // Pairs: with the base moved after, not at all, or before.
    if is(0x3a00_0000, 0x2800_0000) {
        let moves = match field(word, 23, 2) {
            1 => Some(Moves::After),
            3 => Some(Moves::Before),
            _ => None,
        };
        let size = match (vector, field(word, 30, 2)) {
            (false, 2) => 8,
            (false, _) => 4,
            (true, width) => 4 << width.min(2),
        };
        let loads = field(word, 22, 1) == 1 && !vector;
        return Some(Access {
            loads: loads.then_some(to),
            loads_also: loads.then_some(field(word, 10, 5) as u8),
            base,
            offset: signed(word, 15, 7) * size,
            moves,
        });
    }
    let (size, opcode) = (field(word, 30, 2), field(word, 22, 2));
    let loads = (opcode != 0 && !vector).then_some(to);
    if is(0x3b00_0000, 0x3900_0000) {
        let scale = size + if vector && opcode >= 2 { 4 } else { 0 };
        return Some(Access {
            loads,
            loads_also: None,
            base,
            offset: i64::from(field(word, 10, 12)) << scale,
            moves: None,
        });
    }
    // A distance of nine bits, the base moved or not.
    if is(0x3b20_0000, 0x3800_0000) {
        let moves = match field(word, 10, 2) {
            0 => None,
            1 => Some(Moves::After),
            3 => Some(Moves::Before),
            _ => return None,
        };
        return Some(Access {
            loads,
            loads_also: None,
            base,
            offset: signed(word, 12, 9),
            moves,
        });
    }
    None
}

/// Which registers hold the address of a page or of data: an address takes two
/// instructions.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pages([Option<u64>; 32]);

impl Pages {
    /// Follows one instruction. Returns the address that it makes whole.
    pub(crate) fn follow(&mut self, op: Op, word: u32) -> Option<u64> {
        let held = |pages: &Self, register: u8| pages.0[usize::from(register & 31)];
        match op {
            Op::Page { to, address } => {
                self.set(to, Some(address));
                None
            }
            Op::Address { to, address } => {
                self.set(to, None);
                Some(address)
            }
            Op::Add { to, from, value } => {
                let page = held(self, from);
                self.set(to, None);
                page.map(|page| page.wrapping_add_signed(value))
            }
            Op::Memory { access } => {
                let page = held(self, access.base);
                for register in access.loads.into_iter().chain(access.loads_also) {
                    self.set(register, None);
                }
                if access.moves.is_some() {
                    self.set(access.base, None);
                    return None;
                }
                page.map(|page| page.wrapping_add_signed(access.offset))
            }
            Op::Call(_) | Op::CallRegister(_) => {
                // What a call may change: AAPCS64, 6.1.1.
                self.0[..19].fill(None);
                None
            }
            Op::Conditional(_) => None,
            _ => {
                self.set((word & 31) as u8, None);
                None
            }
        }
    }

    fn set(&mut self, register: u8, value: Option<u64>) {
        self.0[usize::from(register & 31)] = value.filter(|_| register != SP);
    }
}

/// Stubs of the procedure linkage table by their shape: `[BTI C]`, `ADRP X16`,
/// `LDR X17, [X16,…]`, `ADD X16`, `BR X17`. Where each begins, and its slot.
pub(crate) fn stubs(code: &[u8], start: u64) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut pages = Pages::default();
    let mut begun: Option<u64> = None;
    let mut slot = None;
    for (at, word) in code.chunks_exact(4).enumerate() {
        let address = start + 4 * at as u64;
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let op = decode(word, address);
        let whole = pages.follow(op, word);
        match op {
            Op::Page { to: 16, .. } => begun = Some(begun.unwrap_or(address)),
            Op::Memory { access } if access.loads == Some(17) => slot = whole,
            Op::Add { to: 16, .. } => {}
            Op::Jump(17) => {
                found.extend(begun.take().zip(slot.take()));
            }
            _ => {
                slot = None;
                begun = (word == BTI_C).then_some(address);
            }
        }
    }
    found
}

const BTI_C: u32 = 0xd503_245f;

/// Whether an instruction takes down the frame, or a part of it.
pub(crate) fn restores(op: Op) -> bool {
    match op {
        Op::Add {
            to: SP, value: 1.., ..
        } => true,
        Op::Memory { access } => access.base == SP && access.moves == Some(Moves::After),
        _ => false,
    }
}

/// The number in `CMP Rn, #number`.
pub(crate) fn compared(word: u32) -> Option<u64> {
    (word & 0x7fc0_001f == 0x7100_001f).then(|| field(word, 10, 12).into())
}

/// Bytes that a load at a register and a register reads.
pub(crate) fn indexed_load(word: u32) -> u64 {
    if word & 0x3f20_0c00 == 0x3820_0800 && field(word, 22, 2) != 0 {
        1 << field(word, 30, 2)
    } else {
        0
    }
}

/// What fills the space between functions: nothing, `NOP`, `BRK #1`.
pub(crate) fn is_padding(word: u32) -> bool {
    matches!(word, 0 | 0xd503_201f | 0xd420_0020)
}

/// Whether a function begins like this: a landing pad, a signed return address,
/// a pair that is pushed, a stack pointer that is moved down.
pub(crate) fn is_prologue(word: u32) -> bool {
    matches!(word, BTI_C | 0xd503_233f | 0xd503_237f)
        || match decode(word, 0) {
            Op::Memory { access } => access.base == SP && access.moves == Some(Moves::Before),
            Op::Add {
                to: SP,
                from: SP,
                value,
            } => value < 0,
            _ => false,
        }
}
