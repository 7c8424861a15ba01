//! Saying goodbye at Ctrl-C, where the server goes on with what was asked of it.

use std::io::{self, Write as _};
use std::sync::{Mutex, Once, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

/// The exit code of a command that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

/// What is said.
static GOODBYE: Mutex<String> = Mutex::new(String::new());

/// Prints this at Ctrl-C from now on and ends the process, instead of ending without a word; the last text counts.
pub fn say_goodbye(text: String) {
    static LISTENING: Once = Once::new();
    *GOODBYE.lock().unwrap_or_else(PoisonError::into_inner) = text;
    // Where it cannot listen, Ctrl-C still ends the process, if without a word.
    LISTENING.call_once(|| drop(listen()));
}

fn listen() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut interrupts = {
        let _within = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    std::thread::spawn(move || {
        if runtime.block_on(interrupts.recv()).is_some() {
            let goodbye = GOODBYE.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever would have read it may be gone.
            let _ = writeln!(io::stderr(), "\n{goodbye}");
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}
