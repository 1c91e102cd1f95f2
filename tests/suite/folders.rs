//! What may lie below the models' folder: links, and things that are no files.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use super::{
    check::{check, of_version},
    common::{models::Copy, program::stdout, server::empty_root},
};

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[cfg(feature = "torch")]
#[test]
fn links_are_checked_by_the_names_by_which_they_would_be_served() {
    let (_folder, root) = empty_root();
    let (_elsewhere, store) = empty_root();
    let version = Copy::new("merchant_gmv", &store, 1).rename(&store, "merchant_gmv");
    let model = Copy::new("user_portrait", &store, 4);
    // A version whose folder has another name, and a model whose folder has.
    fs::rename(&version.path, store.join("2026-01-31")).unwrap();
    fs::create_dir(root.join("merchant_gmv")).unwrap();
    symlink(store.join("2026-01-31"), root.join("merchant_gmv/1")).unwrap();
    fs::rename(model.path.parent().unwrap(), store.join("portraits")).unwrap();
    symlink(store.join("portraits"), root.join("user_portrait")).unwrap();

    for folder in ["", "merchant_gmv", "merchant_gmv/1", "user_portrait", "user_portrait/4"] {
        let output = check(&root.join(folder));
        assert_eq!(output.status.code(), Some(0), "{folder}: {}", stdout(&output));
    }
}

#[cfg(feature = "torch")]
#[test]
fn a_name_that_says_nothing_stands_for_the_folder_it_leads_to() {
    let (_folder, root) = empty_root();
    let version = Copy::new("merchant_gmv", &root, 1);
    let above = super::common::program::souk(&version.path, &["check", ".."]).output().unwrap();
    symlink(&version.path, root.join("current")).unwrap();
    for output in [above, check(&root.join("current"))] {
        assert!(of_version(&output, "merchant_gmv version 1").starts_with("ok"), "{}", stdout(&output));
    }
}

#[test]
fn what_is_no_regular_file_is_named_and_never_waited_for() {
    let (_folder, root) = empty_root();
    let copy = Copy::new("merchant_gmv", &root, 1);
    copy.remove("golden.jsonl").remove("MODEL_CARD.md");
    fifo(&copy.path.join("golden.jsonl"));
    fs::create_dir(copy.path.join("MODEL_CARD.md")).unwrap();
    let copy = Copy::new("merchant_gmv", &root, 2);
    fifo(&copy.remove("manifest.json").path.join("manifest.json"));
    let copy = Copy::new("merchant_gmv", &root, 3);
    symlink("/dev/zero", copy.remove("model.pt").path.join("model.pt")).unwrap();
    symlink("nowhere", root.join("merchant_gmv/4")).unwrap();

    let output = check(&root);
    for (version, wanted) in [
        (1, "golden.jsonl: is a FIFO, wanted a regular file"),
        (1, "MODEL_CARD.md: is a folder, wanted a regular file"),
        (2, "manifest.json: is a FIFO, wanted a regular file"),
        (3, "model.pt: is a device, wanted a regular file"),
        (4, "the version's folder can't be opened: No such file"),
    ] {
        let said = of_version(&output, &format!("merchant_gmv version {version}"));
        assert!(said.contains(wanted), "no {wanted:?} in:\n{said}");
    }
}

#[test]
fn a_model_that_can_not_be_listed_fails_the_check() {
    let (_folder, root) = empty_root();
    symlink("nowhere", root.join("merchant_gmv")).unwrap();
    let output = check(&root);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("merchant_gmv: the model's folder can't be listed"), "{}", stdout(&output));
}
