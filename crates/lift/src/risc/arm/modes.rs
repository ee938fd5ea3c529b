//! Which bytes of the code are A32, which T32, and which are data.
//!
//! Mapping symbols say so where a file has them (ELF for the Arm Architecture,
//! 5.5.5). Elsewhere the code is followed from where its state is known — the
//! entry point, functions whose address has its low bit set, calls — and what
//! is then left is judged by its looks. What code loads from beside itself is
//! data, and so are its jump tables.

use super::{Arm, Code, Op, PC, SP, THUMB, compared, decode, field, text};
use crate::address::{AddressMap, AddressSet};
use crate::image::Image;
use crate::risc::{Isa, Values};

/// What bytes of code are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    A32,
    T32,
    Data,
}

#[derive(Debug, Default)]
pub(crate) struct Modes {
    /// Where each begins, ascending.
    runs: Vec<(u64, Mode)>,
    /// Where jumps by tables among the code lead, by the place of the jump.
    switches: AddressMap<Vec<u64>>,
    /// Code whose state the file tells.
    starts: Vec<(u64, bool)>,
    /// Mapping symbols.
    marks: Vec<(u64, Mode)>,
    /// Pointers to T32 that do not say so, ascending: labels of a function,
    /// which makes the bit itself before it jumps.
    labels: Vec<u64>,
}

impl Modes {
    /// What is at `address`, and where it ends.
    pub(crate) fn at(&self, address: u64) -> (Mode, u64) {
        let next = self.runs.partition_point(|run| run.0 <= address);
        let mode = next.checked_sub(1).map_or(Mode::A32, |at| self.runs[at].1);
        (mode, self.runs.get(next).map_or(u64::MAX, |run| run.0))
    }

    /// Whether code of T32 may be there: it is, or nothing is known yet.
    pub(crate) fn may_be_thumb(&self, address: u64) -> bool {
        self.runs.is_empty() || self.at(address).0 == Mode::T32
    }

    /// Whether data is there, of a processor that has data among its code.
    pub(crate) fn is_data(&self, address: u64) -> bool {
        !self.runs.is_empty() && self.at(address).0 == Mode::Data
    }

    /// Where the jump at `address` leads by a table among the code.
    pub(crate) fn targets(&self, address: u64) -> Option<&[u64]> {
        self.switches.get(&address).map(Vec::as_slice)
    }

    /// Whether a pointer to `address` is to the inside of a function.
    pub(crate) fn is_label(&self, address: u64) -> bool {
        self.labels.binary_search(&address).is_ok()
    }

    /// Remembers that code begins at `address`, whose low bit tells its state.
    pub(crate) fn start(&mut self, address: u64) {
        self.starts.push((address & !1, address & 1 == 1));
    }

    /// Remembers a mapping symbol: `$a`, `$t`, `$d`, perhaps with more behind a
    /// point.
    pub(crate) fn mark(&mut self, name: &[u8], address: u64) {
        let mode = match name {
            [b'$', b'a'] | [b'$', b'a', b'.', ..] => Mode::A32,
            [b'$', b't'] | [b'$', b't', b'.', ..] => Mode::T32,
            [b'$', b'd'] | [b'$', b'd', b'.', ..] => Mode::Data,
            _ => return,
        };
        self.marks.push((address & !1, mode));
    }

    /// Finds out what the code of `image` is, which has pointers to `even`
    /// addresses.
    pub(crate) fn infer(image: &Image<'_>, even: Vec<u64>) -> Modes {
        let mut pass = Pass {
            image,
            parts: image
                .regions
                .iter()
                .filter(|region| region.executable)
                .map(|region| Part {
                    start: region.start,
                    cells: vec![UNKNOWN; region.data.len().div_ceil(2)],
                    plt: region.plt,
                })
                .collect(),
            open: Vec::new(),
            switches: AddressMap::default(),
            read: [0; 2],
            constants: AddressSet::default(),
            budget: 0,
        };
        pass.budget = pass.parts.iter().map(|part| part.cells.len() * 4).sum();
        pass.mark(&image.modes.marks);
        pass.open.extend(image.modes.starts.iter().rev());
        pass.follow();
        pass.pointed(&even);
        pass.gaps();
        let mut modes = Modes {
            runs: pass.runs(),
            switches: pass.switches,
            labels: even,
            ..Modes::default()
        };
        let mut labels = std::mem::take(&mut modes.labels);
        labels.retain(|&label| modes.at(label).0 == Mode::T32);
        labels.sort_unstable();
        modes.labels = labels;
        modes
    }
}

/// What is known of two bytes.
const UNKNOWN: u8 = 0;
const A32: u8 = 1;
const T32: u8 = 2;
const DATA: u8 = 3;
/// A symbol said so.
const TOLD: u8 = 0x40;
/// The code was read.
const READ: u8 = 0x80;
/// Code of T32 that other code leads to.
const SURE: u8 = 0x20;
/// Cells within which functions of T32 follow each other.
const NEAR: usize = 512;

/// Most entries of a jump table.
const MAX_TABLE: u64 = 1024;
/// How far a jump table leads.
const FAR: u64 = 1 << 17;
/// Instructions that are looked at to tell the state of code.
const SAMPLE: usize = 8;

struct Part {
    start: u64,
    cells: Vec<u8>,
    plt: bool,
}

struct Pass<'i, 'd> {
    image: &'i Image<'d>,
    parts: Vec<Part>,
    open: Vec<(u64, bool)>,
    switches: AddressMap<Vec<u64>>,
    /// Instructions of A32 and of T32.
    read: [usize; 2],
    /// Addresses near the code that are taken, and are no jump tables.
    constants: AddressSet,
    /// Cells that may still be read: a file could have tables lead to the same
    /// places again and again.
    budget: usize,
}

/// What a jump by a table needs to be understood.
#[derive(Default)]
struct Context {
    most: Option<u64>,
    /// The last address near the code that was taken.
    label: Option<u64>,
    values: Values,
}

impl Pass<'_, '_> {
    fn cell(&mut self, address: u64) -> Option<&mut u8> {
        let after = self.parts.partition_point(|part| part.start <= address);
        let part = &mut self.parts[after.checked_sub(1)?];
        part.cells.get_mut(((address - part.start) / 2) as usize)
    }

    fn mark(&mut self, marks: &[(u64, Mode)]) {
        let mut marks = marks.to_vec();
        marks.sort_by_key(|mark| mark.0);
        for part in &mut self.parts {
            let first = marks.partition_point(|mark| mark.0 < part.start);
            let end = part.start + part.cells.len() as u64 * 2;
            let inside = &marks[first..];
            for (at, &(start, mode)) in inside.iter().enumerate() {
                if start >= end {
                    break;
                }
                let next = inside.get(at + 1).map_or(end, |next| next.0.min(end));
                let (from, to) = ((start - part.start) / 2, (next - part.start) / 2);
                let value = match mode {
                    Mode::A32 => A32,
                    Mode::T32 => T32,
                    Mode::Data => DATA,
                };
                if let Some(cells) = part.cells.get_mut(from as usize..to as usize) {
                    cells.fill(value | TOLD);
                }
            }
        }
    }

    fn follow(&mut self) {
        while let Some((address, thumb)) = self.open.pop() {
            self.run(address, thumb);
        }
    }

    /// Reads code until it ends or is known.
    fn run(&mut self, start: u64, thumb: bool) {
        let image = self.image;
        let Some(bytes) = image.bytes_at(start) else {
            return;
        };
        let (mut at, mut carried) = (0usize, 0u32);
        let mut context = Context::default();
        let mut thumb = thumb;
        loop {
            let address = start.wrapping_add(at as u64);
            let Some(&mut cell) = self.cell(address) else {
                return;
            };
            match (cell & 3, cell & TOLD != 0) {
                _ if cell & READ != 0 => return,
                (DATA, _) => return,
                (known, true) if at == 0 => thumb = known == T32,
                (known, true) if (known == T32) != thumb => return,
                _ => {}
            }
            if !thumb && !address.is_multiple_of(4) || self.budget == 0 {
                return;
            }
            self.budget -= 1;
            let rest = bytes.get(at..).unwrap_or(&[]);
            let Some(code) = decode(image, rest, address, thumb) else {
                return;
            };
            let code = Arm.carry(code, &mut carried);
            if code.op == Op::Undefined {
                return;
            }
            let value = if thumb { T32 } else { A32 };
            self.read[usize::from(thumb)] += 1;
            for half in (0..u64::from(code.length)).step_by(2) {
                if let Some(cell) = self.cell(address + half) {
                    *cell = *cell & TOLD | value | READ;
                }
            }
            if self.code(&code, &mut context) {
                return;
            }
            at += usize::from(code.length);
        }
    }

    /// Follows where one instruction leads. Returns whether the code ends.
    fn code(&mut self, code: &Code, context: &mut Context) -> bool {
        let thumb = code.state & THUMB != 0;
        context.most = compared(code).or(context.most);
        if let Some(whole) = context.values.follow(&Arm, self.image, code)
            && whole & 1 == 1
            && matches!(code.op, Op::Number { .. } | Op::Sum { .. })
            && (self.usual() != Some(false) || self.saves(whole & !1))
        {
            self.lead(whole & !1, true);
        }
        match code.op {
            Op::Call(target) => {
                let switches = match code.length {
                    4 if thumb => code.word & 0x1000 == 0,
                    4 => code.word >> 28 == 15,
                    _ => false,
                };
                self.lead(target, thumb != switches);
            }
            Op::Conditional(target) => self.lead(target, thumb),
            Op::Branch(target) => {
                let state = match self.literal_jump(code) {
                    Some(value) => value & 1 == 1,
                    // BX PC.
                    None => thumb && code.word != 0x4778,
                };
                self.lead(target, state);
                return true;
            }
            Op::Number {
                pool: Some(pool), ..
            } => self.data(pool, 4),
            Op::Address { address, .. } => {
                context.label = Some(address);
                if address % 4 == 0 {
                    self.constants.insert(address);
                }
            }
            Op::Switch { falls } => {
                self.switch(code, context);
                return !falls;
            }
            Op::Jump(_) => {
                self.relative(code, context);
                return true;
            }
            Op::Return | Op::Stop => return true,
            Op::Other(_) => self.literal_vector(code),
            _ => {}
        }
        false
    }

    /// Whether T32 that saves the return address is at `address`: a number that is
    /// an odd address by chance leads elsewhere, as the upper half of pi does.
    fn saves(&self, address: u64) -> bool {
        let bytes = self
            .image
            .bytes_at(address)
            .and_then(|bytes| bytes.first_chunk());
        bytes.is_some_and(|&[low, high, second, third]| match (low, high) {
            (_, 0xb5) => true,
            (0x2d, 0xe9) => u16::from_le_bytes([second, third]) & 0x4000 != 0,
            _ => false,
        })
    }

    fn lead(&mut self, target: u64, thumb: bool) {
        if let Some(&mut cell) = self.cell(target)
            && cell & READ == 0
        {
            self.open.push((target, thumb));
        }
    }

    fn data(&mut self, start: u64, size: u64) {
        for address in (start..start.saturating_add(size)).step_by(2) {
            if let Some(cell) = self.cell(address)
                && *cell & TOLD == 0
            {
                *cell = DATA;
            }
        }
    }

    /// The address that `LDR PC` has beside it.
    fn literal_jump(&mut self, code: &Code) -> Option<u64> {
        let (pool, thumb) = match (code.state & THUMB, code.length) {
            (THUMB, 4) if code.word & 0xff7f_f000 == 0xf85f_f000 => (code.address + 4, true),
            (0, _) if code.word & 0x0f7f_f000 == 0x051f_f000 => (code.address + 8, false),
            _ => return None,
        };
        let pool = if thumb { pool & !3 } else { pool };
        let offset = i64::from(field(code.word, 0, 12));
        let up = field(code.word, 23, 1) == 1;
        let pool = pool.wrapping_add_signed(if up { offset } else { -offset });
        self.data(pool, 4);
        let raw = self.image.bytes_at(pool)?.first_chunk()?;
        Some(u32::from_le_bytes(*raw).into())
    }

    /// Floating-point constants beside the code, and pairs and halves.
    fn literal_vector(&mut self, code: &Code) {
        let word = code.word;
        let thumb = code.state & THUMB != 0;
        if code.length < 4 || field(word, 16, 4) != u32::from(PC) || field(word, 20, 1) == 0 {
            return;
        }
        let pc = match thumb {
            true => (code.address + 4) & !3,
            false => code.address + 8,
        };
        let (offset, size) = if word & 0x0f30_0e00 == 0x0d10_0a00 {
            (field(word, 0, 8) * 4, 4 << field(word, 8, 1))
        } else if thumb && word & 0xff60_0000 == 0xe940_0000 {
            (field(word, 0, 8) * 4, 8)
        } else {
            return;
        };
        let offset = i64::from(offset);
        let up = field(word, 23, 1) == 1;
        self.data(
            pc.wrapping_add_signed(if up { offset } else { -offset }),
            size,
        );
    }

    fn number(&self, address: u64, size: u64) -> Option<u64> {
        let bytes = self.image.bytes_at(address)?.get(..size as usize)?;
        let mut raw = [0; 8];
        raw[..bytes.len()].copy_from_slice(bytes);
        Some(u64::from_le_bytes(raw))
    }

    /// A jump by a table whose form the instruction itself tells.
    fn switch(&mut self, code: &Code, context: &Context) {
        let (word, thumb) = (code.word, code.state & THUMB != 0);
        let base = field(word, 16, 4) as u8;
        if !thumb && word & 0x0fff_fff0 == 0x008f_f100 {
            // ADD PC, PC, Rn,LSL#2: to one of the branches behind it.
            let most = context.most.unwrap_or(0).min(MAX_TABLE);
            let targets = (0..=most).map(|at| code.address + 8 + 4 * at);
            self.arrive(code, targets.collect());
            return;
        }
        if thumb && word & 0xfff0_ffe0 == 0xe8d0_f000 {
            let size = 1 + u64::from(field(word, 4, 1));
            let table = if base == PC {
                Some(code.address + 4)
            } else {
                context.label
            };
            let Some(table) = table else { return };
            self.table(code, context, table, size, |entry, _| {
                Some(code.address + 4 + 2 * entry)
            });
            return;
        }
        let here = code.address + if thumb { 4 } else { 8 };
        let loads = match thumb {
            true => word & 0xfff0_f000 == 0xf850_f000,
            false => word & 0x0e50_f000 == 0x0610_f000,
        };
        if !loads {
            self.relative(code, context);
            return;
        }
        let Some(table) = (if base == PC {
            Some(here)
        } else {
            context.label
        }) else {
            return;
        };
        self.table(code, context, table, 4, |entry, _| Some(entry));
    }

    /// A jump by distances from their table, which the code has an address of.
    fn relative(&mut self, code: &Code, context: &Context) {
        let near = |label: &u64| *label >= code.address && *label - code.address < 32;
        if let Some(table) = context.label.filter(near) {
            self.table(code, context, table, 4, |entry, table| {
                Some(table.wrapping_add(entry) & 0xffff_ffff)
            });
            // The compiler's own division jumps into a row of equal steps.
            if self.switches.get(&code.address).is_some_and(Vec::is_empty) {
                self.arrive(code, vec![table]);
            }
        }
    }

    /// Reads a table of entries of `size` bytes up to where the first of its
    /// targets begins.
    fn table(
        &mut self,
        code: &Code,
        context: &Context,
        table: u64,
        size: u64,
        target: impl Fn(u64, u64) -> Option<u64>,
    ) {
        let thumb = code.state & THUMB != 0;
        let most = context
            .most
            .map_or(MAX_TABLE, |most| most + 1)
            .min(MAX_TABLE);
        let mut targets = Vec::new();
        let mut end = u64::MAX;
        let mut at = table;
        while (targets.len() as u64) < most && at < end {
            let Some(entry) = self.number(at, size) else {
                break;
            };
            let Some(target) = target(entry, table) else {
                break;
            };
            let target = target & !1;
            if target.abs_diff(code.address) > FAR || self.cell(target).is_none() {
                break;
            }
            if !thumb && target % 4 != 0 {
                break;
            }
            if target > table {
                end = end.min(target);
            }
            targets.push(target);
            at += size;
        }
        self.data(table, (at - table).next_multiple_of(2));
        self.arrive(code, targets);
    }

    fn arrive(&mut self, code: &Code, targets: Vec<u64>) {
        let thumb = code.state & THUMB != 0;
        for &target in &targets {
            self.lead(target, thumb);
        }
        self.switches.insert(code.address, targets);
    }

    /// Whether nearly all code so far is T32, or A32.
    fn usual(&self) -> Option<bool> {
        let [wide, narrow] = self.read;
        match (wide, narrow) {
            _ if wide > narrow.saturating_mul(20) => Some(false),
            _ if narrow > wide.saturating_mul(20) => Some(true),
            _ => None,
        }
    }

    /// Follows pointers without the bit of T32 that look like A32.
    fn pointed(&mut self, even: &[u64]) {
        for &address in even {
            let bytes = self.image.bytes_in(address, address.saturating_add(32));
            let known = self.cell(address).is_none_or(|&mut cell| cell != UNKNOWN);
            if !known && always(bytes) && self.plausible(bytes, address, false) {
                self.open.push((address, false));
                self.follow();
            }
        }
    }

    /// Judges what nothing led to, from the start on.
    fn gaps(&mut self) {
        for cell in self.parts.iter_mut().flat_map(|part| &mut part.cells) {
            if *cell & (READ | 3) == READ | T32 {
                *cell |= SURE;
            }
        }
        for part in 0..self.parts.len() {
            let (start, count) = (self.parts[part].start, self.parts[part].cells.len());
            if self.parts[part].plt {
                continue;
            }
            let mut at = 0;
            while at < count {
                let cell = self.parts[part].cells[at];
                let address = start + at as u64 * 2;
                if cell & READ != 0 || cell & 3 == DATA {
                    at += 1;
                    continue;
                }
                let thumb = match cell & 3 {
                    UNKNOWN if self.constants.contains(&address) => {
                        self.data(address, 4);
                        continue;
                    }
                    UNKNOWN => self.judge(part, at),
                    known => Some(known == T32),
                };
                match thumb {
                    Some(thumb) => {
                        self.open.push((address, thumb));
                        self.follow();
                    }
                    None if cell & TOLD == 0 => self.parts[part].cells[at] = DATA,
                    None => {}
                }
                at += 1;
            }
        }
    }

    /// Whether the code at `at` is T32; none where it looks like neither.
    fn judge(&self, part: usize, at: usize) -> Option<bool> {
        let part = &self.parts[part];
        let address = part.start + at as u64 * 2;
        let rest = &part.cells[at..];
        let free = rest
            .iter()
            .take(SAMPLE * 4)
            .take_while(|&&cell| cell == UNKNOWN);
        let free = free.count() * 2;
        let bytes = self.image.bytes_at(address)?;
        let bytes = &bytes[..free.min(bytes.len())];
        // Zeros and traps lie between functions.
        if matches!(bytes.first_chunk(), None | Some([0, 0] | [0xd4, 0xd4])) {
            return None;
        }
        // The state of what lies before.
        let before = part.cells[..at].iter().rev().take(64);
        let before = before
            .map(|cell| cell & 3)
            .find(|&cell| cell == A32 || cell == T32);
        let usual = self.usual();
        // No code begins with a condition.
        let first = bytes.get(3).map_or(0, |byte| byte >> 4);
        let wide =
            address.is_multiple_of(4) && first >= 14 && self.plausible(bytes, address, false);
        let narrow = self.plausible(bytes, address, true);
        match (wide, narrow) {
            (true, _) if usual == Some(false) => Some(false),
            (_, true) if usual == Some(true) && !(wide && always(bytes)) => Some(true),
            // Assembly of a library may have functions of T32 one after the other in a
            // program that has none else. Other data than code reads as T32, too, so
            // that one of them must be led to.
            (false, true) if usual == Some(false) => {
                let near = &part.cells[at.saturating_sub(NEAR)..at];
                let behind = near.last().is_some_and(|cell| cell & 3 == T32);
                (behind && near.iter().any(|cell| cell & SURE != 0)).then_some(true)
            }
            // Nearly every word of A32 has the same first four bits.
            (true, false) => Some(false),
            (false, true) => Some(true),
            (true, true) => Some(before != Some(A32) && !always(bytes)),
            (false, false) => None,
        }
    }

    /// Whether `bytes` read as code of one state until it ends.
    fn plausible(&self, bytes: &[u8], address: u64, thumb: bool) -> bool {
        let (mut at, mut carried) = (0, 0);
        let mut count = 0;
        while count < SAMPLE {
            let rest = bytes.get(at..).unwrap_or(&[]);
            let place = address + at as u64;
            let Some(code) = decode(self.image, rest, place, thumb) else {
                break;
            };
            let code = Arm.carry(code, &mut carried);
            if code.op == Op::Undefined || text::text(&code).is_none() || !usual(&code) {
                return false;
            }
            count += 1;
            at += usize::from(code.length);
            match code.op {
                Op::Branch(target) | Op::Conditional(target) | Op::Call(target) => {
                    if self.image.code_region(target).is_none() {
                        return false;
                    }
                    if matches!(code.op, Op::Branch(_)) {
                        break;
                    }
                }
                Op::Return | Op::Jump(_) | Op::Stop | Op::Switch { .. } => break,
                _ => {}
            }
        }
        count > 0
    }

    fn runs(&self) -> Vec<(u64, Mode)> {
        let mut runs: Vec<(u64, Mode)> = Vec::new();
        for part in &self.parts {
            let mut last = None;
            for (at, cell) in part.cells.iter().enumerate() {
                let mode = match cell & 3 {
                    A32 => Mode::A32,
                    T32 => Mode::T32,
                    DATA => Mode::Data,
                    _ if part.plt => Mode::A32,
                    _ => Mode::Data,
                };
                if last != Some(mode) {
                    runs.push((part.start + at as u64 * 2, mode));
                    last = Some(mode);
                }
            }
        }
        runs
    }
}

/// Whether most words have the condition that always holds.
fn always(bytes: &[u8]) -> bool {
    let words = bytes.chunks_exact(4).take(SAMPLE);
    let all = words.len();
    words.filter(|word| word[3] >> 4 == 14).count() * 4 >= all * 3
}

/// Whether compilers make such code.
fn usual(code: &Code) -> bool {
    let word = code.word;
    match (code.state & THUMB, code.length) {
        (THUMB, 2) => {
            // MOVS R0, R0 is what zeros read as.
            word != 0
                && word & 0xff00 != 0xdf00
                && word & 0xff00 != 0xbe00
                && word & 0xffe8 != 0xb668
        }
        (THUMB, _) => true,
        _ => {
            let condition = word >> 28;
            let kind = field(word, 24, 4);
            condition != 15 && (condition == 14 || kind != 12 && kind != 13 && kind != 14)
                || word >> 25 == 0x7d
                || word >> 24 == 0xf2
                || word >> 24 == 0xf3
                || word >> 24 == 0xf4
                || matches!(code.op, Op::Memory { access } if access.base == SP)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::image::Region;
    use crate::program::Arch;

    /// The upper half of pi without its exponent, and behind it `__expx` of zig's
    /// runtime at -O0, where it stood in a program: 0x921FB is inside of it.
    #[rustfmt::skip]
    const PI: [u32; 95] = [
        0xe302_31fb, 0xe340_3009, 0xe12f_ff1e, 0xe92d_4bf0, 0xe28d_b018, 0xe24d_d020,
        0xe59b_5008, 0xe300_8000, 0xe1a0_9000, 0xe347_8fff, 0xe6ff_0075, 0xe7df_579f,
        0xe355_0000, 0x0192_1003, 0x0a00_0007, 0xe307_1fff, 0xe155_0001, 0x1a00_0008,
        0xe1a0_17a2, 0xe1a0_2882, 0xe181_1883, 0xe188_37a3, 0xea00_0010, 0xe3a0_2000,
        0xe3a0_1000, 0xe3a0_3000, 0xea00_000c, 0xe1a0_17a2, 0xe373_0001, 0xe181_1883,
        0xda00_0002, 0xe1a0_2882, 0xe1a0_37a3, 0xea00_0005, 0xe308_7000, 0xe1a0_2882,
        0xe347_7fff, 0xe003_3007, 0xe1a0_7805, 0xe187_37a3, 0xe200_0902, 0xe3a0_7000,
        0xe58d_1008, 0xe1a0_100d, 0xe183_0800, 0xe58d_000c, 0xe28d_0010, 0xe58d_7000,
        0xe58d_2004, 0xebff_fd09, 0xe59d_6014, 0xe59d_001c, 0xe59d_4018, 0xe59d_5010,
        0xe1a0_18a6, 0xe3c0_7102, 0xe181_e784, 0xe1a0_1780, 0xe275_2000, 0xe181_18a4,
        0xe2f6_2000, 0xe381_3102, 0xe2f4_2000, 0xe307_1fff, 0xe0d8_2007, 0x3a00_0015,
        0xe7df_689f, 0xe275_2000, 0xe3a0_c102, 0xe1a0_1827, 0xe2f6_2801, 0x2a00_0001,
        0xe29e_e001, 0xea00_0004, 0xe226_2801, 0xe195_2002, 0x1a00_0006, 0xe20e_2001,
        0xe09e_e002, 0xe2b3_3000, 0xe3a0_2000, 0xe2a1_1000, 0xe2b2_2000, 0x1183_300c,
        0xe30f_2fff, 0xe111_0002, 0x03c3_3102, 0x03a0_1000, 0xe370_0001, 0xe589_e000,
        0xd381_1902, 0xe589_3004, 0xe1c9_10b8, 0xe24b_d018, 0xe8bd_8bf0,
    ];

    #[test]
    fn numbers_are_not_taken_for_code_of_the_other_state() {
        const START: u64 = 0x9_21c0;
        let code: Vec<u8> = PI.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut image = Image {
            arch: Arch::Arm,
            absolute: true,
            regions: vec![Region {
                start: START,
                end: START + code.len() as u64,
                data: Cow::Owned(code),
                executable: true,
                writable: false,
                plt: false,
                section: 0,
            }],
            ..Image::default()
        };
        image.modes.start(START);
        let modes = Modes::infer(&image, Vec::new());
        assert_eq!(modes.runs, [(START, Mode::A32)]);
    }
}
