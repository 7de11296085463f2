//! The filter of all ids that gate and ledger know: says "surely new" or "perhaps known", and is never wrong about the
//! former. A Bloom filter that grows by layers, about two bytes an id.

use crate::words::Digest;

/// Bits set per id. With sixteen bits of room an id, about one in two thousand new ids is taken for a known one, which
/// costs it a look-up and nothing else.
const PROBES: u64 = 6;
const BITS_PER_ID: usize = 16;
const FIRST_LAYER_IDS: usize = 1 << 12;

struct Layer {
    words: Vec<u64>,
    room: usize,
}

/// A set of ids that may contain more than was put in.
#[derive(Default)]
pub struct Filter {
    layers: Vec<Layer>,
}

impl Filter {
    /// Puts an id in.
    pub fn insert(&mut self, digest: Digest) {
        // An id is told of more than once: by its batch, its row, a rebuild.
        if self.may_contain(digest) {
            return;
        }
        if self.layers.last().is_none_or(|layer| layer.room == 0) {
            let ids = self.layers.last().map_or(FIRST_LAYER_IDS, |layer| layer.words.len() * 64 / BITS_PER_ID * 2);
            self.layers.push(Layer { words: vec![0; ids * BITS_PER_ID / 64], room: ids });
        }
        let layer = self.layers.last_mut().expect("a layer was just made sure of");
        for bit in bits(digest, layer.words.len()) {
            layer.words[bit / 64] |= 1 << (bit % 64);
        }
        layer.room -= 1;
    }

    /// Whether the id may be in.
    pub fn may_contain(&self, digest: Digest) -> bool {
        self.layers.iter().any(|layer| bits(digest, layer.words.len()).all(|bit| layer.words[bit / 64] >> (bit % 64) & 1 == 1))
    }
}

/// The digest's two halves are independent and uniform, so two of them make as many probes as are wanted.
fn bits(digest: Digest, words: usize) -> impl Iterator<Item = usize> {
    let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| digest.0[at + i]));
    let (start, stride) = (half(0), half(8) | 1);
    let mask = words as u64 * 64 - 1;
    (0..PROBES).map(move |n| (start.wrapping_add(n.wrapping_mul(stride)) & mask) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u64) -> Digest {
        let mix = |x: u64| {
            let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&mix(n).to_le_bytes());
        bytes[8..].copy_from_slice(&mix(mix(n ^ 0xABCD)).to_le_bytes());
        Digest(bytes)
    }

    #[test]
    fn never_forgets_and_seldom_imagines() {
        let mut filter = Filter::default();
        (0..100_000).for_each(|n| filter.insert(digest(n)));
        assert!((0..100_000).all(|n| filter.may_contain(digest(n))));
        let imagined = (1_000_000..1_100_000).filter(|&n| filter.may_contain(digest(n))).count();
        assert!(imagined < 1_000, "{imagined} of 100000 new ids were taken for known ones");
        let bytes: usize = filter.layers.iter().map(|layer| layer.words.len() * 8).sum();
        assert!((200_000..=400_000).contains(&bytes), "{bytes} bytes for 100000 ids");
    }
}
