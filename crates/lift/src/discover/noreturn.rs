//! Which functions never return.
//!
//! What follows a call to one is not reached from there: another function
//! begins, or the stack is in another state. The imports that never return are
//! known by name; a function none of whose paths leads back is found by
//! following it, and then those that call it are looked at again.

use std::hash::BuildHasher;
use std::ops::Range;

use super::{Discovery, MAX_INSTRUCTIONS};
use crate::address::{AddressMap, AddressSet, ByAddress};
use crate::image::Image;
use crate::program::Arch;
use crate::skip::{self, Lead};
use crate::step::{Reference, Walked};

/// Functions of the systems' libraries that never return; sorted by length, which
/// takes less to compare, and then by text.
const NEVER_RETURN: [&str; 35] = [
    "exit",
    "_Exit",
    "_exit",
    "abort",
    "longjmp",
    "terminate",
    "ExitThread",
    "KeBugCheck",
    "__chk_fail",
    "__fastfail",
    "quick_exit",
    "ExitProcess",
    "__cxa_throw",
    "KeBugCheckEx",
    "__assert_rtn",
    "ExRaiseStatus",
    "__assert_fail",
    "__cxa_rethrow",
    "__longjmp_chk",
    "_Unwind_Resume",
    "__fortify_fail",
    "_invoke_watson",
    "_ZSt9terminatev",
    "__std_terminate",
    "__stack_chk_fail",
    "?terminate@@YAXXZ",
    "RtlExitUserThread",
    "RtlExitUserProcess",
    "_CxxThrowException",
    "RaiseFailFastException",
    "FreeLibraryAndExitThread",
    "_ZSt17__throw_bad_allocv",
    "_ZSt19__throw_logic_errorPKc",
    "_ZSt20__throw_length_errorPKc",
    "_ZSt24__throw_out_of_range_fmtPKcz",
];

/// Whether a function of this name never returns.
pub(crate) fn by_name(name: &str) -> bool {
    let never = |name: &str| {
        let order = |held: &&str| (held.len(), *held).cmp(&(name.len(), name));
        NEVER_RETURN.binary_search_by(order).is_ok()
    };
    never(name) || name.split_once('@').is_some_and(|(plain, _)| never(plain))
}

/// Where calls do not come back from: functions, stubs, and slots of pointers
/// to imports.
pub(super) fn imports(image: &Image<'_>) -> AddressSet {
    let stubs = image.imports.iter().map(|(&at, import)| (at, &import.name));
    let slots = image.slots.iter().map(|(&at, name)| (at, name));
    let functions = image.functions.iter().map(|f| (f.address, &f.name));
    stubs
        .chain(slots)
        .chain(functions)
        .filter(|(_, name)| by_name(name))
        .map(|(at, _)| at)
        .collect()
}

impl Discovery<'_, '_> {
    /// Adds to the functions that never return those that only ever end in one.
    /// Returns whether there were such.
    pub(super) fn spread_no_return(&mut self) -> bool {
        // The first edge that leads to a target of one kind, and the next one of
        // each; kinds are so many that most have few targets.
        let kinds = (self.found.edges.len() / 4).next_power_of_two();
        let hash = ByAddress::default();
        let kind = |target: u64| hash.hash_one(target) as usize & (kinds - 1);
        let mut first = vec![NO_EDGE; kinds];
        let mut next = vec![NO_EDGE; self.found.edges.len()];
        for (number, edge) in self.found.edges.iter().enumerate().rev() {
            if matches!(
                edge.how,
                Reference::Call | Reference::Jump | Reference::Through
            ) {
                let held = &mut first[kind(edge.target)];
                next[number] = std::mem::replace(held, number as u32);
            }
        }
        let before = self.no_return.len();
        let mut open: Vec<u64> = self.no_return.iter().copied().collect();
        open.sort_unstable();
        // How often a function is looked at, for it may call many that never
        // return, and how many of those were known then.
        let mut looks: AddressMap<(u8, usize)> = AddressMap::default();
        while let Some(target) = open.pop() {
            let mut number = first[kind(target)];
            while let Some(&edge) = self.found.edges.get(number as usize) {
                number = next[number as usize];
                if edge.target != target {
                    continue;
                }
                let from = self.found.from(&edge);
                let (looks, known) = looks.entry(from).or_default();
                if *looks == MAX_LOOKS || self.no_return.contains(&from) {
                    continue;
                }
                *looks = looks.saturating_add(edge.times).min(MAX_LOOKS);
                let learned = std::mem::replace(known, self.no_return.len()) < *known;
                if learned && self.never_returns(from) {
                    self.no_return.insert(from);
                    open.push(from);
                }
            }
        }
        self.no_return.len() > before
    }

    /// Whether a body that was followed calls a function of which it was not
    /// known then that it never returns.
    pub(super) fn followed_too_far(&self) -> bool {
        self.found.edges.iter().any(|edge| {
            matches!(edge.how, Reference::Call)
                && self.no_return.contains(&edge.target)
                && !self.declared.contains(&edge.target)
                && self
                    .bodies
                    .get(&self.found.from(edge))
                    .is_some_and(|b| !b.bounded)
        })
    }

    /// Whether all paths of the body at `start` end in calls that do not come
    /// back, or in none: where that cannot be told, it returns.
    fn never_returns(&mut self, start: u64) -> bool {
        let Some(end) = self.bodies.get(&start).map(|body| body.end) else {
            return false;
        };
        if self.plainly_returns(start, end) {
            return false;
        }
        let mut seen = Seen::of(start..end);
        let mut open = vec![start];
        let copies = self.copies(start, end);
        while let Some(at) = open.pop() {
            let mut falls = !seen.contains(at);
            let ahead = self.image.bytes_at(at).unwrap_or(&[]);
            let mut steps = self.part_steps(at, end, copies);
            loop {
                let walked = steps.walk(ahead, |address| seen.insert(address));
                if seen.count > MAX_INSTRUCTIONS / 16 {
                    return false;
                }
                let step = match walked {
                    Walked::To(step) if step.invalid => return false,
                    Walked::To(step) => step,
                    Walked::Refused => {
                        falls = false;
                        break;
                    }
                    Walked::End => break,
                };
                match step.reference {
                    Some((target, Reference::Call | Reference::Through))
                        if self.no_return.contains(&target) =>
                    {
                        falls = false;
                        break;
                    }
                    Some((target, Reference::Jump | Reference::Branch)) => {
                        if (start..end).contains(&target) {
                            open.push(target);
                        } else if !self.no_return.contains(&target) {
                            return false;
                        }
                    }
                    _ => {}
                }
                if step.ends {
                    if !step.jumps && !step.traps {
                        return false;
                    }
                    falls = false;
                    break;
                }
            }
            if falls {
                return false;
            }
        }
        true
    }
}

impl Discovery<'_, '_> {
    /// Whether the code at `start` comes to a return if no jump is taken, as far
    /// as that is told without decoding it.
    fn plainly_returns(&self, start: u64, end: u64) -> bool {
        if self.image.arch != Arch::X86_64 {
            return false;
        }
        let bytes = self.image.bytes_at(start).unwrap_or(&[]);
        let (end, absolute) = ((end - start) as usize, self.image.absolute);
        let mut at = 0;
        loop {
            let (next, lead) = skip::pass(bytes, at, end, absolute, |_| true);
            at = next;
            match lead {
                Some(Lead::Returns) => return true,
                None | Some(Lead::To(Reference::Jump, _)) => return false,
                Some(Lead::To(Reference::Call, by))
                    if self
                        .no_return
                        .contains(&start.wrapping_add(at as u64).wrapping_add_signed(by)) =>
                {
                    return false;
                }
                Some(_) => {}
            }
        }
    }
}

/// The instructions of a body that were seen.
struct Seen {
    start: u64,
    /// A bit for each byte.
    bits: Vec<u64>,
    count: usize,
}

impl Seen {
    fn of(body: Range<u64>) -> Seen {
        Seen {
            start: body.start,
            bits: vec![0; (body.end - body.start).div_ceil(64) as usize],
            count: 0,
        }
    }

    /// The place of an address, and its bit there.
    fn place(&self, address: u64) -> (usize, u64) {
        let at = address.wrapping_sub(self.start);
        ((at / 64) as usize, 1 << (at % 64))
    }

    fn contains(&self, address: u64) -> bool {
        let (place, bit) = self.place(address);
        self.bits.get(place).is_some_and(|bits| bits & bit != 0)
    }

    /// Whether an address inside of the body is new.
    fn insert(&mut self, address: u64) -> bool {
        let (place, bit) = self.place(address);
        let Some(bits) = self.bits.get_mut(place) else {
            return false;
        };
        let new = *bits & bit == 0;
        *bits |= bit;
        self.count += usize::from(new);
        new
    }
}

/// Behind the last edge to a target.
const NO_EDGE: u32 = u32::MAX;
/// Times that one function is followed.
const MAX_LOOKS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_that_the_search_needs() {
        assert!(NEVER_RETURN.is_sorted_by_key(|name| (name.len(), *name)));
        assert!(by_name("abort") && by_name("exit@GLIBC_2.2.5") && !by_name("atexit"));
    }
}
