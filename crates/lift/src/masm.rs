//! Instructions of x86 as MASM writes them.
//!
//! The words are those of `iced-x86`'s formatter. It looks up how to write an
//! instruction anew for each of its operands, which was half of the time of a
//! listing; here that is remembered by opcode, and what most operands look like
//! is written at once. The tests compare both over random code.

use iced_x86::{
    CC_ae, CC_e, CC_ne, EncodingKind, Formatter, Instruction, MasmFormatter, Mnemonic, OpKind,
    Register,
};

use crate::pen::{Pen, Sink, Word, number};

/// Number of opcodes that there may be; asserted by a test.
const CODES: usize = 5000;
/// Operands of an instruction that is remembered.
const OPERANDS: usize = 4;

/// A formatter that remembers.
pub(crate) struct Masm {
    formatter: MasmFormatter,
    /// The number of the form of each opcode, or [`UNKNOWN`].
    numbers: Vec<u16>,
    /// Those that were met.
    forms: Vec<Form>,
    /// Names of registers by their numbers, empty where they are not always
    /// written alike.
    registers: Vec<Word>,
}

/// How an opcode is written, as far as that is the same for all its
/// instructions.
#[derive(Debug, Clone, Copy, Default)]
struct Form {
    count: u8,
    /// Which operand of the decoder each is; [`NONE`] where it has none.
    natives: [u8; OPERANDS],
    /// With the space behind it.
    mnemonic: Word,
    /// The width before a place in memory with the bracket, once it was needed.
    width: Option<Word>,
}

const NONE: u8 = u8::MAX;

/// Which operand of an instruction is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// As [`Masm::form`] says.
    pub(crate) form: Option<FormId>,
    /// As it is written.
    pub(crate) operand: u32,
    /// As [`Masm::native`] says.
    pub(crate) native: Option<u32>,
}

/// The number of a [`Form`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormId(u16);

/// Of an opcode that was not met.
const UNKNOWN: u16 = 0;
/// Of one whose instructions are written in several ways.
const VARIES: u16 = u16::MAX;

impl Default for Masm {
    fn default() -> Masm {
        let mut formatter = MasmFormatter::new();
        let options = formatter.options_mut();
        options.set_space_after_operand_separator(true);
        options.set_cc_e(CC_e::z);
        options.set_cc_ne(CC_ne::nz);
        options.set_cc_ae(CC_ae::nb);
        options.set_uppercase_hex(true);
        options.set_add_leading_zero_to_hex_numbers(true);
        options.set_small_hex_numbers_in_decimal(true);
        let mut masm = Masm {
            formatter,
            numbers: vec![UNKNOWN; CODES],
            // The first number is of none.
            forms: vec![Form::default()],
            registers: Vec::new(),
        };
        for register in Register::values() {
            let plain = register.is_gpr() || register.is_xmm() || register.is_ymm();
            let name = masm.formatter.format_register(register);
            let name = if plain { name } else { "" };
            masm.registers.push(Word::of(name));
        }
        masm
    }
}

impl Masm {
    /// Writes the mnemonic and, where operands follow, the space before them;
    /// returns how many do. IDA writes `retn`.
    #[inline]
    pub(crate) fn mnemonic(
        &mut self,
        form: Option<FormId>,
        instruction: &Instruction,
        out: &mut Pen,
    ) -> u32 {
        match form {
            Some(form) => {
                let form = &self.forms[usize::from(form.0)];
                out.word(&form.mnemonic);
                form.count.into()
            }
            None => {
                let start = out.len();
                self.formatter.format_mnemonic(instruction, out);
                let count = self.formatter.operand_count(instruction);
                finish_mnemonic(out, start, count);
                count
            }
        }
    }

    /// Which operand of the decoder the one that is written at `operand` is.
    #[inline]
    pub(crate) fn native(
        &mut self,
        form: Option<FormId>,
        instruction: &Instruction,
        operand: u32,
    ) -> Option<u32> {
        match form {
            Some(form) => self.forms[usize::from(form.0)]
                .natives
                .get(operand as usize)
                .filter(|&&native| native != NONE)
                .map(|&native| native.into()),
            None => self
                .formatter
                .get_instruction_operand(instruction, operand)
                .ok()
                .flatten(),
        }
    }

    /// Writes an operand without names.
    #[inline]
    pub(crate) fn operand(&mut self, instruction: &Instruction, place: Place, out: &mut Pen) {
        if let Some(form) = place.form
            && let Some(native) = place.native
        {
            match instruction.op_kind(native) {
                OpKind::Register => {
                    let name = &self.registers[instruction.op_register(native) as usize];
                    if !name.is_empty() {
                        out.word(name);
                        return;
                    }
                }
                OpKind::Memory => {
                    if self.memory(instruction, form, place.operand, out) {
                        return;
                    }
                }
                kind => {
                    if let Some(bits) = immediate_bits(kind) {
                        let value = instruction.immediate(native);
                        number(out, value & (u64::MAX >> (64 - bits)));
                        return;
                    }
                }
            }
        }
        self.format(instruction, place.operand, out);
    }

    fn format(&mut self, instruction: &Instruction, operand: u32, out: &mut Pen) {
        // What has no such operand writes nothing.
        let _ = self.formatter.format_operand(instruction, out, operand);
    }

    /// Writes the name of a register.
    #[inline]
    pub(crate) fn register(&mut self, register: Register, out: &mut Pen) {
        let name = &self.registers[register as usize];
        if name.is_empty() {
            out.push_str(self.formatter.format_register(register));
        } else {
            out.word(name);
        }
    }

    /// `[base+index*scale+displacement]`, with the width before it. Returns
    /// false where the place is of another shape.
    fn memory(
        &mut self,
        instruction: &Instruction,
        form: FormId,
        operand: u32,
        out: &mut Pen,
    ) -> bool {
        const PLUS: Word = Word::of("+");
        const MINUS: Word = Word::of("-");
        const END: Word = Word::of("]");
        let (base, index) = (instruction.memory_base(), instruction.memory_index());
        let wide = if base.is_gpr64() {
            true
        } else if base.is_gpr32() {
            false
        } else {
            return false;
        };
        if !(index == Register::None || index.is_gpr()) {
            return false;
        }
        match &self.forms[usize::from(form.0)].width {
            Some(width) => out.word(width),
            None => self.width(instruction, form, operand, out),
        }
        out.word(&self.registers[base as usize]);
        if index != Register::None {
            out.word(&PLUS);
            out.word(&self.registers[index as usize]);
            match instruction.memory_index_scale() {
                2 => out.word(&const { Word::of("*2") }),
                4 => out.word(&const { Word::of("*4") }),
                8 => out.word(&const { Word::of("*8") }),
                _ => {}
            }
        }
        let displacement = match wide {
            false => i64::from(instruction.memory_displacement32() as i32),
            true => instruction.memory_displacement64() as i64,
        };
        if displacement != 0 {
            out.word(if displacement < 0 { &MINUS } else { &PLUS });
            number(out, displacement.unsigned_abs());
        }
        out.word(&END);
        true
    }

    /// Writes the width before a place in memory and the bracket, and remembers
    /// both where they are short enough.
    #[cold]
    fn width(&mut self, instruction: &Instruction, form: FormId, operand: u32, out: &mut Pen) {
        let mut pen = Pen::default();
        self.format(instruction, operand, &mut pen);
        let text = pen.finish();
        let width = format!("{}[", text.split('[').next().unwrap_or_default());
        self.forms[usize::from(form.0)].width = Word::fits(&width);
        out.push_str(&width);
    }

    /// How an instruction is written, if all of its opcode are written alike:
    /// neither prefixes nor numbers change the words.
    #[inline]
    pub(crate) fn form(&mut self, instruction: &Instruction) -> Option<FormId> {
        if instruction.has_lock_prefix()
            || instruction.has_rep_prefix()
            || instruction.has_repne_prefix()
            || instruction.segment_prefix() != Register::None
        {
            return None;
        }
        let at = instruction.code() as usize;
        let mut number = *self.numbers.get(at)?;
        if number == UNKNOWN {
            number = match self.learn(instruction) {
                Some(form) => {
                    self.forms.push(form);
                    // There are fewer than opcodes.
                    (self.forms.len() - 1) as u16
                }
                None => VARIES,
            };
            self.numbers[at] = number;
        }
        (number != VARIES).then_some(FormId(number))
    }

    #[cold]
    fn learn(&mut self, instruction: &Instruction) -> Option<Form> {
        let mnemonic = instruction.mnemonic();
        let pseudo = matches!(
            mnemonic,
            Mnemonic::Cmpps
                | Mnemonic::Cmppd
                | Mnemonic::Cmpss
                | Mnemonic::Cmpsd
                | Mnemonic::Pclmulqdq
                | Mnemonic::Vcmpps
                | Mnemonic::Vcmppd
                | Mnemonic::Vcmpss
                | Mnemonic::Vcmpsd
                | Mnemonic::Vpclmulqdq
        );
        // Some are written otherwise for some of their registers.
        let exchanges = matches!(
            mnemonic,
            Mnemonic::Nop
                | Mnemonic::Xchg
                | Mnemonic::Xlatb
                | Mnemonic::Imul
                | Mnemonic::Verr
                | Mnemonic::Verw
                | Mnemonic::Aad
                | Mnemonic::Aam
                | Mnemonic::Arpl
                | Mnemonic::Lldt
                | Mnemonic::Ltr
                | Mnemonic::Lmsw
                | Mnemonic::Lar
                | Mnemonic::Lsl
        );
        if !matches!(
            instruction.encoding(),
            EncodingKind::Legacy | EncodingKind::VEX
        ) || instruction.is_string_instruction()
            || instruction.is_invalid()
            || pseudo
            || exchanges
        {
            return None;
        }
        let mut pen = Pen::default();
        self.formatter.format_mnemonic(instruction, &mut pen);
        let count = self.formatter.operand_count(instruction);
        // The old floating point drops operands.
        if count as usize > OPERANDS || pen.since(0).starts_with(b"f") {
            return None;
        }
        let mut natives = [NONE; OPERANDS];
        for (operand, native) in (0..count).zip(&mut natives) {
            let found = self.formatter.get_instruction_operand(instruction, operand);
            *native = found.ok().flatten().map_or(NONE, |native| native as u8);
        }
        finish_mnemonic(&mut pen, 0, count);
        Some(Form {
            mnemonic: Word::fits(&pen.finish())?,
            count: count as u8,
            natives,
            width: None,
        })
    }
}

/// Bits of an immediate as it is written.
fn immediate_bits(kind: OpKind) -> Option<u32> {
    Some(match kind {
        OpKind::Immediate8 => 8,
        OpKind::Immediate16 | OpKind::Immediate8to16 => 16,
        OpKind::Immediate32 | OpKind::Immediate8to32 => 32,
        OpKind::Immediate64 | OpKind::Immediate8to64 | OpKind::Immediate32to64 => 64,
        _ => return None,
    })
}

/// Ends the mnemonic that begins at `start`.
fn finish_mnemonic(out: &mut Pen, start: usize, count: u32) {
    if out.since(start).ends_with(b"ret") {
        out.push_str("n");
    }
    if count > 0 {
        let padding = (start + 8).saturating_sub(out.len()).max(1);
        out.push_str(&"        "[..padding]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Code, Decoder, DecoderOptions};

    #[test]
    fn there_are_fewer_opcodes_than_forms() {
        let most = Code::values().map(|code| code as usize).max();
        assert!(most.is_some_and(|most| most < CODES), "{most:?}");
    }

    /// Whatever is remembered is what the formatter says, for every instruction
    /// of a million that begin at random bytes.
    #[test]
    fn what_is_remembered_is_what_the_formatter_writes() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = vec![0; 1 << 20];
        for byte in &mut bytes {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            *byte = (seed >> 32) as u8;
        }
        for bits in [64, 32] {
            let mut masm = Masm::default();
            let mut plain = Masm::default().formatter;
            let (mut ours, mut theirs) = (Pen::default(), Pen::default());
            let mut remembered = 0;
            for at in 0..bytes.len() - 16 {
                let window = &bytes[at..at + 16];
                let instruction =
                    Decoder::with_ip(bits, window, 0x40_1000, DecoderOptions::NONE).decode();
                if instruction.is_invalid() {
                    continue;
                }
                ours.truncate(0);
                theirs.truncate(0);
                let form = masm.form(&instruction);
                let count = masm.mnemonic(form, &instruction, &mut ours);
                plain.format_mnemonic(&instruction, &mut theirs);
                finish_mnemonic(&mut theirs, 0, plain.operand_count(&instruction));
                assert_eq!(
                    count,
                    plain.operand_count(&instruction),
                    "{:02x?}",
                    &window[..instruction.len()]
                );
                for operand in 0..count {
                    ours.push_str("|");
                    theirs.push_str("|");
                    let native = masm.native(form, &instruction, operand);
                    let place = Place {
                        form,
                        operand,
                        native,
                    };
                    masm.operand(&instruction, place, &mut ours);
                    let expected = plain.get_instruction_operand(&instruction, operand);
                    assert_eq!(native, expected.expect("an operand that was counted"));
                    plain
                        .format_operand(&instruction, &mut theirs, operand)
                        .expect("an operand that was counted");
                }
                let (ours, theirs) = (ours.since(0), theirs.since(0));
                assert_eq!(
                    str::from_utf8(ours),
                    str::from_utf8(theirs),
                    "{:02x?}",
                    &window[..instruction.len()]
                );
                remembered += usize::from(form.is_some());
            }
            assert!(remembered > 100_000, "{remembered}");
        }
    }
}
