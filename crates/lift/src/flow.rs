//! Basic blocks, and how control flows between them.

use std::ops::Range;

/// Instructions that run one after the other: only the first is jumped to, and
/// only the last jumps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'l> {
    /// Its lines, counted from 0.
    pub lines: Range<usize>,
    /// Indices of the blocks of the same function that may follow. None follow a
    /// return, a jump out of the function, a call that does not come back, or a
    /// jump by a table that was not understood.
    pub next: &'l [u32],
}

/// An instruction that the next one does not just follow.
struct Exit {
    at: usize,
    /// Where the lines that it jumps to end, among those of all.
    jumps: usize,
    falls: bool,
}

/// The blocks of a function.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Flow {
    /// The first line of each block, and where its edges end.
    blocks: Vec<(u32, u32)>,
    edges: Vec<u32>,
    lines: u32,
}

/// What the making of a flow takes, kept for the next one.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The lines at which blocks begin, a bit each.
    leads: Vec<u64>,
    /// The number of the block that begins at a line; of other lines nothing.
    numbers: Vec<u32>,
    jumps: Vec<u32>,
    exits: Vec<Exit>,
    starts: Vec<u32>,
}

impl Flow {
    /// Of a function of `lines` instructions, of which all that may not just go
    /// on are among `candidates`, ascending. `exit` adds the lines that one jumps
    /// to and tells whether the next may follow, or gives none for those that just
    /// go on; `fills` tells which do nothing, so that behind the end of a block
    /// they are no block.
    pub(crate) fn new(
        scratch: &mut Scratch,
        lines: usize,
        candidates: impl Iterator<Item = usize>,
        exit: impl Fn(usize, &mut Vec<u32>) -> Option<bool>,
        fills: impl Fn(usize) -> bool,
    ) -> Flow {
        let Scratch {
            leads,
            numbers,
            jumps,
            exits,
            starts,
        } = scratch;
        leads.clear();
        leads.resize(lines.div_ceil(64), 0);
        leads.iter_mut().take(1).for_each(|first| *first = 1);
        let mut lead = |line: usize| leads[line / 64] |= 1 << (line % 64);
        jumps.clear();
        exits.clear();
        for at in candidates {
            let first = jumps.len();
            let Some(falls) = exit(at, jumps) else {
                continue;
            };
            for &target in &jumps[first..] {
                lead(target as usize);
            }
            let mut next = at + 1;
            while !falls && next < lines && fills(next) {
                next += 1;
            }
            if next < lines {
                lead(next);
            }
            exits.push(Exit {
                at,
                jumps: jumps.len(),
                falls,
            });
        }
        starts.clear();
        numbers.resize(lines.max(numbers.len()), 0);
        for (first, &word) in (0..).step_by(64).zip(leads.iter()) {
            let mut word = word;
            while word != 0 {
                let start = first + word.trailing_zeros();
                numbers[start as usize] = starts.len() as u32;
                starts.push(start);
                word &= word - 1;
            }
        }
        let mut flow = Flow {
            blocks: Vec::with_capacity(starts.len()),
            edges: Vec::with_capacity(jumps.len() + starts.len()),
            lines: lines as u32,
        };
        let (mut exits, mut first_jump) = (exits.iter().peekable(), 0);
        for (block, &start) in starts.iter().enumerate() {
            let next = starts.get(block + 1).copied();
            let end = next.map_or(lines, |next| next as usize);
            // Behind an exit another block begins, but for what only fills.
            let last = exits.next_if(|exit| exit.at < end);
            let first = flow.edges.len();
            if last.is_none_or(|last| last.falls) && next.is_some() {
                flow.edges.push(block as u32 + 1);
            }
            if let Some(last) = last {
                for &to in &jumps[first_jump..last.jumps] {
                    let to = numbers[to as usize];
                    if !holds(&flow.edges[first..], to) {
                        flow.edges.push(to);
                    }
                }
                first_jump = last.jumps;
            }
            flow.blocks.push((start, flow.edges.len() as u32));
        }
        flow
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = Block<'_>> {
        self.blocks.iter().enumerate().map(|(index, block)| {
            let next = self.blocks.get(index + 1).map_or(self.lines, |next| next.0);
            let first = index
                .checked_sub(1)
                .map_or(0, |before| self.blocks[before].1);
            Block {
                lines: block.0 as usize..next as usize,
                next: &self.edges[first as usize..block.1 as usize],
            }
        })
    }
}

/// Whether an edge is among others, which most often are one or none.
#[inline]
fn holds(edges: &[u32], to: u32) -> bool {
    match edges {
        [] => false,
        [one] => *one == to,
        many => many.contains(&to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_at_jumps_and_begin_where_they_lead() {
        // 0: jz 4; 1: x; 2: jmp 0; 3: nop; 4: ret
        let exit = |at: usize, jumps: &mut Vec<u32>| match at {
            0 => {
                jumps.push(4);
                Some(true)
            }
            2 => {
                jumps.push(0);
                Some(false)
            }
            4 => Some(false),
            _ => None,
        };
        let flow = Flow::new(&mut Scratch::default(), 5, 0..5, exit, |at| at == 3);
        let blocks: Vec<_> = flow.blocks().map(|b| (b.lines, b.next.to_vec())).collect();
        assert_eq!(
            blocks,
            [(0..1, vec![1, 2]), (1..4, vec![0]), (4..5, vec![])]
        );
    }
}
