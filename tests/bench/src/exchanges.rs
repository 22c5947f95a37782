//! Makes X25519 exchanges on as many threads as there are processors: the least work that decrypting
//! as many values takes.
//!
//! Usage: `exchanges COUNT`.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step should stop the measurement"
)]

use std::hint::black_box;
use std::thread;

use x25519_dalek::{PublicKey, StaticSecret};

fn main() {
    let count: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let threads = thread::available_parallelism().unwrap().get();
    let own = StaticSecret::from([7; 32]);
    thread::scope(|scope| {
        for thread in 0..threads {
            let share = (count + thread) / threads;
            let own = &own;
            scope.spawn(move || {
                for number in 0..share {
                    let other = PublicKey::from([u8::try_from(number % 251).unwrap(); 32]);
                    black_box(own.diffie_hellman(black_box(&other)));
                }
            });
        }
    });
}
