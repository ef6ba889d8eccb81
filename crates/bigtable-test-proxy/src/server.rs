//! The service on a port.

use std::convert::Infallible;
use std::future::ready;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Status, codegen::BoxFuture};
use tonic_prost::ProstCodec;

use crate::proxy::Proxy;

/// The full name of the service.
pub const SERVICE: &str = "google.bigtable.testproxy.CloudBigtableV2TestProxy";

/// Serves a proxy to whoever connects, for ever.
pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let proxy = Proxy::default();
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(serve_connection(socket, proxy.clone()));
    }
}

async fn serve_connection(socket: TcpStream, proxy: Proxy) {
    let service = service_fn(move |request: Request<Incoming>| {
        let proxy = proxy.clone();
        async move { Ok::<_, Infallible>(route(proxy, request.map(Body::new)).await) }
    });
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service);
    // How a caller's connection ends is the caller's affair.
    connection.await.ok();
}

async fn route(proxy: Proxy, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let method = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(SERVICE))
        .and_then(|method| method.strip_prefix('/'));
    match method {
        Some("CreateClient") => unary(request, |it| proxy.create_client(it)).await,
        Some("CloseClient") => unary(request, move |it| ready(proxy.close_client(&it))).await,
        Some("RemoveClient") => unary(request, move |it| ready(proxy.remove_client(&it))).await,
        Some("ReadRow") => unary(request, |it| proxy.read_row(it)).await,
        Some("ReadRows") => unary(request, |it| proxy.read_rows(it)).await,
        Some("MutateRow") => unary(request, |it| proxy.mutate_row(it)).await,
        Some("BulkMutateRows") => unary(request, |it| proxy.bulk_mutate_rows(it)).await,
        Some("CheckAndMutateRow") => unary(request, |it| proxy.check_and_mutate_row(it)).await,
        Some("SampleRowKeys") => unary(request, |it| proxy.sample_row_keys(it)).await,
        Some("ReadModifyWriteRow") => unary(request, |it| proxy.read_modify_write_row(it)).await,
        _ => Status::unimplemented(format!("there is no {path}")).into_http(),
    }
}

/// Decodes the one message of a call, lets `handler` answer it, and encodes the answer.
async fn unary<Q, A, F>(
    request: Request<Body>,
    handler: impl FnOnce(Q) -> F + Send + 'static,
) -> Response<Body>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
    F: Future<Output = Result<A, Status>> + Send + 'static,
{
    let codec = ProstCodec::<A, Q>::default();
    let mut grpc = Grpc::new(codec).apply_max_message_size_config(Some(usize::MAX), None);
    grpc.unary(Handler(Some(handler)), request).await
}

/// A handler that is called once.
struct Handler<H>(Option<H>);

impl<Q, A, H, F> UnaryService<Q> for Handler<H>
where
    H: FnOnce(Q) -> F + Send + 'static,
    F: Future<Output = Result<A, Status>> + Send + 'static,
{
    type Response = A;
    type Future = BoxFuture<tonic::Response<A>, Status>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        let handler = self.0.take().expect("a call is answered once");
        let answering = handler(request.into_inner());
        Box::pin(async move { answering.await.map(tonic::Response::new) })
    }
}
