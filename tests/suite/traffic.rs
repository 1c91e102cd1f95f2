//! Who answers whom: labels, shares, and what a restart or a crash leaves of them.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use souk::api::proto::v1::{Merchant, MerchantFeatures};

use super::common::{
    lifecycle::{self, GMV, model, set_traffic},
    marked,
    program::{souk, stderr, stdout},
    rows::forecasts_of,
    server::{Launch, TestServer, empty_root},
};

fn two_versions(root: &Path) -> Launch {
    for number in [1, 2] {
        marked::version(root, number);
    }
    lifecycle::launch(root)
}

/// The version that answered each merchant, by its id.
async fn arms(server: &TestServer, ids: std::ops::Range<usize>) -> BTreeMap<String, u64> {
    let mut client = server.gmv().await;
    let mut arms = BTreeMap::new();
    let ids: Vec<String> = ids.map(|id| format!("merchant-{id}")).collect();
    for ids in ids.chunks(1000) {
        let merchant = |id: &String| Merchant {
            merchant_id: id.clone(),
            features: Some(MerchantFeatures { rating: Some(4.0), ..MerchantFeatures::default() }),
            as_of: "2016-10-02".into(),
        };
        let reply = client.predict_gmv(forecasts_of(ids.iter().map(merchant).collect())).await.unwrap().into_inner();
        let first = reply.served_by.unwrap();
        for (id, result) in ids.iter().zip(reply.results) {
            assert_eq!(&result.merchant_id, id);
            assert!(result.outcome.is_some());
            arms.insert(id.clone(), result.served_by.unwrap_or_else(|| first.clone()).version);
        }
    }
    arms
}

fn canaries(arms: &BTreeMap<String, u64>) -> usize {
    arms.values().filter(|version| **version == 2).count()
}

#[tokio::test]
async fn an_entity_has_the_same_arm_on_every_server_and_after_every_restart() {
    let (_folder, root) = empty_root();
    let server = two_versions(&root).serving().await;
    set_traffic(&server, &["stable=1", "canary=2:10"]).await.unwrap();
    let first = arms(&server, 0..20_000).await;
    // Four standard deviations of 20,000 draws are 0.85 %.
    assert!((1830..2170).contains(&canaries(&first)), "{}", canaries(&first));
    // A request of one row is answered as a request of a thousand.
    assert_eq!(arms(&server, 77..78).await["merchant-77"], first["merchant-77"]);

    let second = lifecycle::launch(&root).serving().await;
    lifecycle::reaches_labels(&second, 2).await;
    assert_eq!(arms(&second, 0..20_000).await, first);
    drop(server);
    let restarted = lifecycle::launch(&root).serving().await;
    lifecycle::reaches_labels(&restarted, 2).await;
    assert_eq!(arms(&restarted, 0..20_000).await, first);

    set_traffic(&restarted, &["stable=1", "canary=2:20"]).await.unwrap();
    let more = arms(&restarted, 0..20_000).await;
    assert!((3770..4230).contains(&canaries(&more)), "{}", canaries(&more));
    assert!(first.iter().all(|(id, version)| *version == 1 || more[id] == 2), "one went back");
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_change_leaves_the_old_policy_or_the_new_one() {
    let (_folder, root) = empty_root();
    let mut launch = Some(two_versions(&root));
    for round in 0..12_u64 {
        let server = launch.take().unwrap_or_else(|| lifecycle::launch(&root)).serving().await;
        let before = model(&server).await.policy.unwrap().labels;
        let percent = 1 + round;
        let change = set_traffic_later(&server, format!("canary=2:{percent}"));
        // Somewhere within the change, or just around it.
        tokio::time::sleep(std::time::Duration::from_micros(round * 250)).await;
        drop(server);
        let _ = change.await;
        if let Ok(text) = fs::read_to_string(root.join("policy.json")) {
            let policy: Value = serde_json::from_str(&text).unwrap();
            let percent_now = policy["models"][GMV]["labels"]["canary"]["percent"].as_f64();
            let old = before.iter().find(|label| label.label == "canary").and_then(|label| label.percent);
            assert!(percent_now == old || percent_now == Some(percent as f64), "{text}, before {before:?}");
            let next = lifecycle::launch(&root).serving().await;
            lifecycle::reaches_labels(&next, if percent_now.is_some() { 2 } else { 1 }).await;
            let labels = model(&next).await.policy.unwrap().labels;
            let canary = labels.iter().find(|label| label.label == "canary").and_then(|label| label.percent);
            assert_eq!(canary, percent_now);
        }
    }
    let left: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.len() < 16, "{left:?}");
}

fn set_traffic_later(server: &TestServer, canary: String) -> tokio::task::JoinHandle<()> {
    let url = server.admin_url();
    tokio::spawn(async move {
        // The server may be gone by then.
        let _ = lifecycle::set_traffic_at(&url, &["stable=1", &canary]).await;
    })
}

#[tokio::test]
async fn the_command_line_changes_who_answers_and_says_so() {
    let (folder, root) = empty_root();
    let server = two_versions(&root).serving().await;
    let addr = server.admin_url();
    let run = |arguments: &[&str]| {
        let mut all = vec!["models"];
        all.extend(arguments);
        all.extend(["--addr", &addr]);
        let done = souk(folder.path(), &all).output().unwrap();
        (done.status.code(), stdout(&done), stderr(&done))
    };
    let (code, said, _) = run(&["traffic", GMV, "stable=1", "canary=2:10"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said, _) = run(&["list", "--json"]);
    let list: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, list["models"][0]["name"].as_str()), (Some(0), Some(GMV)));
    let (code, said, wrong) = run(&["traffic", GMV, "canary=9"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(wrong.contains("no version 9"), "{wrong}");
    let (code, _, _) = run(&["rollback", GMV]);
    assert_eq!(code, Some(0));
    let (code, said, _) = run(&["show", GMV]);
    assert_eq!(code, Some(0));
    assert!(said.contains("back to revision"), "{said}");
    let (code, _, wrong) = run(&["unload", GMV, "2"]);
    assert_eq!(code, Some(1));
    assert!(wrong.contains("move the label first"), "{wrong}");
    let (code, _, wrong) = run(&["show", "nobody"]);
    assert_eq!(code, Some(1));
    assert!(wrong.contains("no model nobody"), "{wrong}");
}
