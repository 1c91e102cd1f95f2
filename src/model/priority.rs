//! Preparing must not cost requests their cores.

/// Lets every other thread of the machine go first, from now on and for this thread
/// alone. It can't be taken back. Where the system refuses, or knows only priorities of
/// whole processes, all stays as it is.
pub fn lowest_priority() {
    // On Linux a niceness is a thread's, whatever POSIX says; see setpriority(2).
    #[cfg(target_os = "linux")]
    let _refused = rustix::process::setpriority_process(None, LOWEST);
}

/// The niceness of who is nice to all others.
#[cfg(target_os = "linux")]
const LOWEST: i32 = 19;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn one_thread_lets_the_others_go_first() {
        let before = getpriority_process(None).unwrap();
        let prepares = thread::spawn(|| {
            lowest_priority();
            getpriority_process(None).unwrap()
        });
        assert_eq!(prepares.join().unwrap(), LOWEST);
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
