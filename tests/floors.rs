//! Holds the layout that `docs/architecture.md` draws: imports go downwards only, neighbours do not know each other.
//!
//! The source is read as tokens, not compiled, so that a sentence names the file, the line and the rule.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The rooms under `src/`, a floor a line, the lowest first. A room sees every floor below its own and nobody else.
const FLOORS: &[&[&str]] = &[
    &["model", "meter"],
    &["table"],
    &["source"],
    &["report", "feishu"],
    &["store"],
    &["query", "access"],
    &["api"],
    &["app"],
    &["cli"],
];

/// Rooms beside the house: what each sees, and who sees it.
///
/// The simulator must not share a word with `feishu`: a misspelt field would cancel out on both sides.
const SIDE: &[(&str, &[&str], &[&str])] = &[("sim", &["model"], &["app", "cli"])];

/// Names that say nothing of what is inside: such a room ends up imported by everyone.
const NAMELESS: &[&str] = &["util", "utils", "common", "helpers", "prelude", "misc", "error", "config", "metrics"];

/// A longer file holds two purposes. Tests count.
const LONGEST_FILE: usize = 400;

/// Files without a room: they put the house together and see all of it.
const ROOTS: &[&str] = &["lib.rs", "main.rs"];

#[test]
fn imports_go_downwards_only() {
    let files = sources();
    let broken: Vec<_> = files.iter().flat_map(|file| violations(&file.path, &file.text)).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_room_has_a_floor_and_a_name_that_says_what_is_inside() {
    let mut rooms: Vec<_> = sources().iter().filter_map(|file| modules(&file.path).into_iter().next()).collect();
    rooms.sort();
    rooms.dedup();
    let broken: Vec<_> = rooms.iter().filter_map(|room| misplaced(room)).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn no_file_is_too_long_for_one_purpose() {
    let lines = |file: &Source| file.text.lines().count();
    let long: Vec<_> = sources()
        .iter()
        .filter(|file| lines(file) > LONGEST_FILE)
        .map(|file| format!("src/{}: {} lines, at most {LONGEST_FILE}", file.path, lines(file)))
        .collect();
    assert!(long.is_empty(), "\n{}\n", long.join("\n"));
}

struct Source {
    /// Relative to `src/`, with slashes.
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path: PathBuf = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).expect("a path below src").to_string_lossy().replace('\\', "/");
                found.push(Source { path: relative, text: fs::read_to_string(&path).expect("UTF-8") });
            }
        }
    }
    assert!(!found.is_empty(), "no source found under {}", root.display());
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// The module path of a file: `store/flight.rs` is `["store", "flight"]`, a root file is empty.
fn modules(path: &str) -> Vec<String> {
    if ROOTS.contains(&path) {
        return Vec::new();
    }
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

fn misplaced(room: &str) -> Option<String> {
    if NAMELESS.contains(&room) {
        return Some(format!("src/{room}: says nothing of what is inside; give each part its own"));
    }
    let known = floor(room).is_some() || side(room).is_some();
    (!known).then(|| format!("src/{room}: stands on no floor; place it in FLOORS"))
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn side(room: &str) -> Option<&(&str, &[&str], &[&str])> {
    SIDE.iter().find(|(name, ..)| *name == room)
}

fn may_see(from: &str, to: &str) -> bool {
    match (side(from), side(to)) {
        _ if from == to => true,
        (Some((_, sees, _)), _) => sees.contains(&to),
        (_, Some((_, _, seen_by))) => seen_by.contains(&from),
        (None, None) => floor(from).zip(floor(to)).is_some_and(|(from, to)| to < from),
    }
}

fn violations(path: &str, text: &str) -> Vec<String> {
    let module = modules(path);
    let Some(from) = module.first() else { return Vec::new() };
    let wrong = imports(&module, text).into_iter().filter(|import| !may_see(from, &import.room));
    let said = |import: Import| format!("src/{path}:{}: `{from}` must not know `{}`", import.line, import.room);
    let mut said: Vec<_> = wrong.map(said).collect();
    said.dedup();
    said
}

#[derive(Debug, PartialEq)]
struct Import {
    room: String,
    line: usize,
}

/// Every room that the text names by a path from the crate's root, wherever in the text it does.
fn imports(file: &[String], text: &str) -> Vec<Import> {
    let tokens = tokens(text);
    let mut module = file.to_vec();
    let mut inline = Vec::new();
    let mut depth = 0_usize;
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].kind {
            Kind::Name("mod") if kind(&tokens, at + 2) == Some(Kind::Mark('{')) => {
                if let Some(Kind::Name(name)) = kind(&tokens, at + 1) {
                    module.push(name.to_owned());
                    inline.push(depth);
                }
                at += 1;
            }
            Kind::Mark('{') => depth += 1,
            Kind::Mark('}') => {
                depth = depth.saturating_sub(1);
                if inline.pop_if(|opened| *opened == depth).is_some() {
                    module.pop();
                }
            }
            Kind::Name("crate" | "feishu_pulse" | "super" | "self")
                if kind(&tokens, at + 1) == Some(Kind::Separator) =>
            {
                let mut paths = Vec::new();
                let line = tokens[at].line;
                at = path_tree(&tokens, at, &[], &mut paths);
                found.extend(paths.iter().map(|path| Import { room: room(&module, path), line }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

fn kind<'a>(tokens: &[Token<'a>], at: usize) -> Option<Kind<'a>> {
    tokens.get(at).map(|token| token.kind)
}

/// Reads `a::{b::c, d as e, *}` into one path a leaf, and says where the tree ends.
fn path_tree<'a>(tokens: &[Token<'a>], at: usize, before: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> usize {
    let with = |name| before.iter().copied().chain([name]).collect::<Vec<_>>();
    match kind(tokens, at) {
        Some(Kind::Name(name)) if kind(tokens, at + 1) == Some(Kind::Separator) => {
            path_tree(tokens, at + 2, &with(name), found)
        }
        Some(Kind::Name(name)) => {
            found.push(with(name));
            at + 1
        }
        Some(Kind::Mark('*')) => {
            found.push(with("*"));
            at + 1
        }
        Some(Kind::Mark('{')) => {
            let mut at = at + 1;
            while let Some(next) = kind(tokens, at) {
                at = match next {
                    Kind::Mark('}') => return at + 1,
                    Kind::Name("as") => at + 2,
                    Kind::Name(_) | Kind::Mark('{' | '*') => path_tree(tokens, at, before, found),
                    Kind::Mark(_) | Kind::Separator => at + 1,
                };
            }
            at
        }
        // `crate::table::<…>` and the like: the path ends here.
        _ => {
            found.push(before.to_vec());
            at
        }
    }
}

/// The room that a path leads to when it is read inside `module`; `the crate's root` where it leads to none.
fn room(module: &[String], path: &[&str]) -> String {
    let mut absolute: Vec<&str> = module.iter().map(String::as_str).collect();
    for segment in path {
        match *segment {
            "crate" | "feishu_pulse" => absolute.clear(),
            "self" => {}
            "super" => drop(absolute.pop()),
            name => absolute.push(name),
        }
    }
    absolute.first().copied().filter(|name| *name != "*").unwrap_or("the crate's root").to_owned()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind<'a> {
    Name(&'a str),
    /// `::`
    Separator,
    Mark(char),
}

struct Token<'a> {
    kind: Kind<'a>,
    line: usize,
}

/// Names and marks; comments, strings and character literals are skipped.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let (length, kind) = match first {
            _ if rest.starts_with("::") => (2, Some(Kind::Separator)),
            _ if skipped(rest) > 0 => (skipped(rest), None),
            _ if first.is_alphanumeric() || first == '_' => {
                let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                (length, Some(Kind::Name(&rest[..length])))
            }
            _ if first.is_whitespace() => (first.len_utf8(), None),
            _ => (first.len_utf8(), Some(Kind::Mark(first))),
        };
        found.extend(kind.map(|kind| Token { kind, line }));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// How many bytes at the start are a comment or a literal in quotes.
fn skipped(rest: &str) -> usize {
    let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return until("\n", 2);
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if let Some(raw) = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let opened = rest.len() - raw.len() + hashes + 1;
            return until(&format!("\"{}", "#".repeat(hashes)), opened);
        }
    }
    match rest.as_bytes() {
        [b'"', ..] => quoted(rest, '"'),
        [b'\'', b'\\', ..] => quoted(rest, '\''),
        [b'\'', ..] => {
            // A lifetime has no closing quote: only its own quote is skipped, as a mark.
            let mut inside = rest[1..].chars();
            let value = inside.next().map_or(0, char::len_utf8);
            if inside.next() == Some('\'') { value + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(next) = rest[at..].find(['/', '*']).map(|found| at + found) {
        at = match rest.get(next..next + 2) {
            Some("/*") => {
                depth += 1;
                next + 2
            }
            Some("*/") if depth == 1 => return next + 2,
            Some("*/") => {
                depth -= 1;
                next + 2
            }
            _ => next + 1,
        };
    }
    rest.len()
}

mod the_reader {
    //! A check that cannot fail holds nothing: what it must and must not object to, by example.

    use super::*;

    fn objections(path: &str, text: &str) -> usize {
        violations(path, text).len()
    }

    #[test]
    fn objects_to_every_way_of_writing_an_import_that_goes_up_or_sideways() {
        for (path, text) in [
            ("model/day.rs", "use crate::table::Partition;"),
            ("model/day.rs", "use feishu_pulse::table::Partition;"),
            ("model.rs", "pub use super::table;"),
            ("model/day.rs", "use super::super::table::{Partition, Row};"),
            ("model/day.rs", "fn f() -> crate::api::Problem { todo() }"),
            ("model/day.rs", "use crate::{model::Geo, query::{plan, engine as e}};"),
            ("model/day.rs", "use {std::fmt, crate::{self as root}};"),
            ("model/day.rs", "use crate::*;"),
            ("feishu/pages.rs", "use crate::report::activity;"),
            ("report/activity.rs", "use ::feishu_pulse::feishu;"),
            ("store/memory.rs", "mod tests { use super::super::super::api; }"),
            ("store/memory.rs", "macro_rules! m { () => { $crate::api::f() } }"),
            ("store/memory.rs", "let a = '\"'; let b = crate::sim::x(); // '\""),
            ("store/memory.rs", "let raw = r#\"\"\"#; crate::cli::run::<u8>();"),
            ("sim/server.rs", "use crate::feishu::wire;"),
            ("sim/server.rs", "use crate::table::Counter;"),
            ("app/build.rs", "use crate::cli::Cli;"),
            ("app/build.rs", "use crate::nowhere;"),
        ] {
            assert_eq!(objections(path, text), 1, "{path}: {text}");
        }
    }

    #[test]
    fn objects_to_nothing_else() {
        for (path, text) in [
            ("table/builder.rs", "use crate::model::DayKey; pub(crate) fn f() {} pub(in crate::table) fn g() {}"),
            ("source.rs", "use crate::{model::DayKey, table::Partition};"),
            ("store/flight.rs", "use super::memory; use self::x; use crate::store::freshness; use super::*;"),
            ("store/flight.rs", "mod tests { use super::*; mod deep { use super::super::super::memory; } }"),
            ("store/flight.rs", "mod tests {} use super::super::source;"),
            ("store/flight.rs", "// use crate::api;\n/* crate::api /* nested */ crate::api */ fn f<'a>(x: &'a str) {}"),
            ("store/flight.rs", "let s = \"crate::api \\\" crate::api\"; let r = br##\"\"# crate::api\"##;"),
            ("api/v1.rs", "use axum::{Router, extract::State}; use crate::query::engine;"),
            ("cli.rs", "use crate::{app, sim};"),
            ("main.rs", "use feishu_pulse::{api, cli};"),
        ] {
            assert_eq!(violations(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn says_where() {
        let text = "//! A file.\n\nuse crate::{\n    model::Day,\n    api::v1,\n};\n";
        assert_eq!(violations("table.rs", text), ["src/table.rs:3: `table` must not know `api`"]);
    }

    #[test]
    fn objects_to_rooms_without_a_floor_or_a_name() {
        assert!(misplaced("config").is_some() && misplaced("attic").is_some());
        assert!(misplaced("store").is_none() && misplaced("sim").is_none());
    }
}
