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

/// Number of opcodes that there may be; asserted by a test.
const CODES: usize = 5000;
/// Operands of an instruction that is remembered.
const OPERANDS: usize = 4;

/// A formatter that remembers.
pub(crate) struct Masm {
    formatter: MasmFormatter,
    /// By opcode.
    forms: Vec<Form>,
    /// Names of registers by their numbers, empty where they are not always
    /// written alike; then what forms say.
    words: Vec<Box<str>>,
}

/// How an opcode is written, as far as that is the same for all its
/// instructions.
#[derive(Debug, Clone, Copy, Default)]
struct Form {
    state: State,
    /// With the space behind it.
    mnemonic: Word,
    count: u8,
    /// Which operand of the decoder each is; [`NONE`] where it has none.
    natives: [u8; OPERANDS],
    /// The width before a place in memory, once it was needed.
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    Known,
    /// Its instructions are written in several ways.
    Varies,
}

/// Index of one of [`Masm::words`].
#[derive(Debug, Clone, Copy, Default)]
struct Word(u16);

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
            forms: vec![Form::default(); CODES],
            words: Vec::new(),
        };
        for register in Register::values() {
            let plain = register.is_gpr() || register.is_xmm();
            let name = masm.formatter.format_register(register);
            masm.words.push(if plain { name.into() } else { "".into() });
        }
        masm
    }
}

impl Masm {
    /// Writes the mnemonic and, where operands follow, the space before them;
    /// returns how many do. IDA writes `retn`.
    pub(crate) fn mnemonic(
        &mut self,
        form: Option<FormId>,
        instruction: &Instruction,
        out: &mut String,
    ) -> u32 {
        match form {
            Some(form) => {
                let form = &self.forms[usize::from(form.0)];
                push_word(out, self.word(form.mnemonic));
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
    pub(crate) fn operand(&mut self, instruction: &Instruction, place: Place, out: &mut String) {
        let operand = place.operand;
        if place.form.is_some()
            && let Some(native) = place.native
        {
            match instruction.op_kind(native) {
                OpKind::Register => {
                    let name = &self.words[instruction.op_register(native) as usize];
                    if !name.is_empty() {
                        push_word(out, name);
                        return;
                    }
                }
                OpKind::Memory => {
                    if self.memory(instruction, operand, out) {
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
        // What has no such operand writes nothing.
        let _ = self.formatter.format_operand(instruction, out, operand);
    }

    /// The name of a register.
    pub(crate) fn register(&mut self, register: Register) -> &str {
        let name = &self.words[register as usize];
        match name.is_empty() {
            true => self.formatter.format_register(register),
            false => name,
        }
    }

    /// `[base+index*scale+displacement]`, with the width before it. Returns
    /// false where the place is of another shape.
    fn memory(&mut self, instruction: &Instruction, operand: u32, out: &mut String) -> bool {
        let (base, index) = (instruction.memory_base(), instruction.memory_index());
        if !base.is_gpr() || !(index == Register::None || index.is_gpr()) || base.size() < 4 {
            return false;
        }
        let width = self.width(instruction, operand);
        out.push_str(self.word(width));
        out.push('[');
        push_word(out, self.register(base));
        if index != Register::None {
            out.push('+');
            push_word(out, self.register(index));
            match instruction.memory_index_scale() {
                2 => out.push_str("*2"),
                4 => out.push_str("*4"),
                8 => out.push_str("*8"),
                _ => {}
            }
        }
        let displacement = match base.size() {
            4 => i64::from(instruction.memory_displacement32() as i32),
            _ => instruction.memory_displacement64() as i64,
        };
        if displacement != 0 {
            out.push(if displacement < 0 { '-' } else { '+' });
            number(out, displacement.unsigned_abs());
        }
        out.push(']');
        true
    }

    fn width(&mut self, instruction: &Instruction, operand: u32) -> Word {
        let at = instruction.code() as usize;
        if let Some(width) = self.forms[at].width {
            return width;
        }
        let mut text = String::new();
        let _ = self
            .formatter
            .format_operand(instruction, &mut text, operand);
        text.truncate(text.find('[').unwrap_or(0));
        let width = self.remember(&text);
        self.forms[at].width = Some(width);
        width
    }

    /// How an instruction is written, if all of its opcode are written alike:
    /// neither prefixes nor numbers change the words.
    pub(crate) fn form(&mut self, instruction: &Instruction) -> Option<FormId> {
        if instruction.has_lock_prefix()
            || instruction.has_rep_prefix()
            || instruction.has_repne_prefix()
            || instruction.segment_prefix() != Register::None
        {
            return None;
        }
        let at = instruction.code() as usize;
        if self.forms.get(at)?.state == State::Unknown {
            self.forms[at] = self.learn(instruction);
        }
        (self.forms[at].state == State::Known).then_some(FormId(at as u16))
    }

    fn learn(&mut self, instruction: &Instruction) -> Form {
        let varies = Form {
            state: State::Varies,
            ..Form::default()
        };
        let mnemonic = instruction.mnemonic();
        let pseudo = matches!(
            mnemonic,
            Mnemonic::Cmpps
                | Mnemonic::Cmppd
                | Mnemonic::Cmpss
                | Mnemonic::Cmpsd
                | Mnemonic::Pclmulqdq
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
        if instruction.encoding() != EncodingKind::Legacy
            || instruction.is_string_instruction()
            || instruction.is_invalid()
            || pseudo
            || exchanges
        {
            return varies;
        }
        let mut text = String::new();
        self.formatter.format_mnemonic(instruction, &mut text);
        let count = self.formatter.operand_count(instruction);
        // The old floating point drops operands.
        if count as usize > OPERANDS || text.starts_with('f') {
            return varies;
        }
        let mut natives = [NONE; OPERANDS];
        for (operand, native) in (0..count).zip(&mut natives) {
            let found = self.formatter.get_instruction_operand(instruction, operand);
            *native = found.ok().flatten().map_or(NONE, |native| native as u8);
        }
        finish_mnemonic(&mut text, 0, count);
        let mnemonic = self.remember(&text);
        Form {
            state: State::Known,
            mnemonic,
            count: count as u8,
            natives,
            width: None,
        }
    }

    fn remember(&mut self, text: &str) -> Word {
        self.words.push(text.into());
        Word((self.words.len() - 1) as u16)
    }

    fn word(&self, word: Word) -> &str {
        &self.words[usize::from(word.0)]
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

/// Appends a word: for most lengths a move or two, where a call would take
/// longer.
#[inline]
fn push_word(out: &mut String, word: &str) {
    match word.len() {
        2 => out.push_str(&word[..2]),
        3 => out.push_str(&word[..3]),
        4 => out.push_str(&word[..4]),
        5 => out.push_str(&word[..5]),
        8 => out.push_str(&word[..8]),
        _ => out.push_str(word),
    }
}

/// Ends the mnemonic that begins at `start`.
fn finish_mnemonic(out: &mut String, start: usize, count: u32) {
    if out.ends_with("ret") {
        out.push('n');
    }
    if count > 0 {
        let padding = (start + 8).saturating_sub(out.len()).max(1);
        out.push_str(&"        "[..padding]);
    }
}

pub(crate) fn push_all<const N: usize>(out: &mut String, parts: [&str; N]) {
    parts.iter().for_each(|part| out.push_str(part));
}

/// Digits of a number in hexadecimal, in capital letters.
pub(crate) fn hex(out: &mut String, value: u64) {
    let count = (67 - (value | 1).leading_zeros()) / 4;
    let mut digits = [0; 16];
    for (digit, at) in digits.iter_mut().zip((0..count).rev()) {
        *digit = b"0123456789ABCDEF"[(value >> (4 * at)) as usize & 15];
    }
    out.push_str(str::from_utf8(&digits[..count as usize]).unwrap_or_default());
}

/// Digits of a number to the base 10.
pub(crate) fn decimal(out: &mut String, value: u64) {
    let mut scale = 1;
    while value / scale > 9 {
        scale *= 10;
    }
    while scale > 0 {
        out.push(char::from(b'0' + (value / scale % 10) as u8));
        scale /= 10;
    }
}

/// A number as MASM writes it: `9`, `0Ah`, `28h`.
pub(crate) fn number(out: &mut String, value: u64) {
    if value < 10 {
        out.push(char::from(b'0' + value as u8));
        return;
    }
    let first = value >> (4 * ((63 - value.leading_zeros()) / 4));
    if first > 9 {
        out.push('0');
    }
    hex(out, value);
    out.push('h');
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

    #[test]
    fn numbers_are_written_as_by_the_formatter() {
        let mut text = String::new();
        for value in [0, 9, 10, 109, 65_536, u64::MAX] {
            decimal(&mut text, value);
            assert_eq!(std::mem::take(&mut text), value.to_string());
        }
        for value in [0, 9, 10, 15, 16, 0x28, 0xff, 0x9000, 0xa000, u64::MAX] {
            number(&mut text, value);
            text.push(' ');
        }
        assert_eq!(
            text,
            "0 9 0Ah 0Fh 10h 28h 0FFh 9000h 0A000h 0FFFFFFFFFFFFFFFFh "
        );
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
            let (mut ours, mut theirs) = (String::new(), String::new());
            let mut remembered = 0;
            for at in 0..bytes.len() - 16 {
                let window = &bytes[at..at + 16];
                let instruction =
                    Decoder::with_ip(bits, window, 0x40_1000, DecoderOptions::NONE).decode();
                if instruction.is_invalid() {
                    continue;
                }
                ours.clear();
                theirs.clear();
                let form = masm.form(&instruction);
                let count = masm.mnemonic(form, &instruction, &mut ours);
                plain.format_mnemonic(&instruction, &mut theirs);
                finish_mnemonic(&mut theirs, 0, plain.operand_count(&instruction));
                assert_eq!(
                    count,
                    plain.operand_count(&instruction),
                    "{theirs} {:02x?}",
                    &window[..instruction.len()]
                );
                for operand in 0..count {
                    ours.push('|');
                    theirs.push('|');
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
                assert_eq!(ours, theirs, "{:02x?}", &window[..instruction.len()]);
                remembered += usize::from(form.is_some());
            }
            assert!(remembered > 100_000, "{remembered}");
        }
    }
}
