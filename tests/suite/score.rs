//! `souk score`: as many results as lines, in their order.

#[cfg(feature = "torch")]
use std::fs;
use std::{fs::File, net::TcpListener, path::Path, process::Stdio};

use super::common::{
    models::shipped,
    program::{program, souk, stderr},
};

#[cfg(feature = "torch")]
use super::common::{
    program::stdout,
    rows::golden_lines,
    server::{Launch, TestServer},
};

/// A merchant's row, for where no server answers.
const ROW: &str = "{\"merchant_id\":\"m\",\"as_of\":\"2016-10-02\"}";

/// The golden rows of a model, one a line.
#[cfg(feature = "torch")]
fn rows(model: &str) -> Vec<String> {
    golden_lines(model).into_iter().map(|line| line["row"].to_string()).collect()
}

/// Scores `lines` through a file; exit code, results and what was said.
#[cfg(feature = "torch")]
fn score(
    server: &TestServer,
    question: &str,
    lines: &[String],
    more: &[&str],
) -> (Option<i32>, Vec<serde_json::Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rows.jsonl"), lines.join("\n")).unwrap();
    let url = server.url();
    let arguments = [&["score", question, "--input", "rows.jsonl", "--addr", &url], more].concat();
    let output = souk(folder.path(), &arguments).output().unwrap();
    (output.status.code(), results(&stdout(&output)), stderr(&output))
}

#[cfg(feature = "torch")]
fn results(lines: &str) -> Vec<serde_json::Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[cfg(feature = "torch")]
fn ids(values: &[serde_json::Value], id: &str) -> Vec<String> {
    values.iter().map(|value| value[id].as_str().unwrap_or_default().to_owned()).collect()
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn every_row_gets_its_line_for_both_questions() {
    let server = Launch::new().serving().await;
    for (question, model, id, outcome) in [
        ("merchant-gmv", "merchant_gmv", "merchant_id", "forecast"),
        ("user-portrait", "user_portrait", "user_id", "portrait"),
    ] {
        let lines = rows(model);
        let sent: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (code, scored, said) = score(&server, question, &lines, &["--rows-per-message", "7"]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(ids(&scored, id), ids(&sent, id));
        assert!(scored.iter().all(|result| result[outcome].is_object()), "{scored:?}");
        assert!(said.contains(&format!("{} rows, 0 with an error", lines.len())), "{said}");
    }
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_forecast_line_holds_the_quantiles_that_were_asked_for() {
    let server = Launch::new().serving().await;
    let lines = &rows("merchant_gmv")[..3];
    let (_, scored, _) = score(&server, "merchant-gmv", lines, &["--quantiles", "0.95,0.05"]);
    for result in &scored {
        let quantiles = result["forecast"]["quantiles"].as_array().unwrap();
        let probabilities: Vec<_> =
            quantiles.iter().map(|quantile| quantile["probability"].as_f64().unwrap()).collect();
        assert_eq!(probabilities, [0.05, 0.95]);
    }
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_dash_is_standard_input() {
    let server = Launch::new().serving().await;
    let lines = rows("merchant_gmv");
    let output = souk(Path::new("."), &["score", "merchant-gmv", "--input", "-", "--addr", &server.url()])
        .write_stdin(lines.join("\n") + "\n\n")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(results(&stdout(&output)).len(), lines.len());
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn an_output_file_holds_what_standard_output_would() {
    let server = Launch::new().serving().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("forecasts.jsonl");
    let lines = &rows("merchant_gmv")[..5];
    let (code, printed, said) = score(&server, "merchant-gmv", lines, &["--output", file.to_str().unwrap()]);
    assert_eq!((code, printed.len()), (Some(0), 0), "{said}");
    assert_eq!(results(&fs::read_to_string(&file).unwrap()).len(), 5);
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_line_that_is_no_row_gets_an_error_in_its_place() {
    let server = Launch::new().serving().await;
    let mut lines = rows("merchant_gmv");
    lines.truncate(9);
    lines[0] = "not JSON".into();
    lines[4] = "{\"merchant_id\":\"x\",\"colour\":\"red\"}".into();
    let (code, scored, said) = score(&server, "merchant-gmv", &lines, &["--rows-per-message", "3"]);
    assert_eq!((code, scored.len()), (Some(1), 9), "{said}");
    for (index, result) in scored.iter().enumerate() {
        if index == 0 || index == 4 {
            let message = result["error"]["message"].as_str().unwrap();
            assert!(message.starts_with(&format!("line {} is no souk.v1.Merchant", index + 1)), "{message}");
        } else {
            assert!(result["forecast"].is_object(), "{result}");
        }
    }
    assert!(said.contains("9 rows, 2 with an error") && said.contains("colour"), "{said}");
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_row_that_the_server_refuses_makes_exit_code_1() {
    let server = Launch::new().serving().await;
    let mut lines = rows("merchant_gmv");
    lines.truncate(3);
    lines[1] = ROW.into();
    let (code, scored, said) = score(&server, "merchant-gmv", &lines, &[]);
    assert_eq!((code, scored.len()), (Some(1), 3), "{said}");
    assert!(scored[1]["error"]["message"].as_str().unwrap().contains("daily_gmv"), "{}", scored[1]);
    assert!(scored[0]["forecast"].is_object() && scored[2]["forecast"].is_object());
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn an_unknown_version_is_answered_with_what_there_is() {
    let server = Launch::new().serving().await;
    let (code, _, said) = score(&server, "merchant-gmv", &rows("merchant_gmv"), &["--version", "canary"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("canary") && said.contains("there is: version"), "{said}");
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_line_that_is_no_text_gets_an_error_in_its_place() {
    let server = Launch::new().serving().await;
    let lines = rows("merchant_gmv");
    let input = [lines[0].as_bytes(), b"\r\n{\"merchant_id\":\"\xe9\"}\r\n", lines[1].as_bytes()].concat();
    let output = souk(Path::new("."), &["score", "merchant-gmv", "--input", "-", "--addr", &server.url()])
        .write_stdin(input)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let scored = results(&stdout(&output));
    assert_eq!(scored.len(), 3);
    assert!(scored[0]["forecast"].is_object() && scored[2]["forecast"].is_object(), "{scored:?}");
    let message = scored[1]["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("line 2 is no souk.v1.Merchant: invalid utf-8"), "{message}");
}

/// A pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_reader_of_results_who_left_makes_a_quiet_end() {
    let server = Launch::new().serving().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rows.jsonl"), rows("merchant_gmv").join("\n")).unwrap();
    let arguments = ["score", "merchant-gmv", "--input", "rows.jsonl", "--addr", &server.url()];
    let ended = program(folder.path()).args(arguments).stdout(closed_pipe()).output().unwrap();
    assert_eq!((ended.status.code(), stderr(&ended).as_str()), (Some(0), ""));
}

#[test]
fn other_commands_end_quietly_too_and_a_full_disk_is_named() {
    let models = shipped();
    for arguments in [&["schema"][..], &["check", models.to_str().unwrap()]] {
        let ended = program(Path::new(".")).args(arguments).stdout(closed_pipe()).output().unwrap();
        assert_eq!((ended.status.code(), stderr(&ended).as_str()), (Some(0), ""), "{arguments:?}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = program(Path::new(".")).args(arguments).stdout(full).output().unwrap();
        let wanted = "souk: can't write the results: No space left on device (os error 28)\n";
        assert_eq!((ended.status.code(), stderr(&ended).as_str()), (Some(1), wanted), "{arguments:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let output = souk(Path::new("."), &["score", "merchant-gmv", "--input", "-", "--addr", &url])
        .write_stdin(ROW)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains(&url) && stderr(&output).contains("souk serve"), "{}", stderr(&output));
}

#[test]
fn an_input_that_is_not_there_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let output =
        souk(Path::new("."), &["score", "merchant-gmv", "--input", "no/such.jsonl", "--addr", &url]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no/such.jsonl"), "{}", stderr(&output));
}
