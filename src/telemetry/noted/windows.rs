//! Requests by the window of time that they ended in.

use std::{collections::VecDeque, sync::Arc};

use super::{NotedRequest, WINDOWS};

/// The last [`WINDOWS`] windows in which there was a request.
#[derive(Default)]
pub(super) struct Windows {
    now: Window,
    /// Oldest first.
    past: VecDeque<Window>,
}

#[derive(Default)]
struct Window {
    number: u32,
    requests: Vec<Arc<NotedRequest>>,
}

impl Windows {
    /// The requests of window number `number`; of the newest where that is past: threads
    /// don't come in the order of their clocks.
    pub(super) fn at(&mut self, number: u32) -> &mut Vec<Arc<NotedRequest>> {
        if number > self.now.number {
            let past = std::mem::replace(&mut self.now, Window { number, requests: Vec::new() });
            self.past.push_back(past);
            let is_over = |window: &Window| window.number + WINDOWS <= number;
            while self.past.front().is_some_and(is_over) {
                self.past.pop_front();
            }
        }
        &mut self.now.requests
    }

    /// The number of the newest window.
    pub(super) fn newest(&self) -> u32 {
        self.now.number
    }

    /// All requests that are not over in window number `number`.
    pub(super) fn since(&self, number: u32) -> Vec<Arc<NotedRequest>> {
        let windows = self.past.iter().chain([&self.now]).filter(|window| window.number + WINDOWS > number);
        windows.flat_map(|window| &window.requests).map(Arc::clone).collect()
    }
}
