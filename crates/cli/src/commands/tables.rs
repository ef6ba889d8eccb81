//! `tables create`, `tables describe`, `tables drop`.

use anyhow::Result;
use rowmill_model::TABLES;
use rowmill_pipeline::{
    OpenStore, Purpose, TableChange, apply_changes, plan_tables, wanted_tables,
};
use rowmill_store::TableSchema;
use serde_json::json;

use crate::arguments::{CreateTablesArguments, DropTablesArguments, Format, Global, Tables};
use crate::exit::{ExitStatus, UsageError};
use crate::printer::Printer;
use crate::session;

/// Makes, shows or drops tables.
pub(crate) async fn run(
    global: &Global,
    tables: &Tables,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    if printer.format() == Some(Format::Csv) {
        return Err(UsageError("tables are printed as a table or as json".into()).into());
    }
    match tables {
        Tables::Create(arguments) => create(global, arguments, printer).await,
        Tables::Describe => describe(global, printer).await,
        Tables::Drop(arguments) => drop_tables(global, arguments, printer).await,
    }
}

async fn create(
    global: &Global,
    arguments: &CreateTablesArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let wanted = wanted_tables(session::stages(global)?.pipeline());
    if arguments.dry_run {
        // Looking does not make a store.
        let changes = if session::uri(global)?.is_new() {
            let wanted = wanted.iter().cloned();
            wanted.map(TableChange::CreateTable).collect()
        } else {
            let store = session::bare_store(global, Purpose::Reading).await?;
            plan_tables(&*store.admin, &wanted).await?
        };
        print_changes(&changes, printer)?;
        printer.say("a dry run: nothing was changed");
        return Ok(ExitStatus::Done);
    }
    let store = session::bare_store(global, Purpose::Making).await?;
    let changes = plan_tables(&*store.admin, &wanted).await?;
    print_changes(&changes, printer)?;
    printer.finish()?;
    if changes.iter().any(TableChange::may_drop_cells) && !arguments.yes {
        return Err(UsageError(
            "nothing was changed: add --yes to let cells be dropped that are kept now".into(),
        )
        .into());
    }
    apply_changes(&*store.admin, &wanted, &changes).await?;
    if !changes.is_empty() {
        printer.say("done");
    }
    Ok(ExitStatus::Done)
}

fn print_changes(changes: &[TableChange], printer: &mut Printer) -> std::io::Result<()> {
    if !printer.is_for_people() {
        for change in changes {
            printer.json(&as_json(change))?;
        }
        return Ok(());
    }
    if changes.is_empty() {
        printer.say("the tables are as the pipeline file says");
    }
    for change in changes {
        printer.line(&change.to_string())?;
    }
    if changes.iter().any(TableChange::may_drop_cells) || changes.iter().any(has_age) {
        printer.say(
            "a cell's age is its event's: rows of old events, also those ingested later, may be dropped at once",
        );
    }
    Ok(())
}

/// Whether something new drops cells by their age.
fn has_age(change: &TableChange) -> bool {
    match change {
        TableChange::CreateTable(schema) => {
            let mut rules = schema.families.iter();
            rules.any(|(_, rule)| rule.age_seconds_max.is_some())
        }
        TableChange::AddFamily { rule, .. } => rule.age_seconds_max.is_some(),
        TableChange::ChangeRule { .. } => false,
    }
}

fn as_json(change: &TableChange) -> serde_json::Value {
    match change {
        TableChange::CreateTable(schema) => {
            json!({"change": "create_table", "table": schema.name, "families": families(schema)})
        }
        TableChange::AddFamily {
            table,
            family,
            rule,
        } => {
            json!({"change": "add_family", "table": table, "family": family, "rule": rule.to_string()})
        }
        TableChange::ChangeRule {
            table,
            family,
            from,
            to,
        } => {
            json!({"change": "change_rule", "table": table, "family": family, "from": from.to_string(), "to": to.to_string()})
        }
    }
}

fn families(schema: &TableSchema) -> serde_json::Value {
    let families = schema.families.iter();
    families
        .map(|(family, rule)| (family.clone(), rule.to_string().into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

async fn describe(global: &Global, printer: &mut Printer) -> Result<ExitStatus> {
    let wanted = wanted_tables(session::stages(global)?.pipeline());
    let store = session::bare_store(global, Purpose::Reading).await?;
    let tables = store.admin.tables().await?;
    if !printer.is_for_people() {
        print_families(&tables, printer)?;
        return Ok(ExitStatus::Done);
    }
    print_families(&tables, printer)?;
    let changes = plan_tables(&*store.admin, &wanted).await?;
    if changes.is_empty() {
        printer.say("the tables are as the pipeline file says");
    } else {
        printer.say("`rowmill tables create` would change:");
        for change in &changes {
            printer.say(&change.to_string());
        }
    }
    Ok(ExitStatus::Done)
}

/// Prints the families of tables, and what of each is kept.
pub(super) fn print_families(tables: &[TableSchema], printer: &mut Printer) -> std::io::Result<()> {
    if !printer.is_for_people() {
        return tables.iter().try_for_each(|table| {
            printer.json(&json!({"table": table.name, "families": families(table)}))
        });
    }
    let header = ["table", "family", "keeps"].map(str::to_owned);
    let rows = tables.iter().flat_map(|table| {
        let families = table.families.iter();
        families.map(|(family, rule)| vec![table.name.clone(), family.clone(), rule.to_string()])
    });
    printer.plain_table(&header, rows.collect())
}

async fn drop_tables(
    global: &Global,
    arguments: &DropTablesArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let names = names(&arguments.tables)?;
    let is_done = arguments.yes && !arguments.dry_run;
    let purpose = if is_done {
        Purpose::Writing
    } else {
        Purpose::Reading
    };
    let store = session::bare_store(global, purpose).await?;
    let found = existing(&store, &names).await?;
    if found.is_empty() {
        printer.say("there is none of these tables");
        return Ok(ExitStatus::Done);
    }
    for name in &found {
        printer.line(&format!("- {name}"))?;
    }
    printer.finish()?;
    if arguments.dry_run {
        printer.say("a dry run: nothing was dropped");
        return Ok(ExitStatus::Done);
    }
    if !arguments.yes {
        return Err(UsageError(format!(
            "nothing was dropped: add --yes to drop {} and all that is in them",
            found.join(", ")
        ))
        .into());
    }
    for name in &found {
        store.admin.drop_table(name).await?;
    }
    printer.say("done");
    Ok(ExitStatus::Done)
}

/// The tables that were named, of rowmill's own; all of them if none was.
fn names(asked: &[String]) -> Result<Vec<&'static str>> {
    let own = TABLES.iter().map(|table| table.name);
    if let Some(other) = asked
        .iter()
        .find(|name| own.clone().all(|own| own != *name))
    {
        let known: Vec<_> = own.collect();
        return Err(UsageError(format!(
            "`{other}` is no table of rowmill's; there are {}",
            known.join(", ")
        ))
        .into());
    }
    Ok(own
        .filter(|own| asked.is_empty() || asked.iter().any(|name| name == own))
        .collect())
}

async fn existing(store: &OpenStore, names: &[&'static str]) -> Result<Vec<&'static str>> {
    let tables = store.admin.tables().await?;
    let is_there = |name: &&&str| tables.iter().any(|table| table.name == ***name);
    Ok(names.iter().filter(is_there).copied().collect())
}
