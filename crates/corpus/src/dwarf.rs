//! Where the functions of a linked unit begin, and where they were written.

use std::collections::HashMap;

use gimli::{AttributeValue, EndianSlice, LittleEndian, UnitRef};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::record::in_tree;

type Reader<'d> = EndianSlice<'d, LittleEndian>;

/// One function of the unit's debug information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subprogram {
    /// Address of its first instruction.
    pub(crate) address: u64,
    pub(crate) name: String,
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

/// The functions with code in a linked file with debug information whose
/// sources lie under `root`, by address. Functions from elsewhere (the C
/// library's start files, system headers) are left out.
pub(crate) fn subprograms(bytes: &[u8], root: &str) -> Result<Vec<Subprogram>, String> {
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
    // Bit 0 of the symbols of Thumb code says so.
    let code = match file.architecture() {
        object::Architecture::Arm => !1,
        _ => !0,
    };
    let mut symbols: HashMap<u64, Vec<&str>> = HashMap::new();
    for symbol in file.symbols().filter(|s| s.is_definition()) {
        symbols
            .entry(symbol.address() & code)
            .or_default()
            .extend(symbol.name());
    }
    let mut by_address: HashMap<u64, Subprogram> = HashMap::new();
    for function in found {
        let names = symbols.get(&function.address);
        let names = names.map(Vec::as_slice).unwrap_or_default();
        let part = |n: &&str| n.contains(".part.") || n.contains(".cold");
        let whole = !names.iter().any(part);
        by_address
            .entry(function.address)
            .or_insert(Subprogram { whole, ..function });
    }
    let mut found: Vec<Subprogram> = by_address.into_values().collect();
    found.sort_by_key(|f| f.address);
    Ok(found)
}

/// Those of the debug information in the file itself.
fn in_file(file: &object::File<'_>, root: &str) -> Result<Vec<Subprogram>, String> {
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
fn by_debug_map(file: &object::File<'_>, root: &str) -> Result<Vec<Subprogram>, String> {
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
            let symbol = format!("_{}", function.name);
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

fn unit_subprograms(unit: UnitRef<'_, Reader<'_>>, root: &str) -> gimli::Result<Vec<Subprogram>> {
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
    while let Some(entry) = entries.next_dfs()? {
        if entry.tag() != gimli::DW_TAG_subprogram {
            continue;
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
        let (name, line) = (origin.name, origin.line);
        found.push(Subprogram {
            address,
            name,
            file,
            line,
            unit: compiled.clone().unwrap_or_default(),
            whole: true,
        });
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
    file: u64,
    line: u32,
}

impl Origin {
    fn of<'d>(
        unit: UnitRef<'_, Reader<'d>>,
        entry: &gimli::DebuggingInformationEntry<Reader<'d>>,
    ) -> gimli::Result<Option<Origin>> {
        let (mut name, mut file, mut line) = (None, None, None);
        let mut entry = entry.clone();
        // A chain of references is short; a damaged one may be a circle.
        for _ in 0..4 {
            if name.is_none()
                && let Some(value) = entry.attr_value(gimli::DW_AT_name)
            {
                name = Some(unit.attr_string(value)?.to_string_lossy().into_owned());
            }
            if file.is_none() {
                file = match entry.attr_value(gimli::DW_AT_decl_file) {
                    Some(AttributeValue::FileIndex(index)) => Some(index),
                    Some(value) => value.udata_value(),
                    None => None,
                };
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
                file,
                line: line as u32,
            }),
            _ => None,
        })
    }
}

/// The path of a file of the line table, relative to `root`.
fn path(unit: UnitRef<'_, Reader<'_>>, index: u64, root: &str) -> Option<String> {
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
fn inside<const N: usize>(parts: [String; N], root: &str) -> Option<String> {
    let mut path = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if part.starts_with('/') {
            path.clear();
        } else if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part);
    }
    let inside = in_tree(std::path::Path::new(path.strip_prefix('/')?))?;
    let inside = inside.strip_prefix(root.trim_start_matches('/')).ok()?;
    Some(inside.to_string_lossy().into_owned())
}
