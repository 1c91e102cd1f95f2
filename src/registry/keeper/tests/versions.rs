//! Versions that come, stay out, are loaded and go.

use super::*;

#[tokio::test]
async fn the_newest_version_that_proves_itself_answers() {
    let house = open(root(&[1, 2, 10]), [(10, Fate::Rejected("model.pt: wrong"))]);
    let model = house.until_stable(2).await;
    assert_eq!(model.rejected().collect::<Vec<_>>(), [(10, &["model.pt: wrong".to_owned()][..])]);
    // An older one is not brought into memory for nothing.
    assert!(matches!(model.versions[&1], Standing::OnDisk));
}

#[tokio::test]
async fn a_panic_rejects_the_version_and_the_next_one_is_prepared() {
    let house = open(root(&[1, 2]), [(2, Fate::Panics)]);
    let model = house.until_stable(1).await;
    assert_eq!(model.rejected().next().unwrap().1, ["preparing panicked: seven"]);
}

#[tokio::test]
async fn a_folder_without_its_manifest_is_waited_for() {
    let house = open(root(&[1]), []);
    house.until_stable(1).await;
    let folder = house.root.path().join(MODEL).join("2");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("model.pt"), "").unwrap();
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert!(!house.until_stable(1).await.versions.contains_key(&2));
    fs::write(folder.join("manifest.json"), "2").unwrap();
    house.until_stable(2).await;
}

#[tokio::test]
async fn a_rejected_version_is_examined_again_once_it_was_changed() {
    let house = open(root(&[1, 2]), [(2, Fate::Rejected("golden.jsonl: wrong"))]);
    house.until_stable(1).await;
    fs::write(house.root.path().join(MODEL).join("2/manifest.json"), "mended").unwrap();
    house.until_stable(2).await;
}

#[tokio::test]
async fn a_load_brings_a_version_into_memory_and_an_unload_takes_it_out() {
    let house = open(root(&[1, 2, 3]), []);
    house.until_stable(3).await;
    house.keeper.load(MODEL, 1).await.unwrap();
    assert_eq!(resident(house.until_stable(3).await.as_ref()), [1, 3]);
    house.keeper.load(MODEL, 1).await.unwrap();
    house.keeper.unload(MODEL, 1).await.unwrap();
    assert_eq!(resident(house.until(|model| resident(model) == [3]).await.as_ref()), [3]);
    let unknown = house.keeper.load(MODEL, 7).await;
    assert!(matches!(unknown, Err(OrderError::UnknownVersion { version: 7, .. })), "{unknown:?}");
    assert!(matches!(house.keeper.load("nobody", 1).await, Err(OrderError::UnknownModel { .. })));
}

#[tokio::test]
async fn an_unloaded_newest_version_gives_way_to_the_one_before_and_comes_back_by_a_load() {
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    house.keeper.unload(MODEL, 2).await.unwrap();
    assert_eq!(resident(house.until_stable(1).await.as_ref()), [1]);
    // It does not come back by itself.
    tokio::time::sleep(Duration::from_millis(120)).await;
    house.until_stable(1).await;
    // The last one has to stay.
    assert!(matches!(house.keeper.unload(MODEL, 1).await, Err(OrderError::InUse { .. })));
    house.keeper.load(MODEL, 2).await.unwrap();
    house.until_stable(2).await;
}

#[tokio::test]
async fn a_version_with_a_label_is_not_unloaded() {
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    house.set(&[TWO, ("free", Target::Number(1), None)]).await.unwrap();
    let refused = house.keeper.unload(MODEL, 1).await;
    assert_eq!(refused, Err(OrderError::InUse { model: MODEL.into(), version: 1, label: "free".into() }));
}

#[tokio::test]
async fn the_same_version_loaded_twice_is_prepared_once_and_an_unload_cancels_both() {
    let (go, waits) = mpsc::channel();
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    house.fate(1, Fate::Waits(waits));
    let loads = [house.keeper.clone(), house.keeper.clone()]
        .map(|keeper| tokio::spawn(async move { keeper.load(MODEL, 1).await }));
    house.until(|model| matches!(model.versions[&1], Standing::Preparing)).await;
    house.keeper.unload(MODEL, 1).await.unwrap();
    for load in loads {
        assert_eq!(load.await.unwrap(), Err(OrderError::Cancelled { by: "an unload".into() }));
    }
    go.send(()).unwrap();
    // What was given up does not come in when it ends.
    house.keeper.load(MODEL, 1).await.unwrap();
    assert_eq!(house.said().iter().filter(|said| said.starts_with("Ready Some(1)")).count(), 1);
}

#[tokio::test]
async fn a_preparation_that_takes_too_long_is_given_up_and_holds_nobody_up() {
    let (_never, waits) = mpsc::channel();
    let house = open_with(root(&[1, 2]), [(2, Fate::Waits(waits))], Duration::from_millis(80));
    let model = house.until_stable(1).await;
    assert!(model.rejected().next().unwrap().1[0].starts_with("timeout: "));
}

#[tokio::test]
async fn a_folder_that_goes_changes_nothing_until_the_version_is_unloaded() {
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    fs::remove_dir_all(house.root.path().join(MODEL).join("2")).unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    house.until_stable(2).await;
    house.keeper.unload(MODEL, 2).await.unwrap();
    let model = house.until_stable(1).await;
    assert!(!model.versions.contains_key(&2));
}

#[tokio::test]
async fn of_fifty_versions_only_those_that_answer_are_in_memory() {
    let house = open(root(&(1..=50).collect::<Vec<_>>()), []);
    assert_eq!(resident(house.until_stable(50).await.as_ref()), [50]);
    house.set(&[(STABLE, Target::Number(7), None), (CANARY, Target::Number(9), Some(5.0))]).await.unwrap();
    house.set(&[(STABLE, Target::Number(9), None)]).await.unwrap();
    // And those of before, for a way back.
    house.until(|model| resident(model) == [7, 9]).await;
    house.until(|model| model.versions.len() == 50).await;
}

#[tokio::test]
async fn a_retired_version_is_freed_once_its_last_request_is_done() {
    let house = open(root(&[1]), []);
    let held = Arc::clone(house.until_stable(1).await.stable().unwrap());
    let freed = Arc::downgrade(&held.engine);
    for version in [2, 3] {
        add(house.root.path(), version);
        house.until_stable(version).await;
    }
    house.until(|model| resident(model) == [2, 3]).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(!house.said().iter().any(|said| said.starts_with("Retired")));
    drop(held);
    let gone = async {
        while freed.upgrade().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn a_version_whose_folder_went_away_while_it_was_prepared_is_examined_when_it_comes_back() {
    let (go, waits) = mpsc::channel();
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    house.fate(3, Fate::Waits(waits));
    add(house.root.path(), 3);
    house.until(|model| matches!(model.versions.get(&3), Some(Standing::Preparing))).await;
    let (folder, aside) = (house.root.path().join(MODEL).join("3"), house.root.path().join(".aside"));
    fs::rename(&folder, &aside).unwrap();
    // The preparation panics, as if its files had gone.
    house.fate(3, Fate::Panics);
    drop(go);
    tokio::time::sleep(Duration::from_millis(150)).await;
    fs::rename(&aside, &folder).unwrap();
    house.until_stable(3).await;
}
