//! The log: text or JSON, to standard error. A panic is written there too, and ends the process.

use tetragon_daemon::log;
use tracing::Level;
use tracing_subscriber::EnvFilter;

/// Exit code after a panic.
pub const DEFECT: i32 = 101;

/// Starts the log.
pub fn start(level: Level, format: log::Format) {
    log::start(filter(level), format);
}

/// kube puts what it is at around each of our lines, which say it themselves: that is for debugging.
fn filter(level: Level) -> EnvFilter {
    let kube = if level <= Level::INFO { ",kube_runtime=warn,kube_client=warn" } else { "" };
    EnvFilter::new(format!("{level}{kube}"))
}

/// A panic in a task would end that task alone, and an operator that does half of its work looks
/// healthy. Kubernetes starts it again, and counts.
pub fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, "the operator ends: a defect, please report it: {message}");
        std::process::exit(DEFECT);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubes_own_lines_are_for_debugging() {
        assert_eq!(filter(Level::DEBUG).to_string(), "debug");
        let info = filter(Level::INFO).to_string();
        assert!(info.contains("kube_runtime=warn") && info.contains("info"), "{info}");
    }

    #[test]
    fn a_panic_in_a_thread_ends_the_process() {
        const HERE: &str = "PANIC_IN_THIS_PROCESS";
        if std::env::var_os(HERE).is_some() {
            end_on_panic();
            let _ = std::thread::spawn(|| panic!("on purpose")).join();
            return;
        }
        let this = ["--exact", "platform::logs::tests::a_panic_in_a_thread_ends_the_process"];
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new(program).args(this).env(HERE, "1").output().unwrap();
        assert_eq!(output.status.code(), Some(DEFECT), "{output:?}");
    }
}
