//! The path of a URL: what it names it names in one spelling only, and what is wrong is said without repeating it.

use crate::outcome;
use riser_net::Address;

pub fn run(input: &[u8]) {
    for path in String::from_utf8_lossy(input).split('\n') {
        match Address::parse(path) {
            Ok(address) => {
                outcome::note(std::mem::discriminant(&address));
                let (Address::Lobby
                | Address::User(_)
                | Address::Room { .. }
                | Address::Channel { .. }
                | Address::Client { .. }) = &address
                else {
                    continue;
                };
                let path = spelled(&address);
                assert_eq!(Address::parse(&path).as_ref(), Ok(&address), "{path}");
                assert!(path.split('/').all(|segment| segment != ".."), "no proxy takes it for another one");
            }
            Err(error) => {
                outcome::note_error(&error);
                assert!(matches!(error.status, 400 | 404 | 414));
            }
        }
    }
}

/// A path in the one spelling that RFC 3986 (6.2.2) makes of all that are the same: only what must be is written as percent
/// signs.
fn spelled(address: &Address) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let letter = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    address.to_string().bytes().map(letter).collect()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "/\n/user/ann\n/user/ann/\n/acme/hall\n/acme/hall/\n/mqtt\n/api/status",
        "/acme/hall/boiler/temperature\n/acme/hall/%C3%A9/a%20b\n/acme/hall/a%2Fb\n/acme/hall/%2e%2e/x",
        "/0d1f9f6b-2a10-4f0c-a0f9-7d8f1d4e54ad/hall/7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10/\n/acme/hall/7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10/a/b",
        "/acme/hall/7D8F1D4E-54AD-4F0C-A0F9-0D1F9F6B2A10\n/acme/hall/7d8f1d4e54ad4f0ca0f90d1f9f6b2a10\n/acme\n//\n/acme/hall/%zz",
        "/acme/hall/7d8f1d4e%2D54ad%2D4f0c%2Da0f9%2D0d1f9f6b2a10/a\n/%6Dqtt\n/%6Dqtt/hall\n/%75ser/ann\n/%61cme/hall",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
