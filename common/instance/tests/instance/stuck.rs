//! A thousand who stand still at a gate: they disturb nobody who was let in, and leave when their time is up.

use crate::world::*;
use riser_gate::{LdapConfig, PasswordHash, Proof, Stand, Verdict, acceptor::Kind, ldap::Preset};
use riser_instance::Input;
use riser_model::{
    ConnectionId,
    door::{Ask, Credential, Method, Secret},
};

#[test]
fn thousand_that_are_stuck_at_a_gate_leave_when_their_time_is_up() {
    let mut world = World::gated("['key']", "");
    world.enter(C1, None, Some("cellar"));
    assert!(world.entered(C1));
    for n in 1000..2000 {
        let connection = ConnectionId(n);
        match n % 3 {
            0 => world.open(connection),
            1 => world.enter(connection, None, Some("hall")),
            _ => {
                world.open(connection);
                let (account, name) = (None, "acme/boss".to_owned());
                let credential = Credential::Claim { account, name, method: Method::Secret };
                world.ask(connection, Ask::Enter { credential, session: None, room: None });
            }
        }
    }
    assert_eq!(world.instance.connections(), 1001);
    world.wait(6);
    assert_eq!(world.instance.connections(), 1, "who was admitted stays, and nobody else");
}

/// What the ones wait for that have shown all that they have to show.
const AWAITS: [Kind; 3] = [Kind::Password, Kind::Password, Kind::Jwt];

#[test]
fn thousand_that_wait_for_a_hash_a_directory_server_or_a_key_set_leave_when_their_time_is_up() {
    let mut world = World::new();
    world.change(|config| {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
        // The others are known to the directory server.
        config.user[0].password = Some(hash.parse::<PasswordHash>().unwrap());
        config.ldap = Some(LdapConfig { preset: Some(Preset::Yunohost), ..LdapConfig::default() });
        config.issuer[0].key.clear();
        config.issuer[0].key_set = Some("https://sso.example/keys".to_owned());
    });
    world.listening_to_tokens();
    world.enter_as(C1, "boss", Some("cellar"));
    assert!(world.entered(C1));
    for n in 1000..2000 {
        let connection = ConnectionId(n);
        let password = |user: &str| {
            let (account, user) = (Some("acme".parse().unwrap()), user.to_owned());
            Credential::Password { account, user, password: Secret("x".into()) }
        };
        let credential = match n % 3 {
            0 => password("guest"),
            1 => password("stranger"),
            _ => of_issuer(&world, 3600),
        };
        world.show(connection, credential, None);
        assert_eq!(world.instance.state_of(connection), Some(Stand::Awaits(AWAITS[n as usize % 3])));
    }
    let of = |kind: fn(&Proof) -> bool| world.proofs.iter().filter(|proof| kind(proof)).count();
    assert_eq!(of(|proof| matches!(proof, Proof::Password { .. })), 333);
    assert_eq!(of(|proof| matches!(proof, Proof::Ldap { .. })), 334);
    assert_eq!(of(|proof| matches!(proof, Proof::Token { .. })), 333);
    assert_eq!(subscribe(&mut world, C1, "cellar/#"), Ok(()), "who was let in goes on");

    // Longer than who has to say something: it is for others to be quick.
    world.wait(14);
    assert_eq!(world.instance.connections(), 1001);
    world.wait(2);
    assert_eq!(world.instance.connections(), 1, "who was admitted stays, and nobody else");
    let (connection, ticket) = (ConnectionId(1000), world.verifying[0]);
    world.input(Input::Verified { connection, ticket, verdict: Verdict::Matches });
    assert_eq!(world.instance.connections(), 1, "an answer that comes too late lets nobody in");
    assert!(may_read(&mut world, C1, "cellar/#"));
}
