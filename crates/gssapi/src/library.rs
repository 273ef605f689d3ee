//! The functions of `libgssapi_krb5`, and values that release what it allocated.
//!
//! The declarations are those of MIT's `gssapi.h` and `gssapi_ext.h` (RFC 2744).

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::ptr;
use std::sync::Arc;

use crate::Error;

/// The file name; its number is that of the interface used here.
const FILE: &str = "libgssapi_krb5.so.2";

/// `gss_buffer_desc`.
#[repr(C)]
struct Buffer {
    length: usize,
    value: *mut c_void,
}

impl Buffer {
    /// A buffer that the library may read while `bytes` live.
    fn of(bytes: &[u8]) -> Buffer {
        Buffer { length: bytes.len(), value: bytes.as_ptr().cast_mut().cast() }
    }

    fn empty() -> Buffer {
        Buffer { length: 0, value: ptr::null_mut() }
    }
}

/// `gss_OID_desc`.
#[repr(C)]
struct Oid {
    length: u32,
    elements: *const u8,
}

/// `gss_OID_set_desc`.
#[repr(C)]
struct OidSet {
    count: usize,
    elements: *const Oid,
}

/// `gss_key_value_element_desc`.
#[repr(C)]
struct KeyValue {
    key: *const c_char,
    value: *const c_char,
}

/// `gss_key_value_set_desc`.
#[repr(C)]
struct KeyValues {
    count: u32,
    elements: *const KeyValue,
}

type Handle = *mut c_void;

/// The mechanism Kerberos 5, 1.2.840.113554.1.2.2.
const KRB5: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
/// The kind of name of a principal, 1.2.840.113554.1.2.2.1.
const PRINCIPAL_NAME: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01";

const CONTINUE_NEEDED: u32 = 1;
/// Calling and routine errors; the rest of a status is information.
const ERRORS: u32 = 0xffff_0000;
const USAGE_INITIATE: c_int = 1;
const USAGE_ACCEPT: c_int = 2;
/// What a client asks of a context: that the service proves itself too, and checksums of messages.
const MUTUAL: u32 = 2;
const INTEGRITY: u32 = 32;
/// The key of `gss_pseudo_random` that both sides have once the context is established.
const PRF_KEY_FULL: c_int = 0;
/// What that function is asked for; its bytes are of no use for anything else.
const PRF_INPUT: &[u8] = b"ostler session key";
/// Kinds of codes of `gss_display_status`.
const CODES: [c_int; 2] = [1, 2];
/// Messages of one code that are shown.
const MESSAGES_MAX: usize = 8;

/// The loaded library. It stays loaded as long as this lives, and so do its functions.
pub(crate) struct Library {
    acquire_cred_from: unsafe extern "C" fn(
        *mut u32,
        Handle,
        u32,
        *const OidSet,
        c_int,
        *const KeyValues,
        *mut Handle,
        *mut Handle,
        *mut u32,
    ) -> u32,
    import_name: unsafe extern "C" fn(*mut u32, *const Buffer, *const Oid, *mut Handle) -> u32,
    accept_sec_context: unsafe extern "C" fn(
        *mut u32,
        *mut Handle,
        Handle,
        *const Buffer,
        *const c_void,
        *mut Handle,
        *mut *const Oid,
        *mut Buffer,
        *mut u32,
        *mut u32,
        *mut Handle,
    ) -> u32,
    init_sec_context: unsafe extern "C" fn(
        *mut u32,
        Handle,
        *mut Handle,
        Handle,
        *const Oid,
        u32,
        u32,
        *const c_void,
        *const Buffer,
        *mut *const Oid,
        *mut Buffer,
        *mut u32,
        *mut u32,
    ) -> u32,
    pseudo_random: unsafe extern "C" fn(*mut u32, Handle, c_int, *const Buffer, isize, *mut Buffer) -> u32,
    display_name: unsafe extern "C" fn(*mut u32, Handle, *mut Buffer, *mut *const Oid) -> u32,
    display_status: unsafe extern "C" fn(*mut u32, u32, c_int, *const Oid, *mut u32, *mut Buffer) -> u32,
    wrap: unsafe extern "C" fn(*mut u32, Handle, c_int, u32, *const Buffer, *mut c_int, *mut Buffer) -> u32,
    unwrap: unsafe extern "C" fn(*mut u32, Handle, *const Buffer, *mut Buffer, *mut c_int, *mut u32) -> u32,
    release_buffer: unsafe extern "C" fn(*mut u32, *mut Buffer) -> u32,
    release_name: unsafe extern "C" fn(*mut u32, *mut Handle) -> u32,
    release_cred: unsafe extern "C" fn(*mut u32, *mut Handle) -> u32,
    delete_sec_context: unsafe extern "C" fn(*mut u32, *mut Handle, *mut Buffer) -> u32,
    /// Declared last, so that it is unloaded last.
    _loaded: libloading::Library,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FILE)
    }
}

impl Library {
    pub(crate) fn load() -> Result<Arc<Library>, Error> {
        let failed = |error: libloading::Error| Error::Library(FILE, error.to_string());
        // SAFETY: loading runs the library's initialisers. It is Kerberos' own library, which C
        // programs load the same way, from the system's folders.
        let loaded = unsafe { libloading::Library::new(FILE) }.map_err(failed)?;
        /// The function of this name, with the type of the field that it is for.
        macro_rules! function {
            ($name:literal) => {
                // SAFETY: the types of the fields are the declarations of the library's headers,
                // and the pointers are called only while `_loaded` keeps the library loaded.
                *unsafe { loaded.get($name) }.map_err(failed)?
            };
        }
        Ok(Arc::new(Library {
            acquire_cred_from: function!("gss_acquire_cred_from"),
            import_name: function!("gss_import_name"),
            accept_sec_context: function!("gss_accept_sec_context"),
            init_sec_context: function!("gss_init_sec_context"),
            pseudo_random: function!("gss_pseudo_random"),
            display_name: function!("gss_display_name"),
            display_status: function!("gss_display_status"),
            wrap: function!("gss_wrap"),
            unwrap: function!("gss_unwrap"),
            release_buffer: function!("gss_release_buffer"),
            release_name: function!("gss_release_name"),
            release_cred: function!("gss_release_cred"),
            delete_sec_context: function!("gss_delete_sec_context"),
            _loaded: loaded,
        }))
    }

    /// The error that a status stands for, or nothing.
    fn check(&self, major: u32, minor: u32) -> Result<(), Error> {
        if major & ERRORS == 0 {
            return Ok(());
        }
        let texts = CODES.into_iter().zip([major, minor]).flat_map(|(kind, code)| self.messages(kind, code));
        let texts: Vec<String> = texts.collect();
        Err(Error::Status(texts.join(": ")))
    }

    fn messages(&self, kind: c_int, code: u32) -> Vec<String> {
        let mechanism = oid(KRB5);
        let mut texts = Vec::new();
        let mut more = 0;
        while texts.len() < MESSAGES_MAX {
            let (mut minor, mut text) = (0, Buffer::empty());
            // SAFETY: the pointers are to live values of the declared types, and `text` is empty.
            let status =
                unsafe { (self.display_status)(&mut minor, code, kind, &mechanism, &mut more, &mut text) };
            if status & ERRORS != 0 {
                break;
            }
            texts.push(String::from_utf8_lossy(&self.taken(text)).into_owned());
            if more == 0 {
                break;
            }
        }
        texts
    }

    /// The bytes of a buffer that the library filled, which is released.
    fn taken(&self, mut buffer: Buffer) -> Vec<u8> {
        if buffer.value.is_null() {
            return Vec::new();
        }
        // SAFETY: the library filled the buffer with `length` bytes at `value`, which nobody else
        // changes or releases.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.value.cast::<u8>(), buffer.length) }.to_vec();
        let mut minor = 0;
        // SAFETY: the library filled the buffer, and it is released once, since it is owned here.
        unsafe { (self.release_buffer)(&mut minor, &mut buffer) };
        bytes
    }
}

fn oid(elements: &'static [u8]) -> Oid {
    Oid { length: elements.len() as u32, elements: elements.as_ptr() }
}

/// A name of the library's.
struct Name<'l> {
    library: &'l Library,
    handle: Handle,
}

impl<'l> Name<'l> {
    /// The name of a principal.
    fn of_principal(library: &'l Library, principal: &CStr) -> Result<Name<'l>, Error> {
        let mut name = Name { library, handle: ptr::null_mut() };
        let mut minor = 0;
        let text = Buffer::of(principal.to_bytes());
        // SAFETY: the pointers are to live values of the declared types.
        let major =
            unsafe { (library.import_name)(&mut minor, &text, &oid(PRINCIPAL_NAME), &mut name.handle) };
        library.check(major, minor)?;
        Ok(name)
    }

    fn shown(&self) -> Result<String, Error> {
        let (mut minor, mut text) = (0, Buffer::empty());
        // SAFETY: `handle` is a name that the library made and that is released on drop only; the
        // kind of name is not asked for.
        let major =
            unsafe { (self.library.display_name)(&mut minor, self.handle, &mut text, ptr::null_mut()) };
        self.library.check(major, minor)?;
        String::from_utf8(self.library.taken(text)).map_err(|_| Error::Token("from a name that is not UTF-8"))
    }
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the library made the name (or it is null, which is allowed), and it is released
        // once.
        unsafe { (self.library.release_name)(&mut minor, &mut self.handle) };
    }
}

/// The key of a service, or the tickets of a client.
#[derive(Debug)]
pub(crate) struct Credential {
    library: Arc<Library>,
    handle: Handle,
}

// SAFETY: the library locks the state of a credential, and is made for use by several threads.
unsafe impl Send for Credential {}
// SAFETY: as above; a credential is only passed to `gss_accept_sec_context` and
// `gss_init_sec_context`, which lock it where they change it.
unsafe impl Sync for Credential {}

impl Credential {
    /// The key of a service in a key table, or in that of the system. Asks nobody.
    pub(crate) fn of_service(
        library: Arc<Library>,
        keytab: Option<&CStr>,
        principal: &CStr,
    ) -> Result<Credential, Error> {
        let store: Vec<_> = keytab.into_iter().map(|path| (c"keytab", path)).collect();
        Credential::acquire(library, principal, USAGE_ACCEPT, &store)
    }

    /// The tickets of a client with a key in a key table, which are kept in `cache` and renewed in
    /// time. Asks the Kerberos server where none are there.
    pub(crate) fn of_client(
        library: Arc<Library>,
        keytab: &CStr,
        principal: &CStr,
        cache: &CStr,
    ) -> Result<Credential, Error> {
        let store = [(c"client_keytab", keytab), (c"ccache", cache)];
        Credential::acquire(library, principal, USAGE_INITIATE, &store)
    }

    fn acquire(
        library: Arc<Library>,
        principal: &CStr,
        usage: c_int,
        store: &[(&CStr, &CStr)],
    ) -> Result<Credential, Error> {
        let name = Name::of_principal(&library, principal)?;
        let mechanism = oid(KRB5);
        let mechanisms = OidSet { count: 1, elements: &mechanism };
        let element = |(key, value): &(&CStr, &CStr)| KeyValue { key: key.as_ptr(), value: value.as_ptr() };
        let elements: Vec<KeyValue> = store.iter().map(element).collect();
        let store = KeyValues { count: elements.len() as u32, elements: elements.as_ptr() };
        let (mut minor, mut handle) = (0, ptr::null_mut());
        // SAFETY: the pointers are to values that live until the call returns; the store has as
        // many elements as it says; null pointers stand for results that are not asked for.
        let major = unsafe {
            (library.acquire_cred_from)(
                &mut minor,
                name.handle,
                0,
                &mechanisms,
                usage,
                &store,
                &mut handle,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        library.check(major, minor)?;
        drop(name);
        Ok(Credential { library, handle })
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the library made the credential, and it is released once, after all contexts that
        // were made with it have dropped their reference.
        unsafe { (self.library.release_cred)(&mut minor, &mut self.handle) };
    }
}

/// The context of one exchange.
#[derive(Debug)]
pub(crate) struct Context {
    credential: Arc<Credential>,
    handle: Handle,
}

// SAFETY: a context may be used by any thread, by one at a time; it is not shared.
unsafe impl Send for Context {}

impl Context {
    pub(crate) fn new(credential: Arc<Credential>) -> Context {
        Context { credential, handle: ptr::null_mut() }
    }

    /// Takes a token of a client; answers the token for it and, when the context is established,
    /// the client's name.
    pub(crate) fn accept(&mut self, token: &[u8]) -> Result<(Vec<u8>, Option<String>), Error> {
        let library = &*self.credential.library;
        let (mut minor, mut reply) = (0, Buffer::empty());
        let mut client = Name { library, handle: ptr::null_mut() };
        let mut mechanism: *const Oid = ptr::null();
        // SAFETY: the handle is null or the context of the earlier calls; the other pointers are to
        // live values of the declared types; null pointers stand for channel bindings, which are
        // not used, and for results that are not asked for.
        let major = unsafe {
            (library.accept_sec_context)(
                &mut minor,
                &mut self.handle,
                self.credential.handle,
                &Buffer::of(token),
                ptr::null(),
                &mut client.handle,
                &mut mechanism,
                &mut reply,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        let reply = library.taken(reply);
        library.check(major, minor)?;
        if major & CONTINUE_NEEDED != 0 {
            return Ok((reply, None));
        }
        // SAFETY: the library set it to null or to one of its own constants.
        let mechanism = unsafe { mechanism.as_ref() }.map(|oid| {
            // SAFETY: an identifier has `length` bytes at `elements`: constants of the library.
            unsafe { std::slice::from_raw_parts(oid.elements, oid.length as usize) }
        });
        if mechanism != Some(KRB5) {
            return Err(Error::Token("of another mechanism than Kerberos"));
        }
        Ok((reply, Some(client.shown()?)))
    }

    /// Takes a token of the service `target`, none at first; answers the token for it, and whether
    /// the context is established: then the service has proven to be that principal.
    pub(crate) fn initiate(&mut self, target: &CStr, token: &[u8]) -> Result<(Vec<u8>, bool), Error> {
        let library = &*self.credential.library;
        let target = Name::of_principal(library, target)?;
        let (mut minor, mut reply, mut flags) = (0, Buffer::empty(), 0);
        // SAFETY: the handle is null or the context of the earlier calls; the other pointers are to
        // live values of the declared types; null pointers stand for channel bindings, which are
        // not used, and for results that are not asked for.
        let major = unsafe {
            (library.init_sec_context)(
                &mut minor,
                self.credential.handle,
                &mut self.handle,
                target.handle,
                &oid(KRB5),
                MUTUAL | INTEGRITY,
                0,
                ptr::null(),
                &Buffer::of(token),
                ptr::null_mut(),
                &mut reply,
                &mut flags,
                ptr::null_mut(),
            )
        };
        let reply = library.taken(reply);
        library.check(major, minor)?;
        let is_established = major & CONTINUE_NEEDED == 0;
        if is_established && flags & (MUTUAL | INTEGRITY) != MUTUAL | INTEGRITY {
            return Err(Error::Token("of a service that does not prove itself"));
        }
        Ok((reply, is_established))
    }

    /// Random bytes that both sides of the established context get, and nobody else.
    pub(crate) fn session_key(&self) -> Result<[u8; 32], Error> {
        let library = &*self.credential.library;
        let (mut minor, mut out, mut key) = (0, Buffer::empty(), [0; 32]);
        let length = key.len() as isize;
        // SAFETY: the handle is an established context; the pointers are to live values.
        let major = unsafe {
            (library.pseudo_random)(
                &mut minor,
                self.handle,
                PRF_KEY_FULL,
                &Buffer::of(PRF_INPUT),
                length,
                &mut out,
            )
        };
        let out = library.taken(out);
        library.check(major, minor)?;
        let out = out.get(..key.len()).ok_or(Error::Token("of a context without a key"))?;
        key.copy_from_slice(out);
        Ok(key)
    }

    /// The bytes with a checksum of the context, not encrypted.
    pub(crate) fn wrap(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let library = &*self.credential.library;
        let (mut minor, mut out) = (0, Buffer::empty());
        // SAFETY: the handle is an established context; the pointers are to live values.
        let major = unsafe {
            (library.wrap)(&mut minor, self.handle, 0, 0, &Buffer::of(bytes), ptr::null_mut(), &mut out)
        };
        let out = library.taken(out);
        library.check(major, minor)?;
        Ok(out)
    }

    /// The bytes inside a token of the other side, whose checksum is right.
    pub(crate) fn unwrap(&self, token: &[u8]) -> Result<Vec<u8>, Error> {
        let library = &*self.credential.library;
        let (mut minor, mut out) = (0, Buffer::empty());
        // SAFETY: the handle is an established context; the pointers are to live values.
        let major = unsafe {
            (library.unwrap)(
                &mut minor,
                self.handle,
                &Buffer::of(token),
                &mut out,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        let out = library.taken(out);
        library.check(major, minor)?;
        Ok(out)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the library made the context (or it is null, which is allowed), it is deleted
        // once, and no token for the client is asked for.
        unsafe {
            (self.credential.library.delete_sec_context)(&mut minor, &mut self.handle, ptr::null_mut())
        };
    }
}
