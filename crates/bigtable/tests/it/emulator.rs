//! Against Google's emulator: the store passes the suite, and `cbt` reads what we write.

use rowmill_bigtable::testing::Emulator;
use rowmill_bigtable::{BigtableStore, Client};
use rowmill_store::conformance::Fixture;

pub(crate) async fn connect(emulator: &Emulator) -> Client {
    let builder = Client::builder("project", "instance").emulator(emulator.address());
    builder.connect().await.unwrap()
}

mod store {
    use super::*;

    async fn open() -> Option<Fixture> {
        let emulator = Emulator::start("the store suite on the emulator").await?;
        let client = connect(&emulator).await;
        Some(Fixture::new(BigtableStore::new(client)).keeping(emulator))
    }

    rowmill_store::conformance_tests!(async open());
}

mod interoperation {
    use std::process::Command;

    use futures::TryStreamExt as _;
    use rowmill_bigtable::{Code, ReadRows, RowMutation, filter};
    use rowmill_store::{Admin as _, TableSchema};

    use super::*;

    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    /// The output of `cbt`; none, said on standard error, if there is no such program.
    fn cbt(emulator: &Emulator, arguments: &[&str]) -> Option<String> {
        let output = Command::new("cbt")
            .args(["-project=project", "-instance=instance"])
            .args(arguments)
            .env("BIGTABLE_EMULATOR_HOST", emulator.address())
            .output();
        let Ok(output) = output else {
            eprintln!("skipped: interoperation with cbt (there is no cbt)");
            return None;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(text)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn cbt_reads_what_we_write_and_we_read_what_it_writes() {
        let Some(emulator) = Emulator::start("interoperation with cbt").await else {
            return;
        };
        let client = connect(&emulator).await;
        let store = BigtableStore::new(client.clone());
        store
            .create_table(&TableSchema::new("t", ["f"]))
            .await
            .unwrap();
        let ours = RowMutation::new("ours").set_cell("f", "song", 1_000, "Für Elise");
        client.mutate_row("t", ours).await.unwrap();
        let Some(shown) = cbt(&emulator, &["lookup", "t", "ours"]) else {
            return;
        };
        assert!(
            shown.contains("f:song") && shown.contains("Für Elise"),
            "{shown}"
        );
        cbt(
            &emulator,
            &["set", "t", "theirs", "f:song=Gymnopédie", "f:length=3"],
        );
        let row = client.read_row("t", "theirs", None).await.unwrap().unwrap();
        assert_eq!(row.value("f", b"song").unwrap(), "Gymnopédie");
        assert_eq!(row.value("f", b"length").unwrap(), "3");
        let listed = cbt(&emulator, &["ls", "t"]).unwrap();
        assert!(listed.contains('f'), "{listed}");
    }

    #[tokio::test]
    async fn the_emulator_answers_every_call() {
        let Some(emulator) = Emulator::start("every call on the emulator").await else {
            return;
        };
        let client = connect(&emulator).await;
        let admin = client.table_admin();
        let missing = client.read_row("t", "k", None).await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
        admin
            .create_table(&TableSchema::new("t", ["f"]))
            .await
            .unwrap();
        let rows = ["a", "b", "c"].map(crate::set).to_vec();
        assert!(
            client
                .mutate_rows("t", rows)
                .await
                .iter()
                .all(Result::is_ok)
        );
        let read = ReadRows::new("t")
            .reversed()
            .limit(2)
            .filter(filter::without_values());
        let found: Vec<_> = client.read_rows(read).try_collect().await.unwrap();
        let keys: Vec<_> = found.iter().map(|row| row.key.clone()).collect();
        assert_eq!(keys, ["c", "b"]);
        assert!(found[0].cells[0].value.is_empty());
        let delete = RowMutation::new("a").delete_row().mutations;
        let checked = client
            .check_and_mutate_row("t", "a", None, delete, vec![])
            .await;
        assert_eq!(checked.unwrap(), rowmill_bigtable::Checked::Matched);
        assert!(client.read_row("t", "a", None).await.unwrap().is_none());
        client.sample_row_keys("t").await.unwrap();
        admin.delete_table("t").await.unwrap();
        assert!(admin.table_names().await.unwrap().is_empty());
    }
}
