//! What the index remembers of an order's status, and how many orders of each sale have which. It knows no row.

use sale::order::Status;

/// What the process remembers of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It is there, with this status.
    Row(Status),
    /// The history knows it and the rows do not: somebody deleted it.
    Deleted,
}

impl Life {
    /// Confirmed, so it waits for its payment.
    pub(super) fn waits(self) -> bool {
        self == Self::Row(Status::Confirmed)
    }
}

/// Orders by sale and status. A sale's key in the file counts from one.
#[derive(Default)]
pub(super) struct Tally(Vec<[u64; Status::ALL.len()]>);

impl Tally {
    /// One order more.
    pub(super) fn enter(&mut self, sale: u16, life: Life) {
        if let Life::Row(status) = life {
            let sales = self.0.len().max(usize::from(sale));
            self.0.resize(sales, [0; Status::ALL.len()]);
            self.0[usize::from(sale) - 1][status as usize] += 1;
        }
    }

    /// One order less: it was counted before.
    pub(super) fn leave(&mut self, sale: u16, life: Life) {
        if let Life::Row(status) = life {
            self.0[usize::from(sale) - 1][status as usize] -= 1;
        }
    }

    /// The statuses that some order of a sale has.
    pub(super) fn of(&self, sale: u16) -> Vec<(Status, u64)> {
        let counts = usize::from(sale).checked_sub(1).and_then(|at| self.0.get(at)).copied().unwrap_or_default();
        Status::ALL.into_iter().zip(counts).filter(|&(_, count)| count > 0).collect()
    }
}
