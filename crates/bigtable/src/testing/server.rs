//! A Bigtable server that answers what a script says, and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::reply::{Reply, Step};

type Body = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;
type Handler = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// A server on a free port of this machine, until it is dropped.
///
/// Replies are queued for each method, by its last name (`ReadRows`), and given out in order. When a queue is empty, the method's
/// handler answers, if it has one; else the answer is UNIMPLEMENTED. `PingAndWarm` is answered well.
#[derive(Debug)]
pub struct ScriptedServer {
    address: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<Script>,
    changed: Notify,
    connections: Mutex<Vec<Arc<Connection>>>,
    /// Replies that are not over yet.
    replying: AtomicUsize,
}

#[derive(Default)]
struct Script {
    replies: HashMap<String, VecDeque<Reply>>,
    handlers: HashMap<String, Handler>,
    received: Vec<Received>,
}

/// Switches of one connection.
#[derive(Debug, Default)]
struct Connection {
    drop: Notify,
    go_away: Notify,
    is_open: watch::Sender<bool>,
}

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// The last part of the path: `ReadRows`.
    pub method: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// The connection it came over, from 0.
    pub connection: usize,
    /// When it came.
    pub at: std::time::Instant,
    message: Bytes,
}

impl Received {
    /// The message.
    ///
    /// # Panics
    /// If it is none of this type.
    pub fn message<T: Message + Default>(&self) -> T {
        T::decode(self.message.clone()).expect("the request is of this type")
    }

    /// The message as it came.
    pub fn body(&self) -> &Bytes {
        &self.message
    }

    /// All values of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values
            .map(|value| value.to_str().expect("a header of a test is text"))
            .collect()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        let connections = self.connections.lock();
        connections.unwrap_or_else(PoisonError::into_inner)
    }
}

impl ScriptedServer {
    /// Starts a server.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port of the loopback address is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        let server = Self {
            address: address.to_string(),
            shared,
            accepting,
        };
        server.answer("PingAndWarm", |_| Reply::new().message(&()));
        server
    }

    /// Where it listens: `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Queues a reply for a method.
    pub fn push(&self, method: &str, reply: Reply) {
        let mut script = self.shared.script();
        let queue = script.replies.entry(method.to_owned()).or_default();
        queue.push_back(reply);
    }

    /// Answers requests of a method for which nothing is queued.
    pub fn answer(
        &self,
        method: &str,
        handler: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) {
        let mut script = self.shared.script();
        script.handlers.insert(method.to_owned(), Arc::new(handler));
    }

    /// The requests of a method so far.
    pub fn requests(&self, method: &str) -> Vec<Received> {
        let script = self.shared.script();
        let of_method = script.received.iter().filter(|it| it.method == method);
        of_method.cloned().collect()
    }

    /// Waits for so many requests of a method, and gives them.
    pub async fn received(&self, method: &str, count: usize) -> Vec<Received> {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let requests = self.requests(method);
            if requests.len() >= count {
                return requests;
            }
            changed.await;
        }
    }

    /// Waits until no reply is under way: each has been sent to its end, or its call was cancelled.
    pub async fn idle(&self) {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if self.shared.replying.load(Ordering::Relaxed) == 0 {
                return;
            }
            changed.await;
        }
    }

    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.shared.connections().len()
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        let connections = self.shared.connections();
        connections
            .iter()
            .filter(|connection| *connection.is_open.borrow())
            .count()
    }

    /// Closes every connection under its calls.
    pub fn drop_connections(&self) {
        for connection in self.shared.connections().iter() {
            connection.drop.notify_one();
        }
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.accepting.abort();
        self.drop_connections();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        // Small answers go out at once, as those of a real server do.
        socket.set_nodelay(true).ok();
        let connection = Arc::new(Connection::default());
        connection.is_open.send_replace(true);
        let number = {
            let mut connections = shared.connections();
            connections.push(Arc::clone(&connection));
            connections.len() - 1
        };
        tokio::spawn(serve(socket, Arc::clone(&shared), connection, number));
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>, connection: Arc<Connection>, number: usize) {
    let (socket, closer) = with_closer(socket).expect("a socket that was just accepted is one");
    let switches = Arc::clone(&connection);
    let service = service_fn(move |request| {
        let (shared, switches) = (Arc::clone(&shared), Arc::clone(&switches));
        async move { Ok::<_, Infallible>(respond(request, &shared, switches, number).await) }
    });
    let serving = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(32 << 20)
        // As many as the service takes at once.
        .max_concurrent_streams(100)
        .serve_connection(TokioIo::new(socket), service);
    let mut serving = std::pin::pin!(serving);
    loop {
        tokio::select! {
            // What was answered before the connection is closed still goes out.
            biased;
            // How a connection ended is what the client under test must cope with.
            _ended = &mut serving => break,
            () = connection.drop.notified() => {
                // The client may have closed it already.
                closer.shutdown(Shutdown::Write).ok();
            }
            () = connection.go_away.notified() => serving.as_mut().graceful_shutdown(),
        }
    }
    connection.is_open.send_replace(false);
}

/// The socket, and a handle that ends its writing side: the client reads what was sent, and then that there is no more.
fn with_closer(socket: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    let socket = socket.into_std()?;
    let closer = socket.try_clone()?;
    Ok((TcpStream::from_std(socket)?, closer))
}

async fn respond(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    connection: Arc<Connection>,
    number: usize,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return response(HeaderMap::new(), stream::empty().boxed());
    };
    let received = Received {
        method: parts.uri.path().rsplit('/').next().unwrap_or("").to_owned(),
        headers: parts.headers,
        connection: number,
        at: now(),
        message: body.to_bytes().slice(5..),
    };
    let reply = next_reply(shared, &received);
    shared.replying.fetch_add(1, Ordering::Relaxed);
    let mut steps = Steps {
        left: reply.steps,
        connection,
        shared: Arc::clone(shared),
        is_over: false,
    };
    // The headers come with the first message, as those of Google's servers do; what ends before it is only trailers.
    match steps.next().await {
        Some(Ok(frame)) if frame.is_trailers() => {
            let mut headers = reply.headers;
            headers.extend(frame.into_trailers().unwrap_or_default());
            response(headers, stream::empty().boxed())
        }
        first => {
            let rest = stream::unfold(steps, |mut steps| async {
                let frame = steps.next().await?;
                Some((frame, steps))
            });
            response(reply.headers, stream::iter(first).chain(rest).boxed())
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "when a request came is what tests want to know"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn next_reply(shared: &Shared, received: &Received) -> Reply {
    let mut script = shared.script();
    let queued = script
        .replies
        .get_mut(&received.method)
        .and_then(VecDeque::pop_front);
    let handler = script.handlers.get(&received.method).cloned();
    script.received.push(received.clone());
    drop(script);
    shared.changed.notify_waiters();
    match (queued, handler) {
        (Some(reply), _) => reply,
        (None, Some(handler)) => handler(received),
        (None, None) => Reply::new().status(tonic::Code::Unimplemented, "nothing is scripted"),
    }
}

fn response(
    headers: HeaderMap,
    frames: BoxStream<'static, io::Result<Frame<Bytes>>>,
) -> Response<Body> {
    let mut response = Response::new(StreamBody::new(frames));
    *response.headers_mut() = headers;
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    response
}

/// The rest of a reply.
struct Steps {
    left: VecDeque<Step>,
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    is_over: bool,
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.shared.replying.fetch_sub(1, Ordering::Relaxed);
        self.shared.changed.notify_waiters();
    }
}

impl Steps {
    /// The next frame to send; none at the end.
    async fn next(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        while !self.is_over {
            match self.left.pop_front() {
                Some(Step::Message(message)) => return Some(Ok(Frame::data(message))),
                Some(Step::Delay(duration)) => tokio::time::sleep(duration).await,
                Some(Step::Wait(gate)) => gate.passed().await,
                Some(Step::Hang) => std::future::pending().await,
                Some(Step::Drop) => {
                    self.connection.drop.notify_one();
                    std::future::pending::<()>().await;
                }
                Some(Step::GoAway) => self.connection.go_away.notify_one(),
                Some(Step::Reset) => {
                    self.is_over = true;
                    return Some(Err(io::Error::other("told to reset")));
                }
                Some(Step::End(trailers)) => {
                    self.is_over = true;
                    return (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)));
                }
                None => {
                    self.is_over = true;
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    return Some(Ok(Frame::trailers(trailers)));
                }
            }
        }
        None
    }
}
