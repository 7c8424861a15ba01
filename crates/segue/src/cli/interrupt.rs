//! Saying goodbye at Ctrl-C, where the server goes on with what was asked of it.

use std::sync::{Mutex, Once, PoisonError};

/// The exit code of a command that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

/// What is said.
static GOODBYE: Mutex<String> = Mutex::new(String::new());

/// Prints this at Ctrl-C and ends the process, instead of ending without a word; the last text counts.
pub fn say_goodbye(text: String) {
    static LISTENING: Once = Once::new();
    *GOODBYE.lock().unwrap_or_else(PoisonError::into_inner) = text;
    LISTENING.call_once(|| {
        std::thread::spawn(listen);
    });
}

fn listen() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Without it Ctrl-C still ends the process, if without a word.
    let Ok(runtime) = runtime else { return };
    if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
        eprintln!("\n{}", GOODBYE.lock().unwrap_or_else(PoisonError::into_inner));
        std::process::exit(INTERRUPTED);
    }
}
