//! What became of an event for somebody's sockets, as far as they are here and sit where they sat.

use super::Dispatcher;
use crate::{
    audience::Topic,
    ids::{Cursor, SocketKey},
    ports::EffectSink,
    why::{Asked, EVENTS_ASKED, Outcome, Question, Report, SOCKETS_TOLD, SocketReport},
};

impl<S: EffectSink> Dispatcher<S> {
    pub(super) fn explain(&self, question: &Question) -> Report {
        let keys = self.rooms.sockets_of(&question.user);
        let told = keys.iter().take(SOCKETS_TOLD);
        let sockets: Vec<_> = told.filter_map(|key| self.explain_socket(*key, question)).collect();
        Report { told: self.chronicle.cursor(), more: keys.len() - sockets.len(), sockets }
    }

    fn explain_socket(&self, key: SocketKey, question: &Question) -> Option<SocketReport> {
        let told = self.chronicle.cursor();
        let same_epoch = question.epoch == told.epoch;
        let outcome = |asked| if same_epoch { self.explain_event(key, asked, told) } else { Outcome::OtherEpoch };
        let outcomes = question.events.iter().take(EVENTS_ASKED).map(outcome).collect();
        let seat = self.rooms.seats.get(&key)?;
        Some(SocketReport::of(&seat.actor, outcomes, self.sink.waiting(key)))
    }

    fn explain_event(&self, key: SocketKey, asked: &Asked, told: Cursor) -> Outcome {
        let is_as_it_was =
            || asked.place >= self.chronicle.history.floor() && !self.were_flags_changed_behind(key, asked.place);
        match self.rooms.outcome(key, asked, told) {
            Outcome::Sent | Outcome::SentIfOpen | Outcome::SwitchedOff
                if asked.topic != Topic::Always && !is_as_it_was() =>
            {
                Outcome::FlagsChanged
            }
            outcome => outcome,
        }
    }
}
