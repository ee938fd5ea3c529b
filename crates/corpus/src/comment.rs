//! What authors say about their functions: finding it and cleaning it.

/// A pattern that is known to be valid.
macro_rules! pattern {
    ($text:expr) => {{
        static PATTERN: std::sync::LazyLock<regex::Regex> = std::sync::LazyLock::new(|| {
            #[allow(
                clippy::unwrap_used,
                reason = "a constant, which the tests run through"
            )]
            regex::Regex::new($text).unwrap()
        });
        &*PATTERN
    }};
}
pub(crate) use pattern;

/// The comment that ends at most one blank line above line `start` (0-based),
/// as it stands in the file.
pub(crate) fn above(lines: &[&str], start: usize) -> Option<String> {
    let mut end = start.min(lines.len());
    let mut blanks = 0;
    loop {
        let line = lines[end.checked_sub(1)?].trim();
        if line.is_empty() {
            blanks += 1;
            if blanks > 1 {
                return None;
            }
        } else {
            break;
        }
        end -= 1;
    }
    let last = lines[end - 1].trim();
    let first = if last.starts_with("//") {
        let comments = lines[..end]
            .iter()
            .rev()
            .take_while(|l| l.trim_start().starts_with("//"));
        end - comments.count()
    } else if last.ends_with("*/") {
        // Where the comment begins has to be where its line begins, otherwise
        // it stands behind code and is about that.
        let first = (0..end)
            .rev()
            .take(400)
            .find(|&i| lines[i].contains("/*"))?;
        if !lines[first].trim_start().starts_with("/*") {
            return None;
        }
        first
    } else {
        return None;
    };
    Some(lines[first..end].join("\n"))
}

/// The comment that begins right below line `end` (0-based) and has a blank
/// line behind it: the way of some headers, such as that of zlib. Without the
/// blank line it is rather about what follows, and a short one may be a heading.
pub(crate) fn below(lines: &[&str], end: usize) -> Option<String> {
    let rest = lines.get(end + 1..)?;
    if !rest.first()?.trim_start().starts_with("/*") {
        return None;
    }
    let last = rest.iter().position(|l| l.trim_end().ends_with("*/"))?;
    let alone = rest.get(last + 1).is_none_or(|l| l.trim().is_empty());
    let text = alone.then(|| rest[..=last].join("\n"))?;
    (text.split_whitespace().count() >= 12).then_some(text)
}

/// The line on which a definition really begins, if a parser says that it is
/// `start`: a return type behind a macro, as in `static void ATTRIBUTE(3, 0)`,
/// can be lost to it.
pub(crate) fn real_start(lines: &[&str], start: usize) -> usize {
    let decorates = |line: &str| {
        pattern!(r"^[A-Za-z_][\w *]*(?:\([^;{}]*\))*$").is_match(line)
            && !pattern!(r"^(?:else|do|return|typedef)\b").is_match(line)
    };
    let above = lines[..start.min(lines.len())].iter().rev();
    start - above.take(3).take_while(|l| decorates(l.trim())).count()
}

/// Commands of documentation generators: of a parameter, of what is returned,
/// and those before plain text.
const PARAMETER: &str = r"^[@\\]param(?:\s*\[[^\]]*\])?\s+(\S+)\s*:?\s*(.*)$";
const RETURNS: &str = r"^[@\\](?:returns?|retval|result)\b\s*:?\s*(.*)$";
const PROSE: &str = concat!(
    r"^[@\\](?:brief|short|details|note|warning|remarks?|attention|pre|post|invariant)\b",
    r"\s*:?\s*(.*)$"
);

/// Turns a comment as it stands in a file into plain sentences. None if it is
/// a licence, dead code, or fewer than three words.
pub(crate) fn clean(raw: &str, name: &str) -> Option<String> {
    if pattern!(r"(?i)copyright|spdx-license|all rights reserved|without any warranty|redistribut")
        .is_match(raw)
    {
        return None;
    }
    let lines: Vec<String> = raw.lines().map(bare).collect();
    if is_code(&lines) {
        return None;
    }

    // The description goes first, whatever order the author chose: it is what
    // a truncated reading should keep.
    let (mut text, mut returns, mut parameters) = (Vec::new(), Vec::new(), Vec::new());
    let mut current = Part::Text;
    for line in &lines {
        let line = line.trim();
        let part = if line.is_empty() {
            // A blank line ends a parameter's description.
            current = Part::Text;
            text.push(String::new());
            continue;
        } else if let Some(c) = pattern!(PARAMETER).captures(line) {
            parameters.push(format!(
                "Parameter {}: {}",
                c[1].trim_end_matches(':'),
                &c[2]
            ));
            Part::Parameter
        } else if let Some(c) = pattern!(RETURNS).captures(line) {
            returns.push(returned(&c[1]));
            Part::Returns
        } else if let Some(c) = pattern!(PROSE).captures(line) {
            text.push(c[1].to_owned());
            Part::Text
        } else if pattern!(r"^[@\\](?:\{|\}|[a-z]+\b)").is_match(line)
            && !pattern!(r"^@[A-Za-z_]\w*\s*:").is_match(line)
        {
            // Other commands group and file pages; their words are no prose.
            if !pattern!(r"^[@\\](?:c|p|a|e|em|b|ref|code|endcode)\b").is_match(line) {
                Part::Dropped
            } else {
                text.push(line.to_owned());
                Part::Text
            }
        } else if let Some(c) = pattern!(r"^@([A-Za-z_]\w*)\s*:\s*(.*)$").captures(line) {
            // GNOME's way of writing parameters.
            parameters.push(format!("Parameter {}: {}", &c[1], &c[2]));
            Part::Parameter
        } else {
            match current {
                Part::Text | Part::Dropped => text.push(line.to_owned()),
                Part::Returns => append(&mut returns, line),
                Part::Parameter => append(&mut parameters, line),
            }
            current
        };
        current = part;
    }
    // A first line that only repeats the name says nothing.
    let is_label = |l: &String| {
        let l = l.trim().trim_end_matches(['.', ':', '-', ' ']);
        l.trim_end_matches(')').trim_end_matches('(').trim_end() == name
    };
    if let Some(first) = text.iter().position(|l| !l.is_empty())
        && is_label(&text[first])
    {
        text.remove(first);
    }

    let mut sentences = paragraphs(&text);
    sentences.extend(returns.iter().map(|r| sentence(r)));
    sentences.extend(
        parameters
            .iter()
            .filter(|p| !p.trim_end().ends_with(':'))
            .map(|p| sentence(p)),
    );
    let joined = sentences.join(" ");
    let joined = pattern!(r"[@\\](?:c|p|a|e|em|b|ref|see|sa|code|endcode|link|endlink|li|n)\b\s*")
        .replace_all(&joined, "");
    let joined = pattern!(r"(^|[\s(])[#@]([A-Za-z_])").replace_all(&joined, "${1}${2}");
    let joined =
        pattern!(r"</?(?:p|b|i|tt|em|code|br|ul|ol|li|pre)\s*/?>").replace_all(&joined, " ");
    let joined = joined.split_whitespace().collect::<Vec<_>>().join(" ");
    let words = joined
        .split(' ')
        .filter(|w| w.chars().any(char::is_alphabetic))
        .count();
    (words >= 3).then_some(joined)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Returns,
    Parameter,
    Dropped,
}

/// What a function returns, as a sentence.
fn returned(text: &str) -> String {
    if text.to_ascii_lowercase().starts_with("return") {
        return text.to_owned();
    }
    match text.split_once(' ') {
        Some((word @ ("The" | "A" | "An"), rest)) => {
            format!("Returns {} {rest}", word.to_lowercase())
        }
        _ => format!("Returns {text}"),
    }
}

fn append(to: &mut [String], line: &str) {
    if let Some(last) = to.last_mut() {
        last.push(' ');
        last.push_str(line);
    }
}

/// One line without comment marks and without rulers.
fn bare(line: &str) -> String {
    let mut line = line.trim();
    line = line.strip_prefix("/*").unwrap_or(line);
    line = line.strip_suffix("*/").unwrap_or(line);
    line = line.trim_start_matches(['*', '/', '!']);
    line = line.strip_prefix('<').unwrap_or(line);
    line = line.trim_end_matches('*').trim();
    if pattern!(r"^[-=*#_~+.\s/|]{2,}$").is_match(line) {
        return String::new();
    }
    pattern!(r"^[-=*#~]{3,}\s*|\s*[-=*#~]{3,}$")
        .replace_all(line, "")
        .into_owned()
}

/// Whether most lines look like statements: code that was put to sleep.
fn is_code(lines: &[String]) -> bool {
    let lines: Vec<&str> = lines
        .iter()
        .map(|l| l.trim())
        .filter(|l| !l.is_empty())
        .collect();
    let code = lines
        .iter()
        .filter(|l| {
            l.ends_with([';', '{', '}'])
                || l.starts_with('#')
                || pattern!(r"^(?:if|for|while|return|switch)\b.*[();]$").is_match(l)
        })
        .count();
    code * 5 > lines.len() * 2
}

/// Joins lines into paragraphs, each closed by a full stop.
fn paragraphs(lines: &[String]) -> Vec<String> {
    lines
        .split(|l| l.is_empty())
        .filter(|p| !p.is_empty())
        .map(|p| sentence(&p.join(" ")))
        .collect()
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', '!', '?', ':', ';', ',']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Option<&str>) {
        assert_eq!(clean(raw, "frob").as_deref(), expected, "{raw}");
    }

    #[test]
    fn plain_comments() {
        check(
            "/* Compress DATA and\n   return its size.  */",
            Some("Compress DATA and return its size."),
        );
        check(
            "// Adds a node\n// to the tree",
            Some("Adds a node to the tree."),
        );
        check(
            "/*\n * frob:\n *\n * Frobs the widget at once\n */",
            Some("Frobs the widget at once."),
        );
        check(
            "/* ------------------------\n * Frobs the widget\n * ------------------------ */",
            Some("Frobs the widget."),
        );
    }

    #[test]
    fn markup_becomes_sentences() {
        check(
            "/**\n * \\brief  Sets the \\c key of a context\n *\n * \\param ctx   the context\n * \
             \\param[in] key  the key,\n *              as bytes\n *\n * \\return  0 on success\n */",
            Some(
                "Sets the key of a context. Returns 0 on success. Parameter ctx: the context. \
                 Parameter key: the key, as bytes.",
            ),
        );
        check(
            "/**\n * frob:\n * @doc:  the document\n *\n * Free up the document.\n *\n * Returns 0 or -1.\n */",
            Some("Free up the document. Returns 0 or -1. Parameter doc: the document."),
        );
        check(
            "/**\n * @ingroup core\n * Frobs the widget\n */",
            Some("Frobs the widget."),
        );
    }

    #[test]
    fn what_says_nothing_is_dropped() {
        check("/* helper */", None);
        check("/* frob() */", None);
        check("/* ===================== */", None);
        check(
            "/* Copyright (C) 1999 A. Author. Frobs the widget now. */",
            None,
        );
        check("/*\n int x = 0;\n frob(x);\n return x;\n*/", None);
    }

    #[test]
    fn a_comment_has_to_be_near_and_alone() {
        let at = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            above(&lines, lines.len())
        };
        assert_eq!(at("/* a */").as_deref(), Some("/* a */"));
        assert_eq!(at("int y;\n/* a\n b */\n").as_deref(), Some("/* a\n b */"));
        assert_eq!(
            at("// a\n// b\n\n").as_deref(),
            Some("// a\n// b\n").map(|s| &s[..9])
        );
        assert_eq!(at("/* a */\n\n\n "), None);
        assert_eq!(at("int x; /* of x */"), None);
        assert_eq!(at("/* a */\nint x;"), None);
    }
}
