//! 64-bit RISC-V: the base, multiplication, atomics, floating-point numbers,
//! control registers, bit manipulation and compressed instructions (RV64GC with
//! Zba, Zbb and Zbs). Encodings: The RISC-V Instruction Set Manual, volume I,
//! chapter "RV32/64G Instruction Set Listings"; those of 16 bits are read as the
//! instruction of 32 bits that each stands for.
//!
//! IDA's writing: the mnemonic sixteen columns wide, hexadecimal numbers with an
//! `h`, `18h+var_8(sp)` for what is on the stack, pseudo-instructions where there
//! are such. Both halves of an address have its name: `%hi(aUsage)`,
//! `%lo(aUsage)`.

use super::{Code, Codes, Isa, Op, Text, field, memory, one_of, signed};
use crate::image::Image;

const ZERO: u8 = 0;
const RA: u8 = 1;
const SP: u8 = 2;
const GP: u8 = 3;
/// The link register of functions that save registers for others.
const T0: u8 = 5;
const FP: u8 = 8;
const A0: u8 = 10;

const REGISTERS: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];
const FLOATS: [&str; 32] = [
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2",
    "fa3", "fa4", "fa5", "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9",
    "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
];

#[derive(Debug)]
pub(super) struct Riscv;

impl Isa for Riscv {
    fn decode(&self, _: &Image<'_>, bytes: &[u8], address: u64) -> Option<Code> {
        let short = u32::from(u16::from_le_bytes(*bytes.first_chunk()?));
        if short & 3 != 3 {
            return Some(Code {
                state: 0,
                address,
                length: 2,
                word: short,
                op: expand(short).map_or(Op::Undefined, |word| decode(word, address)),
            });
        }
        let word = u32::from_le_bytes(*bytes.first_chunk()?);
        Some(Code {
            state: 0,
            address,
            length: 4,
            word,
            op: decode(word, address),
        })
    }

    fn text(&self, code: &Code) -> Option<Text> {
        text(long(code)?)
    }

    fn stack_pointer(&self) -> u8 {
        SP
    }

    fn frame_pointer(&self) -> Option<u8> {
        Some(FP)
    }

    fn argument(&self) -> u8 {
        A0
    }

    /// `ra`, and the registers for arguments and temporary values.
    fn clobbered(&self) -> u32 {
        0xf003_fce2
    }

    fn holds(&self, register: u8) -> bool {
        !matches!(register, ZERO | SP)
    }

    fn keeps(&self) -> bool {
        true
    }

    fn global(&self) -> Option<u8> {
        Some(GP)
    }

    /// What the first instructions of the program put there.
    fn global_value(&self, image: &Image<'_>) -> Option<u64> {
        let entry = image.entry?;
        let start = image.bytes_in(entry, entry.saturating_add(64));
        let mut upper = None;
        for (code, _) in Codes::new(&Riscv, image, start, entry) {
            match code.op {
                Op::Page { to: GP, address } => upper = Some(address),
                Op::Add {
                    to: GP,
                    from: GP,
                    value,
                } => return upper.map(|upper| upper.wrapping_add_signed(value)),
                _ => {}
            }
        }
        None
    }

    fn alignment(&self) -> u64 {
        2
    }

    fn compared(&self, code: &Code) -> Option<u64> {
        let word = long(code)?;
        // SLTIU is true for what is less.
        (word & 0x707f == 0x3013).then(|| (signed(word, 20, 12) as u64).saturating_sub(1))
    }

    /// `bltu bound, index` and `bgeu bound, index`.
    fn compared_register(&self, code: &Code) -> Option<u8> {
        let word = long(code)?;
        (word & 0x607f == 0x6063).then(|| field(word, 15, 5) as u8)
    }

    /// No instruction adds two registers and loads: a load without a distance may
    /// follow an addition.
    fn indexed_load(&self, code: &Code) -> u64 {
        match (code.op, long(code)) {
            (Op::Memory { access }, Some(word)) if access.offset == 0 && access.base != SP => {
                match word & 0x707f {
                    0x2003 | 0x6003 => 4,
                    0x3003 => 8,
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    fn is_nop(&self, code: &Code) -> bool {
        long(code) == Some(0x13)
    }

    /// `nop`, nothing, `unimp`.
    fn is_padding(&self, code: &Code) -> bool {
        self.is_nop(code) || matches!(code.word, 0 | 0xc000_1073)
    }

    /// The stack pointer is moved down.
    fn is_prologue(&self, code: &Code) -> bool {
        matches!(code.op, Op::Add { to: SP, from: SP, value } if value < 0)
    }

    /// `auipc t3`, `ld t3, (t3)`, `jalr t1, t3`, `nop`.
    fn stubs(&self, image: &Image<'_>, code: &[u8], start: u64) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        let mut begun = None;
        let mut slot = None;
        for (code, whole) in Codes::new(&Riscv, image, code, start) {
            match code.op {
                Op::Page { .. } => begun = Some(code.address),
                Op::Memory { access } if access.loads.is_some() => slot = whole,
                Op::Jump(_) | Op::JumpAt { .. } => found.extend(begun.take().zip(slot.take())),
                _ => (begun, slot) = (None, None),
            }
        }
        found
    }

    fn column(&self) -> usize {
        16
    }

    fn data(&self, code: &Code) -> String {
        let kind = if code.length == 2 { ".half" } else { ".word" };
        format!("{kind:16}{}", number(i64::from(code.word)))
    }

    fn number(&self, value: i64) -> String {
        number(value)
    }

    fn memory(&self, base: u8, inside: &str) -> String {
        format!("{inside}({})", register(base.into()))
    }

    fn high(&self, name: &str) -> String {
        format!("%hi({name})")
    }

    fn low(&self, name: &str) -> String {
        format!("%lo({name})")
    }
}

/// The instruction of 32 bits.
fn long(code: &Code) -> Option<u32> {
    match code.length {
        2 => expand(code.word),
        _ => Some(code.word),
    }
}

fn decode(word: u32, address: u64) -> Op {
    let to = field(word, 7, 5) as u8;
    let from = field(word, 15, 5) as u8;
    let second = field(word, 20, 5) as u8;
    let kind = field(word, 12, 3);
    let value = signed(word, 20, 12);
    let upper = i64::from((word & 0xffff_f000) as i32);
    match word & 0x7f {
        0x37 => Op::Upper {
            to,
            value: upper as u64,
        },
        0x17 => Op::Page {
            to,
            address: address.wrapping_add_signed(upper),
        },
        0x6f => {
            let target = address.wrapping_add_signed(jump(word));
            match to {
                RA | T0 => Op::Call(target),
                _ => Op::Branch(target),
            }
        }
        0x67 if kind == 0 => match (to, from) {
            (ZERO, RA | T0) if value == 0 => Op::Return,
            (RA | T0, _) if value == 0 => Op::CallRegister(from),
            (RA | T0, _) => Op::CallAt {
                base: from,
                offset: value,
            },
            _ if value == 0 => Op::Jump(from),
            _ => Op::JumpAt {
                base: from,
                offset: value,
            },
        },
        0x63 if !matches!(kind, 2 | 3) => {
            let target = address.wrapping_add_signed(branch(word));
            // A branch that is always taken: `beq x, x`.
            if from == second && matches!(kind, 0 | 5 | 7) {
                return Op::Branch(target);
            }
            Op::Conditional(target)
        }
        0x13 | 0x1b if kind == 0 => match (to, from, value) {
            (ZERO, ..) => Op::Other(None),
            (_, ZERO, _) => Op::Move {
                to,
                value: value as u64,
                keep: false,
            },
            (_, SP | FP, _) | (SP, ..) => Op::Add { to, from, value },
            (.., 0) => Op::Copy { to, from },
            _ => Op::Add { to, from, value },
        },
        0x03 if kind != 7 => memory(Some(to), from, value),
        0x07 if matches!(kind, 2 | 3) => memory(None, from, value),
        0x23 if kind < 4 => memory(None, from, store(word)),
        0x27 if matches!(kind, 2 | 3) => memory(None, from, store(word)),
        0x33 if word >> 25 == 0 && kind == 0 => match (from, second) {
            (ZERO, from) | (from, ZERO) => Op::Copy { to, from },
            (a, b) => Op::Index { to, a, b },
        },
        // SH1ADD, SH2ADD, SH3ADD.
        0x33 if word >> 25 == 0x10 && matches!(kind, 2 | 4 | 6) => Op::Index {
            to,
            a: second,
            b: second,
        },
        0x73 if word == 0x0010_0073 => Op::Stop,
        0x73 if word == 0xc000_1073 => Op::Undefined,
        _ if text(word).is_none() => Op::Undefined,
        0x53 if matches!(word >> 28, 0xa | 0xc | 0xe) => Op::Other(Some(to)),
        0x53 | 0x43 | 0x47 | 0x4b | 0x4f | 0x0f => Op::Other(None),
        _ => Op::Other(Some(to)),
    }
}

fn store(word: u32) -> i64 {
    signed(word, 25, 7) << 5 | i64::from(field(word, 7, 5))
}

fn branch(word: u32) -> i64 {
    let low = field(word, 7, 1) << 11 | field(word, 25, 6) << 5 | field(word, 8, 4) << 1;
    signed(word, 31, 1) << 12 | i64::from(low)
}

fn jump(word: u32) -> i64 {
    let low = field(word, 12, 8) << 12 | field(word, 20, 1) << 11 | field(word, 21, 10) << 1;
    signed(word, 31, 1) << 20 | i64::from(low)
}

// ---- 16 bits -------------------------------------------------------------

/// Formats of 32 bits.
fn i(opcode: u32, kind: u32, to: u32, from: u32, value: u32) -> u32 {
    (value & 0xfff) << 20 | from << 15 | kind << 12 | to << 7 | opcode
}

fn s(opcode: u32, kind: u32, base: u32, value: u32, offset: u32) -> u32 {
    (offset >> 5 & 0x7f) << 25 | value << 20 | base << 15 | kind << 12 | (offset & 31) << 7 | opcode
}

fn r(opcode: u32, kind: u32, to: u32, from: u32, second: u32, more: u32) -> u32 {
    more << 25 | second << 20 | from << 15 | kind << 12 | to << 7 | opcode
}

fn b(kind: u32, from: u32, offset: u32) -> u32 {
    (offset >> 12 & 1) << 31
        | (offset >> 5 & 0x3f) << 25
        | from << 15
        | kind << 12
        | (offset >> 1 & 15) << 8
        | (offset >> 11 & 1) << 7
        | 0x63
}

/// What an instruction of 16 bits stands for.
fn expand(word: u32) -> Option<u32> {
    let bits = |low, count, to: u32| field(word, low, count) << to;
    let to = field(word, 7, 5);
    let second = field(word, 2, 5);
    // The registers that three bits can name.
    let (small, small_second) = (field(word, 7, 3) + 8, field(word, 2, 3) + 8);
    let value = (signed(word, 12, 1) << 5) as u32 | second;
    let words = bits(10, 3, 3) | bits(6, 1, 2) | bits(5, 1, 6);
    let doubles = bits(10, 3, 3) | bits(5, 2, 6);
    let stack_words = bits(12, 1, 5) | bits(4, 3, 2) | bits(2, 2, 6);
    let stack_doubles = bits(12, 1, 5) | bits(5, 2, 3) | bits(2, 3, 6);
    let (save_words, save_doubles) = (
        bits(9, 4, 2) | bits(7, 2, 6),
        bits(10, 3, 3) | bits(7, 3, 6),
    );
    Some(match (word & 3, word >> 13) {
        (0, 0) => {
            let size = bits(11, 2, 4) | bits(7, 4, 6) | bits(6, 1, 2) | bits(5, 1, 3);
            if size == 0 {
                return None;
            }
            i(0x13, 0, small_second, 2, size)
        }
        (0, 1) => i(0x07, 3, small_second, small, doubles),
        (0, 2) => i(0x03, 2, small_second, small, words),
        (0, 3) => i(0x03, 3, small_second, small, doubles),
        (0, 5) => s(0x27, 3, small, small_second, doubles),
        (0, 6) => s(0x23, 2, small, small_second, words),
        (0, 7) => s(0x23, 3, small, small_second, doubles),
        (1, 0) => i(0x13, 0, to, to, value),
        (1, 1) if to != 0 => i(0x1b, 0, to, to, value),
        (1, 2) => i(0x13, 0, to, 0, value),
        (1, 3) if value == 0 => return None,
        (1, 3) if to == 2 => {
            let size = (signed(word, 12, 1) << 9) as u32
                | bits(6, 1, 4)
                | bits(5, 1, 6)
                | bits(3, 2, 7)
                | bits(2, 1, 5);
            i(0x13, 0, 2, 2, size)
        }
        (1, 3) => value << 12 | to << 7 | 0x37,
        (1, 4) => {
            let shift = bits(12, 1, 5) | second;
            let kind = field(word, 5, 2);
            match (field(word, 10, 2), field(word, 12, 1)) {
                (0, _) => i(0x13, 5, small, small, shift),
                (1, _) => i(0x13, 5, small, small, shift | 0x400),
                (2, _) => i(0x13, 7, small, small, value),
                (_, 0) => {
                    let (kind, more) = [(0, 0x20), (4, 0), (6, 0), (7, 0)][kind as usize & 3];
                    r(0x33, kind, small, small, small_second, more)
                }
                _ if kind < 2 => {
                    let more = if kind == 0 { 0x20 } else { 0 };
                    r(0x3b, 0, small, small, small_second, more)
                }
                _ => return None,
            }
        }
        (1, 5) => {
            let distance = (signed(word, 12, 1) << 11) as u32
                | bits(11, 1, 4)
                | bits(9, 2, 8)
                | bits(8, 1, 10)
                | bits(7, 1, 6)
                | bits(6, 1, 7)
                | bits(3, 3, 1)
                | bits(2, 1, 5);
            (distance >> 20 & 1) << 31
                | (distance >> 1 & 0x3ff) << 21
                | (distance >> 11 & 1) << 20
                | (distance >> 12 & 0xff) << 12
                | 0x6f
        }
        (1, kind @ (6 | 7)) => {
            let distance = (signed(word, 12, 1) << 8) as u32
                | bits(10, 2, 3)
                | bits(5, 2, 6)
                | bits(3, 2, 1)
                | bits(2, 1, 5);
            b(kind - 6, small, distance)
        }
        (2, 0) => i(0x13, 1, to, to, bits(12, 1, 5) | second),
        (2, 1) => i(0x07, 3, to, 2, stack_doubles),
        (2, 2) if to != 0 => i(0x03, 2, to, 2, stack_words),
        (2, 3) if to != 0 => i(0x03, 3, to, 2, stack_doubles),
        (2, 4) => match (field(word, 12, 1), to, second) {
            (0, 0, 0) => return None,
            (0, to, 0) => i(0x67, 0, 0, to, 0),
            (0, to, second) => r(0x33, 0, to, 0, second, 0),
            (_, 0, 0) => 0x0010_0073,
            (_, to, 0) => i(0x67, 0, 1, to, 0),
            (_, to, second) => r(0x33, 0, to, to, second, 0),
        },
        (2, 5) => s(0x27, 3, 2, second, save_doubles),
        (2, 6) => s(0x23, 2, 2, second, save_words),
        (2, 7) => s(0x23, 3, 2, second, save_doubles),
        _ => return None,
    })
}

// ---- text ----------------------------------------------------------------

fn register(number: u32) -> &'static str {
    REGISTERS[number as usize & 31]
}

fn float(number: u32) -> &'static str {
    FLOATS[number as usize & 31]
}

/// `10h`, `8`, `-20h`, `0A8h`: small numbers are decimal.
fn number(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    match value.unsigned_abs() {
        small @ 0..10 => format!("{sign}{small}"),
        large => {
            let digits = format!("{large:X}");
            let zero = if digits.starts_with(|c: char| c.is_ascii_alphabetic()) {
                "0"
            } else {
                ""
            };
            format!("{sign}{zero}{digits}h")
        }
    }
}

fn with(mnemonic: &str, operands: impl IntoIterator<Item = impl Into<String>>) -> Option<Text> {
    Some(Text {
        mnemonic: mnemonic.to_owned(),
        operands: operands.into_iter().map(Into::into).collect(),
    })
}

/// The mnemonic that a list has for a number, if it has one.
fn text(word: u32) -> Option<Text> {
    let (to, from, second) = (field(word, 7, 5), field(word, 15, 5), field(word, 20, 5));
    let kind = field(word, 12, 3);
    let value = signed(word, 20, 12);
    let (rd, rs, rt) = (register(to), register(from), register(second));
    let place = |offset: i64| format!("{}({rs})", number(offset));
    let more = word >> 25;
    match word & 0x7f {
        0x37 => with("lui", [rd.to_owned(), number((word >> 12).into())]),
        0x17 => with("auipc", [rd.to_owned(), number((word >> 12).into())]),
        0x6f => match to {
            0 => with("j", [number(jump(word))]),
            1 => with("jal", [number(jump(word))]),
            _ => with("jal", [rd.to_owned(), number(jump(word))]),
        },
        0x67 if kind == 0 => match (to, from, value) {
            (0, 1, 0) => with("ret", [""; 0]),
            (0, _, 0) => with("jr", [rs]),
            (1, _, 0) => with("jalr", [rs]),
            (0, ..) => with("jr", [place(value)]),
            _ => with("jalr", [rd.to_owned(), place(value)]),
        },
        0x63 => {
            let to = number(branch(word));
            let name = one_of(&["beq", "bne", "", "", "blt", "bge", "bltu", "bgeu"], kind)?;
            match (kind, from, second) {
                (0 | 1 | 4 | 5, _, 0) => with(&format!("{name}z"), [rs.to_owned(), to]),
                (4, 0, _) => with("bgtz", [rt.to_owned(), to]),
                (5, 0, _) => with("blez", [rt.to_owned(), to]),
                _ => with(name, [rs.to_owned(), rt.to_owned(), to]),
            }
        }
        0x03 => {
            let name = one_of(&["lb", "lh", "lw", "ld", "lbu", "lhu", "lwu"], kind)?;
            with(name, [rd.to_owned(), place(value)])
        }
        0x23 => {
            let name = one_of(&["sb", "sh", "sw", "sd"], kind)?;
            with(name, [rt.to_owned(), place(store(word))])
        }
        0x07 => {
            let name = one_of(&["", "", "flw", "fld"], kind)?;
            with(name, [float(to).to_owned(), place(value)])
        }
        0x27 => {
            let name = one_of(&["", "", "fsw", "fsd"], kind)?;
            with(name, [float(second).to_owned(), place(store(word))])
        }
        0x13 => immediate(word),
        0x1b => immediate_word(word),
        0x33 => registers(word),
        0x3b => {
            let name = match (more, kind) {
                (0, 0) => "addw",
                (0, 1) => "sllw",
                (0, 5) => "srlw",
                (0x20, 0) if from == 0 => return with("negw", [rd, rt]),
                (0x20, 0) => "subw",
                (0x20, 5) => "sraw",
                (1, _) => one_of(
                    &["mulw", "", "", "", "divw", "divuw", "remw", "remuw"],
                    kind,
                )?,
                (4, 0) => "add.uw",
                (4, 4) if second == 0 => return with("zext.h", [rd, rs]),
                (0x10, 2) => "sh1add.uw",
                (0x10, 4) => "sh2add.uw",
                (0x10, 6) => "sh3add.uw",
                (0x30, 1) => "rolw",
                (0x30, 5) => "rorw",
                _ => return None,
            };
            with(name, [rd, rs, rt])
        }
        0x0f => match kind {
            0 if word == 0x0ff0_000f => with("fence", [""; 0]),
            0 if word == 0x8330_000f => with("fence.tso", [""; 0]),
            0 => with(
                "fence",
                [order(field(word, 24, 4)), order(field(word, 20, 4))],
            ),
            1 => with("fence.i", [""; 0]),
            _ => None,
        },
        0x73 => system(word),
        0x2f => atomic(word),
        0x43 | 0x47 | 0x4b | 0x4f => {
            let name = one_of(&["fmadd", "fmsub", "fnmsub", "fnmadd"], field(word, 2, 2))?;
            let size = one_of(&["s", "d"], field(word, 25, 2))?;
            let third = float(word >> 27);
            let mut operands = vec![float(to), float(from), float(second), third];
            operands.extend(rounding(kind)?);
            with(&format!("{name}.{size}"), operands)
        }
        0x53 => floating(word),
        _ => None,
    }
}

/// `fence`'s sets of accesses.
fn order(set: u32) -> String {
    let all = [(8, 'i'), (4, 'o'), (2, 'r'), (1, 'w')];
    let text: String = all
        .iter()
        .filter(|(bit, _)| set & bit != 0)
        .map(|(_, c)| c)
        .collect();
    if text.is_empty() {
        "0".to_owned()
    } else {
        text
    }
}

fn immediate(word: u32) -> Option<Text> {
    let (to, from, kind) = (field(word, 7, 5), field(word, 15, 5), field(word, 12, 3));
    let value = signed(word, 20, 12);
    let (rd, rs) = (register(to), register(from));
    let shift = field(word, 20, 6);
    let name = match kind {
        0 if word == 0x13 => return with("nop", [""; 0]),
        0 if from == 0 => return with("li", [rd.to_owned(), number(value)]),
        0 if value == 0 => return with("mv", [rd, rs]),
        0 => "addi",
        2 => "slti",
        3 if value == 1 => return with("seqz", [rd, rs]),
        3 => "sltiu",
        4 if value == -1 => return with("not", [rd, rs]),
        4 => "xori",
        6 => "ori",
        7 if value == 255 => return with("zext.b", [rd, rs]),
        7 => "andi",
        1 | 5 => {
            let name = match (word >> 26, kind) {
                (0, 1) => "slli",
                (0x0a, 1) => "bseti",
                (0x12, 1) => "bclri",
                (0x1a, 1) => "binvi",
                (0x18, 1) => {
                    let names = ["clz", "ctz", "cpop", "", "sext.b", "sext.h"];
                    return with(one_of(&names, shift)?, [rd, rs]);
                }
                (0, 5) => "srli",
                (0x10, 5) => "srai",
                (0x12, 5) => "bexti",
                (0x18, 5) => "rori",
                (0x0a, 5) if shift == 7 => return with("orc.b", [rd, rs]),
                (0x1a, 5) if shift == 0x38 => return with("rev8", [rd, rs]),
                _ => return None,
            };
            return with(name, [rd.to_owned(), rs.to_owned(), number(shift.into())]);
        }
        _ => return None,
    };
    with(name, [rd.to_owned(), rs.to_owned(), number(value)])
}

fn immediate_word(word: u32) -> Option<Text> {
    let (to, from, kind) = (field(word, 7, 5), field(word, 15, 5), field(word, 12, 3));
    let value = signed(word, 20, 12);
    let (rd, rs) = (register(to), register(from));
    let shift = field(word, 20, 5);
    let (name, value) = match (word >> 25, kind) {
        (_, 0) if value == 0 => return with("sext.w", [rd, rs]),
        (_, 0) => ("addiw", value),
        (0, 1) => ("slliw", shift.into()),
        (0, 5) => ("srliw", shift.into()),
        (0x20, 5) => ("sraiw", shift.into()),
        (0x30, 5) => ("roriw", shift.into()),
        (0x04 | 0x05, 1) => ("slli.uw", field(word, 20, 6).into()),
        (0x30, 1) => return with(one_of(&["clzw", "ctzw", "cpopw"], shift)?, [rd, rs]),
        _ => return None,
    };
    with(name, [rd.to_owned(), rs.to_owned(), number(value)])
}

fn registers(word: u32) -> Option<Text> {
    let (to, from, second) = (field(word, 7, 5), field(word, 15, 5), field(word, 20, 5));
    let kind = field(word, 12, 3);
    let (rd, rs, rt) = (register(to), register(from), register(second));
    let name = match word >> 25 {
        0 => match (kind, from, second) {
            (0, 0, _) => return with("mv", [rd, rt]),
            (2, _, 0) => return with("sltz", [rd, rs]),
            (2, 0, _) => return with("sgtz", [rd, rt]),
            (3, 0, _) => return with("snez", [rd, rt]),
            _ => one_of(
                &["add", "sll", "slt", "sltu", "xor", "srl", "or", "and"],
                kind,
            )?,
        },
        0x20 if kind == 0 && from == 0 => return with("neg", [rd, rt]),
        0x20 => one_of(&["sub", "", "", "", "xnor", "sra", "orn", "andn"], kind)?,
        1 => {
            let names = [
                "mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu",
            ];
            one_of(&names, kind)?
        }
        5 => one_of(
            &[
                "", "clmul", "clmulr", "clmulh", "min", "minu", "max", "maxu",
            ],
            kind,
        )?,
        7 => one_of(&["", "", "", "", "", "czero.eqz", "", "czero.nez"], kind)?,
        0x10 => one_of(&["", "", "sh1add", "", "sh2add", "", "sh3add"], kind)?,
        0x14 => one_of(&["", "bset"], kind)?,
        0x24 => one_of(&["", "bclr", "", "", "", "bext"], kind)?,
        0x34 => one_of(&["", "binv"], kind)?,
        0x30 => one_of(&["", "rol", "", "", "", "ror"], kind)?,
        _ => return None,
    };
    with(name, [rd, rs, rt])
}

fn system(word: u32) -> Option<Text> {
    let (to, from, kind) = (field(word, 7, 5), field(word, 15, 5), field(word, 12, 3));
    let csr = match word >> 20 {
        1 => "fflags".to_owned(),
        2 => "frm".to_owned(),
        3 => "fcsr".to_owned(),
        0xc00 => "cycle".to_owned(),
        0xc01 => "time".to_owned(),
        0xc02 => "instret".to_owned(),
        0xc22 => "vlenb".to_owned(),
        other => number(other.into()),
    };
    let rd = register(to).to_owned();
    let source = match kind {
        0..4 => register(from).to_owned(),
        _ => number(from.into()),
    };
    match (kind, to, from) {
        (0, 0, 0) => match word >> 20 {
            0 => with("ecall", [""; 0]),
            1 => with("ebreak", [""; 0]),
            0x102 => with("sret", [""; 0]),
            0x302 => with("mret", [""; 0]),
            0x105 => with("wfi", [""; 0]),
            _ => None,
        },
        (0 | 4, ..) => None,
        (1, 0, _) => with("csrw", [csr, source]),
        (2, _, 0) => with("csrr", [rd, csr]),
        (2, 0, _) => with("csrs", [csr, source]),
        (3, 0, _) => with("csrc", [csr, source]),
        (5, 0, _) => with("csrwi", [csr, source]),
        (6, 0, _) => with("csrsi", [csr, source]),
        (7, 0, _) => with("csrci", [csr, source]),
        _ => {
            let names = [
                "", "csrrw", "csrrs", "csrrc", "", "csrrwi", "csrrsi", "csrrci",
            ];
            with(one_of(&names, kind)?, [rd, csr, source])
        }
    }
}

fn atomic(word: u32) -> Option<Text> {
    let size = one_of(&["", "", "w", "d"], field(word, 12, 3))?;
    let name = match word >> 27 {
        0 => "amoadd",
        1 => "amoswap",
        2 => "lr",
        3 => "sc",
        4 => "amoxor",
        8 => "amoor",
        12 => "amoand",
        16 => "amomin",
        20 => "amomax",
        24 => "amominu",
        28 => "amomaxu",
        _ => return None,
    };
    let order = one_of(&["-", ".rl", ".aq", ".aqrl"], field(word, 25, 2))?;
    let mnemonic = format!("{name}.{size}{}", order.trim_start_matches('-'));
    let place = format!("({})", register(field(word, 15, 5)));
    let (rd, rt) = (register(field(word, 7, 5)), register(field(word, 20, 5)));
    match name {
        "lr" => with(&mnemonic, [rd.to_owned(), place]),
        _ => with(&mnemonic, [rd.to_owned(), rt.to_owned(), place]),
    }
}

/// A rounding mode other than the one that is set.
fn rounding(mode: u32) -> Option<Option<&'static str>> {
    match mode {
        7 => Some(None),
        mode => one_of(&["rne", "rtz", "rdn", "rup", "rmm"], mode).map(Some),
    }
}

fn floating(word: u32) -> Option<Text> {
    let (to, from, second) = (field(word, 7, 5), field(word, 15, 5), field(word, 20, 5));
    let kind = field(word, 12, 3);
    let size = one_of(&["s", "d"], field(word, 25, 2))?;
    let (fd, fs, ft) = (float(to), float(from), float(second));
    let (rd, rs) = (register(to), register(from));
    let rounded = |name: String, mut operands: Vec<&str>| {
        operands.extend(rounding(kind)?);
        with(&name, operands)
    };
    // Numbers that fit are never rounded.
    let exact = |name: String, operands: Vec<&str>| match kind {
        0 | 7 => with(&name, operands),
        _ => rounded(name, operands),
    };
    match word >> 27 {
        operation @ 0..4 => {
            let name = ["fadd", "fsub", "fmul", "fdiv"][operation as usize & 3];
            rounded(format!("{name}.{size}"), vec![fd, fs, ft])
        }
        0x0b => rounded(format!("fsqrt.{size}"), vec![fd, fs]),
        0x04 if from == second => {
            let name = one_of(&["fmv", "fneg", "fabs"], kind)?;
            with(&format!("{name}.{size}"), [fd, fs])
        }
        0x04 => {
            let name = one_of(&["fsgnj", "fsgnjn", "fsgnjx"], kind)?;
            with(&format!("{name}.{size}"), [fd, fs, ft])
        }
        0x05 => with(
            &format!("{}.{size}", one_of(&["fmin", "fmax"], kind)?),
            [fd, fs, ft],
        ),
        0x08 if (size, second) == ("s", 1) => rounded("fcvt.s.d".into(), vec![fd, fs]),
        0x08 if (size, second) == ("d", 0) => exact("fcvt.d.s".into(), vec![fd, fs]),
        0x14 => with(
            &format!("{}.{size}", one_of(&["fle", "flt", "feq"], kind)?),
            [rd, fs, ft],
        ),
        0x18 => {
            let name = one_of(&["w", "wu", "l", "lu"], second)?;
            rounded(format!("fcvt.{name}.{size}"), vec![rd, fs])
        }
        0x1a => {
            let name = one_of(&["w", "wu", "l", "lu"], second)?;
            let name_and_size = format!("fcvt.{size}.{name}");
            match (size, second) {
                ("d", 0 | 1) => exact(name_and_size, vec![fd, rs]),
                _ => rounded(name_and_size, vec![fd, rs]),
            }
        }
        0x1c => match (kind, size) {
            (0, "s") => with("fmv.x.w", [rd, fs]),
            (0, _) => with("fmv.x.d", [rd, fs]),
            (1, _) => with(&format!("fclass.{size}"), [rd, fs]),
            _ => None,
        },
        0x1e if kind == 0 => match size {
            "s" => with("fmv.w.x", [fd, rs]),
            _ => with("fmv.d.x", [fd, rs]),
        },
        _ => None,
    }
}
