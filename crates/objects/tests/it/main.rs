//! Objects of a local server that answers as the service does.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::io::Read as _;

use rowmill_objects::testing::StorageServer;
use rowmill_objects::{Endpoint, Error, Object, ObjectUri};

/// Runs on a thread that may block, within a runtime.
fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { tokio::task::spawn_blocking(work).await.unwrap() })
}

fn find(server: &StorageServer, uri: &str) -> Result<Vec<Object>, Error> {
    let (uri, endpoint) = (uri.parse::<ObjectUri>()?, Endpoint::Emulator(server.url()));
    blocking(move || uri.find(&endpoint))
}

fn names(server: &StorageServer, uri: &str) -> Vec<String> {
    let found = find(server, uri).unwrap();
    found.iter().map(Object::uri).collect()
}

fn server() -> StorageServer {
    let server = StorageServer::start();
    for name in [
        "plays/a.jsonl",
        "plays/ab.jsonl",
        "plays/deep/a.jsonl",
        "plays/x y#%.csv",
        "other.csv",
    ] {
        server.put("landing", name, name.as_bytes());
    }
    server
}

#[test]
fn objects_are_found_by_name_folder_and_pattern() {
    let server = server();
    assert_eq!(
        names(&server, "gs://landing/other.csv"),
        ["gs://landing/other.csv"]
    );
    assert_eq!(
        names(&server, "gs://landing/plays/deep/"),
        ["gs://landing/plays/deep/a.jsonl"]
    );
    assert_eq!(
        names(&server, "gs://landing/plays/a*"),
        ["gs://landing/plays/a.jsonl", "gs://landing/plays/ab.jsonl"]
    );
    assert_eq!(
        names(&server, "gs://landing/plays/a?.jsonl"),
        ["gs://landing/plays/ab.jsonl"]
    );
    assert_eq!(names(&server, "gs://landing/**/a.jsonl").len(), 2);
    assert_eq!(names(&server, "gs://landing/").len(), 5);
    assert_eq!(
        names(&server, "gs://landing/o*"),
        ["gs://landing/other.csv"]
    );
}

#[test]
fn many_objects_come_in_pages() {
    let server = StorageServer::start();
    for number in 0..250 {
        server.put("b", &format!("p/{number:03}.csv"), b"x");
    }
    assert_eq!(names(&server, "gs://b/p/*").len(), 250);
    assert!(server.requests() > 1);
}

#[test]
fn what_is_not_there_or_no_name_is_said() {
    let server = server();
    let message = |uri: &str| find(&server, uri).unwrap_err().to_string();
    assert_eq!(
        message("gs://landing/nothing"),
        "no object matches `gs://landing/nothing`"
    );
    assert_eq!(
        message("gs://landing/z*"),
        "no object matches `gs://landing/z*`"
    );
    let form = "is no object: it is not of the form gs://BUCKET/NAME";
    for uri in ["gs://landing", "gs:///a", "gs://*/a", "s3://a/b"] {
        assert_eq!(message(uri), format!("`{uri}` {form}"));
    }
    server.deny();
    assert!(message("gs://landing/other.csv").starts_with("gs://landing/other.csv: "));
}

/// All of an object, read in small pieces.
fn read(object: &Object) -> std::io::Result<Vec<u8>> {
    let object = object.clone();
    blocking(move || {
        let (mut reader, mut content, mut piece) = (object.open(), Vec::new(), [0; 7]);
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(content),
                read => content.extend_from_slice(&piece[..read]),
            }
        }
    })
}

#[test]
fn content_comes_as_a_stream() {
    let server = server();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
    server.put("landing", "big.bin", &content);
    let object = find(&server, "gs://landing/big.bin").unwrap().remove(0);
    assert_eq!(object.bytes(), content.len() as u64);
    assert_eq!(read(&object).unwrap(), content);
    let odd = find(&server, "gs://landing/plays/x*").unwrap().remove(0);
    assert_eq!(read(&odd).unwrap(), b"plays/x y#%.csv");
}

#[test]
fn an_object_that_was_replaced_is_no_mixture() {
    let server = server();
    let object = find(&server, "gs://landing/other.csv").unwrap().remove(0);
    let version = object.version().unwrap().to_owned();
    server.put("landing", "other.csv", b"another content");
    let error = read(&object).unwrap_err();
    assert!(!error.to_string().is_empty());
    let replaced = find(&server, "gs://landing/other.csv").unwrap().remove(0);
    assert_ne!(replaced.version().unwrap(), version);
    assert_eq!(read(&replaced).unwrap(), b"another content");
}
