//! The limiter against its promise, over random attempts on a virtual clock.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limiter(burst: u32, every_secs: u32, keys_max: usize) -> Limiter<u8> {
    Limiter::new(Rate::new(burst, every_secs.into()), NonZeroUsize::new(keys_max).unwrap())
}

#[test]
fn a_burst_is_possible_and_then_one_at_a_time() {
    let mut limiter = limiter(3, 10, 100);
    let mut take = |now: u32| limiter.take(&1, now * SECOND);
    assert_eq!([take(100), take(100), take(101)], [Ok(()); 3]);
    assert_eq!(take(101), Err(Wait(9 * SECOND)));
    assert_eq!(take(109), Err(Wait(SECOND)));
    assert_eq!(take(110), Ok(()));
    assert_eq!(take(110), Err(Wait(10 * SECOND)));
    assert_eq!([take(1_000), take(1_000), take(1_000)], [Ok(()); 3], "never more than the burst");
    assert!(take(1_000).is_err());
}

#[test]
fn keys_do_not_hinder_each_other() {
    let mut limiter = limiter(1, 10, 100);
    assert_eq!(limiter.take(&1, SECOND), Ok(()));
    assert!(limiter.take(&1, SECOND).is_err());
    assert_eq!(limiter.take(&2, SECOND), Ok(()));
}

#[test]
fn an_attempt_that_is_given_back_was_never_taken() {
    let mut limiter = limiter(2, 10, 100);
    assert_eq!(limiter.take(&1, SECOND), Ok(()));
    for _ in 0..100 {
        assert_eq!(limiter.take(&1, SECOND), Ok(()));
        limiter.give_back(&1);
    }
    assert_eq!(limiter.take(&1, SECOND), Ok(()));
    assert!(limiter.take(&1, SECOND).is_err());
    limiter.give_back(&2);
    assert_eq!(limiter.full_at.len(), 1);
}

#[test]
fn a_rate_of_zero_time_limits_nothing_and_keeps_nothing() {
    let mut limiter = limiter(1, 0, 100);
    for _ in 0..100 {
        assert_eq!(limiter.take(&1, SECOND), Ok(()));
    }
    assert_eq!(limiter.full_at.len(), 0);
}

#[test]
fn a_rate_of_endless_time_gives_its_burst_and_does_not_overflow() {
    let rate = Rate { burst: NonZeroU32::new(2).unwrap(), every: Duration::MAX };
    let mut limiter = Limiter::new(rate, NonZeroUsize::MIN);
    assert_eq!([SECOND, SECOND].map(|now| limiter.take(&1, now)), [Ok(()); 2]);
    assert!(matches!(limiter.take(&1, 2 * SECOND), Err(Wait(wait)) if wait < Duration::MAX));
    limiter.give_back(&1);
    assert_eq!(limiter.take(&1, 2 * SECOND), Ok(()));
}

#[test]
fn a_flood_of_keys_does_not_free_the_one_that_is_locked() {
    let mut limiter = Limiter::new(Rate::new(5, 10), NonZeroUsize::new(100).unwrap());
    for _ in 0..5 {
        assert_eq!(limiter.take(&0_u32, SECOND), Ok(()));
    }
    for key in 1..10_000 {
        assert_eq!(limiter.take(&key, SECOND), Ok(()));
        assert!(limiter.full_at.len() <= 100);
    }
    assert!(limiter.take(&0, SECOND).is_err());
}

#[test]
fn buckets_that_are_full_again_are_not_kept() {
    let mut limiter = limiter(5, 10, 100);
    for key in 0..50 {
        limiter.take(&key, SECOND).unwrap();
    }
    limiter.take(&99, 11 * SECOND).unwrap();
    assert_eq!((limiter.full_at.len(), limiter.by_time.len()), (1, 1));
}

#[test]
fn an_origin_is_an_ipv4_address_or_an_ipv6_network() {
    let origin = |text: &str| Origin::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(origin("2001:db8:1:2:3::4"), origin("2001:db8:1:2:ffff::1"));
    assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
    assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
    assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
}

/// What happens to a limiter.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pass(u16),
    Take(u8),
    TakeAndGiveBack(u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (0..25_000_u16).prop_map(Event::Pass),
        (0..4_u8).prop_map(Event::Take),
        (0..4_u8).prop_map(Event::Take),
        (0..4_u8).prop_map(Event::TakeAndGiveBack),
    ];
    prop::collection::vec(event, 0..200)
}

/// Plays the events, milliseconds passing; gives when each key's attempts were possible.
fn play(limiter: &mut Limiter<u8>, events: &[Event]) -> BTreeMap<u8, Vec<Duration>> {
    let mut now = SECOND;
    let mut taken: BTreeMap<u8, Vec<Duration>> = BTreeMap::new();
    for event in events {
        match *event {
            Event::Pass(millis) => now += Duration::from_millis(millis.into()),
            Event::Take(key) => match limiter.take(&key, now) {
                Ok(()) => taken.entry(key).or_default().push(now),
                Err(Wait(wait)) => {
                    let nearly = now + wait - Duration::from_nanos(1);
                    assert!(limiter.check(&key, nearly).is_err(), "possible before it says so");
                    assert_eq!(limiter.check(&key, now + wait), Ok(()), "not when it says so");
                }
            },
            Event::TakeAndGiveBack(key) => {
                if limiter.take(&key, now).is_ok() {
                    limiter.give_back(&key);
                }
            }
        }
        assert_eq!(limiter.full_at.len(), limiter.by_time.len());
    }
    taken
}

proptest! {
    #[test]
    fn no_time_has_more_attempts_than_the_rate_allows(
        burst in 1..6_u32, every in 1..20_u32, events in events(),
    ) {
        let mut limiter = limiter(burst, every, 100);
        for attempts in play(&mut limiter, &events).values() {
            for (first, from) in attempts.iter().enumerate() {
                for (count, to) in (1_u64..).zip(&attempts[first..]) {
                    let came_back = (*to - *from).as_nanos() / (every * SECOND).as_nanos();
                    prop_assert!(u128::from(count) <= u128::from(burst) + came_back);
                }
            }
        }
    }

    #[test]
    fn what_is_given_back_makes_no_difference(burst in 1..6_u32, events in events()) {
        let without: Vec<Event> = events
            .iter()
            .copied()
            .filter(|event| !matches!(event, Event::TakeAndGiveBack(_)))
            .collect();
        let played = [&events, &without].map(|events| play(&mut limiter(burst, 10, 100), events));
        prop_assert_eq!(&played[0], &played[1]);
    }

    #[test]
    fn the_table_is_bounded(keys_max in 1..4_usize, events in events()) {
        let mut limiter = limiter(3, 10, keys_max);
        for event in events {
            play(&mut limiter, &[event]);
            prop_assert!(limiter.full_at.len() <= keys_max);
        }
    }
}
