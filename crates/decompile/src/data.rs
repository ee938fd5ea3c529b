//! Where values come from and where they go.

use std::collections::{HashMap, HashSet};

use crate::ir::*;
use crate::lift::{RETURNED, THREAD_LOCAL};
use crate::simplify::simplify;

/// Nodes of an expression that others are put into.
const MAX_SIZE: usize = 48;
/// Rounds of all passes.
const ROUNDS: usize = 12;
/// Copies of a block that are kept in mind.
const MAX_COPIES: usize = 128;
/// Statements between a value and where it is put.
const FAR: usize = 256;

/// Makes a body short: values that are used once stand where they are used, what is
/// not used goes, and each variable is one thing.
pub(crate) fn clean(body: &mut Body) {
    unguard(body);
    split(body);
    answer(body);
    for round in 0..ROUNDS {
        let mut changed = propagate(body);
        changed |= substitute(body);
        changed |= remove(body);
        for block in &mut body.blocks {
            for stmt in &mut block.stmts {
                for e in stmt.exprs_mut() {
                    *e = simplify(std::mem::replace(e, Expr::Undefined(WORD)));
                }
                if let Stmt::Assign(_, value) = stmt {
                    changed |= bare(value);
                }
            }
            if let Some(e) = block.end.expr_mut() {
                *e = simplify(std::mem::replace(e, Expr::Undefined(WORD)));
            }
            if let End::Return(Some(value)) = &mut block.end {
                changed |= bare(value) | low(value);
            }
            if let End::If(Expr::Const(value, _), yes, no) = block.end {
                block.end = End::Goto(Some(if value != 0 { yes } else { no }));
                changed = true;
            }
        }
        if round > 2 || !changed {
            changed |= narrow(body);
        }
        if !changed {
            break;
        }
    }
}

/// Makes a float of one that is copied with all of its register.
fn bare(value: &mut Expr) -> bool {
    let Expr::Unary(Unary::Bits(Type::Float(_)), Type::Bits(128), inner) = value else {
        return false;
    };
    *value = std::mem::replace(&mut **inner, Expr::Undefined(WORD));
    true
}

/// Makes what is returned of a register of which only a part was set that part.
fn low(value: &mut Expr) -> bool {
    let Expr::Binary(Binary::Or, WORD, kept, part) = value else {
        return false;
    };
    let is_rest = matches!(&**kept, Expr::Binary(Binary::And, _, _, mask)
        if matches!(**mask, Expr::Const(mask, _) if mask == !0xff || mask == !0xffff));
    let is_part = matches!(&**part, Expr::Unary(Unary::Widen(8 | 16), ..));
    if is_rest && is_part {
        *value = std::mem::replace(&mut **part, Expr::Undefined(WORD));
    }
    is_rest && is_part
}

/// Takes out what compilers add against overflows of the stack: a secret at the end of
/// the frame, and the check that it is still there.
fn unguard(body: &mut Body) {
    let fails: Vec<bool> = body
        .blocks
        .iter()
        .map(|block| {
            block.stmts.iter().any(|stmt| {
                matches!(stmt, Stmt::Call { callee: Callee::Name(name), .. }
                    if name == "__stack_chk_fail")
            })
        })
        .collect();
    if !fails.contains(&true) {
        return;
    }
    let secret = |value: &Expr| {
        matches!(value, Expr::Other(_, name, from)
            if name == THREAD_LOCAL && from[..] == [Expr::Const(0x28, WORD)])
    };
    for block in &mut body.blocks {
        let end = match &block.end {
            End::If(_, yes, no) if fails[*yes] => Some(*no),
            End::If(_, yes, no) if fails[*no] => Some(*yes),
            _ => None,
        };
        if end.is_some() {
            block.end = End::Goto(end);
        }
        // It goes through a register.
        let mut held: Option<Var> = None;
        block.stmts.retain(|stmt| match stmt {
            Stmt::Assign(var, value) => {
                match held {
                    _ if secret(value) => held = Some(*var),
                    Some(register) if register == *var => held = None,
                    _ => {}
                }
                true
            }
            Stmt::Store(_, Expr::Var(var, _)) => held != Some(*var),
            _ => true,
        });
    }
}

/// Calls `see` for each use of a variable in an expression.
fn uses(e: &Expr, see: &mut impl FnMut(Var)) {
    e.walk(&mut |e| {
        if let Expr::Var(var, _) = e {
            see(*var);
        }
    });
}

/// A set of variables.
#[derive(Clone, PartialEq)]
struct Set(Vec<u64>);

impl Set {
    fn new(count: usize) -> Set {
        Set(vec![0; count.div_ceil(64)])
    }

    fn add(&mut self, var: Var) {
        self.0[var as usize / 64] |= 1 << (var % 64);
    }

    fn remove(&mut self, var: Var) {
        self.0[var as usize / 64] &= !(1 << (var % 64));
    }

    fn has(&self, var: Var) -> bool {
        self.0[var as usize / 64] & 1 << (var % 64) != 0
    }

    fn join(&mut self, other: &Set) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    fn each(&self) -> impl Iterator<Item = Var> + '_ {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            (0..64)
                .filter(move |bit| word & 1 << bit != 0)
                .map(move |bit| at as Var * 64 + bit)
        })
    }
}

/// The variables that are read again after the start of each block.
fn live(body: &Body) -> Vec<Set> {
    let count = body.vars.len();
    let mut live = vec![Set::new(count); body.blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for number in (0..body.blocks.len()).rev() {
            let mut now = live_after(body, &live, number);
            for stmt in body.blocks[number].stmts.iter().rev() {
                before(stmt, &mut now);
            }
            if now != live[number] {
                live[number] = now;
                changed = true;
            }
        }
    }
    live
}

/// Those that are read after the last statement of a block.
fn live_after(body: &Body, live: &[Set], number: usize) -> Set {
    let mut now = Set::new(body.vars.len());
    let end = &body.blocks[number].end;
    for next in end.next() {
        now.join(&live[next]);
    }
    if let Some(e) = end.expr() {
        uses(e, &mut |var| now.add(var));
    }
    now
}

/// From those that are read after a statement to those before it.
fn before(stmt: &Stmt, now: &mut Set) {
    for var in stmt.defines() {
        now.remove(var);
    }
    for e in stmt.exprs() {
        uses(e, &mut |var| now.add(var));
    }
}

/// Gives each web of assignments and what they reach a variable of its own.
fn split(body: &mut Body) {
    let live = live(body);
    let mut union = Union::default();
    // What lies in one place of the stack most often is one variable of the source.
    let whole: Vec<Option<usize>> = (0..)
        .zip(&body.vars)
        .map(|(var, home)| matches!(home, Home::Slot(..)).then(|| union.node(var)))
        .collect();
    let entries: Vec<HashMap<Var, usize>> = live
        .iter()
        .map(|set| set.each().map(|var| (var, union.node(var))).collect())
        .collect();
    for number in 0..body.blocks.len() {
        let mut held: HashMap<Var, usize> = entries[number].clone();
        let block = &mut body.blocks[number];
        let rename = |e: &mut Expr, held: &mut HashMap<Var, usize>, union: &mut Union| {
            e.alter(&mut |e| {
                if let Expr::Var(var, _) = e {
                    let node = *held.entry(*var).or_insert_with(|| union.node(*var));
                    *var = node as Var;
                }
            });
        };
        for stmt in &mut block.stmts {
            for e in stmt.exprs_mut() {
                rename(e, &mut held, &mut union);
            }
            let mut define = |var: &mut Var| {
                let node = union.node(*var);
                held.insert(*var, node);
                *var = node as Var;
            };
            match stmt {
                Stmt::Assign(var, _) => define(var),
                Stmt::Call { answer, spoils, .. } => {
                    spoils.iter_mut().for_each(&mut define);
                    answer.iter_mut().for_each(|(var, _)| define(var));
                }
                _ => {}
            }
        }
        if let Some(e) = block.end.expr_mut() {
            rename(e, &mut held, &mut union);
        }
        for next in block.end.next() {
            for (var, &node) in &entries[next] {
                let here = *held.entry(*var).or_insert_with(|| union.node(*var));
                union.join(here, node);
            }
        }
    }
    for node in 0..union.homes.len() {
        if let Some(one) = whole[union.homes[node] as usize] {
            union.join(node, one);
        }
    }
    // Numbers without gaps, in the order of the code.
    let mut numbers: HashMap<usize, Var> = HashMap::new();
    let mut vars = Vec::new();
    let mut renumber = |var: &mut Var| {
        let root = union.root(*var as usize);
        let home = body.vars[union.homes[root] as usize];
        *var = *numbers.entry(root).or_insert_with(|| {
            vars.push(home);
            vars.len() as Var - 1
        });
    };
    for block in &mut body.blocks {
        for stmt in &mut block.stmts {
            for e in stmt.exprs_mut() {
                each_var(e, &mut renumber);
            }
            match stmt {
                Stmt::Assign(var, _) => renumber(var),
                Stmt::Call { answer, spoils, .. } => {
                    spoils.iter_mut().for_each(&mut renumber);
                    answer.iter_mut().for_each(|(var, _)| renumber(var));
                }
                _ => {}
            }
        }
        if let Some(e) = block.end.expr_mut() {
            each_var(e, &mut renumber);
        }
    }
    body.vars = vars;
}

fn each_var(e: &mut Expr, see: &mut impl FnMut(&mut Var)) {
    e.alter(&mut |e| {
        if let Expr::Var(var, _) = e {
            see(var);
        }
    });
}

/// Sets that are joined.
#[derive(Default)]
struct Union {
    parents: Vec<usize>,
    /// What each was before.
    homes: Vec<Var>,
}

impl Union {
    fn node(&mut self, var: Var) -> usize {
        self.parents.push(self.parents.len());
        self.homes.push(var);
        self.parents.len() - 1
    }

    fn root(&mut self, mut node: usize) -> usize {
        while self.parents[node] != node {
            self.parents[node] = self.parents[self.parents[node]];
            node = self.parents[node];
        }
        node
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }
}

/// How often each variable is read and assigned.
#[derive(Default, Clone, Copy)]
struct Count {
    uses: u32,
    defines: u32,
}

fn count(body: &Body) -> Vec<Count> {
    let mut counts = vec![Count::default(); body.vars.len()];
    for block in &body.blocks {
        for stmt in &block.stmts {
            for e in stmt.exprs() {
                uses(e, &mut |var| counts[var as usize].uses += 1);
            }
            for var in stmt.defines() {
                counts[var as usize].defines += 1;
            }
        }
        if let Some(e) = block.end.expr() {
            uses(e, &mut |var| counts[var as usize].uses += 1);
        }
    }
    counts
}

/// How often each variable is read.
pub(crate) fn uses_of(body: &Body) -> Vec<u32> {
    count(body).into_iter().map(|count| count.uses).collect()
}

/// Decides what the function gives back.
fn answer(body: &mut Body) {
    #[derive(Default, Clone, Copy)]
    struct Made {
        real: bool,
        called: bool,
    }
    let counts = count(body);
    let mut made = vec![Made::default(); body.vars.len()];
    for stmt in body.blocks.iter().flat_map(|block| &block.stmts) {
        match stmt {
            Stmt::Assign(var, value) => {
                let parameter = matches!(value, Expr::Var(from, _)
                    if matches!(body.vars[*from as usize], Home::Parameter(_) | Home::FloatParameter(_)));
                let nothing = matches!(value, Expr::Undefined(_));
                made[*var as usize].real |= !nothing && !parameter;
            }
            Stmt::Call {
                answer: Some((var, _)),
                ..
            } => made[*var as usize].called = true,
            _ => {}
        }
    }
    let returns: Vec<(Var, Var)> = body
        .blocks
        .iter()
        .filter_map(|block| match &block.end {
            End::Return(Some(Expr::Other(_, name, both))) if name == RETURNED => match &both[..] {
                [Expr::Var(whole, _), Expr::Var(float, _)] => Some((*whole, *float)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    // What a compiler computes and nothing else reads is the answer.
    let only = |var: Var| {
        let last = returns
            .iter()
            .filter(|(a, b)| *a == var || *b == var)
            .count();
        counts[var as usize].uses as usize <= last
    };
    let any = |of: &dyn Fn(&(Var, Var)) -> bool| returns.iter().any(of);
    let float = any(&|r| made[r.1 as usize].real && only(r.1));
    let whole = any(&|r| made[r.0 as usize].real && only(r.0));
    let float_kept = any(&|r| made[r.1 as usize].real);
    let whole_kept = any(&|r| made[r.0 as usize].real);
    let called = any(&|r| made[r.0 as usize].called);
    let float_called = any(&|r| made[r.1 as usize].called);
    let takes_whole = match (whole, float) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (true, true) => Some(false),
        _ if whole_kept => Some(true),
        _ if float_kept => Some(false),
        _ if float_called => Some(false),
        _ if called => Some(true),
        _ => None,
    };
    for block in &mut body.blocks {
        if let End::Return(value) = &mut block.end
            && let Some(Expr::Other(_, name, both)) = value
            && name == RETURNED
        {
            *value = takes_whole.and_then(|whole| {
                let at = if whole { 0 } else { 1 };
                both.get(at).cloned()
            });
        }
    }
}

/// Puts constants, names and parameters where they are read, wherever that is, and
/// within a block also other variables.
fn propagate(body: &mut Body) -> bool {
    let counts = count(body);
    let vars = &body.vars;
    let parameter = |var: Var| {
        matches!(
            vars[var as usize],
            Home::Parameter(_) | Home::FloatParameter(_)
        ) && counts[var as usize].defines == 0
    };
    let mut known: HashMap<Var, Expr> = HashMap::new();
    for stmt in body.blocks.iter().flat_map(|block| &block.stmts) {
        let Stmt::Assign(var, value) = stmt else {
            continue;
        };
        let once = counts[*var as usize].defines == 1 && counts[*var as usize].uses > 0;
        let simple = match value {
            Expr::Const(_, ty) => ty.bits() <= 64,
            Expr::Name(..) | Expr::Place(_) => true,
            Expr::Text(_) => counts[*var as usize].uses == 1,
            Expr::Var(from, _) => parameter(*from),
            Expr::Unary(Unary::Cut(_) | Unary::Widen(_), _, inner) => {
                let inner = match &**inner {
                    Expr::Unary(Unary::Cut(_), _, inner) => inner,
                    other => other,
                };
                matches!(inner, Expr::Var(from, _) if parameter(*from))
            }
            _ => false,
        };
        if once && simple {
            known.insert(*var, value.clone());
        }
    }
    let mut changed = !known.is_empty();
    let put = |e: &mut Expr, known: &HashMap<Var, Expr>| {
        let mut any = false;
        e.alter(&mut |e| {
            if let Expr::Var(var, ty) = e
                && let Some(value) = known.get(var)
            {
                let ty = *ty;
                *e = typed(value.clone(), ty);
                any = true;
            }
        });
        any
    };
    for block in &mut body.blocks {
        // Copies of this block, as long as neither of the two changes.
        let mut copies: HashMap<Var, Expr> = HashMap::new();
        for stmt in &mut block.stmts {
            for e in stmt.exprs_mut() {
                put(e, &known);
                changed |= put(e, &copies);
            }
            for var in stmt.defines() {
                copies.remove(&var);
                copies.retain(|_, value| !value.mentions(var));
            }
            if let Stmt::Assign(var, value) = stmt {
                let value = &*value;
                let inner = match value {
                    Expr::Unary(Unary::Cut(_) | Unary::Widen(_), _, inner) => inner,
                    other => other,
                };
                if matches!(inner, Expr::Var(from, _) if from != var)
                    || matches!(inner, Expr::Const(..))
                {
                    if copies.len() == MAX_COPIES {
                        copies.clear();
                    }
                    copies.insert(*var, value.clone());
                }
            }
        }
        if let Some(e) = block.end.expr_mut() {
            put(e, &known);
            changed |= put(e, &copies);
        }
    }
    changed
}

/// A value where a variable was read as a type.
fn typed(value: Expr, ty: Type) -> Expr {
    match (&value, ty) {
        (Expr::Const(number, Type::Bits(_)), Type::Bits(bits)) if bits <= 64 => {
            Expr::Const(number & ty.mask(), ty)
        }
        // A copy of a whole vector register is of what it holds.
        (Expr::Var(var, Type::Bits(128)), Type::Float(_)) => Expr::Var(*var, ty),
        (Expr::Const(0, Type::Bits(128)), Type::Float(_)) => Expr::Const(0, ty),
        _ if value.ty() != ty && (value.ty().bits() == 128 || ty.bits() == 128) => {
            let from = value.ty();
            Expr::Unary(Unary::Bits(from), ty, Box::new(value))
        }
        _ => value,
    }
}

/// Puts what is read once, later in the same block, where it is read.
fn substitute(body: &mut Body) -> bool {
    let counts = count(body);
    let mut changed = false;
    for block in &mut body.blocks {
        let mut at = 0;
        while at < block.stmts.len() {
            let Stmt::Assign(var, value) = &block.stmts[at] else {
                at += 1;
                continue;
            };
            let (var, value) = (*var, value.clone());
            let count = counts[var as usize];
            let fits = count.uses == 1 && count.defines == 1 && value.size() <= MAX_SIZE;
            if fits && !value.mentions(var) && put_later(block, at, var, &value) {
                block.stmts.remove(at);
                changed = true;
            } else {
                at += 1;
            }
        }
    }
    changed
}

fn put_later(block: &mut Block, at: usize, var: Var, value: &Expr) -> bool {
    let reads = value.reads();
    let mut inside = HashSet::new();
    uses(value, &mut |v| {
        inside.insert(v);
    });
    let replace = |e: &mut Expr| {
        e.alter(&mut |e| {
            if let Expr::Var(v, ty) = e
                && *v == var
            {
                *e = typed(value.clone(), *ty);
            }
        });
    };
    for later in at + 1..block.stmts.len() {
        if later - at > FAR {
            return false;
        }
        let stmt = &mut block.stmts[later];
        if stmt.exprs().iter().any(|e| e.mentions(var)) {
            let room = stmt.exprs().iter().map(|e| e.size()).max().unwrap_or(0);
            if room + value.size() > 2 * MAX_SIZE {
                return false;
            }
            for e in stmt.exprs_mut() {
                replace(e);
            }
            return true;
        }
        let changes = stmt.defines().iter().any(|v| inside.contains(v));
        if changes || reads && stmt.writes() {
            return false;
        }
    }
    match block.end.expr_mut() {
        Some(e) if e.mentions(var) => {
            replace(e);
            true
        }
        _ => false,
    }
}

/// Removes assignments that nothing reads.
fn remove(body: &mut Body) -> bool {
    let live = live(body);
    let mut changed = false;
    for number in 0..body.blocks.len() {
        let mut now = live_after(body, &live, number);
        let block = &mut body.blocks[number];
        let mut kept = Vec::with_capacity(block.stmts.len());
        for mut stmt in std::mem::take(&mut block.stmts).into_iter().rev() {
            match &mut stmt {
                Stmt::Assign(var, value) => {
                    let itself = matches!(value, Expr::Var(from, _) if from == var);
                    if !now.has(*var) || itself {
                        changed = true;
                        continue;
                    }
                }
                Stmt::Call { answer, spoils, .. } => {
                    if let Some((var, _)) = answer
                        && !now.has(*var)
                    {
                        *answer = None;
                        changed = true;
                    }
                    spoils.retain(|var| now.has(*var));
                }
                _ => {}
            }
            before(&stmt, &mut now);
            kept.push(stmt);
        }
        kept.reverse();
        block.stmts = kept;
    }
    changed
}

/// Calls `see` for each variable of an expression with how many bits of it are read,
/// where a node above says that; `of` is the variable that is being assigned.
fn down(e: &Expr, cut: Option<u8>, of: Option<Var>, see: &mut dyn FnMut(Var, Type, Option<u8>)) {
    match e {
        Expr::Var(var, ty) => see(*var, *ty, cut),
        Expr::Unary(Unary::Cut(bits), _, inner) => down(inner, Some(*bits), of, see),
        // What is kept of a register of which a part is set.
        Expr::Binary(Binary::Or, _, a, b)
            if matches!(&**a, Expr::Binary(Binary::And, _, x, _)
                if matches!(&**x, Expr::Var(var, _) if Some(*var) == of)) =>
        {
            down(b, None, of, see);
        }
        Expr::Load(_, inner) | Expr::Unary(_, _, inner) => down(inner, None, of, see),
        Expr::Binary(_, _, a, b) => {
            down(a, None, of, see);
            down(b, None, of, see);
        }
        Expr::Choice(_, c, a, b) => {
            for e in [c, a, b] {
                down(e, None, of, see);
            }
        }
        Expr::Other(_, _, operands) => {
            operands.iter().for_each(|e| down(e, None, of, see));
        }
        _ => {}
    }
}

/// Makes variables of 64 bits narrower of which no more is read, or put in.
fn narrow(body: &mut Body) -> bool {
    let count = body.vars.len();
    // The most bits that are read of each, and that are put in.
    let mut read = vec![0u8; count];
    let mut put = vec![0u8; count];
    let wide = |home: Home| {
        !matches!(
            home,
            Home::Vector(_) | Home::FloatParameter(_) | Home::Slot(..)
        )
    };
    let mut copies: Vec<(Var, Var)> = Vec::new();
    let mut typed_wide = vec![true; count];
    let mut put_wide = vec![true; count];
    for block in &body.blocks {
        let mut see = |e: &Expr, of: Option<Var>| {
            down(e, None, of, &mut |var, ty, cut| {
                let at = var as usize;
                typed_wide[at] &= ty == WORD;
                read[at] = read[at].max(cut.unwrap_or(64));
            });
        };
        for stmt in &block.stmts {
            match stmt {
                Stmt::Assign(var, Expr::Var(from, ty)) if *ty == WORD => {
                    copies.push((*var, *from));
                }
                Stmt::Assign(var, value) => see(value, Some(*var)),
                other => other.exprs().into_iter().for_each(|e| see(e, None)),
            }
            match stmt {
                Stmt::Assign(var, value) => {
                    let bits = match value {
                        Expr::Unary(Unary::Widen(from), ty, _) if *ty == WORD => *from,
                        Expr::Const(number, ty) if *ty == WORD && *number >> 32 == 0 => 32,
                        Expr::Undefined(_) => 0,
                        Expr::Var(_, ty) if *ty == WORD => 0,
                        _ => 64,
                    };
                    let at = *var as usize;
                    put_wide[at] &= value.ty() == WORD;
                    put[at] = put[at].max(bits);
                }
                Stmt::Call {
                    answer: Some((var, _)),
                    ..
                } => put[*var as usize] = 64,
                _ => {}
            }
        }
        if let Some(e) = block.end.expr() {
            see(e, None);
        }
    }
    for (at, home) in body.vars.iter().enumerate() {
        if matches!(home, Home::Parameter(_)) {
            put[at] = 64;
        }
    }
    let mut changed = true;
    while changed {
        changed = false;
        for &(to, from) in &copies {
            let (to, from) = (to as usize, from as usize);
            let (more, most) = (read[from].max(read[to]), put[to].max(put[from]));
            changed |= more != read[from] || most != put[to];
            (read[from], put[to]) = (more, most);
        }
    }
    let chosen: Vec<Option<u8>> = (0..count)
        .map(|at| {
            let bits = read[at].min(put[at]);
            let bits = match bits {
                0 => return None,
                1..=8 => 8,
                9..=16 => 16,
                17..=32 => 32,
                _ => return None,
            };
            (wide(body.vars[at]) && typed_wide[at] && put_wide[at]).then_some(bits)
        })
        .collect();
    if chosen.iter().all(Option::is_none) {
        return false;
    }
    let change = |e: &mut Expr| {
        e.alter(&mut |e| {
            if let Expr::Var(var, ty) = e
                && *ty == WORD
                && let Some(bits) = chosen[*var as usize]
            {
                let narrow = Expr::Var(*var, Type::Bits(bits));
                *e = Expr::Unary(Unary::Widen(bits), WORD, Box::new(narrow));
            }
        });
    };
    for block in &mut body.blocks {
        for stmt in &mut block.stmts {
            stmt.exprs_mut().into_iter().for_each(change);
            if let Stmt::Assign(var, value) = stmt
                && let Some(bits) = chosen[*var as usize]
                && value.ty() == WORD
            {
                let whole = std::mem::replace(value, Expr::Undefined(WORD));
                let ty = Type::Bits(bits);
                *value = Expr::Unary(Unary::Cut(bits), ty, Box::new(whole));
            }
            if let Stmt::Call {
                answer: Some((var, ty)),
                ..
            } = stmt
                && let Some(bits) = chosen[*var as usize]
            {
                *ty = Type::Bits(bits);
            }
        }
        if let Some(e) = block.end.expr_mut() {
            change(e);
        }
    }
    true
}

/// What each variable is declared as: the type that it is assigned and read as; of
/// one that is of several a whole vector register.
pub(crate) fn types(body: &Body) -> Vec<Type> {
    const ANY: Type = Type::Bits(128);
    let mut types: Vec<Option<Type>> = vec![None; body.vars.len()];
    let mut copies = Vec::new();
    let join = |types: &mut Vec<Option<Type>>, var: Var, ty: Type| {
        let held = &mut types[var as usize];
        let joined = match *held {
            None => ty,
            Some(held) if held == ty => held,
            Some(Type::Bits(a)) if matches!(ty, Type::Bits(_)) => Type::Bits(a.max(ty.bits())),
            Some(_) => ANY,
        };
        let changed = *held != Some(joined);
        *held = Some(joined);
        changed
    };
    for block in &body.blocks {
        for stmt in &block.stmts {
            match stmt {
                Stmt::Assign(var, Expr::Var(from, ANY)) => copies.push((*var, *from)),
                // Zeros are of any type.
                Stmt::Assign(_, Expr::Const(0, ANY) | Expr::Undefined(_)) => {}
                Stmt::Assign(var, value) => {
                    join(&mut types, *var, value.ty());
                }
                Stmt::Call {
                    answer: Some((var, ty)),
                    ..
                } => {
                    join(&mut types, *var, *ty);
                }
                _ => {}
            }
            for e in stmt.exprs() {
                let copied = matches!((stmt, e), (Stmt::Assign(..), Expr::Var(_, ANY)));
                e.walk(&mut |e| {
                    if let Expr::Var(var, ty) = e
                        && !copied
                    {
                        join(&mut types, *var, *ty);
                    }
                });
            }
        }
        if let Some(e) = block.end.expr() {
            // What is returned is of the type that it has.
            e.walk(&mut |e| {
                if let Expr::Var(var, ty) = e
                    && *ty != ANY
                {
                    join(&mut types, *var, *ty);
                }
            });
        }
    }
    let mut changed = true;
    while changed {
        changed = false;
        for &(to, from) in &copies {
            for (to, from) in [(to, from), (from, to)] {
                if let Some(ty) = types[from as usize] {
                    changed |= join(&mut types, to, ty);
                }
            }
        }
    }
    let whole = |home: Home| matches!(home, Home::Vector(_) | Home::FloatParameter(_));
    types
        .iter()
        .zip(&body.vars)
        .map(|(ty, home)| ty.unwrap_or(if whole(*home) { Type::Float(64) } else { WORD }))
        .collect()
}
