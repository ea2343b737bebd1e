//! Names that nobody can guess, from the injected randomness.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// 32 symbols that no profile changes and no person confuses when reading aloud.
const SYMBOLS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// 100 bits.
pub(crate) fn fresh(rng: &mut StdRng) -> String {
    let mut bits: u128 = rng.random();
    (0..20)
        .map(|_| {
            let symbol = SYMBOLS.get((bits & 31) as usize).copied().unwrap_or(b'a');
            bits >>= 5;
            char::from(symbol)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn ids_follow_the_seed_and_differ() {
        let draw = |seed| {
            let mut rng = StdRng::from_seed([seed; 32]);
            [fresh(&mut rng), fresh(&mut rng)]
        };
        let [first, second] = draw(1);
        assert_eq!(first.len(), 20);
        assert_ne!(first, second);
        assert_eq!(draw(1), [first.clone(), second]);
        assert_ne!(draw(2)[0], first);
    }
}
