//! Gates of several stages, before somebody who has proven something already.

use super::*;

#[test]
fn what_somebody_has_proven_stands_and_what_it_has_not_is_asked() {
    let ann = standing("ann", Kind::Password);
    let mut one = inner(
        "gate = ['password', { any = ['token', 'password'] }]",
        &ann,
        Caller::default(),
        Now::default(),
    );
    assert_eq!(next(&mut one), Some(Output::Pass), "finished");
    let mut other = inner("gate = ['token']", &ann, Caller::default(), Now::default());
    assert_eq!(code(&next(&mut other).unwrap()), Code::NotAuthorised);
    let pump = standing("pump", Kind::Token);
    let mut more = inner("gate = ['token', 'key']", &pump, Caller::default(), Now::default());
    assert!(matches!(next(&mut more), Some(Output::Say(Prompt::Challenge { .. }))));
    let mut none = inner("gate = ['password', 'key']", &ann, Caller::default(), Now::default());
    assert_eq!(
        code(&next(&mut none).unwrap()),
        Code::NotAuthorised,
        "it has no key that it could be asked for"
    );
}

#[test]
fn any_of_several_conditions_is_enough_and_none_is_not() {
    let gate = "gate = [{ any = [{ address = ['192.0.2.0/24'] }, { schedule = ['tue 00:00-24:00'] }] }, { seats = 2 }]";
    let at = |address: &str, ms| {
        let caller = Caller { address: Some(address.parse().unwrap()), ..Caller::default() };
        let now = Now { wall: Wall(ms), ..Now::default() };
        let mut gate = inner(gate, &standing("ann", Kind::Password), caller, now);
        let output = next(&mut gate).unwrap();
        (gate, output)
    };
    let (tuesday, thursday) = (1_700_000_000_000, 0);
    for (address, ms) in [("192.0.2.7", thursday), ("198.51.100.1", tuesday)] {
        let (mut gate, seat) = at(address, ms);
        assert!(matches!(seat, Output::Do { effect: Effect::Seat { most: 2 }, .. }));
        assert_eq!(judge(&mut gate, &seat, Verdict::Matches), Output::Pass);
        let (mut gate, seat) = at(address, ms);
        assert_eq!(code(&judge(&mut gate, &seat, Verdict::Differs)), Code::TooMany);
    }
    assert_eq!(code(&at("198.51.100.1", thursday).1), Code::Denied);
}

#[test]
fn who_has_no_key_comes_to_what_else_a_stage_takes() {
    for method in ["key", "secret"] {
        let stages = format!("gate = [{{ any = ['{method}', 'knock'] }}]");
        let at = |name| inner(&stages, &standing(name, Kind::Token), Caller::default(), Now::default());
        assert_eq!(next(&mut at("bob")), Some(Output::Say(Prompt::Knocked)), "{method}");
        assert!(matches!(next(&mut at("pump")), Some(Output::Say(Prompt::Challenge { .. }))), "{method}");
    }
    // Who has one and cannot be asked for it comes there too.
    let stages = "gate = [{ any = ['key', { address = ['192.0.2.0/24'] }] }]";
    for (address, passes) in [("192.0.2.7", true), ("198.51.100.1", false)] {
        let caller = Caller { address: Some(address.parse().unwrap()), ..Caller::default() };
        let mut gate = inner(stages, &standing("pump", Kind::Token), caller, Now::default());
        assert!(matches!(next(&mut gate), Some(Output::Say(Prompt::Challenge { .. }))));
        gate.handle(Input::Unasked, Now::default());
        let output = next(&mut gate).unwrap();
        assert_eq!(output == Output::Pass, passes, "{output:?}");
    }
}

#[test]
fn who_knocks_waits_for_a_yes_and_not_for_ever() {
    let begin = || {
        let mut gate =
            inner("gate = ['knock']", &standing("bob", Kind::Token), Caller::default(), Now::default());
        assert_eq!(next(&mut gate), Some(Output::Say(Prompt::Knocked)));
        let asked = next(&mut gate).unwrap();
        assert!(matches!(asked, Output::Do { effect: Effect::Knock, .. }));
        (gate, asked)
    };
    let (mut gate, asked) = begin();
    assert_eq!(judge(&mut gate, &asked, Verdict::Matches), Output::Pass);
    let (mut gate, asked) = begin();
    assert_eq!(code(&judge(&mut gate, &asked, Verdict::Differs)), Code::Denied);
    let (mut gate, _) = begin();
    let time = gate.poll_timeout().unwrap();
    gate.handle(Input::Deadline, Now { time, ..Now::default() });
    assert_eq!(code(&next(&mut gate).unwrap()), Code::Timeout);
}

#[test]
fn browser_of_a_page_that_is_listed_passes_and_who_names_none_does_not() {
    let gate = "gate = [{ origin = ['https://board.example', 'http://127.0.0.1:8080'] }]";
    let at = |origin: Option<&str>| {
        let caller = Caller { origin: origin.map(Into::into), ..Caller::default() };
        next(&mut inner(gate, &standing("ann", Kind::Password), caller, Now::default())).unwrap()
    };
    for page in ["https://board.example", "HTTPS://board.example:443", "http://127.0.0.1:8080"] {
        assert_eq!(at(Some(page)), Output::Pass, "{page}");
    }
    let elsewhere =
        ["https://evil.example", "http://board.example", "https://board.example.evil", "null", ""];
    for page in elsewhere.into_iter().map(Some).chain([None]) {
        assert_eq!(code(&at(page)), Code::Denied, "{page:?}");
    }
}

#[test]
fn cookie_and_ticket_are_stages_for_who_came_by_them_and_for_nobody_else() {
    for (stage, kind) in [("cookie", Kind::Cookie), ("ticket", Kind::Ticket)] {
        let at = |came: Kind| {
            let gate = format!("gate = ['{stage}']");
            next(&mut inner(&gate, &standing("ann", came), Caller::default(), Now::default())).unwrap()
        };
        assert_eq!(at(kind), Output::Pass, "{stage}");
        assert_eq!(code(&at(Kind::Password)), Code::NotAuthorised, "{stage}");
    }
}
