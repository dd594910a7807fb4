//! What each event does to the deadline, as data: steps of a connection at moments in seconds.

use super::*;

const TIMEOUTS: Timeouts = Timeouts { header: secs(10), idle: secs(60) };
const REQUEST: Duration = secs(30);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A connection that began at 0 s.
fn opened() -> Pace {
    Pace::new(TIMEOUTS, secs(0))
}

/// A connection whose handler began at 100 s.
fn handling(body: BodyAhead) -> Pace {
    let mut pace = opened();
    pace.read(secs(100));
    assert_eq!(pace.request_began(REQUEST, body), 1);
    pace
}

/// A connection that is idle since 100 s.
fn idle() -> Pace {
    let mut pace = handling(BodyAhead::No);
    pace.answered(1);
    pace.answer_ended(1);
    pace
}

/// Nothing is due a moment before, and this is due then.
fn check(pace: &mut Pace, at: u64, due: Due) {
    assert_eq!(pace.deadline(), Some(secs(at)));
    assert_eq!(pace.due(secs(at) - Duration::from_nanos(1)), Due::NotYet);
    assert_eq!(pace.due(secs(at)), due);
}

#[test]
fn a_first_head_is_due_from_the_beginning_on_however_it_dribbles() {
    check(&mut opened(), 10, Due::Close(CloseCause::SlowHead));
    let mut pace = opened();
    pace.read(secs(3));
    pace.read(secs(9));
    check(&mut pace, 10, Due::Close(CloseCause::SlowHead));
}

#[test]
fn a_later_head_is_due_from_its_first_byte_on() {
    let mut pace = idle();
    pace.read(secs(140));
    pace.read(secs(149));
    check(&mut pace, 150, Due::Close(CloseCause::SlowHead));
}

#[test]
fn an_idle_connection_is_closed_and_what_it_still_takes_counts_as_life() {
    check(&mut idle(), 160, Due::Close(CloseCause::Idle));
    let mut pace = idle();
    pace.write_blocked(secs(101));
    pace.wrote(secs(120));
    check(&mut pace, 180, Due::Close(CloseCause::Idle));
    let mut pace = idle();
    pace.write_blocked(secs(90));
    check(&mut pace, 150, Due::Close(CloseCause::Stalled));
}

#[test]
fn a_connection_rests_from_what_it_has_written_last_on() {
    let mut pace = handling(BodyAhead::No);
    pace.answered(1);
    pace.wrote(secs(120));
    pace.answer_ended(1);
    check(&mut pace, 180, Due::Close(CloseCause::Idle));
    let mut pace = idle();
    pace.wrote(secs(120));
    check(&mut pace, 180, Due::Close(CloseCause::Idle));
    let mut pace = idle();
    pace.write_blocked(secs(120));
    check(&mut pace, 180, Due::Close(CloseCause::Stalled));
}

#[test]
fn a_request_that_waited_behind_another_has_its_whole_time() {
    let mut pace = handling(BodyAhead::No);
    pace.answered(1);
    pace.answer_ended(1);
    pace.wrote(secs(129));
    pace.request_began(REQUEST, BodyAhead::No);
    check(&mut pace, 159, Due::GiveUp);
}

#[test]
fn a_handler_that_does_not_answer_is_given_up_once() {
    let mut pace = handling(BodyAhead::No);
    assert_eq!(pace.given_up(1), None);
    check(&mut pace, 130, Due::GiveUp);
    assert_eq!(pace.given_up(1), Some(WaitedFor::Handler));
    // A connection that does not even send the refusal is closed.
    check(&mut pace, 190, Due::Close(CloseCause::Stalled));
}

#[test]
fn a_handler_that_waits_for_the_body_is_given_up_for_the_clients_sake() {
    let mut pace = handling(BodyAhead::Yes);
    pace.body_awaited(1, secs(101));
    pace.body_came(1);
    pace.body_awaited(1, secs(110));
    check(&mut pace, 130, Due::GiveUp);
    assert_eq!(pace.given_up(1), Some(WaitedFor::Body));
}

#[test]
fn a_route_without_a_timeout_has_that_of_its_body() {
    let mut pace = handling(BodyAhead::Yes);
    pace.set_request_timeout(1, None);
    assert_eq!(pace.deadline(), None);
    pace.body_awaited(1, secs(1000));
    pace.body_awaited(1, secs(1030));
    check(&mut pace, 1060, Due::GiveUp);
    assert_eq!(pace.given_up(1), Some(WaitedFor::Body));
}

#[test]
fn a_route_has_its_own_timeout() {
    let mut pace = handling(BodyAhead::No);
    pace.set_request_timeout(1, Some(secs(5)));
    check(&mut pace, 105, Due::GiveUp);
}

#[test]
fn a_response_may_take_any_time_but_not_a_client_that_takes_nothing() {
    let mut pace = handling(BodyAhead::No);
    pace.answered(1);
    assert_eq!(pace.deadline(), None);
    pace.write_blocked(secs(500));
    pace.write_blocked(secs(550));
    pace.wrote(secs(555));
    assert_eq!(pace.deadline(), None);
    pace.write_blocked(secs(560));
    check(&mut pace, 620, Due::Close(CloseCause::Stalled));
}

#[test]
fn a_response_that_waits_for_the_body_is_closed() {
    let mut pace = handling(BodyAhead::Yes);
    pace.answered(1);
    pace.body_awaited(1, secs(200));
    check(&mut pace, 260, Due::Close(CloseCause::Stalled));
}

#[test]
fn what_an_earlier_request_left_behind_changes_nothing() {
    let mut pace = idle();
    pace.read(secs(200));
    assert_eq!(pace.request_began(REQUEST, BodyAhead::No), 2);
    pace.set_request_timeout(1, None);
    pace.body_awaited(1, secs(201));
    pace.body_ended(1);
    pace.answer_ended(1);
    check(&mut pace, 230, Due::GiveUp);
    assert_eq!((pace.given_up(1), pace.given_up(2)), (None, Some(WaitedFor::Handler)));
}

#[test]
fn a_draining_connection_waits_a_little_for_a_first_request_only() {
    let mut pace = opened();
    assert_eq!(pace.drain(secs(5)), DrainNow::WithResponse);
    check(&mut pace, 6, Due::Close(CloseCause::SlowHead));
    let mut pace = opened();
    assert_eq!(pace.drain(secs(5)), DrainNow::WithResponse);
    pace.read(secs(5));
    check(&mut pace, 15, Due::Close(CloseCause::SlowHead));
    assert_eq!(idle().drain(secs(100)), DrainNow::Yes);
    let mut pace = handling(BodyAhead::No);
    assert_eq!(pace.drain(secs(101)), DrainNow::WithResponse);
    pace.answered(1);
    assert_eq!(pace.drain(secs(102)), DrainNow::Yes);
}

#[test]
fn a_client_that_may_still_be_sending_is_lingered_for() {
    let mut pace = idle();
    assert_eq!(pace.closing(secs(101)), Closing::AtOnce);
    pace.read(secs(102));
    assert_eq!(pace.closing(secs(103)), Closing::AfterLinger);
    check(&mut pace, 105, Due::Close(CloseCause::Lingered));
    let mut pace = handling(BodyAhead::Yes);
    pace.answered(1);
    pace.answer_ended(1);
    assert_eq!(pace.closing(secs(101)), Closing::AfterLinger);
    let mut pace = handling(BodyAhead::Yes);
    pace.body_ended(1);
    pace.answered(1);
    pace.answer_ended(1);
    assert_eq!(pace.closing(secs(101)), Closing::AtOnce);
}

#[test]
fn a_connection_that_a_handler_took_over_has_no_deadline_and_closes_at_once() {
    let mut pace = handling(BodyAhead::Yes);
    pace.upgraded(1);
    pace.answer_ended(1);
    pace.read(secs(102));
    assert_eq!((pace.deadline(), pace.due(secs(10_000))), (None, Due::NotYet));
    assert_eq!(pace.drain(secs(103)), DrainNow::Yes);
    assert_eq!(pace.closing(secs(103)), Closing::AtOnce);
}

#[test]
fn the_rest_of_a_body_is_waited_for_a_second() {
    let mut pace = handling(BodyAhead::Yes);
    pace.skips_body(1, secs(105));
    check(&mut pace, 106, Due::GiveUp);
    assert_eq!(pace.given_up(1), Some(WaitedFor::Body));
    let mut pace = handling(BodyAhead::Yes);
    pace.skips_body(1, secs(105));
    pace.body_ended(1);
    pace.answered(1);
    assert_eq!((pace.deadline(), pace.closing(secs(105))), (None, Closing::AtOnce));
}

/// An HTTP/2 connection that began at 100 s.
fn streams() -> Pace {
    let mut pace = opened();
    pace.streams_begin(secs(100));
    pace
}

#[test]
fn a_connection_without_streams_is_sent_away_and_then_closed() {
    let mut pace = streams();
    pace.read(secs(130));
    check(&mut pace, 160, Due::GoAway);
    check(&mut pace, 162, Due::Close(CloseCause::Idle));
}

#[test]
fn a_connection_with_streams_has_no_deadline_but_that_of_what_it_does_not_take() {
    let mut pace = streams();
    pace.stream_began();
    pace.stream_began();
    pace.stream_ended(secs(200));
    assert_eq!(pace.deadline(), None);
    pace.write_blocked(secs(300));
    check(&mut pace, 360, Due::Close(CloseCause::Stalled));
    pace.wrote(secs(361));
    pace.stream_ended(secs(400));
    check(&mut pace, 460, Due::GoAway);
}

#[test]
fn a_draining_connection_waits_for_its_streams_and_then_a_little() {
    let mut pace = streams();
    pace.stream_began();
    assert_eq!(pace.drain(secs(110)), DrainNow::Yes);
    assert_eq!(pace.deadline(), None);
    pace.stream_ended(secs(500));
    check(&mut pace, 502, Due::Close(CloseCause::Idle));
    assert_eq!(streams().closing(secs(110)), Closing::AfterLinger);
}
