//! The guest's first process: prepares the system, then does what the host asks over the serial port.
//!
//! Everything runs in one thread around one `poll`. Messages for people go to the console.

mod serve;
mod setup;
mod sys;

fn main() {
    if std::process::id() != 1 {
        eprintln!("guest-init: it is the first process of a test guest and does nothing elsewhere");
        std::process::exit(2);
    }
    if let Err(error) = setup::prepare().and_then(|port| serve::serve(&port)) {
        println!("guest-init: {error}");
    }
    sys::power_off();
}
