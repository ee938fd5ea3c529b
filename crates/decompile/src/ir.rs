//! Statements and expressions between instructions and C.

/// Number of a variable in [`Body::vars`].
pub(crate) type Var = u32;

/// What a value is, and how wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    /// A number of so many bits, 8 to 64, or the 128 of a vector register.
    Bits(u8),
    /// A number with a point, of 32 or 64 bits.
    Float(u8),
}

pub(crate) const WORD: Type = Type::Bits(64);
pub(crate) const INT: Type = Type::Bits(32);
pub(crate) const BYTE: Type = Type::Bits(8);

impl Type {
    pub(crate) fn bits(self) -> u8 {
        match self {
            Type::Bits(bits) | Type::Float(bits) => bits,
        }
    }

    /// A number of this many bits with its sign.
    pub(crate) fn signed(self, value: u64) -> i64 {
        let shift = 64 - u32::from(self.bits().clamp(1, 64));
        (value << shift) as i64 >> shift
    }

    /// All bits of it, if it has no more than 64.
    pub(crate) fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits().clamp(1, 64))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Unary {
    Negate,
    Not,
    /// From so many bits to those of the type, with zeros before them.
    Widen(u8),
    /// The same with the sign.
    Extend(u8),
    /// The low bits of something wider.
    Cut(u8),
    /// From a whole number with a sign, or from another width of float.
    ToFloat(Type),
    /// From a float, cut off towards zero.
    ToWhole(Type),
    /// The same bits as another type.
    Bits(Type),
    Sqrt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    SignedDiv,
    SignedRem,
    And,
    Or,
    Xor,
    Shl,
    Shr,
    SignedShr,
    RotateLeft,
    RotateRight,
    /// The upper half of a product.
    HighMul,
    SignedHighMul,
    /// Comparisons: 1 or 0, of the type of their operands.
    Equal,
    Unequal,
    Less,
    LessEqual,
    SignedLess,
    SignedLessEqual,
}

impl Binary {
    pub(crate) fn compares(self) -> bool {
        matches!(
            self,
            Binary::Equal
                | Binary::Unequal
                | Binary::Less
                | Binary::LessEqual
                | Binary::SignedLess
                | Binary::SignedLessEqual
        )
    }

    pub(crate) fn commutes(self) -> bool {
        matches!(
            self,
            Binary::Add | Binary::Mul | Binary::And | Binary::Or | Binary::Xor
        )
    }
}

/// An operation on two values.
pub(crate) fn binary(op: Binary, ty: Type, a: Expr, b: Expr) -> Expr {
    Expr::Binary(op, ty, Box::new(a), Box::new(b))
}

/// A value. The type of each node is that of its result, but for comparisons.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    /// Of a register that nothing was put into.
    Undefined(Type),
    Const(u64, Type),
    Var(Var, Type),
    /// The address of what has a name, and that address where the file has it.
    Name(String, Option<u64>),
    /// A string literal, as the listing has it, quotes and all.
    Text(String),
    /// The address of a place on the stack.
    Place(i64),
    Load(Type, Box<Expr>),
    /// What lies at a name, and its address.
    Global(Type, String, Option<u64>),
    Unary(Unary, Type, Box<Expr>),
    Binary(Binary, Type, Box<Expr>, Box<Expr>),
    /// Condition, and what it is if that holds and if not.
    Choice(Type, Box<Expr>, Box<Expr>, Box<Expr>),
    /// What C has no word for: the mnemonic, called with its operands.
    Other(Type, String, Vec<Expr>),
}

impl Expr {
    pub(crate) fn ty(&self) -> Type {
        match self {
            Expr::Undefined(ty)
            | Expr::Const(_, ty)
            | Expr::Var(_, ty)
            | Expr::Load(ty, _)
            | Expr::Global(ty, ..)
            | Expr::Unary(_, ty, _)
            | Expr::Choice(ty, ..)
            | Expr::Other(ty, ..) => *ty,
            Expr::Binary(op, ty, ..) => match op.compares() {
                true => BYTE,
                false => *ty,
            },
            Expr::Name(..) | Expr::Text(_) | Expr::Place(_) => WORD,
        }
    }

    /// Calls `see` for it and all that is in it.
    pub(crate) fn walk(&self, see: &mut impl FnMut(&Expr)) {
        see(self);
        match self {
            Expr::Load(_, inner) | Expr::Unary(_, _, inner) => inner.walk(see),
            Expr::Binary(_, _, a, b) => {
                a.walk(see);
                b.walk(see);
            }
            Expr::Choice(_, condition, a, b) => {
                condition.walk(see);
                a.walk(see);
                b.walk(see);
            }
            Expr::Other(_, _, operands) => operands.iter().for_each(|o| o.walk(see)),
            _ => {}
        }
    }

    /// The same for change, what is in it first.
    pub(crate) fn alter(&mut self, change: &mut impl FnMut(&mut Expr)) {
        match self {
            Expr::Load(_, inner) | Expr::Unary(_, _, inner) => inner.alter(change),
            Expr::Binary(_, _, a, b) => {
                a.alter(change);
                b.alter(change);
            }
            Expr::Choice(_, condition, a, b) => {
                condition.alter(change);
                a.alter(change);
                b.alter(change);
            }
            Expr::Other(_, _, operands) => operands.iter_mut().for_each(|o| o.alter(change)),
            _ => {}
        }
        change(self);
    }

    /// Nodes of it.
    pub(crate) fn size(&self) -> usize {
        let mut size = 0;
        self.walk(&mut |_| size += 1);
        size
    }

    pub(crate) fn mentions(&self, var: Var) -> bool {
        let mut found = false;
        self.walk(&mut |e| found |= matches!(e, Expr::Var(v, _) if *v == var));
        found
    }

    /// Whether what it is may differ after something was written to memory.
    pub(crate) fn reads(&self) -> bool {
        let mut found = false;
        self.walk(&mut |e| {
            found |= matches!(e, Expr::Load(..) | Expr::Global(..) | Expr::Other(..));
        });
        found
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Callee {
    Name(String),
    Pointer(Expr),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stmt {
    Assign(Var, Expr),
    Store(Expr, Expr),
    StoreGlobal(String, Option<u64>, Expr),
    /// With what takes the answer, and what a call leaves undefined.
    Call {
        answer: Option<(Var, Type)>,
        callee: Callee,
        arguments: Vec<Expr>,
        spoils: Vec<Var>,
    },
    /// What C has no word for and is no value.
    Other(String, Vec<Expr>),
}

impl Stmt {
    pub(crate) fn exprs(&self) -> Vec<&Expr> {
        match self {
            Stmt::Assign(_, value) | Stmt::StoreGlobal(_, _, value) => vec![value],
            Stmt::Store(address, value) => vec![address, value],
            Stmt::Call {
                callee, arguments, ..
            } => {
                let pointer = match callee {
                    Callee::Pointer(pointer) => Some(pointer),
                    Callee::Name(_) => None,
                };
                pointer.into_iter().chain(arguments).collect()
            }
            Stmt::Other(_, operands) => operands.iter().collect(),
        }
    }

    pub(crate) fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Stmt::Assign(_, value) | Stmt::StoreGlobal(_, _, value) => vec![value],
            Stmt::Store(address, value) => vec![address, value],
            Stmt::Call {
                callee, arguments, ..
            } => {
                let pointer = match callee {
                    Callee::Pointer(pointer) => Some(pointer),
                    Callee::Name(_) => None,
                };
                pointer.into_iter().chain(arguments).collect()
            }
            Stmt::Other(_, operands) => operands.iter_mut().collect(),
        }
    }

    /// The variables that it gives another value, or none.
    pub(crate) fn defines(&self) -> Vec<Var> {
        match self {
            Stmt::Assign(var, _) => vec![*var],
            Stmt::Call { answer, spoils, .. } => {
                let answer = answer.iter().map(|(var, _)| *var);
                answer.chain(spoils.iter().copied()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether memory may differ after it.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self, Stmt::Assign(..))
    }
}

/// How a block ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// Another one follows, or none: the function does not go on here.
    Goto(Option<usize>),
    /// If the condition is not 0 the first, else the second.
    If(Expr, usize, usize),
    /// By a number: which of them each leads to.
    Switch(Expr, Vec<usize>),
    /// To where a pointer says.
    Jump(Expr, Vec<usize>),
    Return(Option<Expr>),
}

impl End {
    pub(crate) fn next(&self) -> Vec<usize> {
        match self {
            End::Goto(next) => next.iter().copied().collect(),
            End::If(_, yes, no) => vec![*yes, *no],
            End::Switch(_, cases) | End::Jump(_, cases) => cases.clone(),
            End::Return(_) => Vec::new(),
        }
    }

    pub(crate) fn expr(&self) -> Option<&Expr> {
        match self {
            End::If(e, ..) | End::Switch(e, _) | End::Jump(e, _) => Some(e),
            End::Return(value) => value.as_ref(),
            End::Goto(_) => None,
        }
    }

    pub(crate) fn expr_mut(&mut self) -> Option<&mut Expr> {
        match self {
            End::If(e, ..) | End::Switch(e, _) | End::Jump(e, _) => Some(e),
            End::Return(value) => value.as_mut(),
            End::Goto(_) => None,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) stmts: Vec<Stmt>,
    pub(crate) end: End,
}

/// What a variable stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Home {
    /// A general register by its number.
    Register(u8),
    /// A vector register.
    Vector(u8),
    /// What was compared last, so that a condition can ask for it.
    Compared(u8),
    /// A place on the stack, so many bytes above the caller's return address, or
    /// below it, that is only ever read and written as a whole.
    Slot(i64, u8),
    /// So much of the values that the caller put into registers.
    Parameter(u8),
    FloatParameter(u8),
    /// For a moment.
    Scratch(u32),
}

/// A function in the making.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) vars: Vec<Home>,
    pub(crate) blocks: Vec<Block>,
    /// Places on the stack whose address is taken, or that are read in several ways:
    /// where each begins. They stay memory.
    pub(crate) places: Vec<i64>,
}
