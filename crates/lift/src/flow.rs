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

/// The blocks of a function.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Flow {
    /// The first line of each block, and where its edges end.
    blocks: Vec<(u32, u32)>,
    edges: Vec<u32>,
    lines: u32,
}

/// How an instruction goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The lines that it jumps to.
    pub(crate) jumps: Vec<usize>,
    /// Whether the next instruction may be next.
    pub(crate) falls: bool,
}

impl Flow {
    /// Of a function of `lines` instructions. `exit` tells how each goes on, or
    /// none for those that just go on; `fills` which do nothing, so that behind
    /// the end of a block they are no block.
    pub(crate) fn new(
        lines: usize,
        exit: impl Fn(usize) -> Option<Exit>,
        fills: impl Fn(usize) -> bool,
    ) -> Flow {
        let mut leads = vec![false; lines];
        leads.iter_mut().take(1).for_each(|first| *first = true);
        let mut exits: Vec<(usize, Exit)> = Vec::new();
        for at in 0..lines {
            let Some(exit) = exit(at) else { continue };
            for &target in &exit.jumps {
                leads[target] = true;
            }
            let mut next = at + 1;
            while !exit.falls && next < lines && fills(next) {
                next += 1;
            }
            if let Some(lead) = leads.get_mut(next) {
                *lead = true;
            }
            exits.push((at, exit));
        }
        let starts: Vec<u32> = (0..lines as u32).filter(|&at| leads[at as usize]).collect();
        let block = |line: usize| starts.binary_search(&(line as u32)).ok();
        let mut flow = Flow {
            blocks: Vec::with_capacity(starts.len()),
            edges: Vec::new(),
            lines: lines as u32,
        };
        let mut exits = exits.into_iter().peekable();
        for (index, &start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).map_or(lines, |&end| end as usize);
            let mut last = None;
            while let Some((_, exit)) = exits.next_if(|&(at, _)| at < end) {
                last = last.or(Some(exit));
            }
            let first = flow.edges.len();
            let last = last.unwrap_or(Exit {
                jumps: Vec::new(),
                falls: true,
            });
            if last.falls && end < lines {
                flow.edges.push(index as u32 + 1);
            }
            for to in last.jumps.into_iter().filter_map(block) {
                if !flow.edges[first..].contains(&(to as u32)) {
                    flow.edges.push(to as u32);
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_at_jumps_and_begin_where_they_lead() {
        // 0: jz 4; 1: x; 2: jmp 0; 3: nop; 4: ret
        let exit = |at| match at {
            0 => Some(Exit {
                jumps: vec![4],
                falls: true,
            }),
            2 => Some(Exit {
                jumps: vec![0],
                falls: false,
            }),
            4 => Some(Exit::default()),
            _ => None,
        };
        let flow = Flow::new(5, exit, |at| at == 3);
        let blocks: Vec<_> = flow.blocks().map(|b| (b.lines, b.next.to_vec())).collect();
        assert_eq!(
            blocks,
            [(0..1, vec![1, 2]), (1..4, vec![0]), (4..5, vec![])]
        );
    }
}
