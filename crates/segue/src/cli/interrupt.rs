//! Saying goodbye at Ctrl-C, where the server goes on with what was asked of it.

/// The exit code of a command that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

/// Prints this at Ctrl-C and ends the process, instead of ending without a word. Once for a process.
pub fn say_goodbye(text: String) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Without it Ctrl-C still ends the process, if without a word.
        let Ok(runtime) = runtime else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            eprintln!("\n{text}");
            std::process::exit(INTERRUPTED);
        }
    });
}
