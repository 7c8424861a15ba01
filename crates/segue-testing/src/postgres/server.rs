//! A PostgreSQL server in a temporary folder, on a free port of the loopback address.
//!
//! A watchdog, a shell that reads from a pipe which only we hold, stops the server and removes its folder
//! when the pipe closes: when the [`Server`] is dropped, and just as well when the test process is killed.
//! (A parent-death signal would not do: it comes when the *thread* ends that started the server.)

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Error;
use super::account::Account;
use super::installation::Installation;

/// How often another port is tried when the one that was free has been taken meanwhile.
const PORTS_TRIED: usize = 10;
/// How long a stopped server's port may stay taken by somebody else.
const PORT_RETURNS: Duration = Duration::from_secs(20);
/// How many seconds a server may take to start or stop, recovery after a crash included.
const START_SECONDS: &str = "60";
const LOG_LINES_SHOWN: usize = 30;
/// Where Linux keeps files in memory. In a container it often holds no more than 64 MiB.
const MEMORY: &str = "/dev/shm";
const MEMORY_NEEDED_KIB: u64 = 2 << 20;

/// How a server is to be started; see [`Server::setup`].
#[derive(Debug, Clone, Default)]
pub struct Setup {
    settings: Vec<(String, String)>,
    parent: Option<PathBuf>,
}

impl Setup {
    /// Sets a setting of `postgresql.conf`, such as `("max_connections", "12")`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives durability away for speed: nothing survives a loss of power, and the data may lie in memory.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        if self.parent.is_none() && free_kib(Path::new(MEMORY)) > Some(MEMORY_NEEDED_KIB) {
            self.parent = Some(MEMORY.into());
        }
        self.with("fsync", "off").with("synchronous_commit", "off").with("full_page_writes", "off")
    }

    /// Puts the server's folder into this one, a small file system for example.
    #[must_use]
    pub fn within(mut self, parent: &Path) -> Self {
        self.parent = Some(parent.to_owned());
        self
    }

    /// Creates the server and waits until it accepts connections.
    ///
    /// # Panics
    /// When it cannot be started, with the reason and what to do.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Server {
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`Setup::start`].
    ///
    /// # Errors
    /// When it cannot be started, with the reason and what to do.
    pub fn try_start(self) -> Result<Server, Error> {
        let installation = Installation::find()?;
        let parent = self.parent.unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new()
            .prefix("segue-postgres-")
            .tempdir_in(&parent)
            .map_err(|source| Error::Folder { path: parent, source })?;
        let account = Account::for_owner_of(folder.path())?;
        account.own(folder.path())?;
        let watchdog = Watchdog::over(folder.path(), &installation, account)?;
        let folder = folder.keep();
        let mut server = Server { folder, installation, account, port: 0, _watchdog: watchdog };
        server.initialise(&self.settings)?;
        server.start_on_a_free_port()?;
        Ok(server)
    }
}

/// A running PostgreSQL server with the superuser `postgres` and without passwords. Dropping it stops it
/// at once and soon removes all that it holds; so does the end of the test process, whatever ends it.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    installation: Installation,
    account: Account,
    port: u16,
    _watchdog: Watchdog,
}

impl Server {
    /// Starts a durable server with up to 200 connections.
    ///
    /// # Panics
    /// When it cannot be started, with the reason and what to do.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::setup().start()
    }

    /// Begins a server with other settings.
    #[must_use]
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// The URL of the superuser's database.
    #[must_use]
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// The URL of a database on this server, for the superuser.
    #[must_use]
    pub fn database_url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// The port on 127.0.0.1. It stays the same when the server is started again.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the server keeps its data.
    #[must_use]
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Stops it as a crash would: connections break, nothing is written any more, and the next start
    /// recovers from the log.
    ///
    /// # Panics
    /// When it does not stop, with the end of its log.
    #[track_caller]
    pub fn stop_immediate(&mut self) {
        self.stop("immediate");
    }

    /// Stops it in order: transactions are rolled back, connections closed, everything is written.
    ///
    /// # Panics
    /// When it does not stop, with the end of its log.
    #[track_caller]
    pub fn stop_fast(&mut self) {
        self.stop("fast");
    }

    /// Starts it again after a stop, on the same port, and waits until it accepts connections.
    ///
    /// # Panics
    /// When it does not start, with the end of its log.
    #[track_caller]
    pub fn start_again(&mut self) {
        let deadline = Instant::now() + PORT_RETURNS;
        loop {
            match self.launch() {
                Ok(()) => return,
                Err(Launch::PortTaken) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(Launch::PortTaken) => panic!("port {} stays taken", self.port),
                Err(Launch::Failed(error)) => panic!("{error}"),
            }
        }
    }

    /// Copies all that the server holds, while it is stopped.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[track_caller]
    pub fn back_up(&self) {
        assert!(!self.is_running(), "only a server that was stopped is copied");
        self.replace(&self.backup_folder(), &self.data_folder());
    }

    /// Puts the last backup in the place of all that the server holds, while it is stopped. As after every
    /// restoration by recovery, its next start begins another timeline.
    ///
    /// # Panics
    /// When there is no backup.
    #[track_caller]
    pub fn restore(&self) {
        assert!(!self.is_running(), "only a server that was stopped is restored");
        let data = self.data_folder();
        self.replace(&data, &self.backup_folder());
        self.shell("touch \"$1/recovery.signal\" && echo \"restore_command = 'false'\" >> \"$1/postgresql.conf\"", &[&data]);
    }

    fn backup_folder(&self) -> PathBuf {
        self.folder.join("backup")
    }

    #[track_caller]
    fn replace(&self, old: &Path, new: &Path) {
        self.shell("rm -rf \"$1\" && cp -a \"$2\" \"$1\"", &[old, new]);
    }

    /// Runs a line of shell as the server's account.
    #[track_caller]
    fn shell(&self, script: &str, arguments: &[&Path]) {
        let mut shell = command(Path::new("/bin/sh"), &self.folder, self.account);
        shell.args(["-c", script, "sh"]).args(arguments);
        if let Err(error) = self.run(&mut shell) {
            panic!("{error}");
        }
    }

    /// Lets every process of the server stand still, as a machine that hangs: connections stay and nothing
    /// is answered, until [`Server::thaw`].
    ///
    /// # Panics
    /// When the server is not running.
    #[track_caller]
    pub fn freeze(&self) {
        // The one that starts the others first, so that none is missed.
        self.signal_all("-STOP");
        self.signal_all("-STOP");
    }

    /// Lets the server go on after [`Server::freeze`].
    ///
    /// # Panics
    /// When the server is not running.
    #[track_caller]
    pub fn thaw(&self) {
        self.signal_all("-CONT");
    }

    /// Whether its first process is there. One that crashed may still be recovering.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.postmaster().is_some_and(|process| Path::new(&format!("/proc/{process}")).exists())
    }

    fn postmaster(&self) -> Option<u32> {
        let file = std::fs::read_to_string(self.data_folder().join("postmaster.pid")).ok()?;
        file.lines().next()?.parse().ok()
    }

    #[track_caller]
    fn signal_all(&self, signal: &str) {
        let postmaster = self.postmaster().expect("the server is running").to_string();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &postmaster]).output();
        let children = children.expect("ps is installed").stdout;
        let children = String::from_utf8_lossy(&children);
        // A child may have ended meanwhile, so the status says nothing.
        let _ = Command::new("kill")
            .args([signal, &postmaster])
            .args(children.split_whitespace())
            .stderr(Stdio::null())
            .status();
    }

    /// The server's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("postgresql.log")
    }

    fn initialise(&self, settings: &[(String, String)]) -> Result<(), Error> {
        let data = self.data_folder();
        let mut initdb = self.command("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        initdb.arg("--locale=C.UTF-8").arg("--pgdata").arg(&data);
        // People's order of letters, as most servers in production have it: what needs the order of
        // bytes must ask for it.
        if self.knows_icu()? {
            initdb.args(["--locale-provider=icu", "--icu-locale=en-US"]);
        }
        self.run(&mut initdb)?;
        let file = data.join("postgresql.conf");
        let write = || {
            let mut file = std::fs::OpenOptions::new().append(true).open(&file)?;
            writeln!(file, "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''")?;
            writeln!(file, "max_connections = 200")?;
            // One call in place of one for each of a thousand files: seconds at each start after a crash.
            writeln!(file, "recovery_init_sync_method = syncfs")?;
            for (name, value) in settings {
                writeln!(file, "{name} = '{}'", value.replace('\'', "''"))?;
            }
            Ok(())
        };
        write().map_err(|source| Error::Folder { path: file.clone(), source })
    }

    /// Says whether this version can order by ICU in a whole database (from 15 on).
    fn knows_icu(&self) -> Result<bool, Error> {
        let help = self.run(self.command("initdb").arg("--help"))?;
        Ok(help.contains("--icu-locale"))
    }

    fn start_on_a_free_port(&mut self) -> Result<(), Error> {
        let free = || TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|at| at.port());
        let no_port = |source| Error::Folder { path: "127.0.0.1:0".into(), source };
        for _ in 1..PORTS_TRIED {
            self.port = free().map_err(no_port)?;
            match self.launch() {
                Ok(()) => return Ok(()),
                Err(Launch::PortTaken) => {}
                Err(Launch::Failed(error)) => return Err(error),
            }
        }
        let source = std::io::ErrorKind::AddrInUse.into();
        Err(no_port(source))
    }

    fn launch(&self) -> Result<(), Launch> {
        let before = self.log().len();
        let mut start = self.control("start");
        start.args(["-t", START_SECONDS, "-o", &format!("-p {}", self.port)]);
        start.arg("-l").arg(self.log_file());
        match self.run(&mut start) {
            Ok(_) => Ok(()),
            Err(_) if self.log()[before..].contains("Address already in use") => {
                Err(Launch::PortTaken)
            }
            Err(error) => Err(Launch::Failed(error)),
        }
    }

    #[track_caller]
    fn stop(&mut self, mode: &str) {
        let mut stop = self.control("stop");
        stop.args(["-t", START_SECONDS, "-m", mode]);
        if let Err(error) = self.run(&mut stop) {
            panic!("{error}");
        }
    }

    fn control(&self, action: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.args([action, "-s", "-w", "-D"]).arg(self.data_folder());
        command
    }

    fn command(&self, program: &str) -> Command {
        command(&self.installation.program(program), &self.folder, self.account)
    }

    /// Runs a program to its end; answers with what it printed.
    fn run(&self, command: &mut Command) -> Result<String, Error> {
        let program = PathBuf::from(command.get_program());
        let output = match command.output() {
            Ok(output) => output,
            Err(source) => return Err(Error::Run { program, source }),
        };
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        if output.status.success() {
            return Ok(printed);
        }
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        let log = format!("{}:\n{last}", self.log_file().display());
        Err(Error::Failed { program, printed, log })
    }
}

/// Why a server is not running after an attempt to start it.
enum Launch {
    PortTaken,
    Failed(Error),
}

/// Stops the server and removes its folder when the pipe to it closes.
#[derive(Debug)]
struct Watchdog {
    shell: Child,
}

impl Watchdog {
    fn over(folder: &Path, at: &Installation, account: Account) -> Result<Self, Error> {
        let shell = Path::new("/bin/sh");
        // Removing a thousand files that were synced can take seconds; nobody has to wait for that.
        let script = r#"cat; "$0" stop -s -m immediate -D "$1/data"; rm -rf "$1" &"#;
        let mut watchdog = command(shell, folder, account);
        watchdog.arg("-c").arg(script).arg(at.program("pg_ctl")).arg(folder);
        // In a process group of its own: Ctrl-C ends the tests, and only then is it the watchdog's turn.
        watchdog.process_group(0);
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let shell =
            watchdog.spawn().map_err(|source| Error::Run { program: shell.to_owned(), source })?;
        Ok(Self { shell })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// The free space of a file system, as `df` tells it.
fn free_kib(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}

/// A program that knows nothing of the servers which the surrounding environment names.
fn command(program: &Path, folder: &Path, account: Account) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", OsStr::new("C.UTF-8")).current_dir(folder).stdin(Stdio::null());
    account.run(&mut command);
    command
}
