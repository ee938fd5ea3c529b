//! Types of LLVM's textual form, as far as the type of a result needs them.

use std::collections::HashMap;
use std::fmt;

use super::text::{find_outside, parts, word};

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Integers, floats and whatever else is one word: `i32`, `double`, `ptr`,
    /// `void`, `token`.
    Word(String),
    /// `%struct.x`
    Named(String),
    /// A pointer to a type, as LLVM wrote them up to version 14; the text is
    /// its address space.
    Pointer(Box<Type>, String),
    /// `[8 x i8]`
    Array(String, Box<Type>),
    /// `<4 x i32>`; the text is the count, `vscale` included.
    Vector(String, Box<Type>),
    /// `{ i32, i8 }`, or `<{ i32, i8 }>` when packed.
    Struct(Vec<Type>, bool),
    /// `i32 (i8*, ...)`; the text is that of the parameters.
    Function(Box<Type>, String),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Word(word) => f.write_str(word),
            Type::Named(name) => write!(f, "%{name}"),
            Type::Pointer(to, space) => write!(f, "{to}{space}*"),
            Type::Array(count, of) => write!(f, "[{count} x {of}]"),
            Type::Vector(count, of) => write!(f, "<{count} x {of}>"),
            Type::Struct(fields, packed) => {
                let fields: Vec<String> = fields.iter().map(Type::to_string).collect();
                let body = match fields.len() {
                    0 => "{}".to_owned(),
                    _ => format!("{{ {} }}", fields.join(", ")),
                };
                if *packed {
                    write!(f, "<{body}>")
                } else {
                    f.write_str(&body)
                }
            }
            Type::Function(result, parameters) => write!(f, "{result} ({parameters})"),
        }
    }
}

impl Type {
    /// A type and the text behind it.
    pub(super) fn parse(text: &str) -> Option<(Type, &str)> {
        let text = text.trim_start();
        let (mut found, mut rest) = match text.as_bytes().first()? {
            b'[' => {
                let (count, of, rest) = Type::counted(text, ']')?;
                (Type::Array(count, of), rest)
            }
            b'<' if text.starts_with("<{") => {
                let (fields, rest) = Type::fields(&text[1..])?;
                (Type::Struct(fields, true), rest.strip_prefix('>')?)
            }
            b'<' => {
                let (count, of, rest) = Type::counted(text, '>')?;
                (Type::Vector(count, of), rest)
            }
            b'{' => {
                let (fields, rest) = Type::fields(text)?;
                (Type::Struct(fields, false), rest)
            }
            b'%' => {
                let name = super::text::locals(text).into_iter().next()?;
                (
                    Type::Named(text[name.clone()].to_owned()),
                    &text[name.end..],
                )
            }
            _ => {
                let len = text
                    .bytes()
                    .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
                    .count();
                let (name, rest) = text.split_at(len);
                if !is_word(name) {
                    return None;
                }
                match name {
                    "ptr" => {
                        let (space, rest) = address_space(rest);
                        (Type::Word(format!("ptr{space}")), rest)
                    }
                    _ => (Type::Word(name.to_owned()), rest),
                }
            }
        };
        loop {
            let (space, behind) = address_space(rest);
            if let Some(behind) = behind.strip_prefix('*') {
                found = Type::Pointer(Box::new(found), space.to_owned());
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix(" (") {
                let end = find_outside(behind, ")")?;
                found = Type::Function(Box::new(found), behind[..end].to_owned());
                rest = &behind[end + 1..];
            } else {
                return Some((found, rest));
            }
        }
    }

    /// `[8 x i8]` and `<vscale x 4 x i8>`.
    fn counted(text: &str, close: char) -> Option<(String, Box<Type>, &str)> {
        let inner = &text[1..];
        let digits = inner.find(|c: char| c.is_ascii_digit())?;
        let times = digits + inner[digits..].find(" x ")?;
        let (of, rest) = Type::parse(&inner[times + 3..])?;
        let count = inner[..times].to_owned();
        Some((count, Box::new(of), rest.strip_prefix(close)?))
    }

    fn fields(text: &str) -> Option<(Vec<Type>, &str)> {
        let mut rest = text.strip_prefix('{')?.trim_start();
        let mut fields = Vec::new();
        loop {
            if let Some(behind) = rest.strip_prefix('}') {
                return Some((fields, behind));
            }
            let (field, behind) = Type::parse(rest)?;
            fields.push(field);
            let behind = behind.trim_start();
            rest = behind.strip_prefix(',').unwrap_or(behind).trim_start();
        }
    }

    /// The bits of an integer type.
    pub(super) fn integer_bits(&self) -> Option<u32> {
        match self {
            Type::Word(word) => word.strip_prefix('i')?.parse().ok(),
            _ => None,
        }
    }

    /// Whether a value of the type can be kept in memory.
    fn storable(&self) -> bool {
        match self {
            Type::Word(word) => !["void", "token", "label", "metadata", "x86_amx", "x86_mmx"]
                .contains(&word.as_str()),
            Type::Function(..) => false,
            _ => true,
        }
    }
}

fn is_word(name: &str) -> bool {
    let integer = name
        .strip_prefix('i')
        .is_some_and(|bits| bits.parse::<u32>().is_ok());
    integer
        || [
            "void",
            "half",
            "bfloat",
            "float",
            "double",
            "x86_fp80",
            "fp128",
            "ppc_fp128",
            "x86_mmx",
            "x86_amx",
            "token",
            "label",
            "metadata",
            "ptr",
        ]
        .contains(&name)
}

/// ` addrspace(3)` and the text behind it.
fn address_space(text: &str) -> (&str, &str) {
    if text.starts_with(" addrspace(")
        && let Some(end) = text.find(')')
    {
        return text.split_at(end + 1);
    }
    ("", text)
}

/// The named types of a module, and how it writes pointers.
#[derive(Debug, Default)]
pub(super) struct Types {
    /// Bodies of named structures.
    pub(super) named: HashMap<String, Type>,
    /// Whether pointers are written `ptr` (LLVM 15 and later) or with the type
    /// that they point to.
    pub(super) opaque: bool,
}

impl Types {
    /// How the module writes a pointer to a type.
    pub(super) fn pointer(&self, to: &str) -> String {
        if self.opaque {
            "ptr".to_owned()
        } else {
            format!("{to}*")
        }
    }

    /// The type of an instruction's result, if it can be kept in memory.
    pub(super) fn of_result(&self, op: &str, text: &str) -> Option<Type> {
        let found = self.result(op, text)?;
        found.storable().then_some(found)
    }

    fn result(&self, op: &str, text: &str) -> Option<Type> {
        let arguments = text.strip_prefix(op).unwrap_or(text);
        match op {
            "icmp" | "fcmp" => Some(match first_type(arguments)?.0 {
                Type::Vector(count, _) => Type::Vector(count, word_type("i1")),
                _ => *word_type("i1"),
            }),
            "trunc" | "zext" | "sext" | "fptrunc" | "fpext" | "fptoui" | "fptosi" | "uitofp"
            | "sitofp" | "ptrtoint" | "inttoptr" | "bitcast" | "addrspacecast" => {
                let to = find_outside(arguments, " to ")?;
                Some(Type::parse(&arguments[to + 4..])?.0)
            }
            "select" => Some(Type::parse(parts(arguments).get(1)?)?.0),
            "alloca" => {
                let of = first_type(arguments)?.0;
                let space = parts(arguments)
                    .into_iter()
                    .find(|p| p.starts_with("addrspace("))
                    .map(|p| format!(" {p}"))
                    .unwrap_or_default();
                Some(if self.opaque {
                    Type::Word(format!("ptr{space}"))
                } else {
                    Type::Pointer(Box::new(of), space)
                })
            }
            "getelementptr" => self.element_pointer(arguments),
            "call" => Some(match first_type(strip_call_words(text)?)?.0 {
                Type::Function(result, _) => *result,
                other => other,
            }),
            "va_arg" => Some(Type::parse(parts(arguments).get(1)?)?.0),
            "extractelement" => match first_type(arguments)?.0 {
                Type::Vector(_, of) => Some(*of),
                _ => None,
            },
            "shufflevector" => {
                let of = match first_type(arguments)?.0 {
                    Type::Vector(_, of) => of,
                    _ => return None,
                };
                match Type::parse(parts(arguments).get(2)?)?.0 {
                    Type::Vector(count, _) => Some(Type::Vector(count, of)),
                    _ => None,
                }
            }
            "extractvalue" => {
                let mut at = first_type(arguments)?.0;
                for index in parts(arguments).into_iter().skip(1) {
                    if index.starts_with('!') {
                        break;
                    }
                    at = self.element(&at, index.parse().ok())?;
                }
                Some(at)
            }
            "atomicrmw" => Some(Type::parse(parts(arguments).get(1)?)?.0),
            "cmpxchg" => {
                let of = Type::parse(parts(arguments).get(1)?)?.0;
                Some(Type::Struct(vec![of, *word_type("i1")], false))
            }
            "load" | "phi" | "insertelement" | "insertvalue" | "freeze" | "fneg" | "add"
            | "sub" | "mul" | "udiv" | "sdiv" | "urem" | "srem" | "shl" | "lshr" | "ashr"
            | "and" | "or" | "xor" | "fadd" | "fsub" | "fmul" | "fdiv" | "frem" => {
                Some(first_type(arguments)?.0)
            }
            _ => None,
        }
    }

    /// The type of `getelementptr`: with typed pointers the path is walked.
    fn element_pointer(&self, arguments: &str) -> Option<Type> {
        let (mut at, _) = first_type(arguments)?;
        let operands: Vec<&str> = parts(arguments)
            .into_iter()
            .skip(1)
            .filter(|p| !p.starts_with('!'))
            .collect();
        let (base, _) = Type::parse(operands.first()?)?;
        let mut count = None;
        for operand in &operands {
            if let (Type::Vector(n, _), _) = Type::parse(strip_inrange(operand))? {
                count = Some(n);
            }
        }
        let scalar_base = match base {
            Type::Vector(_, of) => *of,
            other => other,
        };
        let pointer = match scalar_base {
            Type::Pointer(_, space) => {
                for operand in operands.iter().skip(2) {
                    let (_, value) = Type::parse(strip_inrange(operand))?;
                    at = self.element(&at, value.trim().parse().ok())?;
                }
                Type::Pointer(Box::new(at), space)
            }
            opaque => opaque,
        };
        Some(match count {
            Some(n) => Type::Vector(n, Box::new(pointer)),
            None => pointer,
        })
    }

    /// What lies at an index of a type; structures need a known one.
    fn element(&self, of: &Type, index: Option<usize>) -> Option<Type> {
        match of {
            Type::Array(_, of) | Type::Vector(_, of) => Some((**of).clone()),
            Type::Struct(fields, _) => fields.get(index?).cloned(),
            Type::Named(name) => self.element(self.named.get(name)?, index),
            _ => None,
        }
    }
}

fn word_type(word: &str) -> Box<Type> {
    Box::new(Type::Word(word.to_owned()))
}

fn strip_inrange(operand: &str) -> &str {
    operand.strip_prefix("inrange ").unwrap_or(operand)
}

/// The first type of the text: flags and predicates before it are passed over.
pub(super) fn first_type(text: &str) -> Option<(Type, &str)> {
    let mut rest = text.trim_start();
    // The longest run of flags is that of a floating-point comparison.
    for _ in 0..16 {
        if let Some(found) = Type::parse(rest) {
            return Some(found);
        }
        // A flag may carry a list of its own: `range(i32 0, 4)`,
        // `dereferenceable(8)`.
        let (flag, behind) = match rest.find([' ', '(']) {
            Some(at) if rest.as_bytes()[at] == b'(' => {
                let end = find_outside(&rest[at + 1..], ")")?;
                rest.split_at(at + 1 + end + 1)
            }
            _ => word(rest),
        };
        // The number of `align 8` and of `cc 10` is no type either.
        if flag.is_empty() {
            return None;
        }
        rest = behind.trim_start();
    }
    None
}

/// What follows the word `call` and its markers.
fn strip_call_words(text: &str) -> Option<&str> {
    let at = find_outside(text, "call ")?;
    Some(&text[at + "call ".len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: &str, text: &str, expected: &str) {
        let fields = vec![
            *word_type("i32"),
            Type::Array("4".to_owned(), word_type("i8")),
        ];
        let types = Types {
            named: HashMap::from([("struct.s".to_owned(), Type::Struct(fields, false))]),
            opaque: false,
        };
        let found = types.of_result(op, text).map(|t| t.to_string());
        assert_eq!(found.as_deref(), Some(expected), "{text}");
    }

    #[test]
    fn results_have_types() {
        check("add", "add nuw nsw i32 %a, 1", "i32");
        check("icmp", "icmp eq i32 (i8*, ...)* %f, null", "i1");
        check("icmp", "icmp ult <4 x i32> %a, %b", "<4 x i1>");
        check(
            "fcmp",
            "fcmp nnan nsz olt <vscale x 2 x double> %a, %b",
            "<vscale x 2 x i1>",
        );
        check("zext", "zext nneg i8 %a to i64, !dbg !1", "i64");
        check(
            "ptrtoint",
            "ptrtoint i8* bitcast (i32* @x to i8*) to i64",
            "i64",
        );
        check(
            "select",
            "select i1 %c, { i8, i8 }* %a, { i8, i8 }* null",
            "{ i8, i8 }*",
        );
        check("load", "load volatile i8*, i8** %p, align 8", "i8*");
        check(
            "call",
            "tail call noundef align 8 dereferenceable(4) i32 (i8*, ...) @printf(i8* %0)",
            "i32",
        );
        check("call", "call fastcc range(i32 0, 4) i32 @f(i32 %x)", "i32");
        check("call", "call i32 (i32)* @getter(i32 %x)", "i32 (i32)*");
        check(
            "call",
            "call { i64, i1 } @llvm.umul.with.overflow.i64(i64 %a, i64 %b)",
            "{ i64, i1 }",
        );
        check("call", "call cc 10 i8 @f()", "i8");
        check(
            "extractvalue",
            "extractvalue { i64, [2 x i1] } %a, 1, 0, !dbg !3",
            "i1",
        );
        check(
            "cmpxchg",
            "cmpxchg weak i32* %p, i32 %a, i32 %b acq_rel monotonic",
            "{ i32, i1 }",
        );
        check(
            "atomicrmw",
            "atomicrmw volatile add i32* %p, i32 %a seq_cst",
            "i32",
        );
        check(
            "shufflevector",
            "shufflevector <4 x i8> %a, <4 x i8> %b, <2 x i32> <i32 0, i32 1>",
            "<2 x i8>",
        );
        check(
            "alloca",
            "alloca [4 x %struct.s], align 16",
            "[4 x %struct.s]*",
        );
        check(
            "getelementptr",
            "getelementptr inbounds %struct.s, %struct.s* %p, i64 0, i32 1, i64 %i",
            "i8*",
        );
        check("getelementptr", "getelementptr i8, ptr %p, i64 %i", "ptr");
        check(
            "getelementptr",
            "getelementptr inbounds nuw i8, ptr %p, <4 x i64> %i, !dbg !1",
            "<4 x ptr>",
        );
    }

    #[test]
    fn what_memory_cannot_hold_has_no_type_here() {
        let types = Types::default();
        assert_eq!(types.of_result("call", "call token @llvm.x()"), None);
        assert_eq!(types.of_result("call", "call void @f()"), None);
        assert_eq!(types.of_result("new_op", "new_op i32 %a"), None);
    }
}
