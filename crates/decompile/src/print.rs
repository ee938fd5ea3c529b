//! From statements within each other to C.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;

use crate::Global;
use crate::ir::*;
use crate::shape::Node;

/// What prints a function.
pub(crate) struct Printer<'b> {
    body: &'b Body,
    types: Vec<Type>,
    /// How often each variable is read.
    uses: Vec<u32>,
    names: Vec<String>,
    /// The lowest place on the stack that is memory.
    lowest: i64,
    out: String,
    /// What the function names, as it must be declared.
    pub(crate) globals: BTreeMap<String, Global>,
    /// Other functions that it calls by name.
    pub(crate) functions: BTreeSet<String>,
}

fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Bits(..=8) => "u8",
        Type::Bits(9..=16) => "u16",
        Type::Bits(17..=32) => "u32",
        Type::Bits(33..=64) => "u64",
        Type::Bits(_) => "u128",
        Type::Float(32) => "float",
        Type::Float(_) => "double",
    }
}

fn signed_name(ty: Type) -> &'static str {
    match ty.bits() {
        ..=8 => "i8",
        9..=16 => "i16",
        17..=32 => "i32",
        _ => "i64",
    }
}

/// How tightly operators bind.
mod binding {
    pub(super) const CHOICE: u8 = 1;
    pub(super) const OR: u8 = 4;
    pub(super) const XOR: u8 = 5;
    pub(super) const AND: u8 = 6;
    pub(super) const EQUAL: u8 = 7;
    pub(super) const LESS: u8 = 8;
    pub(super) const SHIFT: u8 = 9;
    pub(super) const SUM: u8 = 10;
    pub(super) const PRODUCT: u8 = 11;
    pub(super) const UNARY: u8 = 12;
    pub(super) const ALL: u8 = 13;
}

impl<'b> Printer<'b> {
    pub(crate) fn new(body: &'b Body) -> Printer<'b> {
        let types = crate::data::types(body);
        let uses = crate::data::uses_of(body);
        let mut used = vec![false; body.vars.len()];
        let mut order = Vec::new();
        let mut see = |var: Var| {
            if !std::mem::replace(&mut used[var as usize], true) {
                order.push(var);
            }
        };
        for block in &body.blocks {
            for stmt in &block.stmts {
                match stmt {
                    Stmt::Assign(var, _) => see(*var),
                    Stmt::Call { answer, .. } => answer.iter().for_each(|(var, _)| see(*var)),
                    _ => {}
                }
                for e in stmt.exprs() {
                    e.walk(&mut |e| {
                        if let Expr::Var(var, _) = e {
                            see(*var);
                        }
                    });
                }
            }
            if let Some(e) = block.end.expr() {
                e.walk(&mut |e| {
                    if let Expr::Var(var, _) = e {
                        see(*var);
                    }
                });
            }
        }
        let mut names = vec![String::new(); body.vars.len()];
        let mut count = 0;
        let mut taken: Vec<String> = Vec::new();
        for &var in &order {
            let mut name = match body.vars[var as usize] {
                Home::Parameter(number) => format!("a{}", number + 1),
                Home::FloatParameter(number) => format!("f{}", number + 1),
                Home::Slot(offset @ ..0, _) => format!("var_{:X}", -offset),
                _ => {
                    count += 1;
                    format!("v{count}")
                }
            };
            // One place may be several variables.
            while taken.contains(&name) {
                name.push('_');
            }
            taken.push(name.clone());
            names[var as usize] = name;
        }
        Printer {
            body,
            types,
            uses,
            names,
            lowest: body.places.iter().copied().min().unwrap_or(0),
            out: String::new(),
            globals: BTreeMap::new(),
            functions: BTreeSet::new(),
        }
    }

    /// The function with this name.
    pub(crate) fn print(&mut self, name: &str, nodes: &[Node]) -> String {
        let mut whole = 0;
        let mut floats = 0;
        for (var, home) in self.body.vars.iter().enumerate() {
            if self.names[var].is_empty() {
                continue;
            }
            match home {
                Home::Parameter(number) => whole = whole.max(usize::from(*number) + 1),
                Home::FloatParameter(number) => floats = floats.max(usize::from(*number) + 1),
                _ => {}
            }
        }
        let find = |home: Home| {
            let vars = self.body.vars.iter().enumerate();
            let mut vars = vars.filter(|(var, h)| **h == home && !self.names[*var].is_empty());
            vars.next().map(|(var, _)| self.types[var])
        };
        let mut parameters: Vec<String> = Vec::new();
        for number in 0..whole {
            let ty = find(Home::Parameter(number as u8)).unwrap_or(WORD);
            parameters.push(format!("{} a{}", type_name(ty), number + 1));
        }
        for number in 0..floats {
            let ty = match find(Home::FloatParameter(number as u8)) {
                Some(ty @ Type::Float(_)) => ty,
                _ => Type::Float(64),
            };
            parameters.push(format!("{} f{}", type_name(ty), number + 1));
        }
        let returned = self.body.blocks.iter().find_map(|block| match &block.end {
            End::Return(value) => value.as_ref().map(|value| self.value_type(value)),
            _ => None,
        });
        let answer = returned.map_or("void", type_name);
        let parameters = match parameters.is_empty() {
            true => "void".to_owned(),
            false => parameters.join(", "),
        };
        self.nodes(nodes, 1);
        let code = std::mem::take(&mut self.out);
        let mut text = format!("{answer} {name}({parameters})\n{{\n");
        let is_sign = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let words: HashSet<&str> = code.split(is_sign).collect();
        let mut by_type: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (var, home) in self.body.vars.iter().enumerate() {
            let name = &self.names[var];
            let is_named = !name.is_empty() && words.contains(name.as_str());
            if !is_named || matches!(home, Home::Parameter(_) | Home::FloatParameter(_)) {
                continue;
            }
            by_type
                .entry(type_name(self.types[var]))
                .or_default()
                .push(name);
        }
        let declared = !by_type.is_empty() || !self.body.places.is_empty();
        for (ty, names) in by_type {
            for names in names.chunks(10) {
                let _ = writeln!(text, "    {ty} {};", names.join(", "));
            }
        }
        if self.lowest < 0 {
            let _ = writeln!(text, "    _Alignas(16) u8 stack[{:#x}];", -self.lowest);
        }
        if declared {
            text.push('\n');
        }
        text.push_str(&code);
        text.push_str("}\n");
        text
    }

    fn value_type(&self, value: &Expr) -> Type {
        match value {
            Expr::Var(var, Type::Bits(128)) => match self.types[*var as usize] {
                Type::Bits(128) => Type::Float(64),
                ty => ty,
            },
            // The caller may look at 32 bits at least.
            Expr::Unary(Unary::Widen(from), WORD, _) => Type::Bits((*from).max(32)),
            other => other.ty(),
        }
    }

    fn line(&mut self, depth: usize, text: &str) {
        for _ in 0..depth {
            self.out.push_str("    ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn nodes(&mut self, nodes: &[Node], depth: usize) {
        let mut returned = false;
        for (at, node) in nodes.iter().enumerate() {
            if std::mem::take(&mut returned) {
                continue;
            }
            match node {
                // `return f(x);`, where nothing else reads the answer.
                Node::Stmt(
                    stmt @ Stmt::Call {
                        answer: Some((var, _)),
                        ..
                    },
                ) if matches!(nodes.get(at + 1), Some(Node::Return(Some(value)))
                        if self.is_only(*var, value)) =>
                {
                    let call = self.call(stmt);
                    self.line(depth, &format!("return {call};"));
                    returned = true;
                }
                Node::Stmt(stmt) => self.stmt(stmt, depth),
                Node::If(condition, taken, other) => {
                    let condition = self.condition(condition);
                    self.line(depth, &format!("if ({condition}) {{"));
                    self.nodes(taken, depth + 1);
                    let mut other = other;
                    // A chain of conditions stays on one level.
                    while let [Node::If(condition, taken, last)] = &other[..] {
                        let condition = self.condition(condition);
                        self.line(depth, &format!("}} else if ({condition}) {{"));
                        self.nodes(taken, depth + 1);
                        other = last;
                    }
                    if !other.is_empty() {
                        self.line(depth, "} else {");
                        self.nodes(other, depth + 1);
                    }
                    self.line(depth, "}");
                }
                Node::Loop(inside) => {
                    self.line(depth, "while (1) {");
                    self.nodes(inside, depth + 1);
                    self.line(depth, "}");
                }
                Node::While(condition, inside) => {
                    let condition = self.condition(condition);
                    match inside.is_empty() {
                        true => self.line(depth, &format!("while ({condition});")),
                        false => {
                            self.line(depth, &format!("while ({condition}) {{"));
                            self.nodes(inside, depth + 1);
                            self.line(depth, "}");
                        }
                    }
                }
                Node::DoWhile(inside, condition) => {
                    self.line(depth, "do {");
                    self.nodes(inside, depth + 1);
                    let condition = self.condition(condition);
                    self.line(depth, &format!("}} while ({condition});"));
                }
                Node::Switch(number, cases) => {
                    let number = self.expr(number, 0);
                    self.line(depth, &format!("switch ({number}) {{"));
                    for (numbers, inside) in cases {
                        for numbers in numbers.chunks(8) {
                            let labels: Vec<String> =
                                numbers.iter().map(|n| format!("case {n}:")).collect();
                            self.line(depth, &labels.join(" "));
                        }
                        self.nodes(inside, depth + 1);
                    }
                    // The code before it lets no other number through.
                    self.line(depth, "default:");
                    self.line(depth + 1, "__builtin_unreachable();");
                    self.line(depth, "}");
                }
                Node::Jump(to) => {
                    let to = self.expr(to, binding::UNARY);
                    self.line(depth, &format!("goto *(void *){to};"));
                }
                Node::Return(None) => {
                    // The end of the function returns anyway.
                    if depth > 1 || at + 1 < nodes.len() {
                        self.line(depth, "return;");
                    }
                }
                Node::Return(Some(value)) => {
                    let value = match value {
                        Expr::Unary(Unary::Widen(_), WORD, inner) => inner,
                        other => other,
                    };
                    let value = match value {
                        Expr::Var(var, Type::Bits(128)) => &Expr::Var(*var, self.value_type(value)),
                        other => other,
                    };
                    let value = self.expr(value, 0);
                    self.line(depth, &format!("return {value};"));
                }
                Node::Break => self.line(depth, "break;"),
                Node::Continue => self.line(depth, "continue;"),
                Node::Goto(block) => self.line(depth, &format!("goto L{block};")),
                Node::Label(block) => {
                    // A label needs a statement behind it.
                    let semicolon = if at + 1 == nodes.len() { " ;" } else { "" };
                    self.line(depth.saturating_sub(1), &format!("L{block}:{semicolon}"));
                }
            }
        }
    }

    fn stmt(&mut self, stmt: &Stmt, depth: usize) {
        let text = match stmt {
            Stmt::Assign(_, Expr::Undefined(_)) => return,
            Stmt::Assign(var, value) => self.assignment(*var, value),
            Stmt::Store(address, value) => {
                let to = self.memory(value.ty(), address);
                let value = self.stored(value);
                format!("{to} = {value};")
            }
            Stmt::StoreGlobal(name, address, value) => {
                let to = self.global(value.ty(), name, *address);
                let value = self.stored(value);
                format!("{to} = {value};")
            }
            Stmt::Call { answer, .. } => {
                let call = self.call(stmt);
                match answer {
                    Some((var, _)) => format!("{} = {call};", self.names[*var as usize]),
                    None => format!("{call};"),
                }
            }
            Stmt::Other(name, operands) => {
                let operands: Vec<String> = operands.iter().map(|e| self.expr(e, 0)).collect();
                format!("__{name}({});", operands.join(", "))
            }
        };
        self.line(depth, &text);
    }

    fn call(&mut self, stmt: &Stmt) -> String {
        let Stmt::Call {
            callee, arguments, ..
        } = stmt
        else {
            return String::new();
        };
        let arguments: Vec<String> = arguments
            .iter()
            .map(|e| match e {
                Expr::Unary(Unary::Widen(_), _, inner) => self.expr(inner, 0),
                other => self.expr(other, 0),
            })
            .collect();
        let arguments = arguments.join(", ");
        match callee {
            Callee::Name(name) => {
                self.functions.insert(name.clone());
                format!("{name}({arguments})")
            }
            Callee::Pointer(pointer) => {
                let pointer = self.expr(pointer, binding::UNARY);
                format!("((u64 (*)()){pointer})({arguments})")
            }
        }
    }

    /// Whether a value is a variable that is read nowhere else and as wide as it is.
    fn is_only(&self, var: Var, value: &Expr) -> bool {
        let plain = match value {
            Expr::Unary(Unary::Widen(_), WORD, inner) => inner,
            other => other,
        };
        let whole = matches!(plain, Expr::Var(of, ty)
            if *of == var && *ty == self.types[var as usize]);
        whole && self.uses[var as usize] == 1
    }

    fn stored(&mut self, value: &Expr) -> String {
        // An assignment cuts by itself.
        match value {
            Expr::Unary(Unary::Cut(_), _, inner) => self.expr(inner, 0),
            other => self.expr(other, 0),
        }
    }

    fn assignment(&mut self, var: Var, value: &Expr) -> String {
        let name = self.names[var as usize].clone();
        let ty = self.types[var as usize];
        if let Expr::Binary(op, of, a, b) = value
            && **a == Expr::Var(var, ty)
            && ty.bits() >= 32
        {
            let sign = match op {
                Binary::Add => "+",
                Binary::Sub => "-",
                Binary::Mul => "*",
                Binary::And if matches!(ty, Type::Bits(_)) => "&",
                Binary::Or if matches!(ty, Type::Bits(_)) => "|",
                Binary::Xor if matches!(ty, Type::Bits(_)) => "^",
                Binary::Shl if matches!(**b, Expr::Const(..)) => "<<",
                Binary::Shr if matches!(**b, Expr::Const(..)) => ">>",
                _ => "",
            };
            if let (Expr::Const(number, _), Binary::Add) = (&**b, op)
                && matches!(ty, Type::Bits(_))
            {
                let back = number.wrapping_neg() & of.mask();
                return match back < *number && back <= 0x1000 {
                    true if back == 1 => format!("{name}--;"),
                    true => format!("{name} -= {};", self.number(back, *of)),
                    false if *number == 1 => format!("{name}++;"),
                    false => format!("{name} += {};", self.number(*number, *of)),
                };
            }
            if !sign.is_empty() {
                let b = self.expr(b, 0);
                return format!("{name} {sign}= {b};");
            }
        }
        let value = match value {
            // An assignment widens by itself.
            Expr::Unary(Unary::Widen(_), _, inner) => self.expr(inner, 0),
            Expr::Var(from, Type::Bits(128)) => {
                let from = Expr::Var(*from, ty);
                self.expr(&from, 0)
            }
            other => self.expr(other, 0),
        };
        format!("{name} = {value};")
    }

    fn condition(&mut self, condition: &Expr) -> String {
        match condition {
            Expr::Binary(Binary::Unequal, _, value, zero)
                if matches!(**zero, Expr::Const(0, Type::Bits(_))) =>
            {
                self.expr(value, 0)
            }
            Expr::Binary(Binary::Equal, _, value, zero)
                if matches!(**zero, Expr::Const(0, Type::Bits(_))) =>
            {
                format!("!{}", self.expr(value, binding::UNARY))
            }
            other => self.expr(other, 0),
        }
    }

    fn number(&self, value: u64, ty: Type) -> String {
        match ty {
            Type::Float(_) => format!("{value}"),
            _ if value < 10 => format!("{value}"),
            _ => format!("{value:#x}"),
        }
    }

    fn memory(&mut self, ty: Type, address: &Expr) -> String {
        if let Expr::Name(name, at) = address {
            return self.global(ty, name, *at);
        }
        let address = self.expr(address, binding::UNARY);
        format!("*({} *){address}", type_name(ty))
    }

    fn global(&mut self, ty: Type, name: &str, address: Option<u64>) -> String {
        let own = match name.split_once('_').map_or("", |(kind, _)| kind) {
            "byte" => Some(BYTE),
            "word" => Some(Type::Bits(16)),
            "dword" => Some(INT),
            "qword" | "off" => Some(WORD),
            _ => None,
        };
        let declared = own.map_or("u8", type_name);
        let array = if own.is_some() { "" } else { "[]" };
        let global = Global {
            name: name.to_owned(),
            address,
            declaration: format!("extern {declared} {name}{array};"),
        };
        self.globals.insert(name.to_owned(), global);
        match own == Some(ty) {
            true => name.to_owned(),
            false => format!("*({} *)&{name}", type_name(ty)),
        }
    }

    /// An expression between parentheses, unless it binds more tightly than what is
    /// around it.
    fn expr(&mut self, e: &Expr, around: u8) -> String {
        let (text, binds) = self.plain(e);
        match binds < around {
            true => format!("({text})"),
            false => text,
        }
    }

    fn plain(&mut self, e: &Expr) -> (String, u8) {
        use binding::*;
        match e {
            Expr::Undefined(_) => ("0 /* undefined */".into(), ALL),
            Expr::Const(value, ty) => (self.number(*value, *ty), ALL),
            Expr::Var(var, ty) => {
                let name = self.names[*var as usize].clone();
                let held = self.types[*var as usize];
                match (held, *ty) {
                    (held, ty) if held == ty => (name, ALL),
                    (Type::Bits(a), Type::Bits(b)) if a < b => (name, ALL),
                    (Type::Bits(_), Type::Bits(_)) => {
                        (format!("({}){name}", type_name(*ty)), UNARY)
                    }
                    (held, ty) => (
                        format!("__{}_of_{}({name})", type_name(ty), type_name(held)),
                        ALL,
                    ),
                }
            }
            Expr::Name(name, address) => {
                self.global(WORD, name, *address);
                (format!("(u64)&{name}"), UNARY)
            }
            Expr::Text(text) => (format!("(u64){text}"), UNARY),
            Expr::Place(offset) => {
                let inside = offset - self.lowest;
                match inside {
                    0 => ("(u64)stack".into(), UNARY),
                    inside if inside < 0 || *offset >= 0 => {
                        (format!("(u64)stack + {inside} /* of the caller */"), SUM)
                    }
                    inside => (format!("(u64)(stack + {inside:#x})"), UNARY),
                }
            }
            Expr::Load(ty, address) => (self.memory(*ty, address), UNARY),
            Expr::Global(ty, name, address) => {
                let text = self.global(*ty, name, *address);
                let binds = if text.starts_with('*') { UNARY } else { ALL };
                (text, binds)
            }
            Expr::Unary(op, ty, inner) => self.unary(*op, *ty, inner),
            Expr::Binary(op, ty, a, b) => self.binary(*op, *ty, a, b),
            Expr::Choice(_, condition, a, b) => {
                let condition = match self.condition(condition) {
                    text if text.contains(' ') => format!("({text})"),
                    text => text,
                };
                let (a, b) = (self.expr(a, CHOICE + 1), self.expr(b, CHOICE));
                (format!("{condition} ? {a} : {b}"), CHOICE)
            }
            Expr::Other(_, name, operands) => {
                let operands: Vec<String> = operands.iter().map(|e| self.expr(e, 0)).collect();
                (format!("__{name}({})", operands.join(", ")), ALL)
            }
        }
    }

    fn unary(&mut self, op: Unary, ty: Type, inner: &Expr) -> (String, u8) {
        use binding::UNARY;
        let small = ty.bits() < 32 && matches!(ty, Type::Bits(_));
        let tight = self.expr(inner, UNARY);
        let text = match op {
            Unary::Negate if small => format!("({})-{tight}", type_name(ty)),
            Unary::Not if small => format!("({})~{tight}", type_name(ty)),
            Unary::Negate => format!("-{tight}"),
            Unary::Not => format!("~{tight}"),
            Unary::Widen(_) => format!("({}){tight}", type_name(ty)),
            Unary::Cut(_) => format!("({}){tight}", type_name(ty)),
            Unary::Extend(from) => {
                let from = signed_name(Type::Bits(from));
                let inner = match inner {
                    Expr::Load(_, address) => {
                        let address = self.expr(address, UNARY);
                        format!("*({from} *){address}")
                    }
                    _ => format!("({from}){tight}"),
                };
                format!("({}){inner}", type_name(ty))
            }
            Unary::ToFloat(from @ Type::Bits(_)) => {
                format!("({})({}){tight}", type_name(ty), signed_name(from))
            }
            Unary::ToFloat(_) => format!("({}){tight}", type_name(ty)),
            Unary::ToWhole(_) => {
                format!("({})({}){tight}", type_name(ty), signed_name(ty))
            }
            Unary::Bits(from) => {
                let inner = self.expr(inner, 0);
                let text = format!("__{}_of_{}({inner})", type_name(ty), type_name(from));
                return (text, binding::ALL);
            }
            Unary::Sqrt => {
                let inner = self.expr(inner, 0);
                let name = if ty.bits() == 32 { "sqrtf" } else { "sqrt" };
                return (format!("__builtin_{name}({inner})"), binding::ALL);
            }
        };
        (text, UNARY)
    }

    fn binary(&mut self, op: Binary, ty: Type, a: &Expr, b: &Expr) -> (String, u8) {
        use binding::*;
        let whole = matches!(ty, Type::Bits(_));
        let signed = |printer: &mut Self, e: &Expr| match e {
            Expr::Const(value, _) => {
                let value = ty.signed(*value);
                match value {
                    -0x7fff_ffff..10 => format!("{value}"),
                    _ if value < 0 => format!("(i64){value:#x}"),
                    _ => format!("{value:#x}"),
                }
            }
            Expr::Load(_, address) => {
                let address = printer.expr(address, UNARY);
                format!("*({} *){address}", signed_name(ty))
            }
            other => {
                let text = printer.expr(other, UNARY);
                format!("({}){text}", signed_name(ty))
            }
        };
        let (sign, binds) = match op {
            Binary::Add => ("+", SUM),
            Binary::Sub => ("-", SUM),
            Binary::Mul => ("*", PRODUCT),
            Binary::Div | Binary::SignedDiv => ("/", PRODUCT),
            Binary::Rem | Binary::SignedRem => ("%", PRODUCT),
            Binary::And => ("&", AND),
            Binary::Or => ("|", OR),
            Binary::Xor => ("^", XOR),
            Binary::Shl => ("<<", SHIFT),
            Binary::Shr | Binary::SignedShr => (">>", SHIFT),
            Binary::Equal => ("==", EQUAL),
            Binary::Unequal => ("!=", EQUAL),
            Binary::Less | Binary::SignedLess => ("<", LESS),
            Binary::LessEqual | Binary::SignedLessEqual => ("<=", LESS),
            Binary::RotateLeft | Binary::RotateRight | Binary::HighMul | Binary::SignedHighMul => {
                let name = match op {
                    Binary::RotateLeft => "rol",
                    Binary::RotateRight => "ror",
                    Binary::HighMul => "high",
                    _ => "high_signed",
                };
                let (a, b) = (self.expr(a, 0), self.expr(b, 0));
                return (format!("__{name}{}({a}, {b})", ty.bits()), ALL);
            }
        };
        // Of numbers smaller than `int` C makes ints.
        let small = whole && ty.bits() < 32;
        match op {
            Binary::SignedDiv | Binary::SignedRem | Binary::SignedShr => {
                let left = signed(self, a);
                let right = match op {
                    Binary::SignedShr => self.expr(b, binds + 1),
                    _ => signed(self, b),
                };
                return (format!("({})({left} {sign} {right})", type_name(ty)), UNARY);
            }
            Binary::SignedLess | Binary::SignedLessEqual => {
                let (left, right) = (signed(self, a), signed(self, b));
                // Read from the left, as people do.
                if matches!(a, Expr::Const(..)) {
                    let sign = if op == Binary::SignedLess { ">" } else { ">=" };
                    return (format!("{right} {sign} {left}"), LESS);
                }
                return (format!("{left} {sign} {right}"), LESS);
            }
            Binary::Less | Binary::LessEqual if matches!(a, Expr::Const(..)) => {
                let sign = if op == Binary::Less { ">" } else { ">=" };
                let (a, b) = (self.expr(a, LESS + 1), self.expr(b, LESS + 1));
                return (format!("{b} {sign} {a}"), LESS);
            }
            _ => {}
        }
        if let (Binary::Add, Expr::Const(number, _)) = (op, b)
            && whole
        {
            let back = number.wrapping_neg() & ty.mask();
            if back < *number && back < 0x1_0000 {
                let a = self.expr(a, SUM);
                let text = format!("{a} - {}", self.number(back, ty));
                return match small {
                    true => (format!("({})({text})", type_name(ty)), UNARY),
                    false => (text, SUM),
                };
            }
        }
        let left = match (op, a) {
            // As wide as what it is shifted in.
            (Binary::Shl | Binary::Shr, Expr::Const(value, _)) => {
                format!("({}){value:#x}", type_name(ty))
            }
            _ => self.expr(
                a,
                binds.max(if matches!(binds, AND | OR | XOR | SHIFT) {
                    SUM
                } else {
                    0
                }),
            ),
        };
        let left = match (op, a) {
            (Binary::And | Binary::Or | Binary::Xor, Expr::Binary(inner, ..)) if *inner == op => {
                self.expr(a, binds)
            }
            _ => left,
        };
        let right = self.expr(
            b,
            (binds + 1).max(if matches!(binds, AND | OR | XOR | SHIFT) {
                SUM
            } else {
                0
            }),
        );
        let text = format!("{left} {sign} {right}");
        match small && matches!(op, Binary::Add | Binary::Sub | Binary::Mul | Binary::Shl) {
            true => (format!("({})({text})", type_name(ty)), UNARY),
            false => (text, binds),
        }
    }
}
