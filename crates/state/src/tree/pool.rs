//! Values in numbered places, for what only some znodes have.

/// Places per chunk. The pool grows by whole chunks, so that growth never copies what is there.
const CHUNK_PLACES: usize = 1024;

/// Values by position. A position says nothing about the order in which values came, and is no part of the state:
/// members and reloads may differ in it.
pub(super) struct Pool<T> {
    chunks: Vec<Vec<T>>,
    /// Positions given back. What lies there is an emptied value.
    free: Vec<u32>,
}

impl<T> Pool<T> {
    pub(super) fn new() -> Pool<T> {
        Pool { chunks: Vec::new(), free: Vec::new() }
    }

    /// Puts `value` somewhere.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self[at] = value;
            return at;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_PLACES) {
            self.chunks.push(Vec::with_capacity(CHUNK_PLACES));
        }
        let above = self.chunks.len() - 1;
        let chunk = &mut self.chunks[above];
        chunk.push(value);
        (above * CHUNK_PLACES + chunk.len() - 1) as u32
    }

    /// Takes out the value at `at`, leaving `emptied` until the place is used again.
    pub(super) fn remove(&mut self, at: u32, emptied: T) -> T {
        self.free.push(at);
        std::mem::replace(&mut self[at], emptied)
    }

    /// Values that are in.
    pub(super) fn len(&self) -> usize {
        let places = match self.chunks.last() {
            Some(last) => (self.chunks.len() - 1) * CHUNK_PLACES + last.len(),
            None => 0,
        };
        places - self.free.len()
    }
}

impl<T> std::ops::Index<u32> for Pool<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        &self.chunks[at as usize / CHUNK_PLACES][at as usize % CHUNK_PLACES]
    }
}

impl<T> std::ops::IndexMut<u32> for Pool<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[at as usize / CHUNK_PLACES][at as usize % CHUNK_PLACES]
    }
}
