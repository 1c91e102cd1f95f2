//! Versions come, answer and go while requests are answered.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use souk::api::proto::v1::{LoadVersionRequest, RollbackRequest, UnloadVersionRequest, VersionState};
use tonic::Code;

use super::common::{
    lifecycle::{GMV, answers, launch, reaches, served_by, set_traffic},
    models::Copy,
    rows::{forecasts_of, merchants},
    server::empty_root,
};

#[tokio::test]
async fn swaps_under_load_lose_nothing() {
    let (_folder, root) = empty_root();
    Copy::new(GMV, &root, 1);
    Copy::new(GMV, &root, 2);
    let server = Arc::new(launch(&root).serving().await);
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut client = server.gmv().await;
                let mut answered = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let reply = client.predict_gmv(forecasts_of(merchants(3))).await.unwrap().into_inner();
                    assert_eq!(reply.results.len(), 3);
                    answered.push(reply.served_by.unwrap().version);
                }
                answered
            })
        })
        .collect();
    for swap in 0..20 {
        let number = 1 + swap % 2;
        set_traffic(&server, &[&format!("stable={number}")]).await.unwrap();
        // From the moment that the order was answered.
        assert_eq!(served_by(&server, "").await.unwrap(), number);
        if swap % 4 == 3 {
            let unload = UnloadVersionRequest { model: GMV.into(), version: 3 - number };
            server.models().await.unload_version(unload).await.unwrap();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut versions: Vec<u64> = Vec::new();
    for caller in callers {
        versions.extend(caller.await.unwrap());
    }
    assert!(versions.contains(&1) && versions.contains(&2) && versions.iter().all(|version| (1..=2).contains(version)));
}

#[tokio::test]
async fn a_version_that_is_not_right_never_answers_and_says_why() {
    let (_folder, root) = empty_root();
    Copy::new(GMV, &root, 1);
    let server = launch(&root).serving().await;
    let other = root.parent().unwrap().join("other");
    type Bend = fn(&Copy);
    let bends: [(&str, Bend); 7] = [
        ("model.pt: sha256 is", |copy| _ = copy.flip("model.pt")),
        ("manifest.json: surprise: unknown key", |copy| _ = copy.with_manifest(|it| it["surprise"] = 1.into())),
        ("manifest.json: torch_version is", |copy| _ = copy.with_manifest(|it| it["torch_version"] = "2.9.0".into())),
        ("golden.jsonl line 1: output", |copy| _ = copy.bend_golden_output().correct_digest("golden.jsonl")),
        ("model.pt: is no TorchScript", |copy| _ = copy.truncate("model.pt", 0).correct_digest("model.pt")),
        ("model.pt: is no TorchScript", |copy| _ = copy.truncate("model.pt", 5000).correct_digest("model.pt")),
        ("golden.jsonl: sha256 is", |copy| _ = copy.truncate("golden.jsonl", 10)),
    ];
    for (number, (wanted, bend)) in (2..).zip(bends) {
        let copy = Copy::new(GMV, &other, number);
        bend(&copy);
        // As one does: copied beside, then renamed into its place.
        fs::rename(&copy.path, root.join(GMV).join(number.to_string())).unwrap();
        let rejected = reaches(&server, number, VersionState::Rejected).await;
        assert!(
            rejected.problems.iter().any(|problem| problem.starts_with(wanted)),
            "{wanted}: {:?}",
            rejected.problems
        );
        assert_eq!(served_by(&server, "").await.unwrap(), 1);
        let load = LoadVersionRequest { model: GMV.into(), version: number };
        let refused = server.models().await.load_version(load).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains(wanted), "{refused:?}");
        assert_eq!(served_by(&server, &number.to_string()).await.unwrap_err().code(), Code::NotFound);
    }
    Copy::new(GMV, &root, 20);
    answers(&server, 20).await;
}

#[tokio::test]
async fn a_folder_that_is_copied_slowly_answers_once_it_is_whole() {
    let (_folder, root) = empty_root();
    Copy::new(GMV, &root, 1);
    let server = launch(&root).serving().await;
    let whole = Copy::new(GMV, &root.parent().unwrap().join("other"), 2);
    let place = root.join(GMV).join("2");
    fs::create_dir(&place).unwrap();
    // In the order of names: the manifest comes before the model.
    let mut files: Vec<_> = fs::read_dir(&whole.path).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in files {
        fs::copy(&file, place.join(file.file_name().unwrap())).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    answers(&server, 2).await;
}

#[tokio::test]
async fn a_link_to_a_version_is_followed_and_its_deletion_changes_nothing() {
    let (_folder, root) = empty_root();
    Copy::new(GMV, &root, 1);
    let server = launch(&root).serving().await;
    let real = Copy::new(GMV, &root.parent().unwrap().join("store"), 2);
    std::os::unix::fs::symlink(&real.path, root.join(GMV).join("2")).unwrap();
    answers(&server, 2).await;
    fs::remove_dir_all(root.join(GMV)).unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(served_by(&server, "").await.unwrap(), 2);
    let unload = UnloadVersionRequest { model: GMV.into(), version: 2 };
    server.models().await.unload_version(unload).await.unwrap();
    answers(&server, 1).await;
}

#[tokio::test]
async fn a_roll_back_is_quick_and_goes_one_step() {
    let (_folder, root) = empty_root();
    for number in 1..=3 {
        Copy::new(GMV, &root, number);
    }
    let server = launch(&root).serving().await;
    for stable in ["stable=1", "stable=2"] {
        set_traffic(&server, &[stable]).await.unwrap();
    }
    let begun = std::time::Instant::now();
    let back = RollbackRequest { model: GMV.into(), author: "maria".into() };
    let change = server.models().await.rollback(back).await.unwrap().into_inner().change.unwrap();
    assert_eq!(served_by(&server, "").await.unwrap(), 1);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(change.by.starts_with("maria"), "{change:?}");
}

#[tokio::test]
async fn two_models_swap_at_once() {
    let (_folder, root) = empty_root();
    for model in [GMV, "user_portrait"] {
        Copy::new(model, &root, 1);
    }
    let server = launch(&root).serving().await;
    for model in [GMV, "user_portrait"] {
        Copy::new(model, &root, 2);
    }
    let mut client = server.models().await;
    let mut other = client.clone();
    let (gmv, portraits) = tokio::join!(
        client.load_version(LoadVersionRequest { model: GMV.into(), version: 2 }),
        other.load_version(LoadVersionRequest { model: "user_portrait".into(), version: 2 }),
    );
    assert_eq!(
        (gmv.unwrap().into_inner().version.unwrap().number, portraits.unwrap().into_inner().version.unwrap().number),
        (2, 2)
    );
    answers(&server, 2).await;
}
