//! Words: of comments, of identifiers, of listings.

use binscribe_model::text::STOP_WORDS;

/// The words of an identifier or of a piece of prose, in lower case:
/// `png_read_row` and `readRow` are split, runs of digits stay with the letters
/// before them (`md5`, `utf8`).
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut previous = ' ';
    for c in text.chars() {
        let starts_new = c.is_uppercase() && previous.is_lowercase();
        if (!c.is_alphanumeric() || starts_new) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        previous = c;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The words of `text` that may tell functions apart: no stop words, no single
/// letters, and a plural or third person `s` dropped so that `reads` finds
/// `read`.
pub fn content_words(text: &str) -> Vec<String> {
    words(text)
        .into_iter()
        .filter(|word| word.len() > 1 && !STOP_WORDS.contains(&word.as_str()))
        .map(|word| stem(&word))
        .collect()
}

fn stem(word: &str) -> String {
    match word.strip_suffix('s') {
        Some(rest) if rest.len() > 2 && !rest.ends_with(['s', 'u', 'i']) => rest.to_owned(),
        _ => word.to_owned(),
    }
}

/// The words a stripped listing still holds: the names of what it calls or
/// refers to (imports), its strings, and what it says of tables and constants.
/// Registers, numbers and automatic names such as `sub_401A30` are no words.
pub fn listing_words(listing: &str) -> Vec<String> {
    let texts = listing.lines().flat_map(line_texts);
    texts.flat_map(|text| content_words(&text)).collect()
}

/// What of a line was written in words: names of imports, and comments.
pub(crate) fn line_texts(line: &str) -> Vec<String> {
    let (code, comment) = match line.split_once("; ") {
        Some((code, comment)) => (code, Some(comment)),
        None => (line, None),
    };
    let mut found = Vec::new();
    if let Some(operands) = code.split_once(char::is_whitespace).map(|(_, rest)| rest) {
        for operand in operands.split(|c: char| !(c.is_alphanumeric() || "_@$".contains(c))) {
            // The dialect writes a C name with an underscore before it.
            if let Some(name) = operand.strip_prefix('_')
                && name.len() > 2
            {
                found.push(name.to_owned());
            }
        }
    }
    found.extend(comment.map(unescape));
    found
}

/// The words of the comments alone: of strings that a listing refers to, and of
/// what it says of tables and constants.
pub fn string_words(listing: &str) -> Vec<String> {
    let strings = listing.lines().filter_map(|line| line.split_once("; "));
    strings
        .flat_map(|(_, string)| content_words(&unescape(string)))
        .collect()
}

/// Puts a space for each escape sequence of a quoted string, so that `\nusage`
/// does not become the word `nusage`.
fn unescape(quoted: &str) -> String {
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        plain.push(' ');
        if chars.next() == Some('x') {
            chars.next();
            chars.next();
        }
    }
    plain
}

/// Whether two names say the same thing: equal but for case, leading
/// underscores and what compilers append (`.part.0`), or most of their words
/// shared (`png_read_row` and `read_row`; two words at the least).
pub fn names_agree(a: &str, b: &str) -> bool {
    let plain = |name: &str| {
        let name = name.split('.').next().unwrap_or(name);
        name.trim_start_matches('_').to_lowercase()
    };
    let (a, b) = (plain(a), plain(b));
    if a == b {
        return !a.is_empty();
    }
    let set = |name: &str| -> std::collections::BTreeSet<String> {
        words(name)
            .into_iter()
            .filter(|word| word.len() > 1)
            .collect()
    };
    let (a, b) = (set(&a), set(&b));
    let shared = a.intersection(&b).count();
    let union = a.union(&b).count();
    shared >= 2 && shared * 2 > union
}

/// A name in words: `png_read_row` becomes `png read row`.
pub fn name_in_words(name: &str) -> String {
    let words = words(name.split('.').next().unwrap_or(name));
    if words.is_empty() {
        name.to_owned()
    } else {
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_prose() {
        let check = |text: &str, expected: &str| assert_eq!(words(text).join(" "), expected);
        check("png_read_row", "png read row");
        check("xmlParseURI2", "xml parse uri2");
        check("Reads  a row, or fails.", "reads a row or fails");
        check("", "");
        assert_eq!(
            content_words("Reads the rows of a class").join(" "),
            "read row class"
        );
    }

    #[test]
    fn listings() {
        let listing = "push    rbp\nlea     rdi, aUsage; \"usage: %s\\n\"\ncall    _error_at_line\n\
                       call    sub_401A30\nmov     eax, [rbp+var_18]\nmov     rax, cs:_stdin_ptr";
        assert_eq!(
            listing_words(listing).join(" "),
            "usage error line stdin ptr"
        );
        assert_eq!(string_words(listing), ["usage"]);
    }

    #[test]
    fn agreement_of_names() {
        assert!(names_agree("_xmalloc", "xmalloc"));
        assert!(names_agree("png_read_row.part.0", "png_read_row"));
        assert!(names_agree("png_read_row", "read_row"));
        assert!(!names_agree("png_read_row", "png_write_row"));
        assert!(!names_agree("init", "free"));
        assert!(!names_agree("", ""));
    }
}
