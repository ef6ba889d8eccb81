//! Dead letters: listed by what is wrong with them, tried again, and taken out.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use rowmill_model::columns::{family, letter, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_pipeline::{
    Control, DeadLetter, DeleteOptions, DeleteReport, Depth, LetterFilter, ReplayOptions,
    ReplayReport, RunKind, Stages, VerifyOptions, delete_users, export_letters, letter_reasons,
    letter_stats, letters, purge_letters, replay, runs, verify,
};
use rowmill_rowkey::Timestamp;
use rowmill_store::{
    Capability, Error, ErrorKind, ManualClock, Result, Scan, Store, StoreExt as _,
};

use crate::faults::tables;
use crate::watched::Watched;
use crate::{generated, ingest_all, memory_store, stages};

/// What takes lengths and levels that the pipeline file does not.
const LENIENT: [&str; 3] = [
    "fields.length.min=-1e9",
    "fields.length.max=1e12",
    "fields.level.one_of=['free', 'paid', 'gold']",
];

async fn found(store: &dyn Store, filter: &LetterFilter) -> Vec<DeadLetter> {
    let (mut letters, mut found) = (letters(store, filter).unwrap(), Vec::new());
    while let Some(letter) = letters.next().await.unwrap() {
        found.push(letter);
    }
    assert_eq!(letters.unreadable().count, 0);
    found
}

fn replaying(run: &str) -> ReplayOptions {
    let now = Timestamp::from_micros(9_000_000).unwrap();
    ReplayOptions {
        run: run.to_owned(),
        now,
        filter: LetterFilter::default(),
        limit: None,
        rate: None,
        dry_run: false,
        clock: Arc::new(ManualClock::new(now)),
    }
}

async fn replayed(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &ReplayOptions,
) -> ReplayReport {
    replay(stages, store, options, &Control::default())
        .await
        .unwrap()
}

async fn prove(stages: &Arc<Stages>, store: &Arc<dyn Store>) {
    let all = VerifyOptions::default();
    let report = verify(stages, store, &all, &Control::default())
        .await
        .unwrap();
    assert!(report.is_proved(), "{report:?}");
}

/// A store with the letters of a JSONL and a CSV file, some hundreds of each.
async fn filled(folder: &std::path::Path, stages: &Arc<Stages>) -> Arc<dyn Store> {
    filled_with(folder, stages, 3_000).await
}

async fn filled_with(
    folder: &std::path::Path,
    stages: &Arc<Stages>,
    events: u64,
) -> Arc<dyn Store> {
    let store = memory_store().await.store;
    let json = generated(folder, "a.jsonl", events, 1);
    let csv = generated(folder, "b.csv", events, 2);
    ingest_all(stages, &store, &[&json, &csv], "run")
        .await
        .unwrap();
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_found_by_what_is_wrong_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stages(&[])).await;
    let all = found(&*store, &LetterFilter::default()).await;
    assert_eq!(
        all.len() as u64,
        store.count(table::DEAD_LETTERS, Scan::all()).await.unwrap()
    );
    let count = async |filter: LetterFilter| found(&*store, &filter).await.len();
    let some = |text: &str| Some(text.to_owned());
    let by = |change: &dyn Fn(&mut LetterFilter)| {
        let mut filter = LetterFilter::default();
        change(&mut filter);
        filter
    };
    let csv = all
        .iter()
        .filter(|letter| letter.source.ends_with("b.csv"))
        .count();
    let name = all
        .iter()
        .find(|letter| letter.source.ends_with("b.csv"))
        .unwrap()
        .source
        .clone();
    assert!(csv > 50);
    assert_eq!(
        count(by(&|filter| filter.source = Some(name.clone()))).await,
        csv
    );
    assert_eq!(
        count(by(&|filter| filter.source = some("*/b.*"))).await,
        csv
    );
    assert_eq!(
        count(by(&|filter| filter.source = some("nothing"))).await,
        0
    );
    let ranges = by(&|filter| filter.reason = some("range"));
    let lengths = by(&|filter| filter.field = some("length"));
    assert!(count(ranges.clone()).await > 20);
    assert!(count(lengths).await >= count(ranges.clone()).await);
    assert!(count(by(&|filter| filter.reason = some("next_song_is_complete"))).await > 20);
    let seen = |micros| Timestamp::from_micros(micros).unwrap();
    assert_eq!(
        count(by(&|filter| filter.since = Some(seen(1_000)))).await,
        all.len()
    );
    assert_eq!(
        count(by(&|filter| filter.since = Some(seen(1_001)))).await,
        0
    );

    let control = Control::default();
    let stats = letter_stats(&*store, &LetterFilter::default(), &control)
        .await
        .unwrap();
    let raw: usize = all.iter().map(|letter| letter.raw.len()).sum();
    assert_eq!(stats.bytes, raw as u64);
    assert_eq!(stats.letters, all.len() as u64);
    assert_eq!(stats.by_source.values().sum::<u64>(), stats.letters);
    assert_eq!(stats.by_stage.values().sum::<u64>(), stats.letters);
    assert_eq!(stats.by_reason["range length"], count(ranges).await as u64);

    let mut out = Vec::new();
    let written = export_letters(&*store, &LetterFilter::default(), &mut out, &control).await;
    assert_eq!(written.unwrap().0, stats.letters);
    for (line, letter) in out.split(|byte| *byte == b'\n').zip(&all) {
        let json: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(json["key"], letter.key);
        let raw = json["raw"].as_str().map(|raw| raw.as_bytes().to_vec());
        assert_eq!(raw.unwrap(), letter.raw);
    }
}

/// The same records ingested twice are the same letters, seen first when they were seen first.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_record_is_one_letter() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let store = memory_store().await.store;
    let path = generated(folder.path(), "a.jsonl", 500, 1);
    let mut firsts = Vec::new();
    for (run, seconds) in [("run 1", 2), ("run 2", 1), ("run 3", 3)] {
        let options = rowmill_pipeline::IngestOptions {
            now: Timestamp::from_micros(seconds * 1_000_000).unwrap(),
            again: true,
            ..crate::options(run)
        };
        crate::ingest_with(&stages, &store, &[&path], &options)
            .await
            .unwrap();
        let letters = found(&*store, &LetterFilter::default()).await;
        firsts.push((
            letters.len(),
            letters[0].first_seen.micros() / 1_000_000,
            letters[0].attempts,
        ));
    }
    let count = firsts[0].0;
    assert_eq!(firsts, [(count, 2, 1), (count, 1, 1), (count, 1, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_takes_what_passes_now_and_counts_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let strict = stages(&[]);
    let store = filled(folder.path(), &strict).await;
    let before = found(&*store, &LetterFilter::default()).await;

    // Nothing changed, so nothing passes.
    let report = replayed(&strict, &store, &replaying("replay 1")).await;
    assert_eq!((report.tried, report.passed), (before.len() as u64, 0));
    let letters = found(&*store, &LetterFilter::default()).await;
    assert!(letters.iter().all(|letter| letter.attempts == 2));
    assert!(
        letters
            .iter()
            .zip(&before)
            .all(|(a, b)| a.raw == b.raw && a.reasons == b.reasons && a.first_seen == b.first_seen)
    );

    // Without the range, and with any level, some would pass: what is said is what happens.
    let lenient = stages(&LENIENT);
    let dry = ReplayOptions {
        dry_run: true,
        ..replaying("dry")
    };
    let tables_before = tables(&*store).await;
    let would = replayed(&lenient, &store, &dry).await;
    assert_eq!(tables(&*store).await, tables_before);
    assert!(
        would.passed > 100 && would.passed < would.tried,
        "{would:?}"
    );
    let (tried, passed) = would.by_reason["one_of level"];
    assert!(tried > 0 && passed == tried, "{would:?}");
    // A song of no length is in range now, and no complete song all the same.
    let (tried, passed) = would.by_reason["range length"];
    assert!(tried > 0 && passed == 0, "{would:?}");
    assert_eq!(would.by_reason["required user_id"].1, 0);

    let facts = store.count(table::FACT, Scan::all()).await.unwrap();
    let some = ReplayOptions {
        limit: Some(50),
        ..replaying("replay 2")
    };
    let first = replayed(&lenient, &store, &some).await;
    assert_eq!(first.tried, 50);
    let second = replayed(&lenient, &store, &replaying("replay 3")).await;
    assert_eq!(first.passed + second.passed, would.passed);
    let left = found(&*store, &LetterFilter::default()).await;
    assert_eq!(left.len() as u64, would.tried - would.passed);
    let written = first.ledger.written + second.ledger.written;
    let added = store.count(table::FACT, Scan::all()).await.unwrap() - facts;
    // A record may repeat an event that was written before it was rejected.
    assert!(
        written > 100 && added <= written && written - added < 20,
        "{written} {added}"
    );
    let timeline = store.count(table::TIMELINE, Scan::all()).await.unwrap();
    assert_eq!(timeline, facts + added);
    prove(&lenient, &store).await;

    let runs = runs(&*store).await.unwrap();
    assert_eq!(
        runs.iter()
            .filter(|run| run.kind == RunKind::Replay)
            .count(),
        3
    );
    // The whole file ingested under the lenient pipeline file gives the same facts.
    let whole = filled(folder.path(), &lenient).await;
    let keys = async |store: &Arc<dyn Store>| -> Vec<Vec<u8>> {
        let rows = store.rows(table::FACT, Scan::all()).await.unwrap();
        rows.iter().map(|row| row.key().to_vec()).collect()
    };
    assert_eq!(keys(&store).await, keys(&whole).await);
}

/// Whoever dies during a replay leaves letters that are found once more, and ledgers that can still be proved.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_dies_is_made_good_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let strict = stages(&[]);
    let lenient = stages(&LENIENT);
    let sound = filled_with(folder.path(), &strict, 300).await;
    replayed(&lenient, &sound, &replaying("replay")).await;
    let expected = found(&*sound, &LetterFilter::default()).await.len();
    for kill_at in 1..14 {
        let store = filled_with(folder.path(), &strict, 300).await;
        let dead = Arc::new(tokio::sync::Notify::new());
        let notify = Arc::clone(&dead);
        let chaos = rowmill_store::Chaos {
            kill_at: Some(kill_at),
            ..rowmill_store::Chaos::default()
        };
        let kill = Arc::new(move || notify.notify_one());
        let dying: Arc<dyn Store> = Arc::new(rowmill_store::Faulty::new(
            Arc::clone(&store),
            chaos,
            kill_at,
            kill,
        ));
        let (options, control) = (replaying("dying"), Control::default());
        tokio::select! {
            report = replay(&lenient, &dying, &options, &control) => { report.unwrap(); }
            () = dead.notified() => {}
        }
        prove(&lenient, &store).await;
        replayed(&lenient, &store, &replaying("replay")).await;
        prove(&lenient, &store).await;
        assert_eq!(
            found(&*store, &LetterFilter::default()).await.len(),
            expected,
            "{kill_at}"
        );
        let facts =
            async |store: &Arc<dyn Store>| store.count(table::FACT, Scan::all()).await.unwrap();
        assert_eq!(facts(&store).await, facts(&sound).await, "{kill_at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_letters_are_archived_first_and_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let store = filled(folder.path(), &stages).await;
    let filter = LetterFilter {
        reason: Some("range".to_owned()),
        ..LetterFilter::default()
    };
    let meant = found(&*store, &filter).await;
    let control = Control::default();
    let mut fails = |_: &[DeadLetter]| Err(std::io::Error::other("the disk is full"));
    purge_letters(&*store, &filter, &mut fails, &control)
        .await
        .unwrap_err();
    assert_eq!(found(&*store, &filter).await, meant, "nothing is lost");
    let mut archived = Vec::new();
    let mut keep = |letters: &[DeadLetter]| {
        archived.extend_from_slice(letters);
        Ok(())
    };
    let (removed, _) = purge_letters(&*store, &filter, &mut keep, &control)
        .await
        .unwrap();
    assert_eq!((removed, &archived), (meant.len() as u64, &meant));
    assert!(found(&*store, &filter).await.is_empty());
    assert!(!found(&*store, &LetterFilter::default()).await.is_empty());
    prove(&stages, &store).await;
}

/// Refuses, for good, the fact or the timeline row of some users.
#[derive(Debug)]
struct Picky(Arc<dyn Store>);

#[async_trait]
impl Store for Picky {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let refuses = |row: &rowmill_model::RowMutation<'_>| {
            let deletes = row
                .mutations()
                .any(|it| matches!(it, rowmill_model::Mutation::DeleteRow));
            !deletes
                && match table {
                    table::FACT => row.key().starts_with(b"1"),
                    table::TIMELINE => row.key()[17..].starts_with(b"2"),
                    _ => false,
                }
        };
        let mut taken = MutationBatch::new();
        batch
            .iter()
            .filter(|row| !refuses(row))
            .for_each(|row| taken.push(row));
        let mut outcomes = self.0.apply(table, Arc::new(taken)).await?.into_iter();
        let outcome = |row| {
            if refuses(&row) {
                Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "the row is too large",
                ))
            } else {
                outcomes.next().unwrap()
            }
        };
        Ok(batch.iter().map(outcome).collect())
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.0.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        self.0.scan(table, scan)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_store_refuses_become_letters() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let inner = memory_store().await.store;
    let picky: Arc<dyn Store> = Arc::new(Picky(Arc::clone(&inner)));
    let path = generated(folder.path(), "a.jsonl", 3_000, 1);
    let report = ingest_all(&stages, &picky, &[&path], "run").await.unwrap();
    let refused = report.ledger.rejected_by_reason["store"];
    assert!(refused > 100 && report.ledger.written > 100 && report.ledger.is_balanced());
    let facts = inner.count(table::FACT, Scan::all()).await.unwrap();
    let timeline = inner.count(table::TIMELINE, Scan::all()).await.unwrap();
    assert_eq!(
        (facts, timeline),
        (report.ledger.written, report.ledger.written)
    );
    let of_store = LetterFilter {
        reason: Some("store".to_owned()),
        ..LetterFilter::default()
    };
    let letters = found(&*inner, &of_store).await;
    assert_eq!(letters.len() as u64, refused);
    assert_eq!(letters[0].stage, "store");
    assert_eq!(letters[0].reasons[0].message, "the row is too large");
    assert!(
        letters
            .iter()
            .all(|letter| serde_json::from_slice::<serde_json::Value>(&letter.raw).is_ok())
    );
    prove(&stages, &inner).await;

    // The store still refuses them; once it does not, they pass.
    let still = replayed(&stages, &picky, &replaying("replay 1")).await;
    assert_eq!(still.passed, 0);
    let options = ReplayOptions {
        filter: of_store,
        ..replaying("replay 2")
    };
    let passes = replayed(&stages, &inner, &options).await;
    assert_eq!(passes.passed, refused);
    prove(&stages, &inner).await;
    let sound = memory_store().await.store;
    ingest_all(&stages, &sound, &[&path], "run").await.unwrap();
    let expected = sound.count(table::FACT, Scan::all()).await.unwrap();
    assert_eq!(
        inner.count(table::FACT, Scan::all()).await.unwrap(),
        expected
    );
}

/// A table without a family is a matter of the operator, not of a record.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_lacks_something_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let opened = memory_store().await;
    opened.admin.drop_table(table::FACT).await.unwrap();
    let schema = rowmill_store::TableSchema::new(table::FACT, ["event_data", "metadata"]);
    opened.admin.create_table(&schema).await.unwrap();
    let path = generated(folder.path(), "a.jsonl", 100, 1);
    let error = ingest_all(&stages, &opened.store, &[&path], "run")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("unknown family `quality`"),
        "{error}"
    );
    let run = rowmill_pipeline::run(&*opened.store, "run").await.unwrap();
    assert_eq!(run.exit_code, Some(1));
}

/// Jobs that write close their scans first: an open scan holds back everything that is written meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_while_a_scan_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let strict = stages(&[]);
    let store = filled(folder.path(), &strict).await;
    let watched = Watched::new(&store);
    let as_store: Arc<dyn Store> = watched.clone();
    let lenient = stages(&LENIENT);
    let replayed = replayed(&lenient, &as_store, &replaying("replay")).await;
    assert!(replayed.passed > 50 && replayed.tried > replayed.passed);
    let users = user_ids(&store).await;
    let deleted = deleted(&strict, &as_store, users.iter().take(5)).await;
    assert!(deleted.events > 50, "{deleted:?}");
    let all = LetterFilter::default();
    let purged = purge_letters(&*as_store, &all, &mut |_| Ok(()), &Control::default()).await;
    assert!(purged.unwrap().0 > 50);
    let seen = watched.seen();
    assert!(seen.rows[table::FACT] > 100 && seen.rows[table::DEAD_LETTERS] > 100);
    assert_eq!(seen.writes_within_scans, 0, "{seen:?}");
    prove(&strict, &store).await;
}

/// The users of a store's facts.
async fn user_ids(store: &Arc<dyn Store>) -> std::collections::BTreeSet<String> {
    let rows = store.rows(table::FACT, Scan::all()).await.unwrap();
    let user = |row: &Row| {
        let key = rowmill_rowkey::FactKey::decode(row.key()).unwrap();
        key.user_id.into_owned()
    };
    rows.iter().map(user).collect()
}

async fn deleted<'a>(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    users: impl Iterator<Item = &'a String>,
) -> DeleteReport {
    let options = DeleteOptions {
        user_ids: users.cloned().collect(),
        name: "delete".to_owned(),
        dry_run: false,
    };
    delete_users(stages, store, &options, &Control::default())
        .await
        .unwrap()
}

/// Many users deleted together are what each deleted alone is; and letters that do not say whose they are, as those of earlier
/// versions, are found by what they hold.
#[tokio::test(flavor = "multi_thread")]
async fn users_are_deleted_together_as_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let [together, alone, unnamed] = [
        filled(folder.path(), &stages).await,
        filled(folder.path(), &stages).await,
        filled(folder.path(), &stages).await,
    ];
    let named = found(&*unnamed, &LetterFilter::default()).await;
    let named = named.iter().filter(|letter| letter.user_id.is_some());
    let mut batch = MutationBatch::new();
    for letter in named {
        let mut row = batch.row(letter.key.as_bytes());
        row.delete_column(family::LETTER, letter::USER_ID.as_bytes());
        row.finish();
    }
    assert!(batch.len() > 50, "most letters say whose they are");
    unnamed.apply_all(table::DEAD_LETTERS, batch).await.unwrap();
    let users = user_ids(&together).await;
    let users: Vec<_> = users.iter().step_by(2).collect();
    let at_once = deleted(&stages, &together, users.iter().copied()).await;
    assert!(at_once.letters > 20 && at_once.events > 100, "{at_once:?}");
    let by_content = deleted(&stages, &unnamed, users.iter().copied()).await;
    assert_eq!(by_content, at_once);
    let mut sums = (0, 0);
    for user in users {
        let report = deleted(&stages, &alone, std::iter::once(user)).await;
        sums = (sums.0 + report.events, sums.1 + report.letters);
    }
    assert_eq!(sums, (at_once.events, at_once.letters));
    for name in [table::FACT, table::TIMELINE] {
        let rows =
            |store: Arc<dyn Store>| async move { store.rows(name, Scan::all()).await.unwrap() };
        let expected = rows(Arc::clone(&alone)).await;
        assert_eq!(rows(Arc::clone(&together)).await, expected);
        assert_eq!(rows(Arc::clone(&unnamed)).await, expected);
    }
    let keys = |letters: Vec<DeadLetter>| {
        letters
            .into_iter()
            .map(|letter| letter.key)
            .collect::<Vec<_>>()
    };
    let left = keys(found(&*alone, &LetterFilter::default()).await);
    assert_eq!(
        keys(found(&*together, &LetterFilter::default()).await),
        left
    );
    assert_eq!(keys(found(&*unnamed, &LetterFilter::default()).await), left);
    prove(&stages, &together).await;
}

/// A letter's user is believed only if the present pipeline file read it: under another one it is another user's.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_belongs_to_whom_the_present_pipeline_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let before = stages(&["event.user_id='level'"]);
    let after = stages(&[]);
    let store = memory_store().await.store;
    let path = folder.path().join("a.jsonl");
    let line =
        r#"{"userId":"7","level":"gold","page":"Home","sessionId":5,"itemInSession":1,"ts":1}"#;
    std::fs::write(&path, format!("{line}\n")).unwrap();
    ingest_all(&before, &store, &[&path], "run").await.unwrap();
    let letters = found(&*store, &LetterFilter::default()).await;
    assert_eq!(letters[0].user_id.as_deref(), Some("gold"));
    let [gold, seven] = ["gold".to_owned(), "7".to_owned()];
    assert_eq!(
        deleted(&after, &store, std::iter::once(&gold))
            .await
            .letters,
        0
    );
    // Trying it again makes it that of the user that it has now.
    let tried = replayed(&after, &store, &replaying("replay")).await;
    assert_eq!((tried.tried, tried.passed), (1, 0));
    let letters = found(&*store, &LetterFilter::default()).await;
    assert_eq!(letters[0].user_id.as_deref(), Some("7"));
    assert_eq!(
        deleted(&after, &store, std::iter::once(&seven))
            .await
            .letters,
        1
    );
}

/// What a replay writes of its own state grows with the sources that it passes, not with their square.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_writes_each_source_about_once() {
    const SOURCES: u64 = 1_100;
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let store = memory_store().await.store;
    let paths: Vec<_> = (0..SOURCES)
        .map(|number| {
            let path = folder.path().join(format!("{number}.jsonl"));
            std::fs::write(&path, format!("{{\"userId\":\"{number}\"}}\n")).unwrap();
            path
        })
        .collect();
    let paths: Vec<_> = paths.iter().map(std::path::PathBuf::as_path).collect();
    ingest_all(&stages, &store, &paths, "run").await.unwrap();
    let watched = Watched::new(&store);
    let as_store: Arc<dyn Store> = watched.clone();
    let report = replayed(&stages, &as_store, &replaying("replay")).await;
    assert_eq!(report.tried, SOURCES);
    let written = watched.seen().rows[table::STATE];
    assert!((SOURCES..SOURCES + 20).contains(&written), "{written} rows");
    let run = rowmill_pipeline::run(&*store, "replay").await.unwrap();
    assert_eq!(run.file_count(), SOURCES);
    assert_eq!(run.ledger, report.ledger);
    prove(&stages, &store).await;
}

/// Letters are taken by their bytes: some of 1 MB are not gathered by the hundred.
#[tokio::test(flavor = "multi_thread")]
async fn large_letters_are_taken_few_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let store = memory_store().await.store;
    let path = folder.path().join("a.jsonl");
    let line = |number: usize| {
        let pad = "x".repeat(1 << 20);
        format!(
            r#"{{"userId":"{number}","level":"gold","pad":"{pad}","ts":1,"page":"Home","sessionId":1,"itemInSession":{number}}}"#
        )
    };
    let lines: Vec<_> = (0..12).map(line).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    ingest_all(&stages, &store, &[&path], "run").await.unwrap();
    let mut most = 0;
    let mut keep = |letters: &[DeadLetter]| {
        most = most.max(letters.iter().map(|letter| letter.raw.len()).sum::<usize>());
        Ok(())
    };
    let all = LetterFilter::default();
    let watched = Watched::new(&store);
    let lenient: Arc<dyn Store> = watched.clone();
    let passes = crate::stages(&["fields.level.one_of=['gold']"]);
    let options = ReplayOptions {
        limit: Some(6),
        ..replaying("replay")
    };
    let report = replayed(&passes, &lenient, &options).await;
    assert_eq!((report.tried, report.passed), (6, 6));
    assert!(watched.seen().bytes_max < 6 << 20, "{:?}", watched.seen());
    let (purged, _) = purge_letters(&*store, &all, &mut keep, &Control::default())
        .await
        .unwrap();
    assert_eq!(purged, 6);
    assert!(most < 6 << 20, "{most} bytes at once");
}

/// An earlier version of an event outlives a later one that the store refuses, as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_version_leaves_the_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let inner = memory_store().await.store;
    let path = generated(folder.path(), "a.jsonl", 2_000, 1);
    ingest_all(&stages, &inner, &[&path], "run 1")
        .await
        .unwrap();
    let before = tables(&*inner).await;
    // The same events with another length, which the timeline has a column of.
    let text = std::fs::read_to_string(&path).unwrap();
    let other = folder.path().join("b.jsonl");
    std::fs::write(&other, text.replace("\"length\":", "\"length\":1")).unwrap();
    let picky: Arc<dyn Store> = Arc::new(Picky(Arc::clone(&inner)));
    let report = ingest_all(&stages, &picky, &[&other], "run 2")
        .await
        .unwrap();
    assert!(report.ledger.rejected_by_reason["store"] > 100);
    let after = tables(&*inner).await;
    let of_user = |rows: &[Row], user: &str| {
        let rows = rows
            .iter()
            .filter(|row| row.key().starts_with(user.as_bytes()));
        rows.cloned().collect::<Vec<_>>()
    };
    assert!(of_user(&before[table::FACT], "1").len() > 50);
    assert_eq!(
        of_user(&after[table::FACT], "1"),
        of_user(&before[table::FACT], "1")
    );
    for depth in [Depth::Store, Depth::Full] {
        let options = VerifyOptions {
            depth,
            ..VerifyOptions::default()
        };
        let report = verify(&stages, &inner, &options, &Control::default())
            .await
            .unwrap();
        let of_timeline = report
            .differences
            .iter()
            .find(|it| it.table == table::TIMELINE);
        assert_eq!(of_timeline, None, "{depth:?}");
    }
}

/// The reasons there are, for whoever asked for one there is not.
#[tokio::test(flavor = "multi_thread")]
async fn the_reasons_there_are_can_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), &stages(&[])).await;
    let reasons = letter_reasons(&*store, &LetterFilter::default())
        .await
        .unwrap();
    for reason in ["range", "one_of", "next_song_is_complete"] {
        assert!(reasons.contains(reason), "{reasons:?}");
    }
}
