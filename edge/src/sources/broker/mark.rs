//! What a source is subscribed to in the session that its broker keeps, beside the log: after a restart it is not asked for
//! again, and what the broker retains does not come once more.
//!
//! The mark lies there only while a connection's CONNACK or SUBACK has said that it is true. It is taken away before each
//! CONNECT: of a broker that has forgotten its session nothing is believed, whatever cuts that connection short.

use crate::config::BrokerConfig;
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    text: String,
}

impl Mark {
    /// Of a source of that name, in the edge's data folder.
    pub(crate) fn new(folder: &Path, source: &str, broker: &BrokerConfig) -> Self {
        let BrokerConfig { url, client_id, qos, filters, .. } = broker;
        let mut text = format!("1\n{url}\n{}\n{qos}\n", client_id.as_str());
        for filter in filters {
            writeln!(text, "{}", filter.as_str()).expect("text takes text");
        }
        Self { path: folder.join(format!("source-{source}.subscribed")), text }
    }

    /// Whether the last word was that all of this, at this broker, is subscribed.
    pub(crate) fn is_set(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.text)
    }

    /// Durable when it returns. A cut of the power leaves the former one, or this.
    pub(crate) fn set(&self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(self.text.as_bytes())?;
        file.sync_all()?;
        fs::rename(new, &self.path)?;
        self.sync_folder()
    }

    /// The same.
    pub(crate) fn clear(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.sync_folder(),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}
