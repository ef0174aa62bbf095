//! The order of the lake's rooms, and no two files of any crate in a circle.
//!
//! `lake/src/lib.rs` lists the rooms, lowest first. A file may use its own room and those before it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module's path from the root of its crate: `["table", "file"]`.
type Module = Vec<String>;

#[test]
fn no_room_uses_one_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let order = order_of_rooms(&fs::read_to_string(src.join("lib.rs")).unwrap());
    assert!(order.len() > 10, "the list of rooms in lib.rs was not found: {order:?}");
    let files = read_files(&src);
    for room in &order {
        assert!(files.contains_key(room), "lib.rs lists a room {} that has no file", room.join("/"));
    }
    assert_eq!(upward_uses(&order, &files), [""; 0]);
}

#[test]
fn no_two_files_of_a_crate_use_each_other_in_a_circle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut searched = 0;
    for entry in fs::read_dir(crates).unwrap() {
        let src = entry.unwrap().path().join("src");
        let files = if src.is_dir() { read_files(&src) } else { BTreeMap::new() };
        searched += usize::from(!files.is_empty());
        assert_eq!(circles(&files), [""; 0], "in {}", src.display());
    }
    assert!(searched > 5, "the crates of the workspace were not found");
}

#[test]
fn an_upward_use_is_caught_in_every_form() {
    check_upward("use crate::low::part::Thing;", &[]);
    check_upward("use crate::high::Thing;", &["low/part uses high"]);
    check_upward("use crate::{low::part, high};", &["low/part uses high"]);
    check_upward(
        "use crate::{\n    low::{self, part},\n    high::{deep::{A, B}, C},\n};",
        &["low/part uses high", "low/part uses high/deep"],
    );
    check_upward("use super::super::high::deep::Thing;", &["low/part uses high/deep"]);
    check_upward("use super::{super::high, other};", &["low/part uses high"]);
    check_upward("use super::other::Thing;", &[]);
    check_upward("fn f(thing: &crate::high::Thing) {}", &["low/part uses high"]);
    // The root re-exports every room, so a name taken from it does not tell the room.
    check_upward("use crate::Thing;", &["low/part uses the crate's root for Thing"]);
    check_upward("// use crate::high::Thing;", &[]);
    check_upward("pub(crate) struct Thing;\n#[cfg(test)]\nmod tests {\n    use crate::high::Thing;\n}", &[]);

    // Part of a room may stand lower than the rest of it.
    let order = [module("high/deep"), module("low"), module("high")];
    let files = BTreeMap::from([
        (module("high"), String::new()),
        (module("high/deep"), String::new()),
        (module("low"), "use crate::high::deep::Thing;".to_owned()),
    ]);
    assert_eq!(upward_uses(&order, &files), [""; 0]);
}

#[test]
fn a_circle_is_caught_and_a_module_with_its_parts_is_none() {
    let files = |sources: &[(&str, &str)]| sources.iter().map(|(path, text)| (module(path), (*text).into())).collect();
    let found = circles(&files(&[
        ("one", "use crate::two::Thing;"),
        ("two", "use crate::{three::part::Thing};"),
        ("three", ""),
        ("three/part", "use super::super::one;"),
        ("four", "use crate::one;"),
    ]));
    assert_eq!(found, ["one three/part two"]);
    assert_eq!(
        circles(&files(&[("one", "use self::part::A; use super::two;"), ("one/part", "use super::B;")])),
        [""; 0]
    );
}

/// Checks what is wrong with a file `low/part` of this text below a room `high`.
#[track_caller]
fn check_upward(text: &str, expected: &[&str]) {
    let order = [module("low"), module("high")];
    let others = ["low", "low/other", "high", "high/deep"];
    let mut files: BTreeMap<Module, String> = others.iter().map(|path| (module(path), String::new())).collect();
    files.insert(module("low/part"), text.to_owned());
    assert_eq!(upward_uses(&order, &files), expected, "{text}");
}

fn module(path: &str) -> Module {
    path.split('/').map(str::to_owned).collect()
}

/// The rooms that a crate's root lists in its documentation, one a line: "- `name`: what it is".
fn order_of_rooms(root: &str) -> Vec<Module> {
    let room = |line: &str| Some(module(line.strip_prefix("//! - `")?.split_once("`: ")?.0));
    root.lines().filter_map(room).collect()
}

/// The text of each file of a crate by its module; the root has no name and is left out.
fn read_files(src: &Path) -> BTreeMap<Module, String> {
    let (mut files, mut dirs) = (BTreeMap::new(), vec![src.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let within = path.strip_prefix(src).unwrap().with_extension("");
                let mut module: Module = within.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                module.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
                if !module.is_empty() {
                    files.insert(module, fs::read_to_string(path).unwrap());
                }
            }
        }
    }
    files
}

/// Says which files use a file of a room above their own.
fn upward_uses(order: &[Module], files: &BTreeMap<Module, String>) -> Vec<String> {
    // The longest entry counts: part of a room may have a place of its own.
    let place = |module: &Module| {
        let places = order.iter().enumerate().filter(|(_, room)| module.starts_with(room));
        places.max_by_key(|(_, room)| room.len()).map(|(place, _)| place)
    };
    let mut wrong = BTreeSet::new();
    for (user, text) in files {
        let Some(own) = place(user) else {
            wrong.insert(format!("{} is in no room", user.join("/")));
            continue;
        };
        for path in paths_used(user, text) {
            match file_of(&path, files) {
                Some(used) if place(&used).is_some_and(|place| place <= own) => {}
                Some(used) => _ = wrong.insert(format!("{} uses {}", user.join("/"), used.join("/"))),
                None => _ = wrong.insert(format!("{} uses the crate's root for {}", user.join("/"), path.join("::"))),
            }
        }
    }
    wrong.into_iter().collect()
}

/// Groups of files that use each other in a circle, each as its modules' paths. A module and its own parts count as one
/// idea, whichever names the other.
fn circles(files: &BTreeMap<Module, String>) -> Vec<String> {
    let uses: BTreeMap<&Module, BTreeSet<Module>> = files
        .iter()
        .map(|(user, text)| {
            let used = paths_used(user, text).into_iter().filter_map(|path| file_of(&path, files));
            (user, used.filter(|used| !used.starts_with(user) && !user.starts_with(used)).collect())
        })
        .collect();
    let reached_from = |start: &Module| {
        let (mut reached, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(file) = next.pop() {
            next.extend(uses[file].iter().filter(|used| reached.insert((*used).clone())));
        }
        reached
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> = uses.keys().map(|file| (*file, reached_from(file))).collect();
    let mut found = BTreeSet::new();
    for (file, after) in reached.iter().filter(|(file, after)| after.contains(**file)) {
        let circle: Vec<String> = reached
            .keys()
            .filter(|other| after.contains(**other) && reached[**other].contains(*file))
            .map(|other| other.join("/"))
            .collect();
        found.insert(circle.join(" "));
    }
    found.into_iter().collect()
}

/// The file that a path leads to: its longest beginning that is a module.
fn file_of(path: &Module, files: &BTreeMap<Module, String>) -> Option<Module> {
    (1..=path.len()).rev().map(|length| path[..length].to_vec()).find(|module| files.contains_key(module))
}

/// What a file names by `crate::` and `super::`, from the crate's root. Its tests may use what they like.
fn paths_used(user: &Module, text: &str) -> Vec<Module> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let without_comments: Vec<&str> = text
        .lines()
        .map(|line| match line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':')) {
            Some((at, _)) => &line[..at],
            None => line,
        })
        .collect();
    let text = without_comments.join("\n");
    let mut paths = Vec::new();
    for (at, word) in text.match_indices("crate").chain(text.match_indices("super")) {
        let is_inside = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
        let rest = &text[at + word.len()..];
        // A visibility, `pub(super)`, uses nothing.
        if rest.starts_with("::") && !text[..at].ends_with(is_inside) {
            let start = if word == "crate" { vec![] } else { user[..user.len() - 1].to_vec() };
            follow(rest, &start, &mut paths);
        }
    }
    paths
}

/// Reads a path on, at the `::` behind `path`, into all branches of its groups.
fn follow(text: &str, path: &Module, paths: &mut Vec<Module>) {
    let Some(text) = text.trim_start().strip_prefix("::").map(str::trim_start) else {
        if !path.is_empty() {
            paths.push(path.clone());
        }
        return;
    };
    if let Some(group) = text.strip_prefix('{') {
        for branch in branches(group) {
            // As if each stood alone.
            follow(&format!("::{branch}"), path, paths);
        }
        return;
    }
    let end = text.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(text.len());
    let mut longer = path.clone();
    match &text[..end] {
        "super" => drop(longer.pop()),
        // `self` in a group, and the star.
        "self" | "" => {}
        name => longer.push(name.to_owned()),
    }
    follow(&text[end..], &longer, paths);
}

/// The parts of a group up to its closing brace, divided at its own commas.
fn branches(group: &str) -> Vec<&str> {
    let (mut branches, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                branches.push(group[begin..at].trim());
                begin = at + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    branches.retain(|branch| !branch.is_empty());
    branches
}
