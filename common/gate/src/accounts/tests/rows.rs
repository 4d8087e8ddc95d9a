//! Accounts as they are kept.

use super::*;

/// All that an account may have: what is kept must read as it was written, secrets included.
fn everything() -> Account {
    let text = format!(
        r##"
        gate = [{{ address = ["192.0.2.0/24"] }}, "key"]
        grant = [{{ to = "@ops", right = ["publish", "admin"], channels = "a/#", deny = true }}]
        [[account.issuer]]
        issuer = "sso"
        audience = "riser"
        key = [{{ alg = "HS256", k = "AAECAwQFBgcICQoLDA0ODw" }}]
        [[account.user]]
        name = "ann"
        password = "{HASH}"
        tokens = ["{}"]
        secret = "AAECAwQFBgcICQoLDA0ODw"
        groups = ["ops"]
        role = "owner"
        [[account.client]]
        name = "edge"
        key = "{}"
        keys = ["{}"]
        relays = true
        [[account.room]]
        name = "hall"
        history = "session"
        retention = {{ count = 7, bytes = "1 MiB", age = "30d" }}
        gate = [{{ seats = 3 }}, {{ schedule = ["mon-fri 08:00-18:00"] }}]
        linked = false
        down = true
        "##,
        TokenHash::of(b"first").text(),
        KeyText(PublicKey([9; 32])),
        DeviceKey([3; 32]),
    );
    let config = with_ids(file(&text).remove(0));
    let mut account = Account { imported: Some(config.clone()), ..Account::new(config) };
    account.revoked.insert([5; 32]);
    account.gone.insert(Uuid::from_u128(6));
    account
}

#[test]
fn a_row_reads_as_it_was_written_and_a_damaged_one_does_not() {
    let account = everything();
    let row = row::write(&account);
    assert_eq!(row::read(&row), Ok(account));
    for at in 0..row.len() {
        let mut bad = row.clone();
        bad[at] ^= 0x10;
        let read = row::read(&bad);
        let expected = if at == 0 { row::BadRow::Newer } else { row::BadRow::Damaged };
        assert_eq!(read, Err(expected), "byte {at}");
        assert!(row::read(&row[..at]).is_err());
    }
}

#[test]
fn rows_of_the_first_version_are_read() {
    let golden = include_bytes!("../golden/account-1.row");
    assert_eq!(row::read(golden), Ok(everything()));
}

#[test]
fn a_row_without_roles_in_rooms_is_one_that_earlier_builds_read_and_one_with_them_is_not_halved() {
    let mut account = everything();
    let names_roles = |account: &Account| row::write(account).windows(5).any(|bytes| bytes == b"roles");
    assert!(!names_roles(&account), "they refuse a field that they do not know, and with it the account");
    account.config.room[0].roles.insert(Whom::Group(name("ops")), Role::Owner);
    assert!(names_roles(&account));
    assert_eq!(row::read(&row::write(&account)), Ok(account));
}
