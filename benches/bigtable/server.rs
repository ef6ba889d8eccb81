//! A server that takes every write.

use std::time::Duration;

use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::{
    ColumnFamily, GetTableRequest, ListTablesResponse, Table,
};
use prost::encoding::{DecodeContext, decode_key, skip_field};
use rowmill_bigtable::Code;
use rowmill_bigtable::testing::{Received, Reply, ScriptedServer};
use rowmill_model::TABLES;

/// Starts a server with rowmill's tables that answers each write after `delay`.
pub(crate) async fn start(delay: Duration) -> ScriptedServer {
    let server = ScriptedServer::start().await;
    server.answer("MutateRows", move |received| written(received, delay));
    server.answer("ListTables", |_| {
        let tables = TABLES.iter().map(|table| Table {
            name: format!("projects/p/instances/i/tables/{}", table.name),
            ..Table::default()
        });
        Reply::new().message(&ListTablesResponse {
            tables: tables.collect(),
            ..ListTablesResponse::default()
        })
    });
    server.answer("GetTable", |received| {
        let request: GetTableRequest = received.message();
        let is_asked = |name: &str| request.name.ends_with(&format!("/{name}"));
        let families = TABLES
            .iter()
            .filter(|table| is_asked(table.name))
            .flat_map(|table| table.families);
        Reply::new().message(&Table {
            name: request.name.clone(),
            column_families: families
                .map(|family| (family.name.to_owned(), ColumnFamily::default()))
                .collect(),
            ..Table::default()
        })
    });
    server
}

/// An outcome for each entry, after a while. Entries are counted without being decoded: field 2 of the request.
fn written(received: &Received, delay: Duration) -> Reply {
    const ENTRIES: u32 = 2;
    let mut body = received.body().clone();
    let mut entries = 0;
    while let Ok((field, wire_type)) = decode_key(&mut body) {
        entries += i64::from(field == ENTRIES);
        if skip_field(wire_type, field, &mut body, DecodeContext::default()).is_err() {
            break;
        }
    }
    let reply = if delay.is_zero() {
        Reply::new()
    } else {
        Reply::new().delay(delay)
    };
    reply.and_outcomes((0..entries).map(|index| (index, Code::Ok)))
}
