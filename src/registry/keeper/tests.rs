//! The keeper with versions that are prepared as a test says, on a real folder.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::{
    fixture,
    model::{Version, VersionFolder},
    registry::{CANARY, Event, EventKind, Labelled, Model, STABLE, Standing, Target},
};

const MODEL: &str = "merchant_gmv";

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A keeper on a folder of its own.
struct House {
    root: TempDir,
    keeper: Keeper,
    registry: Arc<Registry>,
    events: Events,
    /// Versions that are not to prove themselves, and those that wait to be let go.
    fates: Fates,
}

type Fates = Arc<Mutex<BTreeMap<u64, Fate>>>;

enum Fate {
    Rejected(&'static str),
    Panics,
    Waits(mpsc::Receiver<()>),
}

fn root(versions: &[u64]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    versions.iter().for_each(|version| add(root.path(), *version));
    root
}

fn add(root: &Path, version: u64) {
    let folder = root.join(MODEL).join(version.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("manifest.json"), version.to_string()).unwrap();
}

fn prepared(fates: &Fates, folder: &VersionFolder) -> Result<Version, Vec<String>> {
    let fate = fates.lock().unwrap().remove(&folder.version);
    match fate {
        Some(Fate::Rejected(problem)) => return Err(vec![problem.into()]),
        Some(Fate::Panics) => panic!("seven"),
        Some(Fate::Waits(go)) => go.recv().unwrap_or_default(),
        None => {}
    }
    Ok(fixture::version(&folder.model, folder.version))
}

fn open(root: TempDir, fates: impl IntoIterator<Item = (u64, Fate)>) -> House {
    open_with(root, fates, PATIENCE)
}

fn open_with(root: TempDir, fates: impl IntoIterator<Item = (u64, Fate)>, prepare_timeout: Duration) -> House {
    let fates: Fates = Arc::new(Mutex::new(fates.into_iter().collect()));
    let known = Arc::clone(&fates);
    let prepare: Prepare = Arc::new(move |folder| prepared(&known, folder));
    let (registry, events) = (Arc::new(Registry::new()), Events::new());
    let keeper = Keeper::start(Keeping {
        root: root.path().to_owned(),
        poll: Duration::from_millis(50),
        prepare_timeout,
        preparation: Preparation { prepare, setup: Arc::new(|_haste| Box::new(())) },
        metrics: Metrics::none(),
        registry: Arc::clone(&registry),
        events: events.clone(),
    });
    House { root, keeper: keeper.unwrap(), registry, events, fates }
}

impl House {
    /// Waits until the model is as wanted.
    async fn until(&self, wanted: impl Fn(&Model) -> bool) -> Arc<Model> {
        let mut changes = self.registry.changes();
        let reached = async {
            loop {
                if let Some(model) = self.registry.models().get(MODEL).filter(|model| wanted(model)) {
                    return Arc::clone(model);
                }
                changes.changed().await.unwrap();
            }
        };
        match timeout(PATIENCE, reached).await {
            Ok(model) => model,
            Err(_) => panic!("it did not come: {:?}", self.said()),
        }
    }

    async fn until_stable(&self, number: u64) -> Arc<Model> {
        self.until(|model| model.stable().is_some_and(|stable| stable.manifest.version == number)).await
    }

    async fn set(&self, labels: &[(&str, Target, Option<f64>)]) -> Result<Change, OrderError> {
        let policy = policy(labels);
        let traffic = NewTraffic { model: MODEL.into(), policy, from: None, reason: String::new() };
        self.keeper.set_traffic(traffic, "a test").await
    }

    fn said(&self) -> Vec<String> {
        self.events
            .listen()
            .0
            .into_iter()
            .map(|Event { kind, version, message, .. }| format!("{kind:?} {version:?} {message}"))
            .collect()
    }

    fn fate(&self, version: u64, fate: Fate) {
        self.fates.lock().unwrap().insert(version, fate);
    }

    /// The same folder after the process ended.
    fn reopened(self) -> House {
        open(self.root, [])
    }
}

fn policy(labels: &[(&str, Target, Option<f64>)]) -> Policy {
    let labels = labels.iter().map(|&(label, version, percent)| (label.to_owned(), Labelled { version, percent }));
    Policy { labels: labels.collect(), ..Policy::default() }
}

fn resident(model: &Model) -> Vec<u64> {
    model.residents().map(|resident| resident.version.manifest.version).collect()
}

const ONE: (&str, Target, Option<f64>) = (STABLE, Target::Number(1), None);
const TWO: (&str, Target, Option<f64>) = (STABLE, Target::Number(2), None);

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
async fn a_version_that_comes_answers_and_the_last_one_stays_for_a_way_back() {
    let house = open(root(&[1]), []);
    house.until_stable(1).await;
    add(house.root.path(), 2);
    assert_eq!(resident(house.until_stable(2).await.as_ref()), [1, 2]);
    add(house.root.path(), 3);
    house.until_stable(3).await;
    let model = house.until(|model| resident(model) == [2, 3]).await;
    assert!(matches!(model.versions[&1], Standing::OnDisk));
    let change = house.keeper.roll_back(MODEL, "maria").await.unwrap();
    assert_eq!((change.versions[STABLE], change.by.as_str()), (2, "maria"));
    house.until_stable(2).await;
    // Rolled back means pinned: what comes waits to be asked for.
    add(house.root.path(), 4);
    house.until(|model| model.versions.contains_key(&4)).await;
    assert_eq!(house.until_stable(2).await.policy.numbers().collect::<Vec<_>>(), [2]);
    // One step further back each time.
    assert_eq!(house.keeper.roll_back(MODEL, "maria").await.unwrap().versions[STABLE], 1);
    let nothing = house.keeper.roll_back(MODEL, "maria").await;
    assert_eq!(nothing, Err(OrderError::NoWayBack { model: MODEL.into() }));
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
async fn a_policy_waits_for_its_versions_and_then_holds_over_a_restart() {
    let house = open(root(&[1, 2, 3]), []);
    house.until_stable(3).await;
    let change = house.set(&[ONE, (CANARY, Target::Number(2), Some(10.0))]).await.unwrap();
    assert_eq!(change.versions, [(STABLE.to_owned(), 1), (CANARY.to_owned(), 2)].into());
    let model = house.until_stable(1).await;
    let arms: Vec<_> =
        model.traffic.iter().flat_map(|traffic| traffic.arms()).map(|arm| (&*arm.label, arm.percent)).collect();
    assert_eq!(arms, [(STABLE, 90.0), (CANARY, 10.0)]);

    let house = house.reopened();
    let model = house.until(|model| model.traffic.as_ref().is_some_and(|traffic| traffic.arms().len() == 2)).await;
    assert_eq!((resident(&model), model.policy.percent(STABLE)), (vec![1, 2], 90.0));
    house.until(|model| model.revision == change.revision).await;
    let history = house.keeper.history(MODEL).await.unwrap();
    assert_eq!(history.first(), Some(&change));
    assert_eq!(house.keeper.roll_back(MODEL, "maria").await.unwrap().versions[STABLE], 3);
}

#[tokio::test]
async fn a_policy_with_a_version_that_fails_is_refused_with_its_reasons() {
    let house = open(root(&[1, 2]), [(2, Fate::Rejected("model.pt: wrong"))]);
    house.until_stable(1).await;
    house.fate(2, Fate::Rejected("model.pt: still wrong"));
    let problems = vec!["model.pt: still wrong".to_owned()];
    let refused = house.set(&[ONE, (CANARY, Target::Number(2), Some(10.0))]).await;
    assert_eq!(refused, Err(OrderError::Rejected { model: MODEL.into(), version: 2, problems }));
    let unknown = house.set(&[(STABLE, Target::Number(9), None)]).await;
    assert!(matches!(unknown, Err(OrderError::UnknownVersion { version: 9, .. })), "{unknown:?}");
    let bad = house.set(&[ONE, (CANARY, Target::Number(2), Some(110.0))]).await;
    assert!(matches!(bad, Err(OrderError::BadPolicy { .. })), "{bad:?}");
    assert_eq!(house.until_stable(1).await.policy, Policy::default());
    assert!(!house.root.path().join("policy.json").exists());
}

#[tokio::test]
async fn a_change_that_was_made_from_an_old_policy_is_refused() {
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    let change = house.set(&[ONE]).await.unwrap();
    let late = NewTraffic {
        model: MODEL.into(),
        policy: policy(&[TWO]),
        from: Some(change.revision - 1),
        reason: String::new(),
    };
    let refused = house.keeper.set_traffic(late, "a test").await;
    let (found, wanted) = (change.revision, change.revision - 1);
    assert_eq!(refused, Err(OrderError::Superseded { model: MODEL.into(), found, wanted }));
}

#[tokio::test]
async fn an_edit_by_hand_is_followed_and_a_wrong_one_refused() {
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    house.set(&[TWO]).await.unwrap();
    let file = house.root.path().join("policy.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"version\": 2", "\"version\": 1")).unwrap();
    house.until_stable(1).await;
    fs::write(&file, text.replace("stable", "Stable")).unwrap();
    let model = house.until(|model| !model.problems.is_empty()).await;
    assert!(model.problems.iter().any(|problem| problem.contains("\"Stable\"")), "{:?}", model.problems);
    house.until_stable(1).await;
    // The file is still wrong after a restart: what was followed last is followed.
    house.reopened().until_stable(1).await;
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
async fn a_canary_that_is_taken_back_leaves_its_share_to_the_stable_version() {
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    house.set(&[ONE, (CANARY, Target::Number(2), Some(10.0))]).await.unwrap();
    // The guard looked at one that isn't the canary any more.
    house.keeper.take_back(MODEL, 7, "late".into());
    house.keeper.take_back(MODEL, 2, "5 % of its rows are no number".into());
    let model = house.until(|model| model.traffic.as_ref().is_some_and(|traffic| traffic.arms().len() == 1)).await;
    assert_eq!((resident(&model), model.policy.percent(STABLE)), (vec![1, 2], 100.0));
    let history = house.keeper.history(MODEL).await.unwrap();
    assert_eq!((history[0].by.as_str(), history[0].reason.as_str()), ("guard", "5 % of its rows are no number"));
    let taken = house.events.listen().0.into_iter().filter(|event| event.kind == EventKind::TakenBack).count();
    assert_eq!(taken, 1);
    // Whoever wants it all the same goes back.
    house.keeper.roll_back(MODEL, "maria").await.unwrap();
    house.until(|model| model.traffic.as_ref().is_some_and(|traffic| traffic.arms().len() == 2)).await;
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
async fn a_policy_that_can_not_be_written_is_not_followed() {
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    // A folder in its place: nothing can be renamed over it, whoever runs the test.
    fs::create_dir_all(house.root.path().join("policy.json/x")).unwrap();
    let refused = house.set(&[ONE]).await;
    assert!(matches!(refused, Err(OrderError::Unwritable { .. })), "{refused:?}");
    house.until_stable(2).await;
}

#[tokio::test]
async fn a_policy_that_names_what_is_not_there_any_more_says_so_after_a_restart() {
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    let change = house.set(&[ONE, (CANARY, Target::Number(2), Some(10.0))]).await.unwrap();
    fs::remove_dir_all(house.root.path().join(MODEL).join("2")).unwrap();
    let house = house.reopened();
    let model = house.until_stable(1).await;
    assert_eq!(model.problems, ["canary is version 2, which is not there"]);
    // Its share is the stable version's, and the next change has a number of its own.
    assert_eq!(model.traffic.as_ref().unwrap().arms().len(), 1);
    assert!(house.set(&[ONE]).await.unwrap().revision > change.revision);
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

#[tokio::test]
async fn a_canary_is_taken_back_whatever_else_the_policy_names() {
    let house = open(root(&[1, 2, 3]), []);
    house.until_stable(3).await;
    let shadow = ("shadow", Target::Number(3), None);
    house.set(&[ONE, (CANARY, Target::Number(2), Some(10.0)), shadow]).await.unwrap();
    fs::remove_dir_all(house.root.path().join(MODEL).join("3")).unwrap();
    let house = house.reopened();
    house.until(|model| model.traffic.as_ref().is_some_and(|traffic| traffic.arms().len() == 2)).await;
    house.keeper.take_back(MODEL, 2, "it raises".into());
    let model = house.until(|model| !model.policy.labels.contains_key(CANARY)).await;
    assert_eq!(model.traffic.as_ref().unwrap().arms().len(), 1);
}

#[tokio::test]
async fn a_roll_back_is_prepared_for_after_a_restart() {
    let house = open(root(&[1, 2, 3]), []);
    house.until_stable(3).await;
    house.set(&[ONE]).await.unwrap();
    house.set(&[TWO]).await.unwrap();
    let house = house.reopened();
    house.until(|model| resident(model) == [1, 2]).await;
}
