//! `--slow`: which requests were slow or refused, and where their time went.

use std::time::Duration;

use clap::Args;

use super::{
    Admin,
    figures::{NOTHING, moment, or_nothing, plain},
    refused,
    tables::table,
};
use crate::{
    api::proto::v1::{Lane, ListSlowRequestsRequest, ListSlowRequestsResponse, NotedRequest},
    cli::Failure,
};

#[derive(Debug, Args)]
pub(super) struct Slow {
    /// Show the slowest requests of the last five minutes, and some that were refused or failed.
    #[arg(long)]
    slow: bool,
    /// Most requests of each list.
    #[arg(long, value_name = "N", requires = "slow", default_value_t = 20)]
    most: u32,
}

impl Slow {
    /// Whether requests are wanted, and not models.
    pub(super) fn is_asked(&self) -> bool {
        self.slow
    }
}

impl Admin {
    /// Of all models where `model` is empty.
    pub(super) async fn slow(&mut self, model: String, asked: Slow) -> Result<(), Failure> {
        let asks = ListSlowRequestsRequest { model: model.clone(), most: Some(asked.most) };
        let reply = self.client.list_slow_requests(asks).await.map_err(refused)?.into_inner();
        self.print("ListSlowRequestsResponse", &reply, || lists(&model, &reply))
    }
}

/// Both lists, each with a heading.
fn lists(model: &str, reply: &ListSlowRequestsResponse) -> String {
    let of = if model.is_empty() { "all models".into() } else { plain(model) };
    let list = |heading: &str, requests: &[NotedRequest]| {
        if requests.is_empty() {
            return format!("{heading} of {of} in the last 5 minutes: none");
        }
        format!("{heading} of {of} in the last 5 minutes, times in ms:\n{}", requests_of(model, requests))
    };
    [list("Slowest requests", &reply.slowest), list("Refused or failed requests", &reply.refused)].join("\n\n")
}

fn requests_of(model: &str, requests: &[NotedRequest]) -> String {
    let who = if model.is_empty() { "MODEL" } else { "VERSION" };
    let header = [
        "WHEN", "TOOK", "DECODE", "QUEUE", "COMPUTE", "OTHER", "BATCH", "ROWS", "LANE", who, "METHOD", "CODE", "TRACE",
    ];
    table(header, requests.iter().map(|request| row(model, request)))
}

fn row(model: &str, request: &NotedRequest) -> [String; 13] {
    let [took, decode, queue, compute] =
        [request.took, request.decode, request.queue, request.compute].map(|part| span(part.as_ref()));
    // Reading the request, waiting for admission, and writing and sending the reply.
    let other = took.saturating_sub(decode + queue + compute);
    let [took, decode, queue, compute, other] = [took, decode, queue, compute, other].map(millis);
    let method = request.method.rsplit('/').next().unwrap_or_default();
    [
        moment(request.time),
        took,
        decode,
        queue,
        compute,
        other,
        request.batch_rows.to_string(),
        request.rows.to_string(),
        lane(request).into(),
        if model.is_empty() { named(request) } else { version(request) },
        plain(method),
        plain(&[&*request.code, &*request.reason].join(" ")).trim_end().to_owned(),
        or_nothing(&request.trace_id),
    ]
}

/// `merchant_gmv 3`.
fn named(request: &NotedRequest) -> String {
    if request.model.is_empty() {
        return NOTHING.into();
    }
    format!("{} {}", plain(&request.model), version(request))
}

/// `3`, or `3 +1` where another one was asked too.
fn version(request: &NotedRequest) -> String {
    match request.versions {
        0 => NOTHING.into(),
        1 => request.version.to_string(),
        several => format!("{} +{}", request.version, several - 1),
    }
}

fn lane(request: &NotedRequest) -> &'static str {
    match request.lane() {
        Lane::Unspecified => NOTHING,
        Lane::Interactive => "interactive",
        Lane::Bulk => "bulk",
    }
}

fn span(part: Option<&prost_types::Duration>) -> Duration {
    part.and_then(|part| Duration::try_from(*part).ok()).unwrap_or_default()
}

/// To the microsecond; a part that was not there at all is none.
fn millis(span: Duration) -> String {
    if span.is_zero() { NOTHING.into() } else { format!("{:.3}", span.as_secs_f64() * 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: i32) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds: 0, nanos: micros * 1000 })
    }

    fn reply() -> ListSlowRequestsResponse {
        let slow = NotedRequest {
            time: Some(prost_types::Timestamp { seconds: 86_400, nanos: 0 }),
            method: "souk.v1.MerchantGmvService/PredictGmv".into(),
            code: "OK".into(),
            model: "merchant_gmv".into(),
            version: 3,
            versions: 2,
            rows: 40,
            lane: Lane::Interactive.into(),
            trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
            took: micros(12_345),
            decode: micros(45),
            queue: micros(9_300),
            compute: micros(2_500),
            batch_rows: 256,
            ..NotedRequest::default()
        };
        let refused = NotedRequest {
            code: "RESOURCE_EXHAUSTED".into(),
            reason: "queue_full".into(),
            versions: 1,
            trace_id: String::new(),
            took: micros(30),
            ..slow.clone()
        };
        let [decode, queue, compute] = [micros(0); 3];
        let refused = NotedRequest { decode, queue, compute, batch_rows: 0, ..refused };
        ListSlowRequestsResponse { slowest: vec![slow], refused: vec![refused] }
    }

    #[test]
    fn a_slow_request_is_shown_with_all_parts_of_its_time() {
        let wanted = "\
Slowest requests of merchant_gmv in the last 5 minutes, times in ms:
WHEN                  TOOK    DECODE  QUEUE  COMPUTE  OTHER  BATCH  ROWS  LANE         VERSION  METHOD      CODE  TRACE
1970-01-02T00:00:00Z  12.345  0.045   9.300  2.500    0.500  256    40    interactive  3 +1     PredictGmv  OK    0af7651916cd43dd8448eb211c80319c

Refused or failed requests of merchant_gmv in the last 5 minutes, times in ms:
WHEN                  TOOK   DECODE  QUEUE  COMPUTE  OTHER  BATCH  ROWS  LANE         VERSION  METHOD      CODE                           TRACE
1970-01-02T00:00:00Z  0.030  -       -      -        0.030  0      40    interactive  3        PredictGmv  RESOURCE_EXHAUSTED queue_full  -";
        assert_eq!(lists("merchant_gmv", &reply()), wanted);
    }

    #[test]
    fn of_all_models_each_request_names_its_own_and_one_that_came_to_none_has_a_dash() {
        let mut reply = reply();
        reply.slowest.clear();
        let nothing = NotedRequest { code: "INVALID_ARGUMENT".into(), ..NotedRequest::default() };
        reply.refused.push(nothing);
        let wanted = "\
Slowest requests of all models in the last 5 minutes: none

Refused or failed requests of all models in the last 5 minutes, times in ms:
WHEN                  TOOK   DECODE  QUEUE  COMPUTE  OTHER  BATCH  ROWS  LANE         MODEL           METHOD      CODE                           TRACE
1970-01-02T00:00:00Z  0.030  -       -      -        0.030  0      40    interactive  merchant_gmv 3  PredictGmv  RESOURCE_EXHAUSTED queue_full  -
-                     -      -       -      -        -      0      0     -            -                           INVALID_ARGUMENT               -";
        assert_eq!(lists("", &reply), wanted);
    }
}
