//! Sources: directories, compressed files whatever they are called, and files that go away.

use std::path::Path;
use std::sync::Arc;

use rowmill_model::RejectLimit;
use rowmill_model::columns::table;
use rowmill_objects::testing::StorageServer;
use rowmill_pipeline::{
    Control, IngestOptions, Inputs, RunStatus, Search, Shard, StorageEndpoint, ingest,
};
use rowmill_store::{Scan, StoreExt as _};

use crate::faults::{gzipped, tables};
use crate::{generated, ingest_all, inputs, memory_store, options, stages};

fn named(path: &Path) -> Inputs {
    Inputs::find(&[path.display().to_string()], None).unwrap()
}

#[test]
fn directories_are_read_in_order_and_what_is_left_out_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("b/.hidden")).unwrap();
    for name in [
        "c.csv",
        "b/a.jsonl.gz",
        "b/b.JSON.zst",
        "a.ndjson",
        "README.md",
        "b/_SUCCESS",
        ".x.csv",
        "b/.hidden/y.csv",
    ] {
        std::fs::write(root.join(name), "").unwrap();
    }
    let found = named(root);
    let names: Vec<_> = found
        .iter()
        .map(|input| {
            input
                .name
                .strip_prefix(&root.display().to_string())
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        names,
        ["/a.ndjson", "/b/a.jsonl.gz", "/b/b.JSON.zst", "/c.csv"]
    );
    assert_eq!(found.left_out, 2);
}

/// Links that lead back, to themselves, or to nothing are named, and everything else is read, each file once.
#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_are_left_out() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("b/deep")).unwrap();
    for name in ["a.jsonl", "b/b.jsonl", "b/deep/c.jsonl"] {
        std::fs::write(root.join(name), "").unwrap();
    }
    symlink(&root, root.join("b/deep/loop")).unwrap();
    symlink(&root, root.join("b/loop")).unwrap();
    symlink("own.jsonl", root.join("own.jsonl")).unwrap();
    symlink("missing.jsonl", root.join("nothing.jsonl")).unwrap();
    symlink(root.join("a.jsonl"), root.join("b/same.jsonl")).unwrap();
    let root = root.display().to_string();
    let short = |name: &String| name[root.len()..].to_owned();
    for pattern in ["", "/**/*.jsonl", "/**/[abc].jsonl"] {
        let argument = format!("{root}{pattern}");
        let found = Inputs::find(&[argument], None).unwrap();
        let mut names: Vec<_> = found.iter().map(|input| short(&input.name)).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["/a.jsonl", "/b/b.jsonl", "/b/deep/c.jsonl"],
            "{pattern}"
        );
        let mut links: Vec<_> = found.broken_links.iter().map(short).collect();
        links.sort_unstable();
        let expected = ["/b/deep/loop", "/b/loop", "/nothing.jsonl", "/own.jsonl"];
        assert_eq!(links, expected, "{pattern}");
    }
    let none = Inputs::find(&[format!("{root}/no/**/*.jsonl")], None);
    assert!(none.unwrap_err().to_string().contains("no file matches"));
}

/// The same file as it is, packed, packed without saying so in its name, and in parts: the same rows.
#[tokio::test(flavor = "multi_thread")]
async fn compression_is_told_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let plain = generated(folder.path(), "a.jsonl", 2_000, 1);
    let content = std::fs::read(&plain).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(
        content.as_slice(),
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    let gzip = std::fs::read(gzipped(&plain)).unwrap();
    let two_members = {
        let (head, tail) = content.split_at(content.len() / 2);
        let pack = |part: &[u8]| {
            std::fs::write(folder.path().join("part.jsonl"), part).unwrap();
            std::fs::read(gzipped(&folder.path().join("part.jsonl"))).unwrap()
        };
        [pack(head), pack(tail)].concat()
    };
    let mut counts = Vec::new();
    for (name, bytes) in [
        ("p.jsonl", content),
        ("q.gz", gzip.clone()),
        ("r.jsonl", gzip),
        ("s.jsonl.gz", two_members),
        ("t.log", zstd),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let store = memory_store().await.store;
        let report = ingest_all(&stages, &store, &[&path], "run").await.unwrap();
        assert_eq!(report.ledger.read, 2_000, "{name}");
        counts.push((
            report.ledger,
            store.count(table::FACT, Scan::all()).await.unwrap(),
        ));
    }
    assert!(counts.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Files that go away between the first look and the reading: the others are kept, and it is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_vanishes_keeps_what_was_good() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let good = generated(folder.path(), "good.jsonl", 200, 1);
    let gone = folder.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let first = generated(&gone, "a.jsonl", 100, 2);
    generated(&gone, "b.jsonl", 100, 3);
    let opened = memory_store().await;
    let prepared = inputs(&[&first, &gone.join("b.jsonl"), &good])
        .prepare(&stages)
        .unwrap();
    std::fs::remove_dir_all(&gone).unwrap();
    let report = ingest(
        &stages,
        &opened.store,
        prepared,
        &options("run"),
        &Control::default(),
    )
    .await
    .unwrap();
    assert_eq!(report.status(), RunStatus::Damaged);
    assert_eq!(report.damaged.len(), 2);
    assert!(
        report.damaged[0].1.contains("No such file"),
        "{:?}",
        report.damaged
    );
    assert_eq!(report.ledger.read, 200);
    // They come back, and are ingested then.
    std::fs::create_dir(&gone).unwrap();
    generated(&gone, "a.jsonl", 100, 2);
    generated(&gone, "b.jsonl", 100, 3);
    let paths = [first.as_path(), &gone.join("b.jsonl"), &good];
    let report = ingest_all(&stages, &opened.store, &paths, "run 2")
        .await
        .unwrap();
    assert_eq!(
        (report.status(), report.ledger.read),
        (RunStatus::Done, 200)
    );
    let sound = memory_store().await.store;
    ingest_all(&stages, &sound, &paths, "run").await.unwrap();
    assert_eq!(tables(&*opened.store).await, tables(&*sound).await);
}

/// Bytes that are no text in the middle of a file: the records around them are kept, and the file is said to be damaged.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_text_in_the_middle_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let path = generated(folder.path(), "a.jsonl", 300, 1);
    let mut content = std::fs::read(&path).unwrap();
    let middle = content.len() / 2;
    content[middle] = 0xff;
    std::fs::write(&path, &content).unwrap();
    let opened = memory_store().await;
    let report = ingest_all(&stages, &opened.store, &[&path], "run")
        .await
        .unwrap();
    assert_eq!(
        (report.status(), report.ledger.read),
        (RunStatus::Damaged, 300)
    );
    let line = content[..middle]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1;
    let expected = format!("1 record is not valid UTF-8, first on line {line}");
    assert_eq!(report.damaged[0].1, expected);
    // It was read to its end all the same.
    let again = ingest_all(&stages, &opened.store, &[&path], "run 2")
        .await
        .unwrap();
    assert_eq!(again.ledger.read, 0);

    let array = folder.path().join("cut.json");
    std::fs::write(&array, "[{\"a\": 1},\n {\"a\": 2}").unwrap();
    let report = ingest_all(&stages, &opened.store, &[&array], "run 3")
        .await
        .unwrap();
    assert_eq!(report.status(), RunStatus::Damaged);
    assert_eq!(
        report.damaged[0].1,
        "the array is not closed; the file may be cut off"
    );
}

/// Whatever number of shards there is, each file is read by exactly one, and which one does not depend on the other files.
#[test]
fn every_input_is_one_shards() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..50 {
        std::fs::write(folder.path().join(format!("{index}.jsonl")), "").unwrap();
    }
    let names = |inputs: &Inputs| -> Vec<String> {
        inputs.iter().map(|input| input.name.clone()).collect()
    };
    let all = names(&named(folder.path()));
    for count in [1, 2, 3, 7, 100] {
        let mut parts: Vec<String> = Vec::new();
        for index in 0..count {
            let shard = Shard::new(index, count).unwrap();
            let part = names(&named(folder.path()).of_shard(shard).unwrap());
            assert!(
                part.len() <= 50 / count as usize + 15,
                "{shard}: {}",
                part.len()
            );
            for name in &part {
                let alone = named(Path::new(name)).of_shard(shard).unwrap();
                assert_eq!(names(&alone), std::slice::from_ref(name));
            }
            parts.extend(part);
        }
        parts.sort();
        let mut sorted = all.clone();
        sorted.sort();
        assert_eq!(parts, sorted, "{count} shards");
    }
}

/// Of objects that are done none is opened, but those of a run that is taken up, even if that run begins only after they were left out.
#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_done_are_left() {
    let server = StorageServer::start();
    let (stages, store) = (stages(&[]), memory_store().await.store);
    let folder = tempfile::tempdir().unwrap();
    let good = std::fs::read(generated(folder.path(), "a.jsonl", 50, 1)).unwrap();
    server.put("landing", "a.jsonl", &good);
    server.put("landing", "b.jsonl", &good);
    let search = Search {
        storage: StorageEndpoint::Emulator(server.url()),
        ..Search::default()
    };
    let found = async || {
        let search = search.clone();
        let names = ["gs://landing/".to_owned()];
        let found = tokio::task::spawn_blocking(move || Inputs::find_with(&names, &search));
        let found = found.await.unwrap().unwrap();
        let left = found.leave_done(&stages, &*store).await.unwrap();
        let opened: Vec<_> = left.iter().map(|input| input.name.clone()).collect();
        let stages = Arc::clone(&stages);
        let prepared = tokio::task::spawn_blocking(move || left.prepare(&stages));
        (opened, prepared.await.unwrap().unwrap())
    };
    let run = async |inputs, options: &IngestOptions| {
        let control = Control::default();
        ingest(&stages, &store, inputs, options, &control)
            .await
            .unwrap()
    };
    let strict = |run| IngestOptions {
        max_rejects: Some(RejectLimit::Count(1)),
        ..options(run)
    };
    run(found().await.1, &options("first")).await;
    assert!(found().await.0.is_empty());

    // Another process meets a new object, and stops in it, after this one left out what is done.
    server.put("landing", "c.jsonl", "{}\n".repeat(2_000).as_bytes());
    let (opened, early) = found().await;
    assert_eq!(opened, ["gs://landing/c.jsonl"]);
    let stopped = run(found().await.1, &strict("second")).await;
    assert_eq!(stopped.status(), RunStatus::TooManyRejects);
    let report = run(early, &options("third")).await;
    assert_eq!(
        (report.status(), report.ledger.rejected()),
        (RunStatus::Done, 2_000)
    );
    assert_eq!(report.standings.len(), 3);
    assert!(found().await.0.is_empty());

    // What a run that is to be taken up has read stays, and nothing else does.
    server.put("landing", "d.jsonl", &good);
    server.put("landing", "e.jsonl", "{}\n".repeat(2_000).as_bytes());
    run(found().await.1, &strict("fourth")).await;
    let (opened, inputs) = found().await;
    assert_eq!(opened, ["gs://landing/d.jsonl", "gs://landing/e.jsonl"]);
    run(inputs, &options("fifth")).await;
    assert!(found().await.0.is_empty());
}
