//! Random lives of sessions: the store against a model that keeps everything in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Event {
    Begin,
    /// Offers the refresh token that is so many generations old.
    Refresh {
        id: u8,
        age: usize,
    },
    End(u8),
    EndAll,
    Sweep,
    Pass(u64),
}

/// A session as the model knows it.
#[derive(Clone, Debug)]
struct Life {
    created_at: u64,
    access_until: u64,
    /// Refresh tokens given out so far.
    generations: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Goes,
    Ended,
    Swept,
}

#[derive(Default)]
struct Model {
    now: u64,
    lives: BTreeMap<u8, Life>,
}

impl Model {
    fn goes(&self) -> Vec<u8> {
        let goes = self.lives.iter().filter(|(_, life)| life.state == State::Goes);
        let mut by_age: Vec<_> = goes.map(|(id, life)| (life.created_at, *id)).collect();
        by_age.sort_unstable();
        by_age.into_iter().map(|(_, id)| id).collect()
    }

    fn begin(&mut self) -> u8 {
        let goes = self.goes();
        let too_many = (goes.len() + 1).saturating_sub(POLICY.per_account_max.get());
        goes[..too_many].iter().for_each(|id| self.end(*id));
        let id = u8::try_from(self.lives.len() + 1).unwrap();
        let (created_at, access_until) = (self.now, self.now + 100);
        let life = Life { created_at, access_until, generations: 1, state: State::Goes };
        self.lives.insert(id, life);
        id
    }

    fn end(&mut self, id: u8) {
        if let Some(life) = self.lives.get_mut(&id).filter(|life| life.state == State::Goes) {
            life.state = State::Ended;
        }
    }

    fn sweep(&mut self) {
        for life in self.lives.values_mut() {
            if life.state == State::Goes && life.created_at + 1_000 <= self.now {
                life.state = State::Swept;
            }
        }
    }

    /// What becomes of an offer, in one word.
    fn refresh(&mut self, id: u8, age: usize) -> &'static str {
        let Some(life) = self.lives.get_mut(&id) else { return "refused" };
        let expires_at = life.created_at + 1_000;
        if life.state != State::Goes || self.now >= expires_at {
            return "refused";
        }
        if age > 0 {
            life.state = State::Ended;
            return "reused";
        }
        life.generations += 1;
        life.access_until = life.access_until.max((self.now + 100).min(expires_at));
        "goes on"
    }

    fn revocations(&self) -> Vec<Revocation> {
        let ended = self.lives.iter().filter(|(_, life)| life.state == State::Ended);
        let mut all: Vec<_> = ended
            .map(|(id, life)| revocation(*id, life.access_until))
            .filter(|revocation| revocation.until.0 > self.now)
            .collect();
        all.sort_unstable();
        all
    }
}

/// The token of a session's generation: the first has number 1.
fn generation(id: u8, number: u8) -> RefreshParts {
    if number == 1 { first(id) } else { first(id).next([number + 100; 32]) }
}

fn word(rotation: Rotation) -> &'static str {
    match rotation {
        Rotation::GoesOn(_) => "goes on",
        Rotation::Reused(_) => "reused",
        Rotation::Refused(_) => "refused",
    }
}

fn play(store: &SessionStore, model: &mut Model, event: Event) {
    let now = UnixTime(model.now);
    match event {
        Event::Begin => {
            let id = model.begin();
            begin(store, id, now.0);
        }
        Event::Refresh { id, age } => {
            let generations = model.lives.get(&id).map_or(1, |life| usize::from(life.generations));
            let age = age.min(generations - 1);
            let offered = generation(id, u8::try_from(generations - age).unwrap());
            let next = generation(id, u8::try_from(generations + 1).unwrap());
            let rotation = store.rotate(&offered, &next, &POLICY, now).unwrap();
            assert_eq!(word(rotation), model.refresh(id, age), "{event:?} at {now:?}");
        }
        Event::End(id) => {
            model.end(id);
            store.end(first(id).session_id, now).unwrap();
        }
        Event::EndAll => {
            let goes = model.goes();
            goes.iter().for_each(|id| model.end(*id));
            assert_eq!(store.end_all(UserId(7), now).unwrap().sessions, goes.len());
        }
        Event::Sweep => {
            model.sweep();
            assert_eq!(store.sweep(now, 100).unwrap(), Swept::All);
        }
        Event::Pass(secs) => model.now += secs,
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let id = || 1..8_u8;
    let event = prop_oneof![
        3 => Just(Event::Begin),
        6 => id().prop_map(|id| Event::Refresh { id, age: 0 }),
        1 => (id(), 1..4_usize).prop_map(|(id, age)| Event::Refresh { id, age }),
        1 => id().prop_map(Event::End),
        1 => Just(Event::EndAll),
        1 => Just(Event::Sweep),
        3 => (0..200_u64).prop_map(Event::Pass),
        1 => (0..1_000_u64).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn sessions_live_and_end_as_the_model_says(events in events()) {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory);
        let mut model = Model { now: 5_000, ..Model::default() };
        for event in events {
            play(&store, &mut model, event);
            let goes = model.goes().len() as u64;
            let [sessions, of_users, ends, _] = rows(&store);
            prop_assert_eq!([sessions, of_users, ends], [goes; 3]);
            prop_assert_eq!(store.revocations(UnixTime(model.now)).unwrap(), model.revocations());
        }
    }
}
