//! Where the functions of a linked unit begin, and where they were written.

use std::collections::HashMap;
use std::path::Path;

use gimli::{AttributeValue, EndianSlice, LittleEndian, UnitOffset, UnitRef};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::names;
use crate::record::in_tree;

type Reader<'d> = EndianSlice<'d, LittleEndian>;

/// One function of the unit's debug information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subprogram {
    /// Address of its first instruction.
    pub(crate) address: u64,
    /// Its name, with namespaces and classes where it is in any.
    pub(crate) name: String,
    /// The name that the linker knows it by.
    pub(crate) symbol: String,
    /// File, relative to the package's source.
    pub(crate) file: String,
    /// Line of the name in its definition.
    pub(crate) line: u32,
    /// The file whose compile the code comes from, relative to the package's
    /// source; another than `file` if that is a header.
    pub(crate) unit: String,
    /// Whether this is all of the function: compilers also split parts off.
    pub(crate) whole: bool,
}

/// Where the sources of a package lie for the debug information.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// Below this path, as our own compiles say.
    Root(&'a str),
    /// Wherever others built it; the files are the same as those of this tree.
    Tree(&'a Path),
}

impl Place<'_> {
    /// A path of the debug information, relative to the package's source; none
    /// if it lies elsewhere.
    fn inside(self, path: &str) -> Option<String> {
        match self {
            Place::Root(root) => {
                let inside = in_tree(Path::new(path.strip_prefix('/')?))?;
                let inside = inside.strip_prefix(root.trim_start_matches('/')).ok()?;
                Some(inside.to_string_lossy().into_owned())
            }
            Place::Tree(tree) => {
                let path = in_tree(Path::new(path.trim_start_matches('/')))?;
                let mut parts = path.components();
                while !parts.as_path().as_os_str().is_empty() {
                    if tree.join(parts.as_path()).is_file() {
                        return Some(parts.as_path().to_string_lossy().into_owned());
                    }
                    parts.next();
                }
                None
            }
        }
    }
}

/// The functions with code in a linked file with debug information whose
/// sources lie under `root`, by address. Functions from elsewhere (the C
/// library's start files, system headers) are left out.
pub(crate) fn subprograms(bytes: &[u8], root: Place<'_>) -> Result<Vec<Subprogram>, String> {
    let file = object::File::parse(bytes).map_err(|e| e.to_string())?;
    let found = match file.format() {
        object::BinaryFormat::MachO => by_debug_map(&file, root)?,
        // Address 0 is what a linker leaves of a section that it discarded.
        _ => {
            let mut found = in_file(&file, root)?;
            found.retain(|f| f.address != 0);
            found
        }
    };
    let symbols = symbols(&file);
    let mut by_address: HashMap<u64, Subprogram> = HashMap::new();
    for function in found {
        let names = symbols.get(&function.address);
        let whole = !names.is_some_and(|names| names.iter().any(|n| is_part(n)));
        by_address
            .entry(function.address)
            .or_insert(Subprogram { whole, ..function });
    }
    let mut found: Vec<Subprogram> = by_address.into_values().collect();
    found.sort_by_key(|f| f.address);
    Ok(found)
}

/// The functions of a file by its symbols alone, where one name is given to an
/// address. Nothing is known of their files and lines.
pub(crate) fn by_symbols(bytes: &[u8]) -> Result<Vec<Subprogram>, String> {
    let file = object::File::parse(bytes).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for (address, all) in symbols(&file) {
        let mut named: Vec<(String, &str)> = all.iter().map(|s| (plain(&file, s), *s)).collect();
        named.sort();
        // Constructors of C++ have several symbols and one name.
        named.dedup_by(|a, b| a.0 == b.0);
        if let [(name, symbol)] = named.as_slice() {
            found.push(Subprogram {
                address,
                name: name.clone(),
                symbol: (*symbol).to_owned(),
                file: String::new(),
                line: 0,
                unit: String::new(),
                whole: !is_part(symbol),
            });
        }
    }
    found.sort_by_key(|f| f.address);
    Ok(found)
}

/// The name in the source of a symbol.
fn plain(file: &object::File<'_>, symbol: &str) -> String {
    let decorated = match file.format() {
        object::BinaryFormat::MachO => true,
        object::BinaryFormat::Pe => file.architecture() == object::Architecture::I386,
        _ => false,
    };
    let symbol = Some(symbol)
        .filter(|_| decorated)
        .and_then(|s| s.strip_prefix('_'))
        .unwrap_or(symbol);
    // gcc names copies of a function that it made for some of the calls.
    let copy = crate::comment::pattern!(r"\.(constprop|isra)\.\d+");
    names::of_symbol(&copy.replace_all(symbol, ""))
}

/// Whether the symbol is of a part that a compiler split off.
fn is_part(symbol: &str) -> bool {
    symbol.contains(".part.") || symbol.contains(".cold")
}

/// Names of code by address.
fn symbols<'d>(file: &object::File<'d>) -> HashMap<u64, Vec<&'d str>> {
    // Bit 0 of the symbols of Thumb code says so.
    let code = match file.architecture() {
        object::Architecture::Arm => !1,
        _ => !0,
    };
    let mut symbols: HashMap<u64, Vec<&str>> = HashMap::new();
    let text =
        |s: &object::Symbol<'d, '_>| s.is_definition() && s.kind() == object::SymbolKind::Text;
    for symbol in file.symbols().filter(text) {
        symbols
            .entry(symbol.address() & code)
            .or_default()
            .extend(symbol.name());
    }
    symbols
}

/// Those of the debug information in the file itself.
fn in_file(file: &object::File<'_>, root: Place<'_>) -> Result<Vec<Subprogram>, String> {
    let load = |id: gimli::SectionId| -> Result<Reader<'_>, gimli::Error> {
        let data = file
            .section_by_name(id.name())
            .and_then(|s| s.data().ok())
            .unwrap_or_default();
        Ok(EndianSlice::new(data, LittleEndian))
    };
    let dwarf = gimli::Dwarf::load(load).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next().map_err(|e| e.to_string())? {
        let unit = dwarf.unit(header).map_err(|e| e.to_string())?;
        let unit = UnitRef::new(&dwarf, &unit);
        found.extend(unit_subprograms(unit, root).map_err(|e| e.to_string())?);
    }
    Ok(found)
}

/// A program for macOS says which object each function came from, and the
/// debug information stays there.
fn by_debug_map(file: &object::File<'_>, root: Place<'_>) -> Result<Vec<Subprogram>, String> {
    let map = file.object_map();
    let mut addresses: HashMap<(usize, &[u8]), u64> = HashMap::new();
    for symbol in map.symbols() {
        addresses.insert((symbol.object_index(), symbol.name()), symbol.address());
    }
    let mut found = Vec::new();
    for (index, object) in map.objects().iter().enumerate() {
        let path = String::from_utf8_lossy(object.path()).into_owned();
        let bytes = std::fs::read(&path).map_err(|e| format!("{path}: {e}"))?;
        let object = object::File::parse(&*bytes).map_err(|e| format!("{path}: {e}"))?;
        for function in in_file(&object, root)? {
            let symbol = format!("_{}", function.symbol);
            if let Some(&address) = addresses.get(&(index, symbol.as_bytes())) {
                found.push(Subprogram {
                    address,
                    ..function
                });
            }
        }
    }
    Ok(found)
}

fn unit_subprograms(
    unit: UnitRef<'_, Reader<'_>>,
    root: Place<'_>,
) -> gimli::Result<Vec<Subprogram>> {
    let mut found = Vec::new();
    let mut files: HashMap<u64, Option<String>> = HashMap::new();
    let compiled = unit.name.and_then(|name| {
        let folder = unit.comp_dir.map(|d| d.to_string_lossy().into_owned());
        inside(
            [
                folder.unwrap_or_default(),
                name.to_string_lossy().into_owned(),
            ],
            root,
        )
    });
    let mut entries = unit.entries();
    // Names of the namespaces and classes around an entry, by their depth.
    let mut around: Vec<(isize, String)> = Vec::new();
    let mut scopes: HashMap<UnitOffset, String> = HashMap::new();
    let mut declared = Vec::new();
    while let Some(entry) = entries.next_dfs()? {
        around.retain(|(depth, _)| *depth < entry.depth());
        if matches!(
            entry.tag(),
            gimli::DW_TAG_namespace
                | gimli::DW_TAG_class_type
                | gimli::DW_TAG_structure_type
                | gimli::DW_TAG_union_type
        ) {
            // Anonymous ones are not part of a name.
            if let Some(name) = entry.attr_value(gimli::DW_AT_name) {
                let name = unit.attr_string(name)?.to_string_lossy();
                around.push((entry.depth(), names::without_templates(&name)));
            }
            continue;
        }
        if entry.tag() != gimli::DW_TAG_subprogram {
            continue;
        }
        if !around.is_empty() {
            let path: Vec<&str> = around.iter().map(|(_, name)| name.as_str()).collect();
            scopes.insert(entry.offset(), path.join("::"));
        }
        let Some(address) = entry_address(unit, entry)? else {
            continue;
        };
        let Some(origin) = Origin::of(unit, entry)? else {
            continue;
        };
        let file = files
            .entry(origin.file)
            .or_insert_with(|| path(unit, origin.file, root));
        let Some(file) = file.clone() else { continue };
        declared.push(origin.declared);
        found.push(Subprogram {
            address,
            name: names::without_templates(&origin.name),
            symbol: origin.symbol.unwrap_or(origin.name),
            file,
            line: origin.line,
            unit: compiled.clone().unwrap_or_default(),
            whole: true,
        });
    }
    // Only now: a function may stand before the class that declares it.
    for (function, declared) in found.iter_mut().zip(declared) {
        if let Some(scope) = scopes.get(&declared) {
            function.name = format!("{scope}::{}", function.name);
        }
    }
    Ok(found)
}

/// Where the function begins: its lowest address, or the first of its ranges
/// if a compiler laid it out in several.
fn entry_address<'d>(
    unit: UnitRef<'_, Reader<'d>>,
    entry: &gimli::DebuggingInformationEntry<Reader<'d>>,
) -> gimli::Result<Option<u64>> {
    let mut ranges = unit.die_ranges(entry)?;
    Ok(ranges.next()?.map(|r| r.begin))
}

/// What a subprogram was declared as, gathered along its references: inlined
/// and cloned functions keep name and place in an abstract entry.
struct Origin {
    name: String,
    /// Its name for the linker, if that is another one.
    symbol: Option<String>,
    /// The entry at the end of the references.
    declared: UnitOffset,
    file: u64,
    line: u32,
}

impl Origin {
    fn of<'d>(
        unit: UnitRef<'_, Reader<'d>>,
        entry: &gimli::DebuggingInformationEntry<Reader<'d>>,
    ) -> gimli::Result<Option<Origin>> {
        let (mut name, mut file, mut line) = (None, None, None);
        let mut symbol = None;
        let mut entry = entry.clone();
        // A chain of references is short; a damaged one may be a circle.
        for _ in 0..4 {
            if name.is_none()
                && let Some(value) = entry.attr_value(gimli::DW_AT_name)
            {
                name = Some(unit.attr_string(value)?.to_string_lossy().into_owned());
            }
            let mangled = entry.attr_value(gimli::DW_AT_linkage_name);
            if let (None, Some(value)) = (&symbol, mangled) {
                symbol = Some(unit.attr_string(value)?.to_string_lossy().into_owned());
            }
            // A definition leaves out what is as in its declaration.
            if file.is_none() {
                file = match entry.attr_value(gimli::DW_AT_decl_file) {
                    Some(AttributeValue::FileIndex(index)) => Some(index),
                    Some(value) => value.udata_value(),
                    None => None,
                };
            }
            if line.is_none() {
                line = entry
                    .attr_value(gimli::DW_AT_decl_line)
                    .and_then(|v| v.udata_value());
            }
            let next = match entry.attr_value(gimli::DW_AT_abstract_origin) {
                None => entry.attr_value(gimli::DW_AT_specification),
                origin => origin,
            };
            match next {
                Some(AttributeValue::UnitRef(offset)) => entry = unit.entry(offset)?,
                _ => break,
            }
        }
        Ok(match (name, file, line) {
            (Some(name), Some(file), Some(line)) => Some(Origin {
                name,
                symbol,
                declared: entry.offset(),
                file,
                line: line as u32,
            }),
            _ => None,
        })
    }
}

/// The path of a file of the line table, relative to `root`.
fn path(unit: UnitRef<'_, Reader<'_>>, index: u64, root: Place<'_>) -> Option<String> {
    let program = unit.line_program.as_ref()?;
    let header = program.header();
    let file = header.file(index)?;
    let text = |value| Some(unit.attr_string(value).ok()?.to_string_lossy().into_owned());
    let folder = unit.comp_dir.map(|dir| dir.to_string_lossy().into_owned());
    let parts = [
        folder.unwrap_or_default(),
        file.directory(header).and_then(text).unwrap_or_default(),
        text(file.path_name())?,
    ];
    inside(parts, root)
}

/// Parts of a path put together, relative to `root`; none if it lies elsewhere.
fn inside<const N: usize>(parts: [String; N], root: Place<'_>) -> Option<String> {
    let mut path = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part);
    }
    root.inside(&path)
}
