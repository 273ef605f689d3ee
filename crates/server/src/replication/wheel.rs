//! Who runs the cycle.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Driver, Fatal};
use crate::shared::Shared;

/// The longest wait for work before looking at sessions and containers.
const PATIENCE: Duration = Duration::from_millis(100);

/// A connection thread does not run a cycle if the latest flush took longer: whoever connects to it meanwhile waits that long.
const FLUSH_MAX: Duration = Duration::from_millis(2);

/// The driver, and whoever drives.
pub(crate) struct Wheel {
    shared: Arc<Shared>,
    seat: Mutex<Seat>,
}

/// What there is behind the wheel.
enum Seat {
    Driving(Box<Driver>),
    /// A connection thread's cycle failed; the replication thread will find out why.
    Failed(Fatal),
    /// The server has stopped.
    Empty,
}

impl Wheel {
    /// `driver` leads already.
    pub(crate) fn new(shared: Arc<Shared>, driver: Driver) -> Wheel {
        Wheel { shared, seat: Mutex::new(Seat::Driving(Box::new(driver))) }
    }

    /// Drives until the server stops or cannot go on.
    pub(crate) fn run(&self) -> Result<(), Fatal> {
        loop {
            self.shared.inbox.wait(PATIENCE);
            let mut seat = self.seat.lock();
            if let Seat::Driving(driver) = &mut *seat {
                match driver.cycle() {
                    Ok(()) if !driver.stop => continue,
                    Ok(()) => {}
                    Err(why) => *seat = Seat::Failed(why),
                }
            }
            return match std::mem::replace(&mut *seat, Seat::Empty) {
                Seat::Driving(driver) => driver.end(),
                Seat::Failed(why) => Err(why),
                Seat::Empty => Ok(()),
            };
        }
    }

    /// Runs `hand_over` and then one cycle on the caller's thread, if nobody else drives and the disk is quick; says whether it did.
    pub(crate) fn take_over(&self, hand_over: impl FnOnce()) -> bool {
        let Some(mut seat) = self.seat.try_lock() else { return false };
        let Seat::Driving(driver) = &mut *seat else { return false };
        if driver.flush_took > FLUSH_MAX {
            return false;
        }
        hand_over();
        if let Err(why) = driver.cycle() {
            *seat = Seat::Failed(why);
            drop(seat);
            self.shared.inbox.wake();
        }
        true
    }
}
