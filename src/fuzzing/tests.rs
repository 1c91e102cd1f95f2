//! The short form of fuzzing, which needs no tool: every target takes what it is begun
//! with, and thousands of changes of that, the same ones each time.

use super::*;

/// Changed inputs for each target.
const CHANGED: usize = 3000;

/// Changes of one input.
const CHANGES: u64 = 6;

/// Numbers that are the same in each run (xorshift; Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        const TELLING: [u8; 12] = [0, 1, 2, 0x7f, 0x80, 0xff, b'"', b'{', b'-', b'9', b'/', b'\n'];
        match self.below(2) {
            0 => TELLING[self.below(TELLING.len())],
            _ => u8::try_from(self.below(256)).unwrap(),
        }
    }

    fn changed(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(CHANGES as usize) {
            let other = self.below(seeds.len());
            self.change(&mut bytes, &seeds[other]);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let (at, length) = (self.below(bytes.len()), 1 + self.below(16));
        let end = bytes.len().min(at + length);
        match self.below(6) {
            0 | 1 if !bytes.is_empty() => bytes[at] = self.byte(),
            2 => bytes.insert(at, self.byte()),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let from = self.below(other.len());
                let part = other[from..other.len().min(from + length)].to_vec();
                drop(bytes.splice(at..at, part));
            }
            _ => {
                let part = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, part));
            }
        }
    }
}

#[test]
fn no_target_panics_on_what_it_is_begun_with_or_on_changes_of_that() {
    let fuzzing = Fuzzing::new();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for Target { name, run } in TARGETS {
        let seeds = fuzzing.seeds(name);
        assert!(!seeds.is_empty(), "{name} begins with nothing");
        seeds.iter().for_each(|seed| run(&fuzzing, seed));
        for _ in 0..CHANGED {
            let bytes = chance.changed(&seeds);
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&fuzzing, &bytes)));
            assert!(ended.is_ok(), "{name} on {}", bytes.escape_ascii());
        }
        println!("{name}: {} executions", seeds.len() + CHANGED);
    }
}

#[test]
fn every_target_has_a_program() {
    let package = include_str!("../../tests/fuzz/Cargo.toml");
    let programs: Vec<&str> = package.lines().filter_map(|line| line.strip_prefix("name = ")).skip(1).collect();
    let targets: Vec<String> = TARGETS.iter().map(|target| format!("{:?}", target.name)).collect();
    assert_eq!(programs, targets);
}

#[test]
fn the_messages_that_targets_begin_with_are_read_and_encoded() {
    let fuzzing = Fuzzing::new();
    for name in ["merchant", "user", "gmv_request", "portraits_request", "infer", "golden_tensors", "contents"] {
        assert!(fuzzing.seeds(name).iter().all(|seed| seed.len() > 5), "{name}");
    }
}

#[test]
fn a_map_under_a_wrong_wire_type_is_refused_although_prost_reads_on() {
    let fuzzing = Fuzzing::new();
    // `extra` of a user's features as a group's end, and as a number.
    for key in [[0xa4, 0x06], [0xa0, 0x06]] {
        let entry = [&[0x12, 4][..], &key, &[0, 0]].concat();
        for Target { run, .. } in TARGETS.iter().filter(|target| ["merchant", "user"].contains(&target.name)) {
            run(&fuzzing, &entry);
        }
    }
}
