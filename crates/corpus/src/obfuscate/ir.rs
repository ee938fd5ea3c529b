//! A module of LLVM IR, read from its text as far as the passes need it.
//!
//! A module is a list of lines; only the bodies of functions are taken apart,
//! into blocks and instructions. Each instruction stays the text that it was:
//! what the passes do not name goes through unread. A function that holds
//! something whose meaning depends on more than its text (exceptions,
//! `musttail`, computed gotos, a second return) stays the lines that it was,
//! with the reason why.
//!
//! Values and blocks without a name (`%7`) get one, since LLVM insists that
//! numbers are dense and in order, and the passes put new ones in between.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::text;
use super::types::{Type, Types};

/// A module.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) items: Vec<Item>,
    pub(super) context: Context,
}

/// What the passes know of the module around a function.
#[derive(Debug)]
pub(super) struct Context {
    /// Begins every name that is given here; no name of the module does.
    pub(super) prefix: String,
    pub(super) types: Types,
    /// The integer type of the width of a pointer.
    pub(super) word: &'static str,
    /// Definitions to add to the module, in order.
    pub(super) added: Vec<String>,
}

/// A part of a module.
#[derive(Debug)]
pub(super) enum Item {
    Line(String),
    Function(Function),
    /// A function that is not understood, or not emitted.
    Left(LeftFunction),
}

/// A function that stays as it was.
#[derive(Debug)]
pub(super) struct LeftFunction {
    pub(super) name: String,
    pub(super) lines: Vec<String>,
    /// `None` for one that gives no code, which is not worth telling.
    pub(super) reason: Option<String>,
}

/// A function whose body is understood.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// The line of its `define`.
    pub(super) header: String,
    /// Its name as it is written, with `@`.
    pub(super) name: String,
    pub(super) blocks: Vec<Block>,
    /// How many names were given in it.
    fresh: usize,
}

/// A basic block; its last instruction is the terminator.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) label: String,
    pub(super) instructions: Vec<Instruction>,
}

/// An instruction, or a debug record among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// The name of its result, without `%`.
    pub(super) result: Option<String>,
    /// `add`, `call` (also for `tail call`), `#dbg_value`.
    pub(super) op: String,
    /// Everything behind the `=`.
    pub(super) text: String,
}

impl Instruction {
    /// Reads a line.
    pub(super) fn parse(line: &str) -> Instruction {
        let line = line.trim();
        let (result, text) = match line.strip_prefix('%').and_then(|l| l.split_once(" = ")) {
            Some((name, text)) => (Some(name.to_owned()), text),
            None => (None, line),
        };
        let (mut op, mut rest) = text::word(text);
        while ["tail", "musttail", "notail"].contains(&op) {
            (op, rest) = text::word(rest);
        }
        // `unreachable, !dbg !5` and `#dbg_value(i32 %x, ...)`.
        let op = op.split(['(', ',']).next().unwrap_or(op).to_owned();
        Instruction {
            result,
            op,
            text: text.to_owned(),
        }
    }

    /// Operands, without attachments and without what stands before the first.
    pub(super) fn parts(&self) -> Vec<&str> {
        let rest = self.text.strip_prefix(self.op.as_str());
        text::parts(rest.unwrap_or(&self.text))
            .into_iter()
            .filter(|p| !p.starts_with('!'))
            .collect()
    }

    /// The attachment that ties it to a source line, to append to another.
    pub(super) fn debug_location(&self) -> String {
        text::debug_location(&self.text)
    }

    /// The local names that its text holds.
    pub(super) fn locals(&self) -> impl Iterator<Item = &str> {
        text::locals(&self.text)
            .into_iter()
            .map(|range| &self.text[range])
    }

    /// Whether it only describes variables to a debugger.
    pub(super) fn is_debug(&self) -> bool {
        self.op.starts_with("#dbg_") || self.op == "call" && self.text.contains("@llvm.dbg.")
    }

    /// Whether it says what a variable's value is now, which a pass that moves
    /// values to memory makes untrue.
    pub(super) fn tracks_value(&self) -> bool {
        let tracks = |name: &str| name.starts_with("value") || name.starts_with("assign");
        match self.op.strip_prefix("#dbg_") {
            Some(name) => tracks(name),
            None => {
                self.is_debug()
                    && self
                        .text
                        .split_once("@llvm.dbg.")
                        .is_some_and(|(_, name)| tracks(name))
            }
        }
    }

    /// Whether it reserves a fixed place on the stack.
    pub(super) fn is_static_alloca(&self) -> bool {
        // `alloca T, i64 %n` has a count; a fixed one has none, or a constant.
        self.op == "alloca"
            && text::locals(&self.text)
                .iter()
                .all(|r| self.is_type(&self.text[r.clone()]))
    }

    /// Whether a name in an `alloca` is that of the reserved type.
    fn is_type(&self, name: &str) -> bool {
        self.parts().first().is_some_and(|first| {
            text::locals(first)
                .iter()
                .any(|r| &first[r.clone()] == name)
        })
    }

    /// The blocks that it may jump to, in order, each as often as it stands.
    pub(super) fn targets(&self) -> Vec<String> {
        let mut targets = Vec::new();
        if !["br", "switch"].contains(&self.op.as_str()) {
            return targets;
        }
        for range in text::locals(&self.text) {
            if self.text[..range.start].ends_with("label %") {
                targets.push(self.text[range].to_owned());
            }
        }
        targets
    }

    /// What a `phi` takes from each block: pairs of value and label.
    pub(super) fn incoming(&self) -> Option<(Type, Vec<(String, String)>)> {
        let (of, rest) = super::types::first_type(self.text.strip_prefix("phi")?)?;
        let mut found = Vec::new();
        for part in text::parts(rest)
            .into_iter()
            .filter(|p| !p.starts_with('!'))
        {
            let pair = part.strip_prefix('[')?.strip_suffix(']')?;
            let pair = text::parts(pair);
            let [value, label] = pair.as_slice() else {
                return None;
            };
            found.push(((*value).to_owned(), label.strip_prefix('%')?.to_owned()));
        }
        Some((of, found))
    }
}

impl Block {
    /// How many instructions at its beginning must stay there: `phi`s.
    pub(super) fn head(&self) -> usize {
        self.instructions
            .iter()
            .take_while(|i| i.op == "phi")
            .count()
    }

    /// The last instruction.
    pub(super) fn terminator(&self) -> Option<&Instruction> {
        self.instructions.last()
    }
}

impl Function {
    /// A name that nothing in the function has.
    pub(super) fn fresh(&mut self, context: &Context, what: &str) -> String {
        self.fresh += 1;
        format!("{}.{what}{}", context.prefix, self.fresh)
    }

    /// Makes `to` the block that other blocks' `phi`s know as `from`: the
    /// terminator of `from` has moved there.
    pub(super) fn rename_predecessor(&mut self, from: &str, to: &str) {
        for block in &mut self.blocks {
            for phi in block.instructions.iter_mut().filter(|i| i.op == "phi") {
                let mut out = String::with_capacity(phi.text.len());
                let mut copied = 0;
                for range in text::locals(&phi.text) {
                    let is_label = phi.text[range.end..].trim_start().starts_with(']');
                    if is_label && &phi.text[range.clone()] == from {
                        out.push_str(&phi.text[copied..range.start]);
                        out.push_str(to);
                        copied = range.end;
                    }
                }
                out.push_str(&phi.text[copied..]);
                phi.text = out;
            }
        }
    }

    /// Puts the fixed stack places of the entry block at its beginning and
    /// says how many there are: an `alloca` that a split moves to another
    /// block would grow the stack each time.
    pub(super) fn hoist_allocas(&mut self) -> usize {
        let Some(entry) = self.blocks.first_mut() else {
            return 0;
        };
        let (allocas, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut entry.instructions)
            .into_iter()
            .partition(Instruction::is_static_alloca);
        let count = allocas.len();
        entry.instructions = allocas;
        entry.instructions.extend(rest);
        count
    }
}

impl Module {
    /// Reads the text that `clang -S -emit-llvm` writes.
    pub(super) fn parse(ir: &str) -> Result<Module, String> {
        let facts = Facts::of(ir);
        let mut items = Vec::new();
        let mut lines = ir.lines();
        while let Some(line) = lines.next() {
            if !line.starts_with("define ") {
                items.push(Item::Line(line.to_owned()));
                continue;
            }
            let mut body = vec![line.to_owned()];
            loop {
                match lines.next() {
                    Some("}") => break,
                    Some(line) => body.push(line.to_owned()),
                    None => return Err(format!("the IR ends within a function: {line}")),
                }
            }
            body.push("}".to_owned());
            items.push(facts.function(body));
        }
        Ok(Module {
            items,
            context: facts.context,
        })
    }

    /// The functions whose bodies are understood.
    pub(super) fn functions(&self) -> impl Iterator<Item = &Function> {
        self.items.iter().filter_map(|item| match item {
            Item::Function(function) => Some(function),
            _ => None,
        })
    }

    /// The text of the module.
    pub(super) fn print(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        for item in &self.items {
            match item {
                Item::Line(line) => {
                    let _ = writeln!(out, "{line}");
                }
                Item::Left(left) => {
                    for line in &left.lines {
                        let _ = writeln!(out, "{line}");
                    }
                }
                Item::Function(function) => function.print(&mut out),
            }
        }
        for line in &self.context.added {
            let _ = writeln!(out, "{line}");
        }
        out
    }
}

impl Function {
    fn print(&self, out: &mut String) {
        let _ = writeln!(out, "{}", self.header);
        for (index, block) in self.blocks.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            let _ = writeln!(out, "{}:", block.label);
            for instruction in &block.instructions {
                match &instruction.result {
                    Some(result) => {
                        let _ = writeln!(out, "  %{result} = {}", instruction.text);
                    }
                    None => {
                        let _ = writeln!(out, "  {}", instruction.text);
                    }
                }
            }
        }
        out.push_str("}\n");
    }
}

/// What is read from the whole module before its functions.
struct Facts {
    context: Context,
    /// Functions whose blocks are used as values somewhere.
    taken_blocks: HashSet<String>,
    /// Functions that return twice, as `setjmp` does.
    returns_twice: HashSet<String>,
    /// Attribute groups by their number.
    groups: HashMap<String, String>,
}

impl Facts {
    fn of(ir: &str) -> Facts {
        let mut prefix = "obf".to_owned();
        while ir.contains(&format!("%{prefix}.")) || ir.contains(&format!("@{prefix}.")) {
            prefix.push('x');
        }
        let mut facts = Facts {
            context: Context {
                prefix,
                types: Types {
                    named: HashMap::new(),
                    opaque: is_opaque(ir),
                },
                word: "i64",
                added: Vec::new(),
            },
            taken_blocks: HashSet::new(),
            returns_twice: HashSet::new(),
            groups: HashMap::new(),
        };
        for line in ir.lines() {
            if let Some(layout) = line.strip_prefix("target datalayout = ") {
                facts.context.word = pointer_word(layout);
            } else if let Some(rest) = line.strip_prefix("attributes #")
                && let Some((number, attributes)) = rest.split_once(" = ")
            {
                facts
                    .groups
                    .insert(number.to_owned(), attributes.to_owned());
            } else if let Some(rest) = line.strip_prefix('%')
                && let Some((name, body)) = rest.split_once(" = type ")
                && let Some((body, _)) = Type::parse(body)
            {
                facts.context.types.named.insert(name.to_owned(), body);
            }
            for part in line.split("blockaddress(").skip(1) {
                facts
                    .taken_blocks
                    .extend(global_name(part).map(str::to_owned));
            }
        }
        for line in ir.lines() {
            let is_function = line.starts_with("declare ") || line.starts_with("define ");
            if is_function
                && let Some(name) = global_name(line)
                && (facts.attributes(line).any(|a| has_word(a, "returns_twice"))
                    || [
                        "@setjmp",
                        "@_setjmp",
                        "@sigsetjmp",
                        "@__sigsetjmp",
                        "@vfork",
                    ]
                    .contains(&name))
            {
                facts.returns_twice.insert(name.to_owned());
            }
        }
        facts
    }

    /// The attribute groups that a line names.
    fn attributes<'a>(&'a self, line: &'a str) -> impl Iterator<Item = &'a str> {
        line.split(" #")
            .skip(1)
            .filter_map(|rest| {
                let len = rest.bytes().take_while(u8::is_ascii_digit).count();
                self.groups.get(&rest[..len])
            })
            .map(String::as_str)
    }

    fn function(&self, lines: Vec<String>) -> Item {
        let name = global_name(&lines[0]).unwrap_or("@").to_owned();
        let left = |lines, reason| {
            let name = name.clone();
            Item::Left(LeftFunction {
                name,
                lines,
                reason,
            })
        };
        // It is there to be inlined; no code is made of it.
        if has_word(&lines[0], "available_externally") {
            return left(lines, None);
        }
        match self.body(&name, &lines) {
            Ok(function) => Item::Function(function),
            Err(reason) => left(lines, Some(reason)),
        }
    }

    fn body(&self, name: &str, lines: &[String]) -> Result<Function, String> {
        let header = &lines[0];
        if self.taken_blocks.contains(name) {
            return Err("the address of one of its blocks is taken".to_owned());
        }
        if find_word(header, "personality") {
            return Err("it handles exceptions".to_owned());
        }
        if self.attributes(header).any(|a| has_word(a, "naked")) {
            return Err("it is naked".to_owned());
        }
        let unnamed = text::locals(header)
            .into_iter()
            .filter(|r| is_number(&header[r.clone()]))
            .map(|r| &header[r])
            .collect::<HashSet<_>>()
            .len();
        let mut blocks = vec![Block {
            label: unnamed.to_string(),
            instructions: Vec::new(),
        }];
        let body = &lines[1..lines.len() - 1];
        let mut at = 0;
        while at < body.len() {
            let line = text::without_comment(&body[at]);
            at += 1;
            if line.is_empty() {
                continue;
            }
            if !line.starts_with(' ') {
                let label = line
                    .strip_suffix(':')
                    .ok_or_else(|| format!("it has a line that is not understood: {line}"))?
                    .to_owned();
                match blocks.last_mut() {
                    // The first block's own label.
                    Some(first) if at == 1 => first.label = label,
                    _ => blocks.push(Block {
                        label,
                        instructions: Vec::new(),
                    }),
                }
                continue;
            }
            let mut whole = line.to_owned();
            if line.ends_with('[') {
                while at < body.len() {
                    let more = text::without_comment(&body[at]).trim();
                    at += 1;
                    whole.push(' ');
                    whole.push_str(more);
                    if more.starts_with(']') {
                        break;
                    }
                }
            }
            let instruction = Instruction::parse(&whole);
            self.check(&instruction)?;
            if let Some(block) = blocks.last_mut() {
                block.instructions.push(instruction);
            }
        }
        let mut function = Function {
            header: header.clone(),
            name: name.to_owned(),
            blocks,
            fresh: 0,
        };
        self.check_blocks(&function)?;
        self.name_numbers(&mut function);
        Ok(function)
    }

    /// Refuses an instruction that the passes may not move or copy around.
    fn check(&self, instruction: &Instruction) -> Result<(), String> {
        let op = instruction.op.as_str();
        let refused = [
            "invoke",
            "callbr",
            "indirectbr",
            "resume",
            "landingpad",
            "catchswitch",
            "catchpad",
            "cleanuppad",
            "catchret",
            "cleanupret",
            "uselistorder",
            "uselistorder_bb",
        ];
        if refused.contains(&op) {
            return Err(format!("it has a {op}"));
        }
        let code = &instruction.text;
        if code.starts_with("musttail ") {
            return Err("it has a musttail call".to_owned());
        }
        if op == "alloca" && (find_word(code, "inalloca") || find_word(code, "swifterror")) {
            return Err("it has a special alloca".to_owned());
        }
        if op != "call" {
            return Ok(());
        }
        for word in ["token", "x86_amx", "x86_mmx"] {
            if find_word(code, word) {
                return Err(format!("it has a call with a {word}"));
            }
        }
        for word in ["@llvm.coro.", "@llvm.localescape", "@llvm.eh."] {
            if code.contains(word) {
                return Err(format!("it calls {word}*"));
            }
        }
        let twice = self.attributes(code).any(|a| has_word(a, "returns_twice"))
            || code
                .split(|c: char| c.is_whitespace() || "(),".contains(c))
                .any(|w| self.returns_twice.contains(w));
        if twice {
            return Err("it calls a function that returns twice".to_owned());
        }
        Ok(())
    }

    fn check_blocks(&self, function: &Function) -> Result<(), String> {
        let labels: HashSet<&str> = function.blocks.iter().map(|b| b.label.as_str()).collect();
        for block in &function.blocks {
            let op = block.terminator().map_or("", |t| t.op.as_str());
            if !["ret", "br", "switch", "unreachable"].contains(&op) {
                return Err(format!("a block of it ends in {op:?}"));
            }
            for instruction in &block.instructions {
                let name = instruction.result.as_deref().unwrap_or_default();
                if self.context.types.named.contains_key(name) || labels.contains(name) {
                    return Err(format!("%{name} is not only a value in it"));
                }
                for target in instruction.targets() {
                    if !labels.contains(target.as_str()) {
                        return Err(format!("it jumps to an unknown block {target}"));
                    }
                }
                if instruction.op == "phi" && instruction.incoming().is_none() {
                    return Err(format!(
                        "it has a phi that is not understood: {}",
                        instruction.text
                    ));
                }
            }
        }
        // A type that is a number would be renamed as a value is.
        let numbered = self.context.types.named.keys().any(|n| is_number(n));
        if numbered {
            return Err("its module has types without a name".to_owned());
        }
        Ok(())
    }

    fn name_numbers(&self, function: &mut Function) {
        let prefix = &self.context.prefix;
        let name = |old: &str| is_number(old).then(|| format!("{prefix}.{old}"));
        function.header = text::rename(&function.header, name);
        for block in &mut function.blocks {
            if let Some(new) = name(&block.label) {
                block.label = new;
            }
            for instruction in &mut block.instructions {
                if let Some(new) = instruction.result.as_deref().and_then(name) {
                    instruction.result = Some(new);
                }
                instruction.text = text::rename(&instruction.text, name);
            }
        }
    }
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_digit())
}

/// The first global name of a text, with its `@`.
pub(super) fn global_name(text: &str) -> Option<&str> {
    let start = text.find('@')?;
    let rest = &text[start + 1..];
    let len = match rest.strip_prefix('"') {
        Some(quoted) => quoted.find('"')? + 2,
        None => rest
            .bytes()
            .take_while(|b| b.is_ascii_alphanumeric() || b"-$._".contains(b))
            .count(),
    };
    Some(&text[start..start + 1 + len])
}

/// Whether a list of attributes holds a word.
fn has_word(text: &str, word: &str) -> bool {
    text.split_whitespace().any(|w| w == word)
}

/// Whether a word stands anywhere in a text, also beside brackets.
fn find_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|w| w == word)
}

/// The integer type of the width of a pointer, from `p:32:32` of a data layout.
fn pointer_word(layout: &str) -> &'static str {
    let layout = layout.trim_matches('"');
    let size = layout.split('-').find_map(|part| {
        let sizes = part.strip_prefix("p:").or(part.strip_prefix("p0:"))?;
        sizes.split(':').next()
    });
    match size {
        Some("32") => "i32",
        Some("16") => "i16",
        _ => "i64",
    }
}

/// Whether the module writes every pointer `ptr`. A module without a pointer
/// is judged by the version of the compiler that wrote it.
fn is_opaque(ir: &str) -> bool {
    let code = ir
        .lines()
        .filter(|l| l.starts_with("  ") || l.starts_with("define ") || l.starts_with("declare "));
    for line in code {
        // Assembly in a string may speak of `dword ptr`, or multiply.
        for code in line.split('"').step_by(2) {
            let mut words = code.split(|c: char| c.is_whitespace() || "(),{}[]<>".contains(c));
            if words.clone().any(|w| w == "ptr") {
                return true;
            }
            if words.any(|w| w.ends_with('*')) {
                return false;
            }
        }
    }
    let version = ir
        .lines()
        .filter(|l| l.starts_with('!'))
        .find_map(|l| l.split_once("clang version "))
        .and_then(|(_, v)| v.split('.').next()?.parse::<u32>().ok());
    version.is_none_or(|v| v >= 15)
}
