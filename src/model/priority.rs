//! Preparing and trying out must not cost requests their cores.

/// Has this thread run only while every other thread of its core has nothing to do, from
/// now on. It can't be taken back, and on cores that are never idle it hardly runs at
/// all. Where the system knows nothing of the kind, all stays as it is.
///
/// A niceness of 19 is not enough: Linux lets a thread that runs finish its slice of some
/// milliseconds however nice it is, while whoever wakes takes the core from an idle one
/// at once (sched(7), `SCHED_IDLE`).
pub fn only_when_idle() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
            unix::{set_thread_priority_and_policy, thread_native_id},
        };

        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let _refused = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
    }
}

/// Gives this thread the smallest share of a core that a thread can have which is to get
/// on with its work all the same, from now on.
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
    use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy, unix::thread_schedule_policy};

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

    #[test]
    fn one_thread_runs_when_the_others_do_not() {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let tries = thread::spawn(|| {
            only_when_idle();
            thread_schedule_policy().unwrap()
        });
        assert_eq!(tries.join().unwrap(), idle);
        assert_ne!(thread_schedule_policy().unwrap(), idle);
    }
}
