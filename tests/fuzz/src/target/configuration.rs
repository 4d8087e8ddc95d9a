//! An edge's configuration file. It is taken, or refused with a reason; what is taken is taken again as it is printed.

use riser_edge::EdgeConfig;
use riser_shell::{Loaded, Sources};
use std::{cell::RefCell, fs};
use tempfile::TempDir;

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

pub fn run(input: &[u8]) {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| TempDir::new().expect("there is a temporary folder"));
        let file = folder.path().join("edge.toml");
        fs::write(&file, input).expect("the folder can be written");
        match Loaded::<EdgeConfig>::strictly(&Sources::file(&file)) {
            Ok(loaded) => drop(loaded.config.directory().expect("what was checked is a directory")),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../../../configs/edge.toml").to_vec(), SMALL.into()]
}

const SMALL: &str = r#"
data = "edge-data"
[listen]
mqtt = "127.0.0.1:1884"
[quota]
bytes = "64 MiB"
policy = "drop_oldest"
[[uplink]]
url = "ws://127.0.0.1:7420/link"
hub_key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
client = "0d1f9f6b-2a10-4f0c-a0f9-7d8f1d4e54ad"
[[binding]]
topics = "sensors/#"
room = "plant"
strip = 1
[[account]]
name = "acme"
id = "7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10"
grant = [{ to = "guest", right = "subscribe", channels = "public/#" }]
[[account.user]]
name = "guest"
[[account.room]]
name = "plant"
history = "log"
"#;
