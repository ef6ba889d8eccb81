//! The proxy, driven as the conformance suite drives it: over gRPC, against a scripted server.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use rowmill_bigtable::proto;
use rowmill_bigtable::testing::{Gate, Reply, ScriptedServer, chunk};
use rowmill_bigtable_test_proxy::{
    CheckAndMutateRowRequest, CheckAndMutateRowResult, ClientRequest, CreateClientRequest, Empty,
    MutateRowRequest, MutateRowResult, MutateRowsRequest, MutateRowsResult,
    ReadModifyWriteRowRequest, ReadRowRequest, ReadRowsRequest, RowResult, RowsResult, SERVICE,
    SampleRowKeysRequest, SampleRowKeysResult, serve,
};
use tokio::net::TcpListener;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

const TABLE: &str = "projects/p/instances/i/tables/t";

struct Suite {
    server: ScriptedServer,
    proxy: Channel,
}

impl Suite {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        Self {
            server: ScriptedServer::start().await,
            proxy: endpoint.connect().await.unwrap(),
        }
    }

    async fn call<A>(&self, method: &str, message: impl Message + 'static) -> Result<A, Status>
    where
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.proxy.clone());
        grpc.ready().await.unwrap();
        let path = PathAndQuery::try_from(format!("/{SERVICE}/{method}")).unwrap();
        let answer = grpc.unary(Request::new(message), path, ProstCodec::default());
        answer.await.map(tonic::Response::into_inner)
    }

    async fn create(&self, seconds: Option<i64>) -> Result<Empty, Status> {
        let request = CreateClientRequest {
            client_id: "c".into(),
            data_target: self.server.address().into(),
            project_id: "p".into(),
            instance_id: "i".into(),
            app_profile_id: "profile".into(),
            per_operation_timeout: seconds
                .map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
            optional_feature_config: 1,
        };
        self.call("CreateClient", request).await
    }

    async fn read_rows(&self, cancel_after_rows: i32) -> RowsResult {
        let request = ReadRowsRequest {
            client_id: "c".into(),
            request: Some(proto::ReadRowsRequest {
                table_name: TABLE.into(),
                ..proto::ReadRowsRequest::default()
            }),
            cancel_after_rows,
        };
        self.call("ReadRows", request).await.unwrap()
    }
}

#[tokio::test]
async fn clients_are_made_once_and_found_by_their_ids() {
    let suite = Suite::start().await;
    let read = || ReadRowRequest {
        client_id: "c".into(),
        table_name: TABLE.into(),
        row_key: "k".into(),
        filter: None,
    };
    let unknown = suite.call::<RowResult>("ReadRow", read()).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    suite.create(None).await.unwrap();
    let twice = suite.create(None).await.unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    assert!(suite.server.requests("PingAndWarm").is_empty());
    suite.server.push("ReadRows", Reply::rows(["k"]));
    let found: RowResult = suite.call("ReadRow", read()).await.unwrap();
    assert_eq!(found.status.unwrap().code, 0);
    assert_eq!(found.row.unwrap().key, "k");
    let routing =
        suite.server.requests("ReadRows")[0].header("x-goog-request-params")[0].to_owned();
    assert!(routing.ends_with("app_profile_id=profile"), "{routing}");

    let client = || ClientRequest {
        client_id: "c".into(),
    };
    suite.call::<Empty>("CloseClient", client()).await.unwrap();
    let closed: RowResult = suite.call("ReadRow", read()).await.unwrap();
    assert_eq!(closed.status.unwrap().code, Code::Cancelled as i32);
    suite.call::<Empty>("RemoveClient", client()).await.unwrap();
    let removed = suite.call::<Empty>("RemoveClient", client()).await;
    assert_eq!(removed.unwrap_err().code(), Code::NotFound);
    let sql = suite.call::<Empty>("ExecuteQuery", Empty {}).await;
    assert_eq!(sql.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn rows_keep_the_servers_order_and_come_with_the_error_after_them() {
    let suite = Suite::start().await;
    suite.create(None).await.unwrap();
    let cell = |family: Option<&str>, qualifier: Option<&str>, value: &str| {
        let mut cell = chunk("", value);
        cell.family_name = family.map(str::to_owned);
        cell.qualifier = qualifier.map(|name| name.as_bytes().to_vec());
        cell.row_status = None;
        cell
    };
    let mut first = cell(Some("z"), Some("b"), "1");
    first.row_key = "k".into();
    let mut last = cell(Some("a"), Some("c"), "4");
    last.row_status = chunk("", "").row_status;
    let chunks = vec![
        first,
        cell(None, None, "2"),
        cell(None, Some("a"), "3"),
        last,
    ];
    let reply = Reply::new().chunks(chunks).and_rows(["l"]);
    suite
        .server
        .push("ReadRows", reply.status(Code::PermissionDenied, "no"));
    let result = suite.read_rows(0).await;
    assert_eq!(result.status.unwrap().code, Code::PermissionDenied as i32);
    let shown: Vec<_> = result.rows[0]
        .families
        .iter()
        .flat_map(|family| family.columns.iter().map(move |column| (family, column)))
        .map(|(family, column)| {
            let qualifier = String::from_utf8_lossy(&column.qualifier);
            format!("{}:{qualifier} x {}", family.name, column.cells.len())
        })
        .collect();
    assert_eq!(shown, ["z:b x 2", "z:a x 1", "a:c x 1"]);
    assert_eq!(result.rows[1].key, "l");

    suite
        .server
        .push("ReadRows", Reply::rows(["a", "b", "c"]).hang());
    let result = suite.read_rows(2).await;
    assert_eq!((result.status.unwrap().code, result.rows.len()), (0, 2));
}

#[tokio::test]
async fn a_bulk_write_names_the_rows_that_failed() {
    let suite = Suite::start().await;
    suite.create(None).await.unwrap();
    suite.server.push(
        "MutateRows",
        Reply::outcomes([(0, Code::Ok), (1, Code::PermissionDenied)]),
    );
    let entry = |key: &'static str| proto::mutate_rows_request::Entry {
        row_key: key.into(),
        mutations: rowmill_bigtable::RowMutation::new(key)
            .set_cell("f", "q", 1_000, "v")
            .mutations,
        idempotency: None,
    };
    let request = MutateRowsRequest {
        client_id: "c".into(),
        request: Some(proto::MutateRowsRequest {
            table_name: TABLE.into(),
            entries: vec![entry("a"), entry("b")],
            ..proto::MutateRowsRequest::default()
        }),
    };
    let result: MutateRowsResult = suite.call("BulkMutateRows", request).await.unwrap();
    assert_eq!(result.status.unwrap().code, Code::PermissionDenied as i32);
    assert_eq!(result.entries.len(), 1);
    assert_eq!(result.entries[0].index, 1);
}

#[tokio::test]
async fn an_operation_keeps_its_timeout() {
    let suite = Suite::start().await;
    suite.create(Some(1)).await.unwrap();
    let gate = Gate::default();
    suite.server.push("ReadRows", Reply::new().wait(&gate));
    let result = suite.read_rows(0);
    let result = tokio::time::timeout(Duration::from_mins(1), result).await;
    let status = result.unwrap().status.unwrap();
    assert_eq!(status.code, Code::DeadlineExceeded as i32);
    gate.open();
}

#[tokio::test]
async fn every_other_operation_answers() {
    let suite = Suite::start().await;
    suite.create(None).await.unwrap();
    let server = &suite.server;
    server.push("MutateRow", Reply::new().message(&()));
    let row = rowmill_bigtable::RowMutation::new("k").delete_row();
    let request = MutateRowRequest {
        client_id: "c".into(),
        request: Some(proto::MutateRowRequest {
            table_name: TABLE.into(),
            row_key: row.key.clone(),
            mutations: row.mutations.clone(),
            ..proto::MutateRowRequest::default()
        }),
    };
    let result: MutateRowResult = suite.call("MutateRow", request).await.unwrap();
    assert_eq!(result.status.unwrap().code, 0);

    let matched = proto::CheckAndMutateRowResponse {
        predicate_matched: true,
    };
    server.push("CheckAndMutateRow", Reply::new().message(&matched));
    let request = CheckAndMutateRowRequest {
        client_id: "c".into(),
        request: Some(proto::CheckAndMutateRowRequest {
            table_name: TABLE.into(),
            row_key: "k".into(),
            true_mutations: row.mutations,
            ..proto::CheckAndMutateRowRequest::default()
        }),
    };
    let result: CheckAndMutateRowResult = suite.call("CheckAndMutateRow", request).await.unwrap();
    assert_eq!(result.status.unwrap().code, 0);
    assert_eq!(result.result, Some(matched));

    let sample = proto::SampleRowKeysResponse {
        row_key: "m".into(),
        offset_bytes: 7,
    };
    server.push("SampleRowKeys", Reply::new().message(&sample));
    let request = SampleRowKeysRequest {
        client_id: "c".into(),
        request: Some(proto::SampleRowKeysRequest {
            table_name: TABLE.into(),
            ..proto::SampleRowKeysRequest::default()
        }),
    };
    let result: SampleRowKeysResult = suite.call("SampleRowKeys", request).await.unwrap();
    assert_eq!(result.samples, [sample]);

    let changed = proto::ReadModifyWriteRowResponse {
        row: Some(proto::Row {
            key: "k".into(),
            families: Vec::new(),
        }),
    };
    server.push("ReadModifyWriteRow", Reply::new().message(&changed));
    let request = ReadModifyWriteRowRequest {
        client_id: "c".into(),
        request: Some(proto::ReadModifyWriteRowRequest {
            table_name: TABLE.into(),
            row_key: "k".into(),
            ..proto::ReadModifyWriteRowRequest::default()
        }),
    };
    let result: RowResult = suite.call("ReadModifyWriteRow", request).await.unwrap();
    assert_eq!(result.row, changed.row);
}
