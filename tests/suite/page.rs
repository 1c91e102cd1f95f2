//! The page for people, as a browser gets it: its parts, their headers, and what it asks for.
//! What it looks like and does, `make test-page` tries in a browser.

use std::collections::BTreeSet;

use serde_json::Value;

use super::common::server::{Launch, TestServer};

/// The value of a header.
fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let of = |line: &'h str| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name));
    head.lines().find_map(of).map_or("", |(_, value)| value)
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn json(server: &TestServer, path: &str) -> Value {
    let (head, body) = server.answer(path).await;
    assert_eq!((status(&head), header(&head, "content-type")), (200, "application/json"), "{path}");
    serde_json::from_str(&body).unwrap()
}

/// The paths of this server that a file names in quotes.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split(['"', '\'', '`']);
    quoted.filter(|word| word.starts_with("/page/") && !word.contains(['$', ' ', '<']))
}

/// The page and all that it names, by path.
async fn assets(server: &TestServer) -> Vec<(String, String, String)> {
    let (mut found, mut known) = (Vec::new(), BTreeSet::from(["/".to_owned()]));
    let mut asked = vec!["/".to_owned()];
    while let Some(path) = asked.pop() {
        let (head, body) = server.answer(&path).await;
        assert_eq!(status(&head), 200, "{path}");
        let next = named(&body).map(ToOwned::to_owned).filter(|path| !path.contains('?'));
        asked.extend(next.filter(|path| known.insert(path.clone())));
        found.push((path, head, body));
    }
    found
}

#[tokio::test]
async fn all_parts_of_the_page_are_there_and_none_comes_from_elsewhere() {
    let server = Launch::new().listening().await;
    let assets = assets(&server).await;
    let paths: BTreeSet<&str> = assets.iter().map(|(path, ..)| path.as_str()).collect();
    for wanted in ["/", "/page/page.js", "/page/page.css", "/page/uplot.js", "/page/uplot.LICENSE", "/page/state"] {
        assert!(paths.contains(wanted), "{wanted} is not in {paths:?}");
    }
    for (path, head, body) in &assets {
        assert_ne!(header(head, "content-type"), "", "{path}");
        // A name of SVG's, which nobody asks for, and where uPlot comes from.
        let own = body.replace("http://www.w3.org/2000/svg", "").replace("https://github.com/leeoniya/uPlot", "");
        let elsewhere = ["http://", "https://", "src=\"//", "href=\"//", "url(//", "from '//", "@import"];
        assert!(!elsewhere.iter().any(|word| own.contains(word)), "{path} names another host");
        // A policy without exceptions forbids both.
        assert!(!own.contains(" style=\"") && !own.contains("eval("), "{path}");
    }
}

#[tokio::test]
async fn a_browser_may_use_nothing_but_this_server() {
    let server = Launch::new().listening().await;
    for path in ["/", "/page/page.js", "/page/state", "/page/history", "/page/history?since=x"] {
        let (head, _) = server.answer(path).await;
        let policy = header(&head, "content-security-policy");
        assert!(policy.starts_with("default-src 'self'; ") && !policy.contains("unsafe"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(header(&head, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&head, "referrer-policy"), "no-referrer", "{path}");
    }
}

#[tokio::test]
async fn a_part_that_is_still_the_same_is_not_sent_again() {
    let server = Launch::new().listening().await;
    let (head, body) = server.answer("/page/uplot.js").await;
    let tag = header(&head, "etag").to_owned();
    assert!(tag.len() > 10 && tag.starts_with('"') && body.len() > 40_000, "{tag}");
    assert_eq!(header(&head, "cache-control"), "no-cache");
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
        let (head, body) = server.answer_to("GET", "/page/uplot.js", &format!("If-None-Match: {known}")).await;
        assert_eq!((status(&head), header(&head, "etag"), body.as_str()), (304, tag.as_str(), ""), "{known}");
    }
    let (head, _) = server.answer_to("GET", "/page/uplot.js", "If-None-Match: \"other\"").await;
    assert_eq!(status(&head), 200);
    let (head, _) = server.answer("/").await;
    assert_ne!(header(&head, "etag"), tag);
}

#[tokio::test]
async fn it_can_only_be_read() {
    let server = Launch::new().listening().await;
    for path in ["/", "/page/state", "/page/history"] {
        assert_eq!(status(&server.answer_to("POST", path, "Content-Length: 0").await.0), 405, "{path}");
        let (head, body) = server.answer_to("HEAD", path, "").await;
        assert_eq!((status(&head), body.as_str()), (200, ""), "{path}");
    }
    for path in ["/page", "/page/", "/page/nothing.js", "/page/../livez", "/index.html"] {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn only_what_is_new_is_told_of_the_past() {
    let server = Launch::new().listening().await;
    let first = loop {
        let first = json(&server, "/page/history").await;
        if first["next"].as_u64().unwrap() > 0 {
            break first;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(
        (first["first"].as_u64(), first["times"].as_array().unwrap().len() as u64),
        (Some(0), first["next"].as_u64().unwrap())
    );
    let next = first["next"].as_u64().unwrap();
    let new = json(&server, &format!("/page/history?since={next}")).await;
    assert_eq!((&new["started"], new["first"].as_u64()), (&first["started"], Some(next)));
    let of_another = json(&server, "/page/history?since=1000000").await;
    assert_eq!(of_another["first"], 0);
    for wrong in ["-1", "x", "", "1e3"] {
        let (status, said) = server.get(&format!("/page/history?since={wrong}")).await;
        assert_eq!((status, said.as_str()), (400, "since: wanted the number of a point\n"), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_server_without_a_model_has_a_page() {
    let (_folder, root) = super::common::server::empty_root();
    let server = Launch::new().set("models.root", root.display()).listening().await;
    let state = json(&server, "/page/state").await;
    assert_eq!(state["models"], serde_json::json!([]));
    assert_eq!((&state["server"]["ready"], &state["server"]["draining"]), (&false.into(), &false.into()));
    assert_eq!(state["server"]["version"], env!("CARGO_PKG_VERSION"));
    assert_ne!(state["server"]["host"], "");
}

#[cfg(feature = "torch")]
mod with_models {
    use tokio::time::timeout;

    use super::*;
    use crate::common::{
        lifecycle::{self, GMV, set_traffic},
        marked,
        program::PATIENCE,
        rows::{forecasts_of, merchants},
        server::empty_root,
    };

    /// Waits until the page says so.
    async fn says(server: &TestServer, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let said = async {
            loop {
                let found = json(server, path).await;
                if is(&found) {
                    return found;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("{path} never says so"))
    }

    fn series<'s>(history: &'s Value, figure: &str) -> Option<&'s Value> {
        history["series"].as_array().unwrap().iter().find(|one| one["figure"] == figure && one["of"] == GMV)
    }

    #[tokio::test]
    async fn versions_policies_and_who_changed_them_are_shown() {
        let (_folder, root) = empty_root();
        (1..=2).for_each(|number| marked::version(&root, number));
        let server = lifecycle::launch(&root).serving().await;
        set_traffic(&server, &["stable=1", "canary=2:10"]).await.unwrap();
        let changed = |state: &Value| state["models"][0]["changes"][0]["by"] == "a test (127.0.0.1)";
        let state = says(&server, "/page/state", changed).await;
        let model = &state["models"][0];
        assert_eq!((&model["name"], &model["task"]), (&GMV.into(), &GMV.into()));
        let labels: Vec<_> =
            model["labels"].as_array().unwrap().iter().map(|one| [&one["label"], &one["version"]]).collect();
        assert_eq!(labels, [[&"stable".into(), &Value::from(1)], [&"canary".into(), &Value::from(2)]]);
        let newest = &model["versions"][0];
        assert_eq!(
            (&newest["number"], &newest["state"], &newest["percent"]),
            (&2.into(), &"resident".into(), &10.0.into())
        );
        assert_eq!(newest["resident"]["digest"].as_str().unwrap().len(), 64);
        assert_eq!(model["changes"][0]["labels"][1]["percent"], 10.0);
        assert_eq!(model["guard"]["limits"].as_array().unwrap().len(), 5);
        let kinds: Vec<_> =
            state["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
        assert!(kinds.starts_with(&["traffic"]) && kinds.contains(&"ready"), "{kinds:?}");
    }

    #[tokio::test]
    async fn what_was_asked_is_told_over_time() {
        let server = Launch::new().serving().await;
        let mut gmv = server.gmv().await;
        gmv.predict_gmv(forecasts_of(merchants(7))).await.unwrap();
        let history = says(&server, "/page/history", |history| series(history, "rows").is_some()).await;
        let rows = series(&history, "rows").unwrap();
        assert_eq!((&rows["version"], &rows["by"]), (&Value::from(1), &"ok".into()));
        let times = history["times"].as_array().unwrap();
        assert_eq!(rows["values"].as_array().unwrap().len(), times.len());
        assert!(rows["values"].as_array().unwrap().iter().any(|value| value.as_f64().unwrap() > 0.0));
        for figure in ["requests", "wait_p99", "compute_p99", "batch_rows"] {
            assert!(series(&history, figure).is_some(), "{figure} is not in {history}");
        }
        let state = json(&server, "/page/state").await;
        let call = &state["calls"][0];
        assert_eq!(
            (&call["method"], &call["code"], &call["count"]),
            (&"souk.v1.MerchantGmvService/PredictGmv".into(), &"OK".into(), &1.into())
        );
    }

    #[tokio::test]
    async fn a_server_that_drains_says_so_as_long_as_it_is_there() {
        let server = Launch::new().serving().await;
        says(&server, "/page/state", |state| state["server"]["ready"] == true).await;
        // A stream that nobody ends is waited for.
        let mut gmv = server.gmv().await;
        let (asking, asked) = tokio::sync::mpsc::channel(1);
        asking.send(forecasts_of(merchants(1))).await.unwrap();
        let mut replies =
            gmv.stream_gmv(tokio_stream::wrappers::ReceiverStream::new(asked)).await.unwrap().into_inner();
        replies.message().await.unwrap().unwrap();
        server.terminate();
        let state = says(&server, "/page/state", |state| state["server"]["draining"] == true).await;
        assert_eq!(state["server"]["ready"], false);
    }
}
