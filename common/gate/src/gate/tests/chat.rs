//! The chat bot at a terminal: it asks for a name and a password.

use super::*;

fn said(gate: &mut Gate) -> String {
    match next(gate) {
        Some(Output::Say(Prompt::Words(words))) => words,
        other => panic!("{other:?}"),
    }
}

#[test]
fn chat_bot_asks_name_and_password_once_and_drops_who_is_wrong() {
    for (name, password, verdict, passes) in [
        ("ann", "right", Verdict::Matches, true),
        ("acme/ann", "right", Verdict::Matches, true),
        ("ann", "wrong", Verdict::Differs, false),
        ("nobody", "x", Verdict::Matches, false),
        ("", "", Verdict::Matches, false),
    ] {
        let mut gate = tty(false);
        gate.handle(Input::Shown(Credential::Person), Now::default());
        let hello = said(&mut gate);
        assert!(hello.starts_with("command: ttymode\r\nw\rwh\r") && hello.ends_with("name: "), "{hello:?}");
        gate.handle(Input::Answered(secret(name)), Now::default());
        assert_eq!(said(&mut gate), "password: ");
        gate.handle(Input::Answered(secret(password)), Now::default());
        let verify = next(&mut gate).unwrap();
        let Output::Do { ticket, .. } = verify else { panic!("{verify:?}") };
        gate.handle(Input::Done { ticket, verdict }, Now::default());
        if passes {
            let passed = next(&mut gate).unwrap();
            assert_eq!(who(&gate, &passed), "ann");
            // A room that wants a password has had it.
            let (stages, caller) = ("gate = ['password']", Caller::default());
            let mut room = inner(stages, gate.standing(), caller, Now::default());
            assert_eq!(next(&mut room), Some(Output::Pass));
        } else {
            let claimed = gate.claimed().map(|who| who.name.to_string());
            assert_eq!(claimed.as_deref(), (name == "ann").then_some("ann"), "admins learn who was meant");
            assert_eq!(said(&mut gate), "!! incorrect", "{name}");
            assert_eq!(code(&next(&mut gate).unwrap()), Code::NotAuthorised);
        }
        assert_eq!(gate.is_offended(), !passes);
    }
}

#[test]
fn who_is_known_hears_so_and_is_asked_nothing() {
    let mut gate = tty(true);
    gate.handle(Input::Shown(Credential::Person), Now::default());
    assert_eq!(said(&mut gate), "ooh you again! ...\r\nNope!");
    assert_eq!(code(&next(&mut gate).unwrap()), Code::NotAuthorised);
    assert!(!gate.is_offended(), "nothing was judged");
    let mut program = tty(true);
    let verify = show(&mut program, password(None, "ann", "right"));
    assert_eq!(judge(&mut program, &verify, Verdict::Matches), Output::Pass, "programs are not persons");
}

#[test]
fn chat_bot_is_patient_with_each_answer_and_takes_no_long_ones() {
    let mut gate = tty(false);
    gate.handle(Input::Shown(Credential::Person), Now::default());
    let deadline = gate.poll_timeout().unwrap();
    assert_eq!(deadline, Time(0).plus(Duration::from_secs(15)));
    said(&mut gate);
    let mut slow = tty(false);
    slow.handle(Input::Shown(Credential::Person), Now::default());
    slow.handle(Input::Answered(secret("ann")), Now::default());
    assert_eq!(slow.poll_timeout(), Some(Time(0).plus(Duration::from_secs(30))), "a password takes longer");
    gate.handle(Input::Answered(secret(&"x".repeat(257))), Now::default());
    assert_eq!(said(&mut gate), "!! incorrect");
    let mut idle = tty(false);
    idle.handle(Input::Shown(Credential::Person), Now::default());
    idle.handle(Input::Deadline, Now { time: deadline, ..Now::default() });
    said(&mut idle);
    assert_eq!(code(&next(&mut idle).unwrap()), Code::Timeout);
    assert!(!idle.is_offended(), "to be slow is no offence");
}
