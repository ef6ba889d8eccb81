//! Tables: creating, listing, altering and dropping them.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::gc_rule::{Rule, Union};
use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::modify_column_families_request::Modification;
use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::modify_column_families_request::modification::Mod;
use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::table::View;
use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::{
    ColumnFamily, CreateTableRequest, DeleteTableRequest, GcRule as ProtoRule, GetTableRequest,
    ListTablesRequest, ListTablesResponse, ModifyColumnFamiliesRequest, Table,
};
use prost::Message;
use rowmill_model::GcRule;
use rowmill_store::TableSchema;

use crate::client::Client;
use crate::error::Result;
use crate::retry::RetryPolicy;
use crate::transport::{Call, Method, routing};
use crate::unary::{Target, unary};

macro_rules! method {
    ($name:literal) => {
        Method {
            name: $name,
            path: concat!("/google.bigtable.admin.v2.BigtableTableAdmin/", $name),
        }
    };
}

const CREATE_TABLE: Method = method!("CreateTable");
const LIST_TABLES: Method = method!("ListTables");
const GET_TABLE: Method = method!("GetTable");
const DELETE_TABLE: Method = method!("DeleteTable");
const MODIFY_COLUMN_FAMILIES: Method = method!("ModifyColumnFamilies");

/// The tables of an instance.
#[derive(Debug, Clone)]
pub struct TableAdmin {
    client: Client,
}

impl TableAdmin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Creates a table, which must not exist yet.
    pub async fn create_table(&self, schema: &TableSchema) -> Result<()> {
        let families = schema.families.iter();
        let table = Table {
            column_families: families
                .map(|(name, rule)| (name.clone(), family(*rule)))
                .collect(),
            ..Table::default()
        };
        let request = CreateTableRequest {
            parent: self.client.instance_name().to_owned(),
            table_id: schema.name.clone(),
            table: Some(table),
            ..CreateTableRequest::default()
        };
        let resource = self.client.table_name(&schema.name);
        let parent = ("parent", request.parent.as_str());
        let created = self.once::<Table>(CREATE_TABLE, parent, &resource, &request);
        created.await.map(drop)
    }

    /// One table.
    pub async fn table(&self, table: &str) -> Result<TableSchema> {
        let request = GetTableRequest {
            name: self.client.table_name(table),
            view: View::SchemaView.into(),
        };
        let name = ("name", request.name.as_str());
        let found: Table = self.read(GET_TABLE, name, name.1, &request).await?;
        Ok(schema(&found))
    }

    /// All tables, by name.
    pub async fn tables(&self) -> Result<Vec<TableSchema>> {
        const AT_ONCE: usize = 16;
        let names = self.table_names().await?;
        let tables = names.into_iter().map(|name| {
            let admin = self.clone();
            async move { admin.table(&name).await }
        });
        stream::iter(tables).buffered(AT_ONCE).try_collect().await
    }

    /// The names of all tables, in order.
    pub async fn table_names(&self) -> Result<Vec<String>> {
        let parent = self.client.instance_name();
        let mut names = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListTablesRequest {
                parent: parent.to_owned(),
                view: View::NameOnly.into(),
                page_token,
                ..ListTablesRequest::default()
            };
            let page: ListTablesResponse = self
                .read(LIST_TABLES, ("parent", parent), parent, &request)
                .await?;
            names.extend(page.tables.iter().map(|table| id(&table.name).to_owned()));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                names.sort();
                return Ok(names);
            }
        }
    }

    /// Gives a table the families of `schema` that it lacks, and all of them their rules. Other families stay.
    pub async fn alter_table(&self, schema: &TableSchema) -> Result<()> {
        let existing = self.table(&schema.name).await?;
        let modification = |(name, rule): &(String, GcRule)| {
            let change = match existing.rule(name) {
                Some(existing) if existing == *rule => return None,
                Some(_) => Mod::Update(family(*rule)),
                None => Mod::Create(family(*rule)),
            };
            Some(Modification {
                id: name.clone(),
                update_mask: None,
                r#mod: Some(change),
            })
        };
        let request = ModifyColumnFamiliesRequest {
            name: self.client.table_name(&schema.name),
            modifications: schema.families.iter().filter_map(modification).collect(),
            ..ModifyColumnFamiliesRequest::default()
        };
        if request.modifications.is_empty() {
            return Ok(());
        }
        let name = ("name", request.name.as_str());
        let altered = self.once::<Table>(MODIFY_COLUMN_FAMILIES, name, name.1, &request);
        altered.await.map(drop)
    }

    /// Drops a table and all its rows.
    pub async fn delete_table(&self, table: &str) -> Result<()> {
        let request = DeleteTableRequest {
            name: self.client.table_name(table),
        };
        let name = ("name", request.name.as_str());
        self.once::<()>(DELETE_TABLE, name, name.1, &request).await
    }

    /// A call that may be repeated.
    async fn read<T: Message + Default + 'static>(
        &self,
        method: Method,
        parameter: (&str, &str),
        resource: &str,
        request: &impl Message,
    ) -> Result<T> {
        let policy = self.client.read_policy();
        self.call(method, parameter, resource, request, policy)
            .await
    }

    /// A call that is repeated only if the server asks for it: its second answer would be another.
    async fn once<T: Message + Default + 'static>(
        &self,
        method: Method,
        parameter: (&str, &str),
        resource: &str,
        request: &impl Message,
    ) -> Result<T> {
        let policy = self.client.admin_policy();
        self.call(method, parameter, resource, request, policy)
            .await
    }

    async fn call<T: Message + Default + 'static>(
        &self,
        method: Method,
        parameter: (&str, &str),
        resource: &str,
        request: &impl Message,
        policy: RetryPolicy,
    ) -> Result<T> {
        let target = Target {
            transport: self.client.admin_transport(),
            environment: self.client.environment(),
            resource,
        };
        let call = Call::new(method, routing(&[parameter]));
        unary(&target, call, request, policy).await
    }
}

/// The last part of a full name.
fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn schema(table: &Table) -> TableSchema {
    let families = table.column_families.iter();
    TableSchema::with_rules(
        id(&table.name),
        families.map(|(name, family)| (name.as_str(), rule(family))),
    )
}

fn family(rule: GcRule) -> ColumnFamily {
    let versions = rule
        .versions_max
        .map(|versions| Rule::MaxNumVersions(i32::try_from(versions).unwrap_or(i32::MAX)));
    let age = rule.age_seconds_max.map(|seconds| {
        Rule::MaxAge(prost_types::Duration {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            nanos: 0,
        })
    });
    let of = |rule| ProtoRule { rule: Some(rule) };
    let mut bounds: Vec<_> = versions.into_iter().chain(age).map(of).collect();
    let gc_rule = match bounds.len() {
        0 => None,
        1 => bounds.pop(),
        _ => Some(of(Rule::Union(Union { rules: bounds }))),
    };
    ColumnFamily {
        gc_rule,
        ..ColumnFamily::default()
    }
}

fn rule(family: &ColumnFamily) -> GcRule {
    family.gc_rule.as_ref().map_or(GcRule::KEEP, known_rule)
}

/// What a rule says, as far as rowmill makes such rules. One that it does not make (an intersection) hides nothing.
fn known_rule(rule: &ProtoRule) -> GcRule {
    match rule.rule.as_ref() {
        None => GcRule::KEEP,
        Some(Rule::MaxNumVersions(versions)) => {
            u32::try_from(*versions).map_or(GcRule::OTHER, GcRule::versions)
        }
        Some(Rule::MaxAge(age)) => {
            u64::try_from(age.seconds).map_or(GcRule::OTHER, GcRule::age_seconds)
        }
        Some(Rule::Union(union)) => union.rules.iter().fold(GcRule::KEEP, |all, part| {
            let part = known_rule(part);
            GcRule {
                versions_max: least(all.versions_max, part.versions_max),
                age_seconds_max: least(all.age_seconds_max, part.age_seconds_max),
                is_other: all.is_other || part.is_other,
            }
        }),
        Some(Rule::Intersection(_)) => GcRule::OTHER,
    }
}

/// The stricter of two bounds.
fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
