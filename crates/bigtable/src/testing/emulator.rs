//! Google's Bigtable emulator, started for a test and stopped after it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

/// Where the program lies below a folder of the Google Cloud SDK.
const IN_SDK: &str = "platform/bigtable-emulator/cbtemulator";
/// Folders in which the SDK's packages install it.
const SDK_FOLDERS: [&str; 3] = [
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/opt/google-cloud-sdk",
];
const START_TRIES: u32 = 200;

/// A running emulator; dropping it ends it.
#[derive(Debug)]
pub struct Emulator {
    address: String,
    process: Child,
}

impl Emulator {
    /// Starts an emulator on a free port of this machine, if there is the program: what `CBTEMULATOR` names, else one in `PATH`,
    /// else that of the Google Cloud SDK. Where there is none, says on standard error that `what` is skipped.
    ///
    /// # Panics
    /// If there is the program and it does not start; or if there is none and `CBTEMULATOR_REQUIRED` is set.
    pub async fn start(what: &str) -> Option<Self> {
        let Some(program) = find() else {
            assert!(
                variable("CBTEMULATOR_REQUIRED").is_none(),
                "{what} needs cbtemulator, and there is none"
            );
            skipped(what, "cbtemulator");
            return None;
        };
        // Another process may take the port between finding it free and using it.
        for _ in 0..3 {
            if let Ok(emulator) = Self::spawn(&program).await {
                return Some(emulator);
            }
        }
        panic!("{} did not start", program.display());
    }

    /// Where it listens: `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    async fn spawn(program: &Path) -> io::Result<Self> {
        let port = free_port()?;
        let process = Command::new(program)
            .args(["-host=127.0.0.1", &format!("-port={port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut emulator = Self {
            address: format!("127.0.0.1:{port}"),
            process,
        };
        for _ in 0..START_TRIES {
            if TcpStream::connect(&emulator.address).await.is_ok() {
                return Ok(emulator);
            }
            if emulator.process.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(io::Error::other("it does not answer"))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn free_port() -> io::Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.port())
}

fn find() -> Option<PathBuf> {
    if let Some(named) = variable("CBTEMULATOR") {
        return Some(named.into());
    }
    let path = variable("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let in_path = folders.iter().map(|folder| folder.join("cbtemulator"));
    let in_sdk = sdk_folders(&folders).map(|folder| folder.join(IN_SDK));
    in_path.chain(in_sdk).find(|program| program.is_file())
}

/// Where the SDK may be: above the `gcloud` in `PATH`, in the home folder, and where packages install it.
fn sdk_folders(path: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    let gcloud = path.iter().map(|folder| folder.join("gcloud"));
    let real = gcloud.filter_map(|program| program.canonicalize().ok());
    let above = real.filter_map(|program| Some(program.parent()?.parent()?.to_owned()));
    let home = variable("HOME").map(|home| Path::new(&home).join("google-cloud-sdk"));
    let packages = SDK_FOLDERS.map(PathBuf::from);
    above.chain(home).chain(packages)
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the emulator is, only the environment of a test knows"
)]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(what: &str, program: &str) {
    eprintln!("skipped: {what} (there is no {program})");
}
