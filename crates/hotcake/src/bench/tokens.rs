//! Buyers' tokens, made before the load begins: the generator shares its processor with the server and must not sign while it
//! loads. Knows the form of a token and nothing of a server.

use crate::http::token::TokenKey;

/// What a server's keys say about its tokens.
pub struct Signer {
    /// The secret of HS256.
    pub secret: Vec<u8>,
    /// The audience that the server asks for.
    pub audience: String,
    /// Seconds since 1970 at which the tokens lapse.
    pub expires: u64,
}

/// One token per buyer, all of one length, one after the other.
pub struct Tokens {
    bytes: Vec<u8>,
    length: usize,
    run: u32,
    count: u32,
}

impl Tokens {
    /// Signs a token for each of `count` buyers of this run.
    pub fn sign(signer: &Signer, run: u32, count: u32) -> Self {
        let key = TokenKey::new(&signer.secret, &signer.audience, 0);
        let token = |buyer: u32| key.sign(&name(run, buyer), signer.expires);
        let length = token(0).len();
        let mut bytes = Vec::with_capacity(length * count as usize);
        for buyer in 0..count {
            bytes.extend_from_slice(token(buyer).as_bytes());
        }
        debug_assert_eq!(bytes.len(), length * count as usize, "buyers' names have one length, so tokens have");
        Self { bytes, length, run, count }
    }

    /// The token of one buyer.
    pub fn of(&self, buyer: u32) -> &[u8] {
        let at = self.length * buyer as usize;
        &self.bytes[at..at + self.length]
    }

    /// One buyer's name.
    pub fn name(&self, buyer: u32) -> String {
        name(self.run, buyer)
    }

    /// How many buyers there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of one token.
    pub fn length(&self) -> usize {
        self.length
    }
}

fn name(run: u32, buyer: u32) -> String {
    format!("b{run:08x}-{buyer:08}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};

    /// By a library, not by the code that signed them.
    #[test]
    fn tokens_are_what_a_library_verifies() {
        let signer = Signer { secret: b"0123456789abcdef0123456789abcdef".to_vec(), audience: "hotcake".into(), expires: 4_000_000_000 };
        let tokens = Tokens::sign(&signer, 7, 12);
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_audience(&["hotcake"]);
        for buyer in [0, 11] {
            let token = std::str::from_utf8(tokens.of(buyer)).expect("a token is ASCII");
            let claims =
                decode::<serde_json::Value>(token, &DecodingKey::from_secret(&signer.secret), &rules).expect("the token verifies").claims;
            assert_eq!(claims["sub"], tokens.name(buyer));
        }
        assert!((150..220).contains(&tokens.length()), "{}", tokens.length());
    }
}
