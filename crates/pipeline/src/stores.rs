//! Stores by URI.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rowmill_bigtable::{BigtableStore, Client};
use rowmill_embedded::{BackupReport, CheckReport, Damage, EmbeddedStore};
use rowmill_model::TABLES;
use rowmill_store::{Admin, AdminExt as _, ErrorKind, MemoryStore, Meter, Metered, Store};

use crate::control::Control;
use crate::error::Error;

/// Where a store is: `memory:`, `file:PATH`, or `bigtable://PROJECT/INSTANCE[?app_profile=NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUri {
    /// In this process, and gone with it.
    Memory,
    /// In a folder.
    File(PathBuf),
    /// On Bigtable.
    Bigtable(BigtableUri),
}

/// An instance of Bigtable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BigtableUri {
    /// The project.
    pub project: String,
    /// The instance within it.
    pub instance: String,
    /// The app profile; the instance's default if none.
    pub app_profile: Option<String>,
    /// `host:port` of an emulator to be used instead of the service.
    pub emulator: Option<String>,
}

impl StoreUri {
    /// The store that `uri` names. `emulator` is what `BIGTABLE_EMULATOR_HOST` holds.
    pub fn parse(uri: &str, emulator: Option<&str>) -> Result<Self, Error> {
        let problem = |problem: &str| {
            Err(Error::StoreUri {
                uri: uri.to_owned(),
                problem: problem.to_owned(),
            })
        };
        match uri.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("file", "")) => problem("it has no path, as in file:rowmill-data"),
            Some(("file", path)) if Path::new(path).is_file() => {
                problem("it is a file, and a store is a folder")
            }
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("bigtable", rest)) => match bigtable(rest, emulator) {
                Ok(bigtable) => Ok(Self::Bigtable(bigtable)),
                Err(what) => problem(&what),
            },
            _ => problem("a store is memory:, file:PATH, or bigtable://PROJECT/INSTANCE"),
        }
    }

    /// Whether there is something to be opened: for whoever does not make it.
    pub fn check_exists(&self) -> Result<(), Error> {
        match self {
            Self::File(path) if !path.exists() => Err(Error::StoreUri {
                uri: format!("file:{}", path.display()),
                problem: "there is no such folder; `rowmill ingest` makes it".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether a store is yet to be made here: the folder is not there, or empty.
    pub fn is_new(&self) -> bool {
        match self {
            Self::File(path) => match path.read_dir() {
                Ok(mut entries) => entries.next().is_none(),
                Err(_) => !path.exists(),
            },
            _ => false,
        }
    }
}

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To look at what is there. A store in a folder is not changed by a byte.
    Reading,
    /// To change what is there: it is an error if there is no store.
    Writing,
    /// To write to it, wherever it has to be made first.
    Making,
}

fn bigtable(rest: &str, emulator: Option<&str>) -> Result<BigtableUri, String> {
    let wanted = "it is not of the form bigtable://PROJECT/INSTANCE[?app_profile=NAME]";
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let names = path
        .strip_prefix("//")
        .and_then(|names| names.split_once('/'));
    let is_name = |name: &str| !name.is_empty() && !name.contains('/');
    let (project, instance) = names
        .filter(|(project, instance)| is_name(project) && is_name(instance))
        .ok_or(wanted)?;
    let mut app_profile = None;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("app_profile", name)) if !name.is_empty() => app_profile = Some(name.to_owned()),
            _ => {
                return Err(format!(
                    "`{parameter}` is no parameter; there is app_profile=NAME"
                ));
            }
        }
    }
    Ok(BigtableUri {
        project: project.to_owned(),
        instance: instance.to_owned(),
        app_profile,
        emulator: emulator.map(str::to_owned),
    })
}

/// A store with its tables.
#[derive(Debug, Clone)]
pub struct OpenStore {
    /// The rows.
    pub store: Arc<dyn Store>,
    /// The tables.
    pub admin: Arc<dyn Admin>,
    /// What goes to the store and comes from it, each attempt counted.
    pub meter: Meter,
    /// Whether tables are made when they are first needed. On Bigtable somebody decides about them: writing rows takes less of a
    /// permission than making tables.
    makes_tables: bool,
}

impl OpenStore {
    fn of<S: Store + Admin>(store: S, makes_tables: bool) -> Self {
        let (store, meter) = (Arc::new(store), Meter::default());
        Self {
            store: Arc::new(Metered::new(store.clone(), meter.clone())),
            admin: store,
            meter,
            makes_tables,
        }
    }

    /// The same store with something around it.
    pub fn wearing(self, wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        Self {
            store: wrap(self.store),
            ..self
        }
    }

    /// Makes rowmill's tables if they are missing and this is a store that makes them by itself.
    pub async fn prepare(self) -> Result<Self, Error> {
        if self.makes_tables {
            self.admin.ensure_tables(&TABLES).await?;
        }
        Ok(self)
    }
}

/// Opens a store, with whatever tables there are. A folder is made a store if it is new or empty.
pub async fn open_store(uri: &StoreUri) -> Result<OpenStore, Error> {
    open_store_for(uri, Purpose::Making).await
}

/// Opens a store for a purpose, with whatever tables there are.
pub async fn open_store_for(uri: &StoreUri, purpose: Purpose) -> Result<OpenStore, Error> {
    match uri {
        StoreUri::Memory => Ok(OpenStore::of(MemoryStore::new(), true)),
        StoreUri::File(path) => {
            if purpose != Purpose::Making {
                uri.check_exists()?;
            }
            let opened = match purpose {
                Purpose::Reading => EmbeddedStore::open_read_only(path),
                Purpose::Writing => EmbeddedStore::open(path),
                Purpose::Making => EmbeddedStore::open_or_create(path),
            };
            let makes_tables = purpose != Purpose::Reading;
            Ok(OpenStore::of(opened.map_err(unopened)?, makes_tables))
        }
        StoreUri::Bigtable(bigtable) => {
            let mut builder = Client::builder(&bigtable.project, &bigtable.instance);
            if let Some(app_profile) = &bigtable.app_profile {
                builder = builder.app_profile(app_profile);
            }
            if let Some(host) = &bigtable.emulator {
                builder = builder.emulator(host);
            }
            let client = builder
                .connect()
                .await
                .map_err(rowmill_store::Error::from)?;
            // An emulator forgets its tables when it stops, and has nobody who decides about them.
            let makes_tables = bigtable.emulator.is_some();
            Ok(OpenStore::of(BigtableStore::new(client), makes_tables))
        }
    }
}

/// A failure to open a store. The caller has to name another, or may not touch this one.
fn unopened(error: rowmill_store::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::Denied => Error::NoStore(error),
        _ => Error::Store(error),
    }
}

/// The embedded store that `uri` names; its backups and checks are of no other.
fn embedded_folder(uri: &StoreUri) -> Result<&Path, Error> {
    match uri {
        StoreUri::File(path) => {
            uri.check_exists()?;
            Ok(path)
        }
        StoreUri::Memory | StoreUri::Bigtable(_) => Err(Error::StoreUri {
            uri: if *uri == StoreUri::Memory {
                "memory:"
            } else {
                "bigtable:"
            }
            .to_owned(),
            problem: "checks and backups need an embedded store, as file:PATH".to_owned(),
        }),
    }
}

/// Reads every part of the store in a folder, and says what of it is damaged.
pub fn check_store(
    uri: &StoreUri,
    control: &Control,
    each: &mut dyn FnMut(Damage),
) -> Result<CheckReport, Error> {
    let checked = EmbeddedStore::check(embedded_folder(uri)?, &|| control.is_stopped(), each);
    control.check()?;
    checked.map_err(unopened)
}

/// Copies the store in a folder to another folder, which is made.
pub fn back_up_store(uri: &StoreUri, to: &Path, control: &Control) -> Result<BackupReport, Error> {
    let is_stopped = || control.is_stopped();
    let copied = EmbeddedStore::back_up_folder(embedded_folder(uri)?, to, &is_stopped);
    match copied {
        Err(_) if control.is_stopped() => Err(Error::Interrupted),
        copied => copied.map_err(unopened),
    }
}
