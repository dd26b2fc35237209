//! What a device finds in its state folder when it starts, as a broken disk or a stranger left it.

use std::path::Path;
use std::sync::Arc;

use espalier_link::outbox::{MAX_KEPT, Outbox, ReportId};
use espalier_link::{Identity, StateFolder, tls};
use espalier_slots::record::{Kept, Record};

use crate::memory::Memory;
use crate::same;

const STATE: &str = "/device";

/// The record of a device's identity: whoever it says that it is, its key signs for its public half, and its facts are read
/// as they were written.
pub fn identity(bytes: &[u8]) {
    let (disk, state) = (Arc::new(Memory::default()), StateFolder::new(STATE));
    Record::new(disk.clone(), state.identity())
        .write(bytes)
        .expect("memory takes a record");
    let Ok(Some(identity)) = Identity::load(disk, &state) else {
        return;
    };
    let (key, message) = (identity.key(), b"a message");
    assert!(key.public().verifies(message, &key.sign(message)));
    same::in_json(identity.facts(), usize::MAX, |body| {
        serde_json::from_slice(body)
    });
    // A certificate that is none is an error of the connection, and no panic.
    let _refused = tls::client(&identity);
    let _refused = tls::relay_server(&identity);
}

/// The folder of reports that wait for their acknowledgement: eight bytes are the count of starts, and then each line is a
/// file's name. Whatever lies there, what waits is bounded, and what is acknowledged does not come again.
pub fn outbox(bytes: &[u8]) {
    let Some((starts, names)) = bytes.split_first_chunk() else {
        return;
    };
    let starts = u64::from_be_bytes(*starts);
    let (disk, folder) = (Memory::default(), StateFolder::new(STATE).outbox());
    Kept::new(Arc::new(disk.clone()), folder.join("boot"))
        .write(&starts)
        .expect("memory takes a record");
    for name in names.split(|byte| *byte == b'\n') {
        if let Ok(name) = std::str::from_utf8(name)
            && !matches!(name, "" | "." | "..")
            && !name.contains('/')
        {
            disk.put(&folder.join(name), name.as_bytes());
        }
    }
    let Ok(mut outbox) = open(&disk, &folder) else {
        return;
    };
    assert!(
        outbox.boot() > starts,
        "two starts of an agent have one number"
    );
    assert!(outbox.len() <= MAX_KEPT, "more reports wait than are kept");
    let waiting: Vec<ReportId> = outbox.waiting().map(|(id, _)| id).collect();
    for id in waiting {
        outbox.acknowledge(id).expect("memory removes a file");
    }
    assert!(outbox.is_empty());
    if outbox.boot() == u64::MAX {
        return;
    }
    let again = open(&disk, &folder).expect("an outbox that was opened is opened again");
    assert!(again.is_empty(), "an acknowledged report comes again");
}

fn open(disk: &Memory, folder: &Path) -> Result<Outbox, espalier_link::outbox::OutboxError> {
    Outbox::open(Arc::new(disk.clone()), folder)
}
