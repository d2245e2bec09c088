use std::time::{Duration, Instant};

/// Waits for instants more precisely than tokio's millisecond timer, where the platform can.
pub struct Pacer {
    #[cfg(target_os = "linux")]
    timer: Option<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>>,
}

impl Pacer {
    /// Must be called on the runtime that will wait. Falls back to tokio's timer where there is no timerfd.
    #[cfg(target_os = "linux")]
    pub fn new() -> Self {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
            .ok()
            // SAFETY: an `OwnedFd` refers to the same open file until it is dropped, and the `AsyncFd` owns it.
            .and_then(|fd| unsafe { tokio::io::unix::AsyncFd::register(fd) }.ok());
        Self { timer }
    }

    #[cfg(not(target_os = "linux"))]
    pub fn new() -> Self {
        Self {}
    }

    pub async fn wait_until(&self, instant: Instant) {
        let left = instant.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // Others must get a turn even when every arrival is already due.
            tokio::task::yield_now().await;
            return;
        }
        #[cfg(target_os = "linux")]
        if let Some(timer) = &self.timer
            && wait_on(timer, left).await.is_some()
        {
            return;
        }
        tokio::time::sleep_until(instant.into()).await;
    }
}

#[cfg(target_os = "linux")]
async fn wait_on(timer: &tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>, left: Duration) -> Option<()> {
    use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    timerfd_settime(
        timer.get_ref(),
        TimerfdTimerFlags::empty(),
        &Itimerspec { it_interval: zero, it_value: value },
    )
    .ok()?;
    loop {
        let mut ready = timer.readable().await.ok()?;
        let mut expirations = [0u8; 8];
        let read =
            ready.try_io(|fd| rustix::io::read(fd.get_ref(), &mut expirations).map_err(std::io::Error::from));
        match read {
            Ok(Ok(_)) => return Some(()),
            Ok(Err(_)) => return None,
            // Readiness was left over from an earlier wait.
            Err(_) => {}
        }
    }
}
