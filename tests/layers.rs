//! The house rules that can be read off the source: imports go down only, as the table in `src/lib.rs` says; files are
//! short; unsafe code and clocks stay where they may be.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Most lines of a file that are not tests.
const LINES: usize = 600;

/// A source file, its comments and the inside of its strings blanked out, line by line as it was.
struct Source {
    /// Beneath `src/`.
    path: PathBuf,
    code: String,
    /// The same without what stands under `#[cfg(test)]`.
    product: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let code = blank(&text);
        Self { path: path.strip_prefix(root).unwrap().to_owned(), product: without_tests(&code), code }
    }

    /// The module at the top that it belongs to; `None` for `lib.rs` and `main.rs`.
    fn module(&self) -> Option<String> {
        let first = self.path.iter().next()?.to_str()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(name, "lib" | "main")).then(|| name.to_owned())
    }

    /// How many `super::` lead from the file's own module to the crate.
    fn depth(&self) -> usize {
        let names = self.path.iter().filter(|name| *name != "mod.rs").count();
        if self.path.parent() == Some(Path::new("")) && self.module().is_none() { 0 } else { names }
    }
}

/// All of `src/`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => directories.push(path),
                Some(extension) if extension == "rs" => found.push(Source::read(&root, &path)),
                _ => {}
            }
        }
    }
    assert!(found.len() > 100, "these are not all sources");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Blanks comments and what is inside strings and characters out; newlines stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let starts = |at: usize, what: &str| bytes[at..].starts_with(what.as_bytes());
    while at < bytes.len() {
        let end = if starts(at, "//") {
            at + bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at)
        } else if starts(at, "/*") {
            at + text[at..].find("*/").expect("comments end") + 2
        } else if let Some(end) = raw_string(text, at) {
            end
        } else if bytes[at] == b'"' {
            string(bytes, at)
        } else if let Some(end) = character(bytes, at) {
            end
        } else {
            let character = text[at..].chars().next().unwrap();
            out.push(character);
            at += character.len_utf8();
            continue;
        };
        out.extend(text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// The end of a raw string that begins at `at`.
fn raw_string(text: &str, at: usize) -> Option<usize> {
    let before = text[..at].chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = text[at..].strip_prefix('b').unwrap_or(&text[at..]).strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&close).expect("raw strings end");
    Some(text.len() - body.len() + length + close.len())
}

fn string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The end of a character literal; lifetimes are none.
fn character(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at..at + 3)? {
        [b'\'', b'\\', _] => {
            let rest = &bytes[at + 3..];
            Some(at + 3 + rest.iter().position(|byte| *byte == b'\'')? + 1)
        }
        [b'\'', _, b'\''] => Some(at + 3),
        _ => None,
    }
}

/// Blanks items under `#[cfg(test)]` out.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let rest = &out[start..];
        let semicolon = rest.find(';').unwrap_or(rest.len());
        let end = match rest.find('{') {
            Some(open) if open < semicolon => start + open + block(&rest[open..]),
            _ => start + semicolon + 1,
        };
        let blanked: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blanked);
    }
    out
}

/// The length of a block that begins with its brace.
fn block(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    panic!("a block that does not end");
}

/// Modules that are declared under `#[cfg(test)]`, with all that lies beneath them.
fn is_test_file(source: &Source, all: &[Source]) -> bool {
    all.iter().any(|parent| {
        let directory = match parent.path.file_name().unwrap().to_str().unwrap() {
            "mod.rs" | "lib.rs" | "main.rs" => parent.path.parent().unwrap().to_owned(),
            _ => parent.path.with_extension(""),
        };
        let mut rest = &parent.code[..];
        std::iter::from_fn(|| {
            rest = &rest[rest.find("#[cfg(test)]")? + "#[cfg(test)]".len()..];
            Some(rest.trim_start())
        })
        .filter_map(|item| {
            let item = item.strip_prefix("pub(crate) ").unwrap_or(item);
            item.strip_prefix("mod ")?.split_once(';').map(|(name, _)| name)
        })
        .filter(|name| !name.contains('{'))
        .any(|name| {
            source.path.starts_with(directory.join(name))
                || source.path == directory.join(format!("{name}.rs"))
        })
    })
}

/// The layer of each module.
fn layers() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let mut layers = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let Some((number, modules)) = line.trim_end_matches(['|', ' ']).split_once(" | ") else { continue };
        let Ok(number) = number.trim().parse::<usize>() else { continue };
        for module in modules.split_whitespace() {
            let known = layers.insert(module.trim_matches('`').to_owned(), number);
            assert_eq!(known, None, "{module} is in two layers");
        }
    }
    layers
}

/// Names after which a path begins, and what comes behind it.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every module at the top that a file names, with the line: `crate::x`, `crate::{x::y, z}`, and `super::` that leads
/// as far up.
fn named(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let begins = !code[..at].ends_with(|c: char| is_name(c) || c == '$');
        if begins {
            found.extend(heads(&code[at + "crate::".len()..]).map(|name| (at, name)));
        }
    }
    let inline = inline_modules(code);
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") || code[..at].ends_with(is_name) {
            continue;
        }
        let mut rest = &code[at..];
        let mut ups = 0;
        while let Some(further) = rest.strip_prefix("super::") {
            (rest, ups) = (further, ups + 1);
        }
        let nested = inline.iter().filter(|(from, to)| (*from..*to).contains(&at)).count();
        if ups == source.depth() + nested {
            found.extend(heads(rest).map(|name| (at, name)));
        }
        assert!(ups <= source.depth() + nested, "{}: super:: beyond the crate", source.path.display());
    }
    found.into_iter().map(|(at, name)| (code[..at].matches('\n').count() + 1, name)).collect()
}

/// Where the bodies of modules in the file begin and end.
fn inline_modules(code: &str) -> Vec<(usize, usize)> {
    let heads = code.match_indices("mod ").filter(|(at, _)| !code[..*at].ends_with(is_name));
    heads
        .filter_map(|(at, _)| {
            let name = code[at + 4..].find(|c: char| !is_name(c))? + at + 4;
            let open = code[name..].find(|c: char| !c.is_whitespace())? + name;
            code[open..].starts_with('{').then(|| (open, open + block(&code[open..])))
        })
        .collect()
}

/// The first names of a path, or of each path in a group.
fn heads(path: &str) -> impl Iterator<Item = String> + use<> {
    let group = match path.strip_prefix('{') {
        Some(_) => path[1..block(path) - 1].to_owned(),
        None => path[..path.find(|c: char| !is_name(c)).unwrap_or(path.len())].to_owned(),
    };
    let mut depth = 0;
    let mut names = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            c => {
                if depth == 0 {
                    names.last_mut().unwrap().push(c);
                }
            }
        }
    }
    let first = |name: String| name.trim().split("::").next().unwrap_or_default().trim().to_owned();
    names.into_iter().map(first).filter(|name| !name.is_empty())
}

#[test]
fn the_table_names_every_module() {
    let declared: BTreeSet<String> =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"))
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned))
            .collect();
    let layers = layers();
    assert!(declared.len() > 10, "{declared:?}");
    for module in &declared {
        assert!(layers.contains_key(module), "{module} has no layer in the table of src/lib.rs");
    }
    for source in sources() {
        if let Some(module) = source.module() {
            assert!(
                declared.contains(&module),
                "{} belongs to no module of src/lib.rs",
                source.path.display()
            );
        }
    }
}

#[test]
fn imports_go_down_only() {
    let layers = layers();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for source in sources() {
        let Some(module) = source.module() else { continue };
        for (line, name) in named(&source) {
            // What is not a module is re-exported at the top: there is none.
            let Some(theirs) = layers.get(&name) else {
                panic!("{}:{line}: {name} is no module of the table", source.path.display());
            };
            seen += 1;
            if *theirs > layers[&module] || (*theirs == layers[&module] && name != module) {
                wrong.push(format!("src/{}:{line}: {module} may not use {name}", source.path.display()));
            }
        }
    }
    assert!(seen > 250, "only {seen} imports were found");
    assert!(wrong.is_empty(), "imports go down only, see src/lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    let all = sources();
    let mut long = Vec::new();
    for source in all.iter().filter(|source| !is_test_file(source, &all)) {
        // What is under #[cfg(test)] was blanked out; blank lines of the product count.
        let tests =
            source.code.lines().zip(source.product.lines()).filter(|(code, rest)| code != rest).count();
        let lines = source.code.lines().count() - tests;
        if lines > LINES {
            long.push(format!("src/{}: {lines} lines", source.path.display()));
        }
    }
    assert!(long.is_empty(), "a file has one subject and at most {LINES} lines:\n{}", long.join("\n"));
}

/// Lines on which a word stands by itself.
fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let whole = |at: usize| !code[..at].ends_with(is_name) && !code[at + word.len()..].starts_with(is_name);
    let places = code.match_indices(word).filter(|(at, _)| whole(*at));
    places.map(|(at, _)| code[..at].matches('\n').count() + 1).collect()
}

#[test]
fn unsafe_code_stays_in_the_dpdk_layer_and_one_file_of_the_plane() {
    let mut files_of_plane = BTreeSet::new();
    for source in sources() {
        for line in lines_with(&source.code, "unsafe") {
            let path = source.path.display();
            match source.module().as_deref() {
                Some("dpdk") => {}
                Some("plane") => _ = files_of_plane.insert(source.path.clone()),
                _ => panic!("src/{path}:{line}: unsafe code"),
            }
        }
    }
    assert!(files_of_plane.len() <= 1, "{files_of_plane:?}");
}

#[test]
fn polling_code_has_no_clock_no_socket_and_no_runtime() {
    /// What is named, and in which modules it may not be.
    const FORBIDDEN: [(&str, &[&str]); 13] = [
        (
            "std::time::Instant",
            &["worker", "protocol", "session", "control", "packet", "service", "plane", "port", "simulator"],
        ),
        (
            "SystemTime",
            &["worker", "protocol", "session", "control", "packet", "service", "plane", "port", "simulator"],
        ),
        (
            "Instant::now",
            &["worker", "protocol", "session", "control", "packet", "service", "plane", "port", "simulator"],
        ),
        (
            "quanta",
            &["worker", "protocol", "session", "control", "packet", "service", "plane", "port", "simulator"],
        ),
        (
            "tokio",
            &["worker", "protocol", "session", "control", "packet", "service", "plane", "port", "dpdk"],
        ),
        ("TcpStream", &["worker", "protocol", "session", "control"]),
        ("TcpListener", &["worker", "protocol", "session", "control"]),
        ("UdpSocket", &["worker", "protocol", "session", "control"]),
        ("UnixStream", &["worker", "protocol", "session", "control"]),
        ("UnixDatagram", &["worker", "protocol", "session", "control"]),
        ("tracing", &["worker", "protocol", "session", "control", "packet", "service", "plane", "port"]),
        ("Mutex", &["worker", "protocol", "session", "control", "packet", "port"]),
        ("RwLock", &["worker", "protocol", "session", "control", "packet", "port"]),
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(module) = source.module() else { continue };
        for (word, _) in FORBIDDEN.iter().filter(|(_, modules)| modules.contains(&&*module)) {
            for line in lines_with(&source.product, word) {
                wrong.push(format!("src/{}:{line}: {word}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "time is an argument and packets come by ports:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_reads() {
    let code = blank(
        "use a::b; // crate::x\nlet s = \"crate::y \\\" unsafe\"; let c = '\"'; let r = r#\"crate::\"z\"#;",
    );
    assert!(!code.contains("crate") && !code.contains("unsafe") && code.contains("let r ="), "{code}");
    let names = |text: &str| heads(text).collect::<Vec<_>>();
    assert_eq!(names("packet::{a, b};"), ["packet"]);
    assert_eq!(names("{packet::{A, B}, types::C, port}; rest"), ["packet", "types", "port"]);
    let file = |path: &str, text: &str| {
        let code = blank(text);
        Source { path: path.into(), product: without_tests(&code), code }
    };
    let worker =
        file("worker/mod.rs", "use super::cli::X;\nmod tests { use super::super::manage; use super::own; }");
    assert_eq!(named(&worker), [(1, "cli".to_owned()), (2, "manage".to_owned())]);
    let deep = file(
        "worker/burst.rs",
        "use super::core;\nuse super::super::{cli, types::T};\nlet a = crate::bench::X;",
    );
    assert_eq!(named(&deep).iter().map(|(_, name)| &name[..]).collect::<Vec<_>>(), ["bench", "cli", "types"]);
    let tested = file(
        "a.rs",
        "fn f() {}\n#[cfg(test)]\nmod tests { fn g() { {} } }\nfn h() {}\n#[cfg(test)]\nmod more;\n",
    );
    assert!(
        tested.product.contains("fn h")
            && !tested.product.contains("fn g")
            && !tested.product.contains("more")
    );
}
