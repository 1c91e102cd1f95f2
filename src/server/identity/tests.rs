use std::{convert::Infallible, fs};

use ::http::{Request, Response, header::AUTHORIZATION};
use tempfile::TempDir;
use tonic::{Code, Status, body::Body};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::*;

const IDENTITIES: &str = r#"
[[identity]]
name = "checkout"
certificate = "checkout.shop"
roles = ["score"]
models = ["merchant_gmv"]

[[identity]]
name = "anna"
token_file = "anna"
roles = ["publish"]
"#;

const SECRET: &str = "a token of anna's";

fn gate(open_health: bool) -> (TempDir, Gate) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identities.toml");
    fs::write(folder.path().join("anna"), SECRET).unwrap();
    fs::write(&file, IDENTITIES).unwrap();
    let gate = Gate::of(&AuthConfig { file, open_health }, false).unwrap();
    (folder, gate)
}

fn peer(shown: tls::Shown) -> Peer {
    Peer::new(([127, 0, 0, 1], 1).into(), Some(Arc::new(Some(Arc::new(shown)).into())))
}

fn of_certificate(name: &str, expires: i64) -> Peer {
    peer(tls::Shown::Known(tls::Names { names: vec![name.into()], expires }))
}

/// What becomes of a call: who made it, or the code and the message of its refusal.
async fn asked(gate: &Gate, path: &str, token: Option<&str>, peer: Option<Peer>) -> Result<String, (Code, String)> {
    let service = service_fn(async |request: Request<Body>| {
        let caller = request.extensions().get::<Caller>().cloned().unwrap_or_default();
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert("name", caller.name().unwrap_or_default().parse().unwrap());
        Ok::<_, Infallible>(response)
    });
    let mut request = Request::builder().uri(format!("http://souk{path}"));
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let mut request = request.body(Body::empty()).unwrap();
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let response = IdentifyLayer::new(gate.clone()).layer(service).oneshot(request).await.unwrap();
    match Status::from_header_map(response.headers()) {
        Some(status) => Err((status.code(), status.message().to_owned())),
        None => Ok(response.headers()["name"].to_str().unwrap().to_owned()),
    }
}

const GMV: &str = "/souk.v1.MerchantGmvService/PredictGmv";
const SET_TRAFFIC: &str = "/souk.v1.ModelService/SetTraffic";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const LATER: i64 = i64::MAX;

#[tokio::test]
async fn without_a_file_nobody_is_asked() {
    assert_eq!(asked(&Gate::default(), SET_TRAFFIC, None, None).await, Ok(String::new()));
    assert_eq!(asked(&Gate::default(), GMV, Some("whatever"), None).await, Ok(String::new()));
}

#[tokio::test]
async fn a_call_knows_who_makes_it() {
    let (_folder, gate) = gate(false);
    assert_eq!(asked(&gate, SET_TRAFFIC, Some(SECRET), None).await, Ok("anna".into()));
    let checkout = of_certificate("checkout.shop", LATER);
    assert_eq!(asked(&gate, GMV, None, Some(checkout.clone())).await, Ok("checkout".into()));
    // A token says more than a certificate.
    assert_eq!(asked(&gate, SET_TRAFFIC, Some(SECRET), Some(checkout)).await, Ok("anna".into()));
}

#[tokio::test]
async fn who_is_not_known_is_refused_with_what_was_wanted() {
    let (_folder, gate) = gate(false);
    let refused = async |token, peer| asked(&gate, GMV, token, peer).await.unwrap_err();
    let cases = [
        (refused(None, None).await, "wanted `authorization: Bearer TOKEN` or a certificate"),
        (refused(Some("not a token of anna's"), None).await, "nobody is known by this token"),
        (refused(None, Some(of_certificate("bea.shop", LATER))).await, "nobody is known by a certificate of bea.shop"),
        (refused(None, Some(of_certificate("checkout.shop", 0))).await, "the certificate expired"),
        (
            refused(None, Some(peer(tls::Shown::Refused("of an unknown issuer".into())))).await,
            "the certificate is refused: of an unknown issuer",
        ),
        // A wrong token is not made good by a certificate.
        (refused(Some("x"), Some(of_certificate("checkout.shop", LATER))).await, "nobody is known by this token"),
    ];
    for ((code, message), text) in cases {
        assert_eq!(code, Code::Unauthenticated, "{message}");
        assert!(message.contains(text) && !message.contains("anna"), "{message}");
    }
}

#[tokio::test]
async fn who_is_known_may_do_what_his_roles_and_models_say() {
    let (_folder, gate) = gate(false);
    let checkout = of_certificate("checkout.shop", LATER);
    for path in [SET_TRAFFIC, "/souk.v1.UserPortraitService/GetPortraits", "/x.Y/Z"] {
        let (code, message) = asked(&gate, path, None, Some(checkout.clone())).await.unwrap_err();
        assert_eq!(code, Code::PermissionDenied, "{message}");
        assert!(message.starts_with("checkout: "), "{message}");
    }
    assert_eq!(asked(&gate, GMV, Some(SECRET), None).await.unwrap_err().0, Code::PermissionDenied);
    assert_eq!(asked(&gate, CHECK, None, Some(checkout)).await, Ok("checkout".into()));
}

#[test]
fn who_asks_by_a_certificate_asks_no_longer_than_it_holds() {
    let (_folder, gate) = gate(false);
    let admitted = |token: Option<&str>| {
        let token = token.map(|token| (AUTHORIZATION, format!("Bearer {token}").parse().unwrap()));
        let need = Need { roles: Roles::Any, model: None };
        gate.admit(&need, &token.into_iter().collect(), Some(&of_certificate("checkout.shop", 32_503_680_000))).unwrap()
    };
    assert_eq!(admitted(None).until, Some("3000-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(admitted(Some(SECRET)).until, None, "the token says who it is");
}

#[tokio::test]
async fn where_certificates_are_required_they_have_to_hold_whatever_else_is_known() {
    let alone = Gate::of(&AuthConfig::default(), true).unwrap();
    assert_eq!(asked(&alone, SET_TRAFFIC, None, Some(of_certificate("bea.shop", LATER))).await, Ok(String::new()));
    let (_folder, kept) = gate(true);
    let kept = Gate { certified: true, ..kept };
    assert_eq!(asked(&kept, SET_TRAFFIC, Some(SECRET), Some(of_certificate("x", LATER))).await, Ok("anna".into()));
    for (gate, path, token) in [(&alone, SET_TRAFFIC, None), (&kept, SET_TRAFFIC, Some(SECRET)), (&kept, CHECK, None)] {
        let (code, message) = asked(gate, path, token, Some(of_certificate("checkout.shop", 0))).await.unwrap_err();
        assert_eq!(code, Code::Unauthenticated, "{message}");
        assert!(message.contains("the certificate expired"), "{message}");
        assert_eq!(asked(gate, path, token, None).await.unwrap_err().0, Code::Unauthenticated);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_strange_until_a_call_or_a_certificate_says_who_he_is() {
    let (_folder, gate) = gate(true);
    let stranger = || Peer::new(([127, 0, 0, 1], 1).into(), None);
    let is_strange = async |peer: &Peer| {
        let most = Duration::from_secs(1);
        tokio::time::timeout(10 * most, peer.strange(most)).await.is_ok()
    };
    for (path, token) in [(CHECK, None), (GMV, None), (SET_TRAFFIC, Some("x"))] {
        let peer = stranger();
        let _ = asked(&gate, path, token, Some(peer.clone())).await;
        assert!(is_strange(&peer).await, "{path}");
    }
    for path in [SET_TRAFFIC, GMV] {
        let peer = stranger();
        let _ = asked(&gate, path, Some(SECRET), Some(peer.clone())).await;
        assert!(!is_strange(&peer).await, "{path}: he is known, whatever he may");
    }
    assert!(!is_strange(&of_certificate("bea.shop", LATER)).await);
    assert!(is_strange(&peer(tls::Shown::Refused(String::new()))).await);
}

#[tokio::test]
async fn health_is_open_where_the_settings_say_so() {
    let ((_one, closed), (_other, open)) = (gate(false), gate(true));
    assert_eq!(asked(&closed, CHECK, None, None).await.unwrap_err().0, Code::Unauthenticated);
    assert_eq!(asked(&open, CHECK, None, None).await, Ok(String::new()));
    assert_eq!(asked(&open, GMV, None, None).await.unwrap_err().0, Code::Unauthenticated);
}

#[tokio::test]
async fn a_file_that_changes_is_followed_and_a_wrong_one_is_not() {
    let (folder, gate) = gate(false);
    let mut look = gate.follow().unwrap();
    let file = folder.path().join("identities.toml");
    let mut write = |text: &str| {
        fs::write(&file, text).unwrap();
        look();
        look();
    };
    write("[[identity]]\nname = \"anna\"\n");
    assert_eq!(asked(&gate, SET_TRAFFIC, Some(SECRET), None).await, Ok("anna".into()));
    write(&IDENTITIES.replace("\"publish\"", "\"observe\""));
    assert_eq!(asked(&gate, SET_TRAFFIC, Some(SECRET), None).await.unwrap_err().0, Code::PermissionDenied);
    fs::write(folder.path().join("anna"), "another token of anna's").unwrap();
    write(IDENTITIES);
    assert_eq!(asked(&gate, SET_TRAFFIC, Some(SECRET), None).await.unwrap_err().0, Code::Unauthenticated);
    assert_eq!(asked(&gate, SET_TRAFFIC, Some("another token of anna's"), None).await, Ok("anna".into()));
}
