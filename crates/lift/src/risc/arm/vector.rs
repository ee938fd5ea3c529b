//! Mnemonics and operands of floating point and vectors (VFP, Advanced SIMD), by
//! their encodings in A32; those in T32 differ in the first bits only.

use super::text::{line, number, place, reg, small_float};
use super::{Text, field};

/// The register of one word or two whose number is in four bits from `low` and
/// in bit `more`.
fn single(word: u32, low: u32, more: u32) -> String {
    format!("S{}", field(word, low, 4) << 1 | field(word, more, 1))
}

fn double(word: u32, low: u32, more: u32) -> String {
    format!("D{}", field(word, more, 1) << 4 | field(word, low, 4))
}

/// The same of a vector, which is twice as long where `long`.
fn vector(word: u32, low: u32, more: u32, long: bool) -> String {
    match long {
        true => format!(
            "Q{}",
            (field(word, more, 1) << 4 | field(word, low, 4)) >> 1
        ),
        false => double(word, low, more),
    }
}

fn float(value: f64) -> String {
    let text = format!("{value}");
    let point = if text.contains('.') { "" } else { ".0" };
    format!("#{text}{point}")
}

/// Floating point, and what moves it to memory and to other registers.
pub(super) fn floating(word: u32, c: &str) -> Option<Text> {
    let is = |mask: u32, value: u32| word & mask == value;
    let bit = |low| field(word, low, 1) == 1;
    let wide = bit(8);
    let register = |low, more| match wide {
        true => double(word, low, more),
        false => single(word, low, more),
    };
    if is(0x0f00_0010, 0x0e00_0000) {
        return arithmetic(word, c);
    }
    if is(0x0f00_0010, 0x0e00_0010) {
        return transfer(word, c);
    }
    if is(0x0fe0_0ed0, 0x0c40_0a10) {
        let pair = match wide {
            true => vec![double(word, 0, 5)],
            false => {
                let first = field(word, 0, 4) << 1 | field(word, 5, 1);
                vec![format!("S{first}"), format!("S{}", first + 1)]
            }
        };
        let core = vec![reg(word, 12), reg(word, 16)];
        let operands = match bit(20) {
            true => [core, pair].concat(),
            false => [pair, core].concat(),
        };
        return line(format!("VMOV{c}"), operands);
    }
    if is(0x0f20_0000, 0x0d00_0000) {
        let name = if bit(20) { "VLDR" } else { "VSTR" };
        let mut operands = vec![register(12, 22)];
        let offset = i64::from(field(word, 0, 8)) * 4;
        operands.extend(place(&reg(word, 16), offset, bit(23), true, false));
        return line(format!("{name}{c}"), operands);
    }
    if !is(0x0e00_0000, 0x0c00_0000) {
        return None;
    }
    let count = match wide {
        true => field(word, 0, 8) / 2,
        false => field(word, 0, 8),
    };
    let first = match wide {
        true => field(word, 22, 1) << 4 | field(word, 12, 4),
        false => field(word, 12, 4) << 1 | field(word, 22, 1),
    };
    let letter = if wide { "D" } else { "S" };
    let list = match count {
        0 => return None,
        1 => format!("{{{letter}{first}}}"),
        _ => format!("{{{letter}{first}-{letter}{}}}", first + count - 1),
    };
    if is(0x0fff_0000, 0x0d2d_0000) {
        return line(format!("VPUSH{c}"), vec![list]);
    }
    if is(0x0fff_0000, 0x0cbd_0000) {
        return line(format!("VPOP{c}"), vec![list]);
    }
    let kind = match (bit(24), bit(23), bit(21)) {
        (false, true, _) => "IA",
        (true, false, true) => "DB",
        _ => return None,
    };
    let name = if bit(20) { "VLDM" } else { "VSTM" };
    let base = reg(word, 16) + if bit(21) { "!" } else { "" };
    line(format!("{name}{kind}{c}"), vec![base, list])
}

fn arithmetic(word: u32, c: &str) -> Option<Text> {
    let bit = |low| field(word, low, 1) == 1;
    let wide = bit(8);
    let size = if wide { "F64" } else { "F32" };
    let register = |low, more, wide: bool| match wide {
        true => double(word, low, more),
        false => single(word, low, more),
    };
    let (to, second) = (register(12, 22, wide), register(0, 5, wide));
    let opcode = field(word, 23, 1) << 2 | field(word, 20, 2);
    // Those of the eighth version of the architecture have no condition.
    if word >> 28 == 15 {
        let first = register(16, 7, wide);
        if opcode & 4 == 0 {
            let name = ["VSELEQ", "VSELVS", "VSELGE", "VSELGT"][field(word, 20, 2) as usize];
            return line(format!("{name}.{size}"), vec![to, first, second]);
        }
        if opcode == 4 {
            let name = if bit(6) { "VMINNM" } else { "VMAXNM" };
            return line(format!("{name}.{size}"), vec![to, first, second]);
        }
        let rounding = ["A", "N", "P", "M"][field(word, 16, 2) as usize];
        if field(word, 18, 2) == 2 {
            return line(format!("VRINT{rounding}.{size}"), vec![to, second]);
        }
        let sign = if bit(7) { "S32" } else { "U32" };
        let to = single(word, 12, 22);
        return line(format!("VCVT{rounding}.{sign}.{size}"), vec![to, second]);
    }
    if opcode != 7 {
        let name = match (opcode, bit(6)) {
            (0, false) => "VMLA",
            (0, true) => "VMLS",
            (1, false) => "VNMLS",
            (1, true) => "VNMLA",
            (2, false) => "VMUL",
            (2, true) => "VNMUL",
            (3, false) => "VADD",
            (3, true) => "VSUB",
            (4, false) => "VDIV",
            (5, false) => "VFNMS",
            (5, true) => "VFNMA",
            (6, false) => "VFMA",
            (6, true) => "VFMS",
            _ => return None,
        };
        let operands = vec![to, register(16, 7, wide), second];
        return line(format!("{name}{c}.{size}"), operands);
    }
    if !bit(6) {
        let value = small_float(field(word, 16, 4) << 4 | field(word, 0, 4));
        return line(format!("VMOV{c}.{size}"), vec![to, float(value)]);
    }
    let upper = bit(7);
    let two = |name: &str| {
        line(
            format!("{name}{c}.{size}"),
            vec![to.clone(), second.clone()],
        )
    };
    match (field(word, 16, 4), upper) {
        (0, false) => two("VMOV"),
        (0, true) => two("VABS"),
        (1, false) => two("VNEG"),
        (1, true) => two("VSQRT"),
        (2 | 3, _) => {
            let name = if upper { "VCVTT" } else { "VCVTB" };
            let (types, to, from) = match bit(16) {
                false => (
                    format!("{size}.F16"),
                    register(12, 22, wide),
                    single(word, 0, 5),
                ),
                true => (
                    format!("F16.{size}"),
                    single(word, 12, 22),
                    register(0, 5, wide),
                ),
            };
            line(format!("{name}{c}.{types}"), vec![to, from])
        }
        (4, false) => two("VCMP"),
        (4, true) => two("VCMPE"),
        (5, _) => {
            let name = if upper { "VCMPE" } else { "VCMP" };
            line(format!("{name}{c}.{size}"), vec![to, "#0.0".into()])
        }
        (6, false) => two("VRINTR"),
        (6, true) => two("VRINTZ"),
        (7, false) => two("VRINTX"),
        (7, true) => {
            let types = if wide { "F32.F64" } else { "F64.F32" };
            let operands = vec![register(12, 22, !wide), second];
            line(format!("VCVT{c}.{types}"), operands)
        }
        (8, _) => {
            let sign = if upper { "S32" } else { "U32" };
            let operands = vec![to, single(word, 0, 5)];
            line(format!("VCVT{c}.{size}.{sign}"), operands)
        }
        (12 | 13, _) => {
            let sign = if bit(16) { "S32" } else { "U32" };
            let name = if upper { "VCVT" } else { "VCVTR" };
            let operands = vec![single(word, 12, 22), second];
            line(format!("{name}{c}.{sign}.{size}"), operands)
        }
        (10 | 11 | 14 | 15, _) => {
            let kind = if bit(16) { "U" } else { "S" };
            let bits = if upper { 32 } else { 16 };
            let fraction = bits - (field(word, 0, 4) << 1 | field(word, 5, 1)) as i32;
            let types = match bit(18) {
                true => format!("{kind}{bits}.{size}"),
                false => format!("{size}.{kind}{bits}"),
            };
            let operands = vec![to.clone(), to, number(fraction)];
            line(format!("VCVT{c}.{types}"), operands)
        }
        _ => None,
    }
}

/// Between these registers and the others.
fn transfer(word: u32, c: &str) -> Option<Text> {
    let bit = |low| field(word, low, 1) == 1;
    let core = reg(word, 12);
    let order = |first: String| match bit(20) {
        true => vec![core.clone(), first],
        false => vec![first, core.clone()],
    };
    if !bit(8) {
        return match field(word, 21, 3) {
            0 => line(format!("VMOV{c}"), order(single(word, 16, 7))),
            7 => {
                let name = if bit(20) { "VMRS" } else { "VMSR" };
                let status = match field(word, 16, 4) {
                    0 => "FPSID",
                    1 => "FPSCR",
                    6 => "MVFR1",
                    7 => "MVFR0",
                    8 => "FPEXC",
                    _ => return None,
                };
                let mut operands = order(status.into());
                if bit(20) && core == "PC" {
                    operands[0] = "APSR_nzcv".into();
                }
                line(format!("{name}{c}"), operands)
            }
            _ => None,
        };
    }
    if bit(23) && !bit(20) {
        let size = match (bit(22), bit(5)) {
            (false, false) => "32",
            (false, true) => "16",
            (true, false) => "8",
            _ => return None,
        };
        let to = vector(word, 16, 7, bit(21));
        return line(format!("VDUP{c}.{size}"), vec![to, core]);
    }
    let where_ = field(word, 21, 2) << 2 | field(word, 5, 2);
    let sign = match (bit(20), bit(23)) {
        (true, true) => "U",
        (true, false) => "S",
        _ => "",
    };
    let (size, lane) = match where_ {
        8.. => (format!("{sign}8"), where_ & 7),
        _ if where_ & 1 == 1 => (format!("{sign}16"), where_ >> 1 & 3),
        _ if where_ & 3 == 0 => ("32".to_owned(), where_ >> 2),
        _ => return None,
    };
    let lane = format!("{}[{lane}]", double(word, 16, 7));
    line(format!("VMOV{c}.{size}"), order(lane))
}

/// Advanced SIMD, but for what reads and writes memory.
pub(super) fn vectors(word: u32) -> Option<Text> {
    let bit = |low| field(word, low, 1) == 1;
    if !bit(23) {
        return same_length(word);
    }
    if bit(4) {
        return match field(word, 19, 3) {
            0 if !bit(7) => immediate(word),
            _ => by_number(word),
        };
    }
    if field(word, 20, 2) == 3 {
        if !bit(24) {
            let long = bit(6);
            let operands = vec![
                vector(word, 12, 22, long),
                vector(word, 16, 7, long),
                vector(word, 0, 5, long),
                number(field(word, 8, 4)),
            ];
            return line("VEXT.8", operands);
        }
        return two_registers(word);
    }
    match bit(6) {
        true => by_lane(word),
        false => other_length(word),
    }
}

/// `S16`, `U16`, `I16`, `16` and their like.
fn typed(letter: &str, size: u32) -> String {
    format!("{letter}{}", 8 << size)
}

fn same_length(word: u32) -> Option<Text> {
    let (unsigned, size) = (field(word, 24, 1), field(word, 20, 2));
    let b = field(word, 4, 1);
    let long = field(word, 6, 1) == 1;
    let sign = if unsigned == 1 { "U" } else { "S" };
    let three = || {
        vec![
            vector(word, 12, 22, long),
            vector(word, 16, 7, long),
            vector(word, 0, 5, long),
        ]
    };
    let turned = || {
        vec![
            vector(word, 12, 22, long),
            vector(word, 0, 5, long),
            vector(word, 16, 7, long),
        ]
    };
    let with = |name: &str, letter: &str| line(format!("{name}.{}", typed(letter, size)), three());
    let float = |name: &str| line(format!("{name}.F32"), three());
    let upper = size >= 2;
    match (field(word, 8, 4), b, unsigned) {
        (0, 0, _) => with("VHADD", sign),
        (0, 1, _) => with("VQADD", sign),
        (1, 0, _) => with("VRHADD", sign),
        (1, 1, 0) => match size {
            2 if three()[1] == three()[2] => line("VMOV", three()[..2].to_vec()),
            size => line(["VAND", "VBIC", "VORR", "VORN"][size as usize], three()),
        },
        (1, ..) => line(["VEOR", "VBSL", "VBIT", "VBIF"][size as usize], three()),
        (2, 0, _) => with("VHSUB", sign),
        (2, 1, _) => with("VQSUB", sign),
        (3, 0, _) => with("VCGT", sign),
        (3, 1, _) => with("VCGE", sign),
        (4 | 5, ..) => {
            let name = match (field(word, 8, 4), b) {
                (4, 0) => "VSHL",
                (4, _) => "VQSHL",
                (_, 0) => "VRSHL",
                _ => "VQRSHL",
            };
            line(format!("{name}.{}", typed(sign, size)), turned())
        }
        (6, 0, _) => with("VMAX", sign),
        (6, 1, _) => with("VMIN", sign),
        (7, 0, _) => with("VABD", sign),
        (7, 1, _) => with("VABA", sign),
        (8, 0, 0) => with("VADD", "I"),
        (8, 0, _) => with("VSUB", "I"),
        (8, 1, 0) => with("VTST", ""),
        (8, 1, _) => with("VCEQ", "I"),
        (9, 0, 0) => with("VMLA", "I"),
        (9, 0, _) => with("VMLS", "I"),
        (9, 1, 0) => with("VMUL", "I"),
        (9, 1, _) => with("VMUL", "P"),
        (10, 0, _) => with("VPMAX", sign),
        (10, 1, _) => with("VPMIN", sign),
        (11, 0, 0) => with("VQDMULH", "S"),
        (11, 0, _) => with("VQRDMULH", "S"),
        (11, 1, 0) => with("VPADD", "I"),
        (12, 1, 0) => float(if upper { "VFMS" } else { "VFMA" }),
        (13, 0, 0) => float(if upper { "VSUB" } else { "VADD" }),
        (13, 0, _) => float(if upper { "VABD" } else { "VPADD" }),
        (13, 1, 0) => float(if upper { "VMLS" } else { "VMLA" }),
        (13, 1, _) => float("VMUL"),
        (14, 0, 0) => float("VCEQ"),
        (14, 0, _) => float(if upper { "VCGT" } else { "VCGE" }),
        (14, 1, 1) => float(if upper { "VACGT" } else { "VACGE" }),
        (15, 0, 0) => float(if upper { "VMIN" } else { "VMAX" }),
        (15, 0, _) => float(if upper { "VPMIN" } else { "VPMAX" }),
        (15, 1, 0) => float(if upper { "VRSQRTS" } else { "VRECPS" }),
        (15, 1, _) => float(if upper { "VMINNM" } else { "VMAXNM" }),
        _ => None,
    }
}

/// A number in every lane.
fn immediate(word: u32) -> Option<Text> {
    let value = field(word, 24, 1) << 7 | field(word, 16, 3) << 4 | field(word, 0, 4);
    let kind = field(word, 8, 4);
    let op = field(word, 5, 1);
    let to = vector(word, 12, 22, field(word, 6, 1) == 1);
    let (size, value) = match kind {
        0..8 => ("I32", value << (8 * (kind >> 1))),
        8..12 => ("I16", value << (8 * (kind >> 1 & 1))),
        12 => ("I32", value << 8 | 0xff),
        13 => ("I32", value << 16 | 0xffff),
        14 if op == 0 => ("I8", value),
        14 => {
            let bytes: u64 = (0..8)
                .filter(|at| value >> at & 1 == 1)
                .map(|at| 0xff << (8 * at))
                .sum();
            return line("VMOV.I64", vec![to, format!("#0x{bytes:X}")]);
        }
        _ if op == 0 => return line("VMOV.F32", vec![to, float(small_float(value))]),
        _ => return None,
    };
    let logical = kind & 1 == 1 && kind < 12;
    let name = match (logical, op) {
        (true, 0) => "VORR",
        (true, _) => "VBIC",
        (false, 1) if kind != 14 => "VMVN",
        _ => "VMOV",
    };
    line(format!("{name}.{size}"), vec![to, number(value)])
}

/// Shifts by a number, and conversions of fixed point.
fn by_number(word: u32) -> Option<Text> {
    let (unsigned, lane) = (field(word, 24, 1), field(word, 7, 1));
    let bits = lane << 6 | field(word, 16, 6);
    let size = match bits {
        64.. => 3,
        32.. => 2,
        16.. => 1,
        8.. => 0,
        _ => return None,
    };
    let long = field(word, 6, 1) == 1;
    let sign = if unsigned == 1 { "U" } else { "S" };
    let wide = 8u32 << size;
    let left = bits.wrapping_sub(wide) & 63;
    let right = (2 * wide).wrapping_sub(bits);
    let two = || vec![vector(word, 12, 22, long), vector(word, 0, 5, long)];
    let shifted = |name: &str, letter: &str, by: u32| {
        let operands = [two(), vec![number(by)]].concat();
        line(format!("{name}.{}", typed(letter, size)), operands)
    };
    // To lanes of half the width.
    let narrow = |name: &str, letter: &str| {
        let operands = vec![
            double(word, 12, 22),
            vector(word, 0, 5, true),
            number(right),
        ];
        line(format!("{name}.{}", typed(letter, size + 1)), operands)
    };
    match (field(word, 8, 4), unsigned) {
        (0, _) => shifted("VSHR", sign, right),
        (1, _) => shifted("VSRA", sign, right),
        (2, _) => shifted("VRSHR", sign, right),
        (3, _) => shifted("VRSRA", sign, right),
        (4, 1) => shifted("VSRI", "", right),
        (5, 0) => shifted("VSHL", "I", left),
        (5, _) => shifted("VSLI", "", left),
        (6, 1) => shifted("VQSHLU", "S", left),
        (7, _) => shifted("VQSHL", sign, left),
        (8, 0) if !long => narrow("VSHRN", "I"),
        (8, 0) => narrow("VRSHRN", "I"),
        (8, _) => narrow(if long { "VQRSHRUN" } else { "VQSHRUN" }, "S"),
        (9, _) => narrow(if long { "VQRSHRN" } else { "VQSHRN" }, sign),
        (10, _) => {
            let mut operands = vec![vector(word, 12, 22, true), double(word, 0, 5)];
            if left == 0 {
                return line(format!("VMOVL.{}", typed(sign, size)), operands);
            }
            operands.push(number(left));
            line(format!("VSHLL.{}", typed(sign, size)), operands)
        }
        (14 | 15, _) => {
            let types = match field(word, 8, 1) {
                0 => format!("F32.{sign}32"),
                _ => format!("{sign}32.F32"),
            };
            let fraction = 64u32.checked_sub(bits)?;
            let operands = [two(), vec![number(fraction)]].concat();
            line(format!("VCVT.{types}"), operands)
        }
        _ => None,
    }
}

fn two_registers(word: u32) -> Option<Text> {
    let bit = |low| field(word, low, 1) == 1;
    let long = bit(6);
    let size = field(word, 18, 2);
    let two = || vec![vector(word, 12, 22, long), vector(word, 0, 5, long)];
    if field(word, 10, 2) == 2 {
        let first = field(word, 7, 1) << 4 | field(word, 16, 4);
        let last = first + field(word, 8, 2);
        let list = match last == first {
            true => format!("{{D{first}}}"),
            false => format!("{{D{first}-D{last}}}"),
        };
        let name = if long { "VTBX.8" } else { "VTBL.8" };
        return line(name, vec![double(word, 12, 22), list, double(word, 0, 5)]);
    }
    if field(word, 7, 5) == 24 {
        let where_ = field(word, 16, 4);
        let size = where_.trailing_zeros().min(3);
        if size > 2 {
            return None;
        }
        let lane = where_ >> (size + 1);
        let operands = vec![
            vector(word, 12, 22, long),
            format!("{}[{lane}]", double(word, 0, 5)),
        ];
        return line(format!("VDUP.{}", typed("", size)), operands);
    }
    if bit(11) {
        return None;
    }
    let with = |name: &str, letter: &str| line(format!("{name}.{}", typed(letter, size)), two());
    let narrow = |name: &str, letter: &str| {
        let operands = vec![double(word, 12, 22), vector(word, 0, 5, true)];
        line(format!("{name}.{}", typed(letter, size + 1)), operands)
    };
    let zero = |name: &str| {
        let letter = match (bit(10), name) {
            (true, _) => "F",
            (_, "VCEQ") => "I",
            _ => "S",
        };
        let operands = [two(), vec!["#0".into()]].concat();
        line(format!("{name}.{}", typed(letter, size)), operands)
    };
    let sign = if bit(7) { "U" } else { "S" };
    match (field(word, 16, 2), field(word, 7, 4)) {
        (0, 0) => with("VREV64", ""),
        (0, 1) => with("VREV32", ""),
        (0, 2) => with("VREV16", ""),
        (0, 4 | 5) => with("VPADDL", sign),
        (0, 8) => with("VCLS", "S"),
        (0, 9) => with("VCLZ", "I"),
        (0, 10) => with("VCNT", ""),
        (0, 11) => line("VMVN", two()),
        (0, 12 | 13) => with("VPADAL", sign),
        (0, 14) => with("VQABS", "S"),
        (0, 15) => with("VQNEG", "S"),
        (1, kind) => match kind & 7 {
            0 => zero("VCGT"),
            1 => zero("VCGE"),
            2 => zero("VCEQ"),
            3 => zero("VCLE"),
            4 => zero("VCLT"),
            6 => with("VABS", if bit(10) { "F" } else { "S" }),
            7 => with("VNEG", if bit(10) { "F" } else { "S" }),
            _ => None,
        },
        (2, 0) => line("VSWP", two()),
        (2, 1) => with("VTRN", ""),
        (2, 2) => with("VUZP", ""),
        (2, 3) => with("VZIP", ""),
        (2, 4) if !long => narrow("VMOVN", "I"),
        (2, 4) => narrow("VQMOVUN", "S"),
        (2, 5) => narrow("VQMOVN", if long { "U" } else { "S" }),
        (2, 6) => {
            let operands = vec![
                vector(word, 12, 22, true),
                double(word, 0, 5),
                number(8i64 << size),
            ];
            line(format!("VSHLL.{}", typed("I", size)), operands)
        }
        (3, 8 | 10) => line(if bit(8) { "VRECPE.F32" } else { "VRECPE.U32" }, two()),
        (3, 9 | 11) => line(if bit(8) { "VRSQRTE.F32" } else { "VRSQRTE.U32" }, two()),
        (3, kind @ 12..) => {
            let types = ["F32.S32", "F32.U32", "S32.F32", "U32.F32"][(kind & 3) as usize];
            line(format!("VCVT.{types}"), two())
        }
        _ => None,
    }
}

/// Results that are longer than their operands, or shorter.
fn other_length(word: u32) -> Option<Text> {
    let (unsigned, size) = (field(word, 24, 1) == 1, field(word, 20, 2));
    let sign = if unsigned { "U" } else { "S" };
    let (long, wide, narrow) = (
        (true, false, false),
        (true, true, false),
        (false, true, true),
    );
    let (name, letter, lengths, size) = match (field(word, 8, 4), unsigned) {
        (0, _) => ("VADDL", sign, long, size),
        (1, _) => ("VADDW", sign, wide, size),
        (2, _) => ("VSUBL", sign, long, size),
        (3, _) => ("VSUBW", sign, wide, size),
        (4, false) => ("VADDHN", "I", narrow, size + 1),
        (4, true) => ("VRADDHN", "I", narrow, size + 1),
        (5, _) => ("VABAL", sign, long, size),
        (6, false) => ("VSUBHN", "I", narrow, size + 1),
        (6, true) => ("VRSUBHN", "I", narrow, size + 1),
        (7, _) => ("VABDL", sign, long, size),
        (8, _) => ("VMLAL", sign, long, size),
        (9, false) => ("VQDMLAL", "S", long, size),
        (10, _) => ("VMLSL", sign, long, size),
        (11, false) => ("VQDMLSL", "S", long, size),
        (12, _) => ("VMULL", sign, long, size),
        (13, false) => ("VQDMULL", "S", long, size),
        (14, false) => ("VMULL", "P", long, size),
        _ => return None,
    };
    let operands = vec![
        vector(word, 12, 22, lengths.0),
        vector(word, 16, 7, lengths.1),
        vector(word, 0, 5, lengths.2),
    ];
    line(format!("{name}.{}", typed(letter, size)), operands)
}

/// By one lane of a register.
fn by_lane(word: u32) -> Option<Text> {
    let (long, size) = (field(word, 24, 1) == 1, field(word, 20, 2));
    let sign = if long { "U" } else { "S" };
    let (lane, register) = match size {
        1 => (
            field(word, 5, 1) << 1 | field(word, 3, 1),
            field(word, 0, 3),
        ),
        2 => (field(word, 5, 1), field(word, 0, 4)),
        _ => return None,
    };
    let kind = field(word, 8, 4);
    let (name, letter) = match kind {
        0 => ("VMLA", "I"),
        1 => ("VMLA", "F"),
        2 => ("VMLAL", sign),
        3 => ("VQDMLAL", "S"),
        4 => ("VMLS", "I"),
        5 => ("VMLS", "F"),
        6 => ("VMLSL", sign),
        7 => ("VQDMLSL", "S"),
        8 => ("VMUL", "I"),
        9 => ("VMUL", "F"),
        10 => ("VMULL", sign),
        11 => ("VQDMULL", "S"),
        12 => ("VQDMULH", "S"),
        13 => ("VQRDMULH", "S"),
        _ => return None,
    };
    let (to, from) = match kind {
        2 | 3 | 6 | 7 | 10 | 11 => (true, false),
        _ => (long, long),
    };
    let operands = vec![
        vector(word, 12, 22, to),
        vector(word, 16, 7, from),
        format!("D{register}[{lane}]"),
    ];
    line(format!("{name}.{}", typed(letter, size)), operands)
}

/// Vectors from memory and to it.
pub(super) fn memory(word: u32) -> Option<Text> {
    let load = field(word, 21, 1) == 1;
    let first = field(word, 22, 1) << 4 | field(word, 12, 4);
    let kind = field(word, 8, 4);
    let name = if load { "VLD" } else { "VST" };
    let registers = |count: u32, step: u32, lane: &str| {
        let parts: Vec<String> = (0..count)
            .map(|at| format!("D{}{lane}", (first + at * step) & 31))
            .collect();
        match (step, lane) {
            (1, "") if count > 1 => format!("{{D{first}-D{}}}", (first + count - 1) & 31),
            _ => format!("{{{}}}", parts.join(",")),
        }
    };
    let (count, size, list, align) = if field(word, 23, 1) == 0 {
        let (count, registers) = match kind {
            7 => (1, registers(1, 1, "")),
            10 => (1, registers(2, 1, "")),
            6 => (1, registers(3, 1, "")),
            2 => (1, registers(4, 1, "")),
            8 => (2, registers(2, 1, "")),
            9 => (2, registers(2, 2, "")),
            3 => (2, registers(4, 1, "")),
            4 => (3, registers(3, 1, "")),
            5 => (3, registers(3, 2, "")),
            0 => (4, registers(4, 1, "")),
            1 => (4, registers(4, 2, "")),
            _ => return None,
        };
        let align = match field(word, 4, 2) {
            0 => 0,
            kind => 32 << kind,
        };
        (count, field(word, 6, 2), registers, align)
    } else {
        let count = (kind & 3) + 1;
        if kind >= 12 {
            let step = match count {
                1 => 1,
                _ => 1 + field(word, 5, 1),
            };
            let more = if count == 1 { field(word, 5, 1) } else { 0 };
            let list = registers(count + more, step, "[]");
            let size = field(word, 6, 2);
            let align = match field(word, 4, 1) {
                0 => 0,
                _ => (8 << size) * count,
            };
            (count, size.min(2), list, align)
        } else {
            let size = kind >> 2;
            let where_ = field(word, 4, 4);
            let lane = where_ >> (size + 1);
            let step = match size {
                1 => 1 + (where_ >> 1 & 1),
                2 => 1 + (where_ >> 2 & 1),
                _ => 1,
            };
            let list = registers(
                count,
                if count == 1 { 1 } else { step },
                &format!("[{lane}]"),
            );
            let align = match (count, size, where_) {
                (1, 1, w) if w & 1 == 1 => 16,
                (1, 2, w) if w & 3 == 3 => 32,
                (2, 0, w) if w & 1 == 1 => 16,
                (2, 1, w) if w & 1 == 1 => 32,
                (2, 2, w) if w & 1 == 1 => 64,
                (4, 0, w) if w & 1 == 1 => 32,
                (4, 1, w) if w & 1 == 1 => 64,
                (4, 2, w) if w & 3 != 0 => 32 << (w & 3),
                _ => 0,
            };
            (count, size, list, align)
        }
    };
    let align = match align {
        0 => String::new(),
        bits => format!(":{bits}"),
    };
    let base = reg(word, 16);
    let mut operands = vec![list];
    match field(word, 0, 4) {
        15 => operands.push(format!("[{base}{align}]")),
        13 => operands.push(format!("[{base}{align}]!")),
        _ => operands.extend([format!("[{base}{align}]"), reg(word, 0)]),
    }
    line(format!("{name}{count}.{}", 8 << size), operands)
}
