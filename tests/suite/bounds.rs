//! What a client may cost: bombs, floods of headers, connections that are slow, silent or old, and
//! clients that read nothing.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use http::{Request, StatusCode};
use prost::Message as _;
use souk::api::proto::v1::ListModelsRequest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tonic::{Code, Status, codec::CompressionEncoding};

use super::common::{
    program::PATIENCE,
    rows::{forecasts_of, merchants},
    server::{Launch, TestServer},
};

const PREDICT: &str = "/souk.v1.MerchantGmvService/PredictGmv";

/// HTTP/2's preface and empty settings (RFC 9113, sections 3.4 and 6.5).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A message as gRPC frames it.
fn framed(message: &[u8], compressed: u8) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(compressed);
    framed.put_u32(message.len().try_into().unwrap());
    framed.put_slice(message);
    framed.freeze()
}

/// A connection without any of gRPC's manners.
struct Bare {
    send: h2::client::SendRequest<Bytes>,
    path: &'static str,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Bare {
    /// Replies may have so many bytes before they are read.
    async fn new(server: &TestServer, window: u32) -> Self {
        Self::to(server.grpc, PREDICT, window).await
    }

    /// The same for calls of another port.
    async fn to(port: SocketAddr, path: &'static str, window: u32) -> Self {
        let stream = TcpStream::connect(port).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).max_header_list_size(1 << 26);
        let (send, connection) = builder.handshake(stream).await.unwrap();
        Self { send, path, connection: tokio::spawn(connection) }
    }

    /// Sends a request, and leaves its end open where it goes on.
    async fn send(
        &mut self,
        headers: &[(&str, &str)],
        data: Bytes,
    ) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let mut request = Request::post(format!("http://souk{}", self.path)).header("te", "trailers");
        request = request.header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send = self.send.clone().ready().await?;
        let (response, mut body) = self.send.send_request(request.body(()).unwrap(), false)?;
        body.send_data(data, true)?;
        Ok((response, body))
    }

    /// The status of a request.
    async fn status(&mut self, headers: &[(&str, &str)], data: Bytes) -> (StatusCode, Option<Status>) {
        let (response, _body) = self.send(headers, data).await.unwrap();
        let response = timeout(PATIENCE, response).await.unwrap().unwrap();
        (response.status(), Status::from_header_map(response.headers()))
    }

    /// Sends requests whose replies are left unread, until one is refused: those replies, and why.
    async fn greedy(&mut self, data: Bytes) -> (Vec<http::Response<h2::RecvStream>>, Status) {
        let mut unread = Vec::new();
        let refused = async {
            loop {
                let (response, _body) = self.send(&[], data.clone()).await.unwrap();
                let response = response.await.unwrap();
                if let Some(status) = Status::from_header_map(response.headers()) {
                    return status;
                }
                unread.push(response);
            }
        };
        let status = timeout(PATIENCE, refused).await.unwrap();
        (unread, status)
    }
}

fn is_ok((status, grpc): &(StatusCode, Option<Status>)) -> bool {
    *status == StatusCode::OK && grpc.is_none()
}

fn one_row() -> Bytes {
    framed(&forecasts_of(merchants(1)).encode_to_vec(), 0)
}

#[tokio::test]
async fn zstd_is_accepted_and_answered_alike() {
    let server = Launch::new().serving().await;
    let plain = server.gmv().await.predict_gmv(forecasts_of(merchants(50))).await.unwrap().into_inner();
    let mut client = server.gmv().await;
    client = client.send_compressed(CompressionEncoding::Zstd).accept_compressed(CompressionEncoding::Zstd);
    let reply = client.predict_gmv(forecasts_of(merchants(50))).await.unwrap();
    assert_eq!(reply.metadata().get("grpc-encoding").unwrap(), "zstd");
    assert_eq!(reply.into_inner().results, plain.results);
}

/// 512 MiB of zeros, in some hundred kilobytes or less.
fn bomb(mut into: impl std::io::Write) {
    let zeros = vec![0; 1 << 20];
    for _ in 0..512 {
        into.write_all(&zeros).unwrap();
    }
}

#[tokio::test]
async fn a_bomb_of_compression_is_refused_and_costs_no_memory() {
    let server = Launch::new().serving().await;
    let mut client = Bare::new(&server, 65_535).await;
    assert!(is_ok(&client.status(&[], one_row()).await));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    bomb(&mut gzip);
    let mut zstd = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    bomb(&mut zstd);
    let before = server.resident_kib();
    for (encoding, bomb) in [("gzip", gzip.finish().unwrap()), ("zstd", zstd.finish().unwrap())] {
        let (_, status) = client.status(&[("grpc-encoding", encoding)], framed(&bomb, 1)).await;
        let status = status.unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted, "{encoding}: {status:?}");
    }
    // What a message may have, twice, and what an allocator keeps.
    assert!(server.resident_kib() < before + 64 * 1024, "{before} KiB before, {} after", server.resident_kib());
    assert!(is_ok(&client.status(&[], one_row()).await));
}

#[tokio::test]
async fn headers_that_are_too_long_are_answered_and_more_of_them_end_the_connection() {
    let server = Launch::new().serving().await;
    let mut client = Bare::new(&server, 65_535).await;
    let (long, longest) = ("x".repeat(20 * 1024), "x".repeat(16 << 20));
    let (status, _) = client.status(&[("x-long", &long)], one_row()).await;
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert!(is_ok(&client.status(&[("x-short", &long[..8 * 1024])], one_row()).await));

    let before = server.resident_kib();
    let answered = async {
        let (response, _body) = client.send(&[("x-long", &longest)], one_row()).await?;
        response.await
    };
    // Whether it is answered or the connection breaks: no call was made.
    let answered = timeout(PATIENCE, answered).await.unwrap();
    assert!(!answered.is_ok_and(|response| response.status().is_success()));
    assert!(server.resident_kib() < before + 32 * 1024, "{before} KiB before, {} after", server.resident_kib());
    assert!(is_ok(&Bare::new(&server, 65_535).await.status(&[], one_row()).await));
    // And over HTTP.
    let (head, _) = server.answer(&format!("/livez?{long}")).await;
    assert!(head.starts_with("HTTP/1.1 431") || head.starts_with("HTTP/1.1 414"), "{head}");
}

#[tokio::test]
async fn connections_that_send_a_byte_now_and_then_cost_others_nothing() {
    let server = Launch::new().serving().await;
    let slow = (0..20).map(|_| {
        let address = server.grpc;
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            for byte in HELLO.iter().cycle() {
                // Until it is sent away.
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                sleep(Duration::from_secs(1)).await;
            }
        })
    });
    let slow: Vec<_> = slow.collect();
    let mut client = server.gmv().await;
    for _ in 0..100 {
        client.predict_gmv(forecasts_of(merchants(1))).await.unwrap();
    }
    for connection in slow {
        timeout(PATIENCE, connection).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_message_that_does_not_arrive_ends_its_call_and_no_other() {
    let server = Launch::new().serving().await;
    let mut client = Bare::new(&server, 65_535).await;
    let mut request = Request::post(format!("http://souk{PREDICT}")).header("te", "trailers");
    request = request.header("content-type", "application/grpc");
    client.send = client.send.clone().ready().await.unwrap();
    let (response, mut body) = client.send.send_request(request.body(()).unwrap(), false).unwrap();
    // All of the message but its last byte.
    let message = one_row();
    body.send_data(message.slice(..message.len() - 1), false).unwrap();
    let late = timeout(PATIENCE, response).await.unwrap().unwrap();
    let status = Status::from_header_map(late.headers()).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(status.message().contains("did not arrive"), "{status:?}");
    assert!(is_ok(&client.status(&[], message).await));
}

/// Long after a bound of a second, and before that of a minute by default.
const BEFORE_DEFAULT: Duration = Duration::from_secs(40);

#[tokio::test]
async fn a_client_that_reads_nothing_is_left() {
    let server = Launch::new().set("server.max_reply_stall", "1s").serving().await;
    let mut honest = server.gmv().await;
    let mut client = Bare::new(&server, 0).await;
    let many = framed(&forecasts_of(merchants(100)).encode_to_vec(), 0);
    let (response, _body) = client.send(&[], many).await.unwrap();
    let reply = response.await.unwrap();
    // Its pings are answered, and its reply is not read.
    let ended = timeout(BEFORE_DEFAULT, client.connection).await;
    assert!(ended.is_ok(), "the connection goes on");
    drop(reply);
    honest.predict_gmv(forecasts_of(merchants(1))).await.unwrap();
}

#[tokio::test]
async fn who_leaves_too_much_unread_is_refused_more_and_others_are_not() {
    let server = Launch::new().set("server.max_unsent_bytes", "64KiB").serving().await;
    let (mut greedy, mut other) = (Bare::new(&server, 0).await, Bare::new(&server, 0).await);
    let request = |rows| framed(&forecasts_of(merchants(rows)).encode_to_vec(), 0);
    // More than a 64th of what may be, and never read.
    let (kept, _body) = other.send(&[], request(100)).await.unwrap();
    let kept = timeout(PATIENCE, kept).await.unwrap().unwrap();
    let (unread, status) = greedy.greedy(request(1000)).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("read them first"), "{status:?}");
    assert!(unread.len() < 10, "{} replies wait", unread.len());
    server.gmv().await.predict_gmv(forecasts_of(merchants(100))).await.unwrap();
    assert!(!is_ok(&other.status(&[], one_row()).await), "too much is unread, and some of it his");
    // Once the first has left, it is as if he had never been there.
    drop((unread, greedy));
    let answered = async {
        while !is_ok(&other.status(&[], one_row()).await) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, answered).await.unwrap();
    drop(kept);
}

#[tokio::test]
async fn what_is_unread_on_one_port_is_no_matter_of_another() {
    const REPLIES: usize = 8;
    let server = Launch::new().set("server.max_unsent_bytes", "64KiB").serving().await;
    let mut admin = Bare::to(server.admin, "/souk.v1.ModelService/ListModels", 0).await;
    let reply = server.models().await.list_models(ListModelsRequest {}).await.unwrap().into_inner().encoded_len();
    let mut unread = Vec::new();
    // More than his share of all that may be, and less than a half of it.
    assert!((1024..4096).contains(&(reply * REPLIES / 2)), "{reply} bytes");
    for _ in 0..REPLIES {
        let (response, _body) = admin.send(&[], framed(&[], 0)).await.unwrap();
        unread.push(timeout(PATIENCE, response).await.unwrap().unwrap());
    }
    let mut greedy = Bare::new(&server, 0).await;
    let kept = greedy.greedy(framed(&forecasts_of(merchants(1000)).encode_to_vec(), 0)).await;
    assert!(is_ok(&admin.status(&[], framed(&[], 0)).await));
    drop((unread, kept));
}

#[tokio::test]
async fn one_host_can_not_take_all_places_of_the_admin_port() {
    let server = Launch::new().listening().await;
    let mut host = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(server.admin).await.unwrap();
        // Unless it is closed already.
        let _ = stream.write_all(HELLO).await;
        host.push(stream);
    }
    let other = TcpSocket::new_v4().unwrap();
    other.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let mut other = other.connect(server.admin).await.unwrap();
    other.write_all(HELLO).await.unwrap();
    // Before those that answer no pings are left.
    timeout(BEFORE_DEFAULT, other.read_exact(&mut [0; 9])).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_ended_and_one_with_a_call_is_not() {
    let launch = Launch::new().set("server.max_connection_idle", "1s");
    // A connection that is taken for idle loses its call at once.
    let server = launch.set("server.max_connection_grace", "0s").serving().await;
    let mut idle = TcpStream::connect(server.grpc).await.unwrap();
    idle.write_all(HELLO).await.unwrap();
    let mut watching = server.health().await;
    let mut watched = watching.watch(tonic_health::pb::HealthCheckRequest::default()).await.unwrap().into_inner();
    watched.message().await.unwrap().unwrap();
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, idle.read_to_end(&mut said)).await.unwrap();
    // GOAWAY (RFC 9113, section 6.8).
    assert!(said.windows(9).any(|frame| frame[3] == 7 && frame[5..] == [0; 4]), "{said:?}");
    assert!(timeout(Duration::from_secs(2), watched.message()).await.is_err(), "the call that is open goes on");
}

#[tokio::test]
async fn connections_of_a_certain_age_are_ended_and_no_call_is_lost() {
    let server = Launch::new().set("server.max_connection_age", "1s").serving().await;
    let mut old = TcpStream::connect(server.grpc).await.unwrap();
    old.write_all(HELLO).await.unwrap();
    let (begun, mut client, request) = (Instant::now(), server.gmv().await, forecasts_of(merchants(1)));
    while begun.elapsed() < Duration::from_secs(5) {
        match client.predict_gmv(request.clone()).await {
            Err(status) if !was_never_sent(&status) => panic!("{status:?}"),
            _ => {}
        }
    }
    timeout(PATIENCE, old.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

/// Whether the client gave a call up before it was sent, since its connection had ended meanwhile. Most
/// clients send it again by themselves; tonic's leaves that to its caller.
fn was_never_sent(status: &Status) -> bool {
    let errors = std::iter::successors(std::error::Error::source(status), |error| error.source());
    errors.filter_map(|error| error.downcast_ref::<hyper::Error>()).any(hyper::Error::is_canceled)
}

/// As a frame (RFC 9113, section 4.1).
fn frame(into: &mut BytesMut, (kind, flags): (u8, u8), stream: u32, payload: &[u8]) {
    into.put_uint(payload.len() as u64, 3);
    into.put_slice(&[kind, flags]);
    into.put_u32(stream);
    into.put_slice(payload);
}

#[tokio::test]
async fn calls_that_are_reset_at_once_are_read_slowly_and_end_no_connection() {
    const CALLS: u32 = 20_000;
    let server = Launch::new().serving().await;
    // `:method: POST`, `:scheme: http` and `:path: /` of HPACK's table: answered without a look at any model.
    let (head, cancel) = ([0x83, 0x86, 0x84], [0, 0, 0, 8]);
    let mut said = BytesMut::from(HELLO);
    for call in 0..CALLS {
        frame(&mut said, (1, 4), 2 * call + 1, &head);
        frame(&mut said, (3, 0), 2 * call + 1, &cancel);
    }
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.grpc).await.unwrap();
    let (mut read, mut write) = stream.split();
    let all_sent = async {
        write.write_all(&said).await.unwrap();
        // What comes last is answered once all before it was read.
        let mut ping = BytesMut::new();
        frame(&mut ping, (6, 0), 0, b"the last");
        write.write_all(&ping).await.unwrap();
        std::future::pending::<()>().await;
    };
    let honest = async {
        let mut client = server.gmv().await;
        for _ in 0..30 {
            client.predict_gmv(forecasts_of(merchants(1))).await.unwrap();
        }
    };
    let mut heard = Vec::new();
    let heard_last = async {
        while !heard.windows(8).any(|found| found == b"the last") {
            assert_ne!(read.read_buf(&mut heard).await.unwrap(), 0, "the connection was ended");
        }
        panic!("all was read within {:?}", begun.elapsed());
    };
    // 20,000 take 95 seconds or more.
    tokio::select! {
        () = honest => {}
        () = all_sent => {}
        () = heard_last => {}
    }
}
