//! Reading bodies for what they refer to.
//!
//! All code of a program is read once for this, so that what is asked for each
//! reference is prepared: where code is, and which pointers lead to it.

use std::ops::Range;

use super::{Edge, Findings, MAX_BYTES, MAX_INSTRUCTIONS};
use crate::address::{AddressSet, Sorted};
use crate::image::Image;
use crate::program::Arch;
use crate::skip::{self, Lead};
use crate::step::{Reference, Step, Steps};

/// So many edges of a body are looked through for one that is the same: many
/// functions call another one several times in a row.
const NEAR: usize = 8;

/// What reading asks of an image for each reference.
pub(super) struct Reader<'i, 'd> {
    image: &'i Image<'d>,
    /// Where code has bytes, ascending.
    code: Vec<Range<u64>>,
    /// The largest of them.
    most: Range<u64>,
    /// Slots that the loader fills with an address of code.
    slots: Sorted,
    /// What it fills them with.
    targets: Vec<u64>,
}

impl<'i, 'd> Reader<'i, 'd> {
    pub(super) fn new(image: &'i Image<'d>) -> Reader<'i, 'd> {
        let regions = image.regions.iter();
        let regions = regions.filter(|r| r.executable && !r.data.is_empty());
        let code: Vec<_> = regions.map(|r| r.start..r.data_end()).collect();
        let most = code.iter().max_by_key(|code| code.end - code.start);
        let mut reader = Reader {
            image,
            most: most.cloned().unwrap_or_default(),
            code,
            slots: Sorted::default(),
            targets: Vec::new(),
        };
        let pointers = image.pointers.iter();
        let pointers = pointers.filter(|(_, target)| reader.is_code(*target));
        let (slots, targets) = pointers.copied().unzip();
        (reader.slots, reader.targets) = (Sorted::new(slots), targets);
        reader
    }

    /// Whether there is code at `address`.
    pub(super) fn is_code(&self, address: u64) -> bool {
        self.most.contains(&address) || {
            let above = self.code.partition_point(|code| code.start <= address);
            above > 0 && address < self.code[above - 1].end
        }
    }

    /// The code that the loader has the pointer at `slot` lead to.
    fn pointer(&self, slot: u64) -> Option<u64> {
        Some(self.targets[self.slots.find(slot)?])
    }
}

impl Findings {
    /// Notes what one body refers to outside of itself.
    pub(super) fn read(
        &mut self,
        reader: &Reader<'_, '_>,
        no_return: &AddressSet,
        start: u64,
        end: u64,
    ) {
        self.named.clear();
        self.bodies.push(start);
        let mut body = Reading {
            first: self.edges.len(),
            found: self,
            reader,
            no_return,
            body: start..end,
            switches: false,
        };
        let count = match reader.image.arch {
            Arch::X86_64 => body.pass(),
            _ => body.steps(),
        };
        let switches = body.switches;
        if end - start > MAX_BYTES || count > MAX_INSTRUCTIONS {
            self.note(
                Some(start),
                "this function is too long and is listed in part",
            );
        }
        if switches {
            let constant = |table: &u64| {
                let region = reader.image.region(*table);
                region.is_some_and(|r| !r.executable && !r.writable)
            };
            let tables = self.named.iter().copied().filter(constant);
            self.tables.extend(tables.map(|table| (start, table)));
        }
    }
}

/// A body that is being read.
struct Reading<'a, 'i, 'd> {
    found: &'a mut Findings,
    /// The first of its edges.
    first: usize,
    reader: &'a Reader<'i, 'd>,
    no_return: &'a AddressSet,
    body: Range<u64>,
    /// It jumps to where a register or a table says.
    switches: bool,
}

impl Reading<'_, '_, '_> {
    /// Reads it, and tells how many instructions it has.
    fn steps(&mut self) -> usize {
        let image = self.reader.image;
        let bytes = image.bytes_in(self.body.start, self.body.end);
        let steps = Steps::new(image, bytes, self.body.start, 0);
        steps.map(|step| self.step(&step)).count()
    }

    /// The same where most instructions need not be decoded.
    fn pass(&mut self) -> usize {
        let (image, start) = (self.reader.image, self.body.start);
        let bytes = image.bytes_in(start, self.body.end);
        let ahead = image.bytes_at(start).unwrap_or(&[]);
        let mut steps = None;
        let (mut at, mut count) = (0, 0);
        while at < bytes.len() {
            let counted = |_| {
                count += 1;
                true
            };
            let (next, lead) = skip::pass(ahead, at, bytes.len(), image.absolute, counted);
            at = next;
            let place = |by: i64| start.wrapping_add(at as u64).wrapping_add_signed(by);
            match lead {
                Some(Lead::To(Reference::Address, by)) => {
                    self.found.named.push(place(by));
                    self.refer(place(by), Reference::Address);
                }
                Some(Lead::To(how, by)) => self.refer(place(by), how),
                Some(Lead::Takes(number)) => self.refer(number, Reference::Address),
                Some(Lead::Reads(by)) => self.load(place(by)),
                Some(Lead::ReadsAt(slot)) => self.load(slot),
                Some(Lead::Returns) => {}
                None if at < bytes.len() => {
                    let steps = steps.get_or_insert_with(|| Steps::new(image, bytes, start, 0));
                    let Some(step) = steps.at(at) else { break };
                    (at, count) = (at + step.length as usize, count + 1);
                    self.step(&step);
                }
                None => {}
            }
        }
        count
    }

    fn step(&mut self, step: &Step) {
        self.switches |= step.indirect;
        self.found.named.extend(step.table);
        if let Some(slot) = step.reads {
            self.load(slot);
        }
        if let Some((target, how)) = step.reference {
            self.refer(target, how);
        }
    }

    /// Reads a pointer, which the loader may fill with an address of this file.
    fn load(&mut self, slot: u64) {
        if let Some(target) = self.reader.pointer(slot)
            && !self.body.contains(&target)
        {
            self.edge(target, Reference::Address);
        }
    }

    fn refer(&mut self, target: u64, how: Reference) {
        if self.body.contains(&target) {
            return;
        }
        // Of pointers only what does not come back matters.
        let code = how != Reference::Through && self.reader.is_code(target);
        if code || self.no_return.contains(&target) {
            self.edge(target, how);
        }
    }

    fn edge(&mut self, target: u64, how: Reference) {
        let edges = &mut self.found.edges;
        let near = self.first.max(edges.len().saturating_sub(NEAR));
        let same = |edge: &&mut Edge| edge.target == target && edge.how == how;
        match edges[near..].iter_mut().rev().find(same) {
            Some(edge) => edge.times = edge.times.saturating_add(1),
            None => edges.push(Edge {
                target,
                from: self.found.bodies.len() as u32 - 1,
                how,
                times: 1,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::image::Region;

    const START: u64 = 0x1000;

    /// What a body of so many bytes at the start of `code` refers to.
    fn read(code: &[u8], length: u64) -> Findings {
        let region = |start: u64, data: &[u8], executable| Region {
            start,
            end: start + data.len() as u64,
            data: Cow::Owned(data.to_vec()),
            executable,
            writable: false,
            plt: false,
            section: 1,
        };
        let image = Image {
            arch: Arch::X86_64,
            regions: vec![region(START, code, true), region(0x2000, &[0; 16], false)],
            pointers: vec![(0x2000, START + 0x20), (0x2008, 0x2000)],
            ..Image::default()
        };
        let mut found = Findings::default();
        let reader = Reader::new(&image);
        found.read(&reader, &AddressSet::default(), START, START + length);
        found
    }

    fn edges(found: &Findings) -> Vec<(u64, Reference, u8)> {
        let edges = found.edges.iter();
        edges.map(|e| (e.target, e.how, e.times)).collect()
    }

    /// Calls of one function are one edge; what is loaded from a slot, and what
    /// lies at the end of the region, is read as anywhere.
    #[test]
    fn a_body_is_read_to_its_end() {
        let mut code = vec![0x90; 0x28];
        let call = |from: u8| [0xe8, 0x20 - from - 5, 0, 0, 0];
        code[..5].copy_from_slice(&call(0));
        code[5..10].copy_from_slice(&call(5));
        // `mov rax, [rip]` of both slots, then `lea rax, [rip]` of itself.
        code[10..17].copy_from_slice(&[0x48, 0x8b, 0x05, 0xef, 0x0f, 0, 0]);
        code[17..24].copy_from_slice(&[0x48, 0x8b, 0x05, 0xf0, 0x0f, 0, 0]);
        code[24..31].copy_from_slice(&[0x48, 0x8d, 0x05, 0xf0, 0xff, 0xff, 0xff]);
        let called = (START + 0x20, Reference::Call, 2);
        let loaded = (START + 0x20, Reference::Address, 1);
        assert_eq!(edges(&read(&code, 0x20)), [called, loaded]);
        // A jump in the last two bytes of all code.
        code[0x26..].copy_from_slice(&[0xeb, 0xf8 - 0x20]);
        let found = read(&code, 0x28);
        assert!(edges(&found).is_empty(), "{:?}", found.edges);
        code[0..0x20].fill(0x90);
        code[0x26..].copy_from_slice(&[0xeb, 0xd8]);
        assert!(edges(&read(&code, 0x28)).is_empty());
    }

    /// An instruction that goes on behind the end of the body is none.
    #[test]
    fn what_is_cut_off_leads_nowhere() {
        let mut code = vec![0x90; 0x28];
        code[4..9].copy_from_slice(&[0xe8, 0x17, 0, 0, 0]);
        assert_eq!(edges(&read(&code, 9)), [(START + 0x20, Reference::Call, 1)]);
        assert!(edges(&read(&code, 8)).is_empty());
    }

    /// What code names is a jump table only where it jumps by a register.
    #[test]
    fn tables_are_of_functions_that_switch() {
        let mut code = vec![0x90; 0x28];
        code[..7].copy_from_slice(&[0x48, 0x8d, 0x05, 0xf9, 0x0f, 0, 0]);
        assert!(read(&code, 0x20).tables.is_empty());
        code[7..9].copy_from_slice(&[0xff, 0xe0]);
        assert_eq!(read(&code, 0x20).tables, [(START, 0x2000)]);
    }
}
