//! The store's life as a folder: parts of it missing, cut, flipped, of another time, or somebody else's.
//!
//! Whatever is done to it, opening it gives the rows that were there or an error, and removes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use rowmill_embedded::EmbeddedStore;
use rowmill_model::{MutationBatch, Row};
use rowmill_store::{
    Admin as _, Error, ErrorKind, Result, Scan, StoreExt as _, SystemClock, TableSchema,
};
use tempfile::TempDir;

/// The files of a folder, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    fn of(folder: &Path) -> Self {
        fn add(files: &mut BTreeMap<PathBuf, Vec<u8>>, root: &Path, folder: &Path) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    add(files, root, &path);
                } else {
                    let name = path.strip_prefix(root).unwrap().to_owned();
                    files.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        add(&mut files, folder, folder);
        Self(files)
    }

    fn put(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.put_into(folder.path());
        folder
    }

    fn put_into(&self, folder: &Path) {
        for (name, bytes) in &self.0 {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    fn with(&self, name: &Path, bytes: Vec<u8>) -> Self {
        let mut files = self.clone();
        files.0.insert(name.to_owned(), bytes);
        files
    }

    fn without(&self, name: &Path) -> Self {
        let mut files = self.clone();
        files.0.remove(name);
        files
    }
}

/// When files were last written.
fn times(folder: &Path) -> Vec<(PathBuf, std::time::SystemTime)> {
    let names = Files::of(folder).0.into_keys();
    let mut times: Vec<_> = names
        .map(|name| {
            let metadata = fs::metadata(folder.join(&name)).unwrap();
            (name, metadata.modified().unwrap())
        })
        .collect();
    times.push((
        PathBuf::new(),
        fs::metadata(folder).unwrap().modified().unwrap(),
    ));
    times
}

const TABLES: [&str; 2] = ["journal", "sorted"];

fn batch(rows: std::ops::Range<u32>, value: &str) -> MutationBatch {
    let mut batch = MutationBatch::new();
    for row in rows {
        let mut row = batch.row(format!("{row:06}").as_bytes());
        row.set("f", b"q", 0, value.as_bytes());
        row.finish();
    }
    batch
}

fn block<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// Batches of fifty rows are sorted runs.
fn make(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open_or_create_with(folder, 50, Arc::new(SystemClock)).unwrap()
}

fn fill(store: &EmbeddedStore, round: u32) {
    block(async {
        for table in TABLES {
            if round == 0 {
                let schema = TableSchema::new(table, ["f"]);
                store.create_table(&schema).await.unwrap();
            }
        }
        let value = format!("round {round}");
        let start = round * 30;
        let some = batch(start..start + 40, &value);
        store.apply_all("journal", some).await.unwrap();
        let many = batch(start..start + 60, &value);
        store.apply_all("sorted", many).await.unwrap();
    });
}

type Rows = BTreeMap<&'static str, Vec<Row>>;

fn rows(store: &EmbeddedStore) -> Result<Rows> {
    block(async {
        let mut all = Rows::new();
        for table in TABLES {
            all.insert(table, store.rows(table, Scan::all()).await?);
        }
        Ok(all)
    })
}

fn read(folder: &Path) -> Result<Rows> {
    rows(&EmbeddedStore::open_read_only(folder)?)
}

/// A store that was closed, and the same as a process that died leaves it; and their rows.
fn stores() -> [(&'static str, Files, Rows); 2] {
    let folder = tempfile::tempdir().unwrap();
    let store = make(folder.path());
    fill(&store, 0);
    drop(store);
    // Opened once more, its journal is as long as what is in it.
    let store = make(folder.path());
    fill(&store, 1);
    let (died, died_rows) = (Files::of(folder.path()), rows(&store).unwrap());
    fill(&store, 2);
    let closed_rows = rows(&store).unwrap();
    drop(store);
    let closed = Files::of(folder.path());
    [("closed", closed, closed_rows), ("died", died, died_rows)]
}

/// Opens what was made of a store, to read and to write: each gives the rows that were there, or an error that is no panic.
/// Nothing is changed by reading, nor by failing.
fn check(what: &str, files: &Files, expected: &Rows) -> [Option<Error>; 2] {
    let folder = files.put();
    let reading = match read(folder.path()) {
        Ok(rows) => {
            assert!(rows == *expected, "{what}: other rows");
            None
        }
        Err(error) => Some(error),
    };
    assert!(
        Files::of(folder.path()) == *files,
        "{what}: reading changed it"
    );
    let writing = match EmbeddedStore::open(folder.path()) {
        Ok(store) => match rows(&store) {
            Ok(rows) => {
                assert!(rows == *expected, "{what}: other rows to a writer");
                None
            }
            Err(error) => Some(error),
        },
        Err(error) => {
            let after = Files::of(folder.path());
            for (name, bytes) in &files.0 {
                let is_ours = name.to_string_lossy().starts_with("rowmill.");
                let kept = after.0.get(name);
                assert!(
                    is_ours || kept == Some(bytes),
                    "{what}: {} changed",
                    name.display()
                );
            }
            Some(error)
        }
    };
    for error in [&reading, &writing].into_iter().flatten() {
        let text = error.to_string();
        assert!(
            !text.contains("Error:") && !text.contains("{ "),
            "{what}: {text}"
        );
    }
    [reading, writing]
}

#[test]
fn a_store_that_lacks_a_file_is_an_error_or_lacks_nothing() {
    for (state, files, expected) in stores() {
        assert!(check(state, &files, &expected).iter().all(Option::is_none));
        for name in files.0.keys() {
            let text = name.to_string_lossy();
            let what = format!("{state} without {text}");
            let errors = check(&what, &files.without(name), &expected);
            let is_needless = matches!(&*text, "lock" | "rowmill.lock")
                || text == "rowmill.progress" && state == "closed"
                // Manifests of earlier times wait to be removed.
                || text.rsplit('/').next().is_some_and(|it| it.starts_with('v'));
            for error in errors {
                assert!(error.is_some() || is_needless, "{what}: nothing was said");
                let Some(error) = error else { continue };
                let is_right = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound);
                assert!(is_right && error.hint().is_some(), "{what}: {error}");
                // The message names the file.
                assert!(error.to_string().contains(&*text), "{what}: {error}");
            }
        }
    }
}

#[test]
fn a_store_that_is_cut_or_flipped_never_answers_wrongly() {
    for (state, files, expected) in stores() {
        for (name, bytes) in &files.0 {
            let text = name.to_string_lossy();
            let length = bytes.len();
            for to in [0, length.saturating_sub(1)] {
                let cut = files.with(name, bytes[..to].to_vec());
                check(&format!("{state}: {text} cut to {to}"), &cut, &expected);
            }
            for at in [0, length / 2, length.saturating_sub(20)] {
                if at < length {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 0x10;
                    let flipped = files.with(name, flipped);
                    check(
                        &format!("{state}: {text} flipped at {at}"),
                        &flipped,
                        &expected,
                    );
                }
            }
        }
    }
}

/// Files of two times: a restore that went halfway, a copy that was made while a process wrote.
#[test]
fn parts_of_another_time_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = make(folder.path());
    fill(&store, 0);
    drop(store);
    let old = (Files::of(folder.path()), read(folder.path()).unwrap());
    let store = make(folder.path());
    fill(&store, 1);
    let died = (Files::of(folder.path()), rows(&store).unwrap());
    drop(store);
    let closed = (Files::of(folder.path()), read(folder.path()).unwrap());
    for (whole, others, time) in [
        (&died, &old, "an old"),
        (&closed, &old, "an old"),
        (&old, &closed, "a new"),
        (&old, &died, "a new"),
    ] {
        for (name, bytes) in &others.0.0 {
            // A manifest of that time is needed by `current` alone.
            let mut mixed = whole.0.with(name, bytes.clone());
            let place = name.parent().unwrap().to_owned();
            if name.ends_with("current") {
                let manifests = others.0.0.iter();
                let manifests = manifests.filter(|(other, _)| other.parent() == Some(&place));
                mixed
                    .0
                    .extend(manifests.map(|(name, bytes)| (name.clone(), bytes.clone())));
            }
            check(&format!("{time} {}", name.display()), &mixed, &whole.1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// A copy that is under way, in whatever order.
    #[test]
    fn a_part_of_a_store_is_never_taken_for_it(keep in proptest::collection::vec(0..10_u8, 64)) {
        static STORES: std::sync::LazyLock<[(&str, Files, Rows); 2]> = std::sync::LazyLock::new(stores);
        for (state, files, expected) in &*STORES {
            let kept = files.0.iter().zip(keep.iter().cycle()).filter(|(_, keep)| **keep > 1);
            let kept = Files(kept.map(|((name, bytes), _)| (name.clone(), bytes.clone())).collect());
            check(&format!("{state}: {:?}", kept.0.keys()), &kept, expected);
            let folder = kept.put();
            if EmbeddedStore::open_or_create(folder.path()).is_err() {
                let after = Files::of(folder.path());
                for (name, bytes) in &kept.0 {
                    let is_ours = name.to_string_lossy().starts_with("rowmill.");
                    prop_assert!(is_ours || after.0.get(name) == Some(bytes), "{}", name.display());
                }
            }
        }
    }
}

#[test]
fn what_is_somebody_elses_is_left_alone() {
    let foreign: [&[&str]; 4] = [
        &["keyspaces/thesis.txt"],
        &["keyspaces/prod/data.db", "0.jnl"],
        &["notes.txt"],
        &["version", "keyspaces/0/current", "0.jnl"],
    ];
    for names in foreign {
        let files = names
            .iter()
            .map(|name| (PathBuf::from(name), b"precious".to_vec()));
        let files = Files(files.collect());
        let folder = files.put();
        let errors = [
            EmbeddedStore::open_read_only(folder.path()).unwrap_err(),
            EmbeddedStore::open(folder.path()).unwrap_err(),
            EmbeddedStore::open_or_create(folder.path()).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{names:?}: {error}");
        }
        assert_eq!(Files::of(folder.path()), files);
    }
    // Within a store: what the engine would remove, or panic at.
    for (state, files, expected) in stores() {
        for name in [
            "keyspaces/prod/data.db",
            "keyspaces/77/thesis.txt",
            "keyspaces/77/vacation.txt",
            "keyspaces/77/vault/photo.jpg",
            "keyspaces/1/tables/thesis.txt",
            "keyspaces/1/verse.txt",
            "old.jnl",
            "77.jnl",
            "notes.txt",
        ] {
            let more = files.with(Path::new(name), b"precious".to_vec());
            let folder = more.put();
            let opened = EmbeddedStore::open(folder.path());
            let kept = fs::read(folder.path().join(name));
            assert_eq!(
                kept.ok().as_deref(),
                Some(&b"precious"[..]),
                "{state}: {name}"
            );
            drop(opened);
            check(&format!("{state} with {name}"), &more, &expected);
        }
    }
}

#[test]
fn a_newer_store_is_left_alone() {
    let [(_, files, expected), _] = stores();
    let record = String::from_utf8(files.0[Path::new("rowmill.json")].clone()).unwrap();
    let newer = [
        (
            "rowmill.json",
            record
                .replace("\"format\": 1", "\"format\": 2")
                .into_bytes(),
        ),
        ("version", b"FJL\x04".to_vec()),
    ];
    for (name, bytes) in newer {
        let newer = files.with(Path::new(name), bytes);
        for error in check(name, &newer, &expected) {
            let text = error.unwrap().to_string();
            assert!(
                text.contains("format") && text.contains("this version of rowmill"),
                "{text}"
            );
        }
    }
}

#[test]
fn reading_changes_nothing_and_is_shared() {
    for (state, files, expected) in stores() {
        let folder = files.put();
        let before = times(folder.path());
        let store = EmbeddedStore::open_read_only(folder.path()).unwrap();
        assert!(
            read(folder.path()).unwrap() == expected,
            "two readers, {state}"
        );
        assert!(EmbeddedStore::open(folder.path()).unwrap_err().kind() == ErrorKind::Locked);
        block(async {
            let refused = store
                .apply_all("journal", batch(0..1, "x"))
                .await
                .unwrap_err();
            assert!(
                refused.to_string().contains("for reading only"),
                "{refused}"
            );
            let schema = TableSchema::new("another", ["f"]);
            assert!(store.create_table(&schema).await.is_err());
            assert!(store.drop_table("journal").await.is_err());
        });
        drop(store);
        assert_eq!(times(folder.path()), before);
        assert_eq!(Files::of(folder.path()), files);
        let writer = EmbeddedStore::open(folder.path()).unwrap();
        assert!(read(folder.path()).unwrap_err().kind() == ErrorKind::Locked);
        drop(writer);
    }
}

/// The superuser may write where others may not: the test above is for him.
#[cfg(unix)]
#[test]
fn a_store_in_a_read_only_folder_can_be_read() {
    use std::os::unix::fs::PermissionsExt as _;
    fn restrict(folder: &Path, file: u32, dir: u32) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = if path.is_dir() { dir } else { file };
            if path.is_dir() {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
                restrict(&path, file, dir);
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(dir)).unwrap();
    }
    for (_, files, expected) in stores() {
        let folder = files.put();
        restrict(folder.path(), 0o444, 0o555);
        assert!(read(folder.path()).unwrap() == expected);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        restrict(folder.path(), 0o600, 0o700);
    }
}

/// A process that is killed while it makes a store has moved so many of its parts.
#[test]
fn making_a_store_is_taken_up_after_any_step() {
    let made = tempfile::tempdir().unwrap();
    drop(make(made.path()));
    let files = Files::of(made.path());
    let (mark, parts): (Vec<_>, Vec<_>) = files
        .0
        .iter()
        .partition(|(name, _)| name.ends_with("rowmill.json"));
    let top = |name: &Path| name.components().next().unwrap().as_os_str().to_owned();
    let mut tops: Vec<_> = parts.iter().map(|(name, _)| top(name)).collect();
    tops.dedup();
    for moved in 0..=tops.len() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, outer): (Vec<_>, Vec<_>) = parts
            .iter()
            .partition(|(name, _)| tops[moved..].contains(&top(name)));
        let files = |of: Vec<&(&PathBuf, &Vec<u8>)>| {
            Files(
                of.into_iter()
                    .map(|(name, bytes)| ((*name).clone(), (*bytes).clone()))
                    .collect(),
            )
        };
        files(outer).put_into(folder.path());
        let place = folder.path().join(".rowmill-new-abc");
        fs::create_dir(&place).unwrap();
        files(inner).put_into(&place);
        files(mark.iter().collect()).put_into(&place);
        let error = read(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{moved} moved: {error}");
        let store = make(folder.path());
        fill(&store, 0);
        drop(store);
        assert_eq!(read(folder.path()).unwrap()["journal"].len(), 40);
        assert!(!place.exists(), "{moved} moved");
    }
    // One that was killed before has a half inner store, which is nobody's business.
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(".rowmill-new-abc/keyspaces")).unwrap();
    fs::create_dir(folder.path().join("lost+found")).unwrap();
    drop(make(folder.path()));
    assert!(folder.path().join(".rowmill-new-abc/keyspaces").exists());
}

#[test]
fn makers_at_the_same_time_make_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("a/b/store");
    let opened = std::thread::scope(|scope| {
        let open = || EmbeddedStore::open_or_create(&place).map(|_| ());
        let makers: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        makers
            .into_iter()
            .map(|it| it.join().unwrap())
            .collect::<Vec<_>>()
    });
    let others = opened.iter().filter_map(|it| it.as_ref().err());
    for error in others {
        assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    }
    assert!(opened.iter().any(Result::is_ok));
    drop(EmbeddedStore::open(&place).unwrap());
    let names: Vec<_> = fs::read_dir(&place)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert!(
        !names.iter().any(|it| it.to_string_lossy().starts_with('.')),
        "{names:?}"
    );
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_look_into_a_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("store");
    let store = make(&place);
    fill(&store, 0);
    drop(store);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    assert_eq!(mode(&place.join("keyspaces")), 0o700);
    for name in Files::of(&place).0.keys() {
        assert_eq!(mode(&place.join(name)), 0o600, "{}", name.display());
    }
}

/// Its parts may be of several times, which only ledgers can tell.
#[test]
fn a_check_tells_a_copy_of_a_store_that_was_open() {
    let [(_, closed, _), (_, died, _)] = stores();
    for (files, damaged) in [(closed, 0), (died, 1)] {
        let (folder, mut found) = (files.put(), Vec::new());
        EmbeddedStore::check(folder.path(), &|| false, &mut |damage| found.push(damage)).unwrap();
        assert_eq!(found.len(), damaged, "{found:?}");
        assert!(
            found
                .iter()
                .all(|it| it.what.contains("copied while it was open"))
        );
        // Once it was opened and closed, it is a store like any other.
        drop(make(folder.path()));
        EmbeddedStore::check(folder.path(), &|| false, &mut |damage| panic!("{damage:?}")).unwrap();
    }
}

/// Of a store that is open in this process, while it is written to.
#[test]
fn a_backup_is_the_store_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = make(&folder.path().join("store"));
    fill(&store, 0);
    fill(&store, 1);
    let expected = rows(&store).unwrap();
    let place = folder.path().join("backups/one");
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(store.back_up(&place)).unwrap();
    fill(&store, 2);
    assert!(read(&place).unwrap() == expected);
    assert_eq!(
        EmbeddedStore::check(&place, &|| false, &mut |_| ())
            .unwrap()
            .damaged,
        0
    );
    // Nor is it made inside the store, which would have a part then that is not its own.
    let store_before = Files::of(&folder.path().join("store"));
    for inside in ["store", "store/keyspaces/backup", "store/new/backup"] {
        let error = runtime
            .block_on(store.back_up(folder.path().join(inside)))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{inside}: {error}");
    }
    assert!(Files::of(&folder.path().join("store")) == store_before);
    // A backup is never written over.
    let before = Files::of(&place);
    let error = runtime.block_on(store.back_up(&place)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(Files::of(&place), before);
    drop(store);
    for (state, files, expected) in stores() {
        let from = files.put();
        let place = folder.path().join(state);
        EmbeddedStore::back_up_folder(from.path(), &place, &|| false).unwrap();
        assert_eq!(Files::of(from.path()), files);
        assert!(read(&place).unwrap() == expected, "{state}");
        let store = EmbeddedStore::open(&place).unwrap();
        assert!(rows(&store).unwrap() == expected);
    }
}

/// A check finds what reading rows would not come across, and goes on to the end.
#[test]
fn a_check_names_every_damaged_file() {
    let [(_, files, _), _] = stores();
    let is_table = |name: &Path| name.to_string_lossy().contains("/tables/");
    let folder = files.put();
    let report =
        EmbeddedStore::check(folder.path(), &|| false, &mut |damage| panic!("{damage:?}")).unwrap();
    assert!(report.files > 2 && report.entries > 100, "{report:?}");
    let mut damaged = files.clone();
    for (name, bytes) in &files.0 {
        if is_table(name) && !name.starts_with("keyspaces/0") {
            let mut flipped = bytes.clone();
            flipped[bytes.len() / 4] ^= 1;
            damaged.0.insert(name.clone(), flipped);
        }
    }
    let folder = damaged.put();
    let mut found = Vec::new();
    let report =
        EmbeddedStore::check(folder.path(), &|| false, &mut |damage| found.push(damage)).unwrap();
    assert_eq!(report.damaged, found.len() as u64);
    for (name, bytes) in &damaged.0 {
        if files.0[name] != *bytes {
            let name = name.to_string_lossy();
            let damage = found.iter().find(|it| it.file.as_deref() == Some(&*name));
            let damage = damage.unwrap_or_else(|| panic!("{name} is not named"));
            assert!(
                damage.offset.is_some() && damage.table.is_some(),
                "{damage:?}"
            );
        }
    }
    // Of a damaged store there is no backup that hides it.
    let to = tempfile::tempdir().unwrap();
    EmbeddedStore::back_up_folder(folder.path(), to.path(), &|| false).unwrap_err();
    assert!(fs::read_dir(to.path()).unwrap().next().is_none());
    // Nor is anything left of one that is stopped.
    let folder = files.put();
    let stopped = to.path().join("stopped");
    EmbeddedStore::back_up_folder(folder.path(), &stopped, &|| true).unwrap_err();
    EmbeddedStore::check(folder.path(), &|| true, &mut |_| ()).unwrap_err();
    assert!(fs::read_dir(to.path()).unwrap().next().is_none());
    let folder = files.with(Path::new("rowmill.json"), b"{".to_vec()).put();
    let mut found = Vec::new();
    EmbeddedStore::check(folder.path(), &|| false, &mut |damage| found.push(damage)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].file.as_deref(), Some("rowmill.json"));
}
