//! Messages that repeat are summed up.
//!
//! Anyone who can reach a port can cause a message, and then cause it ten thousand times a second.
//! So each place in the code that logs may do so [`BURST`] times within [`INTERVAL`]; further
//! messages are counted, and the count is logged when the interval is over, with one of the
//! messages as an example.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Messages of one place that are logged in one interval.
const BURST: u64 = 50;

/// From the first message of a place until it has its whole burst again.
const INTERVAL: Duration = Duration::from_secs(10);

/// Bytes of an example.
const EXAMPLE_BYTES_MAX: usize = 200;

/// Counts messages by the place that logs them. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats(Arc<Mutex<Vec<Place>>>);

/// A place that has logged in this interval.
#[derive(Debug)]
struct Place {
    callsite: Identifier,
    metadata: &'static Metadata<'static>,
    begun: Instant,
    said: u64,
    held_back: u64,
    /// The first message that was held back.
    example: String,
}

/// What was held back in an interval that is over.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    level: Level,
    target: &'static str,
    count: u64,
    seconds: u64,
    example: String,
}

impl Repeats {
    /// Reports what was held back in intervals that are over by `now`; in all intervals if no time
    /// is given.
    pub(super) fn report(&self, now: Option<Instant>) {
        for summary in self.take_due(now) {
            summary.say();
        }
    }

    fn take_due(&self, now: Option<Instant>) -> Vec<Summary> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due =
            |place: &mut Place| now.is_none_or(|now| now.saturating_duration_since(place.begun) >= INTERVAL);
        let seconds = |begun| now.unwrap_or_else(Instant::now).saturating_duration_since(begun).as_secs();
        let summarize = |place: Place| Summary {
            level: *place.metadata.level(),
            target: place.metadata.target(),
            count: place.held_back,
            seconds: seconds(place.begun).max(1),
            example: place.example,
        };
        places.extract_if(.., is_due).filter(|place| place.held_back > 0).map(summarize).collect()
    }

    /// Whether this message is logged, and not only counted.
    fn admit(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        let callsite = metadata.callsite();
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = places.iter().position(|place| place.callsite == callsite);
        let found = found.unwrap_or_else(|| {
            let place =
                Place { callsite, metadata, begun: now, said: 0, held_back: 0, example: String::new() };
            places.push(place);
            places.len() - 1
        });
        let place = &mut places[found];
        if place.said < BURST {
            place.said += 1;
            return true;
        }
        if place.held_back == 0 {
            place.example = text_of(event);
        }
        place.held_back += 1;
        false
    }
}

impl Summary {
    fn say(&self) {
        let Summary { level, target, count, seconds, example } = self;
        macro_rules! say {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    "{count} more messages of {target} in {seconds} s, such as: {example}"
                )
            };
        }
        match *level {
            Level::ERROR => say!(Level::ERROR),
            Level::WARN => say!(Level::WARN),
            Level::INFO => say!(Level::INFO),
            Level::DEBUG => say!(Level::DEBUG),
            Level::TRACE => say!(Level::TRACE),
        }
    }
}

/// Lets a subscriber log what [`Repeats`] admits.
impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        // Summaries are few, and must not be summed up themselves.
        event.metadata().target() == module_path!() || self.admit(event, Instant::now())
    }
}

/// The message of an event, without its fields.
fn text_of(event: &Event<'_>) -> String {
    let mut text = Text(String::new());
    event.record(&mut text);
    text.0
}

/// Takes the beginning of a message.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // An error says that there is no more room, which is what ends the example.
            let _ = write!(self, "{value:?}");
        }
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = EXAMPLE_BYTES_MAX - self.0.len();
        let taken = part.floor_char_boundary(room);
        self.0.push_str(&part[..taken]);
        if taken < part.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Said {
        fn lines(&self, containing: &str) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().filter(|line| line.contains(containing)).map(str::to_owned).collect()
        }
    }

    fn observe(test: impl FnOnce(&Repeats, &Said)) {
        let (repeats, said) = (Repeats::default(), Said::default());
        let writer = said.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        let subscriber = subscriber.finish().with(repeats.clone());
        tracing::subscriber::with_default(subscriber, || test(&repeats, &said));
    }

    fn greet(number: u64) {
        tracing::warn!(peer = "somebody", "caller {number} said something odd");
    }

    /// Clients that opened connections and sent garbage caused 10,900 lines a second until the disk
    /// was full.
    #[test]
    fn what_is_said_too_often_is_counted_and_the_count_is_said() {
        observe(|repeats, said| {
            let begun = Instant::now();
            (0..100_000).for_each(greet);
            tracing::info!("another place has its own count");
            assert_eq!(said.lines("something odd").len() as u64, BURST);
            assert_eq!(said.lines("another place").len(), 1);
            repeats.report(Some(begun));
            assert_eq!(said.lines("more messages"), Vec::<String>::new(), "the interval is not over");

            repeats.report(Some(Instant::now() + INTERVAL));
            let summary = said.lines("more messages");
            assert_eq!(summary.len(), 1, "{summary:?}");
            let expected = format!("{} more messages of {} in ", 100_000 - BURST, module_path!());
            assert!(summary[0].contains(&expected), "{summary:?}");
            assert!(summary[0].contains(" WARN "), "as serious as what it stands for: {summary:?}");
            assert!(summary[0].ends_with(&format!("such as: caller {BURST} said something odd")));

            // The next interval has a burst of its own.
            greet(7);
            assert_eq!(said.lines("caller 7 said").len(), 2);
            repeats.report(Some(Instant::now() + INTERVAL));
            assert_eq!(said.lines("more messages").len(), 1, "nothing was held back");
        });
    }

    #[test]
    fn a_process_that_ends_says_what_it_held_back() {
        observe(|repeats, said| {
            (0..BURST + 3).for_each(greet);
            repeats.report(None);
            assert_eq!(said.lines("3 more messages").len(), 1);
            assert!(repeats.take_due(None).is_empty());
        });
    }

    #[test]
    fn an_example_is_short_and_ends_between_characters() {
        observe(|repeats, _| {
            let long = "é".repeat(EXAMPLE_BYTES_MAX);
            for _ in 0..=BURST {
                tracing::warn!("x{long}");
            }
            let due = repeats.take_due(None);
            assert_eq!((due.len(), due[0].count), (1, 1));
            assert_eq!(due[0].example, format!("x{}", "é".repeat((EXAMPLE_BYTES_MAX - 1) / 2)));
        });
    }
}
