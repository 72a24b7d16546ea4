//! Checks the module structure of `src/`: imports point to lower layers only, and no files import each other in a cycle.
//!
//! The layers are those of `docs/architecture.md`. Every file is parsed with `syn`; a path is followed through `pub use`
//! to the file that defines the name. Tests inside `src/` are not checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{Item, UseTree, visit::Visit};

/// The modules directly below `src/`, one layer a line, the lowest first. A module may import from lower layers only:
/// modules of one layer do not import from each other.
const LAYERS: &[&[&str]] = &[
    &["model", "prometheus"],
    &["table", "proxy"],
    &["report"],
    &["source"],
    &["fleet"],
    &["store", "feishu"],
    &["query", "access"],
    &["api"],
    &["app"],
    &["cli"],
];

/// The crate roots. They may import from every layer.
const ROOTS: &[&str] = &["lib.rs", "main.rs"];

/// Module names that do not say what the module contains, so that unrelated code collects in it.
const VAGUE_NAMES: &[&str] = &["util", "utils", "common", "helpers", "prelude", "misc", "error", "config"];

#[test]
fn imports_point_to_lower_layers_only() {
    let crate_files = parse_sources();
    let violations: Vec<String> = imports(&crate_files)
        .into_iter()
        .filter(|import| !is_allowed(import))
        .map(|import| format!("src/{}: must not import from src/{} ({})", import.from, import.to, import.name))
        .collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_top_level_module_has_a_layer_and_a_specific_name() {
    let modules: BTreeSet<String> = parse_sources().values().filter_map(|file| file.module.first().cloned()).collect();
    let unknown: Vec<&String> = modules.iter().filter(|module| layer_of(module).is_none()).collect();
    let vague: Vec<&String> = modules.iter().filter(|module| VAGUE_NAMES.contains(&module.as_str())).collect();
    assert!(unknown.is_empty(), "add these modules to LAYERS: {unknown:?}");
    assert!(vague.is_empty(), "these names do not say what the module contains: {vague:?}");
}

#[test]
fn no_files_import_each_other_in_a_cycle() {
    let mut edges: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for Import { from, to, name } in imports(&parse_sources()) {
        edges.entry(from).or_default().entry(to).or_default().insert(name);
    }
    let cycles: Vec<String> = strongly_connected(&edges).iter().map(|files| describe_cycle(files, &edges)).collect();
    assert!(cycles.is_empty(), "\n{}\n", cycles.join("\n"));
}

#[test]
fn a_cycle_of_two_files_is_found() {
    let sources = [
        ("a.rs", "use crate::b::Second; pub struct First;"),
        ("b.rs", "mod inner; pub use inner::Second;"),
        ("b/inner.rs", "pub struct Second(crate::a::First);"),
    ];
    let files = sources.map(|(path, text)| (path.to_owned(), SourceFile::parse(path, text))).into_iter().collect();
    let edges: BTreeSet<(String, String)> =
        imports(&files).into_iter().map(|import| (import.from, import.to)).collect();
    let expected = [("a.rs", "b/inner.rs"), ("b/inner.rs", "a.rs")];
    assert_eq!(edges, expected.map(|(from, to)| (from.to_owned(), to.to_owned())).into());
}

/// One parsed file. Paths are relative to `src/`, with slashes.
struct SourceFile {
    /// `store/lru.rs` is the module `["store", "lru"]`; a crate root is the empty path.
    module: Vec<String>,
    /// Absolute paths that the file uses, without those of its tests and its re-exports.
    used: BTreeSet<Vec<String>>,
    /// Names that the file re-exports, with the absolute path of each.
    reexported: BTreeMap<String, Vec<String>>,
}

/// A name that one file imports from another.
struct Import {
    from: String,
    to: String,
    name: String,
}

type Sources = BTreeMap<String, SourceFile>;

fn parse_sources() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Sources::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path: PathBuf = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).expect("a path below src").to_string_lossy().replace('\\', "/");
                let text = fs::read_to_string(&path).expect("UTF-8");
                files.insert(relative.clone(), SourceFile::parse(&relative, &text));
            }
        }
    }
    assert!(!files.is_empty(), "no source found under {}", root.display());
    files
}

impl SourceFile {
    fn parse(path: &str, text: &str) -> Self {
        let module: Vec<String> = if ROOTS.contains(&path) {
            Vec::new()
        } else {
            path.trim_end_matches(".rs").split('/').map(str::to_owned).collect()
        };
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{path}: {error}"));
        let mut file = Self { module, used: BTreeSet::new(), reexported: BTreeMap::new() };
        let children = parsed.items.iter().filter_map(|item| match item {
            Item::Mod(module) => Some(module.ident.to_string()),
            _ => None,
        });
        let mut collector = PathCollector { children: children.collect(), file: &mut file, depth: 0 };
        collector.visit_file(&parsed);
        file
    }
}

/// Collects the paths of a file that lead into this crate.
struct PathCollector<'a> {
    /// The modules that the file declares: a path may begin with their names.
    children: BTreeSet<String>,
    file: &'a mut SourceFile,
    /// Number of inline modules around the visited item. The first `super` segments lead out of these modules.
    depth: usize,
}

impl PathCollector<'_> {
    /// The path from the crate root, or `None` if it leads to another crate or a local name.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let module = &self.file.module;
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" if self.depth == 0 => Some([module, rest].concat()),
            "super" => {
                let steps = path.iter().take_while(|segment| *segment == "super").count();
                let up = module.len().checked_sub(steps.checked_sub(self.depth)?)?;
                Some([&module[..up], &path[steps..]].concat())
            }
            child if self.children.contains(child) => Some([module, path].concat()),
            _ => None,
        }
    }

    fn add_use(&mut self, tree: &UseTree, prefix: &[String], is_reexport: bool) {
        match tree {
            UseTree::Path(path) => self.add_use(&path.tree, &[prefix, &[path.ident.to_string()]].concat(), is_reexport),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(tree, prefix, is_reexport)),
            UseTree::Name(name) if name.ident == "self" => self.add(prefix, prefix.last(), is_reexport),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.add(&[prefix, std::slice::from_ref(&name)].concat(), Some(&name), is_reexport);
            }
            UseTree::Rename(rename) => {
                let path = [prefix, &[rename.ident.to_string()]].concat();
                self.add(&path, Some(&rename.rename.to_string()), is_reexport);
            }
            UseTree::Glob(_) => self.add(prefix, None, false),
        }
    }

    fn add(&mut self, path: &[String], name: Option<&String>, is_reexport: bool) {
        let Some(path) = self.absolute(path) else { return };
        match name.filter(|_| is_reexport) {
            Some(name) => drop(self.file.reexported.insert(name.clone(), path)),
            None => drop(self.file.used.insert(path)),
        }
    }
}

impl<'ast> Visit<'ast> for PathCollector<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_some() && !is_test_only(&module.attrs) {
            self.depth += 1;
            syn::visit::visit_item_mod(self, module);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test_only(&item.attrs) {
            let is_reexport = self.depth == 0 && !matches!(item.vis, syn::Visibility::Inherited);
            self.add_use(&item.tree, &[], is_reexport);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.add(&segments, None, false);
        }
        syn::visit::visit_path(self, path);
    }
}

fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// All imports between the files.
fn imports(files: &Sources) -> Vec<Import> {
    let by_module: BTreeMap<&[String], &String> =
        files.iter().filter(|(path, _)| *path != "main.rs").map(|(path, file)| (&file.module[..], path)).collect();
    let mut imports = Vec::new();
    for (from, file) in files {
        for used in &file.used {
            let (to, name) = defining_file(used, files, &by_module);
            if to != from && !ROOTS.contains(&to.as_str()) {
                imports.push(Import { from: from.clone(), to: to.clone(), name });
            }
        }
    }
    imports
}

/// The file that defines the name at the end of `path`, and the name.
fn defining_file<'a>(
    path: &[String],
    files: &'a Sources,
    by_module: &BTreeMap<&[String], &'a String>,
) -> (&'a String, String) {
    let module_length = (0..=path.len()).rev().find(|length| by_module.contains_key(&path[..*length])).unwrap_or(0);
    let file = by_module[&path[..module_length]];
    let Some(name) = path.get(module_length) else { return (file, path.last().cloned().unwrap_or_default()) };
    match files[file].reexported.get(name) {
        Some(target) => defining_file(&[target, &path[module_length + 1..]].concat(), files, by_module),
        None => (file, name.clone()),
    }
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn is_allowed(import: &Import) -> bool {
    let top = |path: &str| path.trim_end_matches(".rs").split('/').next().unwrap_or_default().to_owned();
    let (from, to) = (top(&import.from), top(&import.to));
    from == to || ROOTS.contains(&import.from.as_str()) || layer_of(&to) < layer_of(&from)
}

/// Groups of files that reach each other (Tarjan's strongly connected components of two files and more).
fn strongly_connected(edges: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = edges.keys().map(|file| (file, reachable(file, edges))).collect();
    let in_cycles = reach.iter().filter(|(file, reached)| reached.contains(**file));
    let mutual = |file: &String, reached: &BTreeSet<&String>| {
        let back = |other: &&&String| reach.get(**other).is_some_and(|reached| reached.contains(file));
        reached.iter().filter(back).map(|other| (*other).clone()).collect::<BTreeSet<String>>()
    };
    let groups: BTreeSet<BTreeSet<String>> = in_cycles.map(|(file, reached)| mutual(file, reached)).collect();
    groups.into_iter().collect()
}

fn reachable<'a>(
    from: &String,
    edges: &'a BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = edges.get(from).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(edges.get(file).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}

fn describe_cycle(files: &BTreeSet<String>, edges: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> String {
    let mut lines = vec![format!("cycle of {} files:", files.len())];
    for from in files {
        for (to, names) in edges.get(from).into_iter().flatten().filter(|(to, _)| files.contains(*to)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            lines.push(format!("  src/{from} -> src/{to}: {}", names.join(", ")));
        }
    }
    lines.join("\n")
}
