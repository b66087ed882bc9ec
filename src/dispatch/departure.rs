//! Users who are deleted: their sessions end before anything of the tick that deletes them is told.

use super::Dispatcher;
use crate::{change::Change, ids::Room, ports::EffectSink};

impl<S: EffectSink> Dispatcher<S> {
    /// Ends every session of whoever is deleted, in whatever community it is.
    pub(super) fn end_sessions<'a>(&mut self, changes: impl Iterator<Item = &'a Change>) {
        for change in changes {
            let Change::UserDeleted { user } = change else { continue };
            for key in self.rooms.members(&Room::User(user.clone())) {
                self.rooms.disconnect(key);
                self.sink.expire(key);
            }
            self.attendance.dismissed.push(user.clone());
        }
    }
}
