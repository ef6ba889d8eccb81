//! Inputs that were ingested before: done, grown, changed, broken off and mended, or stopped by too many rejects.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rowmill_model::RejectLimit;
use rowmill_model::columns::table;
use rowmill_pipeline::{
    Control, FileStatus, IngestOptions, IngestReport, RunStatus, Stages, Standing, Stopped,
    VerifyOptions, file_ledgers, run, verify,
};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::faults::tables;
use crate::{generated, ingest_with, joined, memory_store, options, stages};

/// A store, a pipeline, and one file.
struct World {
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    stages: Arc<Stages>,
    runs: u32,
}

impl World {
    async fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            store: memory_store().await.store,
            stages: stages(&[]),
            runs: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Ingests as a run of its own, and proves what it wrote.
    async fn ingest(
        &mut self,
        paths: &[&Path],
        change: impl FnOnce(&mut IngestOptions),
    ) -> IngestReport {
        self.runs += 1;
        let mut options = options(&format!("run {}", self.runs));
        options.now = options
            .now
            .max(rowmill_rowkey::Timestamp::from_micros(i64::from(self.runs) * 1_000_000).unwrap());
        change(&mut options);
        let report = ingest_with(&self.stages, &self.store, paths, &options)
            .await
            .unwrap();
        let all = VerifyOptions::default();
        let control = Control::default();
        let verified = verify(&self.stages, &self.store, &all, &control)
            .await
            .unwrap();
        assert!(verified.is_proved(), "{verified:?}");
        report
    }

    async fn count(&self, table: &str) -> u64 {
        self.store.count(table, Scan::all()).await.unwrap()
    }
}

fn standing(report: &IngestReport) -> &Standing {
    &report.standings[0].1
}

/// The file with only so many of its bytes.
fn cut(from: &Path, to: &Path, bytes: usize) {
    let content = std::fs::read(from).unwrap();
    std::fs::write(to, &content[..bytes]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_done_is_left_unless_again() {
    let mut world = World::new().await;
    let path = generated(world.folder.path(), "a.jsonl", 300, 1);
    let first = world.ingest(&[&path], |_| ()).await;
    assert_eq!(*standing(&first), Standing::New);
    let before = tables(&*world.store).await;

    let second = world.ingest(&[&path], |_| ()).await;
    let done = Standing::Done {
        run: "run 1".into(),
        other_config: false,
    };
    assert_eq!(*standing(&second), done);
    assert_eq!((second.ledger.read, second.status()), (0, RunStatus::Done));
    assert_eq!(tables(&*world.store).await, before);
    // Nothing was done, so there is no run of it.
    assert!(run(&*world.store, "run 2").await.is_err());

    // Only its time changed: its content tells that it is the same.
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, content).unwrap();
    assert_eq!(*standing(&world.ingest(&[&path], |_| ()).await), done);

    world.stages = stages(&["fields.level.required=false"]);
    let other = world.ingest(&[&path], |_| ()).await;
    assert!(matches!(
        standing(&other),
        Standing::Done {
            other_config: true,
            ..
        }
    ));

    let again = world.ingest(&[&path], |options| options.again = true).await;
    assert_eq!(*standing(&again), Standing::New);
    assert!(again.ledger.read == 300 && again.ledger.written >= first.ledger.written);
}

/// A log that grows: whatever its last line looked like when it was read, in the end everything is there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grew_is_read_on() {
    for (name, cuts) in [
        ("a.jsonl", [30, 31, 70, 100]),
        ("a.csv", [20, 50, 51, 100]),
        ("a.jsonl.gz", [30, 31, 70, 100]),
    ] {
        let mut world = World::new().await;
        let plain = name.trim_end_matches(".gz");
        let whole = generated(world.folder.path(), &format!("whole-{plain}"), 400, 3);
        let bytes = std::fs::metadata(&whole).unwrap().len();
        let path = world.path(plain);
        for (step, share) in cuts.into_iter().enumerate() {
            cut(&whole, &path, usize::try_from(bytes * share / 100).unwrap());
            let input = if name == plain {
                path.clone()
            } else {
                crate::faults::gzipped(&path)
            };
            let report = world.ingest(&[&input], |_| ()).await;
            let grown = matches!(standing(&report), Standing::Grown { from } if *from > 0);
            assert_eq!(grown, step > 0, "{name} {step}: {:?}", report.standings);
        }
        let sound = memory_store().await.store;
        ingest_with(&world.stages, &sound, &[&whole], &options("run"))
            .await
            .unwrap();
        let expected = [table::FACT, table::TIMELINE, table::DEAD_LETTERS];
        for table in expected {
            let expected = sound.count(table, Scan::all()).await.unwrap();
            assert_eq!(world.count(table).await, expected, "{name} {table}");
        }
    }
}

/// A last line that was whole but for its line break, and a file that grows behind it: the line is read again, belongs to the later
/// run, and both ledgers are proved.
#[tokio::test(flavor = "multi_thread")]
async fn a_last_line_without_a_break_may_be_whole() {
    let mut world = World::new().await;
    let whole = generated(world.folder.path(), "whole.jsonl", 1_500, 3);
    let content = std::fs::read(&whole).unwrap();
    let path = world.path("a.jsonl");
    let breaks: Vec<_> = (0..content.len())
        .filter(|at| content[*at] == b'\n')
        .collect();
    for end in [breaks[500], breaks[501], breaks[1_200], content.len()] {
        std::fs::write(&path, &content[..end]).unwrap();
        world.ingest(&[&path], |_| ()).await;
    }
    let full = VerifyOptions {
        depth: rowmill_pipeline::Depth::Full,
        ..VerifyOptions::default()
    };
    let report = verify(&world.stages, &world.store, &full, &Control::default())
        .await
        .unwrap();
    assert!(
        report.is_proved() && report.ledgers.len() == 4,
        "{report:?}"
    );
    let sound = memory_store().await.store;
    ingest_with(&world.stages, &sound, &[&whole], &options("run"))
        .await
        .unwrap();
    for table in [table::FACT, table::TIMELINE, table::DEAD_LETTERS] {
        let expected = sound.count(table, Scan::all()).await.unwrap();
        assert_eq!(world.count(table).await, expected, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_is_another_file() {
    let mut world = World::new().await;
    let path = generated(world.folder.path(), "a.jsonl", 100, 1);
    world.ingest(&[&path], |_| ()).await;
    let letters = world.count(table::DEAD_LETTERS).await;
    generated(world.folder.path(), "a.jsonl", 100, 2);
    let report = world.ingest(&[&path], |_| ()).await;
    assert_eq!(*standing(&report), Standing::Changed);
    assert_eq!(report.ledger.read, 100);
    // Letters of the file that was there before are not those of this one, even where they stood in the same place.
    assert_eq!(
        world.count(table::DEAD_LETTERS).await,
        letters + report.ledger.rejected()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rejects_stop_a_run_and_a_higher_limit_takes_it_up() {
    let mut world = World::new().await;
    let path = generated(world.folder.path(), "a.jsonl", 20_000, 1);
    let most = 100;
    let report = world
        .ingest(&[&path], |options| {
            options.max_rejects = Some(RejectLimit::Count(most))
        })
        .await;
    assert_eq!(report.stopped, Some(Stopped::TooManyRejects));
    let read = report.ledger.read;
    assert!(
        report.ledger.rejected() > most && read < 10_000,
        "{read} read"
    );
    let stopped = run(&*world.store, "run 1").await.unwrap();
    assert_eq!(
        (stopped.status, stopped.exit_code),
        (RunStatus::TooManyRejects, Some(3))
    );
    assert_eq!(stopped.ledger, report.ledger);

    // The same limit stops it again, at once; a share is judged of the whole.
    let report = world
        .ingest(&[&path], |options| {
            options.max_rejects = Some(RejectLimit::Count(most))
        })
        .await;
    assert_eq!(report.stopped, Some(Stopped::TooManyRejects));
    assert!(report.ledger.read < 10_000);
    let report = world
        .ingest(&[&path], |options| {
            options.max_rejects = Some(RejectLimit::Percent(50.0))
        })
        .await;
    assert!(
        matches!(standing(&report), Standing::Resumed { run, position } if **run == *"run 1" && *position > 0)
    );
    assert_eq!((report.stopped, report.ledger.read), (None, 20_000));
    let done = run(&*world.store, "run 1").await.unwrap();
    assert_eq!((done.status, done.ledger), (RunStatus::Done, report.ledger));
}

/// A gzip file that was copied half, and then whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_broke_off_keeps_what_was_good_and_is_mended() {
    let mut world = World::new().await;
    let plain = generated(world.folder.path(), "whole.jsonl", 3_000, 5);
    let whole = crate::faults::gzipped(&plain);
    let path = world.path("a.jsonl.gz");
    let good = generated(world.folder.path(), "good.jsonl", 50, 9);
    let bytes = usize::try_from(std::fs::metadata(&whole).unwrap().len()).unwrap();
    for part in [bytes / 2, bytes / 3 * 2] {
        cut(&whole, &path, part);
        let report = world.ingest(&[&path, &good], |_| ()).await;
        assert_eq!(report.status(), RunStatus::Damaged);
        let (name, problem) = &report.damaged[0];
        assert!(
            name.ends_with("a.jsonl.gz") && problem.contains("reading failed at byte"),
            "{problem}"
        );
        // What came before it, and the file after it, are there; the record that it broke off in is a dead letter.
        assert!(report.ledger.read > 500, "{}", report.ledger.read);
        let ledgers = file_ledgers(&*world.store).await.unwrap();
        let broken = ledgers
            .values()
            .flatten()
            .find(|ledger| ledger.file == *name)
            .unwrap();
        assert_eq!(
            (broken.status, broken.tail.as_ref().unwrap().cut),
            (FileStatus::Broken, true)
        );
        let again = world.ingest(&[&path], |_| ()).await;
        assert_eq!(again.status(), RunStatus::Damaged, "it still is");
    }
    std::fs::copy(&whole, &path).unwrap();
    let report = world.ingest(&[&path], |_| ()).await;
    assert!(
        matches!(standing(&report), Standing::Resumed { .. }),
        "{:?}",
        report.standings
    );
    assert_eq!(
        (report.status(), report.ledger.read),
        (RunStatus::Done, 3_000)
    );
    let sound = memory_store().await.store;
    let names = [path.as_path(), good.as_path()];
    let once = ingest_with(&world.stages, &sound, &names, &options("run 1"))
        .await
        .unwrap();
    assert_eq!(
        world.count(table::DEAD_LETTERS).await,
        once.ledger.rejected()
    );
    let keys = |rows: Vec<rowmill_model::Row>| -> Vec<_> {
        rows.iter().map(|row| row.key().to_vec()).collect()
    };
    for table in [table::FACT, table::TIMELINE, table::DEAD_LETTERS] {
        let expected = keys(sound.rows(table, Scan::all()).await.unwrap());
        assert_eq!(
            keys(world.store.rows(table, Scan::all()).await.unwrap()),
            expected,
            "{table}"
        );
    }
}

/// A run under one pipeline file is not taken up under another.
#[tokio::test(flavor = "multi_thread")]
async fn another_pipeline_file_begins_anew() {
    let mut world = World::new().await;
    let path = generated(world.folder.path(), "a.jsonl", 20_000, 1);
    let stop = |options: &mut IngestOptions| options.max_rejects = Some(RejectLimit::Count(1));
    world.ingest(&[&path], stop).await;
    world.stages = stages(&["fields.level.required=false"]);
    let report = world.ingest(&[&path], |_| ()).await;
    assert_eq!(*standing(&report), Standing::OtherConfig);
    assert_eq!(report.ledger.read, 20_000);
}

/// Duplicates are told across the files of a run also by whoever takes it up: the first file is done, and is only remembered.
#[tokio::test(flavor = "multi_thread")]
async fn duplicates_of_a_done_file_are_told_when_its_run_is_taken_up() {
    let mut world = World::new().await;
    let first = generated(world.folder.path(), "a.jsonl", 500, 1);
    let more = generated(world.folder.path(), "more.jsonl", 20_000, 2);
    let second = joined(&[&more, &first], &world.path("b.jsonl"));
    let most = |options: &mut IngestOptions| options.max_rejects = Some(RejectLimit::Count(200));
    let stopped = world.ingest(&[&first, &second], most).await;
    assert_eq!(stopped.stopped, Some(Stopped::TooManyRejects));
    let taken_up = world.ingest(&[&first, &second], |_| ()).await;
    assert!(matches!(taken_up.standings[0].1, Standing::Done { .. }));

    let sound = memory_store().await.store;
    let mut once = options("run 1");
    once.now = rowmill_rowkey::Timestamp::from_micros(1_000_000).unwrap();
    ingest_with(&world.stages, &sound, &[&first, &second], &once)
        .await
        .unwrap();
    assert_eq!(tables(&*world.store).await, tables(&*sound).await);
}

/// The same limit stops the same run again, however many of its inputs are done: it is never called done.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_a_run_of_several_files() {
    let mut world = World::new().await;
    let first = generated(world.folder.path(), "a.jsonl", 500, 1);
    let second = generated(world.folder.path(), "b.jsonl", 20_000, 2);
    let paths = [first.as_path(), second.as_path()];
    for _ in 0..3 {
        let most =
            |options: &mut IngestOptions| options.max_rejects = Some(RejectLimit::Count(200));
        let report = world.ingest(&paths, most).await;
        assert_eq!(report.stopped, Some(Stopped::TooManyRejects));
        let record = run(&*world.store, "run 1").await.unwrap();
        assert_eq!(
            (record.status, record.exit_code),
            (RunStatus::TooManyRejects, Some(3))
        );
    }
    assert_eq!(world.ingest(&paths, |_| ()).await.stopped, None);
}

/// However the command is given again, with some of the files, in another order, with a new one before them: what is written for the
/// files of the run is what an undisturbed run writes.
#[tokio::test(flavor = "multi_thread")]
async fn how_a_run_is_taken_up_makes_no_difference() {
    for order in 0..4 {
        let mut world = World::new().await;
        let first = generated(world.folder.path(), "b.jsonl", 500, 1);
        let more = generated(world.folder.path(), "more.jsonl", 20_000, 2);
        let second = joined(&[&more, &first], &world.path("c.jsonl"));
        let new = generated(world.folder.path(), "a.jsonl", 100, 7);
        let most =
            |options: &mut IngestOptions| options.max_rejects = Some(RejectLimit::Count(200));
        world.ingest(&[&first, &second], most).await;
        let again: &[&Path] = match order {
            0 => &[&second],
            1 => &[&second, &first],
            2 => &[&new, &first, &second],
            _ => &[&first],
        };
        let report = world.ingest(again, |_| ()).await;
        if order == 3 {
            // Only what is done was named: the run is not, and is not called so.
            assert_eq!(report.ledger.read, 0);
            let record = run(&*world.store, "run 1").await.unwrap();
            assert_eq!(record.status, RunStatus::TooManyRejects);
            continue;
        }
        let sound = memory_store().await.store;
        let mut once = options("run 1");
        once.now = rowmill_rowkey::Timestamp::from_micros(1_000_000).unwrap();
        let mut all = vec![first.as_path(), second.as_path()];
        if order == 2 {
            all.push(&new);
        }
        ingest_with(&world.stages, &sound, &all, &once)
            .await
            .unwrap();
        assert_eq!(
            tables(&*world.store).await,
            tables(&*sound).await,
            "{order}"
        );
    }
}

/// A quoted field that goes over lines, in a file that is cut in the middle of it: what the lines after the quote were taken for is
/// forgotten when the rest comes, whether the file grows or is mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_cut_in_a_quoted_field_is_read_as_one() {
    let header = "userId,ts,page,level,sessionId,itemInSession,note\n";
    let rows = [
        "7,1542291826796,Home,paid,5,1,\"one\ntwo\nthree\"\n",
        "8,1542291826797,Home,paid,5,2,\"a, \"\"b\"\"\n8,1542291826798,Home,paid,5,9,looks like a row\nc\"\n",
        "9,1542291826799,Home,paid,5,3,end\n",
    ];
    let whole = format!("{header}{}", rows.concat());
    for end in header.len()..whole.len() {
        for pack in [false, true] {
            let mut world = World::new().await;
            let plain = world.path("a.csv");
            let path = if pack {
                world.path("a.csv.gz")
            } else {
                plain.clone()
            };
            let write = |content: &str, cut: bool| {
                std::fs::write(&plain, content).unwrap();
                if pack {
                    let packed = std::fs::read(crate::faults::gzipped(&plain)).unwrap();
                    // Without its trailer the content is whole, and the file is not.
                    let bytes = packed.len() - if cut { 8 } else { 0 };
                    std::fs::write(&path, &packed[..bytes]).unwrap();
                }
            };
            write(&whole[..end], true);
            world.ingest(&[&path], |_| ()).await;
            write(&whole, false);
            let report = world.ingest(&[&path], |_| ()).await;
            assert_eq!(report.status(), RunStatus::Done, "{end} {pack}");
            assert_eq!(world.count(table::DEAD_LETTERS).await, 0, "{end} {pack}");
            let keys = world.store.rows(table::FACT, Scan::all()).await.unwrap();
            let ids = ["5.1", "5.2", "5.3"];
            let found: Vec<_> = keys
                .iter()
                .map(|row| row.value("metadata", b"event_id").unwrap().to_vec())
                .collect();
            for id in ids {
                assert!(
                    found.iter().any(|found| found == id.as_bytes()),
                    "{id} {end} {pack}"
                );
            }
            // A line within the field that looks like a row was one, as long as nothing told otherwise.
            assert!(
                found.len() == 3 || found.contains(&b"5.9".to_vec()) && !pack,
                "{end} {pack}"
            );
        }
    }
}
