//! Jumps by a table.

use binscribe_lift::Program;

use crate::ir::*;

/// Entries of a table that are read.
const MAX_CASES: usize = 1024;

/// Makes switches of jumps whose table is understood, and tells whether there was
/// one. `starts` are the addresses of the blocks.
pub(crate) fn resolve(program: &Program<'_>, body: &mut Body, starts: &[Option<u64>]) -> bool {
    let mut changed = false;
    for number in 0..body.blocks.len() {
        let End::Jump(to, next) = &body.blocks[number].end else {
            continue;
        };
        let Some(table) = table(to) else { continue };
        let most = bound(body, number, &table.index).unwrap_or(MAX_CASES);
        let mut cases = Vec::new();
        while cases.len() < most.min(MAX_CASES) {
            let at = table.address.wrapping_add(table.entry * cases.len() as u64);
            let raw = program.bytes(at, table.entry);
            let target = match raw {
                [a, b, c, d] => {
                    let distance = i32::from_le_bytes([*a, *b, *c, *d]);
                    table.base.wrapping_add_signed(distance.into())
                }
                raw => match raw.first_chunk() {
                    Some(raw) => u64::from_le_bytes(*raw),
                    None => break,
                },
            };
            let case = next
                .iter()
                .find(|&&block| starts.get(block) == Some(&Some(target)));
            let Some(&case) = case else { break };
            cases.push(case);
        }
        if cases.len() > 1 {
            body.blocks[number].end = End::Switch(table.index, cases);
            changed = true;
        }
    }
    changed
}

struct Table {
    address: u64,
    /// What the distances of a table of four bytes an entry are counted from.
    base: u64,
    entry: u64,
    index: Expr,
}

/// The address that a name or a number is.
fn place(e: &Expr) -> Option<u64> {
    match e {
        Expr::Name(_, address) => *address,
        Expr::Const(address, _) => Some(*address),
        _ => None,
    }
}

/// `table[index]`, or `table[index] + table`.
fn table(to: &Expr) -> Option<Table> {
    match to {
        Expr::Load(WORD, address) => {
            let (address, index) = entry(address, 8)?;
            Some(Table {
                address,
                base: 0,
                entry: 8,
                index,
            })
        }
        Expr::Binary(Binary::Add, _, a, b) => {
            let (distance, base) = match (place(a), place(b)) {
                (_, Some(base)) => (a, base),
                (Some(base), _) => (b, base),
                _ => return None,
            };
            let Expr::Unary(Unary::Extend(32), _, load) = &**distance else {
                return None;
            };
            let Expr::Load(INT, address) = &**load else {
                return None;
            };
            let (address, index) = entry(address, 4)?;
            Some(Table {
                address,
                base,
                entry: 4,
                index,
            })
        }
        _ => None,
    }
}

/// The address of a table and the index into it.
fn entry(address: &Expr, size: u64) -> Option<(u64, Expr)> {
    let Expr::Binary(Binary::Add, _, a, b) = address else {
        return None;
    };
    let (base, scaled) = match (place(a), place(b)) {
        (Some(base), _) => (base, b),
        (_, Some(base)) => (base, a),
        _ => return None,
    };
    match &**scaled {
        Expr::Binary(Binary::Mul, _, index, by) if **by == Expr::Const(size, WORD) => {
            Some((base, (**index).clone()))
        }
        Expr::Binary(Binary::Shl, _, index, by) if matches!(**by, Expr::Const(by, _) if 1 << by.min(63) == size) => {
            Some((base, (**index).clone()))
        }
        _ => None,
    }
}

/// How many cases the condition before a switch lets through.
fn bound(body: &Body, number: usize, index: &Expr) -> Option<usize> {
    let plain = |e: &Expr| match e {
        Expr::Unary(Unary::Widen(_), _, inner) => (**inner).clone(),
        other => other.clone(),
    };
    let index = plain(index);
    body.blocks.iter().find_map(|block| {
        let End::If(condition, yes, no) = &block.end else {
            return None;
        };
        if *yes != number && *no != number {
            return None;
        }
        match condition {
            Expr::Binary(Binary::Less, _, most, value)
                if plain(value) == index && *no == number =>
            {
                place(most).map(|most| most as usize + 1)
            }
            Expr::Binary(Binary::LessEqual, _, value, most)
                if plain(value) == index && *yes == number =>
            {
                place(most).map(|most| most as usize + 1)
            }
            Expr::Binary(Binary::LessEqual, _, most, value)
                if plain(value) == index && *no == number =>
            {
                place(most).map(|most| most as usize)
            }
            Expr::Binary(Binary::Less, _, value, most)
                if plain(value) == index && *yes == number =>
            {
                place(most).map(|most| most as usize)
            }
            _ => None,
        }
    })
}
