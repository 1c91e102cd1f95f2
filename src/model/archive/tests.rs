//! Archives as they are written, and as somebody might write them to mislead.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use proptest::{prelude::*, sample::Index};
use zip::{CompressionMethod, ZipWriter, write::FileOptions};

use super::*;

mod crafted;

use crafted::{Crafted, Part};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// All files below a folder with this ending.
fn below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = |path: PathBuf| match path.is_dir() {
        true => below(&path, ending),
        false => vec![path].into_iter().filter(|path| path.to_str().unwrap().ends_with(ending)).collect(),
    };
    paths.flat_map(found).collect()
}

fn said(bytes: &[u8]) -> String {
    check(&Place::Bytes(bytes)).map_or_else(|fault| fault.to_string(), |()| "sound".into())
}

#[test]
fn whatever_pytorch_and_numpy_wrote_is_sound() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let modules = [below(&fixtures(), ".pt"), below(&models, ".pt")].concat();
    let arrays = below(&fixtures(), ".npz");
    assert!(modules.len() > 70 && arrays.len() > 5, "{} and {}", modules.len(), arrays.len());
    for path in modules {
        assert_eq!(said(&fs::read(&path).unwrap()), "sound", "{}", path.display());
    }
    for path in arrays {
        let read = Entries::new(fs::File::open(&path).unwrap(), &ARRAYS);
        assert!(read.is_ok(), "{}: {}", path.display(), read.err().unwrap());
    }
}

#[test]
fn an_archive_that_was_made_by_hand_is_sound_while_nothing_is_bent() {
    assert_eq!(said(&Crafted::default().bytes()), "sound");
    assert_eq!(said(&Crafted { large: true, ..Crafted::default() }.bytes()), "sound");
    let following = Crafted::of([Part { flags: 8, follow: 16, ..Part::default() }, Part::named("m/version")]);
    assert_eq!(said(&following.bytes()), "sound");
    let following = Crafted::of([Part { flags: 8, follow: 24, ..Part::default() }]);
    assert_eq!(said(&following.bytes()), "sound");
}

#[test]
fn an_archive_of_more_than_four_gibibytes_is_sound_and_takes_no_memory() {
    let mut file = crafted::huge().unwrap();
    let directory = Directory::read(&mut file, &TORCHSCRIPT).unwrap();
    let sizes: Vec<u64> = directory.entries().iter().map(|entry| entry.unpacked).collect();
    assert_eq!(sizes, [(1 << 32) + 5, 5]);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for (name, wanted) in [
        ("../data.pkl", "has no plain name"),
        ("m/../../etc/passwd", "has no plain name"),
        ("/etc/passwd", "has no plain name"),
        ("m//data.pkl", "has no plain name"),
        ("m/./data.pkl", "has no plain name"),
        ("m/code/", "has no plain name"),
        ("", "has no plain name"),
        ("m\\data.pkl", "has a backslash or a control character"),
        ("m/data.pkl\0.py", "has a backslash or a control character"),
        ("m/\u{1b}[2J", "has a backslash or a control character"),
        ("data.pkl", "lies in no folder"),
        ("m/größe", "is not ASCII and does not say that it is UTF-8"),
    ] {
        let said = said(&Crafted::of([Part::named(name)]).bytes());
        assert!(said.contains(wanted) && said.contains(&format!("{name:?}")), "{name}: {said}");
    }
    assert_eq!(said(&Crafted::of([Part { flags: 1 << 11, ..Part::named("m/größe") }]).bytes()), "sound");
    assert!(
        said(&Crafted::of([Part::named(&format!("m/{}", "a".repeat(510)))]).bytes()).contains("a name of 512 bytes")
    );
}

#[test]
fn entries_that_could_be_taken_for_each_other_are_refused() {
    let two = |one: &str, other: &str| said(&Crafted::of([Part::named(one), Part::named(other)]).bytes());
    assert_eq!(two("m/data.pkl", "m/data.pkl"), r#"its entry "m/data.pkl" is there twice, or but for small letters"#);
    assert!(two("m/data.pkl", "m/DATA.pkl").contains("is there twice"));
    assert!(two("m/data.pkl", "n/data.pkl").contains("lies in another folder than the first"));
}

#[test]
fn what_is_no_file_or_nobody_writes_is_refused() {
    let with = |change: fn(&mut Part)| {
        let mut part = Part::default();
        change(&mut part);
        said(&Crafted::of([part]).bytes())
    };
    assert!(with(|part| part.attributes = 0o120_777 << 16).contains("is no file: a link"));
    assert!(with(|part| part.attributes = 0x10).contains("is no file: a link, a folder"));
    assert!(with(|part| part.flags = 1).contains("is encrypted"));
    assert!(with(|part| part.method = 12).contains("is compressed by method 12"));
    assert!(with(|part| part.disk = 1).contains("is in another file"));
}

#[test]
fn sizes_that_can_not_be_are_refused() {
    let with = |change: fn(&mut Part)| {
        let mut part = Part::default();
        change(&mut part);
        said(&Crafted::of([part]).bytes())
    };
    assert!(with(|part| part.unpacked = 6).contains("claims 6 bytes out of 5, wanted at most 5"));
    assert!(with(|part| (part.packed, part.unpacked) = (500, 500)).contains("reaches into the next, or beyond"));
    assert!(
        with(|part| (part.method, part.unpacked) = (8, 5161))
            .contains("claims 5161 bytes out of 5, wanted at most 5160")
    );
    assert!(with(|part| part.local_method = Some(8)).contains("says another thing of itself"));
    assert!(with(|part| part.local_name = Some("m/other".into())).contains("says another thing of itself"));
    assert!(with(|part| part.extra = b"\x01\0\x04\0abcd".to_vec()).contains("has fields that are none"));
    assert!(with(|part| part.extra = b"\x07\0\xff\xff".to_vec()).contains("has fields that are none"));
    assert!(with(|part| (part.flags, part.follow) = (8, 0)).contains("followed by 0 bytes that belong to no entry"));
    assert!(with(|part| (part.flags, part.follow, part.lie) = (8, 16, 1)).contains("other sizes than the directory"));
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let zeros = vec![0; 1 << 20];
    for index in 0..65 {
        let options = FileOptions::default().compression_method(CompressionMethod::Deflated);
        writer.start_file(format!("m/code/{index}.py"), options).unwrap();
        writer.write_all(&zeros).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    assert!(bytes.len() < 100_000);
    assert_eq!(said(&bytes), r#"its entry "m/code/64.py" claims too much: wanted 67108864 compressed bytes in all"#);
}

#[test]
fn bytes_that_belong_to_nobody_and_entries_over_each_other_are_refused() {
    let sound = Crafted::of([Part::named("m/data.pkl"), Part::named("m/version")]);
    let with = |change: fn(&mut Crafted)| {
        let mut crafted = sound.clone();
        change(&mut crafted);
        said(&crafted.bytes())
    };
    assert_eq!(with(|_| {}), "sound");
    assert!(
        with(|crafted| crafted.before = b"#!/bin/sh".to_vec()).contains("begins with 9 bytes that belong to no entry")
    );
    assert!(
        with(|crafted| crafted.parts[0].after = vec![0; 7]).contains("followed by 7 bytes that belong to no entry")
    );
    assert!(with(|crafted| crafted.parts[1].offset = Some(0)).contains(r#""m/data.pkl" says another thing"#));
    assert!(with(|crafted| crafted.parts[1].offset = Some(u32::MAX - 1)).contains("bytes that belong to no entry"));
    assert!(with(|crafted| crafted.after = vec![0; 3]).contains("something was put behind it"));
    assert!(with(|crafted| crafted.comment = b"hello".to_vec()).contains("has a comment"));
}

#[test]
fn a_second_directory_behind_the_first_one_is_no_way_in() {
    let (first, second) = (Crafted::of([Part::named("m/good")]).bytes(), Crafted::of([Part::named("m/evil")]).bytes());
    assert!(said(&[first.clone(), second.clone()].concat()).contains("says that its directory has"));
    // Two directories of the same bytes: what is before the last one belongs to nobody.
    let crafted = Crafted { before_directory: first[first.len() - 80..].to_vec(), ..Crafted::default() };
    assert!(said(&crafted.bytes()).contains("bytes that belong to no entry"));
}

#[test]
fn ends_that_disagree_are_refused() {
    let with = |change: fn(&mut Crafted)| {
        let mut crafted = Crafted { large: true, ..Crafted::default() };
        change(&mut crafted);
        said(&crafted.bytes())
    };
    assert!(with(|crafted| crafted.count = Some(2)).contains("different things of itself in its two end records"));
    assert!(with(|crafted| crafted.large_count = Some(1 << 40)).contains("different things"));
    assert!(
        with(|crafted| (crafted.count, crafted.large_count) = (Some(u16::MAX), Some(1 << 40)))
            .contains("wanted at most 65536")
    );
    assert!(with(|crafted| crafted.large_at = Some(3)).contains("different things"));
    let plain = |crafted: Crafted| said(&crafted.bytes());
    assert!(
        plain(Crafted { count: Some(3), ..Crafted::default() })
            .contains("has 1 entries in its directory, and says it has 3")
    );
    assert!(plain(Crafted { count: Some(u16::MAX), ..Crafted::default() }).contains("larger end record than fits"));
    assert!(said(b"PK").contains("has 2 bytes, wanted an end record of 22"));
    assert!(said(b"").contains("has 0 bytes"));
}

#[test]
fn entries_are_whole_and_no_more_than_the_bound_together() {
    let half = usize::try_from(TORCHSCRIPT.most_unpacked / 2).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, size) in [("m/first", half), ("m/second", half), ("m/third", 1)] {
        writer.start_file(name, FileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
        writer.write_all(&vec![b' '; size]).unwrap();
    }
    let mut entries = Entries::new(writer.finish().unwrap(), &TORCHSCRIPT).unwrap();
    assert_eq!(entries.names()[1], ("m/second".to_owned(), TORCHSCRIPT.most_unpacked / 2));
    assert_eq!(entries.read("m/first").unwrap().len(), half);
    assert_eq!(entries.read("m/second").unwrap().len(), half);
    assert!(entries.read("m/third").unwrap_err().starts_with("m/third is too large"));
    assert!(entries.read("none").unwrap_err().starts_with("none can't be unpacked"));
}

fn real() -> Vec<u8> {
    fs::read(fixtures().join("marked.pt")).unwrap()
}

proptest! {
    #[test]
    fn a_changed_archive_is_refused_or_read_and_nothing_else(changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..8)) {
        let mut bytes = real();
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Ok(mut entries) = Entries::new(Cursor::new(bytes), &TORCHSCRIPT) {
            for (name, _) in entries.names() {
                let _read = entries.read(&name);
            }
        }
    }

    #[test]
    fn a_changed_directory_is_never_believed(at in 0_usize..700, to: u8) {
        let mut bytes = real();
        let at = bytes.len() - 700 + at;
        let was = std::mem::replace(&mut bytes[at], to);
        let before = Directory::read(&mut Cursor::new(real()), &TORCHSCRIPT).unwrap();
        if let Ok(after) = Directory::read(&mut Cursor::new(bytes), &TORCHSCRIPT) {
            let places = |directory: &Directory| directory.entries().iter().map(|entry| (entry.offset, entry.packed, entry.name.clone())).collect::<Vec<_>>();
            prop_assert_eq!(places(&before), places(&after), "{} from {} to {}", at, was, to);
        }
    }

    #[test]
    fn an_archive_that_was_cut_is_refused(length: Index) {
        let bytes = real();
        prop_assert!(check(&Place::Bytes(&bytes[..length.index(bytes.len())])).is_err());
    }
}
