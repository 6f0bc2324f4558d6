use super::*;

/// Writes GGUF files, also wrong ones.
#[derive(Clone)]
struct Builder {
    magic: [u8; 4],
    version: u32,
    values: Vec<(String, u32, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    data: Vec<u8>,
}

fn text(value: &str) -> Vec<u8> {
    [(value.len() as u64).to_le_bytes().to_vec(), value.as_bytes().to_vec()].concat()
}

fn list(element_type: u32, count: u64, elements: &[u8]) -> Vec<u8> {
    [element_type.to_le_bytes().to_vec(), count.to_le_bytes().to_vec(), elements.to_vec()].concat()
}

impl Builder {
    fn valid() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            values: vec![
                ("a.string".into(), 8, text("x")),
                ("a.list".into(), 9, list(8, 2, &[text("b"), text("")].concat())),
                ("a.float".into(), 6, 1e-5f32.to_le_bytes().to_vec()),
                ("a.flag".into(), 7, vec![1]),
            ],
            tensors: vec![("w".into(), vec![2, 3], 0, 0), ("q".into(), vec![32, 1], 8, 32)],
            data: vec![0; 32 + 34],
        }
    }

    fn value(mut self, key: &str, value_type: u32, bytes: Vec<u8>) -> Self {
        self.values.push((key.into(), value_type, bytes));
        self
    }

    fn tensor(mut self, name: &str, dimensions: &[u64], type_id: u32, offset: u64) -> Self {
        self.tensors.push((name.into(), dimensions.to_vec(), type_id, offset));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.values.len() as u64).to_le_bytes());
        for (key, value_type, value) in &self.values {
            bytes.extend([text(key), value_type.to_le_bytes().to_vec(), value.clone()].concat());
        }
        for (name, dimensions, type_id, offset) in &self.tensors {
            bytes.extend(text(name));
            bytes.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|d| bytes.extend(d.to_le_bytes()));
            bytes.extend(type_id.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }

    fn error(&self) -> GgufError {
        Gguf::parse(&self.bytes()).unwrap_err()
    }
}

#[test]
fn a_valid_file_gives_its_values_and_the_places_of_its_tensors() {
    let bytes = Builder::valid().bytes();
    let gguf = Gguf::parse(&bytes).unwrap();
    assert_eq!(gguf.metadata["a.string"].as_str(), Some("x"));
    assert_eq!(gguf.metadata["a.list"].as_array().unwrap().len(), 2);
    assert_eq!(gguf.metadata["a.float"].as_decimal(), Some(1e-5));
    assert_eq!(gguf.metadata["a.flag"].as_bool(), Some(true));
    let w = &gguf.tensors["w"];
    assert_eq!((w.shape.as_slice(), w.end - w.start), ([3, 2].as_slice(), 24));
    assert_eq!(gguf.tensors["q"].end, bytes.len());
}

#[test]
fn every_truncation_is_an_error_and_never_a_panic() {
    let bytes = Builder::valid().bytes();
    for len in 0..bytes.len() {
        assert!(Gguf::parse(&bytes[..len]).is_err(), "{len}");
    }
}

#[test]
fn every_changed_byte_is_read_without_a_panic() {
    let bytes = Builder::valid().bytes();
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            if let Ok(gguf) = Gguf::parse(&changed) {
                assert!(gguf.tensors.values().all(|t| t.start <= t.end && t.end <= changed.len()));
            }
        }
    }
}

#[test]
fn every_malformation_has_its_own_error() {
    use GgufError::*;
    let valid = Builder::valid;
    assert_eq!(Builder { magic: *b"GGML", ..valid() }.error(), NotGguf);
    assert_eq!(Builder { version: 3u32.swap_bytes(), ..valid() }.error(), BigEndian);
    assert_eq!(Builder { version: 1, ..valid() }.error(), Version(1));
    assert_eq!(valid().value("s", 8, u64::MAX.to_le_bytes().to_vec()).error(), Truncated("a metadata value"));
    assert_eq!(valid().value("l", 9, list(10, 1 << 60, &[])).error(), Oversized("a metadata array", 1 << 60));
    assert_eq!(
        valid().value("s", 8, [1u64.to_le_bytes().to_vec(), vec![0xff]].concat()).error(),
        NotUtf8("a metadata value")
    );
    assert_eq!(valid().value("b", 7, vec![2]).error(), BadBool(2));
    assert_eq!(valid().value("v", 13, vec![]).error(), ValueType(13));
    assert_eq!(valid().value("l", 9, list(99, 0, &[])).error(), ValueType(99));
    let nested = (0..5).fold(vec![], |inner, _| list(9, 1, &inner));
    assert_eq!(valid().value("n", 9, nested).error(), TooDeep);
    assert_eq!(valid().value("a.flag", 7, vec![0]).error(), DuplicateKey("a.flag".into()));
    assert_eq!(valid().tensor("w", &[1], 0, 0).error(), DuplicateTensor("w".into()));
    assert_eq!(valid().value("general.alignment", 4, 3u32.to_le_bytes().to_vec()).error(), Alignment(3));
    assert_eq!(valid().tensor("d", &[], 0, 0).error(), Dimensions("d".into(), 0));
    assert_eq!(valid().tensor("d", &[1; 5], 0, 0).error(), Dimensions("d".into(), 5));
    assert_eq!(valid().tensor("o", &[1 << 40, 1 << 40], 0, 0).error(), Overflow("o".into()));
    assert_eq!(valid().tensor("o", &[1 << 62], 0, 0).error(), Overflow("o".into()));
    assert_eq!(valid().tensor("t", &[256], 10, 0).error(), TensorTypeUnsupported("t".into(), 10));
    assert_eq!(valid().tensor("p", &[33], 8, 0).error(), PartialBlock("p".into(), TensorType::Q8_0));
    assert_eq!(valid().tensor("m", &[1], 0, 8).error(), Misaligned("m".into()));
    assert_eq!(valid().tensor("e", &[1000], 0, 0).error(), DataTruncated("e".into()));
    assert_eq!(valid().tensor("e", &[1], 0, u64::MAX - 31).error(), Overflow("e".into()));
    let mut huge = valid().bytes();
    huge[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(Gguf::parse(&huge).unwrap_err(), Oversized("the tensor table", u64::MAX));
    huge[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(Gguf::parse(&huge).unwrap_err(), Oversized("the metadata", u64::MAX));
}

#[test]
fn errors_say_what_to_do() {
    assert_eq!(
        Builder::valid().tensor("t", &[256], 10, 0).error().to_string(),
        "tensor \"t\" has type 10 (Q2_K), which cannot be read (readable: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, \
         Q4_K, Q5_K, Q6_K); take another quantization"
    );
    assert_eq!(
        GgufError::Truncated("a tensor name").to_string(),
        "the file ends inside a tensor name; download it again"
    );
}

#[test]
fn the_alignment_of_the_file_is_honoured() {
    let mut builder = Builder::valid().value("general.alignment", 4, 64u32.to_le_bytes().to_vec());
    builder.tensors = vec![("w".into(), vec![1], 0, 64)];
    builder.data = vec![0; 256];
    let gguf = Gguf::parse(&builder.bytes()).unwrap();
    assert_eq!(gguf.tensors["w"].start % 64, 0);
}
