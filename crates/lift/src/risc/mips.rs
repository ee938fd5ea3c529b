//! 32-bit MIPS: releases 1 and 2 with the floating-point unit. Encodings: MIPS32
//! Architecture for Programmers, volume II-A. A jump takes place behind the
//! instruction after it.
//!
//! IDA's writing: the mnemonic eight columns wide, registers with a `$`,
//! `0x20+var_4($sp)` for what is on the stack, a register that is changed by a
//! number or another register once, `%hi(aUsage)` and `%lo(aUsage)` for the halves
//! of an address, `%call16(puts)($gp)` and `%got(counter)($gp)` for slots of the
//! global offset table.

use super::{Access, Code, Isa, Op, Text, field, memory, number, one_of, signed};
use crate::image::Image;

const ZERO: u8 = 0;
const A0: u8 = 4;
const T9: u8 = 25;
const GP: u8 = 28;
const SP: u8 = 29;
const FP: u8 = 30;
const RA: u8 = 31;

const REGISTERS: [&str; 32] = [
    "$zero", "$at", "$v0", "$v1", "$a0", "$a1", "$a2", "$a3", "$t0", "$t1", "$t2", "$t3", "$t4",
    "$t5", "$t6", "$t7", "$s0", "$s1", "$s2", "$s3", "$s4", "$s5", "$s6", "$s7", "$t8", "$t9",
    "$k0", "$k1", "$gp", "$sp", "$fp", "$ra",
];

/// Instructions in which a function makes its global pointer.
const PROLOGUE: usize = 16;

#[derive(Debug)]
pub(super) struct Mips;

impl Isa for Mips {
    fn decode(&self, image: &Image<'_>, bytes: &[u8], address: u64) -> Option<Code> {
        let word = image.arch.number(bytes.get(..4)?) as u32;
        let mut op = decode(word, address);
        if let Op::Upper { to, .. } = op
            && makes_global(image, bytes, to)
        {
            op = Op::Other(Some(to));
        }
        Some(Code {
            state: 0,
            address,
            length: 4,
            word,
            op,
        })
    }

    fn text(&self, code: &Code) -> Option<Text> {
        let (mnemonic, operands) = text(code.word)?;
        Some(Text {
            mnemonic: mnemonic.into_owned(),
            operands,
        })
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

    /// `$at`, results, arguments, temporary values, `$ra`.
    fn clobbered(&self) -> u32 {
        0x8300_fffe
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

    fn has_halves(&self) -> bool {
        true
    }

    /// The middle of what a distance of 16 bits reaches from the global offset
    /// table on.
    fn global_value(&self, image: &Image<'_>) -> Option<u64> {
        Some(image.got?.wrapping_add(0x7ff0))
    }

    fn delays(&self, code: &Code) -> bool {
        matches!(
            code.op,
            Op::Branch(_)
                | Op::Conditional(_)
                | Op::Call(_)
                | Op::CallRegister(_)
                | Op::Jump(_)
                | Op::Return
        )
    }

    /// `SLTIU` is true for what is less.
    fn compared(&self, code: &Code) -> Option<u64> {
        let value = u64::from(code.word & 0xffff);
        (code.word >> 26 == 0x0b && value < 0x8000).then(|| value.saturating_sub(1))
    }

    /// A load from the place that the sum of two registers is.
    fn indexed_load(&self, code: &Code) -> u64 {
        match code.op {
            Op::Memory { access } if matches!(access.base, SP | FP) => 0,
            Op::Memory { .. } if code.word >> 26 == 0x23 => 4,
            _ => 0,
        }
    }

    fn is_nop(&self, code: &Code) -> bool {
        code.word == 0
    }

    fn is_padding(&self, code: &Code) -> bool {
        code.word == 0
    }

    /// The stack pointer is moved down, or the global pointer is made.
    fn is_prologue(&self, code: &Code) -> bool {
        matches!(code.op, Op::Add { to: SP, from: SP, value } if value < 0)
            || (code.word >> 26 == 0x0f && matches!(code.op, Op::Other(_)))
    }

    /// `lui $t7`, `lw $t9, ($t7)`, `jr $t9`, `addiu $t8, $t7`: those of programs
    /// that are loaded where they say.
    fn stubs(&self, image: &Image<'_>, code: &[u8], start: u64) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        let mut begun = None;
        let mut slot = None;
        for (code, whole) in super::Codes::new(&Mips, image, code, start) {
            match code.op {
                Op::Upper { .. } => begun = Some(code.address),
                Op::Memory { access } if access.loads == Some(T9) => slot = whole,
                Op::Jump(T9) => found.extend(begun.take().zip(slot.take())),
                Op::Add { .. } => {}
                _ => (begun, slot) = (None, None),
            }
        }
        found
    }

    fn column(&self) -> usize {
        8
    }

    fn data(&self, code: &Code) -> String {
        format!(".word   0x{:X}", code.word)
    }

    fn memory(&self, base: u8, inside: &str) -> String {
        format!("{inside}({})", register(base.into()))
    }

    fn memory_global(&self, access: Access, name: &str) -> String {
        let kind = match access.loads {
            Some(T9) => "call16",
            Some(_) => "got",
            None => "gp_rel",
        };
        self.memory(access.base, &format!("%{kind}({name})"))
    }

    fn high(&self, name: &str) -> String {
        format!("%hi({name})")
    }

    fn low(&self, name: &str) -> String {
        format!("%lo({name})")
    }
}

/// Whether `register` is the upper half of how far the global pointer is from
/// the function, and no address: `addu $gp, register, $t9` follows.
fn makes_global(image: &Image<'_>, bytes: &[u8], register: u8) -> bool {
    let next = bytes.chunks_exact(4).skip(1).take(PROLOGUE);
    next.map(|word| image.arch.number(word) as u32).any(|word| {
        let counts = matches!(field(word, 16, 5) as u8, T9 | RA);
        counts && word & 0xfc00_07ff == 0x21 && field(word, 21, 5) as u8 == register
    })
}

fn decode(word: u32, address: u64) -> Op {
    let (rs, rt, rd) = (
        field(word, 21, 5) as u8,
        field(word, 16, 5) as u8,
        field(word, 11, 5) as u8,
    );
    let value = signed(word, 0, 16);
    let near = address.wrapping_add(4).wrapping_add_signed(value * 4);
    // The upper bits are those of the next instruction.
    let far = (address.wrapping_add(4) & !0x0fff_ffff) | u64::from(field(word, 0, 26)) << 2;
    match word >> 26 {
        0 => match word & 0x3f {
            0x08 if rs == RA => Op::Return,
            0x08 => Op::Jump(rs),
            0x09 if rd == ZERO => Op::Jump(rs),
            0x09 => Op::CallRegister(rs),
            0x0d => Op::Stop,
            0x21 | 0x25 if rt == ZERO => moved(rd, rs),
            // A function that is called through $t9 counts from its own address.
            0x21 if rt == T9 => Op::Copy { to: rd, from: GP },
            0x21 => Op::Index {
                to: rd,
                a: rs,
                b: rt,
            },
            0x18..=0x1b if text(word).is_some() => Op::Other(None),
            _ if text(word).is_some() => Op::Other(Some(rd)),
            _ => Op::Undefined,
        },
        1 => match rt {
            // Only to know where it is.
            0x11 if rs == ZERO && value == 1 => Op::Page {
                to: RA,
                address: near,
            },
            0x11 if rs == ZERO => Op::Call(near),
            0x10 | 0x11 => Op::Conditional(near),
            0..=3 => Op::Conditional(near),
            _ if text(word).is_some() => Op::Other(None),
            _ => Op::Undefined,
        },
        2 => Op::Branch(far),
        3 => Op::Call(far),
        4 if rs == rt => Op::Branch(near),
        4..=7 | 0x14..=0x17 => Op::Conditional(near),
        0x09 if rs == ZERO => Op::Move {
            to: rt,
            value: value as u64,
            keep: false,
        },
        0x09 => Op::Add {
            to: rt,
            from: rs,
            value,
        },
        0x0d if rs == ZERO => Op::Move {
            to: rt,
            value: u64::from(word & 0xffff),
            keep: false,
        },
        // The lower half of a number, whose upper half has no bits there.
        0x0d => Op::Join {
            to: rt,
            from: rs,
            value: u64::from(word & 0xffff),
        },
        0x0f if rs == ZERO => Op::Upper {
            to: rt,
            value: u64::from(word & 0xffff) << 16,
        },
        0x11 if rs == 8 => Op::Conditional(near),
        0x20..=0x26 | 0x30 => memory(Some(rt), rs, value),
        0x28..=0x2b | 0x2e | 0x31 | 0x35 | 0x38 | 0x39 | 0x3d => memory(None, rs, value),
        _ if text(word).is_none() => Op::Undefined,
        0x11 if rs < 4 => Op::Other(Some(rt)),
        0x11 | 0x13 | 0x33 | 0x2f => Op::Other(None),
        // MUL, CLZ and their like.
        0x1c => Op::Other(Some(rd)),
        0x1f if word & 0x3f == 0x20 => Op::Other(Some(rd)),
        _ => Op::Other(Some(rt)),
    }
}

/// The stack pointer is copied to the frame pointer and back.
fn moved(to: u8, from: u8) -> Op {
    match (to, from) {
        (SP, _) | (_, SP) => Op::Add { to, from, value: 0 },
        (_, ZERO) => Op::Move {
            to,
            value: 0,
            keep: false,
        },
        _ => Op::Copy { to, from },
    }
}

// ---- text ----------------------------------------------------------------

type Parts = (std::borrow::Cow<'static, str>, Vec<String>);

fn register(number: u32) -> &'static str {
    REGISTERS[number as usize & 31]
}

/// `8`, `0x10`, `-0x20`: small numbers are decimal.
fn plain(mnemonic: &'static str, operands: &[&str]) -> Option<Parts> {
    let operands = operands.iter().map(|&operand| operand.to_owned()).collect();
    Some((mnemonic.into(), operands))
}

/// A register that is changed by itself is named once.
fn three(mnemonic: &'static str, to: &str, from: &str, last: &str) -> Option<Parts> {
    match to == from {
        true => plain(mnemonic, &[to, last]),
        false => plain(mnemonic, &[to, from, last]),
    }
}

fn text(word: u32) -> Option<Parts> {
    let (s, t) = (field(word, 21, 5), field(word, 16, 5));
    let (rs, rt) = (register(s), register(t));
    let value = signed(word, 0, 16);
    let (signed_value, plain_value) = (number(value), number((word & 0xffff).into()));
    let target = number((value + 1) * 4);
    let place = format!("{signed_value}({rs})");
    match word >> 26 {
        0 => special(word),
        1 => {
            let name = match t {
                0x11 if s == 0 => return plain("bal", &[&target]),
                0..4 => one_of(&["bltz", "bgez", "bltzl", "bgezl"], t)?,
                8..=12 | 14 => {
                    let names = ["tgei", "tgeiu", "tlti", "tltiu", "teqi", "", "tnei"];
                    return plain(one_of(&names, t - 8)?, &[rs, &signed_value]);
                }
                0x10..0x14 => one_of(&["bltzal", "bgezal", "bltzall", "bgezall"], t - 0x10)?,
                0x1f => return plain("synci", &[&place]),
                _ => return None,
            };
            plain(name, &[rs, &target])
        }
        2 => plain("j", &[&number(i64::from(field(word, 0, 26)) << 2)]),
        3 => plain("jal", &[&number(i64::from(field(word, 0, 26)) << 2)]),
        4 if s == t => plain("b", &[&target]),
        4 if t == 0 => plain("beqz", &[rs, &target]),
        5 if t == 0 => plain("bnez", &[rs, &target]),
        4 => plain("beq", &[rs, rt, &target]),
        5 => plain("bne", &[rs, rt, &target]),
        6 if t == 0 => plain("blez", &[rs, &target]),
        7 if t == 0 => plain("bgtz", &[rs, &target]),
        0x14 if t == 0 => plain("beqzl", &[rs, &target]),
        0x15 if t == 0 => plain("bnezl", &[rs, &target]),
        0x14 => plain("beql", &[rs, rt, &target]),
        0x15 => plain("bnel", &[rs, rt, &target]),
        0x16 if t == 0 => plain("blezl", &[rs, &target]),
        0x17 if t == 0 => plain("bgtzl", &[rs, &target]),
        9 if s == 0 => plain("li", &[rt, &signed_value]),
        0x0d if s == 0 => plain("li", &[rt, &plain_value]),
        kind @ 8..0x0c => {
            let name = ["addi", "addiu", "slti", "sltiu"][kind as usize & 3];
            three(name, rt, rs, &signed_value)
        }
        kind @ 0x0c..0x0f => {
            let name = one_of(&["andi", "ori", "xori"], kind - 0x0c)?;
            three(name, rt, rs, &plain_value)
        }
        0x0f if s == 0 => plain("lui", &[rt, &plain_value]),
        0x10 => match s {
            0 => plain("mfc0", &[rt, &format!("${}", field(word, 11, 5))]),
            4 => plain("mtc0", &[rt, &format!("${}", field(word, 11, 5))]),
            _ => match word {
                0x4200_0018 => plain("eret", &[]),
                0x4200_001f => plain("deret", &[]),
                _ => None,
            },
        },
        0x11 => floating(word),
        0x13 => {
            let kind = word & 0x3f;
            let (fd, fs, ft) = (float(word, 6), float(word, 11), float(word, 16));
            let sum = format!("{rt}({rs})");
            match kind {
                0 => plain("lwxc1", &[&fd, &sum]),
                1 => plain("ldxc1", &[&fd, &sum]),
                5 => plain("luxc1", &[&fd, &sum]),
                8 => plain("swxc1", &[&fs, &sum]),
                9 => plain("sdxc1", &[&fs, &sum]),
                0x0d => plain("suxc1", &[&fs, &sum]),
                _ => {
                    let name = one_of(
                        &["madd", "msub", "nmadd", "nmsub"],
                        (kind >> 3).wrapping_sub(4),
                    )?;
                    let size = one_of(&["s", "d"], kind & 7)?;
                    let fr = float(word, 21);
                    let (_, operands) = plain("", &[&fd, &fr, &fs, &ft])?;
                    Some((format!("{name}.{size}").into(), operands))
                }
            }
        }
        0x1c => {
            let rd = register(field(word, 11, 5));
            match word & 0x3f {
                0 => plain("madd", &[rs, rt]),
                1 => plain("maddu", &[rs, rt]),
                2 => three("mul", rd, rs, rt),
                4 => plain("msub", &[rs, rt]),
                5 => plain("msubu", &[rs, rt]),
                0x20 => plain("clz", &[rd, rs]),
                0x21 => plain("clo", &[rd, rs]),
                0x3f => plain("sdbbp", &[]),
                _ => None,
            }
        }
        0x1f => {
            let (first, last) = (field(word, 6, 5), field(word, 11, 5));
            let rd = register(last);
            match (word & 0x3f, first) {
                (0, _) => plain(
                    "ext",
                    &[rt, rs, &number(first.into()), &number((last + 1).into())],
                ),
                (4, _) if last >= first => plain(
                    "ins",
                    &[
                        rt,
                        rs,
                        &number(first.into()),
                        &number((last - first + 1).into()),
                    ],
                ),
                (0x20, 2) => plain("wsbh", &[rd, rt]),
                (0x20, 0x10) => plain("seb", &[rd, rt]),
                (0x20, 0x18) => plain("seh", &[rd, rt]),
                (0x3b, 0) => plain("rdhwr", &[rt, &format!("${last}")]),
                _ => None,
            }
        }
        kind @ 0x20..0x30 => {
            let names = [
                "lb", "lh", "lwl", "lw", "lbu", "lhu", "lwr", "", "sb", "sh", "swl", "sw", "", "",
                "swr",
            ];
            if kind == 0x2f {
                return plain("cache", &[&number(t.into()), &place]);
            }
            plain(one_of(&names, kind - 0x20)?, &[rt, &place])
        }
        0x30 => plain("ll", &[rt, &place]),
        0x38 => plain("sc", &[rt, &place]),
        0x33 => plain("pref", &[&number(t.into()), &place]),
        kind @ (0x31 | 0x35 | 0x39 | 0x3d) => {
            let name = match kind {
                0x31 => "lwc1",
                0x35 => "ldc1",
                0x39 => "swc1",
                _ => "sdc1",
            };
            plain(name, &[&float(word, 16), &place])
        }
        _ => None,
    }
}

fn special(word: u32) -> Option<Parts> {
    let (s, t, d) = (field(word, 21, 5), field(word, 16, 5), field(word, 11, 5));
    let (rs, rt, rd) = (register(s), register(t), register(d));
    let amount = field(word, 6, 5);
    let shift = number(amount.into());
    let kind = word & 0x3f;
    match kind {
        0 if word == 0 => plain("nop", &[]),
        0 if word == 0x40 => plain("ssnop", &[]),
        0 if word == 0xc0 => plain("ehb", &[]),
        0 if s == 0 => three("sll", rd, rt, &shift),
        1 if amount == 0 => {
            let name = if t & 1 == 1 { "movt" } else { "movf" };
            plain(name, &[rd, rs, &format!("$fcc{}", t >> 2)])
        }
        2 if s == 0 => three("srl", rd, rt, &shift),
        2 if s == 1 => three("rotr", rd, rt, &shift),
        3 if s == 0 => three("sra", rd, rt, &shift),
        4 => three("sllv", rd, rt, rs),
        6 if amount == 1 => three("rotrv", rd, rt, rs),
        6 => three("srlv", rd, rt, rs),
        7 => three("srav", rd, rt, rs),
        8 => plain("jr", &[rs]),
        9 if d == 31 => plain("jalr", &[rs]),
        9 => plain("jalr", &[rd, rs]),
        0x0a => plain("movz", &[rd, rs, rt]),
        0x0b => plain("movn", &[rd, rs, rt]),
        0x0c => plain("syscall", &[]),
        0x0d => plain("break", &[&number(field(word, 16, 10).into())]),
        0x0f => plain("sync", &[]),
        0x10 => plain("mfhi", &[rd]),
        0x11 => plain("mthi", &[rs]),
        0x12 => plain("mflo", &[rd]),
        0x13 => plain("mtlo", &[rs]),
        0x18 => plain("mult", &[rs, rt]),
        0x19 => plain("multu", &[rs, rt]),
        0x1a => plain("div", &[rs, rt]),
        0x1b => plain("divu", &[rs, rt]),
        0x21 | 0x25 if t == 0 => plain("move", &[rd, rs]),
        0x22 if s == 0 => plain("neg", &[rd, rt]),
        0x23 if s == 0 => plain("negu", &[rd, rt]),
        0x27 if t == 0 => plain("not", &[rd, rs]),
        0x20..0x28 if amount == 0 => {
            let names = ["add", "addu", "sub", "subu", "and", "or", "xor", "nor"];
            three(names[kind as usize & 7], rd, rs, rt)
        }
        0x2a => three("slt", rd, rs, rt),
        0x2b => three("sltu", rd, rs, rt),
        0x30..0x37 => {
            let names = ["tge", "tgeu", "tlt", "tltu", "teq", "", "tne"];
            let name = one_of(&names, kind - 0x30)?;
            match field(word, 6, 10) {
                0 => plain(name, &[rs, rt]),
                code => plain(name, &[rs, rt, &number(code.into())]),
            }
        }
        _ => None,
    }
}

fn float(word: u32, low: u32) -> String {
    format!("$f{}", field(word, low, 5))
}

fn floating(word: u32) -> Option<Parts> {
    let rt = register(field(word, 16, 5));
    let (fd, fs, ft) = (float(word, 6), float(word, 11), float(word, 16));
    let kind = field(word, 21, 5);
    let move_name = match kind {
        0 => "mfc1",
        2 => "cfc1",
        3 => "mfhc1",
        4 => "mtc1",
        6 => "ctc1",
        7 => "mthc1",
        _ => "",
    };
    if !move_name.is_empty() {
        return plain(move_name, &[rt, &fs]);
    }
    if kind == 8 {
        let target = number((signed(word, 0, 16) + 1) * 4);
        let name = one_of(&["bc1f", "bc1t", "bc1fl", "bc1tl"], field(word, 16, 2))?;
        return match field(word, 18, 3) {
            0 => plain(name, &[&target]),
            flag => plain(name, &[&format!("$fcc{flag}"), &target]),
        };
    }
    let size = match kind {
        16 => "s",
        17 => "d",
        20 => "w",
        21 => "l",
        _ => return None,
    };
    let sized = |name: &str, operands: &[&str]| {
        let (_, operands) = plain("", operands)?;
        Some((format!("{name}.{size}").into(), operands))
    };
    let operation = word & 0x3f;
    match operation {
        0x20 | 0x21 | 0x24 | 0x25 => {
            let to = match operation {
                0x20 => "s",
                0x21 => "d",
                0x24 => "w",
                _ => "l",
            };
            sized(&format!("cvt.{to}"), &[&fd, &fs])
        }
        _ if kind > 17 => None,
        0..4 => sized(
            one_of(&["add", "sub", "mul", "div"], operation)?,
            &[&fd, &fs, &ft],
        ),
        4..=0x0f => {
            let names = [
                "sqrt", "abs", "mov", "neg", "round.l", "trunc.l", "ceil.l", "floor.l", "round.w",
                "trunc.w", "ceil.w", "floor.w",
            ];
            sized(one_of(&names, operation - 4)?, &[&fd, &fs])
        }
        0x11 => {
            let name = if word >> 16 & 1 == 1 { "movt" } else { "movf" };
            sized(name, &[&fd, &fs, &format!("$fcc{}", field(word, 18, 3))])
        }
        0x12 => sized("movz", &[&fd, &fs, rt]),
        0x13 => sized("movn", &[&fd, &fs, rt]),
        0x15 => sized("recip", &[&fd, &fs]),
        0x16 => sized("rsqrt", &[&fd, &fs]),
        0x30..=0x3f => {
            let names = [
                "f", "un", "eq", "ueq", "olt", "ult", "ole", "ule", "sf", "ngle", "seq", "ngl",
                "lt", "nge", "le", "ngt",
            ];
            let name = format!("c.{}", one_of(&names, operation - 0x30)?);
            match field(word, 8, 3) {
                0 => sized(&name, &[&fs, &ft]),
                flag => sized(&name, &[&format!("$fcc{flag}"), &fs, &ft]),
            }
        }
        _ => None,
    }
}
