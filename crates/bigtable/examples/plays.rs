//! A tour of the client, on an emulator:
//!
//! ```sh
//! gcloud beta emulators bigtable start --host-port=127.0.0.1:8086 &
//! cargo run -p rowmill-bigtable --example plays -- 127.0.0.1:8086
//! ```

use futures::TryStreamExt as _;
use rowmill_bigtable::proto::ReadModifyWriteRule;
use rowmill_bigtable::proto::read_modify_write_rule::Rule;
use rowmill_bigtable::{Client, ReadRows, RowMutation, filter};
use rowmill_model::GcRule;
use rowmill_store::TableSchema;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(address) = std::env::args().nth(1) else {
        return Err("name the emulator's address, as in 127.0.0.1:8086".into());
    };
    let client = Client::builder("my-project", "my-instance")
        .emulator(address)
        .connect()
        .await?;

    // A table with one family, which keeps the newest version of each column.
    let schema = TableSchema::with_rules("plays", [("event", GcRule::versions(1))]);
    client.table_admin().create_table(&schema).await?;

    // Many rows at once: an outcome for each.
    let songs = ["Sehr kosmisch", "Gymnopédie", "Blue Train"];
    let rows = (1_i64..).zip(songs).map(|(number, song)| {
        RowMutation::new(format!("user-7#{number}")).set_cell("event", "song", number * 1_000, song)
    });
    for outcome in client.mutate_rows("plays", rows.collect()).await {
        outcome?;
    }

    // From the last to the first, two rows, only the newest cell of each column.
    let read = ReadRows::new("plays")
        .prefix("user-7#")
        .filter(filter::cells_per_column(1))
        .reversed()
        .limit(2);
    let mut found = client.read_rows(read);
    while let Some(row) = found.try_next().await? {
        let song = row
            .value("event", b"song")
            .map(|song| String::from_utf8_lossy(song));
        println!("{}: {song:?}", String::from_utf8_lossy(&row.key));
    }

    // A write on a condition: only if the row is not there yet.
    let first = RowMutation::new("user-8#1").set_cell("event", "song", 1_000, "So What");
    let checked = client
        .check_and_mutate_row("plays", first.key, None, vec![], first.mutations)
        .await?;
    println!("user-8#1: {checked:?}");

    // A counter, incremented where it is.
    let increment = ReadModifyWriteRule {
        family_name: "event".into(),
        column_qualifier: "count".into(),
        rule: Some(Rule::IncrementAmount(1)),
    };
    let counted = client
        .read_modify_write_row("plays", "user-7", vec![increment])
        .await?;
    println!("user-7: {:?}", counted.value("event", b"count"));

    client.table_admin().delete_table("plays").await?;
    client.close();
    Ok(())
}
