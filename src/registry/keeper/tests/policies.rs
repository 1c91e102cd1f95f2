//! Who answers: policies, ways back, and canaries that are taken back.

use super::*;
use crate::registry::{Broken, GuardLimit};

fn broken(reason: &str) -> Broken {
    Broken { limit: GuardLimit::NonFiniteRate, reason: reason.into() }
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
    // It may be read while it is empty yet, which is told too.
    house.until(|model| model.problems.iter().any(|problem| problem.contains("\"Stable\""))).await;
    house.until_stable(1).await;
    // The file is still wrong after a restart: what was followed last is followed.
    house.reopened().until_stable(1).await;
}

#[tokio::test]
async fn a_canary_that_is_taken_back_leaves_its_share_to_the_stable_version() {
    let house = open(root(&[1, 2]), []);
    house.until_stable(2).await;
    house.set(&[ONE, (CANARY, Target::Number(2), Some(10.0))]).await.unwrap();
    // The guard looked at one that isn't the canary any more.
    house.keeper.take_back(MODEL, 7, broken("late"));
    house.keeper.take_back(MODEL, 2, broken("5 % of its rows are no number"));
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
async fn a_canary_is_taken_back_whatever_else_the_policy_names() {
    let house = open(root(&[1, 2, 3]), []);
    house.until_stable(3).await;
    let shadow = ("shadow", Target::Number(3), None);
    house.set(&[ONE, (CANARY, Target::Number(2), Some(10.0)), shadow]).await.unwrap();
    fs::remove_dir_all(house.root.path().join(MODEL).join("3")).unwrap();
    let house = house.reopened();
    house.until(|model| model.traffic.as_ref().is_some_and(|traffic| traffic.arms().len() == 2)).await;
    house.keeper.take_back(MODEL, 2, broken("it raises"));
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
