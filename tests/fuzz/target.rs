//! One target: that of this program's name. All programs of this package are this file.

#![no_main]

use std::{fs, path::PathBuf};

use libfuzzer_sys::fuzz_target;
use souk::fuzzing::{Fuzzing, TARGETS};

const NAME: &str = env!("CARGO_BIN_NAME");

thread_local! {
    static FUZZING: Fuzzing = Fuzzing::new();
}

fuzz_target!(init: begin(), |bytes: &[u8]| {
    let target = TARGETS.iter().find(|target| target.name == NAME).expect("a target of this program's name");
    FUZZING.with(|fuzzing| (target.run)(fuzzing, bytes));
});

/// Puts what the target is begun with into the first folder of the command line, which
/// libFuzzer reads next.
fn begin() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else { return };
    for (number, seed) in FUZZING.with(|fuzzing| fuzzing.seeds(NAME)).into_iter().enumerate() {
        let place = folder.join(format!("seed-{number}"));
        if !place.exists() {
            fs::write(place, seed).expect("the corpus can be written");
        }
    }
}
