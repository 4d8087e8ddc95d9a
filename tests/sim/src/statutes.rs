//! A house in the words of the product: its account as a file declares it, and its changes as an admin asks for them.

use crate::{
    book::{Book, Fact},
    house::{Annex, Change, FRONT, House, Means, Person, Stages, Want},
    mutant::Mutant,
    proofs::{AUDIENCE, ISSUER, Token},
    site,
};
use riser_gate::{
    AcceptorConfig, AccountConfig, GateConfig, GrantConfig, IssuerConfig, LdapConfig, RoomConfig, UserConfig,
    accounts::{self, AccountChange},
    config::{Rights, Whom},
    credential::CredentialConfig,
};
use riser_model::{AccountName, ClientId, Filter, Right, Time, duration::Duration};
use uuid::Uuid;

/// What comes from inside.
pub const INSIDE: &str = "192.0.2.0/24";
/// How long a directory server's yes holds, seconds.
pub const DIRECTORY_LASTS_S: u64 = 240;

/// Whatever is so is so since before this.
const NOW: Time = Time(u64::MAX);

/// A person's id.
pub fn client(person: usize) -> ClientId {
    ClientId(Uuid::from_u128(0x9e_0000 + person as u128))
}

fn name(person: &Person) -> AccountName {
    person.name.parse().expect("the names of a run are names")
}

/// The account with all that a house has.
pub fn account(mut config: AccountConfig, house: &House, mutant: Option<Mutant>) -> AccountConfig {
    if !matches!(mutant, Some(Mutant::GatesLeftOut | Mutant::FrontLeftOut)) {
        config.gate = gate(&house.front);
    }
    for (vault, (name, stages)) in site::VAULTS.into_iter().zip(&house.gates).enumerate() {
        let may = house.people.iter().filter(|person| person.reads[vault]);
        let grant = may.map(grant).collect();
        let gate = if mutant == Some(Mutant::GatesLeftOut) { GateConfig::default() } else { gate(stages) };
        config.room.push(RoomConfig { grant, gate, ..site::vault(name, house.annex.is_some()) });
    }
    for (n, person) in house.people.iter().enumerate() {
        let mut user = UserConfig { id: Some(client(n)), ..UserConfig::new(name(person)) };
        for means in &person.means {
            match (Token { person: n, means: *means, n: 0 }).credential() {
                Some(CredentialConfig::Password(hash)) => user.password = Some(hash),
                Some(CredentialConfig::Token(hash)) => user.tokens.push(hash),
                Some(CredentialConfig::Key(key)) => user.keys.push(key),
                Some(CredentialConfig::Secret(secret)) => user.secret = Some(secret),
                Some(CredentialConfig::EdgeKey(_) | CredentialConfig::Certificate(_)) | None => {}
            }
        }
        config.user.push(user);
    }
    config.issuer = vec![IssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        claim: "sub".to_owned(),
        key: Vec::new(),
        key_set: Some(format!("{ISSUER}/keys")),
        discover: false,
        ca: None,
        page: None,
    }];
    config.ldap = Some(LdapConfig {
        url: Some("ldaps://directory.example:636".to_owned()),
        base: Some("ou=people".to_owned()),
        lasts: Some(Duration::seconds(DIRECTORY_LASTS_S)),
        ..LdapConfig::default()
    });
    config
}

/// The account of an annex: the same people and grants, its own gates, and nobody who is asked about passwords.
pub fn annex(config: AccountConfig, house: &House, annex: &Annex) -> AccountConfig {
    let config = account(config, &of_annex(house, annex), None);
    AccountConfig { ldap: None, ..config }
}

/// A house as it is at its annex, which has no gate but those of its vaults.
pub fn of_annex(house: &House, annex: &Annex) -> House {
    House { gates: annex.gates.clone(), front: Stages::new(), ..house.clone() }
}

fn grant(person: &Person) -> GrantConfig {
    GrantConfig {
        to: Whom::Named(name(person)),
        right: Rights(vec![Right::Subscribe]),
        channels: Filter::all(),
        deny: false,
    }
}

fn gate(stages: &Stages) -> GateConfig {
    let stage = |wants: &Vec<Want>| match &wants[..] {
        [one] => acceptor(*one),
        several => AcceptorConfig::Any(several.iter().copied().map(acceptor).collect()),
    };
    GateConfig(stages.iter().map(stage).collect())
}

fn acceptor(want: Want) -> AcceptorConfig {
    match want {
        Want::Shows(Means::Password | Means::Directory) => AcceptorConfig::Password,
        Want::Shows(Means::Token) => AcceptorConfig::Token,
        Want::Shows(Means::Jwt) => AcceptorConfig::Jwt,
        Want::Shows(Means::Key) => AcceptorConfig::Key,
        Want::Shows(Means::Secret) => AcceptorConfig::Secret,
        Want::Inside => {
            AcceptorConfig::Address(serde_json::from_value(serde_json::json!([INSIDE])).expect("a network"))
        }
        Want::Between(from, until) => {
            let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let hours = format!("mon-sun {}-{}", clock(from), clock(until));
            AcceptorConfig::Schedule(serde_json::from_value(serde_json::json!([hours])).expect("hours"))
        }
        Want::Seats(most) => AcceptorConfig::Seats(most),
        Want::Knock => AcceptorConfig::Knock,
    }
}

/// A change as it is asked for, and what the book notes: it is so, or not, once it is answered. None if there is nothing
/// to be changed.
pub fn asked(change: &Change, book: &mut Book) -> Option<(accounts::Change, Vec<(Fact, bool)>)> {
    let within = |change| accounts::Change::Within(site::account(), change);
    let room = |vault: usize| site::room(site::VAULTS[vault]);
    let has = |book: &Book, person: usize, means: Means| book.people[person].means.contains(&means);
    let lives = |book: &Book, person: usize| book.must(Fact::Lives(person), NOW);
    match change {
        Change::Grant { person, .. }
        | Change::Revoke { person, .. }
        | Change::Renew { person, .. }
        | Change::Remove { person }
            if !lives(book, *person) =>
        {
            return None;
        }
        Change::Grant { .. }
        | Change::Revoke { .. }
        | Change::Renew { .. }
        | Change::Remove { .. }
        | Change::Regate { .. } => {}
    }
    let (change, facts) = match change {
        Change::Grant { person, vault, on } => {
            let grant = grant(&book.people[*person]);
            let change = match on {
                true => AccountChange::Grant(Some(room(*vault)), grant),
                false => AccountChange::Ungrant(Some(room(*vault)), grant),
            };
            (change, vec![(Fact::Reads(*person, *vault), *on)])
        }
        Change::Revoke { person, means } if has(book, *person, *means) => {
            let token = book.newest(*person, *means)?;
            let print = token.credential()?.fingerprint();
            (AccountChange::RevokeCredential(client(*person), print), vec![(Fact::Holds(token), false)])
        }
        Change::Renew { person, means } if has(book, *person, *means) => {
            let former = book.newest(*person, *means)?;
            let token = Token { n: former.n + 1, ..former };
            // Of passwords and secrets one has one: the former one is revoked.
            let replaces = matches!(means, Means::Password | Means::Secret);
            let facts = std::iter::once((Fact::Holds(token), true));
            let facts = facts.chain(replaces.then_some((Fact::Holds(former), false))).collect();
            (AccountChange::AddCredential(client(*person), token.credential()?), facts)
        }
        Change::Revoke { .. } | Change::Renew { .. } => return None,
        Change::Remove { person } => {
            (AccountChange::RemoveMember(client(*person)), vec![(Fact::Lives(*person), false)])
        }
        Change::Regate { vault, stages } => {
            let (former, number) = (book.newest_gate(*vault), book.newest_gate(*vault) + 1);
            // The gate that is there already is no other one: who passed it has passed it.
            let facts = if book.stages(*vault, former) == Some(stages) {
                Vec::new()
            } else {
                book.gate_of(*vault, number, stages.clone());
                vec![(Fact::Gate(*vault, number), true), (Fact::Gate(*vault, former), false)]
            };
            // What is said of a room is replaced as a whole: with those who may read there.
            let room = || {
                let may = (0..book.people.len())
                    .filter(|n| book.must(Fact::Reads(*n, *vault), NOW) && lives(book, *n));
                let grant = may.map(|n| grant(&book.people[n])).collect();
                RoomConfig { grant, gate: gate(stages), ..site::vault(site::VAULTS[*vault], book.goes_down) }
            };
            let change = match *vault {
                FRONT => AccountChange::SetGate(gate(stages)),
                _ => AccountChange::SetRoom(Box::new(room())),
            };
            (change, facts)
        }
    };
    for (fact, holds) in &facts {
        book.ask(*fact, *holds);
    }
    Some((within(change), facts))
}
