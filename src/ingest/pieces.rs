//! A stream of bytes that comes in chunks, for readers of binary records: what is whole is read where it
//! lies, and only the beginning of a record whose end has not come yet is kept.

/// Bytes that are added at a time to what is kept, until its record is whole.
const PIECE: usize = 8 << 10;

/// Takes in the next chunk. `read` is given bytes that follow what it has done with, and says of how many
/// of them it is done; the rest is given again, with more behind it.
pub(super) fn push(kept: &mut Vec<u8>, chunk: &[u8], mut read: impl FnMut(&[u8]) -> usize) {
    let mut rest = chunk;
    while !kept.is_empty() && !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(PIECE));
        kept.extend_from_slice(piece);
        let done = read(kept);
        let left = kept.len() - done;
        if left <= piece.len() {
            // All that is left lies in the chunk.
            kept.clear();
            rest = &rest[piece.len() - left..];
        } else {
            kept.drain(..done);
            rest = after;
        }
    }
    if !rest.is_empty() {
        let done = read(rest);
        kept.extend_from_slice(&rest[done..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of some bytes in chunks of a size: a byte that says how long each is, then the rest of it.
    fn records(bytes: &[u8], size: usize) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut kept, mut found) = (Vec::new(), Vec::new());
        for chunk in bytes.chunks(size) {
            push(&mut kept, chunk, |bytes| {
                let mut at = 0;
                while let Some(record) =
                    bytes.get(at).and_then(|length| bytes.get(at..=at + usize::from(*length)))
                {
                    found.push(record.to_vec());
                    at += record.len();
                }
                at
            });
        }
        (found, kept)
    }

    #[test]
    fn any_chunks_give_the_same_records() {
        let bytes: Vec<u8> = (0..3 * PIECE).map(|at| (at * 7 % 251) as u8).collect();
        let whole = records(&bytes, bytes.len());
        assert!(whole.0.len() > 100 && !whole.1.is_empty());
        for size in [1, 3, 100, 250, PIECE - 1, PIECE, PIECE + 1] {
            assert_eq!(records(&bytes, size), whole, "in chunks of {size}");
        }
    }
}
