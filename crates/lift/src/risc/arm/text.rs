//! Mnemonics and operands of 32-bit ARM in IDA's writing.

use super::{Code, IN_BLOCK, THUMB, Text, a32_immediate, field, t32_immediate, vector};

pub(super) const REGISTERS: [&str; 16] = [
    "R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11", "R12", "SP", "LR",
    "PC",
];
const CONDITIONS: [&str; 16] = [
    "EQ", "NE", "CS", "CC", "MI", "PL", "VS", "VC", "HI", "LS", "GE", "LT", "GT", "LE", "", "",
];
const ARITHMETIC: [&str; 16] = [
    "AND", "EOR", "SUB", "RSB", "ADD", "ADC", "SBC", "RSC", "TST", "TEQ", "CMP", "CMN", "ORR",
    "MOV", "BIC", "MVN",
];
const SHIFTS: [&str; 4] = ["LSL", "LSR", "ASR", "ROR"];

pub(super) fn text(code: &Code) -> Option<Text> {
    let word = code.word;
    if code.state & THUMB == 0 {
        let condition = CONDITIONS[(word >> 28) as usize];
        return if word >> 28 == 15 {
            unconditional(word)
        } else {
            a32(word, condition)
        };
    }
    let in_block = code.state & IN_BLOCK != 0;
    let condition = match in_block {
        true => CONDITIONS[usize::from(code.state >> 4)],
        false => "",
    };
    match code.length {
        2 => t16(word, condition, in_block),
        _ => t32(word, condition),
    }
}

pub(super) fn line(mnemonic: impl Into<String>, operands: Vec<String>) -> Option<Text> {
    Some(Text {
        mnemonic: mnemonic.into(),
        operands,
    })
}

/// The register whose number begins at bit `low`.
pub(super) fn reg(word: u32, low: u32) -> String {
    REGISTERS[field(word, low, 4) as usize].to_owned()
}

/// The same in three bits.
fn reg3(word: u32, low: u32) -> String {
    REGISTERS[field(word, low, 3) as usize].to_owned()
}

fn regs<const N: usize>(word: u32, at: [u32; N]) -> Vec<String> {
    at.iter().map(|&low| reg(word, low)).collect()
}

pub(super) fn number(value: impl Into<i64>) -> String {
    let value = value.into();
    let sign = if value < 0 { "-" } else { "" };
    match value.unsigned_abs() {
        small @ 0..10 => format!("#{sign}{small}"),
        large => format!("#{sign}0x{large:X}"),
    }
}

/// `{R4-R7,LR}`.
pub(super) fn list(bits: u32) -> String {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < 16 {
        if bits >> at & 1 == 0 {
            at += 1;
            continue;
        }
        let first = at;
        while at < 12 && bits >> (at + 1) & 1 == 1 {
            at += 1;
        }
        parts.push(match at - first {
            0 => REGISTERS[first].to_owned(),
            1 => format!("{},{}", REGISTERS[first], REGISTERS[at]),
            _ => format!("{}-{}", REGISTERS[first], REGISTERS[at]),
        });
        at += 1;
    }
    format!("{{{}}}", parts.join(","))
}

/// `LSL#2`, or nothing.
fn shift(kind: u32, amount: u32) -> Option<String> {
    Some(match (kind, amount) {
        (0, 0) => return None,
        (3, 0) => "RRX".to_owned(),
        (1 | 2, 0) => format!("{}#32", SHIFTS[kind as usize]),
        _ => format!("{}#{amount}", SHIFTS[kind as usize & 3]),
    })
}

fn with(mut operands: Vec<String>, more: Option<String>) -> Vec<String> {
    operands.extend(more);
    operands
}

/// A place in memory by a base and a distance.
pub(super) fn place(base: &str, offset: i64, up: bool, before: bool, write: bool) -> Vec<String> {
    let offset = match (up, offset) {
        (false, 0) => "#-0".to_owned(),
        (false, offset) => number(-offset),
        (true, offset) => number(offset),
    };
    match (before, write) {
        (true, false) if offset == "#0" => vec![format!("[{base}]")],
        (true, false) => vec![format!("[{base},{offset}]")],
        (true, true) => vec![format!("[{base},{offset}]!")],
        _ => vec![format!("[{base}]"), offset],
    }
}

/// A place in memory by a base and an index.
fn indexed(base: &str, index: String, up: bool, before: bool, write: bool) -> Vec<String> {
    let sign = if up { "" } else { "-" };
    match (before, write) {
        (true, false) => vec![format!("[{base},{sign}{index}]")],
        (true, true) => vec![format!("[{base},{sign}{index}]!")],
        _ => vec![format!("[{base}]"), format!("{sign}{index}")],
    }
}

/// A move by its shift: `LSL R0, R1, #2`, or plain.
fn shifted_move(word: u32, kind: u32, amount: u32) -> (&'static str, Vec<String>) {
    match (kind, amount) {
        (0, 0) => ("MOV", vec![reg(word, 0)]),
        (3, 0) => ("RRX", vec![reg(word, 0)]),
        (1 | 2, 0) => (SHIFTS[kind as usize], vec![reg(word, 0), "#32".into()]),
        _ => (
            SHIFTS[kind as usize & 3],
            vec![reg(word, 0), number(amount)],
        ),
    }
}

// ---- A32 -------------------------------------------------------------------

fn a32(word: u32, c: &str) -> Option<Text> {
    let is = |mask: u32, value: u32| word & mask == value;
    let bit = |low| field(word, low, 1) == 1;
    match field(word, 25, 3) {
        0 | 1 => a32_arithmetic(word, c),
        3 if bit(4) => a32_media(word, c),
        2 | 3 => {
            let (before, write) = (bit(24), bit(21));
            let kind = if bit(20) { "LDR" } else { "STR" };
            let size = if bit(22) { "B" } else { "" };
            let user = if write && !before { "T" } else { "" };
            let base = reg(word, 16);
            let mut operands = vec![reg(word, 12)];
            if !bit(25) && is(0x0fff_0fff, 0x052d_0004) {
                return line(format!("PUSH{c}"), vec![format!("{{{}}}", operands[0])]);
            }
            if !bit(25) && is(0x0fff_0fff, 0x049d_0004) {
                return line(format!("POP{c}"), vec![format!("{{{}}}", operands[0])]);
            }
            operands.extend(if bit(25) {
                let index = match shift(field(word, 5, 2), field(word, 7, 5)) {
                    Some(shift) => format!("{},{shift}", reg(word, 0)),
                    None => reg(word, 0),
                };
                indexed(&base, index, bit(23), before, write)
            } else {
                place(&base, field(word, 0, 12).into(), bit(23), before, write)
            });
            line(format!("{kind}{size}{user}{c}"), operands)
        }
        4 => {
            let load = bit(20);
            let user = if bit(22) { "^" } else { "" };
            let registers = list(word & 0xffff) + user;
            if is(0x0fff_0000, 0x092d_0000) {
                return line(format!("PUSH{c}"), vec![registers]);
            }
            if is(0x0fff_0000, 0x08bd_0000) {
                return line(format!("POP{c}"), vec![registers]);
            }
            let kind = match (bit(24), bit(23)) {
                (false, true) => "",
                (false, false) => "DA",
                (true, true) => "IB",
                (true, false) => "DB",
            };
            let mnemonic = if load { "LDM" } else { "STM" };
            let base = reg(word, 16) + if bit(21) { "!" } else { "" };
            line(format!("{mnemonic}{kind}{c}"), vec![base, registers])
        }
        5 => {
            let link = if bit(24) { "L" } else { "" };
            line(format!("B{link}{c}"), vec!["PC".into()])
        }
        _ if field(word, 24, 4) == 15 => line(format!("SVC{c}"), vec![number(field(word, 0, 24))]),
        _ => coprocessor(word, c),
    }
}

/// The instructions for floating point, and those for other coprocessors, which
/// are alike in both states.
fn coprocessor(word: u32, c: &str) -> Option<Text> {
    if matches!(field(word, 8, 4), 10 | 11) {
        return vector::floating(word, c);
    }
    let is = |mask: u32, value: u32| word & mask == value;
    let p = format!("p{}", field(word, 8, 4));
    let second = if word >> 28 == 15 { "2" } else { "" };
    let cr = |low| format!("c{}", field(word, low, 4));
    if is(0x0f00_0010, 0x0e00_0010) {
        let name = if field(word, 20, 1) == 1 {
            "MRC"
        } else {
            "MCR"
        };
        let operands = vec![
            p,
            number(field(word, 21, 3)),
            reg(word, 12),
            cr(16),
            cr(0),
            number(field(word, 5, 3)),
        ];
        return line(format!("{name}{second}{c}"), operands);
    }
    if is(0x0f00_0010, 0x0e00_0000) {
        let operands = vec![
            p,
            number(field(word, 20, 4)),
            cr(12),
            cr(16),
            cr(0),
            number(field(word, 5, 3)),
        ];
        return line(format!("CDP{second}{c}"), operands);
    }
    if is(0x0fe0_0000, 0x0c40_0000) {
        let name = if field(word, 20, 1) == 1 {
            "MRRC"
        } else {
            "MCRR"
        };
        let operands = vec![
            p,
            number(field(word, 4, 4)),
            reg(word, 12),
            reg(word, 16),
            cr(0),
        ];
        return line(format!("{name}{second}{c}"), operands);
    }
    if is(0x0e00_0000, 0x0c00_0000) && word & 0x01e0_0000 != 0 {
        let name = if field(word, 20, 1) == 1 {
            "LDC"
        } else {
            "STC"
        };
        let long = if field(word, 22, 1) == 1 { "L" } else { "" };
        let bit = |low| field(word, low, 1) == 1;
        let mut operands = vec![p, cr(12)];
        let offset = i64::from(field(word, 0, 8)) * 4;
        operands.extend(place(&reg(word, 16), offset, bit(23), bit(24), bit(21)));
        return line(format!("{name}{second}{long}{c}"), operands);
    }
    None
}

fn a32_arithmetic(word: u32, c: &str) -> Option<Text> {
    let is = |mask: u32, value: u32| word & mask == value;
    let bit = |low| field(word, low, 1) == 1;
    let s = if bit(20) { "S" } else { "" };
    if is(0x0e00_0090, 0x0000_0090) {
        return match field(word, 5, 2) {
            0 => a32_multiply(word, c),
            _ => a32_halves(word, c),
        };
    }
    if is(0x0fb0_0000, 0x0300_0000) {
        let name = if bit(22) { "MOVT" } else { "MOVW" };
        let value = field(word, 16, 4) << 12 | field(word, 0, 12);
        return line(format!("{name}{c}"), vec![reg(word, 12), number(value)]);
    }
    if is(0x0fff_ff00, 0x0320_f000) {
        return hint(field(word, 0, 8), c, "");
    }
    if is(0x0fb0_f000, 0x0320_f000) {
        let value = number(a32_immediate(word));
        return line(format!("MSR{c}"), vec![status(word), value]);
    }
    if is(0x0f90_0000, 0x0100_0000) {
        return a32_other(word, c);
    }
    let opcode = field(word, 21, 4);
    let name = ARITHMETIC[opcode as usize];
    let compares = (8..=11).contains(&opcode);
    if compares && !bit(20) {
        return None;
    }
    let s = if compares { "" } else { s };
    let mut operands = match opcode {
        8..=11 => vec![reg(word, 16)],
        13 | 15 => vec![reg(word, 12)],
        _ => regs(word, [12, 16]),
    };
    if bit(25) {
        // An address near the code.
        if matches!(opcode, 2 | 4) && field(word, 16, 4) == 15 && !bit(20) {
            operands.truncate(1);
            operands.push("PC".into());
            return line(format!("ADR{c}"), operands);
        }
        operands.push(number(a32_immediate(word)));
        return line(format!("{name}{s}{c}"), operands);
    }
    if bit(4) {
        let kind = SHIFTS[field(word, 5, 2) as usize];
        if opcode == 13 {
            operands.extend(regs(word, [0, 8]));
            return line(format!("{kind}{s}{c}"), operands);
        }
        operands.extend([reg(word, 0), format!("{kind} {}", reg(word, 8))]);
        return line(format!("{name}{s}{c}"), operands);
    }
    let (kind, amount) = (field(word, 5, 2), field(word, 7, 5));
    if opcode == 13 {
        let (name, more) = shifted_move(word, kind, amount);
        operands.extend(more);
        return line(format!("{name}{s}{c}"), operands);
    }
    operands.push(reg(word, 0));
    line(format!("{name}{s}{c}"), with(operands, shift(kind, amount)))
}

fn a32_multiply(word: u32, c: &str) -> Option<Text> {
    let s = if field(word, 20, 1) == 1 { "S" } else { "" };
    let op = field(word, 20, 4);
    if field(word, 24, 1) == 0 {
        let (name, operands) = match op {
            0 | 1 => ("MUL", regs(word, [16, 0, 8])),
            2 | 3 => ("MLA", regs(word, [16, 0, 8, 12])),
            4 => ("UMAAL", regs(word, [12, 16, 0, 8])),
            6 => ("MLS", regs(word, [16, 0, 8, 12])),
            8 | 9 => ("UMULL", regs(word, [12, 16, 0, 8])),
            10 | 11 => ("UMLAL", regs(word, [12, 16, 0, 8])),
            12 | 13 => ("SMULL", regs(word, [12, 16, 0, 8])),
            14 | 15 => ("SMLAL", regs(word, [12, 16, 0, 8])),
            _ => return None,
        };
        let s = if matches!(op, 4 | 6) { "" } else { s };
        return line(format!("{name}{s}{c}"), operands);
    }
    let base = format!("[{}]", reg(word, 16));
    let size = ["", "D", "B", "H"][field(word, 21, 2) as usize];
    if op < 8 {
        let size = if op == 4 { "B" } else { "" };
        return line(
            format!("SWP{size}{c}"),
            vec![reg(word, 12), reg(word, 0), base],
        );
    }
    let load = field(word, 20, 1) == 1;
    let pair = |low| {
        let first = field(word, low, 4) as usize;
        match field(word, 21, 2) {
            1 => vec![
                REGISTERS[first].to_owned(),
                REGISTERS[(first + 1) & 15].into(),
            ],
            _ => vec![REGISTERS[first].to_owned()],
        }
    };
    let kind = field(word, 8, 2);
    let (name, mut operands) = match (kind, load) {
        (0, true) => ("LDA", pair(12)),
        (0, false) => ("STL", pair(0)),
        (2, true) => ("LDAEX", pair(12)),
        (2, false) => ("STLEX", [vec![reg(word, 12)], pair(0)].concat()),
        (3, true) => ("LDREX", pair(12)),
        (3, false) => ("STREX", [vec![reg(word, 12)], pair(0)].concat()),
        _ => return None,
    };
    operands.push(base);
    line(format!("{name}{size}{c}"), operands)
}

/// Halves, signed bytes and pairs.
fn a32_halves(word: u32, c: &str) -> Option<Text> {
    let bit = |low| field(word, low, 1) == 1;
    let kind = field(word, 5, 2);
    let (before, write) = (bit(24), bit(21));
    let mut operands = vec![reg(word, 12)];
    let name = match (bit(20), kind) {
        (false, 1) => "STRH",
        (true, 1) => "LDRH",
        (true, 2) => "LDRSB",
        (true, _) => "LDRSH",
        (false, kind) => {
            operands.push(REGISTERS[(field(word, 12, 4) as usize + 1) & 15].into());
            if kind == 2 { "LDRD" } else { "STRD" }
        }
    };
    let user = if write && !before { "T" } else { "" };
    let base = reg(word, 16);
    operands.extend(if bit(22) {
        let offset = field(word, 8, 4) << 4 | field(word, 0, 4);
        place(&base, offset.into(), bit(23), before, write)
    } else {
        indexed(&base, reg(word, 0), bit(23), before, write)
    });
    line(format!("{name}{user}{c}"), operands)
}

/// `CPSR_cxsf` by the fields that are written.
fn status(word: u32) -> String {
    let name = if field(word, 22, 1) == 1 {
        "SPSR"
    } else {
        "CPSR"
    };
    let fields: String = "cxsf"
        .chars()
        .enumerate()
        .filter(|(at, _)| word >> (16 + at) & 1 == 1)
        .map(|(_, c)| c.to_ascii_uppercase())
        .collect();
    format!("{name}_{fields}")
}

fn hint(kind: u32, c: &str, w: &str) -> Option<Text> {
    let name = match kind {
        0 => "NOP",
        1 => "YIELD",
        2 => "WFE",
        3 => "WFI",
        4 => "SEV",
        5 => "SEVL",
        16 => "ESB",
        20 => "CSDB",
        0xf0.. => return line(format!("DBG{c}"), vec![number(kind & 15)]),
        _ => return line(format!("HINT{c}{w}"), vec![number(kind)]),
    };
    line(format!("{name}{c}{w}"), Vec::new())
}

/// What stands where comparisons without flags would be.
fn a32_other(word: u32, c: &str) -> Option<Text> {
    let op = field(word, 21, 2);
    if field(word, 7, 1) == 1 {
        let half = |low| if field(word, low, 1) == 1 { "T" } else { "B" };
        let (x, y) = (half(5), half(6));
        let (name, operands) = match (op, x) {
            (0, _) => (format!("SMLA{x}{y}"), regs(word, [16, 0, 8, 12])),
            (1, "B") => (format!("SMLAW{y}"), regs(word, [16, 0, 8, 12])),
            (1, _) => (format!("SMULW{y}"), regs(word, [16, 0, 8])),
            (2, _) => (format!("SMLAL{x}{y}"), regs(word, [12, 16, 0, 8])),
            _ => (format!("SMUL{x}{y}"), regs(word, [16, 0, 8])),
        };
        return line(name + c, operands);
    }
    let half = field(word, 8, 12) << 4 | field(word, 0, 4);
    let (name, operands) = match (field(word, 4, 3), op) {
        (0, 0 | 2) => {
            let name = if op == 2 { "SPSR" } else { "CPSR" };
            ("MRS", vec![reg(word, 12), name.into()])
        }
        (0, _) => ("MSR", vec![status(word), reg(word, 0)]),
        (1, 1) => ("BX", regs(word, [0])),
        (1, 3) => ("CLZ", regs(word, [12, 0])),
        (2, 1) => ("BXJ", regs(word, [0])),
        (3, 1) => ("BLX", regs(word, [0])),
        (4, size @ 0..3) => {
            let castagnoli = field(word, 9, 1) == 1;
            let name = match (castagnoli, size) {
                (false, 0) => "CRC32B",
                (false, 1) => "CRC32H",
                (false, _) => "CRC32W",
                (true, 0) => "CRC32CB",
                (true, 1) => "CRC32CH",
                (true, _) => "CRC32CW",
            };
            (name, regs(word, [12, 16, 0]))
        }
        (5, op) => (
            ["QADD", "QSUB", "QDADD", "QDSUB"][op as usize],
            regs(word, [12, 0, 16]),
        ),
        (6, 3) => ("ERET", Vec::new()),
        (7, 1) => ("BKPT", vec![number(half)]),
        (7, 2) => ("HVC", vec![number(half)]),
        (7, 3) => ("SMC", vec![number(field(word, 0, 4))]),
        _ => return None,
    };
    line(format!("{name}{c}"), operands)
}

/// The prefix of additions and subtractions of parts of registers.
fn parallel_prefix(kind: u32) -> Option<&'static str> {
    Some(match kind {
        1 => "S",
        2 => "Q",
        3 => "SH",
        5 => "U",
        6 => "UQ",
        7 => "UH",
        _ => return None,
    })
}

/// `ROR#8` of the instructions that extend a part of a register.
fn rotation(turns: u32) -> Option<String> {
    (turns > 0).then(|| format!("ROR#{}", turns * 8))
}

fn a32_media(word: u32, c: &str) -> Option<Text> {
    let (op, second) = (field(word, 20, 5), field(word, 5, 3));
    let from = field(word, 16, 4);
    let three = || regs(word, [12, 16, 0]);
    if op < 8 {
        let prefix = parallel_prefix(op)?;
        let name = ["ADD16", "ASX", "SAX", "SUB16", "ADD8", "", "", "SUB8"][second as usize];
        return (!name.is_empty())
            .then(|| line(format!("{prefix}{name}{c}"), three()))
            .flatten();
    }
    let extend = |name: &str| {
        let operands = match from {
            15 => regs(word, [12, 0]),
            _ => three(),
        };
        let letter = if from == 15 { "" } else { "A" };
        let (sign, rest) = name.split_at(3);
        let mnemonic = format!("{sign}{letter}{rest}{c}");
        line(mnemonic, with(operands, rotation(field(word, 10, 2))))
    };
    let amount = field(word, 7, 5);
    match (op, second) {
        (8, 0 | 2 | 4 | 6) => {
            let top = field(word, 6, 1) == 1;
            let name = if top { "PKHTB" } else { "PKHBT" };
            let kind = if top { 2 } else { 0 };
            line(format!("{name}{c}"), with(three(), shift(kind, amount)))
        }
        (8, 3) => extend("SXTB16"),
        (8, 5) => line(format!("SEL{c}"), three()),
        (10, 3) => extend("SXTB"),
        (11, 3) => extend("SXTH"),
        (12, 3) => extend("UXTB16"),
        (14, 3) => extend("UXTB"),
        (15, 3) => extend("UXTH"),
        (11, 1) => line(format!("REV{c}"), regs(word, [12, 0])),
        (11, 5) => line(format!("REV16{c}"), regs(word, [12, 0])),
        (15, 1) => line(format!("RBIT{c}"), regs(word, [12, 0])),
        (15, 5) => line(format!("REVSH{c}"), regs(word, [12, 0])),
        (10, 1) | (14, 1) => {
            let (name, plus) = if op == 10 {
                ("SSAT16", 1)
            } else {
                ("USAT16", 0)
            };
            let operands = vec![reg(word, 12), number(from + plus), reg(word, 0)];
            line(format!("{name}{c}"), operands)
        }
        (10 | 11 | 14 | 15, 0 | 2 | 4 | 6) => {
            let (name, plus) = if op < 12 { ("SSAT", 1) } else { ("USAT", 0) };
            let bits = number(field(word, 16, 5) + plus);
            let kind = if field(word, 6, 1) == 1 { 2 } else { 0 };
            let operands = vec![reg(word, 12), bits, reg(word, 0)];
            line(format!("{name}{c}"), with(operands, shift(kind, amount)))
        }
        (16, 0..4) | (20, 0..4) | (21, 0 | 1 | 6 | 7) => {
            let accumulates = field(word, 12, 4) != 15;
            let x = if field(word, 5, 1) == 1 { "X" } else { "" };
            let name = match (op, second & 6, accumulates) {
                (16, 0, true) => "SMLAD",
                (16, 0, false) => "SMUAD",
                (16, _, true) => "SMLSD",
                (16, ..) => "SMUSD",
                (20, 0, _) => "SMLALD",
                (20, ..) => "SMLSLD",
                (_, 0, true) => "SMMLA",
                (_, 0, false) => "SMMUL",
                _ => "SMMLS",
            };
            let x = match (op, x) {
                (21, "X") => "R",
                (_, x) => x,
            };
            let operands = match (op, accumulates) {
                (20, _) => regs(word, [12, 16, 0, 8]),
                (_, true) => regs(word, [16, 0, 8, 12]),
                _ => regs(word, [16, 0, 8]),
            };
            line(format!("{name}{x}{c}"), operands)
        }
        (17, 0) => line(format!("SDIV{c}"), regs(word, [16, 0, 8])),
        (19, 0) => line(format!("UDIV{c}"), regs(word, [16, 0, 8])),
        (24, 0) => match field(word, 12, 4) {
            15 => line(format!("USAD8{c}"), regs(word, [16, 0, 8])),
            _ => line(format!("USADA8{c}"), regs(word, [16, 0, 8, 12])),
        },
        (26 | 27 | 30 | 31, 2 | 6) => {
            let name = if op < 28 { "SBFX" } else { "UBFX" };
            let bits = number(field(word, 16, 5) + 1);
            let operands = vec![reg(word, 12), reg(word, 0), number(amount), bits];
            line(format!("{name}{c}"), operands)
        }
        (28 | 29, 0 | 4) => insert(
            word,
            amount,
            field(word, 16, 5),
            field(word, 0, 4),
            12,
            0,
            c,
        ),
        (31, 7) => {
            let value = field(word, 8, 12) << 4 | field(word, 0, 4);
            line(format!("UND{c}"), vec![number(value)])
        }
        _ => None,
    }
}

/// `BFI` and `BFC`.
fn insert(
    word: u32,
    low: u32,
    high: u32,
    from: u32,
    to_at: u32,
    from_at: u32,
    c: &str,
) -> Option<Text> {
    let bits = (high + 1).checked_sub(low)?;
    let mut operands = vec![reg(word, to_at)];
    let name = if from == 15 {
        "BFC"
    } else {
        operands.push(reg(word, from_at));
        "BFI"
    };
    operands.extend([number(low), number(bits)]);
    line(format!("{name}{c}"), operands)
}

fn barrier(word: u32) -> Option<Text> {
    let kind = match field(word, 0, 4) {
        15 => "SY",
        14 => "ST",
        13 => "LD",
        11 => "ISH",
        10 => "ISHST",
        9 => "ISHLD",
        7 => "NSH",
        6 => "NSHST",
        3 => "OSH",
        2 => "OSHST",
        _ => "",
    };
    let operand = match kind {
        "" => number(field(word, 0, 4)),
        kind => kind.to_owned(),
    };
    match field(word, 4, 4) {
        2 => line("CLREX", Vec::new()),
        4 => line("DSB", vec![operand]),
        5 => line("DMB", vec![operand]),
        6 => line("ISB", vec![operand]),
        _ => None,
    }
}

fn unconditional(word: u32) -> Option<Text> {
    let is = |mask: u32, value: u32| word & mask == value;
    let bit = |low| field(word, low, 1) == 1;
    if is(0xfe00_0000, 0xfa00_0000) {
        return line("BLX", vec!["PC".into()]);
    }
    if is(0xfe00_0000, 0xf200_0000) {
        return vector::vectors(word);
    }
    if is(0xff10_0000, 0xf400_0000) {
        return vector::memory(word);
    }
    if is(0xffff_ff00, 0xf57f_f000) {
        return barrier(word);
    }
    if is(0xfd30_f000, 0xf510_f000) || is(0xfd70_f000, 0xf450_f000) {
        let name = match (bit(24), bit(22)) {
            (false, _) => "PLI",
            (_, false) => "PLDW",
            _ => "PLD",
        };
        let base = reg(word, 16);
        let operands = if bit(25) {
            let index = match shift(field(word, 5, 2), field(word, 7, 5)) {
                Some(shift) => format!("{},{shift}", reg(word, 0)),
                None => reg(word, 0),
            };
            indexed(&base, index, bit(23), true, false)
        } else {
            place(&base, field(word, 0, 12).into(), bit(23), true, false)
        };
        return line(name, operands);
    }
    if is(0xffff_fdff, 0xf101_0000) {
        return line("SETEND", vec![if bit(9) { "BE" } else { "LE" }.into()]);
    }
    if is(0xfff1_fe20, 0xf100_0000) {
        let name = if bit(18) { "CPSID" } else { "CPSIE" };
        return line(name, vec![number(field(word, 6, 3))]);
    }
    if field(word, 25, 3) >= 6 && field(word, 24, 4) < 15 {
        return match field(word, 8, 4) {
            10 | 11 => vector::floating(word, ""),
            _ => coprocessor(word, ""),
        };
    }
    None
}

// ---- T32, narrow -----------------------------------------------------------

fn t16(word: u32, c: &str, in_block: bool) -> Option<Text> {
    let s = if in_block { "" } else { "S" };
    let low = |names: &[u32]| -> Vec<String> { names.iter().map(|&at| reg3(word, at)).collect() };
    let byte = || number(field(word, 0, 8));
    let high = REGISTERS[(field(word, 7, 1) << 3 | field(word, 0, 3)) as usize];
    match word >> 11 {
        0 if field(word, 6, 5) == 0 => line(format!("MOV{s}{c}"), low(&[0, 3])),
        kind @ 0..=2 => {
            let amount = match field(word, 6, 5) {
                0 => 32,
                amount => amount,
            };
            let operands = [low(&[0, 3]), vec![number(amount)]].concat();
            line(format!("{}{s}{c}", SHIFTS[kind as usize]), operands)
        }
        3 => {
            let name = if field(word, 9, 1) == 1 { "SUB" } else { "ADD" };
            let mut operands = low(&[0, 3]);
            operands.push(match field(word, 10, 1) {
                1 => number(field(word, 6, 3)),
                _ => reg3(word, 6),
            });
            line(format!("{name}{s}{c}"), operands)
        }
        4 => line(format!("MOV{s}{c}"), vec![reg3(word, 8), byte()]),
        5 => line(format!("CMP{c}"), vec![reg3(word, 8), byte()]),
        6 => line(format!("ADD{s}{c}"), vec![reg3(word, 8), byte()]),
        7 => line(format!("SUB{s}{c}"), vec![reg3(word, 8), byte()]),
        8 if field(word, 10, 1) == 0 => {
            let name = [
                "AND", "EOR", "LSL", "LSR", "ASR", "ADC", "SBC", "ROR", "TST", "NEG", "CMP", "CMN",
                "ORR", "MUL", "BIC", "MVN",
            ][field(word, 6, 4) as usize];
            let s = if matches!(name, "TST" | "CMP" | "CMN") {
                ""
            } else {
                s
            };
            match name {
                "NEG" => {
                    let operands = [low(&[0, 3]), vec![number(0)]].concat();
                    line(format!("RSB{s}{c}"), operands)
                }
                _ => line(format!("{name}{s}{c}"), low(&[0, 3])),
            }
        }
        8 => {
            let from = reg(word, 3);
            match field(word, 8, 2) {
                0 => line(format!("ADD{c}"), vec![high.into(), from]),
                1 => line(format!("CMP{c}"), vec![high.into(), from]),
                2 => line(format!("MOV{c}"), vec![high.into(), from]),
                _ => {
                    let link = if field(word, 7, 1) == 1 { "BLX" } else { "BX" };
                    line(format!("{link}{c}"), vec![from])
                }
            }
        }
        9 => {
            let place = format!("[PC,{}]", number(field(word, 0, 8) * 4));
            line(format!("LDR{c}"), vec![reg3(word, 8), place])
        }
        10 | 11 => {
            let name = [
                "STR", "STRH", "STRB", "LDRSB", "LDR", "LDRH", "LDRB", "LDRSH",
            ][field(word, 9, 3) as usize];
            let place = format!("[{},{}]", reg3(word, 3), reg3(word, 6));
            line(format!("{name}{c}"), vec![reg3(word, 0), place])
        }
        kind @ 12..=17 => {
            let (size, scale) = match kind >> 1 {
                6 => ("", 4),
                7 => ("B", 1),
                _ => ("H", 2),
            };
            let name = if kind & 1 == 1 { "LDR" } else { "STR" };
            let offset = i64::from(field(word, 6, 5)) * scale;
            let mut operands = vec![reg3(word, 0)];
            operands.extend(place(&reg3(word, 3), offset, true, true, false));
            line(format!("{name}{size}{c}"), operands)
        }
        kind @ (18 | 19) => {
            let name = if kind == 19 { "LDR" } else { "STR" };
            let offset = i64::from(field(word, 0, 8)) * 4;
            let mut operands = vec![reg3(word, 8)];
            operands.extend(place("SP", offset, true, true, false));
            line(format!("{name}{c}"), operands)
        }
        20 => line(format!("ADR{c}"), vec![reg3(word, 8), "PC".into()]),
        21 => {
            let value = number(field(word, 0, 8) * 4);
            line(format!("ADD{c}"), vec![reg3(word, 8), "SP".into(), value])
        }
        22 | 23 => t16_other(word, c),
        kind @ (24 | 25) => {
            let name = if kind == 25 { "LDM" } else { "STM" };
            let registers = field(word, 0, 8);
            let base = field(word, 8, 3);
            let kept = kind == 25 && registers >> base & 1 == 1;
            let base = reg3(word, 8) + if kept { "" } else { "!" };
            (registers != 0)
                .then(|| line(format!("{name}{c}"), vec![base, list(registers)]))
                .flatten()
        }
        26 | 27 => match field(word, 8, 4) {
            14 => line("UND", vec![byte()]),
            15 => line(format!("SVC{c}"), vec![byte()]),
            condition => {
                let c = CONDITIONS[condition as usize];
                line(format!("B{c}"), vec!["PC".into()])
            }
        },
        28 => line(format!("B{c}"), vec!["PC".into()]),
        _ => None,
    }
}

fn t16_other(word: u32, c: &str) -> Option<Text> {
    let low = || vec![reg3(word, 0), reg3(word, 3)];
    let registers = field(word, 0, 8);
    match field(word, 8, 4) {
        0 => {
            let name = if field(word, 7, 1) == 1 { "SUB" } else { "ADD" };
            let value = number(field(word, 0, 7) * 4);
            line(format!("{name}{c}"), vec!["SP".into(), value])
        }
        1 | 3 | 9 | 11 => {
            let name = if field(word, 11, 1) == 1 {
                "CBNZ"
            } else {
                "CBZ"
            };
            line(name, vec![reg3(word, 0), "PC".into()])
        }
        2 => {
            let name = ["SXTH", "SXTB", "UXTH", "UXTB"][field(word, 6, 2) as usize];
            line(format!("{name}{c}"), low())
        }
        4 | 5 => {
            let more = field(word, 8, 1) << 14;
            line(format!("PUSH{c}"), vec![list(registers | more)])
        }
        12 | 13 => {
            let more = field(word, 8, 1) << 15;
            line(format!("POP{c}"), vec![list(registers | more)])
        }
        6 => match field(word, 5, 3) {
            2 => {
                let order = if field(word, 3, 1) == 1 { "BE" } else { "LE" };
                line("SETEND", vec![order.into()])
            }
            3 => {
                let name = if field(word, 4, 1) == 1 {
                    "CPSID"
                } else {
                    "CPSIE"
                };
                line(name, vec![number(field(word, 0, 3))])
            }
            _ => None,
        },
        10 => match field(word, 6, 2) {
            0 => line(format!("REV{c}"), low()),
            1 => line(format!("REV16{c}"), low()),
            3 => line(format!("REVSH{c}"), low()),
            _ => line("HLT", vec![number(field(word, 0, 6))]),
        },
        14 => line("BKPT", vec![number(registers)]),
        15 if field(word, 0, 4) == 0 => hint(field(word, 4, 4), c, ""),
        15 => {
            let first = field(word, 4, 4);
            let mask = field(word, 0, 4);
            let count = 3 - mask.trailing_zeros();
            let then: String = (0..count)
                .map(|at| match mask >> (3 - at) & 1 == first & 1 {
                    true => 'T',
                    false => 'E',
                })
                .collect();
            let condition = match first {
                14 => "AL",
                first => CONDITIONS[first as usize],
            };
            line(format!("IT{then}"), vec![condition.into()])
        }
        _ => None,
    }
}

// ---- T32, wide -------------------------------------------------------------

fn t32(word: u32, c: &str) -> Option<Text> {
    let is = |mask: u32, value: u32| word & mask == value;
    let bit = |low| field(word, low, 1) == 1;
    if is(0xfe40_0000, 0xe800_0000) {
        return t32_multiple(word, c);
    }
    if is(0xfe40_0000, 0xe840_0000) {
        return t32_pair(word, c);
    }
    if is(0xfe00_0000, 0xea00_0000) {
        return t32_shifted(word, c);
    }
    if is(0xef00_0000, 0xef00_0000) {
        let word = 0xf200_0000 | u32::from(bit(28)) << 24 | word & 0x00ff_ffff;
        return vector::vectors(word);
    }
    if is(0xec00_0000, 0xec00_0000) {
        return coprocessor(word, c);
    }
    if is(0xf800_8000, 0xf000_8000) {
        return t32_control(word, c);
    }
    if is(0xfa00_8000, 0xf000_0000) {
        let opcode = field(word, 21, 4);
        let value = number(t32_immediate(word));
        return t32_arithmetic(word, opcode, vec![value], c);
    }
    if is(0xfa00_8000, 0xf200_0000) {
        return t32_plain(word, c);
    }
    if is(0xff10_0000, 0xf900_0000) {
        return vector::memory(0xf400_0000 | word & 0x00ff_ffff);
    }
    if is(0xfe00_0000, 0xf800_0000) {
        return t32_memory(word, c);
    }
    if is(0xff00_0000, 0xfa00_0000) {
        return t32_registers(word, c);
    }
    if is(0xff00_0000, 0xfb00_0000) {
        return t32_multiply(word, c);
    }
    None
}

fn t32_multiple(word: u32, c: &str) -> Option<Text> {
    let bit = |low| field(word, low, 1) == 1;
    let registers = list(word & 0xffff);
    if word & 0xffff_0000 == 0xe92d_0000 {
        return line(format!("PUSH{c}.W"), vec![registers]);
    }
    if word & 0xffff_0000 == 0xe8bd_0000 {
        return line(format!("POP{c}.W"), vec![registers]);
    }
    let kind = match (bit(24), bit(23)) {
        (false, true) => "",
        (true, false) => "DB",
        _ => return None,
    };
    let name = if bit(20) { "LDM" } else { "STM" };
    let wide = if kind.is_empty() { ".W" } else { "" };
    let base = reg(word, 16) + if bit(21) { "!" } else { "" };
    line(format!("{name}{kind}{c}{wide}"), vec![base, registers])
}

fn t32_pair(word: u32, c: &str) -> Option<Text> {
    let bit = |low| field(word, low, 1) == 1;
    let base = reg(word, 16);
    if bit(24) || bit(21) {
        let name = if bit(20) { "LDRD" } else { "STRD" };
        let mut operands = regs(word, [12, 8]);
        let offset = i64::from(field(word, 0, 8)) * 4;
        operands.extend(place(&base, offset, bit(23), bit(24), bit(21)));
        return line(format!("{name}{c}.W"), operands);
    }
    let offset = i64::from(field(word, 0, 8)) * 4;
    if !bit(23) {
        let mut operands = if bit(20) {
            regs(word, [12])
        } else {
            regs(word, [8, 12])
        };
        operands.extend(place(&base, offset, true, true, false));
        let name = if bit(20) { "LDREX" } else { "STREX" };
        return line(format!("{name}{c}"), operands);
    }
    let size = |kind| match kind & 3 {
        0 => "B",
        1 => "H",
        2 => "",
        _ => "D",
    };
    let kind = field(word, 4, 4);
    let place = format!("[{base}]");
    match (kind, bit(20)) {
        (0, true) => line(
            format!("TBB{c}.W"),
            vec![format!("[{base},{}]", reg(word, 0))],
        ),
        (1, true) => line(
            format!("TBH{c}.W"),
            vec![format!("[{base},{},LSL#1]", reg(word, 0))],
        ),
        (4 | 5 | 7 | 8..=10 | 12..=15, load) => {
            let name = match (kind >> 2, load) {
                (1, true) => "LDREX",
                (1, false) => "STREX",
                (2, true) => "LDA",
                (2, false) => "STL",
                (_, true) => "LDAEX",
                _ => "STLEX",
            };
            let status = if !load && kind >> 2 != 2 {
                vec![reg(word, 0)]
            } else {
                Vec::new()
            };
            let second = if kind & 3 == 3 {
                vec![reg(word, 8)]
            } else {
                Vec::new()
            };
            let operands = [status, vec![reg(word, 12)], second, vec![place]].concat();
            line(format!("{name}{}{c}", size(kind)), operands)
        }
        _ => None,
    }
}

/// Additions and their like, of which the last operands are given.
fn t32_arithmetic(word: u32, opcode: u32, last: Vec<String>, c: &str) -> Option<Text> {
    let (to, from) = (field(word, 8, 4), field(word, 16, 4));
    let flags = field(word, 20, 1) == 1;
    let s = if flags { "S" } else { "" };
    let (name, operands) = match opcode {
        0 if to == 15 && flags => ("TST", regs(word, [16])),
        4 if to == 15 && flags => ("TEQ", regs(word, [16])),
        8 if to == 15 && flags => ("CMN", regs(word, [16])),
        13 if to == 15 && flags => ("CMP", regs(word, [16])),
        2 if from == 15 => ("MOV", regs(word, [8])),
        3 if from == 15 => ("MVN", regs(word, [8])),
        0 => ("AND", regs(word, [8, 16])),
        1 => ("BIC", regs(word, [8, 16])),
        2 => ("ORR", regs(word, [8, 16])),
        3 => ("ORN", regs(word, [8, 16])),
        4 => ("EOR", regs(word, [8, 16])),
        8 => ("ADD", regs(word, [8, 16])),
        10 => ("ADC", regs(word, [8, 16])),
        11 => ("SBC", regs(word, [8, 16])),
        13 => ("SUB", regs(word, [8, 16])),
        14 => ("RSB", regs(word, [8, 16])),
        _ => return None,
    };
    let s = if matches!(name, "TST" | "TEQ" | "CMN" | "CMP") {
        ""
    } else {
        s
    };
    // These have no narrow form.
    let wide = if matches!(name, "ORN" | "TEQ") {
        ""
    } else {
        ".W"
    };
    line(format!("{name}{s}{c}{wide}"), [operands, last].concat())
}

fn t32_shifted(word: u32, c: &str) -> Option<Text> {
    let opcode = field(word, 21, 4);
    let (kind, amount) = (
        field(word, 4, 2),
        field(word, 12, 3) << 2 | field(word, 6, 2),
    );
    let s = if field(word, 20, 1) == 1 { "S" } else { "" };
    if opcode == 2 && field(word, 16, 4) == 15 {
        let (name, more) = shifted_move(word, kind, amount);
        let wide = if name == "RRX" { "" } else { ".W" };
        let operands = [regs(word, [8]), more].concat();
        return line(format!("{name}{s}{c}{wide}"), operands);
    }
    if opcode == 6 {
        let name = if kind & 2 == 2 { "PKHTB" } else { "PKHBT" };
        let operands = with(regs(word, [8, 16, 0]), shift(kind & 2, amount));
        return line(format!("{name}{c}"), operands);
    }
    let last = with(vec![reg(word, 0)], shift(kind, amount));
    t32_arithmetic(word, opcode, last, c)
}

fn t32_plain(word: u32, c: &str) -> Option<Text> {
    let value = field(word, 26, 1) << 11 | field(word, 12, 3) << 8 | field(word, 0, 8);
    let from = field(word, 16, 4);
    let opcode = field(word, 20, 5);
    let amount = field(word, 12, 3) << 2 | field(word, 6, 2);
    let bits = field(word, 0, 5);
    match opcode {
        0 | 10 if from == 15 => line(format!("ADR{c}.W"), vec![reg(word, 8), "PC".into()]),
        0 | 10 => {
            let name = if opcode == 0 { "ADDW" } else { "SUBW" };
            let operands = [regs(word, [8, 16]), vec![number(value)]].concat();
            line(format!("{name}{c}"), operands)
        }
        4 | 12 => {
            let name = if opcode == 4 { "MOVW" } else { "MOVT.W" };
            let name = match name.strip_suffix(".W") {
                Some(name) => format!("{name}{c}.W"),
                None => format!("{name}{c}"),
            };
            line(name, vec![reg(word, 8), number(from << 12 | value)])
        }
        16 | 18 | 24 | 26 => {
            let (name, plus) = if opcode < 20 {
                ("SSAT", 1)
            } else {
                ("USAT", 0)
            };
            let kind = if opcode & 2 == 2 { 2 } else { 0 };
            if kind == 2 && amount == 0 {
                let operands = vec![
                    reg(word, 8),
                    number(field(word, 0, 4) + plus),
                    reg(word, 16),
                ];
                return line(format!("{name}16{c}"), operands);
            }
            let operands = vec![reg(word, 8), number(bits + plus), reg(word, 16)];
            line(format!("{name}{c}"), with(operands, shift(kind, amount)))
        }
        20 | 28 => {
            let name = if opcode == 20 { "SBFX" } else { "UBFX" };
            let operands = vec![
                reg(word, 8),
                reg(word, 16),
                number(amount),
                number(bits + 1),
            ];
            line(format!("{name}{c}"), operands)
        }
        22 => insert(word, amount, bits, from, 8, 16, c),
        _ => None,
    }
}

fn t32_control(word: u32, c: &str) -> Option<Text> {
    match (field(word, 14, 1), field(word, 12, 1)) {
        (1, 1) => line(format!("BL{c}"), vec!["PC".into()]),
        (1, _) => (word & 1 == 0)
            .then(|| line(format!("BLX{c}"), vec!["PC".into()]))
            .flatten(),
        (_, 1) => line(format!("B{c}.W"), vec!["PC".into()]),
        _ if field(word, 23, 3) < 7 => {
            let c = CONDITIONS[field(word, 22, 4) as usize];
            line(format!("B{c}.W"), vec!["PC".into()])
        }
        _ if word & 0xffff_ff00 == 0xf3af_8000 => hint(word & 0xff, c, ".W"),
        _ if word & 0xffff_ff00 == 0xf3bf_8f00 => barrier(word),
        _ if word & 0xfff0_f000 == 0xf7f0_a000 => {
            let value = field(word, 16, 4) << 12 | field(word, 0, 12);
            line("UND.W", vec![number(value)])
        }
        _ if word & 0xffef_f000 == 0xf3ef_8000 => {
            line(format!("MRS{c}"), vec![reg(word, 8), "CPSR".into()])
        }
        _ if word & 0xffe0_f000 == 0xf380_8000 => {
            let fields = status(field(word, 8, 4) << 16 | field(word, 20, 1) << 22);
            line(format!("MSR{c}"), vec![fields, reg(word, 16)])
        }
        _ if word & 0xffff_ff00 == 0xf3de_8f00 => {
            let value = number(field(word, 0, 8));
            line(format!("SUBS{c}"), vec!["PC".into(), "LR".into(), value])
        }
        _ => None,
    }
}

fn t32_memory(word: u32, c: &str) -> Option<Text> {
    let bit = |low| field(word, low, 1) == 1;
    let (base, load) = (field(word, 16, 4), bit(20));
    let size = ["B", "H", "", "-"][field(word, 21, 2) as usize];
    let sign = if bit(24) { "S" } else { "" };
    if size == "-" || (bit(24) && (!load || size.is_empty())) {
        return None;
    }
    let mut name = format!("{}{sign}{size}", if load { "LDR" } else { "STR" });
    // Bytes and halves that go nowhere are asked for early.
    let hints = load && field(word, 12, 4) == 15 && !size.is_empty();
    let plain = bit(23) || base == 15 || !bit(11) || (bit(10) && !bit(9) && !bit(8));
    if hints && plain {
        name = match (bit(24), size) {
            (true, _) => "PLI",
            (_, "H") => "PLDW",
            _ => "PLD",
        }
        .into();
    }
    let mut operands = if hints && plain {
        Vec::new()
    } else {
        regs(word, [12])
    };
    let wide = if hints && plain { "" } else { ".W" };
    if base == 15 || bit(23) {
        let up = base != 15 || bit(23);
        let offset = field(word, 0, 12).into();
        operands.extend(place(REGISTERS[base as usize], offset, up, true, false));
        return line(format!("{name}{c}{wide}"), operands);
    }
    if !bit(11) {
        if field(word, 6, 5) != 0 {
            return None;
        }
        let index = match field(word, 4, 2) {
            0 => reg(word, 0),
            amount => format!("{},LSL#{amount}", reg(word, 0)),
        };
        operands.push(format!("[{},{index}]", reg(word, 16)));
        return line(format!("{name}{c}{wide}"), operands);
    }
    let offset = i64::from(field(word, 0, 8));
    let single = word & 0xffff_0fff;
    if single == 0xf84d_0d04 || single == 0xf85d_0b04 {
        let name = if load { "POP" } else { "PUSH" };
        return line(format!("{name}{c}.W"), vec![format!("{{{}}}", operands[0])]);
    }
    let (before, up, write) = (bit(10), bit(9), bit(8));
    if before && up && !write {
        operands.extend(place(&reg(word, 16), offset, true, true, false));
        return line(format!("{name}T{c}"), operands);
    }
    if !before && !write {
        return None;
    }
    operands.extend(place(&reg(word, 16), offset, up, before, write));
    line(format!("{name}{c}{wide}"), operands)
}

fn t32_registers(word: u32, c: &str) -> Option<Text> {
    let s = if field(word, 20, 1) == 1 { "S" } else { "" };
    let (op, second) = (field(word, 20, 4), field(word, 4, 4));
    if field(word, 12, 4) != 15 {
        return None;
    }
    if field(word, 23, 1) == 0 && second == 0 {
        let name = SHIFTS[field(word, 21, 2) as usize];
        return line(format!("{name}{s}{c}.W"), regs(word, [8, 16, 0]));
    }
    if field(word, 23, 1) == 0 && second >= 8 {
        let name = *["SXTH", "UXTH", "SXTB16", "UXTB16", "SXTB", "UXTB"].get(op as usize)?;
        let turn = rotation(second & 3);
        if field(word, 16, 4) == 15 {
            let wide = if op == 2 || op == 3 { "" } else { ".W" };
            return line(format!("{name}{c}{wide}"), with(regs(word, [8, 0]), turn));
        }
        let (sign, rest) = name.split_at(3);
        return line(
            format!("{sign}A{rest}{c}"),
            with(regs(word, [8, 16, 0]), turn),
        );
    }
    if field(word, 23, 1) == 1 && second < 8 {
        let prefix = parallel_prefix(match second {
            0..=2 | 4..=6 => second + 1,
            _ => 0,
        })?;
        let name = match op & 7 {
            0 => "ADD8",
            1 => "ADD16",
            2 => "ASX",
            4 => "SUB8",
            5 => "SUB16",
            6 => "SAX",
            _ => return None,
        };
        return line(format!("{prefix}{name}{c}"), regs(word, [8, 16, 0]));
    }
    let kind = second & 3;
    match op & 7 {
        0 => {
            let name = ["QADD", "QDADD", "QSUB", "QDSUB"][kind as usize];
            line(format!("{name}{c}"), regs(word, [8, 0, 16]))
        }
        1 => {
            let name = ["REV", "REV16", "RBIT", "REVSH"][kind as usize];
            let wide = if name == "RBIT" { "" } else { ".W" };
            line(format!("{name}{c}{wide}"), regs(word, [8, 0]))
        }
        2 => line(format!("SEL{c}"), regs(word, [8, 16, 0])),
        3 => line(format!("CLZ{c}"), regs(word, [8, 0])),
        4 | 5 if kind < 3 => {
            let castagnoli = if op & 7 == 5 { "C" } else { "" };
            let size = ["B", "H", "W"][kind as usize];
            line(format!("CRC32{castagnoli}{size}"), regs(word, [8, 16, 0]))
        }
        _ => None,
    }
}

fn t32_multiply(word: u32, c: &str) -> Option<Text> {
    let (op, second) = (field(word, 20, 4), field(word, 4, 4));
    let accumulates = field(word, 12, 4) != 15;
    let three = || regs(word, [8, 16, 0]);
    let four = || regs(word, [8, 16, 0, 12]);
    let either = || if accumulates { four() } else { three() };
    let long = || regs(word, [12, 8, 16, 0]);
    let half = |low| if field(word, low, 1) == 1 { "T" } else { "B" };
    let x = if second & 1 == 1 { "X" } else { "" };
    let r = if second & 1 == 1 { "R" } else { "" };
    let (name, operands) = match (op, second) {
        (0, 0) if accumulates => ("MLA".into(), four()),
        (0, 0) => ("MUL".into(), three()),
        (0, 1) => ("MLS".into(), four()),
        (1, 0..4) => {
            let name = if accumulates { "SMLA" } else { "SMUL" };
            (format!("{name}{}{}", half(5), half(4)), either())
        }
        (2 | 4, 0 | 1) => {
            let name = match (op, accumulates) {
                (2, true) => "SMLAD",
                (2, _) => "SMUAD",
                (_, true) => "SMLSD",
                _ => "SMUSD",
            };
            (format!("{name}{x}"), either())
        }
        (3, 0 | 1) => {
            let name = if accumulates { "SMLAW" } else { "SMULW" };
            (format!("{name}{}", half(4)), either())
        }
        (5, 0 | 1) => {
            let name = if accumulates { "SMMLA" } else { "SMMUL" };
            (format!("{name}{r}"), either())
        }
        (6, 0 | 1) => (format!("SMMLS{r}"), four()),
        (7, 0) if accumulates => ("USADA8".into(), four()),
        (7, 0) => ("USAD8".into(), three()),
        (8, 0) => ("SMULL".into(), long()),
        (9, 15) => ("SDIV".into(), three()),
        (10, 0) => ("UMULL".into(), long()),
        (11, 15) => ("UDIV".into(), three()),
        (12, 0) => ("SMLAL".into(), long()),
        (12, 8..12) => (format!("SMLAL{}{}", half(5), half(4)), long()),
        (12, 12 | 13) => (format!("SMLALD{x}"), long()),
        (13, 12 | 13) => (format!("SMLSLD{x}"), long()),
        (14, 0) => ("UMLAL".into(), long()),
        (14, 6) => ("UMAAL".into(), long()),
        _ => return None,
    };
    line(format!("{name}{c}"), operands)
}

/// Eight bits as a floating-point number of the instructions that load one.
pub(super) fn small_float(bits: u32) -> f64 {
    let exponent = field(bits, 4, 2) as i32;
    let exponent = if bits & 0x40 == 0 {
        exponent + 1
    } else {
        exponent - 3
    };
    let value = f64::from(16 + (bits & 15)) / 16.0 * 2f64.powi(exponent);
    if bits & 0x80 == 0 { value } else { -value }
}
