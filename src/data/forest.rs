//! What belongs together, directly or through others: sets that only ever grow into each other.

/// The numbers below some bound, in sets.
pub(super) struct Forest {
    /// Each points to an earlier one of its set, or to itself.
    parent: Vec<usize>,
}

impl Forest {
    /// Each number below `n` is a set of its own.
    pub(super) fn new(n: usize) -> Self {
        Self { parent: (0..n).collect() }
    }

    /// The first of the set that `item` is in.
    pub(super) fn root(&mut self, mut item: usize) -> usize {
        while self.parent[item] != item {
            self.parent[item] = self.parent[self.parent[item]];
            item = self.parent[item];
        }
        item
    }

    /// Makes one set of those that two are in; whether they were two.
    pub(super) fn join(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
        a != b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_grow_into_each_other() {
        let mut forest = Forest::new(6);
        assert!(forest.join(4, 5) && forest.join(1, 3) && forest.join(3, 5));
        assert!(!forest.join(1, 4));
        let roots: Vec<usize> = (0..6).map(|item| forest.root(item)).collect();
        assert_eq!(roots, [0, 1, 2, 1, 1, 1]);
    }
}
