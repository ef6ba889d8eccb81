//! A storage service on the loopback interface, for tests: what of the XML interface listing and reading objects need.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A server of buckets in memory. It ends with the process.
#[derive(Debug, Clone)]
pub struct StorageServer {
    port: u16,
    shared: Arc<Shared>,
}

/// By bucket and name: the content, and how often it was written.
type Objects = BTreeMap<(String, String), (Vec<u8>, u64)>;

#[derive(Debug, Default)]
struct Shared {
    objects: Mutex<Objects>,
    requests: AtomicU64,
    denies: AtomicBool,
}

/// How many names one answer lists.
const PAGE_NAMES: usize = 100;

impl StorageServer {
    /// Starts on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds a free port");
        let port = listener.local_addr().expect("has an address").port();
        let shared = Arc::new(Shared::default());
        let server = Self {
            port,
            shared: Arc::clone(&shared),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.serve(&stream));
            }
        });
        server
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Writes an object.
    pub fn put(&self, bucket: &str, name: &str, content: &[u8]) {
        let mut objects = self.shared.objects();
        let object = objects
            .entry((bucket.to_owned(), name.to_owned()))
            .or_default();
        *object = (content.to_vec(), object.1 + 1);
    }

    /// How many requests it got.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Refuses everything from now on.
    pub fn deny(&self) {
        self.shared.denies.store(true, Ordering::Relaxed);
    }
}

/// What is asked for.
struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
}

impl Shared {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers requests until the connection ends.
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader) {
            self.requests.fetch_add(1, Ordering::Relaxed);
            if self.answer(&request, stream).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request, mut stream: &TcpStream) -> std::io::Result<()> {
        if self.denies.load(Ordering::Relaxed) {
            return respond(
                stream,
                "403 Forbidden",
                "",
                b"<Error><Code>AccessDenied</Code></Error>",
            );
        }
        let path = request.path.trim_start_matches('/');
        let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
        if name.is_empty() {
            return respond(
                stream,
                "200 OK",
                "",
                self.list(bucket, &request.query).as_bytes(),
            );
        }
        let objects = self.objects();
        let Some((content, generation)) = objects.get(&(bucket.to_owned(), name.to_owned())) else {
            return respond(
                stream,
                "404 Not Found",
                "",
                b"<Error><Code>NoSuchKey</Code></Error>",
            );
        };
        let tag = format!("\"{generation}\"");
        let is_other = |wanted: &String| *wanted != generation.to_string();
        if request.query.get("generation").is_some_and(is_other) {
            return respond(
                stream,
                "404 Not Found",
                "",
                b"<Error><Code>NoSuchVersion</Code></Error>",
            );
        }
        if request
            .headers
            .get("if-match")
            .is_some_and(|wanted| *wanted != tag)
        {
            return respond(stream, "412 Precondition Failed", "", b"");
        }
        let headers = format!(
            "ETag: {tag}\r\nx-goog-generation: {generation}\r\nLast-Modified: Tue, 25 Nov 2025 00:00:00 GMT\r\n"
        );
        if request.method == "HEAD" {
            let length = content.len();
            return write!(
                stream,
                "HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n"
            );
        }
        respond(stream, "200 OK", &headers, content)
    }

    /// One page of a bucket's names.
    fn list(&self, bucket: &str, query: &BTreeMap<String, String>) -> String {
        let text = |name: &str| query.get(name).map_or("", String::as_str);
        let (prefix, after) = (text("prefix"), text("continuation-token"));
        let objects = self.objects();
        let meant = objects.iter().filter(|((of_bucket, name), _)| {
            of_bucket == bucket && name.starts_with(prefix) && name.as_str() > after
        });
        let page: Vec<_> = meant.take(PAGE_NAMES).collect();
        let contents = page.iter().map(|((_, name), (content, generation))| {
            let (name, size) = (name.replace('&', "&amp;"), content.len());
            format!(
                "<Contents><Key>{name}</Key><Size>{size}</Size><LastModified>2025-11-25T00:00:00Z</LastModified><ETag>\"{generation}\"</ETag></Contents>"
            )
        });
        let contents: String = contents.collect();
        let next = page
            .last()
            .filter(|_| page.len() == PAGE_NAMES)
            .map(|((_, name), _)| format!("<NextContinuationToken>{name}</NextContinuationToken>"));
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult>{contents}{}</ListBucketResult>",
            next.unwrap_or_default()
        )
    }
}

fn respond(
    mut stream: &TcpStream,
    status: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)
}

impl Request {
    fn read(reader: &mut BufReader<&TcpStream>) -> Option<Self> {
        let mut line = String::new();
        reader
            .read_line(&mut line)
            .ok()
            .filter(|bytes| *bytes > 0)?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (decoded(name), decoded(&value.replace('+', " "))));
        let mut request = Self {
            method,
            path: decoded(path),
            query: query.collect(),
            headers: BTreeMap::new(),
        };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                return Some(request);
            };
            request
                .headers
                .insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
}

/// Text without percent-encoding.
fn decoded(text: &str) -> String {
    let bytes = percent_encoding::percent_decode_str(text);
    bytes.decode_utf8_lossy().into_owned()
}
