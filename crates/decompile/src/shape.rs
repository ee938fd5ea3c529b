//! From blocks that jump to conditions and loops.

use std::collections::{HashMap, HashSet};

use crate::ir::*;
use crate::simplify::simplify;

/// Statements within each other deeper than this are jumped to.
const DEEPEST: usize = 200;
/// Statements of a block that is written again rather than jumped to.
const SHORT: usize = 1;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Stmt(Stmt),
    If(Expr, Vec<Node>, Vec<Node>),
    /// Without an end of its own.
    Loop(Vec<Node>),
    While(Expr, Vec<Node>),
    DoWhile(Vec<Node>, Expr),
    /// For each number below the count of cases where it leads.
    Switch(Expr, Vec<(Vec<usize>, Vec<Node>)>),
    /// To where a pointer says.
    Jump(Expr),
    Return(Option<Expr>),
    Break,
    Continue,
    Goto(usize),
    Label(usize),
}

/// What encloses the statements in the making.
#[derive(Clone, Copy)]
enum Around {
    Loop {
        header: usize,
        follow: Option<usize>,
    },
    Switch {
        follow: Option<usize>,
    },
}

struct Shaper<'b> {
    body: &'b Body,
    loops: HashMap<usize, HashSet<usize>>,
    joins: Vec<Option<usize>>,
    written: Vec<bool>,
    around: Vec<Around>,
}

/// The function as statements within each other.
pub(crate) fn shape(body: &Body) -> Vec<Node> {
    if body.blocks.is_empty() {
        return Vec::new();
    }
    let next: Vec<Vec<usize>> = body.blocks.iter().map(|b| b.end.next()).collect();
    let mut shaper = Shaper {
        body,
        loops: loops(&next),
        joins: joins(&next),
        written: vec![false; next.len()],
        around: Vec::new(),
    };
    let mut nodes = shaper.sequence(Some(0), None, false, 0);
    // What is only jumped to from where all else was too deep.
    let mut wanted = HashSet::new();
    loop {
        labels(&nodes, &mut wanted);
        let left = wanted.iter().copied().filter(|&b| !shaper.written[b]).min();
        let Some(left) = left else { break };
        let more = shaper.sequence(Some(left), None, false, 0);
        nodes.extend(more);
    }
    tidy(nodes, &wanted)
}

/// Where jumps lead.
fn labels(nodes: &[Node], wanted: &mut HashSet<usize>) {
    for node in nodes {
        match node {
            Node::Goto(block) => {
                wanted.insert(*block);
            }
            Node::If(_, a, b) => {
                labels(a, wanted);
                labels(b, wanted);
            }
            Node::Loop(a) | Node::While(_, a) | Node::DoWhile(a, _) => labels(a, wanted),
            Node::Switch(_, cases) => cases.iter().for_each(|(_, a)| labels(a, wanted)),
            _ => {}
        }
    }
}

impl Shaper<'_> {
    /// The statements from a block on, up to the one that follows them anyway.
    fn sequence(
        &mut self,
        mut at: Option<usize>,
        follow: Option<usize>,
        mut opened: bool,
        depth: usize,
    ) -> Vec<Node> {
        let mut out = Vec::new();
        while let Some(block) = at {
            if !opened {
                if at == follow {
                    break;
                }
                if let Some(jump) = self.jump(block) {
                    out.push(jump);
                    break;
                }
                if self.written[block] || depth > DEEPEST {
                    let body = self.body;
                    let held = &body.blocks[block];
                    match &held.end {
                        End::Return(value) if held.stmts.len() <= SHORT => {
                            out.extend(held.stmts.iter().cloned().map(Node::Stmt));
                            out.push(Node::Return(value.clone()));
                        }
                        _ => out.push(Node::Goto(block)),
                    }
                    break;
                }
                if self.loops.contains_key(&block) {
                    let behind = self.behind(block);
                    out.push(Node::Label(block));
                    self.around.push(Around::Loop {
                        header: block,
                        follow: behind,
                    });
                    let inside = self.sequence(at, None, true, depth + 1);
                    self.around.pop();
                    out.push(Node::Loop(inside));
                    at = behind;
                    continue;
                }
                out.push(Node::Label(block));
            }
            opened = false;
            self.written[block] = true;
            let held = &self.body.blocks[block];
            out.extend(held.stmts.iter().cloned().map(Node::Stmt));
            match &held.end {
                End::Goto(next) => at = *next,
                End::Return(value) => {
                    out.push(Node::Return(value.clone()));
                    break;
                }
                End::If(condition, yes, no) => {
                    let join = self.join(block);
                    let end = join.or(follow);
                    let taken = self.sequence(Some(*yes), end, false, depth + 1);
                    let other = self.sequence(Some(*no), end, false, depth + 1);
                    out.push(Node::If(condition.clone(), taken, other));
                    at = end;
                    if join.is_none() {
                        break;
                    }
                }
                End::Switch(number, cases) => {
                    let join = self.join(block);
                    let end = join.or(follow);
                    let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
                    for (case, &to) in cases.iter().enumerate() {
                        match groups.iter_mut().find(|(held, _)| *held == to) {
                            Some((_, numbers)) => numbers.push(case),
                            None => groups.push((to, vec![case])),
                        }
                    }
                    self.around.push(Around::Switch { follow: end });
                    let mut written = Vec::new();
                    for (to, numbers) in groups {
                        let mut inside = self.sequence(Some(to), end, false, depth + 1);
                        if !leaves(&inside) {
                            inside.push(Node::Break);
                        }
                        written.push((numbers, inside));
                    }
                    self.around.pop();
                    out.push(Node::Switch(number.clone(), written));
                    at = end;
                    if join.is_none() {
                        break;
                    }
                }
                End::Jump(to, targets) => {
                    out.push(Node::Jump(to.clone()));
                    let targets = targets.clone();
                    for target in targets {
                        if !self.written[target] {
                            let inside = self.sequence(Some(target), None, false, depth + 1);
                            out.extend(inside);
                        }
                    }
                    break;
                }
            }
        }
        out
    }

    /// The block that the loop around is entered by.
    fn header(&self) -> Option<usize> {
        self.around.iter().rev().find_map(|around| match around {
            Around::Loop { header, .. } => Some(*header),
            Around::Switch { .. } => None,
        })
    }

    /// `break` or `continue`, where that leads to a block.
    fn jump(&self, block: usize) -> Option<Node> {
        let innermost = match self.around.last()? {
            Around::Loop { follow, .. } | Around::Switch { follow } => *follow,
        };
        if innermost == Some(block) {
            return Some(Node::Break);
        }
        (self.header() == Some(block)).then_some(Node::Continue)
    }

    /// Where the ways from a condition meet again, within the same loop.
    fn join(&self, block: usize) -> Option<usize> {
        let join = self.joins[block]?;
        let around = self.header();
        match around.and_then(|header| self.loops.get(&header)) {
            Some(inside) if !inside.contains(&join) => None,
            _ => Some(join).filter(|join| around != Some(*join)),
        }
    }

    /// The block behind a loop: the first that all ways lead to, or the one that
    /// most leave it for.
    fn behind(&self, header: usize) -> Option<usize> {
        let inside = &self.loops[&header];
        let mut exits: HashMap<usize, usize> = HashMap::new();
        for &block in inside {
            for next in self.body.blocks[block].end.next() {
                if !inside.contains(&next) {
                    *exits.entry(next).or_default() += 1;
                }
            }
        }
        let mut join = self.joins[header];
        while let Some(at) = join {
            if !inside.contains(&at) {
                if exits.contains_key(&at) {
                    return Some(at);
                }
                break;
            }
            join = self.joins[at];
        }
        exits
            .into_iter()
            .max_by_key(|&(block, count)| (count, std::cmp::Reverse(block)))
            .map(|(block, _)| block)
    }
}

/// The blocks in an order in which each comes before those that follow it, but for
/// loops.
fn order(next: &[Vec<usize>], start: usize) -> Vec<usize> {
    let mut seen = vec![false; next.len()];
    let mut out = Vec::new();
    let mut open = vec![(start, 0)];
    seen[start] = true;
    while let Some((block, place)) = open.pop() {
        match next[block].get(place) {
            Some(&to) => {
                open.push((block, place + 1));
                if !seen[to] {
                    seen[to] = true;
                    open.push((to, 0));
                }
            }
            None => out.push(block),
        }
    }
    out.reverse();
    out
}

/// The immediate dominator of each block that `start` leads to (Cooper, Harvey and
/// Kennedy, "A Simple, Fast Dominance Algorithm").
fn dominators(next: &[Vec<usize>], start: usize) -> Vec<Option<usize>> {
    let order = order(next, start);
    let mut place = vec![usize::MAX; next.len()];
    for (at, &block) in order.iter().enumerate() {
        place[block] = at;
    }
    let mut before = vec![Vec::new(); next.len()];
    for &block in &order {
        for &to in &next[block] {
            before[to].push(block);
        }
    }
    let mut over: Vec<Option<usize>> = vec![None; next.len()];
    over[start] = Some(start);
    let mut changed = true;
    while changed {
        changed = false;
        for &block in order.iter().skip(1) {
            let mut met: Option<usize> = None;
            for &from in &before[block] {
                if over[from].is_none() {
                    continue;
                }
                met = Some(match met {
                    None => from,
                    Some(mut other) => {
                        let mut from = from;
                        while from != other {
                            while place[from] > place[other] {
                                from = over[from].unwrap_or(start);
                            }
                            while place[other] > place[from] {
                                other = over[other].unwrap_or(start);
                            }
                        }
                        from
                    }
                });
            }
            if over[block] != met {
                over[block] = met;
                changed = true;
            }
        }
    }
    over[start] = None;
    over
}

/// The block at which all ways from each block meet.
fn joins(next: &[Vec<usize>]) -> Vec<Option<usize>> {
    let exit = next.len();
    let mut back = vec![Vec::new(); exit + 1];
    for (block, targets) in next.iter().enumerate() {
        for &to in targets {
            back[to].push(block);
        }
        if targets.is_empty() {
            back[exit].push(block);
        }
    }
    let mut joins = dominators(&back, exit);
    joins.truncate(exit);
    joins
        .into_iter()
        .map(|join| join.filter(|&join| join != exit))
        .collect()
}

/// The blocks of each loop, by the one that it is entered by.
fn loops(next: &[Vec<usize>]) -> HashMap<usize, HashSet<usize>> {
    let over = dominators(next, 0);
    let dominates = |header: usize, mut block: usize| loop {
        if block == header {
            return true;
        }
        match over[block] {
            Some(up) => block = up,
            None => return false,
        }
    };
    let mut before = vec![Vec::new(); next.len()];
    for (block, targets) in next.iter().enumerate() {
        for &to in targets {
            before[to].push(block);
        }
    }
    let reached = order(next, 0);
    let mut loops: HashMap<usize, HashSet<usize>> = HashMap::new();
    for &block in &reached {
        for &header in &next[block] {
            if !dominates(header, block) {
                continue;
            }
            let inside = loops.entry(header).or_default();
            inside.insert(header);
            let mut open = vec![block];
            while let Some(block) = open.pop() {
                if inside.insert(block) {
                    open.extend(before[block].iter().copied());
                }
            }
        }
    }
    loops
}

/// Whether what follows is not reached from the end of these.
fn leaves(nodes: &[Node]) -> bool {
    match nodes.last() {
        Some(Node::Return(_) | Node::Break | Node::Continue | Node::Goto(_) | Node::Jump(_)) => {
            true
        }
        Some(Node::If(_, a, b)) => leaves(a) && leaves(b),
        _ => false,
    }
}

fn negated(condition: Expr) -> Expr {
    let ty = condition.ty();
    simplify(binary(Binary::Equal, ty, condition, Expr::Const(0, ty)))
}

/// Shorter ways to say the same.
fn tidy(nodes: Vec<Node>, wanted: &HashSet<usize>) -> Vec<Node> {
    let mut out: Vec<Node> = Vec::new();
    for node in nodes {
        match node {
            Node::Label(block) if !wanted.contains(&block) => {}
            Node::If(condition, taken, other) => {
                let (taken, other) = (tidy(taken, wanted), tidy(other, wanted));
                match (taken.is_empty(), other.is_empty()) {
                    (true, true) => {}
                    (true, false) => out.push(Node::If(negated(condition), other, Vec::new())),
                    (false, true) => out.push(Node::If(condition, taken, other)),
                    // What leaves needs no `else`; the shorter one goes first.
                    _ if leaves(&taken)
                        && (!leaves(&other) || weight(&taken) <= weight(&other)) =>
                    {
                        out.push(Node::If(condition, taken, Vec::new()));
                        out.extend(other);
                    }
                    _ if leaves(&other) => {
                        out.push(Node::If(negated(condition), other, Vec::new()));
                        out.extend(taken);
                    }
                    _ => out.push(Node::If(condition, taken, other)),
                }
            }
            Node::Loop(inside) => out.push(tidy_loop(tidy(inside, wanted))),
            Node::Switch(number, cases) => {
                let cases = cases.into_iter().map(|(n, a)| (n, tidy(a, wanted)));
                out.push(Node::Switch(number, cases.collect()));
            }
            other => out.push(other),
        }
    }
    out
}

fn weight(nodes: &[Node]) -> usize {
    nodes
        .iter()
        .map(|node| match node {
            Node::If(_, a, b) => 1 + weight(a) + weight(b),
            Node::Loop(a) | Node::While(_, a) | Node::DoWhile(a, _) => 1 + weight(a),
            Node::Switch(_, cases) => 1 + cases.iter().map(|(_, a)| weight(a)).sum::<usize>(),
            _ => 1,
        })
        .sum()
}

fn tidy_loop(mut inside: Vec<Node>) -> Node {
    if matches!(inside.last(), Some(Node::Continue)) {
        inside.pop();
    }
    // `if (c) continue; break;` at the end, which `tidy` made of a condition that leads
    // back, and the same the other way round.
    let end = match &inside[..] {
        [.., Node::If(condition, taken, other), Node::Break]
            if other.is_empty() && matches!(taken[..], [Node::Continue]) =>
        {
            Some((condition.clone(), 2))
        }
        [.., Node::If(condition, taken, other)]
            if other.is_empty() && matches!(taken[..], [Node::Break]) =>
        {
            Some((negated(condition.clone()), 1))
        }
        _ => None,
    };
    if let Some((condition, count)) = end {
        let rest = &inside[..inside.len() - count];
        if !continues(rest) && !rest.is_empty() {
            inside.truncate(inside.len() - count);
            return Node::DoWhile(inside, condition);
        }
        if rest.is_empty() {
            return Node::While(condition, Vec::new());
        }
    }
    match &inside[..] {
        [Node::If(condition, taken, other), ..]
            if other.is_empty() && matches!(taken[..], [Node::Break]) =>
        {
            let condition = negated(condition.clone());
            inside.remove(0);
            Node::While(condition, inside)
        }
        // The way out is longer than a jump.
        [Node::If(condition, taken, other), Node::Break] if other.is_empty() && !breaks(taken) => {
            let (condition, mut taken) = (condition.clone(), taken.clone());
            if matches!(taken.last(), Some(Node::Continue)) {
                taken.pop();
            }
            Node::While(condition, taken)
        }
        _ => Node::Loop(inside),
    }
}

/// Whether a `continue` of the loop around is in it.
fn continues(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Continue => true,
        Node::If(_, a, b) => continues(a) || continues(b),
        Node::Switch(_, cases) => cases.iter().any(|(_, a)| continues(a)),
        _ => false,
    })
}

/// Whether its last statement is a `break` of the loop around, or could fall out of it.
fn breaks(nodes: &[Node]) -> bool {
    !matches!(
        nodes.last(),
        Some(Node::Continue | Node::Return(_) | Node::Goto(_))
    )
}
