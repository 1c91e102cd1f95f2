//! The house rules on who knows whom, held by reading `src/`.
//!
//! Only code that is shipped counts: unit tests and fixtures may know more.

mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use self::source::{code, paths, test_modules};

/// Which rooms a room may use: the arrows of the layout in `src/lib.rs`.
const ARROWS: [(&str, &[&str]); 18] = [
    ("main", &["cli"]),
    (
        "cli",
        &[
            "config",
            "server",
            "api",
            "registry",
            "model",
            "manifest",
            "stack",
            "rows",
            "telemetry",
            "trust",
            "identity",
        ],
    ),
    ("server", &["config", "api", "registry", "model", "manifest", "stack", "telemetry", "trial", "identity", "error"]),
    (
        "api",
        &[
            "registry",
            "model",
            "manifest",
            "features",
            "heads",
            "stack",
            "rows",
            "error",
            "telemetry",
            "trial",
            "identity",
        ],
    ),
    ("identity", &["error"]),
    ("trial", &["registry", "model", "manifest", "heads", "rows", "cost", "error", "telemetry"]),
    ("registry", &["model", "error", "telemetry"]),
    ("model", &["manifest", "features", "heads", "rows", "cost", "trust"]),
    ("features", &["error", "manifest", "rows"]),
    ("heads", &["manifest", "rows"]),
    ("stack", &["rows", "cost", "error", "telemetry", "identity"]),
    ("telemetry", &[]),
    ("manifest", &["rows"]),
    ("config", &["trust"]),
    ("trust", &[]),
    ("rows", &["cost"]),
    ("cost", &[]),
    ("error", &[]),
];

/// Rooms that know no wire. Telemetry has one of its own, to collectors: `telemetry/otlp`.
const WIRELESS: [&str; 12] = [
    "stack",
    "telemetry",
    "rows",
    "error",
    "manifest",
    "features",
    "heads",
    "registry",
    "model",
    "trial",
    "trust",
    "identity",
];

/// One file of `src/`.
struct Source {
    /// From `src/` on, e.g. `model/torch/script.rs`.
    file: String,
    /// The module's first name, e.g. `model`.
    room: String,
    code: String,
    paths: BTreeSet<String>,
}

impl Source {
    fn new(file: &str, text: &str) -> Self {
        let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
        let module: Vec<&str> = module.split('/').filter(|name| *name != "lib").collect();
        let room = module.first().copied().unwrap_or("lib").to_owned();
        let code = code(text);
        // The program says `souk::cli`, the library `crate::cli`.
        let absolute = |path: String| path.strip_prefix("souk::").map_or(path.clone(), |rest| format!("crate::{rest}"));
        let paths = paths(&code, &module).into_iter().map(absolute).collect();
        Self { file: file.to_owned(), room, code, paths }
    }

    /// The other rooms that it names.
    fn rooms(&self) -> BTreeSet<&str> {
        let inside = self.paths.iter().filter_map(|path| path.strip_prefix("crate::"));
        inside.filter_map(|path| path.split("::").next()).filter(|room| *room != self.room).collect()
    }

    /// Whether it names a crate of this name, or one of its family (`tonic_types`).
    fn names_crate(&self, name: &str) -> bool {
        let is = |first: &str| first == name || first.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'));
        self.paths.iter().filter_map(|path| path.split("::").next()).any(is)
    }

    fn names(&self, prefix: &str) -> bool {
        self.paths.iter().any(|path| path == prefix || path.starts_with(&format!("{prefix}::")))
    }

    fn has_word(&self, word: &str) -> bool {
        self.code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
    }
}

fn shipped() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    read_below(&root, &root, &mut files);
    let tests: BTreeSet<String> = files.iter().flat_map(|(file, text)| test_modules(file, text)).collect();
    assert!(!tests.is_empty(), "no file of unit tests was found: the reader is broken");
    let is_test = |file: &str| tests.iter().any(|test| file == test || (test.ends_with('/') && file.starts_with(test)));
    let sources = files.iter().filter(|(file, _)| !is_test(file));
    sources.map(|(file, text)| Source::new(file, text)).collect()
}

fn read_below(folder: &Path, root: &Path, files: &mut BTreeMap<String, String>) {
    let entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in entries {
        if path.is_dir() {
            read_below(&path, root, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

fn files(sources: &[Source], wrong: impl Fn(&Source) -> bool) -> Vec<&str> {
    sources.iter().filter(|source| wrong(source)).map(|source| source.file.as_str()).collect()
}

#[test]
fn only_the_torch_engine_says_tch() {
    let sources = shipped();
    let files = files(&sources, |source| source.names_crate("tch"));
    assert!(!files.is_empty() && files.iter().all(|file| file.starts_with("model/torch/")), "{files:?}");
}

#[test]
fn what_is_not_the_wire_knows_neither_tonic_nor_prost() {
    let wireless =
        |source: &Source| WIRELESS.contains(&source.room.as_str()) && !source.file.starts_with("telemetry/otlp");
    let knows = |source: &Source| source.names_crate("tonic") || source.names_crate("prost");
    assert_eq!(files(&shipped(), |source| wireless(source) && knows(source)), Vec::<&str>::new());
    assert!(!files(&shipped(), knows).is_empty(), "nobody knows tonic: the reader is broken");
}

#[test]
fn only_telemetry_knows_opentelemetry_and_prometheus() {
    let knows = |source: &Source| source.names_crate("opentelemetry") || source.names_crate("prometheus");
    let sources = shipped();
    let rooms: BTreeSet<&str> =
        sources.iter().filter(|source| knows(source)).map(|source| source.room.as_str()).collect();
    assert_eq!(rooms, BTreeSet::from(["telemetry"]));
}

#[test]
fn only_the_configuration_reads_the_environment() {
    assert_eq!(files(&shipped(), |source| source.names("std::env")), ["config/load.rs"]);
}

#[test]
fn there_is_no_static_but_the_allocator() {
    let has_static = |source: &Source| source.has_word("static") || source.has_word("thread_local");
    assert_eq!(files(&shipped(), has_static), ["main.rs"]);
    let lazy = |source: &Source| ["LazyLock", "OnceLock", "OnceCell"].iter().any(|word| source.has_word(word));
    assert_eq!(files(&shipped(), lazy), Vec::<&str>::new());
}

#[test]
fn rooms_use_only_the_rooms_that_the_layout_allows() {
    let arrows = BTreeMap::from(ARROWS);
    let mut forbidden = Vec::new();
    for source in shipped().iter().filter(|source| source.room != "lib") {
        let allowed = arrows.get(source.room.as_str());
        let allowed = allowed.unwrap_or_else(|| panic!("{} is in a room that the layout lacks", source.file));
        let beyond = source.rooms().into_iter().filter(|room| !allowed.contains(room));
        forbidden.extend(beyond.map(|room| format!("{} uses {room}", source.file)));
    }
    assert_eq!(forbidden, Vec::<String>::new());
}

#[test]
fn every_arrow_of_the_layout_is_used() {
    let sources = shipped();
    for (room, allowed) in ARROWS {
        let used: BTreeSet<&str> =
            sources.iter().filter(|source| source.room == room).flat_map(Source::rooms).collect();
        let unused: Vec<_> = allowed.iter().filter(|other| !used.contains(*other)).collect();
        assert!(unused.is_empty(), "{room} does not use {unused:?}: take the arrow out of the layout");
    }
}

#[test]
fn a_breach_is_found_however_it_is_written() {
    let source = |text| Source::new("stack/admit.rs", text);
    assert!(source("use tonic::Status;").names_crate("tonic"));
    assert!(source("use {std::fmt, tonic_types::{StatusExt as _}};").names_crate("tonic"));
    assert!(source("fn f() -> tch::Tensor { todo!() }").names_crate("tch"));
    assert_eq!(source("use crate::{error::ScoreError, registry::{Model, Registry}};").rooms().len(), 2);
    assert!(source("use super::super::registry::Model;").rooms().contains("registry"));
    assert!(source("fn f() { crate::api::today_utc(); }").rooms().contains("api"));
    assert!(source("fn f() { let v = std::env::var(\"X\"); }").names("std::env"));
    assert!(source("use std::{env, fmt};").names("std::env"));
    assert!(source("pub(super) static COUNT: u8 = 0;").has_word("static"));
}

#[test]
fn what_only_looks_like_a_breach_is_none() {
    let source = Source::new(
        "stack/admit.rs",
        r##"
        //! Knows neither `tonic::Status` nor tch::Tensor.
        /* use tonic::Status; /* crate::api::x */ static */
        const TEXT: &str = "use tonic::Status; static";
        const RAW: &str = r#"a "quoted" tch::Tensor"#;
        const QUOTE: char = '"';
        const CRATE: &str = env!("CARGO_PKG_NAME");
        fn f<'a>(x: &'static str) -> &'a str { super::g(self::h(x)) }
        use super::{Job, Lane};
        #[cfg(test)]
        mod tests {
            use tonic::Status;
            static LOCK: u8 = { 0 };
        }
        "##,
    );
    assert!(!source.names_crate("tonic") && !source.names_crate("tch"), "{:?}", source.paths);
    assert!(source.rooms().is_empty(), "{:?}", source.rooms());
    assert!(!source.has_word("static") && !source.names("std::env"));
    assert!(source.names("crate::stack::Job"), "{:?}", source.paths);
}
