//! A gRPC connection that leaves deadlines to the server; tonic's own channel
//! also enforces `grpc-timeout` itself, and would answer first.

use http::{Request, Response, Uri};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use souk::api::proto::v1::merchant_gmv_service_client::MerchantGmvServiceClient;
use tokio::net::TcpStream;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;

use super::server::TestServer;

pub(crate) type Raw = BoxCloneSyncService<Request<Body>, Response<Incoming>, hyper::Error>;

/// A client over such a connection.
pub(crate) async fn gmv(server: &TestServer) -> MerchantGmvServiceClient<Raw> {
    let stream = TcpStream::connect(server.grpc).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let send = tower::service_fn(move |request: Request<Body>| sender.clone().send_request(request));
    let origin: Uri = server.url().parse().unwrap();
    MerchantGmvServiceClient::with_origin(BoxCloneSyncService::new(send), origin)
}
