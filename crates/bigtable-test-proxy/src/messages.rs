//! The messages of the service, by their published field numbers.

use googleapis_tonic_google_rpc::google::rpc::Status;
use rowmill_bigtable::proto;

macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $prost:meta,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct $name {
            $($(#[$field_doc])* #[$prost] pub $field: $type,)*
        }
    };
}

message! {
    /// Makes a client.
    CreateClientRequest {
        /// What the client is called in later requests.
        client_id: String = prost(string, tag = "1"),
        /// Address of the server, without a scheme.
        data_target: String = prost(string, tag = "2"),
        /// The project.
        project_id: String = prost(string, tag = "3"),
        /// The instance.
        instance_id: String = prost(string, tag = "4"),
        /// The app profile.
        app_profile_id: String = prost(string, tag = "5"),
        /// How long an operation may take.
        per_operation_timeout: Option<prost_types::Duration> = prost(message, optional, tag = "6"),
        /// Whether optional features are wanted; all that the client has are always on.
        optional_feature_config: i32 = prost(int32, tag = "7"),
    }
}

message! {
    /// Names a client, to close or to remove it.
    ClientRequest {
        /// The client.
        client_id: String = prost(string, tag = "1"),
    }
}

message! {
    /// An answer that says nothing more.
    Empty {}
}

message! {
    /// Reads one row.
    ReadRowRequest {
        /// The client.
        client_id: String = prost(string, tag = "1"),
        /// Full name of the table.
        table_name: String = prost(string, tag = "4"),
        /// The row key.
        row_key: String = prost(string, tag = "2"),
        /// What of the row.
        filter: Option<proto::RowFilter> = prost(message, optional, tag = "3"),
    }
}

message! {
    /// A row, or how it failed.
    RowResult {
        /// How the operation ended.
        status: Option<Status> = prost(message, optional, tag = "1"),
        /// The row, if there is one.
        row: Option<proto::Row> = prost(message, optional, tag = "2"),
    }
}

message! {
    /// Reads rows.
    ReadRowsRequest {
        /// The client.
        client_id: String = prost(string, tag = "1"),
        /// What to read.
        request: Option<proto::ReadRowsRequest> = prost(message, optional, tag = "2"),
        /// The read is given up after so many rows, if that is not zero.
        cancel_after_rows: i32 = prost(int32, tag = "3"),
    }
}

message! {
    /// Rows, and how the read ended.
    RowsResult {
        /// How the operation ended.
        status: Option<Status> = prost(message, optional, tag = "1"),
        /// The rows.
        rows: Vec<proto::Row> = prost(message, repeated, tag = "2"),
    }
}

message! {
    /// Writes one row.
    MutateRowRequest {
        /// The client.
        client_id: String = prost(string, tag = "1"),
        /// What to write.
        request: Option<proto::MutateRowRequest> = prost(message, optional, tag = "2"),
    }
}

message! {
    /// How a write ended.
    MutateRowResult {
        /// How the operation ended.
        status: Option<Status> = prost(message, optional, tag = "1"),
    }
}

message! {
    /// Writes many rows.
    MutateRowsRequest {
        /// The client.
        client_id: String = prost(string, tag = "1"),
        /// What to write.
        request: Option<proto::MutateRowsRequest> = prost(message, optional, tag = "2"),
    }
}

message! {
    /// How a bulk write ended, and the rows that failed.
    MutateRowsResult {
        /// How the operation ended: as the first row that failed.
        status: Option<Status> = prost(message, optional, tag = "1"),
        /// The rows that failed.
        entries: Vec<proto::mutate_rows_response::Entry> = prost(message, repeated, tag = "2"),
    }
}

message! {
    /// Writes one row on a condition.
    CheckAndMutateRowRequest {
        /// The client.
        client_id: String = prost(string, tag = "1"),
        /// What to write.
        request: Option<proto::CheckAndMutateRowRequest> = prost(message, optional, tag = "2"),
    }
}

message! {
    /// How a conditional write ended.
    CheckAndMutateRowResult {
        /// How the operation ended.
        status: Option<Status> = prost(message, optional, tag = "1"),
        /// Which way it went.
        result: Option<proto::CheckAndMutateRowResponse> = prost(message, optional, tag = "2"),
    }
}

message! {
    /// Samples a table's keys.
    SampleRowKeysRequest {
        /// The client.
        client_id: String = prost(string, tag = "1"),
        /// The table.
        request: Option<proto::SampleRowKeysRequest> = prost(message, optional, tag = "2"),
    }
}

message! {
    /// Samples, or how it failed.
    SampleRowKeysResult {
        /// How the operation ended.
        status: Option<Status> = prost(message, optional, tag = "1"),
        /// The samples.
        samples: Vec<proto::SampleRowKeysResponse> = prost(message, repeated, tag = "2"),
    }
}

message! {
    /// Increments or appends.
    ReadModifyWriteRowRequest {
        /// The client.
        client_id: String = prost(string, tag = "1"),
        /// What to change.
        request: Option<proto::ReadModifyWriteRowRequest> = prost(message, optional, tag = "2"),
    }
}
