//! PowerPC, 32 and 64 bits. Flow, addresses and the stack are read here; text is
//! the disassembler's, and for the vector-scalar instructions that it lacks a
//! table's. Encodings: Power ISA, version 2.07, book I.
//!
//! IDA's writing: the mnemonic ten columns wide, `0x10+arg_4(r1)` for what is on
//! the stack, `aUsage@ha` and `aUsage@l` for the halves of an address.

use powerpc::{Argument, Extension, Extensions, Ins, Opcode};

use super::{Access, Code, Codes, Isa, Moves, Op, Text, field, number, signed};
use crate::image::Image;
use crate::program::BinaryKind;

const SP: u8 = 1;
/// What 64-bit code counts its data from: the table of contents.
const TOC: u8 = 2;
const R3: u8 = 3;
/// The same in a function of 32 bits.
const GOT: u8 = 30;
const FP: u8 = 31;
/// The count and link registers, as far as addresses pass through them.
const CTR: u8 = 32;
const LR: u8 = 33;
/// Stands for the zero that register 0 is at an address.
const NONE: u8 = 63;

const TRAP: u32 = 0x7fe0_0008;
const NOP: u32 = 0x6000_0000;
/// `mflr r0`.
const SAVES_LR: u32 = 0x7c08_02a6;

#[derive(Debug)]
pub(super) struct PowerPc {
    /// 64 bits.
    pub(super) wide: bool,
}

impl Isa for PowerPc {
    fn decode(&self, image: &Image<'_>, bytes: &[u8], address: u64) -> Option<Code> {
        let word = image.arch.number(bytes.get(..4)?) as u32;
        let mut op = decode(word, address);
        if self.wide
            && let Op::Call(target) | Op::Branch(target) = &mut op
        {
            *target = global_entry(image, *target);
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
        text(code.word)
    }

    fn stack_pointer(&self) -> u8 {
        SP
    }

    fn frame_pointer(&self) -> Option<u8> {
        Some(FP)
    }

    fn argument(&self) -> u8 {
        R3
    }

    fn main_table(&self) -> Option<u8> {
        Some(8)
    }

    fn clobbered(&self) -> u32 {
        0x1ff9
    }

    fn keeps(&self) -> bool {
        true
    }

    fn global(&self) -> Option<u8> {
        self.wide.then_some(TOC)
    }

    /// Position-independent code of 32 bits.
    fn local_global(&self) -> Option<u8> {
        (!self.wide).then_some(GOT)
    }

    /// What the first function that makes it makes of its own address: `addis r2,
    /// r12`, `addi r2, r2`.
    fn global_value(&self, image: &Image<'_>) -> Option<u64> {
        if !self.wide {
            return None;
        }
        if image.kind == BinaryKind::Relocatable {
            return Some(image.got?.wrapping_add(0x8000));
        }
        for region in image.regions.iter().filter(|region| region.executable) {
            let words = region
                .data
                .chunks_exact(4)
                .map(|raw| image.arch.number(raw) as u32);
            let pairs = words.clone().zip(words.skip(1)).zip(0u64..);
            for ((first, second), at) in pairs {
                if makes_toc(first, second) {
                    let distance = (signed(first, 0, 16) << 16) + signed(second, 0, 16);
                    let start = region.start.wrapping_add(4 * at);
                    return Some(start.wrapping_add_signed(distance));
                }
            }
        }
        None
    }

    fn compared(&self, code: &Code) -> Option<u64> {
        (code.word >> 26 == 10).then(|| u64::from(code.word & 0xffff))
    }

    /// `lwzx`, `lwax` and `ldx`.
    fn indexed_load(&self, code: &Code) -> u64 {
        match code.word & 0xfc00_07fe {
            0x7c00_002e | 0x7c00_02aa => 4,
            0x7c00_002a => 8,
            _ => match code.op {
                // Or a load from the sum of two registers.
                Op::Memory { access } if matches!(access.base, SP | FP) => 0,
                Op::Memory { .. } if code.word >> 26 == 32 => 4,
                Op::Memory { .. } if code.word >> 26 == 58 => 8,
                _ => 0,
            },
        }
    }

    fn is_nop(&self, code: &Code) -> bool {
        code.word == NOP
    }

    fn is_padding(&self, code: &Code) -> bool {
        matches!(code.word, 0 | NOP | TRAP)
    }

    /// The stack pointer is moved down, the link register is saved, the table of
    /// contents is found.
    fn is_prologue(&self, code: &Code) -> bool {
        code.word == SAVES_LR
            || code.word >> 16 == 0x3c4c
            || matches!(code.op, Op::Memory { access }
                if access.base == SP && access.moves == Some(Moves::Before))
    }

    fn has_loose_stubs(&self) -> bool {
        true
    }

    /// `[std r2, 24(r1)]`, `addis r12, r2`, `ld r12, (r12)`, `mtctr r12`, `bctr`;
    /// with 32 bits `lis r11`, `lwz r11, (r11)` and the same.
    fn stubs(&self, image: &Image<'_>, code: &[u8], start: u64) -> Vec<(u64, u64)> {
        let isa: &'static PowerPc = if self.wide { &WIDE } else { &NARROW };
        let mut found = Vec::new();
        let mut begun: Option<u64> = None;
        let mut slot = None;
        for (code, whole) in Codes::new(isa, image, code, start) {
            match code.op {
                // Where the caller's table of contents is kept.
                Op::Memory { access }
                    if access.base == SP && code.word >> 21 & 31 == u32::from(TOC) =>
                {
                    (begun, slot) = (Some(code.address), None);
                }
                Op::Upper { to: 11 | 12, .. } | Op::AddUpper { to: 11 | 12, .. } => {
                    (begun, slot) = (Some(begun.unwrap_or(code.address)), None);
                }
                Op::Memory { access } if matches!(access.loads, Some(11 | 12)) => {
                    begun = begun.or(Some(code.address));
                    slot = whole;
                }
                Op::Copy {
                    to: CTR,
                    from: 11 | 12,
                } => {}
                Op::Jump(CTR) => found.extend(begun.take().zip(slot.take())),
                _ => (begun, slot) = (None, None),
            }
        }
        found
    }

    fn column(&self) -> usize {
        10
    }

    fn data(&self, code: &Code) -> String {
        format!(".long     0x{:X}", code.word)
    }

    fn memory(&self, base: u8, inside: &str) -> String {
        format!("{inside}(r{base})")
    }

    fn memory_before(&self, base: u8, by: &str, _: &str) -> String {
        self.memory(base, by)
    }

    fn memory_after(&self, base: u8, by: &str, _: &str) -> Vec<String> {
        vec![self.memory(base, by)]
    }

    fn memory_global(&self, access: Access, name: &str) -> String {
        let table = if self.wide { "toc" } else { "got" };
        self.memory(access.base, &format!("{name}@{table}"))
    }

    fn high(&self, name: &str) -> String {
        format!("{name}@ha")
    }

    fn low(&self, name: &str) -> String {
        format!("{name}@l")
    }
}

pub(super) static NARROW: PowerPc = PowerPc { wide: false };
pub(super) static WIDE: PowerPc = PowerPc { wide: true };

/// Whether two instructions at the start of a function make the pointer to the
/// table of contents.
fn makes_toc(first: u32, second: u32) -> bool {
    first >> 16 == 0x3c4c && second >> 16 == 0x3842
}

/// Where a function begins whose own calls pass by the first two instructions.
fn global_entry(image: &Image<'_>, target: u64) -> u64 {
    let start = target.wrapping_sub(8);
    let word = |raw: &[u8]| image.arch.number(raw) as u32;
    match image.bytes_in(start, target).split_at_checked(4) {
        Some((first, second)) if second.len() == 4 && makes_toc(word(first), word(second)) => start,
        _ => target,
    }
}

fn decode(word: u32, address: u64) -> Op {
    let (rt, ra, rb) = (
        field(word, 21, 5) as u8,
        field(word, 16, 5) as u8,
        field(word, 11, 5) as u8,
    );
    let value = signed(word, 0, 16);
    let links = word & 1 == 1;
    let absolute = word & 2 != 0;
    let jump = |distance: i64| match absolute {
        true => distance as u64,
        false => address.wrapping_add_signed(distance),
    };
    let always = rt & 0x14 == 0x14;
    match word >> 26 {
        18 => match (links, jump(signed(word, 2, 24) * 4)) {
            (true, target) => Op::Call(target),
            (false, target) => Op::Branch(target),
        },
        16 => match (links, jump(signed(word, 2, 14) * 4)) {
            // Only to know where it is.
            (true, target) if target == address.wrapping_add(4) => Op::Page {
                to: LR,
                address: target,
            },
            (true, target) => Op::Call(target),
            (false, target) if always => Op::Branch(target),
            (false, target) => Op::Conditional(target),
        },
        19 => match (word >> 1 & 0x3ff, links, always) {
            (16, false, true) => Op::Return,
            (16, true, _) => Op::CallRegister(LR),
            (528, false, true) => Op::Jump(CTR),
            (528, true, _) => Op::CallRegister(CTR),
            _ if text(word).is_none() => Op::Undefined,
            _ => Op::Other(None),
        },
        14 if ra == 0 => Op::Move {
            to: rt,
            value: value as u64,
            keep: false,
        },
        14 => Op::Add {
            to: rt,
            from: ra,
            value,
        },
        15 if ra == 0 => Op::Upper {
            to: rt,
            value: u64::from(word & 0xffff) << 16,
        },
        15 => Op::AddUpper {
            to: rt,
            from: ra,
            value: value << 16,
        },
        24 if word == NOP => Op::Other(None),
        // The lower half of a number, whose upper half has no bits there.
        24 => Op::Join {
            to: ra,
            from: rt,
            value: u64::from(word & 0xffff),
        },
        20..=29 => Op::Other(Some(ra)),
        kind @ (32..=35 | 40..=43 | 46) => memory(Some(rt), ra, value, kind != 46 && kind & 1 == 1),
        kind @ (36..=39 | 44 | 45 | 47..=55) => {
            memory(None, ra, value, kind != 47 && kind & 1 == 1)
        }
        58 if word & 3 < 3 => memory(Some(rt), ra, value & !3, word & 3 == 1),
        62 if word & 3 < 2 => memory(None, ra, value & !3, word & 3 == 1),
        31 if word == TRAP => Op::Stop,
        31 => match word >> 1 & 0x3ff {
            266 => Op::Index {
                to: rt,
                a: ra,
                b: rb,
            },
            444 if rt == rb && !links => match (ra, rt) {
                (SP, from) | (FP, from @ SP) => Op::Add {
                    to: ra,
                    from,
                    value: 0,
                },
                (to, from) => Op::Copy { to, from },
            },
            339 if word & 0x1f_f800 == 0x08_0000 => Op::Copy { to: rt, from: LR },
            467 if word & 0x1f_f800 == 0x09_0000 => Op::Copy { to: CTR, from: rt },
            467 if word & 0x1f_f800 == 0x08_0000 => Op::Copy { to: LR, from: rt },
            _ => other(word),
        },
        _ => other(word),
    }
}

fn memory(loads: Option<u8>, base: u8, offset: i64, moves: bool) -> Op {
    let access = Access {
        loads,
        loads_also: None,
        base: if base == 0 { NONE } else { base },
        offset,
        moves: moves.then_some(Moves::Before),
    };
    Op::Memory { access }
}

/// What the disassembler says that is changed.
fn other(word: u32) -> Op {
    let instruction = Ins::new(word, extensions());
    if instruction.op == Opcode::Illegal {
        return match text(word) {
            Some(_) if word >> 26 == 31 && word >> 1 & 31 == 15 => {
                Op::Other(Some(field(word, 21, 5) as u8))
            }
            Some(_) => Op::Other(None),
            None => Op::Undefined,
        };
    }
    Op::Other(
        instruction
            .defs()
            .iter()
            .find_map(|argument| match argument {
                Argument::GPR(register) => Some(register.0 & 31),
                _ => None,
            }),
    )
}

// ---- text ----------------------------------------------------------------

fn extensions() -> Extensions {
    Extensions::from_extension(Extension::Ppc64) | Extension::AltiVec
}

/// `8`, `0x10`, `-0x20`: small numbers are decimal.
fn with(mnemonic: impl Into<String>, operands: impl IntoIterator<Item = String>) -> Option<Text> {
    Some(Text {
        mnemonic: mnemonic.into(),
        operands: operands.into_iter().collect(),
    })
}

/// Instructions that the disassembler writes in another way than IDA.
fn own_text(word: u32) -> Option<Text> {
    let (t, a, b) = (field(word, 21, 5), field(word, 16, 5), field(word, 11, 5));
    let register = |number: u32| format!("r{number}");
    let value = || number(signed(word, 0, 16));
    let dot = if word & 1 == 1 { "." } else { "" };
    // Shifts and masks of 64 bits have a sixth bit elsewhere.
    let shift = b | (word >> 1 & 1) << 5;
    let mask = field(word, 6, 5) | (word >> 5 & 1) << 5;
    let shifted = |name: &str, by: u32| {
        let operands = [register(a), register(t), number(by.into())];
        with(format!("{name}{dot}"), operands)
    };
    match word >> 26 {
        14 if a == 0 => with("li", [register(t), value()]),
        15 if a == 0 => with("lis", [register(t), value()]),
        14 => with("addi", [register(t), register(a), value()]),
        15 => with("addis", [register(t), register(a), value()]),
        16 if word & 0xffff_fffc == 0x429f_0004 => {
            with("bcl", ["20".to_owned(), "31".to_owned(), "$+4".to_owned()])
        }
        16 if word & 3 == 0 => conditional("b", word, Some(number(signed(word, 2, 14) * 4))),
        19 if word >> 1 & 0x3ff == 16 && t & 0x10 == 0 => conditional("blr", word, None),
        30 if word >> 2 & 7 == 0 && shift == 0 => shifted("clrldi", mask),
        30 if word >> 2 & 7 == 0 && mask == 0 => shifted("rotldi", shift),
        30 if word >> 2 & 7 == 0 && shift + mask == 64 => shifted("srdi", mask),
        30 if word >> 2 & 7 == 1 && shift == 0 => shifted("clrrdi", 63 - mask),
        30 if word >> 2 & 7 == 1 && shift + mask == 63 => shifted("sldi", shift),
        31 => match word >> 1 & 0x3ff {
            kind if kind & 31 == 15 => {
                let bit = field(word, 6, 5);
                let field = match bit >> 2 {
                    0 => String::new(),
                    field => format!("4*cr{field}+"),
                };
                let bit = ["lt", "gt", "eq", "so"][bit as usize & 3];
                let first = if a == 0 { "0".to_owned() } else { register(a) };
                with("isel", [register(t), first, register(b), field + bit])
            }
            124 if t == b => with(format!("not{dot}"), [register(a), register(t)]),
            144 if a & 0x10 != 0 => {
                let set = number(i64::from(word >> 12 & 0xff));
                with("mtocrf", [set, register(t)])
            }
            19 if a & 0x10 != 0 => with(
                "mfocrf",
                [register(t), number(i64::from(word >> 12 & 0xff))],
            ),
            _ => None,
        },
        _ => None,
    }
}

/// A branch by a bit of the condition register alone, with the hint of which way
/// it goes.
fn conditional(name: &str, word: u32, target: Option<String>) -> Option<Text> {
    let (how, bit) = (field(word, 21, 5), field(word, 16, 5));
    let condition = match how & 0x1c {
        0x0c => ["lt", "gt", "eq", "so"],
        0x04 => ["ge", "le", "ne", "ns"],
        _ => return None,
    }[bit as usize & 3];
    let hint = match how & 3 {
        2 => "-",
        3 => "+",
        _ => "",
    };
    let link = if word & 1 == 1 { "l" } else { "" };
    let rest = name.strip_prefix('b').unwrap_or(name);
    let field = (bit >> 2 > 0).then(|| format!("cr{}", bit >> 2));
    with(
        format!("b{condition}{rest}{link}{hint}"),
        field.into_iter().chain(target),
    )
}

fn text(word: u32) -> Option<Text> {
    if let Some(text) = own_text(word) {
        return Some(text);
    }
    let instruction = Ins::new(word, extensions());
    if instruction.op == Opcode::Illegal {
        return vector(word);
    }
    let parsed = instruction.simplified();
    let mut operands: Vec<String> = Vec::new();
    let mut offset = None;
    for argument in parsed.args_iter() {
        if let Some(offset) = offset.take() {
            operands.push(format!("{offset}({argument})"));
            continue;
        }
        match argument {
            Argument::Offset(by) => offset = Some(number(by.0.into())),
            Argument::Uimm(value) => operands.push(number(value.0.into())),
            Argument::Simm(value) => operands.push(number(value.0.into())),
            Argument::OpaqueU(value) => operands.push(number(value.0.into())),
            Argument::BranchDest(by) => operands.push(number(by.0.into())),
            _ => operands.push(argument.to_string()),
        }
    }
    with(parsed.mnemonic, operands)
}

/// Where the operands of a vector instruction are.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Three vectors.
    Three,
    /// A field of the condition register and two vectors.
    Compare,
    /// A vector or a register, and the sum of two registers.
    Sum,
    /// The same for other registers: `r` or `f`.
    Plain(char),
    /// A register and a vector.
    Move,
    /// A vector and a register.
    Set,
    /// Registers only: the target after the source.
    Count,
}

/// The instructions that the disassembler lacks: those of version 2.06 and later.
fn vector(word: u32) -> Option<Text> {
    let (mnemonic, shape) = match word >> 26 {
        4 => (altivec(word & 0x7ff)?, Shape::Three),
        31 => extended(word >> 1 & 0x3ff)?,
        60 => return scalar(word),
        _ => return None,
    };
    let (t, a, b) = (field(word, 21, 5), field(word, 16, 5), field(word, 11, 5));
    let x = t | (word & 1) << 5;
    let sum = [
        if a == 0 {
            "0".to_owned()
        } else {
            format!("r{a}")
        },
        format!("r{b}"),
    ];
    let operands = match shape {
        Shape::Three => vec![format!("v{t}"), format!("v{a}"), format!("v{b}")],
        Shape::Sum => [vec![format!("vs{x}")], sum.to_vec()].concat(),
        Shape::Plain(kind) => [vec![format!("{kind}{t}")], sum.to_vec()].concat(),
        Shape::Move => vec![format!("r{a}"), format!("vs{x}")],
        Shape::Set => vec![format!("vs{x}"), format!("r{a}")],
        Shape::Count => vec![format!("r{a}"), format!("r{t}")],
        Shape::Compare => vec![format!("r{a}"), format!("r{t}"), format!("r{b}")],
    };
    with(mnemonic, operands)
}

fn altivec(kind: u32) -> Option<&'static str> {
    Some(match kind {
        137 => "vmuluwm",
        192 => "vaddudm",
        194 => "vmaxud",
        199 => "vcmpequd",
        450 => "vmaxsd",
        706 => "vminud",
        711 => "vcmpgtud",
        962 => "vminsd",
        964 => "vsrad",
        967 => "vcmpgtsd",
        1102 => "vpkudum",
        1216 => "vsubudm",
        1348 => "vorc",
        1412 => "vnand",
        1476 => "vsld",
        1668 => "veqv",
        1676 => "vmrgow",
        1732 => "vsrd",
        1932 => "vmrgew",
        _ => return None,
    })
}

fn extended(kind: u32) -> Option<(&'static str, Shape)> {
    Some(match kind {
        12 => ("lxsiwzx", Shape::Sum),
        51 => ("mfvsrd", Shape::Move),
        52 => ("lbarx", Shape::Plain('r')),
        76 => ("lxsiwax", Shape::Sum),
        115 => ("mfvsrwz", Shape::Move),
        116 => ("lharx", Shape::Plain('r')),
        140 => ("stxsiwx", Shape::Sum),
        179 => ("mtvsrd", Shape::Set),
        211 => ("mtvsrwa", Shape::Set),
        243 => ("mtvsrwz", Shape::Set),
        252 => ("bpermd", Shape::Compare),
        332 => ("lxvdsx", Shape::Sum),
        378 => ("popcntw", Shape::Count),
        506 => ("popcntd", Shape::Count),
        508 => ("cmpb", Shape::Compare),
        524 => ("lxsspx", Shape::Sum),
        532 => ("ldbrx", Shape::Plain('r')),
        588 => ("lxsdx", Shape::Sum),
        652 => ("stxsspx", Shape::Sum),
        660 => ("stdbrx", Shape::Plain('r')),
        694 => ("stbcx.", Shape::Plain('r')),
        716 => ("stxsdx", Shape::Sum),
        726 => ("sthcx.", Shape::Plain('r')),
        780 => ("lxvw4x", Shape::Sum),
        844 => ("lxvd2x", Shape::Sum),
        855 => ("lfiwax", Shape::Plain('f')),
        887 => ("lfiwzx", Shape::Plain('f')),
        908 => ("stxvw4x", Shape::Sum),
        972 => ("stxvd2x", Shape::Sum),
        _ => return None,
    })
}

/// The vector-scalar instructions proper, on 64 registers.
fn scalar(word: u32) -> Option<Text> {
    let register =
        |low: u32, high: u32| format!("vs{}", field(word, low, 5) | (word >> high & 1) << 5);
    let (t, a, b) = (register(21, 0), register(16, 2), register(11, 1));
    let three = word >> 3 & 0xff;
    if word >> 4 & 3 == 3 {
        return with("xxsel", vec![t, a, b, register(6, 3)]);
    }
    let amount = field(word, 8, 2);
    match three & 0x9f {
        2 => return with("xxsldwi", vec![t, a, b, amount.to_string()]),
        10 if amount == 2 && a == b => return with("xxswapd", vec![t, a]),
        10 => return with("xxpermdi", vec![t, a, b, amount.to_string()]),
        _ => {}
    }
    if let Some((name, shape)) = three_vectors(three) {
        return match shape {
            Shape::Compare => with(name, vec![format!("cr{}", field(word, 23, 3)), a, b]),
            _ => with(name, vec![t, a, b]),
        };
    }
    match word >> 2 & 0x1ff {
        164 => with("xxspltw", vec![t, b, field(word, 16, 2).to_string()]),
        kind => with(two_vectors(kind)?, vec![t, b]),
    }
}

fn three_vectors(kind: u32) -> Option<(&'static str, Shape)> {
    let name = match kind {
        0 => "xsaddsp",
        8 => "xssubsp",
        16 => "xsmulsp",
        24 => "xsdivsp",
        32 => "xsadddp",
        40 => "xssubdp",
        48 => "xsmuldp",
        56 => "xsdivdp",
        64 => "xvaddsp",
        72 => "xvsubsp",
        80 => "xvmulsp",
        88 => "xvdivsp",
        96 => "xvadddp",
        104 => "xvsubdp",
        112 => "xvmuldp",
        120 => "xvdivdp",
        1 => "xsmaddasp",
        9 => "xsmaddmsp",
        17 => "xsmsubasp",
        25 => "xsmsubmsp",
        33 => "xsmaddadp",
        41 => "xsmaddmdp",
        49 => "xsmsubadp",
        57 => "xsmsubmdp",
        65 => "xvmaddasp",
        73 => "xvmaddmsp",
        97 => "xvmaddadp",
        105 => "xvmaddmdp",
        113 => "xvmsubadp",
        121 => "xvmsubmdp",
        161 => "xsnmaddadp",
        169 => "xsnmaddmdp",
        177 => "xsnmsubadp",
        185 => "xsnmsubmdp",
        160 => "xsmaxdp",
        168 => "xsmindp",
        176 => "xscpsgndp",
        192 => "xvmaxsp",
        200 => "xvminsp",
        224 => "xvmaxdp",
        232 => "xvmindp",
        240 => "xvcpsgndp",
        67 => "xvcmpeqsp",
        75 => "xvcmpgtsp",
        83 => "xvcmpgesp",
        99 => "xvcmpeqdp",
        107 => "xvcmpgtdp",
        115 => "xvcmpgedp",
        18 => "xxmrghw",
        50 => "xxmrglw",
        130 => "xxland",
        138 => "xxlandc",
        146 => "xxlor",
        154 => "xxlxor",
        162 => "xxlnor",
        170 => "xxlorc",
        178 => "xxlnand",
        186 => "xxleqv",
        35 => return Some(("xscmpudp", Shape::Compare)),
        43 => return Some(("xscmpodp", Shape::Compare)),
        _ => return None,
    };
    Some((name, Shape::Three))
}

fn two_vectors(kind: u32) -> Option<&'static str> {
    Some(match kind {
        11 => "xssqrtsp",
        72 => "xscvdpuxws",
        73 => "xsrdpi",
        75 => "xssqrtdp",
        88 => "xscvdpsxws",
        89 => "xsrdpiz",
        105 => "xsrdpip",
        107 => "xsrdpic",
        121 => "xsrdpim",
        139 => "xvsqrtsp",
        184 => "xvcvsxwsp",
        152 => "xvcvspsxws",
        203 => "xvsqrtdp",
        216 => "xvcvdpsxws",
        232 => "xvcvuxwdp",
        248 => "xvcvsxwdp",
        265 => "xscvdpsp",
        267 => "xscvdpspn",
        281 => "xsrsp",
        296 => "xscvuxdsp",
        312 => "xscvsxdsp",
        328 => "xscvdpuxds",
        329 => "xscvspdp",
        331 => "xscvspdpn",
        344 => "xscvdpsxds",
        345 => "xsabsdp",
        360 => "xscvuxddp",
        361 => "xsnabsdp",
        376 => "xscvsxddp",
        377 => "xsnegdp",
        393 => "xvcvdpsp",
        457 => "xvcvspdp",
        472 => "xvcvdpsxds",
        473 => "xvabsdp",
        488 => "xvcvuxddp",
        504 => "xvcvsxddp",
        505 => "xvnegdp",
        _ => return None,
    })
}
