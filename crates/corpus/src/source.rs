//! Function definitions in files of C and C++, and what stands above them.

use std::collections::HashMap;
use std::path::Path;

use regex::Regex;
use tree_sitter::{Node, Parser};

use crate::comment::{self, pattern};
use crate::manifest::Language;
use crate::names;

/// One definition in a file of C or C++.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    /// Its name, with namespaces and classes where it is in any.
    pub(crate) name: String,
    /// Line of the name.
    pub(crate) line: u32,
    /// Lines from the first of the definition to the last, 1-based.
    pub(crate) lines: (u32, u32),
    pub(crate) text: String,
    /// The comment above, cleaned.
    pub(crate) comment: Option<String>,
    /// Hash of the body.
    pub(crate) hash: String,
}

/// The definitions of one file, and its text for those that the parser missed.
#[derive(Debug)]
pub(crate) struct SourceFile {
    text: String,
    definitions: Vec<Definition>,
}

impl SourceFile {
    /// Parses a file in the first of these languages that it is without fault
    /// in, or else in the first. Bytes that are not UTF-8 are replaced; old
    /// sources carry names of people in other encodings.
    pub(crate) fn parse(bytes: &[u8], languages: &[Language]) -> SourceFile {
        let text = String::from_utf8_lossy(bytes).replace('\r', "");
        let mut trees = languages.iter().filter_map(|language| {
            let grammar = match language {
                Language::C => tree_sitter_c::LANGUAGE,
                Language::Cpp => tree_sitter_cpp::LANGUAGE,
            };
            let mut parser = Parser::new();
            parser.set_language(&grammar.into()).ok()?;
            parser.parse(&text, None)
        });
        let mut tree = trees.next();
        if tree.as_ref().is_some_and(|t| t.root_node().has_error()) {
            tree = trees.find(|t| !t.root_node().has_error()).or(tree);
        }
        let mut definitions = Vec::new();
        if let Some(tree) = tree {
            let lines: Vec<&str> = text.lines().collect();
            collect(tree.root_node(), &text, &lines, &mut definitions);
        }
        SourceFile { text, definitions }
    }

    /// All that the parser found, in order.
    pub(crate) fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    /// The definition of `name` that holds `line`; failing that, the only one
    /// of that name in the file; failing that, whatever the braces after
    /// `line` enclose.
    pub(crate) fn find(&self, name: &str, line: u32) -> Option<Definition> {
        let named = || self.definitions.iter().filter(|d| d.name == name);
        if let Some(found) = named().find(|d| d.lines.0 <= line && line <= d.lines.1) {
            return Some(found.clone());
        }
        // Local classes and inline namespaces are told in several ways.
        let last = names::last(name);
        let mut here = self.definitions.iter();
        let here =
            here.find(|d| names::last(&d.name) == last && d.lines.0 <= line && line <= d.lines.1);
        if let Some(found) = here {
            return Some(found.clone());
        }
        if let Some(found) = named().next()
            && named().count() == 1
        {
            return Some(found.clone());
        }
        self.by_braces(last, line)
    }

    /// For what the parser takes for something else: old-style definitions,
    /// and macros where it expects a type.
    fn by_braces(&self, name: &str, line: u32) -> Option<Definition> {
        let lines: Vec<&str> = self.text.lines().collect();
        let at = (line as usize).checked_sub(1)?;
        // A macro can define functions of any name; then the line does not
        // tell it, and the text would not show what was compiled.
        let mentions = Regex::new(&format!(r"\b{}\b", regex::escape(name))).ok()?;
        if !mentions.is_match(lines.get(at)?) {
            return None;
        }
        let start: usize = lines[..at].iter().map(|l| l.len() + 1).sum();
        let end = start + matching_brace(&self.text[start..])?;
        let text = &self.text[start..end];
        let last = at + text.matches('\n').count();
        Some(definition(name, (at, last), text, &body(text)?, &lines))
    }
}

fn collect(root: Node<'_>, text: &str, lines: &[&str], into: &mut Vec<Definition>) {
    let mut stack = vec![root];
    while let Some(node) = stack.pop() {
        if node.kind() == "function_definition" {
            let body = node.child_by_field_name("body");
            let name = node.child_by_field_name("declarator").and_then(declared);
            if let (Some(name), Some(body)) = (name, body) {
                let rows = (node.start_position().row, node.end_position().row);
                let line = name.end_position().row as u32 + 1;
                let name = &qualified(node, name, text);
                let (whole, inner) = (&text[node.byte_range()], &text[body.byte_range()]);
                into.push(Definition {
                    line,
                    ..definition(name, rows, whole, inner, lines)
                });
                continue;
            }
        }
        let mut cursor = node.walk();
        stack.extend(node.children(&mut cursor));
    }
    into.sort_by_key(|d| d.lines);
}

/// The name in a declarator: `f` of `*(*f(int))(void)`.
fn declared(mut node: Node<'_>) -> Option<Node<'_>> {
    const NAMES: [&str; 7] = [
        "identifier",
        "field_identifier",
        "qualified_identifier",
        "destructor_name",
        "operator_name",
        "operator_cast",
        "template_function",
    ];
    loop {
        if NAMES.contains(&node.kind()) {
            return Some(node);
        }
        node = match node.child_by_field_name("declarator") {
            Some(inner) => inner,
            None => {
                let mut cursor = node.walk();
                node.named_children(&mut cursor)
                    .find(|n| n.kind().ends_with("declarator") || NAMES.contains(&n.kind()))?
            }
        };
    }
}

/// The name of the definition `node` with the namespaces and classes around it.
fn qualified(node: Node<'_>, name: Node<'_>, text: &str) -> String {
    // A conversion is named by its type; its parameters are none.
    let own = match name.child_by_field_name("declarator") {
        Some(parameters) => &text[name.start_byte()..parameters.start_byte()],
        None => &text[name.byte_range()],
    };
    let mut path = vec![names::without_templates(own)];
    let mut around = node.parent();
    while let Some(scope) = around {
        let named = matches!(
            scope.kind(),
            "namespace_definition" | "class_specifier" | "struct_specifier" | "union_specifier"
        );
        let name = scope.child_by_field_name("name").filter(|_| named);
        path.extend(name.map(|n| names::without_templates(&text[n.byte_range()])));
        around = scope.parent();
    }
    path.reverse();
    path.join("::")
}

fn definition(
    name: &str,
    rows: (usize, usize),
    text: &str,
    body: &str,
    lines: &[&str],
) -> Definition {
    let start = comment::real_start(lines, rows.0);
    let lost: String = lines[start..rows.0]
        .iter()
        .map(|l| format!("{l}\n"))
        .collect();
    Definition {
        name: name.to_owned(),
        line: rows.0 as u32 + 1,
        lines: (start as u32 + 1, rows.1 as u32 + 1),
        text: lost + text,
        comment: comment::above(lines, start).and_then(|raw| comment::clean(&raw, name)),
        hash: body_hash(body),
    }
}

/// The part of a definition from its first brace at depth 0 of parentheses.
fn body(text: &str) -> Option<String> {
    let stripped = blank_comments(text);
    Some(text[stripped.find('{')?..].to_owned())
}

/// Hash of a body in which only the code counts.
pub(crate) fn body_hash(body: &str) -> String {
    let code = blank_comments(body);
    let mut hash = blake3::Hasher::new();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut previous, mut space) = (' ', false);
    for c in code.chars() {
        if c.is_whitespace() {
            space = true;
            continue;
        }
        // White space only counts where it keeps two words apart.
        if space && word(previous) && word(c) {
            hash.update(b" ");
        }
        hash.update(c.encode_utf8(&mut [0; 4]).as_bytes());
        (previous, space) = (c, false);
    }
    hash.finalize().to_hex()[..16].to_owned()
}

/// The text with comments turned into spaces of the same length, so that
/// offsets stay; literals are left alone.
fn blank_comments(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut i = 0;
    while i < out.len() {
        match out[i] {
            quote @ (b'"' | b'\'') => {
                i += 1;
                while i < out.len() && out[i] != quote && out[i] != b'\n' {
                    i += if out[i] == b'\\' { 2 } else { 1 };
                }
            }
            b'/' if out.get(i + 1) == Some(&b'*') => {
                let end = text.as_bytes()[i + 2..]
                    .windows(2)
                    .position(|w| w == b"*/")
                    .map_or(out.len(), |n| i + n + 4);
                blank(&mut out[i..end]);
                i = end;
                continue;
            }
            b'/' if out.get(i + 1) == Some(&b'/') => {
                let end = out[i..]
                    .iter()
                    .position(|b| *b == b'\n')
                    .map_or(out.len(), |n| i + n);
                blank(&mut out[i..end]);
                i = end;
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|b| **b != b'\n') {
        *byte = b' ';
    }
}

/// Offset just behind the brace that closes the first one in the text.
fn matching_brace(text: &str) -> Option<usize> {
    let code = blank_comments(text);
    let bytes = code.as_bytes();
    let (mut depth, mut i) = (0usize, 0);
    while i < bytes.len() {
        match bytes[i] {
            quote @ (b'"' | b'\'') => {
                i += 1;
                while i < bytes.len() && bytes[i] != quote && bytes[i] != b'\n' {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            // A semicolon before any brace that is not a parameter of an
            // old-style definition would end a declaration; such parameters
            // follow a closing parenthesis, so only a bare one counts.
            b';' if depth == 0 && !code[..i].contains(')') => return None,
            _ => {}
        }
        i += 1;
    }
    None
}

/// Comments above prototypes, by the name of the function, from the headers of
/// a source tree.
pub(crate) fn prototypes(header: &str) -> HashMap<String, String> {
    let text = header.replace('\r', "");
    let code = blank_comments(&text);
    let lines: Vec<&str> = text.lines().collect();
    let mut found = HashMap::new();
    // A declaration runs from the first line of code behind the last
    // delimiter or directive, to its semicolon.
    let mut start: Option<usize> = None;
    let mut words = String::new();
    let mut claimed = String::new();
    let mut continued = false;
    for (row, line) in code.lines().enumerate() {
        let directive = continued || line.trim_start().starts_with('#');
        continued = directive && line.trim_end().ends_with('\\');
        if directive {
            (start, words) = (None, String::new());
            continue;
        }
        for piece in line.split_inclusive([';', '{', '}']) {
            if start.is_none() && !piece.trim().is_empty() {
                start = Some(row);
            }
            words.push_str(piece);
            words.push(' ');
            if piece.ends_with([';', '{', '}']) {
                if piece.ends_with(';')
                    && let Some(first) = start
                    && let Some(name) = prototype_name(&words)
                {
                    // What touches the declaration is about it; a comment
                    // behind a blank line may belong to the one before.
                    let touches = first > 0 && !lines[first - 1].trim().is_empty();
                    let below = if touches {
                        None
                    } else {
                        comment::below(&lines, row)
                    };
                    let raw = match &below {
                        Some(raw) => Some(raw.clone()),
                        None => comment::above(&lines, first).filter(|raw| *raw != claimed),
                    };
                    claimed = below.unwrap_or(claimed);
                    if let Some(comment) = raw.and_then(|raw| comment::clean(&raw, &name)) {
                        found.entry(name).or_insert(comment);
                    }
                }
                (start, words) = (None, String::new());
            }
        }
    }
    found
}

/// The function that a declaration declares: the identifier before its first
/// parenthesis, attributes and typedefs aside.
fn prototype_name(declaration: &str) -> Option<String> {
    if declaration.trim_start().starts_with("typedef") {
        return None;
    }
    let c = pattern!(r"^([^()=]*?)\b([A-Za-z_]\w*)\s*\(").captures(declaration)?;
    // Headers that once served old compilers wrap the parameters in a macro:
    // `int close OF((int));`
    let wrapped = pattern!(r"^([^()=]*?)\b([A-Za-z_]\w*)\s+[A-Za-z_]\w*\s*\(\(");
    let c = wrapped.captures(declaration).unwrap_or(c);
    let name = &c[2];
    // A call of a macro, or an attribute: there is no type before it.
    let typed = c[1].split_whitespace().next().is_some();
    (typed
        && !matches!(
            name,
            "__attribute__" | "__declspec" | "if" | "while" | "return"
        ))
    .then(|| name.to_owned())
}

/// Every file below `dir` with one of these extensions, except in hidden directories:
/// quilt keeps old copies of patched files in one.
pub(crate) fn files(dir: &Path, extensions: &[&str]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut stack = vec![dir.to_owned()];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            } else if kind.is_dir() {
                stack.push(path);
            } else if kind.is_file()
                && path
                    .extension()
                    .is_some_and(|e| extensions.iter().any(|x| e == *x))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
/* Adds two numbers together.  */
static int
add (int a, int b)
{
  return a + b; /* } */
}

OLD void old(a)
    int a;
{
    puts(\"}\");
}

char *(*pick(int k))(void) { return 0; }

/* Says what went wrong, and where. */
static void ATTR_FORMAT(3,0)
complain(int x, const char *m)
{
}
";

    #[test]
    fn definitions_are_found_by_line_then_name_then_braces() {
        let file = SourceFile::parse(TEXT.as_bytes(), &[Language::C]);
        let add = file.find("add", 3).unwrap();
        assert_eq!(add.lines, (2, 6));
        assert_eq!(add.comment.as_deref(), Some("Adds two numbers together."));
        assert!(add.text.starts_with("static int\nadd (int a"));
        assert_eq!(file.find("add", 99).unwrap(), add, "by its name");
        let old = file.find("old", 8).unwrap();
        assert!(
            old.text.contains("int a;\n{\n    puts(\"}\");\n}"),
            "{}",
            old.text
        );
        assert!(file.find("pick", 14).is_some());
        assert_eq!(file.find("absent", 3), None);
        let complain = file.find("complain", 18).unwrap();
        assert!(
            complain.text.starts_with("static void ATTR_FORMAT(3,0)\n"),
            "{}",
            complain.text
        );
        assert_eq!(
            complain.comment.as_deref(),
            Some("Says what went wrong, and where.")
        );
    }

    #[test]
    fn definitions_of_cpp_have_their_whole_names() {
        let text = "namespace geo {\nclass Box {\n  Box(int a) : a(a) {}\n  ~Box() { a = 0; }\n  \
                    int area() const;\n  operator bool() { return a; }\n  int a;\n};\nint \
                    Box::area() const\n{\n  return a;\n}\ntemplate <class T> T twice(T x) { return x + x; }\n}\n\
                    bool operator<(geo::Box &a, geo::Box &b) { return &a < &b; }\n\
                    template <> int Stack<int>::top() { return 1; }\n";
        let file = SourceFile::parse(text.as_bytes(), &[Language::C, Language::Cpp]);
        let names: Vec<(&str, u32)> = file
            .definitions()
            .iter()
            .map(|d| (d.name.as_str(), d.line))
            .collect();
        assert_eq!(
            names,
            [
                ("geo::Box::Box", 3),
                ("geo::Box::~Box", 4),
                ("geo::Box::operatorbool", 6),
                ("geo::Box::area", 9),
                ("geo::twice", 13),
                ("operator<", 15),
                ("Stack::top", 16),
            ]
        );
        let area = file.find("geo::Box::area", 9).unwrap();
        assert_eq!(area.lines, (9, 12));
    }

    #[test]
    fn only_code_counts_in_a_hash() {
        let hash = body_hash("{ return a + b; }");
        assert_eq!(body_hash("{\n  /* sum */ return a+b; // done\n}"), hash);
        assert_ne!(body_hash("{ returna + b; }"), hash);
        assert_ne!(
            body_hash("{ return \"/* a */\"; }"),
            body_hash("{ return \"/* b */\"; }")
        );
    }

    #[test]
    fn prototypes_carry_comments() {
        let header = "#ifndef H\n#define H\n/** Opens the file at path. */\nEXTERN int *x_open(const char *p);\n\
                      int x_none(void);\n\n/* Closes what was opened. */\n\nvoid x_close(int) __attribute__((cold));\n\
                      \n/* A heading of them. */\n\nint x_size OF((int fd));\n/*\n  Tells the size of the file\n  that is open as the descriptor fd now.\n*/\n\n\
                      int x_next(int);\n/* The type of a hook. */\ntypedef int (*hook)(int);\n#endif\n";
        let found = prototypes(header);
        assert_eq!(found["x_open"], "Opens the file at path.");
        assert_eq!(found["x_close"], "Closes what was opened.");
        assert_eq!(
            found["x_size"],
            "Tells the size of the file that is open as the descriptor fd now."
        );
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
