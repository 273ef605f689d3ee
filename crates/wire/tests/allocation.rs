//! Decoding borrows and never allocates. Every request a server receives passes through it.
//!
//! In a binary of its own, since the counting allocator covers the whole process.

#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use wire::record::{Create, Delete, GetData, Multi, PathList, Request, SetWatches};
use wire::{AclList, Opcode};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged; counting touches a thread-local cell
// that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's obligations are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are those of `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations_of(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

#[test]
fn decoding_allocates_nothing() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))), 1, "the counter works");

    let create = Create {
        path: "/a/b",
        data: Some(b"data"),
        acl: AclList::OPEN,
        flags: 3,
        ttl: None,
        kind: Opcode::Create,
    };
    let (mut paths, mut operations) = (Vec::new(), Vec::new());
    let paths = PathList::encode_into(["/a", "/b", "/c"], &mut paths);
    let requests = [
        Request::Create(create),
        Request::GetData(GetData { path: "/a/b", watch: true }),
        Request::Delete(Delete { path: "/a/b", version: 3 }),
        Request::SetWatches(SetWatches {
            relative_zxid: 1,
            data: paths,
            exist: paths,
            child: paths,
            persistent: paths,
            persistent_recursive: paths,
            kind: Opcode::SetWatches2,
        }),
        Request::Multi(Multi::encode_into([Request::Create(create); 3], &mut operations)),
    ];
    for request in requests {
        let mut body = Vec::new();
        request.encode(&mut body);
        let mut decoded = None;
        let count = allocations_of(|| decoded = Some(Request::decode(request.opcode(), &body)));
        assert_eq!(decoded, Some(Ok(request)));
        assert_eq!(count, 0, "{}", request.opcode());
    }
}
