//! TensorBoard event files: TFRecord frames around hand-encoded `Event` messages.
//!
//! Holds: a file is readable after every call, whenever the process dies; one process writes one file. Scalars go out
//! as `simple_value`, text as a `DT_STRING` tensor for the plugin `text`. Field numbers are those of TensorFlow's
//! event.proto, summary.proto, tensor.proto and tensor_shape.proto; frames and checksums of tfrecord (masked CRC-32C).

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    artifact::RunId,
    failure::{Failure, Result},
};

pub struct EventWriter {
    file: File,
    path: PathBuf,
}

impl EventWriter {
    /// Starts a new event file in `folder` (made if missing). A run that goes on from a checkpoint passes its step:
    /// TensorBoard then drops what an earlier file of the folder says about steps after it.
    ///
    /// # Errors
    /// As [`Failure::io`].
    pub fn create(folder: &Path, run: &RunId, resumed_at: Option<u64>) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Failure::io(folder, &e))?;
        let seconds = now() as u64;
        let (file, path) = (0u32..)
            .find_map(|n| {
                let path = folder.join(format!("events.out.tfevents.{seconds}.{run}.{n}"));
                match OpenOptions::new().write(true).create_new(true).open(&path) {
                    Err(e) if e.kind() == ErrorKind::AlreadyExists => None,
                    Err(e) => Some(Err(Failure::io(&path, &e))),
                    Ok(file) => Some(Ok((file, path))),
                }
            })
            .ok_or_else(|| Failure::internal(format!("{}: too many event files", folder.display())))??;
        let mut writer = Self { file, path };
        writer.event(0, Message::default().bytes(3, b"brain.Event:2"))?;
        if let Some(step) = resumed_at {
            let start = Message::default().integer(1, 1); // SessionLog.status = START
            writer.event(step + 1, Message::default().message(7, start))?; // drops this step and later ones
        }
        Ok(writer)
    }

    /// The file being written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// As [`Failure::io`].
    pub fn scalars<'a>(&mut self, step: u64, values: impl IntoIterator<Item = (&'a str, f64)>) -> Result<()> {
        let summary = values.into_iter().fold(Message::default(), |summary, (tag, value)| {
            summary.message(1, Message::default().bytes(1, tag.as_bytes()).float(2, value as f32))
        });
        self.event(step, Message::default().message(5, summary))
    }

    /// Markdown under `tag`.
    ///
    /// # Errors
    /// As [`Failure::io`].
    pub fn text(&mut self, step: u64, tag: &str, markdown: &str) -> Result<()> {
        const DT_STRING: u64 = 7;
        const DATA_CLASS_TENSOR: u64 = 2;
        let shape = Message::default().message(2, Message::default().integer(1, 1));
        let tensor = Message::default().integer(1, DT_STRING).message(2, shape).bytes(8, markdown.as_bytes());
        let plugin = Message::default().bytes(1, b"text");
        let metadata = Message::default().message(1, plugin).integer(4, DATA_CLASS_TENSOR);
        let value = Message::default().bytes(1, tag.as_bytes()).message(8, tensor).message(9, metadata);
        self.event(step, Message::default().message(5, Message::default().message(1, value)))
    }

    fn event(&mut self, step: u64, what: Message) -> Result<()> {
        let event = Message::default().double(1, now()).integer(2, step).then(&what);
        self.file.write_all(&frame(&event.0)).map_err(|e| Failure::io(&self.path, &e))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Length, its checksum, data, its checksum; little-endian.
fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(crc32c(&length)).to_le_bytes(), data, &masked(crc32c(data)).to_le_bytes()].concat()
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected polynomial 0x82f63b78.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut crc, mut bit) = (i as u32, 0);
            while bit < 8 {
                crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

/// A protobuf message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(mut self, field: u64, wire_type: u64) -> Self {
        self.varint(field << 3 | wire_type);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(self, field: u64, value: u64) -> Self {
        let mut message = self.key(field, 0);
        message.varint(value);
        message
    }

    fn double(self, field: u64, value: f64) -> Self {
        let mut message = self.key(field, 1);
        message.0.extend(value.to_le_bytes());
        message
    }

    fn float(self, field: u64, value: f32) -> Self {
        let mut message = self.key(field, 5);
        message.0.extend(value.to_le_bytes());
        message
    }

    fn bytes(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.key(field, 2);
        message.varint(value.len() as u64);
        message.0.extend(value);
        message
    }

    fn message(self, field: u64, value: Message) -> Self {
        self.bytes(field, &value.0)
    }

    fn then(mut self, fields: &Message) -> Self {
        self.0.extend(&fields.0);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Fields of a message by number; fixed and varint values as their bits.
    fn fields(mut data: &[u8]) -> BTreeMap<u64, Vec<Vec<u8>>> {
        fn varint(data: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = data[0];
                *data = &data[1..];
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
        let mut found: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
        while !data.is_empty() {
            let key = varint(&mut data);
            let value = match key & 7 {
                0 => varint(&mut data).to_le_bytes().to_vec(),
                wire => {
                    let length = match wire {
                        1 => 8,
                        2 => varint(&mut data) as usize,
                        5 => 4,
                        other => panic!("wire type {other}"),
                    };
                    let (value, rest) = data.split_at(length);
                    data = rest;
                    value.to_vec()
                }
            };
            found.entry(key >> 3).or_default().push(value);
        }
        found
    }

    /// Events of a file, each checksum checked with a bit-by-bit CRC that shares nothing with the writer's.
    fn events(path: &Path) -> Vec<BTreeMap<u64, Vec<Vec<u8>>>> {
        fn checksum(bytes: &[u8]) -> u32 {
            let mut crc = 0xffff_ffffu32;
            for byte in bytes {
                for bit in 0..8 {
                    let carry = (crc ^ u32::from(byte >> bit)) & 1;
                    crc = (crc >> 1) ^ (carry * 0x82f6_3b78);
                }
            }
            let crc = !crc;
            crc.rotate_right(15).wrapping_add(0xa282_ead8)
        }
        let file = std::fs::read(path).unwrap();
        let (mut rest, mut found) = (&file[..], Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(u32::from_le_bytes(rest[8..12].try_into().unwrap()), checksum(&rest[..8]));
            let data = &rest[12..12 + length];
            assert_eq!(u32::from_le_bytes(rest[12 + length..16 + length].try_into().unwrap()), checksum(data));
            found.push(fields(data));
            rest = &rest[16 + length..];
        }
        found
    }

    fn writer(folder: &Path, resumed_at: Option<u64>) -> EventWriter {
        EventWriter::create(folder, &RunId::parse("aaaaaaaa").unwrap(), resumed_at).unwrap()
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283); // the check value of CRC-32C (RFC 3720, appendix B.4)
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa); // RFC 3720, appendix B.4
    }

    #[test]
    fn scalars_read_back_with_their_tags_and_steps() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = writer(&dir.path().join("runs"), None);
        out.scalars(300, [("train/loss", 1.25), ("train/learning_rate", 2e-4)]).unwrap();
        let events = events(out.path());
        assert_eq!(events.len(), 2);
        assert_eq!(events[0][&3], [b"brain.Event:2"]);
        assert_eq!(events[1][&2], [300u64.to_le_bytes()]);
        let values: Vec<_> = fields(&events[1][&5][0])[&1].iter().map(|v| fields(v)).collect();
        assert_eq!((&values[0][&1][0][..], &values[0][&2][0][..]), (&b"train/loss"[..], &1.25f32.to_le_bytes()[..]));
        assert_eq!(
            (&values[1][&1][0][..], &values[1][&2][0][..]),
            (&b"train/learning_rate"[..], &2e-4f32.to_le_bytes()[..])
        );
    }

    #[test]
    fn text_is_a_string_tensor_for_the_text_plugin() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = writer(dir.path(), None);
        out.text(0, "config", "| a |\n|---|").unwrap();
        let value = fields(&fields(&events(out.path())[1][&5][0])[&1][0]);
        let tensor = fields(&value[&8][0]);
        assert_eq!(tensor[&1], [7u64.to_le_bytes()]);
        assert_eq!(tensor[&8], [b"| a |\n|---|"]);
        assert_eq!(fields(&fields(&value[&9][0])[&1][0])[&1], [b"text"]);
    }

    #[test]
    fn a_resume_starts_a_file_of_its_own_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let first = writer(dir.path(), None);
        let second = writer(dir.path(), Some(40));
        assert_ne!(first.path(), second.path());
        let events = events(second.path());
        assert_eq!(events[1][&2], [41u64.to_le_bytes()]);
        assert_eq!(fields(&events[1][&7][0])[&1], [1u64.to_le_bytes()]);
    }
}
