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
use crate::program::{Arch, Function, Program};
use crate::step::absolute_operand;
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
    if program.image.arch == Arch::Aarch64 {
        return crate::aarch64::listing::list(program, function);
    }
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
    let bits = program.image.arch.bits();
    let mut code = Vec::new();
    let mut bytes_left = MAX_BYTES;
    for range in &function.ranges {
        let end = range.end.min(range.start.saturating_add(bytes_left));
        bytes_left -= end - range.start;
        let bytes = program.image.bytes_in(range.start, end);
        let mut decoder = Decoder::with_ip(bits, bytes, range.start, DecoderOptions::NONE);
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
pub(crate) const NEVER_RETURN: [&str; 29] = [
    "?terminate@@YAXXZ",
    "ExRaiseStatus",
    "ExitProcess",
    "ExitThread",
    "FreeLibraryAndExitThread",
    "KeBugCheck",
    "KeBugCheckEx",
    "RaiseFailFastException",
    "RtlExitUserProcess",
    "RtlExitUserThread",
    "_CxxThrowException",
    "_Exit",
    "_Unwind_Resume",
    "__assert_fail",
    "__chk_fail",
    "__cxa_rethrow",
    "__cxa_throw",
    "__fastfail",
    "__fortify_fail",
    "__longjmp_chk",
    "__stack_chk_fail",
    "__std_terminate",
    "_exit",
    "_invoke_watson",
    "abort",
    "exit",
    "longjmp",
    "quick_exit",
    "terminate",
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
    /// In 32-bit position-independent code, the registers that hold the address
    /// of the global offset table, and that address.
    got: Option<(Vec<Register>, u64)>,
    /// Width of each stack variable: that of its first access, as in IDA.
    widths: HashMap<Slot, usize>,
    /// Registers that hold the address of an import.
    held: Vec<(Register, String)>,
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
        let word = program.image.arch.pointer_size() as i64;
        let purges = |at: usize| purged(program, code, at);
        let frame = Frame::new(code, word, target, returns, purges);
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
            got: got_registers(program, code),
            widths: HashMap::new(),
            held: Vec::new(),
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
        if self.program.image.is_windows() {
            self.through_register(instruction, out);
        }
    }

    /// `call edi ; DeleteDC`, where an import was loaded before. Compilers for
    /// Windows do that where they call one twice.
    fn through_register(&mut self, instruction: &Instruction, out: &mut String) {
        let flow = instruction.flow_control();
        let register = (instruction.op0_kind() == OpKind::Register)
            .then(|| instruction.op0_register().full_register());
        match flow {
            FlowControl::IndirectCall | FlowControl::IndirectBranch => {
                let held = self.held.iter().find(|(held, _)| Some(*held) == register);
                if let Some((_, name)) = held {
                    let _ = write!(out, " ; {name}");
                    let call = Call {
                        name: name.clone(),
                        address: None,
                        import: true,
                    };
                    remember(&mut self.facts.calls, call);
                }
            }
            _ => {}
        }
        if matches!(flow, FlowControl::Call | FlowControl::IndirectCall) {
            // What a call may change in all conventions of Windows.
            self.held.retain(|(register, _)| {
                !matches!(
                    register,
                    Register::RAX
                        | Register::RCX
                        | Register::RDX
                        | Register::R8
                        | Register::R9
                        | Register::R10
                        | Register::R11
                )
            });
            return;
        }
        let keeps = matches!(
            instruction.mnemonic(),
            Mnemonic::Push | Mnemonic::Cmp | Mnemonic::Test
        );
        let Some(register) = register.filter(|_| !keeps) else {
            return;
        };
        self.held.retain(|(held, _)| *held != register);
        let loads = matches!(instruction.code(), Code::Mov_r32_rm32 | Code::Mov_r64_rm64);
        let slot = absolute_operand(instruction).filter(|_| loads);
        if let Some(name) = slot.and_then(|slot| self.program.image.slots.get(&slot)) {
            self.held.push((register, name.clone()));
        }
    }

    fn branch(&mut self, instruction: &Instruction, out: &mut String) {
        let target = instruction.near_branch_target();
        let call = instruction.flow_control() == FlowControl::Call;
        if call && target == instruction.next_ip() {
            // No call: it only asks where the code is.
            let _ = write!(out, "$+{}", instruction.len());
            return;
        }
        if !call {
            if instruction.len() <= 3
                && instruction.op0_kind() != OpKind::NearBranch16
                && is_short(instruction)
            {
                out.push_str("short ");
            }
            if let Ok(found) = self.order.binary_search_by_key(&target, |o| o.0) {
                let _ = write!(out, "INSTR{}", self.order[found].1 + 1);
                return;
            }
        }
        let facts = &mut self.facts;
        self.program.code_name(target, call, facts, out);
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
        if matches!(
            base,
            Register::RBP | Register::RSP | Register::EBP | Register::ESP
        ) && let Some((slot, distance)) = self.frame.slot(at, instruction)
        {
            self.stack(instruction, slot, distance, out);
            return;
        }
        let displacement = instruction.memory_displacement64();
        if let Some((registers, got)) = &self.got
            && registers.contains(&base)
        {
            let (got, image) = (*got, &self.program.image);
            let address = got.wrapping_add(displacement) & 0xffff_ffff;
            // A register may be used again: a small distance is believed where it
            // leads to a pointer that the loader fills.
            let slot = image.slots.contains_key(&address)
                || image
                    .pointers
                    .binary_search_by_key(&address, |p| p.0)
                    .is_ok();
            let far = instruction.memory_displ_size() == 4;
            if slot || (far && image.region(address).is_some()) {
                self.counted_from_got(instruction, address, got, out, comment);
                return;
            }
        }
        let thread = matches!(instruction.segment_prefix(), Register::FS | Register::GS);
        let wide = matches!(instruction.memory_displ_size(), 4 | 8);
        if wide && !thread && self.is_address(instruction, displacement, false) {
            let based = base != Register::None;
            let segment = if based {
                ""
            } else {
                self.segment(instruction, displacement)
            };
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
                && matches!(base, Register::RBP | Register::R13 | Register::EBP)
                && out.ends_with(']')
            {
                out.pop();
                out.push_str("+0]");
            }
        }
    }

    /// `(aUsage - 3FF4h)[ebx]`: a global that is reached from the table's
    /// address, which IDA subtracts again.
    fn counted_from_got(
        &mut self,
        instruction: &Instruction,
        address: u64,
        got: u64,
        out: &mut String,
        comment: &mut Option<String>,
    ) {
        let mut name = String::new();
        self.global(instruction, address, "", &mut name, comment);
        let width = name.rfind(' ').map_or(0, |space| space + 1);
        out.push_str(&name[..width]);
        if !is_lea(instruction) {
            out.push_str("ds:");
        }
        let _ = write!(out, "({} - ", &name[width..]);
        number(out, got);
        out.push_str(")[");
        out.push_str(self.formatter.format_register(instruction.memory_base()));
        if instruction.memory_index() != Register::None {
            out.push('+');
            self.scaled_index(instruction, out);
        }
        out.push(']');
    }

    /// What IDA writes before a global that no register leads to. In 32-bit code
    /// only what is jumped to through a pointer has a segment.
    fn segment(&self, instruction: &Instruction, address: u64) -> &'static str {
        let image = &self.program.image;
        let indirect = matches!(
            instruction.flow_control(),
            FlowControl::IndirectBranch | FlowControl::IndirectCall
        );
        match image.arch {
            Arch::X86 if !indirect && !image.slots.contains_key(&address) => "",
            _ => "ds:",
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
        if is_lea(instruction) {
            self.program.address_name(address, out, comment);
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
            let _ = write!(out, "{segment}{name}{}", image.slot_suffix());
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
            // Some files do not say how large an object is.
            let differs = object.size != 0 && object.size != width as u64;
            if inside > 0 || differs {
                out.push_str(width_name(width));
            }
            let _ = write!(out, "{segment}{}", object.name);
            if inside > 0 {
                out.push('+');
                number(out, inside);
            }
            return;
        }
        let pointer_size = image.arch.pointer_size();
        let pointer = (width as u64 == pointer_size)
            .then(|| image.pointer(address))
            .flatten();
        if let Some(target) = pointer.filter(|&target| target != 0) {
            let _ = write!(out, "{segment}off_{address:X}");
            *comment = self.program.string_at(target, 4);
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

    fn stack(
        &mut self,
        instruction: &Instruction,
        slot: Slot,
        distance: Option<u64>,
        out: &mut String,
    ) {
        let width = instruction.memory_size().size();
        if !is_lea(instruction) {
            let known = *self.widths.entry(slot).or_insert(width);
            if known != width {
                out.push_str(width_name(width));
            }
        }
        out.push('[');
        let (pointer, frame) = match self.program.image.arch {
            Arch::X86 => ("esp", "ebp"),
            _ => ("rsp", "rbp"),
        };
        out.push_str(if distance.is_some() { pointer } else { frame });
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
            self.program.address_name(value, out, comment);
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
            let (bits, ip) = (image.arch.bits(), instruction.ip());
            let mut decoder = Decoder::with_ip(bits, bytes, ip, DecoderOptions::NONE);
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
                | Code::Mov_rm32_imm32
                | Code::Mov_r64_imm64
                | Code::Pushq_imm32
                | Code::Pushd_imm32
                | Code::Cmp_rm32_imm32
                | Code::Cmp_EAX_imm32
                | Code::Cmp_rm64_imm32
                | Code::Cmp_RAX_imm32
        );
        (moved || !immediate) && value >= 0x10000 && image.region(value).is_some()
    }
}

fn is_lea(instruction: &Instruction) -> bool {
    matches!(instruction.code(), Code::Lea_r64_m | Code::Lea_r32_m)
}

/// How 32-bit position-independent code finds its data: it asks for its own
/// address, by `call $+5` and `pop ebx` or by a call of a function that returns
/// it, and adds the distance of the global offset table.
///
/// Code that is not optimised keeps that on the stack, and loads it again.
fn got_registers(program: &Program<'_>, code: &[Instruction]) -> Option<(Vec<Register>, u64)> {
    let (register, got, after) = got_register(program, code)?;
    let mut registers = vec![register];
    let saves = |i: &&Instruction| i.code() == Code::Mov_rm32_r32 && i.op1_register() == register;
    if let Some(save) = code[after..].iter().take(2).find(saves) {
        let place = |i: &Instruction| (i.memory_base(), i.memory_displacement32());
        let loads = code.iter().filter(|i| {
            i.code() == Code::Mov_r32_rm32
                && i.op1_kind() == OpKind::Memory
                && i.memory_index() == Register::None
                && place(i) == place(save)
        });
        for load in loads {
            if !registers.contains(&load.op0_register()) {
                registers.push(load.op0_register());
            }
        }
    }
    Some((registers, got))
}

/// The register that first holds the table's address, that address, and the
/// index of the instruction after.
fn got_register(program: &Program<'_>, code: &[Instruction]) -> Option<(Register, u64, usize)> {
    /// Schedulers put so many instructions between the parts.
    const NEAR: usize = 6;
    if program.image.arch != Arch::X86 {
        return None;
    }
    let asks = code
        .iter()
        .enumerate()
        .take(MAX_PROLOGUE)
        .filter(|(_, i)| i.flow_control() == FlowControl::Call && near(i));
    for (at, call) in asks {
        let here = call.next_ip();
        let target = call.near_branch_target();
        let after = &code[at + 1..code.len().min(at + 1 + NEAR)];
        let register = if target == here {
            let pop = after.first().filter(|i| i.code() == Code::Pop_r32)?;
            pop.op0_register()
        } else {
            match returned_address(program, target) {
                Some(register) => register,
                None => continue,
            }
        };
        let adds = |i: &&Instruction| {
            matches!(
                i.code(),
                Code::Add_rm32_imm32 | Code::Add_rm32_imm8 | Code::Add_EAX_imm32
            ) && i.op0_register() == register
        };
        if let Some(place) = after.iter().position(|i| adds(&i)) {
            let distance = after[place].immediate(1);
            let got = here.wrapping_add(distance) & 0xffff_ffff;
            return Some((register, got, at + 1 + place + 1));
        }
    }
    None
}

/// Instructions of a function within which it looks for its data.
const MAX_PROLOGUE: usize = 64;

/// The register in which the function at `address` returns where it was called
/// from: `mov ebx, [esp]`, `retn`.
fn returned_address(program: &Program<'_>, address: u64) -> Option<Register> {
    let bytes = program.image.bytes_at(address)?.get(..4)?;
    let mut decoder = Decoder::with_ip(32, bytes, address, DecoderOptions::NONE);
    let (first, second) = (decoder.decode(), decoder.decode());
    let reads = first.code() == Code::Mov_r32_rm32
        && first.memory_base() == Register::ESP
        && first.memory_displacement32() == 0;
    (reads && second.code() == Code::Retnd).then(|| first.op0_register())
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
pub(crate) fn number(out: &mut String, value: u64) {
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
pub(crate) fn remember<T: PartialEq>(list: &mut Vec<T>, item: T) {
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

/// Bytes of arguments that the call at an index takes off the stack: in 32-bit
/// code for Windows most functions of the system do, and some others.
fn purged(program: &Program<'_>, code: &[Instruction], at: usize) -> i64 {
    let (image, call) = (&program.image, &code[at]);
    if image.arch != Arch::X86 || !image.is_windows() {
        return 0;
    }
    if let Some(name) = callee(program, call) {
        // Names in object files tell it: `_WriteFile@20`.
        let told = name
            .rsplit_once('@')
            .and_then(|(_, size)| size.parse().ok());
        // The C library has names in small letters, and leaves its arguments.
        let system = name.starts_with(|c: char| c.is_ascii_uppercase());
        let size = told.map(|size: u16| size.into());
        return size.unwrap_or(if system { pushed(code, at) } else { 0 });
    }
    let callee = near(call).then(|| call.near_branch_target());
    let Some(range) = callee
        .and_then(|callee| program.function_at(callee))
        .and_then(|callee| callee.ranges.first())
    else {
        return 0;
    };
    match image.bytes_in(range.end.saturating_sub(3).max(range.start), range.end) {
        // `retn 8`.
        &[0xc2, low, high] => u16::from_le_bytes([low, high]).into(),
        _ => 0,
    }
}

/// Bytes that are pushed for the call at an index, as far as the code before it
/// tells, unless the code behind it takes them off.
fn pushed(code: &[Instruction], at: usize) -> i64 {
    /// More arguments have few functions.
    const MAX_ARGUMENTS: usize = 16;
    let on_stack = |i: &&Instruction| {
        i.is_stack_instruction() || i.op_count() > 0 && i.op0_register() == Register::ESP
    };
    let mut count = 0;
    for before in (0..at).rev().take(64) {
        let i = &code[before];
        if i.flow_control() != FlowControl::Next || count == MAX_ARGUMENTS {
            break;
        }
        if i.mnemonic() != Mnemonic::Push {
            if on_stack(&i) {
                break;
            }
            continue;
        }
        // A register that has not been set is saved.
        let register = i.op0_register();
        let saved = matches!(
            register,
            Register::EBX | Register::ESI | Register::EDI | Register::EBP
        );
        let set = |i: &Instruction| {
            i.op_count() > 0 && i.op0_register() == register && i.mnemonic() != Mnemonic::Push
        };
        if saved && before < 64 && !code[..before].iter().any(set) {
            break;
        }
        count += 1;
    }
    let size = 4 * count as u64;
    let next = code[at + 1..].iter().take(4).find(on_stack);
    match next {
        Some(i) if i.mnemonic() == Mnemonic::Add && i.immediate(1) == size => 0,
        _ => size as i64,
    }
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
    let slot = absolute_operand(instruction)?;
    image.slots.get(&slot).map(String::as_str)
}
