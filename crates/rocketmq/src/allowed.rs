//! What the server allows, as it says in its settings: bodies, attempts, waits between them.

use crate::wire::{self, settings::PubSub};
use std::time::Duration;

/// A body's limit until the server has said its own.
pub const BODY_MAX: usize = 4 << 20;

/// What the server allows, as it says in its settings.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Allowed {
    /// Largest body, in bytes.
    pub body_max: usize,
    /// Attempts of one request, the first included.
    pub attempts: u32,
    /// Before the second attempt.
    pub first_wait: Duration,
    /// Before any attempt.
    pub longest_wait: Duration,
    /// From one wait to the next.
    pub factor: f32,
}

impl Default for Allowed {
    fn default() -> Self {
        Self { body_max: BODY_MAX, attempts: 3, first_wait: Duration::from_millis(10), longest_wait: Duration::from_secs(1), factor: 2.0 }
    }
}

impl Allowed {
    /// With what the server says; what it does not say, or says absurdly, stays.
    pub fn with(mut self, settings: &wire::Settings) -> Self {
        // To a consumer the server says its group's policy, by which messages come again.
        let Some(PubSub::Publishing(publishing)) = &settings.pub_sub else { return self };
        self.body_max = usize::try_from(publishing.max_body_size).ok().filter(|size| *size > 0).unwrap_or(self.body_max);
        let Some(policy) = &settings.backoff_policy else { return self };
        self.attempts = u32::try_from(policy.max_attempts).ok().filter(|n| (1..=16).contains(n)).unwrap_or(self.attempts);
        if let Some(backoff) = &policy.exponential_backoff {
            let read = |duration: &Option<prost_types::Duration>| duration.and_then(wire::std_duration);
            self.first_wait = read(&backoff.initial).unwrap_or(self.first_wait);
            self.longest_wait = read(&backoff.max).unwrap_or(self.longest_wait);
            self.factor = if backoff.multiplier >= 1.0 { backoff.multiplier } else { self.factor };
        }
        self
    }

    /// Before the attempt after this many.
    pub fn wait(&self, attempts: u32) -> Duration {
        let factor = self.factor.powi(attempts.saturating_sub(1).min(30).cast_signed());
        let wait = Duration::try_from_secs_f32(self.first_wait.as_secs_f32() * factor);
        wait.unwrap_or(self.longest_wait).min(self.longest_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(attempts: i32, body: i32, factor: f32) -> wire::Settings {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        wire::Settings {
            backoff_policy: Some(wire::RetryPolicy {
                max_attempts: attempts,
                exponential_backoff: Some(wire::ExponentialBackoff { initial: seconds(1), max: seconds(5), multiplier: factor }),
            }),
            pub_sub: Some(PubSub::Publishing(wire::Publishing { topics: Vec::new(), max_body_size: body, validate_message_type: true })),
            ..wire::Settings::default()
        }
    }

    #[test]
    fn the_servers_policy_is_obeyed_and_what_makes_no_sense_is_not() {
        let allowed = Allowed::default().with(&settings(5, 1_000, 2.0));
        assert_eq!((allowed.attempts, allowed.body_max), (5, 1_000));
        let waits: Vec<u64> = (1..=5).map(|n| allowed.wait(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        assert_eq!(Allowed::default().with(&wire::Settings::default()), Allowed::default());
        let absurd = Allowed::default().with(&settings(-1, 0, 0.0));
        assert_eq!((absurd.attempts, absurd.body_max, absurd.factor), (3, BODY_MAX, 2.0));
        assert_eq!(Allowed::default().with(&settings(1_000_000, 1, f32::NAN)).attempts, 3);
        let of_a_group = wire::Settings { pub_sub: Some(PubSub::Subscription(wire::Subscription::default())), ..settings(1, 1, 2.0) };
        assert_eq!(Allowed::default().with(&of_a_group), Allowed::default());
    }
}
