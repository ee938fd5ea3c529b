//! A function as text, and the facts that are found on the way.
//!
//! The dialect is IDA's, because that is what the published models of the field
//! were trained on (CLAP, section 3: "rebased assembly"; jTrans, section 4.1).
//! `iced-x86` writes mnemonics, registers and numbers; operands that name
//! something — a function, a variable on the stack, a string — are written
//! here.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write;

use iced_x86::{
    CC_ae, CC_e, CC_ne, Code, Decoder, DecoderOptions, FlowControl, Formatter, Instruction,
    MasmFormatter, Mnemonic, OpKind, Register,
};

use crate::discover::{MAX_BYTES, MAX_INSTRUCTIONS};
use crate::frame::{Frame, Slot};
use crate::image::Import;
use crate::program::{Function, Program};
use crate::strings;

/// A function as text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// The instructions in program order: the range of the entry first, then
    /// the parts that the compiler moved away.
    pub lines: Vec<Line>,
    /// What the function calls and mentions.
    pub facts: Facts,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it is.
    pub address: u64,
    /// Bytes of machine code.
    pub len: u8,
    /// The text: `mov     eax, [rbp+var_18]`.
    pub text: String,
}

/// What a function calls and mentions. Each thing is there once, in the order
/// of its first mention.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Number of instructions.
    pub instructions: usize,
    /// Number of basic blocks, as far as direct jumps tell.
    pub blocks: usize,
    /// Functions called or jumped to.
    pub calls: Vec<Call>,
    /// String literals mentioned, unescaped: whoever shows them must not trust
    /// them.
    pub strings: Vec<String>,
    /// Immediates from 0x10000 that are no addresses and not just one bit or
    /// one mask: what tells a hash or a cipher apart.
    pub constants: Vec<u64>,
}

/// A function that another one calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    /// Its name, without the underscore that listings put before an import.
    pub name: String,
    /// Its address, unless it is outside of the file.
    pub address: Option<u64>,
    /// Whether it is outside of the file.
    pub import: bool,
}

/// Facts of each kind that are kept for one function.
const MAX_FACTS: usize = 256;

impl Listing {
    /// The lines joined by line feeds: the form that rows store and models
    /// read.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.lines.iter().map(|l| l.text.len() + 1).sum());
        for (at, line) in self.lines.iter().enumerate() {
            if at > 0 {
                text.push('\n');
            }
            text.push_str(&line.text);
        }
        text
    }

    /// The object that CLAP's tokenizer reads: `{"1": "endbr64", "2": …}`.
    pub fn to_clap_json(&self) -> serde_json::Value {
        let numbered = self.lines.iter().enumerate();
        let object: serde_json::Map<_, _> = numbered
            .map(|(at, line)| {
                (
                    (at + 1).to_string(),
                    serde_json::Value::from(line.text.as_str()),
                )
            })
            .collect();
        object.into()
    }
}

pub(crate) fn list(program: &Program<'_>, function: &Function) -> Listing {
    let code = decode(program, function);
    let mut writer = Writer::new(program, &code);
    let lines = (0..code.len()).map(|at| writer.line(at)).collect();
    let mut facts = std::mem::take(&mut writer.facts);
    FORMATTER.set(Some(writer.formatter));
    facts.instructions = code.len();
    facts.blocks = writer.leaders;
    Listing { lines, facts }
}

/// The instructions of a function, up to the limits: beyond them is data that
/// was taken for code, and [`Program::diagnostics`] says so.
fn decode(program: &Program<'_>, function: &Function) -> Vec<Instruction> {
    let mut code = Vec::new();
    let mut bytes_left = MAX_BYTES;
    for range in &function.ranges {
        let end = range.end.min(range.start.saturating_add(bytes_left));
        bytes_left -= end - range.start;
        let bytes = program.image.bytes_in(range.start, end);
        let mut decoder = Decoder::with_ip(64, bytes, range.start, DecoderOptions::NONE);
        while decoder.can_decode() {
            if code.len() == MAX_INSTRUCTIONS {
                return code;
            }
            code.push(decoder.decode());
        }
    }
    code
}

/// Imported functions that never return: what follows a call to them is
/// reached in another way, with the stack in another state.
const NEVER_RETURN: [&str; 12] = [
    "__assert_fail",
    "__chk_fail",
    "__cxa_rethrow",
    "__cxa_throw",
    "__fortify_fail",
    "__longjmp_chk",
    "__stack_chk_fail",
    "_Unwind_Resume",
    "_exit",
    "abort",
    "exit",
    "longjmp",
];

thread_local! {
    /// A formatter is costly to make, as functions go.
    static FORMATTER: Cell<Option<MasmFormatter>> = const { Cell::new(None) };
}

struct Writer<'a, 'd> {
    program: &'a Program<'d>,
    code: &'a [Instruction],
    formatter: MasmFormatter,
    /// Index of the instruction at an address, ascending by address.
    order: Vec<(u64, u32)>,
    frame: Frame,
    /// Width of each stack variable: that of its first access, as in IDA.
    widths: HashMap<Slot, usize>,
    facts: Facts,
    leaders: usize,
}

impl<'a, 'd> Writer<'a, 'd> {
    fn new(program: &'a Program<'d>, code: &'a [Instruction]) -> Self {
        let mut order: Vec<(u64, u32)> = code
            .iter()
            .enumerate()
            .map(|(at, i)| (i.ip(), at as u32))
            .collect();
        order.sort_unstable();
        let find = |address: u64| -> Option<usize> {
            let at = order.binary_search_by_key(&address, |o| o.0).ok()?;
            Some(order[at].1 as usize)
        };
        let target = |i: &Instruction| jump_target(i).and_then(find);
        let returns = |i: &Instruction| {
            let import = callee(program, i);
            !import.is_some_and(|import| NEVER_RETURN.contains(&import))
        };
        let frame = Frame::new(code, target, returns);
        let mut leaders = vec![false; code.len()];
        leaders.iter_mut().take(1).for_each(|first| *first = true);
        for (at, instruction) in code.iter().enumerate() {
            if let Some(target) = target(instruction) {
                leaders[target] = true;
            }
            if ends_block(instruction) {
                // What a block falls into is one; what it does not may be
                // padding.
                let falls = instruction.flow_control() == FlowControl::ConditionalBranch;
                let padding = |i: &&Instruction| !falls && i.mnemonic() == Mnemonic::Nop;
                let next = at + 1 + code[at + 1..].iter().take_while(padding).count();
                if next < code.len() {
                    leaders[next] = true;
                }
            }
        }
        let leaders = leaders.into_iter().filter(|&leader| leader).count();
        Writer {
            program,
            code,
            formatter: FORMATTER.take().unwrap_or_else(formatter),
            order,
            frame,
            widths: HashMap::new(),
            facts: Facts::default(),
            leaders,
        }
    }

    fn line(&mut self, at: usize) -> Line {
        let instruction = &self.code[at];
        let mut text = String::with_capacity(40);
        if instruction.is_invalid() {
            let ip = instruction.ip();
            text.push_str("db      ");
            let bytes = self.program.image.bytes_in(ip, instruction.next_ip());
            for (i, byte) in bytes.iter().enumerate() {
                text.push_str(if i > 0 { ", " } else { "" });
                number(&mut text, (*byte).into());
            }
        } else {
            self.write(at, instruction, &mut text);
        }
        Line {
            address: instruction.ip(),
            len: instruction.len() as u8,
            text,
        }
    }

    fn write(&mut self, at: usize, instruction: &Instruction, out: &mut String) {
        self.formatter.format_mnemonic(instruction, out);
        if out.ends_with("ret") {
            out.push('n');
        }
        let count = self.formatter.operand_count(instruction);
        let mut comment = None;
        for operand in 0..count {
            if operand == 0 {
                let padding = 8usize.saturating_sub(out.len()).max(1);
                out.push_str(&"        "[..padding]);
            } else {
                out.push_str(", ");
            }
            let native = self
                .formatter
                .get_instruction_operand(instruction, operand)
                .ok()
                .flatten();
            let kind = native.map(|n| instruction.op_kind(n));
            match kind {
                Some(OpKind::NearBranch64 | OpKind::NearBranch32 | OpKind::NearBranch16) => {
                    self.branch(instruction, out);
                }
                Some(OpKind::Memory) => {
                    self.memory(at, instruction, operand, out, &mut comment);
                }
                Some(OpKind::Immediate32 | OpKind::Immediate64 | OpKind::Immediate32to64) => {
                    let value = native.map_or(0, |n| instruction.immediate(n));
                    self.immediate(instruction, operand, value, out, &mut comment);
                }
                Some(OpKind::Register) if !instruction.has_op_mask() => {
                    let register = native.map_or(Register::None, |n| instruction.op_register(n));
                    if register.is_gpr() || register.is_xmm() {
                        out.push_str(self.formatter.format_register(register));
                    } else {
                        let _ = self.formatter.format_operand(instruction, out, operand);
                    }
                }
                _ => {
                    let _ = self.formatter.format_operand(instruction, out, operand);
                }
            }
        }
        if let Some(text) = comment {
            out.push_str("; ");
            strings::quote(out, &text);
            remember(&mut self.facts.strings, text);
        }
    }

    fn branch(&mut self, instruction: &Instruction, out: &mut String) {
        let target = instruction.near_branch_target();
        let call = instruction.flow_control() == FlowControl::Call;
        if !call {
            if instruction.len() <= 3
                && instruction.op0_kind() == OpKind::NearBranch64
                && is_short(instruction)
            {
                out.push_str("short ");
            }
            if let Ok(found) = self.order.binary_search_by_key(&target, |o| o.0) {
                let _ = write!(out, "INSTR{}", self.order[found].1 + 1);
                return;
            }
        }
        if let Some(Import { name, stub }) = self.program.image.imports.get(&target) {
            out.push_str(if *stub { "_" } else { "" });
            out.push_str(name);
            let call = Call {
                name: name.clone(),
                address: None,
                import: true,
            };
            remember(&mut self.facts.calls, call);
        } else if let Some(function) = self.program.function_at(target) {
            let name = function.display_name();
            out.push_str(&name);
            let call = Call {
                name,
                address: Some(target),
                import: false,
            };
            remember(&mut self.facts.calls, call);
        } else if call {
            let _ = write!(out, "sub_{target:X}");
            let call = Call {
                name: format!("sub_{target:X}"),
                address: Some(target),
                import: false,
            };
            remember(&mut self.facts.calls, call);
        } else {
            let _ = write!(out, "loc_{target:X}");
        }
    }

    fn memory(
        &mut self,
        at: usize,
        instruction: &Instruction,
        operand: u32,
        out: &mut String,
        comment: &mut Option<String>,
    ) {
        let base = instruction.memory_base();
        let index = instruction.memory_index();
        if base == Register::RIP {
            self.global(
                instruction,
                instruction.ip_rel_memory_address(),
                "cs:",
                out,
                comment,
            );
            return;
        }
        if matches!(base, Register::RBP | Register::RSP)
            && let Some((slot, distance)) = self.frame.slot(at, instruction)
        {
            self.stack(instruction, slot, distance, out);
            return;
        }
        let displacement = instruction.memory_displacement64();
        let thread = matches!(instruction.segment_prefix(), Register::FS | Register::GS);
        let wide = matches!(instruction.memory_displ_size(), 4 | 8);
        if wide && !thread && self.is_address(instruction, displacement, false) {
            let based = base != Register::None;
            let segment = if based { "" } else { "ds:" };
            self.global(instruction, displacement, segment, out, comment);
            if based || index != Register::None {
                out.push('[');
                if based {
                    out.push_str(self.formatter.format_register(base));
                }
                if index != Register::None {
                    out.push_str(if based { "+" } else { "" });
                    self.scaled_index(instruction, out);
                }
                out.push(']');
            }
            return;
        }
        let start = out.len();
        let _ = self.formatter.format_operand(instruction, out, operand);
        let bracket = out[start..].find('[').map(|i| start + i);
        if let Some(bracket) = bracket {
            if thread && base == Register::None && index == Register::None {
                // IDA writes `fs:28h`.
                let inner = out.split_off(bracket);
                out.push_str(inner.trim_matches(['[', ']']));
            } else if displacement == 0
                && instruction.memory_displ_size() != 0
                && matches!(base, Register::RBP | Register::R13)
                && out.ends_with(']')
            {
                out.pop();
                out.push_str("+0]");
            }
        }
    }

    /// Operands in memory that are reached by address: `cs:stderr`, and after
    /// `lea` just the name.
    fn global(
        &mut self,
        instruction: &Instruction,
        address: u64,
        segment: &str,
        out: &mut String,
        comment: &mut Option<String>,
    ) {
        if instruction.code() == Code::Lea_r64_m || instruction.code() == Code::Lea_r32_m {
            self.address_name(address, out, comment);
            return;
        }
        let width = instruction.memory_size().size();
        let flow = instruction.flow_control();
        let indirect = matches!(
            flow,
            FlowControl::IndirectBranch | FlowControl::IndirectCall
        );
        let image = &self.program.image;
        if let Some(name) = image.slots.get(&address) {
            let _ = write!(out, "{segment}{name}_ptr");
            if indirect {
                let call = Call {
                    name: name.clone(),
                    address: None,
                    import: true,
                };
                remember(&mut self.facts.calls, call);
            }
            return;
        }
        if let Some(import) = image.imports.get(&address) {
            let _ = write!(out, "{segment}{}", import.name);
            return;
        }
        if let Some((object, inside)) = image.object(address) {
            if inside > 0 || object.size != width as u64 {
                out.push_str(width_name(width));
            }
            let _ = write!(out, "{segment}{}", object.name);
            if inside > 0 {
                out.push('+');
                number(out, inside);
            }
            return;
        }
        let pointer = (width == 8).then(|| image.pointer(address)).flatten();
        if let Some(target) = pointer.filter(|&target| target != 0) {
            let _ = write!(out, "{segment}off_{address:X}");
            *comment = self.string_at(target, 4);
            return;
        }
        let prefix = match width {
            1 => "byte",
            2 => "word",
            4 => "dword",
            8 => "qword",
            10 => "tbyte",
            16 => "xmmword",
            32 => "ymmword",
            _ => "unk",
        };
        let _ = write!(out, "{segment}{prefix}_{address:X}");
    }

    /// The name of an address that is taken, not followed.
    fn address_name(&self, address: u64, out: &mut String, comment: &mut Option<String>) {
        let image = &self.program.image;
        if let Some(import) = image.imports.get(&address) {
            out.push_str(if import.stub { "_" } else { "" });
            out.push_str(&import.name);
        } else if let Some(function) = self.program.function_at(address) {
            out.push_str(&function.display_name());
        } else if let Some(name) = image.slots.get(&address) {
            let _ = write!(out, "{name}_ptr");
        } else if let Some((object, inside)) = image.object(address) {
            out.push_str(&object.name);
            if inside > 0 {
                out.push('+');
                number(out, inside);
            }
            *comment = self.string_at(address, 4);
        } else if let Some(text) = self.string_at(address, 1) {
            match strings::auto_name(&text) {
                Some(name) => out.push_str(&name),
                None => {
                    let _ = write!(out, "asc_{address:X}");
                }
            }
            *comment = Some(text);
        } else if image.code_region(address).is_some() {
            let _ = write!(out, "loc_{address:X}");
        } else {
            let _ = write!(out, "unk_{address:X}");
        }
    }

    /// The string literal at `address`. Short ones are believed only in
    /// constant data and where they can be the start of one.
    fn string_at(&self, address: u64, min: usize) -> Option<String> {
        let region = self
            .program
            .image
            .region(address)
            .filter(|r| !r.executable)?;
        let bytes = self.program.image.bytes_at(address)?;
        let before = address
            .checked_sub(1)
            .and_then(|a| self.program.image.bytes_in(a, address).first());
        // Linkers let a string that is the end of another one share its bytes.
        let starts = before.is_none_or(|b| matches!(b, 0 | b'\t'..=b'\r' | b' '..=b'~'));
        let min = if region.writable || !starts {
            4.max(min)
        } else {
            min
        };
        strings::literal(bytes, min)
    }

    fn stack(
        &mut self,
        instruction: &Instruction,
        slot: Slot,
        distance: Option<u64>,
        out: &mut String,
    ) {
        let width = instruction.memory_size().size();
        if instruction.code() != Code::Lea_r64_m && instruction.code() != Code::Lea_r32_m {
            let known = *self.widths.entry(slot).or_insert(width);
            if known != width {
                out.push_str(width_name(width));
            }
        }
        out.push('[');
        out.push_str(if distance.is_some() { "rsp" } else { "rbp" });
        if instruction.memory_index() != Register::None {
            out.push('+');
            self.scaled_index(instruction, out);
        }
        if let Some(distance) = distance.filter(|&d| d > 0) {
            out.push('+');
            number(out, distance);
        }
        let _ = match slot {
            Slot::Local(offset) => write!(out, "+var_{offset:X}]"),
            Slot::Argument(offset) => write!(out, "+arg_{offset:X}]"),
        };
    }

    fn scaled_index(&mut self, instruction: &Instruction, out: &mut String) {
        out.push_str(self.formatter.format_register(instruction.memory_index()));
        if instruction.memory_index_scale() > 1 {
            let _ = write!(out, "*{}", instruction.memory_index_scale());
        }
    }

    fn immediate(
        &mut self,
        instruction: &Instruction,
        operand: u32,
        value: u64,
        out: &mut String,
        comment: &mut Option<String>,
    ) {
        if self.is_address(instruction, value, true) {
            out.push_str("offset ");
            self.address_name(value, out, comment);
            return;
        }
        let _ = self.formatter.format_operand(instruction, out, operand);
        if let Some(value) = distinctive(instruction, value) {
            remember(&mut self.facts.constants, value);
        }
    }

    /// Whether a number in the code is an address. In position-independent
    /// code none is, and relocatable code says where they are.
    fn is_address(&self, instruction: &Instruction, value: u64, immediate: bool) -> bool {
        let image = &self.program.image;
        if !image.absolute {
            if image.address_fields.is_empty() {
                return false;
            }
            let bytes = image.bytes_in(instruction.ip(), instruction.next_ip());
            let mut decoder = Decoder::with_ip(64, bytes, instruction.ip(), DecoderOptions::NONE);
            let again = decoder.decode();
            let offsets = decoder.get_constant_offsets(&again);
            let field = if immediate {
                offsets.immediate_offset()
            } else {
                offsets.displacement_offset()
            };
            return image
                .address_fields
                .contains(&(instruction.ip() + field as u64));
        }
        let moved = matches!(
            instruction.code(),
            Code::Mov_r32_imm32
                | Code::Mov_rm64_imm32
                | Code::Mov_r64_imm64
                | Code::Pushq_imm32
                | Code::Cmp_rm64_imm32
                | Code::Cmp_RAX_imm32
        );
        (moved || !immediate) && value >= 0x10000 && image.region(value).is_some()
    }
}

fn formatter() -> MasmFormatter {
    let mut formatter = MasmFormatter::new();
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_cc_e(CC_e::z);
    options.set_cc_ne(CC_ne::nz);
    options.set_cc_ae(CC_ae::nb);
    options.set_uppercase_hex(true);
    options.set_add_leading_zero_to_hex_numbers(true);
    options.set_small_hex_numbers_in_decimal(true);
    formatter
}

/// A number as MASM writes it: `9`, `0Ah`, `28h`.
fn number(out: &mut String, value: u64) {
    let _ = if value < 10 {
        write!(out, "{value}")
    } else {
        let start = out.len();
        let written = write!(out, "{value:X}h");
        if out.as_bytes()[start].is_ascii_alphabetic() {
            out.insert(start, '0');
        }
        written
    };
}

fn width_name(width: usize) -> &'static str {
    match width {
        1 => "byte ptr ",
        2 => "word ptr ",
        4 => "dword ptr ",
        8 => "qword ptr ",
        10 => "tbyte ptr ",
        16 => "xmmword ptr ",
        32 => "ymmword ptr ",
        64 => "zmmword ptr ",
        _ => "",
    }
}

/// An immediate that tells something about what a function computes, as wide as
/// it is encoded. Small numbers of either sign, single bits and masks (bits all
/// at one end) are in every program.
fn distinctive(instruction: &Instruction, value: u64) -> Option<u64> {
    let full = instruction.code() == Code::Mov_r64_imm64;
    let value = if full { value } else { value & 0xffff_ffff };
    let inverse = if full { !value } else { !value & 0xffff_ffff };
    let mask = |v: u64| v & v.wrapping_add(1) == 0;
    let plain = value < 0x10000
        || inverse < 0x10000
        || value.is_power_of_two()
        || mask(value)
        || mask(inverse);
    (!plain).then_some(value)
}

/// Adds what is new, up to a bound: a hostile function could mention a million
/// things.
fn remember<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < MAX_FACTS && !list.contains(&item) {
        list.push(item);
    }
}

/// The target of a direct jump.
fn jump_target(instruction: &Instruction) -> Option<u64> {
    match instruction.flow_control() {
        FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
            near(instruction).then(|| instruction.near_branch_target())
        }
        _ => None,
    }
}

fn near(instruction: &Instruction) -> bool {
    let kind = instruction.op0_kind();
    matches!(
        kind,
        OpKind::NearBranch64 | OpKind::NearBranch32 | OpKind::NearBranch16
    )
}

fn is_short(instruction: &Instruction) -> bool {
    instruction.is_jcc_short()
        || instruction.is_jmp_short()
        || instruction.is_jcx_short()
        || instruction.is_loop()
        || instruction.is_loopcc()
}

fn ends_block(instruction: &Instruction) -> bool {
    !matches!(
        instruction.flow_control(),
        FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall | FlowControl::Interrupt
    )
}

/// The import that a call leads to.
fn callee<'p>(program: &'p Program<'_>, instruction: &Instruction) -> Option<&'p str> {
    let image = &program.image;
    if near(instruction) {
        return image
            .imports
            .get(&instruction.near_branch_target())
            .map(|i| i.name.as_str());
    }
    if instruction.is_ip_rel_memory_operand() {
        return image
            .slots
            .get(&instruction.ip_rel_memory_address())
            .map(String::as_str);
    }
    None
}
