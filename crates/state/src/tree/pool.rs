//! Storage by position for fields that only some znodes have.

/// Positions per chunk. The pool grows by whole chunks, so that growth never copies existing
/// values.
const CHUNK_PLACES: usize = 1024;

/// Values by position. Positions do not reflect the order of insertion and are not part of the
/// state: members and reloads may differ in them.
pub(super) struct Pool<T> {
    chunks: Vec<Vec<T>>,
    /// Released positions, which hold emptied values.
    free: Vec<u32>,
}

impl<T> Pool<T> {
    pub(super) fn new() -> Pool<T> {
        Pool { chunks: Vec::new(), free: Vec::new() }
    }

    /// Stores `value` and returns its position.
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

    /// Removes the value at `at`, leaving `emptied` until the position is reused.
    pub(super) fn remove(&mut self, at: u32, emptied: T) -> T {
        self.free.push(at);
        std::mem::replace(&mut self[at], emptied)
    }

    /// Number of values.
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
