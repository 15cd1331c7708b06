//! Whose home is where: a hash, fixed for the life of a store.

/// One of the [`SHARDS`] parts of the durable state. Record keys carry it, so that one day a part can move to another
/// node as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(pub u8);

impl Shard {
    /// The home of whatever goes by `name`: a client id, a queue's name, a share's group and filter, a retained key.
    /// FNV-1a, because it must give the same answer in every version.
    pub fn of(name: &[u8]) -> Self {
        let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        // The high bits of FNV are the well-mixed ones; six of them make 64 shards.
        Self((hash >> 58) as u8)
    }
}

/// How many shards a store has. Fixed when the store is made.
pub const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_of_a_name_never_changes() {
        assert_eq!(Shard::of(b""), Shard(50));
        assert_eq!(Shard::of(b"a"), Shard(43));
        assert!((0..10_000_u32).all(|n| usize::from(Shard::of(&n.to_be_bytes()).0) < SHARDS));
    }
}
